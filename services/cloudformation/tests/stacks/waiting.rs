//! What is made once somebody says so: wait conditions and creation policies; and values that only
//! exist while a resource is made.

use serde_json::json;
use shapes::cloudformation as api;

use crate::bench::{Bench, create, update};

const WAITS: &str = "
Resources:
  Handle: {Type: AWS::CloudFormation::WaitConditionHandle}
  Web: {Type: Test::Fake::Thing, Properties: {Name: web, Of: !Ref Handle}}
  Wait: {Type: AWS::CloudFormation::WaitCondition, DependsOn: Web, Properties: {Handle: !Ref Handle, Timeout: 600, Count: 2}}
Outputs: {Data: {Value: !GetAtt Wait.Data}}
";

fn send(bench: &Bench, url: &str, message: serde_json::Value) -> Result<(), cloud::Error> {
    let path = url.strip_prefix("http://127.0.0.1:4566").unwrap();
    let (path, query) = path.split_once('?').unwrap();
    let body = serde_json::to_vec(&message).unwrap();
    cloudformation::wait::receive(&bench.cloud, path, query, &body)
}

async fn handle(bench: &Bench) -> String {
    loop {
        let live = bench.world.live();
        if let Some(made) = live.values().find(|it| it["Name"] == "web") {
            return made["Of"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_stack_waits_for_messages() {
    let bench = Bench::start();
    let id = bench.create("web", WAITS).await.unwrap();
    let url = handle(&bench).await;
    let message = |id: &str, status: &str| json!({"Status": status, "UniqueId": id, "Data": format!("data of {id}"), "Reason": "because"});
    let forged = url.replace("Signature=", "Signature=0");
    assert_eq!(
        send(&bench, &forged, message("a", "SUCCESS"))
            .unwrap_err()
            .status,
        403
    );
    assert_eq!(
        send(&bench, &url, json!({"Status": "PERHAPS"}))
            .unwrap_err()
            .status,
        400
    );
    send(&bench, &url, message("a", "SUCCESS")).unwrap();
    send(&bench, &url, message("a", "SUCCESS")).unwrap();
    assert_eq!(
        bench.stack(&id).await.unwrap().stack_status.as_str(),
        "CREATE_IN_PROGRESS"
    );
    let bench = bench.restart().await;
    send(&bench, &url, message("b", "SUCCESS")).unwrap();
    let stack = bench.ends(&id, "CREATE_COMPLETE").await;
    let data = stack.outputs.unwrap().remove(0).output_value.unwrap();
    assert_eq!(data, r#"{"a":"data of a","b":"data of b"}"#);
    bench.delete("web").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    assert_eq!(
        send(&bench, &url, message("c", "SUCCESS"))
            .unwrap_err()
            .status,
        403
    );
}

#[tokio::test]
async fn a_message_of_failure_and_silence_both_fail_the_stack() {
    let bench = Bench::start();
    let id = bench.create("web", WAITS).await.unwrap();
    let url = handle(&bench).await;
    send(
        &bench,
        &url,
        json!({"Status": "FAILURE", "UniqueId": "a", "Reason": "no disk"}),
    )
    .unwrap();
    bench.ends(&id, "ROLLBACK_COMPLETE").await;
    let events = bench.events(&id).await;
    let failed =
        "Wait CREATE_FAILED WaitCondition received failed message: 'no disk' for uniqueId: a";
    assert!(events.iter().any(|it| it == failed), "{events:#?}");

    let id = bench
        .create("late", &WAITS.replace("Timeout: 600", "Timeout: 1"))
        .await
        .unwrap();
    bench.ends(&id, "ROLLBACK_COMPLETE").await;
    let events = bench.events(&id).await;
    let failed =
        "Wait CREATE_FAILED WaitCondition timed out. Received 0 conditions when expecting 2";
    assert!(events.iter().any(|it| it == failed), "{events:#?}");
}

fn signal(id: &str, status: api::ResourceSignalStatus) -> api::SignalResourceInput {
    api::SignalResourceInput {
        stack_name: "web".into(),
        logical_resource_id: "Wait".into(),
        unique_id: id.into(),
        status,
    }
}

/// Signals as soon as the resource is there to be signalled.
async fn eventually(bench: &Bench, input: api::SignalResourceInput) {
    for _ in 0..2000 {
        if bench.call(input.clone()).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("{:?}", bench.call(input).await);
}

#[tokio::test]
async fn a_creation_policy_waits_for_signals() {
    use api::ResourceSignalStatus::{Failure, Success};
    let bench = Bench::start();
    let policy = |timeout: &str| {
        format!(
            "Resources: {{Wait: {{Type: AWS::CloudFormation::WaitCondition, CreationPolicy: {{ResourceSignal: {{Count: 2, Timeout: {timeout}}}}}}}}}"
        )
    };
    let id = bench.create("web", &policy("PT10M")).await.unwrap();
    eventually(&bench, signal("one", Success)).await;
    assert!(
        bench
            .call(signal("one", Success))
            .await
            .unwrap_err()
            .message
            .contains("already exists")
    );
    assert_eq!(
        bench.stack(&id).await.unwrap().stack_status.as_str(),
        "CREATE_IN_PROGRESS"
    );
    bench.call(signal("two", Success)).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    let events = bench.events(&id).await;
    assert!(
        events
            .iter()
            .any(|it| it == "Wait CREATE_IN_PROGRESS Received SUCCESS signal with UniqueId two"),
        "{events:#?}"
    );
    assert!(
        bench
            .call(signal("three", Success))
            .await
            .unwrap_err()
            .message
            .contains("can not be signaled")
    );
    bench.delete("web").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;

    let id = bench.create("web", &policy("PT10M")).await.unwrap();
    eventually(&bench, signal("one", Failure)).await;
    bench.ends(&id, "ROLLBACK_COMPLETE").await;
    bench.delete("web").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;

    let id = bench.create("web", &policy("PT1S")).await.unwrap();
    bench.ends(&id, "ROLLBACK_COMPLETE").await;
    let events = bench.events(&id).await;
    let failed =
        "Wait CREATE_FAILED Failed to receive 2 resource signal(s) within the specified duration";
    assert!(events.iter().any(|it| it == failed), "{events:#?}");
}

#[tokio::test]
async fn dynamic_references_are_resolved_at_the_last_moment_and_never_shown() {
    let bench = Bench::start();
    bench.put("ssm:/size", "7");
    bench.put("secret:db", r#"{"password": "open sesame", "port": 5432}"#);
    let template = "
Resources:
  X:
    Type: Test::Fake::Thing
    Properties:
      Name: x
      Size: '{{resolve:ssm:/size}}'
      Of: !Sub 'db://{{resolve:secretsmanager:db:SecretString:password}}@${AWS::Region}:{{resolve:secretsmanager:db:SecretString:port}}'
Outputs: {X: {Value: !Ref X}}";
    let id = bench
        .call(create("web", template))
        .await
        .unwrap()
        .stack_id
        .unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    assert_eq!(
        bench.world.live()["x-1"],
        json!({"Name": "x", "Size": "7", "Of": "db://open sesame@eu-west-1:5432"})
    );
    // A service's answer may repeat what it was given: events do not.
    bench.world.break_thing("x", "update");
    bench
        .call(update(
            "web",
            &template
                .replace("Name: x", "Name: x, Role: r")
                .replace("db://", "dbs://"),
        ))
        .await
        .unwrap_err();
    let input = api::DescribeStackEventsInput {
        stack_name: id.clone(),
        ..Default::default()
    };
    let shown = format!("{:?}", bench.call(input).await.unwrap());
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(
        shown.contains("{{resolve:secretsmanager:db:SecretString:password}}"),
        "{shown}"
    );

    let missing = template.replace("db:SecretString:password", "db:SecretString:nothing");
    let id = bench.create("other", &missing).await.unwrap();
    bench.ends(&id, "ROLLBACK_COMPLETE").await;
    let events = bench.events(&id).await;
    assert!(
        events
            .iter()
            .any(|it| it.contains("Could not find a value associated with JSONKey")),
        "{events:#?}"
    );
}

#[tokio::test]
async fn what_nobody_here_could_make_is_refused_by_name() {
    let bench = Bench::start();
    for (resource, expect) in [
        (
            "{Type: Custom::Thing, Properties: {ServiceToken: x}}",
            "custom resource Custom::Thing",
        ),
        (
            "{Type: AWS::CloudFormation::CustomResource, Properties: {ServiceToken: x}}",
            "custom resource AWS::CloudFormation::CustomResource",
        ),
        (
            "{Type: Test::Fake::Thing, Properties: {Name: x}, CreationPolicy: {ResourceSignal: {Count: 1}}}",
            "CreationPolicy of X",
        ),
        (
            "{Type: AWS::CloudFormation::WaitCondition}",
            "needs a Handle or a CreationPolicy",
        ),
        (
            "{Type: AWS::CloudFormation::WaitConditionHandle, Properties: {Name: x}}",
            "property Name of X",
        ),
    ] {
        let error = bench
            .create("web", &format!("Resources: {{X: {resource}}}"))
            .await
            .unwrap_err();
        assert!(error.message.contains(expect), "{error}");
        assert!(bench.stack("web").await.is_err());
    }
}

/// As with AWS, where it speaks of types that this is none of.
#[tokio::test]
async fn an_update_policy_of_a_type_that_has_none_is_ignored() {
    let bench = Bench::start();
    let template = "Resources: {X: {Type: Test::Fake::Thing, Properties: {Name: x}, UpdatePolicy: {AutoScalingReplacingUpdate: {WillReplace: true}}}}";
    let id = bench.create("web", template).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
}

#[tokio::test]
async fn outputs_tell_what_parameters_hold_and_no_secrets() {
    let bench = Bench::start();
    bench.put("ssm:/size", "7");
    bench.put("secret:db", "sesame");
    let template = "
Resources: {X: {Type: Test::Fake::Thing, Properties: {Name: x}}}
Outputs:
  Size: {Value: 'size {{resolve:ssm:/size}}', Export: {Name: size}}
  Secret: {Value: '{{resolve:secretsmanager:db}}'}";
    let id = bench.create("web", template).await.unwrap();
    let stack = bench.ends(&id, "CREATE_COMPLETE").await;
    let outputs = stack.outputs.unwrap();
    let told = |key: &str| {
        let found = (outputs.iter()).find(|it| it.output_key.as_deref() == Some(key));
        found.unwrap().output_value.clone().unwrap()
    };
    assert_eq!(told("Size"), "size 7");
    assert_eq!(told("Secret"), "{{resolve:secretsmanager:db}}");
    let exports = bench.call(api::ListExportsInput::default()).await.unwrap();
    let exported = exports.exports.unwrap().remove(0).value;
    assert_eq!(exported.as_deref(), Some("size 7"));
    // What is written is the same, and so there is nothing to do.
    let same = bench.call(update("web", template)).await.unwrap_err();
    assert_eq!(same.message, "No updates are to be performed.");

    let missing = template.replace("ssm:/size", "ssm:/none");
    let id = bench.create("other", &missing).await.unwrap();
    bench.ends(&id, "ROLLBACK_COMPLETE").await;
    let events = bench.events(&id).await.join("\n");
    assert!(
        events.contains("Unable to fetch parameters [/none]"),
        "{events}"
    );
}
