//! Drift: what was changed behind a stack's back is told, and only that.

use serde_json::json;
use shapes::cloudformation as api;

use crate::bench::Bench;

const TEMPLATE: &str = "
Parameters: {Word: {Type: String, NoEcho: true, Default: secret-word}}
Resources:
  A: {Type: Test::Fake::Thing, Properties: {Name: a, Size: 1}}
  B: {Type: Test::Fake::Thing, Properties: {Name: b, Net: {Host: !Ref Word, Port: 80}}}
  C: {Type: Test::Fake::Thing, Properties: {Name: c}}
  Blind: {Type: Test::Fake::Thing, Properties: {Name: blind}}
";

async fn detect(bench: &Bench) -> api::DescribeStackDriftDetectionStatusOutput {
    let input = api::DetectStackDriftInput {
        stack_name: "web".into(),
        logical_resource_ids: None,
    };
    let id = bench.call(input).await.unwrap().stack_drift_detection_id;
    let input = api::DescribeStackDriftDetectionStatusInput {
        stack_drift_detection_id: id,
    };
    bench.call(input).await.unwrap()
}

async fn drifts(bench: &Bench) -> Vec<(String, String, Vec<(String, String, String)>)> {
    let input = api::DescribeStackResourceDriftsInput {
        stack_name: "web".into(),
        ..Default::default()
    };
    let drifts = bench.call(input).await.unwrap().stack_resource_drifts;
    assert!(!format!("{drifts:?}").contains("secret-word"), "{drifts:?}");
    (drifts.into_iter())
        .map(|it| {
            let differences = it.property_differences.unwrap().into_iter();
            let differences = differences
                .map(|it| (it.property_path, it.expected_value, it.actual_value))
                .collect();
            let status = it.stack_resource_drift_status.to_string();
            (it.logical_resource_id, status, differences)
        })
        .collect()
}

#[tokio::test]
async fn what_was_changed_behind_the_stacks_back_is_told() {
    let bench = Bench::start();
    let id = bench.create("web", TEMPLATE).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    let status = detect(&bench).await;
    assert_eq!(
        status.stack_drift_status,
        Some(api::StackDriftStatus::InSync)
    );
    // Who cannot look says nothing.
    let found = drifts(&bench).await;
    let names: Vec<&str> = found.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(names, ["A", "B", "C"]);
    assert!(found.iter().all(|it| it.1 == "IN_SYNC"), "{found:?}");

    let of = |id: &'static str| bench.physical_id("web", id);
    let (a, b, c) = (of("A").await, of("B").await, of("C").await);
    // `Of` was not asked for: it may be anything.
    bench
        .world
        .tamper(&a, Some(json!({"Name": "a", "Size": 2, "Of": "x"})));
    bench.world.tamper(
        &b,
        Some(json!({"Name": "b", "Net": {"Host": "other-word", "Port": "80"}})),
    );
    bench.world.tamper(&c, None);
    let status = detect(&bench).await;
    assert_eq!(
        status.stack_drift_status,
        Some(api::StackDriftStatus::Drifted)
    );
    assert_eq!(status.drifted_stack_resource_count, Some(3));
    let text = str::to_owned;
    assert_eq!(
        drifts(&bench).await,
        [
            (
                text("A"),
                text("MODIFIED"),
                vec![(text("/Size"), text("1"), text("2"))]
            ),
            (
                text("B"),
                text("MODIFIED"),
                vec![(text("/Net/Host"), text("****"), text("****"))]
            ),
            (text("C"), text("DELETED"), vec![]),
        ]
    );
    let stack = bench.stack("web").await.unwrap();
    assert_eq!(
        stack.drift_information.unwrap().stack_drift_status,
        api::StackDriftStatus::Drifted
    );

    let one = |id: &str| api::DetectStackResourceDriftInput {
        stack_name: "web".into(),
        logical_resource_id: id.into(),
    };
    let drift = bench.call(one("A")).await.unwrap().stack_resource_drift;
    assert_eq!(
        drift.actual_properties.as_deref(),
        Some(r#"{"Name":"a","Size":2}"#)
    );
    let error = bench.call(one("Blind")).await.unwrap_err();
    assert!(
        error.message.contains("not supported by neargate"),
        "{error}"
    );
    // An update makes what it changes what it should be.
    bench
        .update("web", &TEMPLATE.replace("Size: 1", "Size: 3"))
        .await
        .unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    let drift = bench.call(one("A")).await.unwrap().stack_resource_drift;
    assert_eq!(
        drift.stack_resource_drift_status,
        api::StackResourceDriftStatus::InSync
    );
}
