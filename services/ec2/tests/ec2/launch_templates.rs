//! Launch templates: their versions, what each holds, and what is refused.

use cloud::Stability;
use serde_json::{Value as Json, json};
use shapes::ec2::*;

use crate::world::{World, text};

fn data() -> Json {
    json!({
        "ImageId": "ami-1",
        "InstanceType": "t3.micro",
        "UserData": "IyEvYmluL3NoCg==",
        "SecurityGroupIds": ["sg-1"],
        "Monitoring": {"Enabled": true},
        "BlockDeviceMappings": [
            {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30, "VolumeType": "gp3", "Encrypted": false}},
        ],
        "NetworkInterfaces": [{"DeviceIndex": 0, "AssociatePublicIpAddress": true, "Groups": ["sg-2"]}],
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 2},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}],
        "IamInstanceProfile": {"Name": "web"},
        "Placement": {"Tenancy": "default"},
    })
}

async fn make(world: &World) -> String {
    let input = json!({"LaunchTemplateName": "web", "ClientToken": "one", "VersionDescription": "first",
        "LaunchTemplateData": data(),
        "TagSpecifications": [{"ResourceType": "launch-template", "Tags": [{"Key": "team", "Value": "a"}]}]});
    let made = (world.ok::<CreateLaunchTemplateInput>(input.clone())).await;
    let again = world.ok::<CreateLaunchTemplateInput>(input).await;
    assert_eq!(made, again);
    text(&made["launchTemplate"]["launchTemplateId"])
}

async fn versions(world: &World, input: Json) -> Vec<i64> {
    let found = (world.ok::<DescribeLaunchTemplateVersionsInput>(input)).await;
    let found = found["launchTemplateVersionSet"].as_array().unwrap();
    let number = |it: &Json| it["versionNumber"].as_i64().unwrap();
    found.iter().map(number).collect()
}

#[tokio::test]
async fn a_version_shows_what_it_was_made_of() {
    let world = World::unmoving();
    let id = make(&world).await;
    let input = json!({"LaunchTemplateId": id, "Versions": ["$Latest"]});
    let found = (world.ok::<DescribeLaunchTemplateVersionsInput>(input)).await;
    let version = &found["launchTemplateVersionSet"][0];
    assert_eq!(version["versionDescription"], "first");
    assert_eq!(version["defaultVersion"], true);
    assert_eq!(
        version["launchTemplateData"],
        json!({
            "imageId": "ami-1",
            "instanceType": "t3.micro",
            "userData": "IyEvYmluL3NoCg==",
            "securityGroupIdSet": ["sg-1"],
            "monitoring": {"enabled": true},
            "blockDeviceMappingSet": [
                {"deviceName": "/dev/xvda", "ebs": {"volumeSize": 30, "volumeType": "gp3", "encrypted": false}},
            ],
            "networkInterfaceSet": [{"deviceIndex": 0, "associatePublicIpAddress": true, "groupSet": ["sg-2"]}],
            "metadataOptions": {"httpTokens": "required", "httpEndpoint": "enabled", "httpPutResponseHopLimit": 2},
            "tagSpecificationSet": [{"resourceType": "instance", "tagSet": [{"key": "Name", "value": "web"}]}],
            "iamInstanceProfile": {"name": "web"},
            "placement": {"tenancy": "default"},
        })
    );
    let found = (world.ok::<DescribeLaunchTemplatesInput>(
        json!({"Filters": [{"Name": "tag:team", "Values": ["a"]}]}),
    ))
    .await;
    let found = &found["launchTemplates"][0];
    assert_eq!(found["latestVersionNumber"], 1);
    assert_eq!(found["createdBy"], "arn:aws:iam::000000000000:root");
}

#[tokio::test]
async fn versions_are_counted_up_and_one_is_the_default() {
    let world = World::unmoving();
    let id = make(&world).await;
    for (source, more) in [
        (Some("1"), json!({"InstanceType": "t3.large"})),
        (None, json!({"ImageId": "ami-2"})),
    ] {
        let mut input = json!({"LaunchTemplateName": "web", "LaunchTemplateData": more});
        if let Some(source) = source {
            input["SourceVersion"] = source.into();
        }
        world.ok::<CreateLaunchTemplateVersionInput>(input).await;
    }
    assert_eq!(
        versions(&world, json!({"LaunchTemplateId": id})).await,
        [3, 2, 1]
    );
    let some = json!({"LaunchTemplateId": id, "MinVersion": "2", "MaxVersion": "$Latest"});
    assert_eq!(versions(&world, some).await, [3, 2]);
    assert_eq!(
        versions(&world, json!({"Versions": ["$Default"]})).await,
        [1]
    );
    let input = json!({"LaunchTemplateId": id, "Versions": ["2"]});
    let second = (world.ok::<DescribeLaunchTemplateVersionsInput>(input)).await;
    let second = &second["launchTemplateVersionSet"][0]["launchTemplateData"];
    assert_eq!(
        (&second["instanceType"], &second["imageId"]),
        (&json!("t3.large"), &json!("ami-1"))
    );
    world
        .ok::<ModifyLaunchTemplateInput>(json!({"LaunchTemplateId": id, "DefaultVersion": "2"}))
        .await;
    let gone = world
        .ok::<DeleteLaunchTemplateVersionsInput>(
            json!({"LaunchTemplateId": id, "Versions": ["1", "2", "3", "9"]}),
        )
        .await;
    let numbers = |list: &Json| -> Vec<Json> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|it| it["versionNumber"].clone())
            .collect()
    };
    assert_eq!(
        numbers(&gone["successfullyDeletedLaunchTemplateVersionSet"]),
        [1, 3]
    );
    assert_eq!(
        numbers(&gone["unsuccessfullyDeletedLaunchTemplateVersionSet"]),
        [2, 9]
    );
    assert_eq!(
        versions(&world, json!({"Versions": ["$Latest"]})).await,
        [2]
    );
    // No number is given twice.
    let next = world
        .ok::<CreateLaunchTemplateVersionInput>(
            json!({"LaunchTemplateId": id, "LaunchTemplateData": data()}),
        )
        .await;
    assert_eq!(next["launchTemplateVersion"]["versionNumber"], 4);
    world
        .ok::<DeleteLaunchTemplateInput>(json!({"LaunchTemplateName": "web"}))
        .await;
    assert_eq!(
        versions(&world, json!({"Versions": ["$Latest"]})).await,
        [0; 0]
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let world = World::unmoving();
    let id = make(&world).await;
    let new =
        |name: &str, data: Json| json!({"LaunchTemplateName": name, "LaunchTemplateData": data});
    for (input, code, message) in [
        (
            new("web", data()),
            "InvalidLaunchTemplateName.AlreadyExistsException",
            "Launch template name already in use.",
        ),
        (
            new("x", data()),
            "InvalidLaunchTemplateName.MalformedException",
            "A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the following characters: - ( ) . / _.",
        ),
        (
            new("other", json!({})),
            "MissingParameter",
            "The request must contain the parameter LaunchTemplateData",
        ),
        (
            new("other", json!({"UserData": "#!"})),
            "InvalidUserData.Malformed",
            "Invalid BASE64 encoding of user data.",
        ),
        (
            new(
                "other",
                json!({"TagSpecifications": [{"ResourceType": "vpc"}]}),
            ),
            "InvalidParameterValue",
            "'vpc' is not a valid taggable resource type for this operation.",
        ),
    ] {
        world
            .refused::<CreateLaunchTemplateInput>(input, code, message)
            .await;
    }
    let spot = new(
        "other",
        json!({"InstanceMarketOptions": {"MarketType": "spot"}}),
    );
    let (code, message) = world
        .ask::<CreateLaunchTemplateInput>(spot)
        .await
        .unwrap_err();
    assert_eq!(code, "UnsupportedOperation");
    assert!(message.contains("InstanceMarketOptions"), "{message}");
    for (input, code, message) in [
        (
            json!({"LaunchTemplateId": "lt-0", "Versions": ["1"]}),
            "InvalidLaunchTemplateId.NotFound",
            "The specified launch template, with template ID lt-0, does not exist.".to_owned(),
        ),
        (
            json!({"LaunchTemplateName": "none"}),
            "InvalidLaunchTemplateName.NotFoundException",
            "The specified launch template, with template name none, does not exist.".to_owned(),
        ),
        (
            json!({"LaunchTemplateId": id, "Versions": ["7"]}),
            "InvalidLaunchTemplateId.VersionNotFound",
            format!("Could not find the specified version 7 for the launch template with ID {id}."),
        ),
    ] {
        world
            .refused::<DescribeLaunchTemplateVersionsInput>(input, code, &message)
            .await;
    }
}

#[tokio::test]
async fn stacks_make_versions_of_changes() {
    let world = World::unmoving();
    let kind = world
        .cloud
        .resource_type("AWS::EC2::LaunchTemplate")
        .unwrap();
    let mut request = testkit::request("web", "Template", json!({"LaunchTemplateData": data()}));
    let made = kind.create(&world.cx, &request).await.unwrap().physical_id;
    assert_eq!(
        kind.create(&world.cx, &request).await.unwrap().physical_id,
        made
    );
    assert_eq!(
        kind.stability(&world.cx, &made).await,
        Ok(Stability::Stable)
    );
    request.token.push('2');
    request.properties = json!({"LaunchTemplateData": {"ImageId": "ami-9"}});
    for _ in 0..2 {
        kind.update(&world.cx, &made, &json!({}), &request)
            .await
            .unwrap();
    }
    for (name, value) in [
        ("LatestVersionNumber", "2"),
        ("DefaultVersionNumber", "1"),
        ("LaunchTemplateId", &*made),
    ] {
        assert_eq!(
            kind.attribute(&world.cx, &made, name).await.unwrap(),
            value,
            "{name}"
        );
    }
    let spot = json!({"LaunchTemplateData": {"InstanceMarketOptions": {"MarketType": "spot"}}});
    assert!(
        kind.refuse(&spot)
            .unwrap_err()
            .contains("InstanceMarketOptions")
    );
    for _ in 0..2 {
        kind.delete(&world.cx, &made, &json!({})).await.unwrap();
    }
}
