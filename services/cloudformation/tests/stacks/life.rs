//! Creating, showing and deleting.

use serde_json::json;
use shapes::cloudformation as api;

use crate::bench::{Bench, create, parameters};

pub const WEB: &str = "
Description: A website.
Parameters: {Size: {Type: Number, Default: 2}, Word: {Type: String, NoEcho: true, Default: secret-word}}
Resources:
  Net: {Type: Test::Fake::Thing, Properties: {Name: net, Of: !Select [0, !GetAZs '']}}
  Role: {Type: Test::Fake::Thing, Properties: {Name: role, Net: {Host: !Ref Word, Port: 1}}}
  Web: {Type: Test::Fake::Thing, DependsOn: Role, Properties: {Name: web, Of: !Ref Net, Size: !Ref Size}}
Outputs:
  Web: {Description: The website, Value: !GetAtt Web.Arn, Export: {Name: !Sub '${AWS::StackName}-web'}}
";

#[tokio::test]
async fn a_stack_is_made_shown_and_deleted() {
    let bench = Bench::start();
    let mut input = create("web", WEB);
    input.tags = Some(vec![api::Tag {
        key: "team".into(),
        value: "blue".into(),
    }]);
    let id = bench.call(input).await.unwrap().stack_id.unwrap();
    assert!(
        id.starts_with("arn:aws:cloudformation:eu-west-1:000000000000:stack/web/"),
        "{id}"
    );
    let stack = bench.ends(&id, "CREATE_COMPLETE").await;
    let outputs: Vec<_> = stack
        .outputs
        .unwrap()
        .into_iter()
        .map(|it| {
            (
                it.output_key.unwrap(),
                it.output_value.unwrap(),
                it.export_name.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        outputs,
        [("Web".into(), "arn:web-3".into(), "web-web".to_owned())]
    );
    assert_eq!(stack.description.as_deref(), Some("A website."));
    assert_eq!(stack.tags.unwrap()[0].value, "blue");
    let shown: Vec<_> = stack
        .parameters
        .unwrap()
        .into_iter()
        .map(|it| (it.parameter_key.unwrap(), it.parameter_value.unwrap()))
        .collect();
    assert_eq!(
        shown,
        [
            ("Size".into(), "2".into()),
            ("Word".into(), "****".to_owned())
        ]
    );
    assert_eq!(
        bench.world.live()["web-3"],
        json!({"Name": "web", "Of": "net-1", "Size": "2"})
    );
    assert_eq!(bench.world.live()["net-1"]["Of"], "eu-west-1a");
    assert_eq!(bench.world.live()["role-2"]["Net"]["Host"], "secret-word");
    let tags = bench.world.tags("web-3");
    assert_eq!(tags["team"], "blue");
    assert_eq!(tags["aws:cloudformation:logical-id"], "Web");
    assert_eq!(
        bench.events("web").await,
        [
            "web CREATE_IN_PROGRESS User Initiated",
            "Net CREATE_IN_PROGRESS",
            "Net CREATE_IN_PROGRESS Resource creation Initiated",
            "Role CREATE_IN_PROGRESS",
            "Role CREATE_IN_PROGRESS Resource creation Initiated",
            "Net CREATE_COMPLETE",
            "Role CREATE_COMPLETE",
            "Web CREATE_IN_PROGRESS",
            "Web CREATE_IN_PROGRESS Resource creation Initiated",
            "Web CREATE_COMPLETE",
            "web CREATE_COMPLETE",
        ]
    );
    let events = bench
        .call(api::DescribeStackEventsInput {
            stack_name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    let events = events.stack_events.unwrap();
    let role = events
        .iter()
        .find(|it| it.logical_resource_id.as_deref() == Some("Role"))
        .unwrap();
    assert_eq!(
        role.resource_properties.as_deref(),
        Some(r#"{"Name":"role","Net":{"Host":"****","Port":1}}"#)
    );
    assert!(!format!("{events:?}").contains("secret-word"));

    bench.delete("web").await.unwrap();
    let gone = bench.ends(&id, "DELETE_COMPLETE").await;
    assert!(gone.deletion_time.is_some());
    assert_eq!(bench.world.live(), Default::default());
    let error = bench.stack("web").await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str(), error.status),
        ("ValidationError", "Stack with id web does not exist", 400)
    );
    // What needs another goes first.
    let events = bench.events(&id).await;
    let at = |event: &str| {
        events
            .iter()
            .position(|it| it == event)
            .unwrap_or_else(|| panic!("{event}: {events:#?}"))
    };
    assert!(at("Web DELETE_COMPLETE") < at("Net DELETE_IN_PROGRESS"));
    assert_eq!(bench.resources(&id).await["Web"].1, "DELETE_COMPLETE");
    bench.delete("web").await.unwrap();
    // The name is free again.
    let second = bench.create("web", WEB).await.unwrap();
    assert_ne!(second, id);
    bench.ends(&second, "CREATE_COMPLETE").await;
}

#[tokio::test]
async fn a_failure_rolls_back_everything_that_was_made() {
    let bench = Bench::start();
    bench.world.break_thing("web", "create");
    let id = bench.create("web", WEB).await.unwrap();
    let stack = bench.ends(&id, "ROLLBACK_COMPLETE").await;
    assert_eq!(stack.outputs, None);
    assert_eq!(bench.world.live(), Default::default());
    let events = bench.events("web").await;
    assert!(
        events.contains(&"Web CREATE_FAILED no capacity".into()),
        "{events:#?}"
    );
    assert!(events.contains(&"web ROLLBACK_IN_PROGRESS The following resource(s) failed to create: [Web]. Rollback requested by user.".into()), "{events:#?}");
    let error = bench.update("web", WEB).await.unwrap_err();
    assert_eq!(
        error.message,
        format!("Stack:{id} is in ROLLBACK_COMPLETE state and can not be updated.")
    );
    bench.delete("web").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
}

#[tokio::test]
async fn what_waits_is_cancelled_when_another_fails() {
    let bench = Bench::start();
    bench.world.hold("net");
    bench.world.break_thing("role", "stability");
    let id = bench.create("web", WEB).await.unwrap();
    bench.ends(&id, "ROLLBACK_COMPLETE").await;
    let events = bench.events("web").await;
    assert!(
        events.contains(&"Role CREATE_FAILED it never became healthy".into()),
        "{events:#?}"
    );
    assert!(
        events.contains(&"Net CREATE_FAILED Resource creation cancelled".into()),
        "{events:#?}"
    );
    assert!(
        !events.iter().any(|it| it.starts_with("Web ")),
        "{events:#?}"
    );
    assert!(
        events
            .iter()
            .any(|it| it.contains("failed to create: [Net, Role]")),
        "{events:#?}"
    );
    assert_eq!(bench.world.live(), Default::default());
}

#[tokio::test]
async fn on_failure_decides_what_becomes_of_the_rest() {
    let bench = Bench::start();
    bench.world.break_thing("web", "create");
    let input = |name: &str, on_failure| api::CreateStackInput {
        on_failure: Some(on_failure),
        ..create(name, WEB)
    };
    let kept = bench
        .call(input("kept", api::OnFailure::DoNothing))
        .await
        .unwrap()
        .stack_id
        .unwrap();
    bench.ends(&kept, "CREATE_FAILED").await;
    assert_eq!(bench.world.live().len(), 2);
    let gone = bench
        .call(input("gone", api::OnFailure::Delete))
        .await
        .unwrap()
        .stack_id
        .unwrap();
    bench.ends(&gone, "DELETE_COMPLETE").await;
    assert_eq!(bench.world.live().len(), 2);
    bench
        .call(api::RollbackStackInput {
            stack_name: "kept".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    bench.ends(&kept, "ROLLBACK_COMPLETE").await;
    assert_eq!(bench.world.live().len(), 0);
}

#[tokio::test]
async fn a_deletion_that_fails_says_so_and_can_leave_things_behind() {
    let bench = Bench::start();
    let id = bench.create("web", WEB).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    bench.world.break_thing("web", "delete");
    bench.delete("web").await.unwrap();
    let stack = bench.ends(&id, "DELETE_FAILED").await;
    assert_eq!(
        stack.stack_status_reason.as_deref(),
        Some("The following resource(s) failed to delete: [Web].")
    );
    // What the one that stays needs stays as well.
    assert_eq!(
        bench.world.live().keys().collect::<Vec<_>>(),
        ["net-1", "role-2", "web-3"]
    );
    let input = |retain: &str| api::DeleteStackInput {
        stack_name: "web".into(),
        retain_resources: Some(vec![retain.into()]),
        ..Default::default()
    };
    assert!(
        bench
            .call(input("Nothing"))
            .await
            .unwrap_err()
            .message
            .contains("Nothing")
    );
    bench.world.repair();
    bench.call(input("Role")).await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    assert_eq!(bench.world.live().keys().collect::<Vec<_>>(), ["role-2"]);
    assert_eq!(
        bench.resources(&id).await["Role"],
        ("role-2".into(), "DELETE_SKIPPED".into())
    );
}

#[tokio::test]
async fn a_creation_can_be_deleted_while_it_runs() {
    let bench = Bench::start();
    bench.world.hold("net");
    let id = bench.create("web", WEB).await.unwrap();
    while bench.world.live().len() < 2 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    bench.delete("web").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    assert_eq!(bench.world.live(), Default::default());
}

#[tokio::test]
async fn retained_resources_stay() {
    let bench = Bench::start();
    let template = "
Resources:
  Kept: {Type: Test::Fake::Thing, DeletionPolicy: Retain, Properties: {Name: kept}}
  Mostly: {Type: Test::Fake::Thing, DeletionPolicy: RetainExceptOnCreate, Properties: {Name: mostly}}
  Last: {Type: Test::Fake::Thing, DependsOn: [Kept, Mostly], Properties: {Name: last}}";
    bench.world.break_thing("last", "create");
    let id = bench.create("first", template).await.unwrap();
    bench.ends(&id, "ROLLBACK_COMPLETE").await;
    assert_eq!(bench.world.live().keys().collect::<Vec<_>>(), ["kept-1"]);
    bench.world.repair();
    let id = bench.create("second", template).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    bench.delete("second").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    assert_eq!(
        bench.world.live().keys().collect::<Vec<_>>(),
        ["kept-1", "kept-3", "mostly-4"]
    );
}

#[tokio::test]
async fn exports_are_protected_while_they_are_used() {
    let bench = Bench::start();
    let exporter = bench.create("web", WEB).await.unwrap();
    bench.ends(&exporter, "CREATE_COMPLETE").await;
    let importing = "Resources: {It: {Type: Test::Fake::Thing, Properties: {Name: it, Of: !ImportValue web-web}}}";
    let importer = bench.create("user", importing).await.unwrap();
    bench.ends(&importer, "CREATE_COMPLETE").await;
    assert_eq!(bench.world.live()["it-4"]["Of"], "arn:web-3");
    let imports = bench
        .call(api::ListImportsInput {
            export_name: "web-web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(imports.imports, Some(vec!["user".to_owned()]));
    let exports = bench
        .call(api::ListExportsInput::default())
        .await
        .unwrap()
        .exports
        .unwrap();
    assert_eq!(exports[0].value.as_deref(), Some("arn:web-3"));

    bench.delete("web").await.unwrap();
    let stack = bench.ends(&exporter, "CREATE_COMPLETE").await;
    assert_eq!(
        stack.stack_status_reason.as_deref(),
        Some("Export web-web cannot be deleted as it is in use by user.")
    );
    assert_eq!(bench.world.live().len(), 4);
    bench.delete("user").await.unwrap();
    bench.ends(&importer, "DELETE_COMPLETE").await;
    bench.delete("web").await.unwrap();
    bench.ends(&exporter, "DELETE_COMPLETE").await;
    assert_eq!(
        bench
            .call(api::ListExportsInput::default())
            .await
            .unwrap()
            .exports,
        Some(vec![])
    );

    let id = bench.create("user", importing).await.unwrap();
    bench.ends(&id, "ROLLBACK_COMPLETE").await;
    let events = bench.events("user").await;
    assert!(
        events
            .iter()
            .any(|it| it.starts_with("user ROLLBACK_IN_PROGRESS No export named web-web found.")),
        "{events:#?}"
    );
}

#[tokio::test]
async fn an_export_has_one_owner() {
    let bench = Bench::start();
    let template = "Resources: {It: {Type: Test::Fake::Thing, Properties: {Name: it}}}\nOutputs: {O: {Value: x, Export: {Name: same}}}";
    let first = bench.create("first", template).await.unwrap();
    bench.ends(&first, "CREATE_COMPLETE").await;
    let second = bench.create("second", template).await.unwrap();
    bench.ends(&second, "ROLLBACK_COMPLETE").await;
    let events = bench.events("second").await;
    assert!(
        events
            .iter()
            .any(|it| it.contains("Export with name same is already exported by stack first.")),
        "{events:#?}"
    );
    assert_eq!(bench.world.live().len(), 1);
}

#[tokio::test]
async fn tokens_protection_and_parameters() {
    let bench = Bench::start();
    let input = || api::CreateStackInput {
        client_request_token: Some("once".into()),
        enable_termination_protection: Some(true),
        parameters: parameters(&[("Size", "7")]),
        ..create("web", WEB)
    };
    let id = bench.call(input()).await.unwrap().stack_id.unwrap();
    assert_eq!(bench.call(input()).await.unwrap().stack_id.unwrap(), id);
    bench.ends(&id, "CREATE_COMPLETE").await;
    assert_eq!(bench.world.live()["web-3"]["Size"], "7");
    let error = bench.create("web", WEB).await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        ("AlreadyExistsException", "Stack [web] already exists")
    );
    let error = bench.delete("web").await.unwrap_err();
    assert_eq!(
        error.message,
        "Stack [web] cannot be deleted while TerminationProtection is enabled"
    );
    let unprotect = api::UpdateTerminationProtectionInput {
        enable_termination_protection: false,
        stack_name: "web".into(),
    };
    bench.call(unprotect).await.unwrap();
    bench.delete("web").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
}

#[tokio::test]
async fn a_stack_gives_up_after_its_timeout() {
    let bench = Bench::start();
    bench.world.hold("net");
    let id = bench
        .call(api::CreateStackInput {
            timeout_in_minutes: Some(0),
            ..create("web", WEB)
        })
        .await
        .unwrap()
        .stack_id
        .unwrap();
    bench.ends(&id, "ROLLBACK_COMPLETE").await;
    let events = bench.events("web").await;
    assert!(
        events
            .iter()
            .any(|it| it.contains("Stack creation time exceeded the specified timeout.")),
        "{events:#?}"
    );
    assert_eq!(bench.world.live(), Default::default());
}
