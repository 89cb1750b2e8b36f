//! Task definitions and tasks, over a simulated machine.

use crate::support::*;
use shapes::ecs::*;

/// Ids of tasks are in ARNs, events and names of log streams, and tasks in mode `host` share an interface.
#[tokio::test(start_paused = true)]
async fn a_tasks_id_does_not_lead_to_its_credentials() {
    let world = World::new().await;
    let with_role = RegisterTaskDefinitionInput {
        task_role_arn: Some("execution".into()),
        ..definition(IMAGE)
    };
    world.call(with_role).await;
    let task = world.call(run("web")).await.tasks.unwrap().remove(0);
    let task = task.task_arn.unwrap();
    world.task_until(&task, "RUNNING").await;
    let id = task.rsplit('/').next().unwrap();
    let spec = world.sim.tasks.spec(id).unwrap();
    let interface = spec.interface.as_deref().unwrap();
    let path = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/";
    let mut told = spec.containers[0].env.iter();
    let own = told.find_map(|it| it.strip_prefix(path)).unwrap();
    let other = format!("{id}-{}", "0".repeat(32));
    for guessed in [id, other.as_str()] {
        let found = ecs::credentials(&world.cloud, guessed, interface).await;
        assert!(found.unwrap().is_none(), "{guessed}");
    }
    // The role is taken on by an operation of STS's, which is not served here.
    let found = ecs::credentials(&world.cloud, own, interface).await;
    assert_eq!(found.unwrap_err().status, 501);
}

/// Permission is decided on the cluster that an ARN names, so the cluster has to be the task's.
#[tokio::test(start_paused = true)]
async fn a_task_is_tagged_in_its_own_cluster() {
    let world = World::new().await;
    world.register(IMAGE).await;
    let started = world.call(run("web")).await.tasks.unwrap().remove(0);
    let arn = started.task_arn.unwrap();
    let id = arn.rsplit('/').next().unwrap();
    let (head, _) = arn.split_once(":task/").unwrap();
    let tagged = |arn: &str| TagResourceInput {
        resource_arn: arn.to_owned(),
        tags: vec![Tag {
            key: Some("team".into()),
            value: Some("dev".into()),
        }],
    };
    let refused = world.err(tagged(&format!("{head}:task/other/{id}"))).await;
    assert_eq!(refused.code, "ResourceNotFoundException");
    world.call(tagged(&arn)).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_and_is_stopped_and_leaves_nothing_but_its_record() {
    let world = World::new().await;
    let definition = world.register(IMAGE).await;
    assert!(definition.ends_with("task-definition/web:1"));
    let started = world.call(run("web")).await.tasks.unwrap().remove(0);
    assert_eq!(started.last_status.as_deref(), Some("PROVISIONING"));
    let arn = started.task_arn.unwrap();

    let task = world.task_until(&arn, "RUNNING").await;
    assert_eq!(task.group.as_deref(), Some("family:web"));
    assert_eq!(task.availability_zone.as_deref(), Some("us-east-1a"));
    let attachment = &task.attachments.as_ref().unwrap()[0];
    assert_eq!(attachment.status.as_deref(), Some("ATTACHED"));
    let container = &task.containers.as_ref().unwrap()[0];
    assert_eq!(container.last_status.as_deref(), Some("RUNNING"));
    assert!(
        container
            .image_digest
            .as_ref()
            .unwrap()
            .starts_with("sha256:")
    );
    let id = arn.rsplit('/').next().unwrap();
    let spec = world.sim.tasks.spec(id).unwrap();
    assert_eq!((spec.cpu_units, spec.memory_mib), (Some(256), Some(512)));
    assert_eq!(spec.containers[0].argv, ["/bin/app"]);

    let stop = StopTaskInput {
        task: arn.clone(),
        reason: Some("enough".into()),
        ..Default::default()
    };
    world.call(stop).await;
    let task = world.task_until(&arn, "STOPPED").await;
    assert_eq!(task.stop_code, Some(TaskStopCode::UserInitiated));
    assert_eq!(task.stopped_reason.as_deref(), Some("enough"));
    assert_eq!(task.containers.unwrap()[0].exit_code, Some(0));
    let stopped = ListTasksInput {
        desired_status: Some(DesiredStatus::Stopped),
        ..Default::default()
    };
    assert_eq!(world.call(stopped).await.task_arns.unwrap(), [arn]);
    assert!(
        world
            .call(ListTasksInput::default())
            .await
            .task_arns
            .unwrap()
            .is_empty()
    );
    world.assert_clean();
}

#[tokio::test(start_paused = true)]
async fn a_task_whose_container_exits_says_so() {
    let world = World::new().await;
    world.register(IMAGE).await;
    let arn = world
        .call(run("web"))
        .await
        .tasks
        .unwrap()
        .remove(0)
        .task_arn
        .unwrap();
    world.task_until(&arn, "RUNNING").await;
    world
        .sim
        .tasks
        .exit(arn.rsplit('/').next().unwrap(), "web", 3);
    let task = world.task_until(&arn, "STOPPED").await;
    assert_eq!(task.stop_code, Some(TaskStopCode::EssentialContainerExited));
    assert_eq!(
        task.stopped_reason.as_deref(),
        Some("Essential container in task exited")
    );
    assert_eq!(task.containers.unwrap()[0].exit_code, Some(3));
    world.assert_clean();
}

async fn stopped_reason(world: &World, input: RunTaskInput) -> String {
    let arn = world
        .call(input)
        .await
        .tasks
        .unwrap()
        .remove(0)
        .task_arn
        .unwrap();
    let task = world.task_until(&arn, "STOPPED").await;
    assert_eq!(task.stop_code, Some(TaskStopCode::TaskFailedToStart));
    world.assert_clean();
    task.stopped_reason.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_cannot_start_says_why_and_is_never_running() {
    let world = World::new().await;
    world
        .register("000000000000.dkr.ecr.us-east-1.amazonaws.com/web:nope")
        .await;
    let reason = stopped_reason(&world, run("web")).await;
    assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
    assert!(reason.ends_with("web:nope: not found"), "{reason}");

    world.register(IMAGE).await;
    let no_route = RunTaskInput {
        network_configuration: Some(network("subnet-in")),
        ..run("web")
    };
    let reason = stopped_reason(&world, no_route).await;
    assert!(
        reason.starts_with("ResourceInitializationError: unable to pull"),
        "{reason}"
    );

    let mut logged = definition(IMAGE);
    let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    logged.container_definitions[0].log_configuration = Some(LogConfiguration {
        log_driver: LogDriver::Awslogs,
        options: Some(
            [
                option("awslogs-group", "/nope"),
                option("awslogs-region", "us-east-1"),
                option("awslogs-stream-prefix", "app"),
            ]
            .into(),
        ),
    });
    world.call(logged).await;
    let reason = stopped_reason(&world, run("web")).await;
    assert!(
        reason.contains("The specified log group does not exist."),
        "{reason}"
    );

    world.register(IMAGE).await;
    *world.sim.tasks.broken.lock().unwrap() = Some("no such file: /bin/app".into());
    let reason = stopped_reason(&world, run("web")).await;
    assert!(reason.contains("no such file: /bin/app"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn output_goes_to_a_stream_named_after_the_task() {
    let world = World::new().await;
    let mut logged = definition(IMAGE);
    let options = [
        ("awslogs-group", "/web"),
        ("awslogs-region", "us-east-1"),
        ("awslogs-stream-prefix", "app"),
    ];
    logged.container_definitions[0].log_configuration = Some(LogConfiguration {
        log_driver: LogDriver::Awslogs,
        options: Some(
            options
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        ),
    });
    world.call(logged).await;
    let arn = world
        .call(run("web"))
        .await
        .tasks
        .unwrap()
        .remove(0)
        .task_arn
        .unwrap();
    world.task_until(&arn, "RUNNING").await;
    let id = arn.rsplit('/').next().unwrap();
    let streams = world
        .cx
        .engine()
        .logs
        .streams("us-east-1//web")
        .await
        .unwrap();
    assert_eq!(streams[0].name, format!("app/web/{id}"));
    assert!(
        world.sim.tasks.spec(id).unwrap().containers[0]
            .log_file
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_s_disk_has_20_gib_or_what_is_asked_for() {
    let world = World::new().await;
    let of_gib = |size_in_gi_b| Some(EphemeralStorage { size_in_gi_b });
    for (gib, said) in [
        (20, "at least 21"),
        (201, "at most 200"),
        (-1, "at least 21"),
    ] {
        let wrong = RegisterTaskDefinitionInput {
            ephemeral_storage: of_gib(gib),
            ..definition(IMAGE)
        };
        let error = world.err(wrong).await;
        assert_eq!(error.code, "ClientException");
        assert!(error.message.contains(said), "{error}");
    }
    let large = RegisterTaskDefinitionInput {
        family: "large".into(),
        ephemeral_storage: of_gib(30),
        ..definition(IMAGE)
    };
    world.call(large).await;
    world.register(IMAGE).await;
    let mut larger = run("large");
    larger.overrides = Some(TaskOverride {
        ephemeral_storage: of_gib(40),
        ..TaskOverride::default()
    });
    let mut wrong = run("large");
    wrong.overrides = Some(TaskOverride {
        ephemeral_storage: of_gib(1),
        ..TaskOverride::default()
    });
    assert!(world.err(wrong).await.message.contains("at least 21"));
    for (wanted, gib, asked_for) in [
        (run("web"), 20, false),
        (run("large"), 30, true),
        (larger, 40, true),
    ] {
        let arn = world
            .call(wanted)
            .await
            .tasks
            .unwrap()
            .remove(0)
            .task_arn
            .unwrap();
        let task = world.task_until(&arn, "RUNNING").await;
        assert_eq!(task.ephemeral_storage, of_gib(gib));
        let id = arn.rsplit('/').next().unwrap();
        let disk = world.sim.tasks.spec(id).unwrap().disk.unwrap();
        assert_eq!(
            (disk.bytes, disk.asked_for),
            ((gib as u64) << 30, asked_for)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_make_no_sense_are_refused_in_awss_words() {
    let world = World::new().await;
    let wrong = RegisterTaskDefinitionInput {
        memory: Some("9999".into()),
        ..definition(IMAGE)
    };
    let error = world.err(wrong).await;
    assert_eq!(
        (error.code, error.message.as_str()),
        (
            "ClientException",
            "No Fargate configuration exists for given values."
        )
    );
    let mut files = wire::to_json(&definition(IMAGE));
    files["containerDefinitions"][0]["environmentFiles"] = serde_json::json!([{"type": "s3"}]);
    let error = wire::lenient::<RegisterTaskDefinitionInput>(files).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`containerDefinitions[0].environmentFiles` is not supported by neargate"
    );
    let mut secret = definition("example.com/web:1");
    secret.execution_role_arn = None;
    secret.container_definitions[0].secrets = Some(vec![Secret {
        name: "KEY".into(),
        value_from: "/web/key".into(),
    }]);
    let error = world.err(secret).await;
    assert!(error.message.contains("'executionRoleArn'"), "{error}");
    let bridge = RegisterTaskDefinitionInput {
        network_mode: Some(NetworkMode::Bridge),
        requires_compatibilities: None,
        ..definition(IMAGE)
    };
    // Without an instance, there is no bridge.
    world.call(bridge).await;
    let in_bridge = RunTaskInput {
        launch_type: None,
        network_configuration: None,
        ..run("web")
    };
    let error = world.err(in_bridge).await;
    assert!(error.message.contains("No Container Instances"), "{error}");

    world.register(IMAGE).await;
    assert_eq!(
        world.err(run("nope")).await.message,
        "TaskDefinition not found."
    );
    let elsewhere = RunTaskInput {
        cluster: Some("nope".into()),
        ..run("web")
    };
    assert_eq!(world.err(elsewhere).await.code, "ClusterNotFoundException");
    let no_subnet = RunTaskInput {
        network_configuration: Some(network("subnet-x")),
        ..run("web")
    };
    let error = world.err(no_subnet).await;
    assert_eq!(error.code, "InvalidParameterException");
    assert!(
        error
            .message
            .contains("The subnet ID 'subnet-x' does not exist"),
        "{error}"
    );
    let ec2 = RunTaskInput {
        launch_type: Some(LaunchType::Ec2),
        ..run("web")
    };
    assert_eq!(
        world.err(ec2).await.message,
        "No Container Instances were found in your cluster."
    );
    let no_network = RunTaskInput {
        network_configuration: None,
        ..run("web")
    };
    assert!(
        world
            .err(no_network)
            .await
            .message
            .contains("Network Configuration must be provided")
    );

    let stranger = RegisterTaskDefinitionInput {
        family: "stranger".into(),
        task_role_arn: Some("arn:aws:iam::000000000000:role/path/nobody".into()),
        ..definition(IMAGE)
    };
    world.call(stranger).await;
    let error = world.err(run("stranger")).await;
    assert!(
        error
            .message
            .starts_with("ECS was unable to assume the role 'arn:"),
        "{error}"
    );
    // Registering asks for no role, as on AWS; one with another path is not the one of the same name.
    let roles = |task: &str, execution: &str| TaskOverride {
        task_role_arn: Some(task.into()),
        execution_role_arn: Some(execution.into()),
        ..Default::default()
    };
    let deep = "arn:aws:iam::000000000000:role/path/deep";
    for (task, execution, is_there) in [
        ("deep", "execution", true),
        (deep, deep, true),
        ("arn:aws:iam::000000000000:role/deep", "execution", false),
        (
            "arn:aws:iam::000000000000:role/other/deep",
            "execution",
            false,
        ),
        (
            "arn:aws:iam::111111111111:role/path/deep",
            "execution",
            false,
        ),
        ("other/deep", "execution", false),
        (deep, "arn:aws:iam::000000000000:role/path/execution", false),
    ] {
        let with_roles = RegisterTaskDefinitionInput {
            family: "with-roles".into(),
            task_role_arn: Some(task.into()),
            execution_role_arn: Some(execution.into()),
            ..definition(IMAGE)
        };
        world.call(with_roles).await;
        let overridden = RunTaskInput {
            overrides: Some(roles(task, execution)),
            ..run("web")
        };
        for asked in [run("with-roles"), overridden] {
            let outcome = world.cx.call(asked).await;
            let refused = outcome.is_err_and(|it| it.message.contains("unable to assume the role"));
            assert_eq!(refused, !is_there, "{task} {execution}");
        }
    }
    let old = DeregisterTaskDefinitionInput {
        task_definition: "web:1".into(),
    };
    world.call(old).await;
    assert_eq!(
        world.err(run("web:1")).await.message,
        "TaskDefinition is inactive"
    );
}

#[tokio::test(start_paused = true)]
async fn the_same_client_token_runs_one_task() {
    let world = World::new().await;
    world.register(IMAGE).await;
    let input = RunTaskInput {
        client_token: Some("once".into()),
        ..run("web")
    };
    let first = world
        .call(input.clone())
        .await
        .tasks
        .unwrap()
        .remove(0)
        .task_arn;
    let second = world.call(input).await.tasks.unwrap().remove(0).task_arn;
    assert_eq!(first, second);
    assert_eq!(
        world
            .call(ListTasksInput::default())
            .await
            .task_arns
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_route_that_is_being_put_in_force_is_waited_for() {
    let world = World::new().await;
    world.register(IMAGE).await;
    let input = RunTaskInput {
        network_configuration: Some(network("subnet-in")),
        ..run("web")
    };
    let arn = world
        .call(input)
        .await
        .tasks
        .unwrap()
        .remove(0)
        .task_arn
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(
        world.task(&arn).await.last_status.as_deref(),
        Some("PENDING")
    );
    {
        let mut vpcs = world.sim.network.vpcs.lock().unwrap();
        for subnet in &mut vpcs.get_mut("vpc-1").unwrap().subnets {
            subnet.route_table = "rtb-out".into();
        }
    }
    world.task_until(&arn, "RUNNING").await;
}
