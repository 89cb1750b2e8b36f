//! Updating, and undoing it.

use serde_json::json;
use shapes::cloudformation as api;

use crate::bench::{Bench, update};

const BEFORE: &str = "
Resources:
  Net: {Type: Test::Fake::Thing, Properties: {Name: net, Size: 1}}
  Web: {Type: Test::Fake::Thing, Properties: {Name: web, Of: !Ref Net, Size: 1}}
  Old: {Type: Test::Fake::Thing, Properties: {Name: old}}
  Same: {Type: Test::Fake::Thing, Properties: {Name: same}}
Outputs: {Net: {Value: !Ref Net}}
";
/// Net is replaced, Web changes in place, Old goes, New comes.
const AFTER: &str = "
Resources:
  Net: {Type: Test::Fake::Thing, Properties: {Name: net2, Size: 1}}
  Web: {Type: Test::Fake::Thing, Properties: {Name: web, Of: !Ref Net, Size: 2}}
  New: {Type: Test::Fake::Thing, Properties: {Name: new, Of: !Ref Web}}
  Same: {Type: Test::Fake::Thing, Properties: {Name: same}}
Outputs: {Net: {Value: !Ref Net}}
";

async fn made() -> (Bench, String) {
    let bench = Bench::start();
    let id = bench.create("web", BEFORE).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    assert_eq!(
        bench.world.live().keys().collect::<Vec<_>>(),
        ["net-1", "old-2", "same-3", "web-4"]
    );
    (bench, id)
}

#[tokio::test]
async fn each_resource_is_changed_as_it_needs() {
    let (bench, id) = made().await;
    bench.update("web", AFTER).await.unwrap();
    let stack = bench.ends(&id, "UPDATE_COMPLETE").await;
    assert!(stack.last_updated_time.is_some());
    assert_eq!(
        stack.outputs.unwrap()[0].output_value.as_deref(),
        Some("net-5")
    );
    assert_eq!(
        json!(bench.world.live()),
        json!({
            "net-5": {"Name": "net2", "Size": 1},
            "new-6": {"Name": "new", "Of": "web-4"},
            "same-3": {"Name": "same"},
            "web-4": {"Name": "web", "Of": "net-5", "Size": 2},
        })
    );
    let events = bench.events("web").await;
    let begin = events
        .iter()
        .position(|it| it == "web UPDATE_IN_PROGRESS User Initiated")
        .unwrap();
    assert_eq!(
        events[begin..],
        [
            "web UPDATE_IN_PROGRESS User Initiated",
            "Net UPDATE_IN_PROGRESS Requested update requires the creation of a new physical resource; hence creating one.",
            "Net UPDATE_IN_PROGRESS Resource creation Initiated",
            "Net UPDATE_COMPLETE",
            "Web UPDATE_IN_PROGRESS",
            "Web UPDATE_COMPLETE",
            "New CREATE_IN_PROGRESS",
            "New CREATE_IN_PROGRESS Resource creation Initiated",
            "New CREATE_COMPLETE",
            "web UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
            "Net DELETE_IN_PROGRESS",
            "Old DELETE_IN_PROGRESS",
            "Net DELETE_COMPLETE",
            "Old DELETE_COMPLETE",
            "web UPDATE_COMPLETE",
        ]
    );
    assert_eq!(
        bench.resources("web").await.keys().collect::<Vec<_>>(),
        ["Net", "New", "Same", "Web"]
    );
    let error = bench.update("web", AFTER).await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        ("ValidationError", "No updates are to be performed.")
    );
    let template = bench
        .call(api::GetTemplateInput {
            stack_name: Some("web".into()),
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(template.template_body.as_deref(), Some(AFTER));
    bench.delete("web").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    assert_eq!(bench.world.live(), Default::default());
}

#[tokio::test]
async fn a_failed_update_is_undone_whatever_fails() {
    for (name, what) in [
        ("net2", "create"),
        ("net2", "stability"),
        ("web", "update"),
        ("new", "create"),
        ("new", "stability"),
    ] {
        let (bench, id) = made().await;
        let before = bench.world.live();
        bench.world.break_thing(name, what);
        bench.update("web", AFTER).await.unwrap();
        while bench.stack("web").await.unwrap().stack_status == api::StackStatus::UpdateInProgress {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        bench.world.repair();
        let stack = bench.rest(&id).await;
        // The failed update of Web is changed back while it is still broken, or after the repair.
        if stack.stack_status == api::StackStatus::UpdateRollbackFailed {
            bench
                .call(api::ContinueUpdateRollbackInput {
                    stack_name: "web".into(),
                    ..Default::default()
                })
                .await
                .unwrap();
        }
        let stack = bench.ends(&id, "UPDATE_ROLLBACK_COMPLETE").await;
        assert_eq!(
            bench.world.live(),
            before,
            "{name} {what} {:#?}",
            bench.events("web").await
        );
        assert_eq!(
            stack.outputs.unwrap()[0].output_value.as_deref(),
            Some("net-1")
        );
        assert_eq!(
            bench.resources("web").await.keys().collect::<Vec<_>>(),
            ["Net", "Old", "Same", "Web"]
        );
        bench.update("web", AFTER).await.unwrap();
        bench.ends(&id, "UPDATE_COMPLETE").await;
    }
}

#[tokio::test]
async fn a_rollback_that_fails_can_be_continued_or_skipped() {
    let (bench, id) = made().await;
    bench.world.break_thing("web", "update");
    bench.update("web", AFTER).await.unwrap();
    let stack = bench.ends(&id, "UPDATE_ROLLBACK_FAILED").await;
    assert_eq!(
        stack.stack_status_reason.as_deref(),
        Some("The following resource(s) failed to update: [Web].")
    );
    let go_on = |skip: Option<&str>| api::ContinueUpdateRollbackInput {
        stack_name: "web".into(),
        resources_to_skip: skip.map(|it| vec![it.into()]),
        ..Default::default()
    };
    bench.call(go_on(None)).await.unwrap();
    bench.ends(&id, "UPDATE_ROLLBACK_FAILED").await;
    bench.call(go_on(Some("Web"))).await.unwrap();
    bench.ends(&id, "UPDATE_ROLLBACK_COMPLETE").await;
    assert!(
        bench
            .call(go_on(None))
            .await
            .unwrap_err()
            .message
            .contains("can not continue rollback")
    );
}

#[tokio::test]
async fn without_rollback_a_failed_update_stays_and_can_be_mended_or_undone() {
    let (bench, id) = made().await;
    let before = bench.world.live();
    bench.world.break_thing("new", "create");
    bench
        .call(api::UpdateStackInput {
            disable_rollback: Some(true),
            ..update("web", AFTER)
        })
        .await
        .unwrap();
    bench.ends(&id, "UPDATE_FAILED").await;
    assert!(bench.world.live().contains_key("net-5"));
    bench
        .call(api::RollbackStackInput {
            stack_name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    bench.ends(&id, "UPDATE_ROLLBACK_COMPLETE").await;
    assert_eq!(bench.world.live(), before);

    bench
        .call(api::UpdateStackInput {
            disable_rollback: Some(true),
            ..update("web", AFTER)
        })
        .await
        .unwrap();
    bench.ends(&id, "UPDATE_FAILED").await;
    bench.world.repair();
    bench.update("web", AFTER).await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    assert_eq!(bench.world.live().len(), 4, "{:?}", bench.world.live());
}

#[tokio::test]
async fn a_running_update_can_be_cancelled() {
    let (bench, id) = made().await;
    let before = bench.world.live();
    bench.world.hold("net2");
    bench.update("web", AFTER).await.unwrap();
    assert!(
        bench
            .delete("web")
            .await
            .unwrap_err()
            .message
            .contains("cannot be deleted while in status UPDATE_IN_PROGRESS")
    );
    while !bench.world.live().contains_key("net-5") {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let cancel = || api::CancelUpdateStackInput {
        stack_name: "web".into(),
    };
    bench.call(cancel()).await.unwrap();
    bench.ends(&id, "UPDATE_ROLLBACK_COMPLETE").await;
    assert_eq!(bench.world.live(), before);
    assert!(
        bench
            .call(cancel())
            .await
            .unwrap_err()
            .message
            .contains("UPDATE_ROLLBACK_COMPLETE")
    );
}

#[tokio::test]
async fn replaced_and_removed_resources_may_be_kept() {
    let (bench, id) = made().await;
    let keeping = BEFORE.replace(
        "Properties: {Name: old}",
        "DeletionPolicy: Retain, Properties: {Name: old, Size: 3}",
    );
    bench.update("web", &keeping).await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    let after = AFTER.replace(
        "Properties: {Name: net2",
        "UpdateReplacePolicy: Retain, Properties: {Name: net2",
    );
    bench.update("web", &after).await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    assert_eq!(
        bench.world.live().keys().collect::<Vec<_>>(),
        ["net-1", "net-5", "new-6", "old-2", "same-3", "web-4"]
    );
}

#[tokio::test]
async fn tags_and_previous_values_reach_the_resources() {
    let bench = Bench::start();
    let template = "
Parameters: {Size: {Type: Number}, Word: {Type: String, NoEcho: true}}
Resources: {It: {Type: Test::Fake::Thing, Properties: {Name: it, Size: !Ref Size, Of: !Ref Word}}}";
    let given = crate::bench::parameters(&[("Size", "1"), ("Word", "hunter2")]);
    let id = bench
        .call(api::CreateStackInput {
            parameters: given,
            ..crate::bench::create("web", template)
        })
        .await
        .unwrap()
        .stack_id
        .unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    let previous = |key: &str| api::Parameter {
        parameter_key: Some(key.into()),
        use_previous_value: Some(true),
        ..Default::default()
    };
    let input = api::UpdateStackInput {
        stack_name: "web".into(),
        use_previous_template: Some(true),
        parameters: Some(vec![previous("Size"), previous("Word")]),
        tags: Some(vec![api::Tag {
            key: "team".into(),
            value: "red".into(),
        }]),
        ..Default::default()
    };
    bench.call(input).await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    assert_eq!(bench.world.tags("it-1")["team"], "red");
    assert_eq!(
        bench.world.live()["it-1"],
        json!({"Name": "it", "Size": "1", "Of": "hunter2"})
    );
    let error = bench
        .call(api::UpdateStackInput {
            parameters: Some(vec![previous("Size")]),
            ..update("web", template)
        })
        .await
        .unwrap_err();
    assert!(
        error
            .message
            .starts_with("Parameters: [Word] must have values"),
        "{}",
        error.message
    );
}

#[tokio::test]
async fn what_a_stack_policy_denies_fails_the_update() {
    let (bench, id) = made().await;
    let policy = r#"{"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}, {"Effect": "Deny", "Action": "Update:Replace", "Principal": "*", "Resource": "LogicalResourceId/Net"}]}"#;
    bench
        .call(api::SetStackPolicyInput {
            stack_name: "web".into(),
            stack_policy_body: Some(policy.into()),
            ..Default::default()
        })
        .await
        .unwrap();
    let before = bench.world.live();
    bench.update("web", AFTER).await.unwrap();
    bench.ends(&id, "UPDATE_ROLLBACK_COMPLETE").await;
    let events = bench.events(&id).await;
    let denied = "Net UPDATE_FAILED Action denied by stack policy: Statement [#2] does not allow [Update:Replace] for resource [LogicalResourceId/Net]";
    assert!(events.iter().any(|it| it == denied), "{events:#?}");
    assert_eq!(bench.world.live(), before);
    let once = r#"{"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}"#;
    bench
        .call(api::UpdateStackInput {
            stack_policy_during_update_body: Some(once.into()),
            ..update("web", AFTER)
        })
        .await
        .unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    let kept = bench
        .call(api::GetStackPolicyInput {
            stack_name: "web".into(),
        })
        .await
        .unwrap();
    assert_eq!(kept.stack_policy_body.as_deref(), Some(policy));
}
