//! Tasks in the docker bridge of their instance, and volumes that are on it, over a simulated machine.

use engine::{MountSpec, PublishedProtocol};
use shapes::ecs::*;

use crate::container_instances::{join, own_definition, run_here, serve_here};
use crate::support::*;

/// A second container of the definition, like the first but without ports.
fn beside(input: &mut RegisterTaskDefinitionInput, name: &str) {
    let first = input.container_definitions[0].clone();
    input.container_definitions.push(ContainerDefinition {
        name: Some(name.into()),
        port_mappings: None,
        memory: Some(100),
        ..first
    });
}

fn id_of(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap()
}

async fn run_one(world: &World) -> String {
    let task = world.call(run_here()).await.tasks.unwrap().remove(0);
    let arn = task.task_arn.unwrap();
    world.task_until(&arn, "RUNNING").await;
    arn
}

async fn stop(world: &World, arn: &str) {
    let stop = StopTaskInput {
        task: arn.into(),
        ..Default::default()
    };
    world.call(stop).await;
    world.task_until(arn, "STOPPED").await;
}

#[tokio::test(start_paused = true)]
async fn each_container_is_in_the_bridge_and_ports_of_its_instance_lead_there() {
    let world = World::new().await;
    let mut input = own_definition(None);
    input.container_definitions[0].cpu = Some(1);
    input.container_definitions[0].memory = Some(300);
    beside(&mut input, "db");
    input.container_definitions[1].environment = Some(vec![KeyValuePair {
        name: Some("FOO".into()),
        value: Some("1".into()),
    }]);
    input.container_definitions[1].port_mappings = Some(vec![PortMapping {
        container_port: Some(5432),
        ..Default::default()
    }]);
    let main = &mut input.container_definitions[0];
    main.links = Some(vec!["db:database".into()]);
    main.extra_hosts = Some(vec![HostEntry {
        hostname: "other".into(),
        ip_address: "192.0.2.1".into(),
    }]);
    main.dns_servers = Some(vec!["192.0.2.53".into()]);
    world.call(input).await;
    join(&world, 1).await;

    let first = run_one(&world).await;
    let shown = world.task_until(&first, "RUNNING").await;
    let containers = shown.containers.unwrap();
    let binding = |at: usize| containers[at].network_bindings.clone().unwrap().remove(0);
    let (web, db) = (binding(0), binding(1));
    assert_eq!((web.container_port, web.host_port), (Some(80), Some(32768)));
    assert_eq!((db.container_port, db.host_port), (Some(5432), Some(32769)));
    assert_eq!(web.bind_ip.as_deref(), Some("0.0.0.0"));
    assert_eq!(shown.attachments.unwrap(), []);

    let spec = world.sim.tasks.spec(id_of(&first)).unwrap();
    let own: Vec<_> = (spec.containers.iter())
        .map(|it| it.own_network.clone().unwrap())
        .collect();
    let interfaces = world.sim.network.interfaces.lock().unwrap().clone();
    let places: Vec<_> = own.iter().map(|it| &interfaces[&it.interface]).collect();
    assert_eq!(places[0].address.to_string(), "172.17.0.2");
    assert_eq!(places[1].address.to_string(), "172.17.0.3");
    let port = places[0].published[0];
    assert_eq!(port.protocol, PublishedProtocol::Tcp);
    assert_eq!((port.host_port, port.port), (32768, 80));
    let vpcs = world.sim.network.vpcs.lock().unwrap().clone();
    let bridge = &vpcs[&places[0].vpc];
    assert_eq!(bridge.behind.as_deref(), Some("eni-machine-1"));
    // What they find: their neighbours by their links, and their own door.
    let has = |address: &str, name: &str| {
        let line = (address.to_owned(), name.to_owned());
        assert!(own[0].hosts.contains(&line), "{:?}", own[0].hosts);
    };
    has("172.17.0.2", &own[0].hostname);
    has("172.17.0.3", "database");
    has("172.17.0.3", "db");
    has("192.0.2.1", "other");
    assert_eq!(own[0].dns, ["192.0.2.53"]);
    assert_eq!(own[1].hosts.len(), 1);
    let env = &spec.containers[0].env;
    for expected in [
        "DATABASE_PORT=tcp://172.17.0.3:5432",
        "DATABASE_ENV_FOO=1",
        "DATABASE_NAME=/main/database",
        &format!("HOSTNAME={}", own[0].hostname),
    ] {
        let name = spec.containers[0].name.clone();
        let expected = expected.replace("/main/", &format!("/{name}/"));
        assert!(env.contains(&expected), "{expected}: {env:?}");
    }
    let waits = &spec.containers[0].depends_on;
    assert_eq!(waits[0], ("db".to_owned(), engine::DependsOn::Start));
    let doors = world.sim.inside.open_doors();
    assert!(own.iter().all(|it| doors.contains(&it.interface)));

    // Another finds other ports and addresses, and each takes its own away with it.
    let second = run_one(&world).await;
    let other = world.sim.tasks.spec(id_of(&second)).unwrap();
    let place = other.containers[0].own_network.clone().unwrap();
    let interfaces = world.sim.network.interfaces.lock().unwrap().clone();
    let place = &interfaces[&place.interface];
    assert_eq!(place.address.to_string(), "172.17.0.4");
    assert_eq!(place.published[0].host_port, 32770);
    stop(&world, &first).await;
    stop(&world, &second).await;
    let left = world.sim.network.interfaces.lock().unwrap().len();
    assert_eq!(left, 1, "the instance's own");
}

#[tokio::test(start_paused = true)]
async fn a_service_in_bridges_has_targets_that_are_instances_with_ports() {
    let world = World::new().await;
    let mut input = own_definition(Some(NetworkMode::Bridge));
    input.container_definitions[0].memory = Some(300);
    world.call(input).await;
    join(&world, 1).await;
    let mut balancers = balanced("web", "web", 1).load_balancers.unwrap();
    balancers[0].target_group_arn = Some(GROUP.replace("/1", "/2"));
    let service = CreateServiceInput {
        load_balancers: Some(balancers),
        ..serve_here(2)
    };
    world.call(service).await;
    world.service_until("web", is_steady).await;
    let targets = world.targets();
    let mut found: Vec<_> = targets.iter().map(|it| (&*it.address, it.port)).collect();
    found.sort();
    assert_eq!(found, [("i-1", 32768), ("i-1", 32769)]);
}

#[tokio::test(start_paused = true)]
async fn a_task_without_a_network_is_alone() {
    let world = World::new().await;
    let mut input = own_definition(Some(NetworkMode::None));
    input.container_definitions[0].port_mappings = None;
    world.call(input).await;
    join(&world, 1).await;
    let task = run_one(&world).await;
    // Not the machine's: a namespace of its own, with nothing in it.
    let spec = world.sim.tasks.spec(id_of(&task)).unwrap();
    assert_eq!(spec.interface.as_deref(), Some(id_of(&task)));
    let there = |id: &str| world.sim.network.namespaces.lock().unwrap().contains(id);
    assert!(there(id_of(&task)));
    stop(&world, &task).await;
    assert!(!there(id_of(&task)));
}

#[tokio::test(start_paused = true)]
async fn volumes_are_the_task_s_own_or_on_its_instance() {
    let world = World::new().await;
    let mut input = own_definition(None);
    input.container_definitions[0].memory = Some(300);
    beside(&mut input, "side");
    let volume = |name: &str| Volume {
        name: Some(name.into()),
        ..Default::default()
    };
    let docker = |scope| DockerVolumeConfiguration {
        scope: Some(scope),
        autoprovision: (scope == Scope::Shared).then_some(true),
        driver: Some("local".into()),
        ..Default::default()
    };
    input.volumes = Some(vec![
        Volume {
            host: Some(HostVolumeProperties {
                source_path: Some("/srv/data".into()),
            }),
            ..volume("host")
        },
        Volume {
            docker_volume_configuration: Some(docker(Scope::Shared)),
            ..volume("shared")
        },
        Volume {
            docker_volume_configuration: Some(docker(Scope::Task)),
            ..volume("own")
        },
        volume("empty"),
    ]);
    let mount = |volume: &str, path: &str| MountPoint {
        source_volume: Some(volume.into()),
        container_path: Some(path.into()),
        read_only: None,
    };
    input.container_definitions[0].mount_points =
        Some(vec![mount("host", "/data"), mount("shared", "/shared")]);
    let first = input.container_definitions[0].name.clone();
    let side = &mut input.container_definitions[1];
    side.mount_points = Some(vec![mount("own", "/shared")]);
    side.volumes_from = Some(vec![VolumeFrom {
        source_container: first,
        read_only: Some(true),
    }]);
    world.call(input).await;
    join(&world, 1).await;
    let task = run_one(&world).await;
    let spec = world.sim.tasks.spec(id_of(&task)).unwrap();
    let places: Vec<_> = (spec.volumes.iter())
        .map(|it| {
            (
                &*it.name,
                it.host_path.as_ref().map(|it| it.to_str().unwrap()),
            )
        })
        .collect();
    let docker = "/var/lib/docker/volumes/shared/_data";
    let expected = [
        ("host", Some("/srv/data")),
        ("shared", Some(docker)),
        ("own", None),
        ("empty", None),
    ];
    assert_eq!(places, expected);
    // On the instance, never on the machine.
    assert!(
        spec.volumes
            .iter()
            .all(|it| it.of_outer == it.host_path.is_some())
    );
    assert_eq!(spec.within.as_deref(), Some("i-1"));
    let seen = |it: &MountSpec| (it.volume.clone(), it.read_only);
    let side: Vec<_> = spec.containers[1].mounts.iter().map(seen).collect();
    assert_eq!(side, [("own".into(), false), ("host".into(), true)]);
}

#[tokio::test(start_paused = true)]
async fn what_a_bridge_or_a_volume_cannot_be_is_refused() {
    let world = World::new().await;
    type Change = fn(&mut RegisterTaskDefinitionInput);
    fn docker(input: &mut RegisterTaskDefinitionInput, it: DockerVolumeConfiguration) {
        input.volumes = Some(vec![Volume {
            name: Some("data".into()),
            docker_volume_configuration: Some(it),
            ..Default::default()
        }]);
    }
    fn source(input: &mut RegisterTaskDefinitionInput, path: &str) {
        input.volumes = Some(vec![Volume {
            name: Some("data".into()),
            host: Some(HostVolumeProperties {
                source_path: Some(path.into()),
            }),
            ..Default::default()
        }]);
    }
    let cases: [(Change, &str); 11] = [
        (
            |it| it.container_definitions[0].links = Some(vec!["db".into()]),
            "Unknown container 'db' in links.",
        ),
        (
            |it| {
                it.container_definitions[0].links =
                    it.container_definitions[0].name.clone().map(|it| vec![it])
            },
            "must not form a circle",
        ),
        (
            |it| it.container_definitions[0].links = Some(vec!["a\nb".into()]),
            "Invalid 'links' setting",
        ),
        (
            |it| it.container_definitions[0].hostname = Some("a b".into()),
            "Invalid 'hostname' setting",
        ),
        (
            |it| {
                it.container_definitions[0].extra_hosts = Some(vec![HostEntry {
                    hostname: "x".into(),
                    ip_address: "here".into(),
                }]);
            },
            "Invalid 'extraHosts' setting",
        ),
        (
            |it| {
                it.network_mode = Some(NetworkMode::Host);
                it.container_definitions[0].port_mappings = None;
                it.container_definitions[0].links = Some(vec!["db".into()]);
            },
            "Links are not supported on container when networkMode=host.",
        ),
        (
            |it| {
                it.container_definitions[0].volumes_from = Some(vec![VolumeFrom {
                    source_container: Some("db".into()),
                    read_only: None,
                }]);
            },
            "there is no other container 'db'",
        ),
        (|it| source(it, "data"), "must be an absolute path"),
        (
            |it| source(it, "/var/run/docker.sock"),
            "/var/run/docker.sock",
        ),
        (
            |it| {
                docker(
                    it,
                    DockerVolumeConfiguration {
                        driver: Some("rexray/ebs".into()),
                        ..Default::default()
                    },
                );
            },
            "dockerVolumeConfiguration.driver rexray/ebs",
        ),
        (
            |it| {
                docker(
                    it,
                    DockerVolumeConfiguration {
                        driver_opts: Some([("type".to_owned(), "nfs".to_owned())].into()),
                        ..Default::default()
                    },
                );
            },
            "dockerVolumeConfiguration.driverOpts type",
        ),
    ];
    for (change, expected) in cases {
        let mut input = own_definition(None);
        change(&mut input);
        let found = world.err(input).await.message;
        assert!(found.contains(expected), "{found}");
    }
    let mut on_fargate = definition(IMAGE);
    docker(&mut on_fargate, DockerVolumeConfiguration::default());
    let found = world.err(on_fargate).await.message;
    assert!(
        found.contains("do not support dockerVolumeConfiguration"),
        "{found}"
    );
}
