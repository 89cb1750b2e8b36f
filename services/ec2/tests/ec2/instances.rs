//! Instances: their states, what they are made of, and what they are told.

use std::time::Duration;

use ec2::{MetadataAnswer, MetadataRequest, MetadataTold};
use engine::METADATA;
use serde_json::{Value as Json, json};
use shapes::ec2::*;

use crate::world::{World, text, texts};

struct Ground {
    world: World,
    vpc: String,
    subnet: String,
    image: String,
}

async fn ground() -> Ground {
    let world = World::new();
    world.sim.images.add("ami/debian-12");
    let vpc = world.vpc("10.0.0.0/16").await;
    let subnet = world.subnet(&vpc, "10.0.1.0/24").await;
    let image = image_named(&world, "debian-12-amd64-*").await;
    Ground {
        world,
        vpc,
        subnet,
        image,
    }
}

async fn image_named(world: &World, name: &str) -> String {
    let input = json!({"Filters": [{"Name": "name", "Values": [name]}]});
    let found = world.ok::<DescribeImagesInput>(input).await;
    text(&found["imagesSet"][0]["imageId"])
}

impl Ground {
    fn asked(&self, more: Json) -> Json {
        let mut all = json!({
            "ImageId": self.image, "InstanceType": "t3.micro", "SubnetId": self.subnet,
            "MinCount": 1, "MaxCount": 1,
        });
        for (name, value) in more.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    }

    async fn run(&self, more: Json) -> String {
        let made = self.world.ok::<RunInstancesInput>(self.asked(more)).await;
        let instance = &made["instancesSet"][0];
        assert_eq!(
            instance["instanceState"],
            json!({"code": 0, "name": "pending"})
        );
        text(&instance["instanceId"])
    }

    async fn running(&self, more: Json) -> String {
        let id = self.run(more).await;
        self.becomes(&id, "running").await;
        id
    }

    async fn shown(&self, id: &str) -> Json {
        let found = self
            .world
            .ok::<DescribeInstancesInput>(json!({"InstanceIds": [id]}))
            .await;
        found["reservationSet"][0]["instancesSet"][0].clone()
    }

    async fn becomes(&self, id: &str, state: &str) {
        for _ in 0..1000 {
            if self.shown(id).await["instanceState"]["name"] == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{}", self.shown(id).await);
    }

    /// Code and message.
    async fn refuses<I: wire::Operation>(&self, input: Json) -> String {
        refuses::<I>(&self.world, input).await
    }

    async fn refused(&self, more: Json) -> String {
        self.refuses::<RunInstancesInput>(self.asked(more)).await
    }
}

async fn refuses<I: wire::Operation>(world: &World, input: Json) -> String {
    match world.ask::<I>(input.clone()).await {
        Ok(answer) => panic!("{} {input}: {answer}", I::NAME),
        Err((code, message)) => format!("{code}: {message}"),
    }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn an_instance_goes_through_its_states_and_leaves_nothing() {
    let ground = ground().await;
    let id = ground.running(json!({})).await;
    let shown = ground.shown(&id).await;
    assert_eq!(shown["instanceState"]["code"], 16);
    assert!(
        text(&shown["privateIpAddress"]).starts_with("10.0.1."),
        "{shown}"
    );
    assert_eq!(shown["vpcId"], ground.vpc.as_str());
    let interface = text(&shown["networkInterfaceSet"][0]["networkInterfaceId"]);
    let spec = ground.world.sim.tasks.spec(&id).unwrap();
    assert_eq!(spec.interface.as_deref(), Some(interface.as_str()));
    assert_eq!((spec.cpu_units, spec.memory_mib), (Some(2048), Some(1024)));
    assert!(spec.containers[0].init_stays);
    assert!(ground.world.sim.inside.is_open_at(&interface, METADATA));

    let stopped = ground
        .world
        .ok::<StopInstancesInput>(json!({"InstanceIds": [id]}))
        .await;
    let change = &stopped["instancesSet"][0];
    assert_eq!(change["previousState"]["name"], "running");
    assert_eq!(
        change["currentState"],
        json!({"code": 64, "name": "stopping"})
    );
    ground.becomes(&id, "stopped").await;
    assert_eq!(
        ground.shown(&id).await["stateReason"]["code"],
        "Client.UserInitiatedShutdown"
    );
    assert_eq!(ground.world.sim.tasks.spec(&id).map(|it| it.id), None);

    ground
        .world
        .ok::<StartInstancesInput>(json!({"InstanceIds": [id]}))
        .await;
    ground.becomes(&id, "running").await;
    ground
        .world
        .ok::<TerminateInstancesInput>(json!({"InstanceIds": [id]}))
        .await;
    ground.becomes(&id, "terminated").await;
    let shown = ground.shown(&id).await;
    assert_eq!(shown["networkInterfaceSet"], json!([]), "{shown}");
    let interfaces = ground
        .world
        .ok::<DescribeNetworkInterfacesInput>(json!({}))
        .await;
    assert_eq!(interfaces["networkInterfaceSet"], json!([]), "{interfaces}");
    assert_eq!(ground.world.sim.tasks.running(), Vec::<String>::new());
    use engine::Workspaces as _;
    assert_eq!(
        ground.world.sim.workspaces.list().await.unwrap(),
        Vec::<String>::new()
    );
    // It can be nothing else any more.
    let refused = ground
        .refuses::<StartInstancesInput>(json!({"InstanceIds": [id]}))
        .await;
    assert!(refused.starts_with("IncorrectInstanceState"), "{refused}");
}

#[tokio::test]
async fn user_data_runs_at_the_first_boot_alone() {
    let ground = ground().await;
    let script = "#!/bin/sh\necho hello > /hello\n";
    let id = ground.running(json!({"UserData": base64(script)})).await;
    let place = format!("ec2-{id}");
    let below = format!("upper/var/lib/cloud/instances/{id}");
    let workspaces = &ground.world.sim.workspaces;
    assert_eq!(
        workspaces
            .text(&place, &format!("{below}/scripts/part-001"))
            .as_deref(),
        Some(script)
    );
    let boot = workspaces
        .text(&place, &format!("{below}/boot.sh"))
        .unwrap();
    assert!(boot.contains("scripts/part-001"), "{boot}");
    let first = ground.world.sim.tasks.spec(&id).unwrap().containers[0]
        .argv
        .clone();
    assert_eq!(first[1], format!("/var/lib/cloud/instances/{id}/boot.sh"));

    ground
        .world
        .ok::<RebootInstancesInput>(json!({"InstanceIds": [id]}))
        .await;
    testkit::until("it has booted again", || {
        let spec = ground.world.sim.tasks.spec(&id);
        spec.is_some_and(|it| {
            it.containers[0].argv[1] == "-c" && !it.containers[0].argv[2].contains("part-001")
        })
    })
    .await;
    ground.becomes(&id, "running").await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_and_nothing_is_made() {
    let ground = ground().await;
    let arm = image_named(&ground.world, "debian-12-arm64-*").await;
    let rootless = image_named(&ground.world, "al2023-ami-2023.8*-x86_64").await;
    for (more, word) in [
        (json!({"ImageId": "ami-0123"}), "InvalidAMIID.NotFound"),
        (json!({"ImageId": "debian"}), "InvalidAMIID.Malformed"),
        (
            json!({"ImageId": arm}),
            "The architecture 'x86_64' of the specified instance type does not match",
        ),
        (
            json!({"ImageId": rootless}),
            "neargate image import FILE ami/al2023",
        ),
        (
            json!({"InstanceType": "t3.huge"}),
            "Invalid value 't3.huge' for InstanceType.",
        ),
        (json!({"MinCount": 2}), "minCount"),
        (json!({"KeyName": "none"}), "InvalidKeyPair.NotFound"),
        (
            json!({"UserData": "?"}),
            "Invalid BASE64 encoding of user data.",
        ),
        (
            json!({"UserData": base64(&"#".repeat(16_385))}),
            "User data is limited to 16384 bytes",
        ),
        (
            json!({"UserData": base64("#cloud-config\nusers: []\n")}),
            "`users` in #cloud-config",
        ),
        (json!({"SubnetId": "subnet-0"}), "InvalidSubnetID.NotFound"),
        (
            json!({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 1}}]}),
            "InvalidBlockDeviceMapping",
        ),
        (
            json!({"NetworkInterfaces": [{"DeviceIndex": 0}]}),
            "InvalidParameterCombination",
        ),
    ] {
        let refused = ground.refused(more.clone()).await;
        assert!(refused.contains(word), "{more}: {refused}");
    }
    let all = ground.world.ok::<DescribeInstancesInput>(json!({})).await;
    assert_eq!(all["reservationSet"], json!([]));
}

#[tokio::test]
async fn a_token_names_one_request() {
    let ground = ground().await;
    let more = json!({"ClientToken": "once", "MaxCount": 2});
    let first = ground
        .world
        .ok::<RunInstancesInput>(ground.asked(more.clone()))
        .await;
    let again = ground
        .world
        .ok::<RunInstancesInput>(ground.asked(more))
        .await;
    assert_eq!(first["reservationId"], again["reservationId"]);
    let ids = |it: &Json| texts(&it["instancesSet"], "instanceId");
    assert_eq!(ids(&first), ids(&again));
    assert_eq!(ids(&first).len(), 2);
    let other = ground
        .refused(json!({"ClientToken": "once", "InstanceType": "t3.nano"}))
        .await;
    assert!(other.starts_with("IdempotentParameterMismatch"), "{other}");
}

#[tokio::test]
async fn what_ends_by_itself_is_noticed() {
    let ground = ground().await;
    let lost = ground.running(json!({})).await;
    ground.world.sim.tasks.lose(&lost);
    ground.becomes(&lost, "stopped").await;
    assert_eq!(
        ground.shown(&lost).await["stateReason"]["code"],
        "Server.InternalError"
    );
    let kept = ground.running(json!({})).await;
    ground.world.sim.tasks.exit(&kept, "machine", 0);
    ground.becomes(&kept, "stopped").await;
    let off = ground
        .running(json!({"InstanceInitiatedShutdownBehavior": "terminate"}))
        .await;
    ground.world.sim.tasks.exit(&off, "machine", 0);
    ground.becomes(&off, "terminated").await;
    let reason = &ground.shown(&off).await["stateReason"]["code"];
    assert_eq!(*reason, "Client.InstanceInitiatedShutdown");
}

#[tokio::test]
async fn a_protected_instance_is_not_terminated() {
    let ground = ground().await;
    let id = ground.running(json!({"DisableApiTermination": true})).await;
    let ids = json!({"InstanceIds": [id]});
    let refused = ground.refuses::<TerminateInstancesInput>(ids.clone()).await;
    assert!(refused.starts_with("OperationNotPermitted"), "{refused}");
    let off = json!({"InstanceId": id, "DisableApiTermination": {"Value": false}});
    ground.world.ok::<ModifyInstanceAttributeInput>(off).await;
    ground.world.ok::<TerminateInstancesInput>(ids).await;
    ground.becomes(&id, "terminated").await;
}

#[tokio::test]
async fn a_public_address_comes_and_goes_with_the_instance() {
    let ground = ground().await;
    let public = json!({"SubnetId": ground.subnet, "MapPublicIpOnLaunch": {"Value": true}});
    ground.world.ok::<ModifySubnetAttributeInput>(public).await;
    let id = ground.running(json!({})).await;
    assert!(text(&ground.shown(&id).await["ipAddress"]).starts_with("203.0.113."));
    ground
        .world
        .ok::<StopInstancesInput>(json!({"InstanceIds": [id]}))
        .await;
    ground.becomes(&id, "stopped").await;
    assert_eq!(ground.shown(&id).await["ipAddress"], Json::Null);
    ground
        .world
        .ok::<StartInstancesInput>(json!({"InstanceIds": [id]}))
        .await;
    ground.becomes(&id, "running").await;
    assert!(text(&ground.shown(&id).await["ipAddress"]).starts_with("203.0.113."));
}

#[tokio::test]
async fn status_checks_ask_the_machine() {
    let ground = ground().await;
    let id = ground.running(json!({})).await;
    let status = || async {
        let input = json!({"InstanceIds": [id], "IncludeAllInstances": true});
        let all = ground.world.ok::<DescribeInstanceStatusInput>(input).await;
        all["instanceStatusSet"][0]["instanceStatus"]["status"].clone()
    };
    assert_eq!(status().await, "ok");
    ground
        .world
        .ok::<StopInstancesInput>(json!({"InstanceIds": [id]}))
        .await;
    ground.becomes(&id, "stopped").await;
    assert_eq!(status().await, "not-applicable");
}

impl Ground {
    async fn told(&self, id: &str, path: &str, token: Option<&str>) -> MetadataAnswer {
        let request = MetadataRequest {
            method: "GET",
            path,
            token,
            seconds: None,
            is_forwarded: false,
        };
        self.answer(id, request).await
    }

    async fn answer(&self, id: &str, request: MetadataRequest<'_>) -> MetadataAnswer {
        let interface = &self.shown(id).await["networkInterfaceSet"][0]["networkInterfaceId"];
        let told = ec2::metadata(&self.world.cloud, &text(interface), request).await;
        match told.unwrap() {
            MetadataTold::Answer(answer) => answer,
            MetadataTold::Credentials(_) => panic!("{} is of credentials", request.path),
        }
    }
}

#[tokio::test]
async fn metadata_is_told_with_a_token_where_one_is_asked_for() {
    let ground = ground().await;
    let required = json!({"HttpTokens": "required", "HttpPutResponseHopLimit": 3});
    let id = ground
        .running(json!({"MetadataOptions": required, "UserData": base64("#!/bin/sh\n")}))
        .await;
    let path = "/latest/meta-data/instance-id";
    assert_eq!(ground.told(&id, path, None).await.status, 401);
    let ask = |seconds, is_forwarded| MetadataRequest {
        method: "PUT",
        path: "/latest/api/token",
        token: None,
        seconds,
        is_forwarded,
    };
    assert_eq!(ground.answer(&id, ask(None, false)).await.status, 400);
    assert_eq!(
        ground.answer(&id, ask(Some("21601"), false)).await.status,
        400
    );
    assert_eq!(ground.answer(&id, ask(Some("60"), true)).await.status, 403);
    let given = ground.answer(&id, ask(Some("60"), false)).await;
    assert_eq!(
        (given.status, given.hops, given.seconds),
        (200, Some(3), Some(60))
    );
    let token = String::from_utf8(given.body).unwrap();
    let body = |answer: MetadataAnswer| String::from_utf8(answer.body).unwrap();
    assert_eq!(body(ground.told(&id, path, Some(&token)).await), id);
    assert_eq!(
        body(ground.told(&id, "/latest/user-data", Some(&token)).await),
        "#!/bin/sh\n"
    );
    let listed = body(ground.told(&id, "/latest/meta-data/", Some(&token)).await);
    assert!(listed.contains("placement/\n"), "{listed}");
    let identity = ground
        .told(
            &id,
            "/latest/dynamic/instance-identity/document",
            Some(&token),
        )
        .await;
    let identity: Json = serde_json::from_slice(&identity.body).unwrap();
    assert_eq!(identity["instanceId"], id.as_str());
    // Another instance's token is none.
    let other = ground.running(json!({})).await;
    assert_eq!(ground.told(&other, path, Some(&token)).await.status, 401);
    assert_eq!(body(ground.told(&other, path, None).await), other);
    let off = json!({"InstanceId": other, "HttpEndpoint": "disabled"});
    ground
        .world
        .ok::<ModifyInstanceMetadataOptionsInput>(off)
        .await;
    assert_eq!(ground.told(&other, path, None).await.status, 403);
}

#[tokio::test]
async fn images_are_found_by_names_owners_and_ids() {
    let world = World::new();
    let count = |found: &Json| found["imagesSet"].as_array().unwrap().len();
    let by = |more: Json| {
        let world = &world;
        async move { world.ok::<DescribeImagesInput>(more).await }
    };
    let name = |pattern: &str| json!([{"Name": "name", "Values": [pattern]}, {"Name": "owner-alias", "Values": ["amazon"]}]);
    let found =
        by(json!({"Owners": ["amazon"], "Filters": name("amzn-ami-*-amazon-ecs-optimized")})).await;
    assert_eq!(count(&found), 1, "{found}");
    let image = &found["imagesSet"][0];
    assert_eq!(image["imageOwnerId"], "591542846629");
    assert_eq!(image["rootDeviceName"], "/dev/xvda");
    assert_eq!(image["blockDeviceMapping"][0]["ebs"]["volumeSize"], 30);
    let same = by(json!({"ImageIds": [image["imageId"]]})).await;
    assert_eq!(same["imagesSet"][0], *image);
    let old = name("al2023-ami-2023.0.20230503.0-*");
    assert_eq!(count(&by(json!({"Filters": old})).await), 0);
    assert_eq!(
        count(&by(json!({"Filters": old, "IncludeDeprecated": true})).await),
        2
    );
    assert_eq!(count(&by(json!({"Owners": ["self"]})).await), 0);
    let refused = refuses::<DescribeImagesInput>(&world, json!({"ImageIds": ["ami-0"]})).await;
    assert!(refused.starts_with("InvalidAMIID.NotFound"), "{refused}");
}

#[tokio::test]
async fn key_pairs_are_made_and_imported() {
    let ground = ground().await;
    let made = ground
        .world
        .ok::<CreateKeyPairInput>(json!({"KeyName": "mine", "KeyType": "ed25519"}))
        .await;
    assert!(text(&made["keyMaterial"]).starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
    let twice = json!({"KeyName": "mine", "KeyType": "ed25519"});
    let refused = ground.refuses::<CreateKeyPairInput>(twice).await;
    assert!(refused.starts_with("InvalidKeyPair.Duplicate"), "{refused}");
    let material = base64(include_str!("../data/key.pub"));
    let imported = ground
        .world
        .ok::<ImportKeyPairInput>(json!({"KeyName": "other", "PublicKeyMaterial": material}))
        .await;
    let expected = include_str!("../data/key.md5").trim();
    assert_eq!(imported["keyFingerprint"], expected);
    let id = ground.running(json!({"KeyName": "other"})).await;
    assert_eq!(ground.shown(&id).await["keyName"], "other");
    let below = format!("upper/var/lib/cloud/instances/{id}/authorized_keys");
    let key = ground
        .world
        .sim
        .workspaces
        .text(&format!("ec2-{id}"), &below)
        .unwrap();
    assert!(
        key.starts_with("ssh-rsa ") && key.ends_with(" other\n"),
        "{key}"
    );
    ground
        .world
        .ok::<DeleteKeyPairInput>(json!({"KeyName": "other"}))
        .await;
    let left = ground.world.ok::<DescribeKeyPairsInput>(json!({})).await;
    assert_eq!(texts(&left["keySet"], "keyName"), ["mine"]);
}
