//! Shapes from a template's properties, and from storage.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use wire::{Blob, Shape, Timestamp, from_json, lenient, lenient_partial, to_json};

wire::string_enum!(Mode { Bridge = "bridge", AwsVpc = "awsvpc" });

#[derive(Debug, Clone, Default, PartialEq, Shape)]
#[aws(names = "camelCase")]
struct Port {
    container_port: i32,
    open: Option<bool>,
}

#[derive(wire::DebugWithoutSecrets, Clone, Default, PartialEq, Shape)]
#[aws(names = "PascalCase", output = "camelCase")]
struct Task {
    family: String,
    mode: Option<Mode>,
    cpu: Option<String>,
    ports: Option<Vec<Port>>,
    labels: Option<BTreeMap<String, String>>,
    ratio: Option<f64>,
    #[aws(input = "TagSet", output = "tagSet")]
    tags: Option<Vec<String>>,
    #[aws(sensitive)]
    password: Option<String>,
    made_at: Option<Timestamp>,
    data: Option<Blob>,
}

#[track_caller]
fn check_refused(json: Json, expected: &str) {
    let error = lenient::<Task>(json).expect_err("it is refused");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn either_case_of_the_first_letter_and_any_scalar_will_do() {
    let task: Task = lenient(json!({
        "Family": 12, "mode": "awsvpc", "Cpu": 256, "Ratio": "1.5",
        "Ports": [{"ContainerPort": "80", "Open": "true"}, {"containerPort": 81.0}],
        "Labels": {"a": true}, "tags": ["x"],
    }))
    .unwrap();
    let expected = Task {
        family: "12".into(),
        mode: Some(Mode::AwsVpc),
        cpu: Some("256".into()),
        ports: Some(vec![
            Port {
                container_port: 80,
                open: Some(true),
            },
            Port {
                container_port: 81,
                open: None,
            },
        ]),
        labels: Some(BTreeMap::from([("a".into(), "true".into())])),
        ratio: Some(1.5),
        tags: Some(vec!["x".into()]),
        ..Task::default()
    };
    assert_eq!(task, expected);
}

#[test]
fn what_does_not_fit_is_named() {
    check_refused(
        json!({"Family": "a", "Colour": 1}),
        "`Colour` is not a known member",
    );
    check_refused(json!({}), "`Family` is required");
    check_refused(
        json!({"Family": "a", "Ports": [{"ContainerPort": 1}, {"Port": 1}]}),
        "`Ports[1].containerPort` is required; `Ports[1].Port` is not a known member",
    );
    check_refused(
        json!({"Family": "a", "Ports": {"ContainerPort": 1}}),
        "`Ports` `{…}` (START_OBJECT) cannot be read as a List",
    );
    check_refused(
        json!({"Family": "a", "Tags": "x"}),
        "`Tags` `x` (STRING_VALUE) cannot be read as a List",
    );
    check_refused(
        json!({"Family": "a", "Mode": "host"}),
        "`Mode` `host` is not one of bridge, awsvpc",
    );
    check_refused(
        json!({"Family": "a", "Ports": [{"ContainerPort": "eighty"}]}),
        "`Ports[0].ContainerPort` `eighty` (STRING_VALUE) cannot be read as an Integer",
    );
}

#[test]
fn only_the_outermost_required_members_may_be_left_to_the_caller() {
    assert_eq!(
        lenient_partial::<Task>(json!({"Cpu": 1})).unwrap().cpu,
        Some("1".into())
    );
    assert!(lenient_partial::<Task>(json!({"Ports": [{}]})).is_err());
    assert!(lenient_partial::<Task>(json!({"Unknown": 1})).is_err());
}

#[test]
fn stored_shapes_come_back_as_they_went() {
    let task = Task {
        family: "web".into(),
        mode: Some(Mode::Bridge),
        ports: Some(vec![Port {
            container_port: 80,
            open: Some(false),
        }]),
        labels: Some(BTreeMap::from([("Key".into(), "value".into())])),
        tags: Some(vec![]),
        password: Some("hush".into()),
        made_at: Some(Timestamp(1_795_350_896.789)),
        data: Some(Blob(vec![0, 255])),
        ..Task::default()
    };
    let stored = to_json(&task);
    assert_eq!(stored["tagSet"], json!([]));
    assert_eq!(from_json::<Task>(stored.clone()).unwrap(), task);
    assert_eq!(serde_json::to_value(&task).unwrap(), stored);
    assert_eq!(serde_json::from_value::<Task>(stored).unwrap(), task);
    assert!(
        from_json::<Task>(json!({})).is_ok(),
        "a record of an earlier version may lack members"
    );
}

#[test]
fn lists_that_are_absent_can_be_written_as_empty_ones() {
    let port = Task {
        family: "web".into(),
        ports: Some(vec![Port::default()]),
        ..Task::default()
    };
    let whole = wire::write_json(&wire::Value::get_as(&port, wire::How::Whole));
    assert_eq!(
        whole,
        json!({"family": "web", "ports": [{"containerPort": 0}], "tagSet": []})
    );
    assert_eq!(to_json(&port)["tagSet"], Json::Null);
}

#[test]
fn secrets_are_not_printed() {
    let task = Task {
        password: Some("hush".into()),
        ..Task::default()
    };
    assert!(!format!("{task:?}").contains("hush"));
    let error = lenient::<Task>(json!({"Family": "a", "Password": ["hush"]})).unwrap_err();
    assert!(!error.to_string().contains("hush"), "{error}");
}
