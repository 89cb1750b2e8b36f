//! What is refused before anything is made, and in which words.

use shapes::cloudformation as api;

use crate::bench::{Bench, create};

async fn check(bench: &Bench, template: &str, expect: &str) {
    let error = bench.create("web", template).await.unwrap_err();
    assert_eq!(
        (error.code, error.status, error.message.as_str()),
        ("ValidationError", 400, expect),
        "{template}"
    );
    let change_set = api::CreateChangeSetInput {
        stack_name: "web".into(),
        change_set_name: "set".into(),
        change_set_type: Some(api::ChangeSetType::Create),
        template_body: Some(template.into()),
        ..Default::default()
    };
    assert_eq!(bench.call(change_set).await.unwrap_err().message, expect);
    assert!(bench.stack("web").await.is_err(), "a stack was recorded");
    assert_eq!(bench.world.calls(), 0);
}

#[tokio::test]
async fn templates_that_cannot_be_built_are_refused_with_their_place() {
    let bench = Bench::start();
    for (resource, expect) in [
        (
            "Type: AWS::Nope::Nothing",
            "Template error: resource type AWS::Nope::Nothing (line 2, column 14) is not supported by neargate",
        ),
        (
            "Type: Test::Fake::Thing, Properties: {Name: a, Colour: red}",
            "Template error: property Colour of It (Test::Fake::Thing) (line 2, column 55) is not supported by neargate",
        ),
        (
            "Type: Test::Fake::Thing, Properties: {Name: a, Net: [{Port: 1, Depth: 2}]}",
            "Template error: property Net.Depth of It (Test::Fake::Thing) (line 2, column 71) is not supported by neargate",
        ),
        (
            "Type: Test::Fake::Thing, Properties: {Name: a, Net: !If [Yes, {Deep: 1}, {Port: 1}]}",
            "Template error: property Net.Deep of It (Test::Fake::Thing) (line 2, column 71) is not supported by neargate",
        ),
        (
            "Type: Test::Fake::Thing, Properties: {Size: 1}",
            "Template error: property Name of It (Test::Fake::Thing) is required (line 2, column 45)",
        ),
        (
            "Type: Test::Fake::Thing, Properties: {Name: a, Net: {Host: h}}",
            "Template error: property Net.Port of It (Test::Fake::Thing) is required (line 2, column 60)",
        ),
        (
            "Type: Test::Fake::Thing, Properties: {Name: !GetAtt Other.Depth}",
            "Template error: resource Other does not support attribute type Depth in Fn::GetAtt (line 2, column 52)",
        ),
        (
            "Type: Test::Fake::Thing, Properties: {Name: !Sub 'x-${Other.Depth}'}",
            "Template error: resource Other does not support attribute type Depth in Fn::GetAtt (line 2, column 52)",
        ),
        (
            "Type: Test::Fake::Thing, DeletionPolicy: Snapshot, Properties: {Name: a}",
            "Template error: a snapshot of It (Test::Fake::Thing) (line 2, column 3) is not supported by neargate",
        ),
        (
            "Type: Test::Fake::Thing, CreationPolicy: {ResourceSignal: {Count: 1}}, Properties: {Name: a}",
            "Template error: CreationPolicy of It (Test::Fake::Thing) (line 2, column 49) is not supported by neargate",
        ),
        (
            "Type: Test::Fake::Thing, Properties: {Name: !Ref Missing}",
            "Template format error: Unresolved resource dependencies [Missing] in the Resources block of the template (line 2, column 52)",
        ),
    ] {
        let template = format!(
            "Resources:\n  It: {{{resource}}}\n  Other: {{Type: Test::Fake::Thing, Properties: {{Name: other}}}}\nConditions: {{Yes: !Equals [a, a]}}"
        );
        check(&bench, &template, expect).await;
    }
    check(&bench, "Resources: [", "Template format error: YAML not well-formed. (line 2, column 1): while parsing a node, did not find expected node content").await;
}

#[tokio::test]
async fn what_is_left_out_by_a_condition_need_not_be_supported() {
    let bench = Bench::start();
    let template = "
Conditions: {No: !Equals [a, b]}
Resources:
  Never: {Type: AWS::Nope::Nothing, Condition: No}
  It: {Type: Test::Fake::Thing, Properties: {Name: a, Net: !If [No, {Deep: 1}, {Port: 1}]}}";
    let id = bench.create("web", template).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
}

#[tokio::test]
async fn capabilities_have_to_be_acknowledged() {
    let bench = Bench::start();
    let template = "Resources: {It: {Type: Test::Fake::Thing, Properties: {Name: a, Role: r}}}";
    let error = bench.create("web", template).await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (
            "InsufficientCapabilitiesException",
            "Requires capabilities : [CAPABILITY_IAM]"
        )
    );
    let validated = bench
        .call(api::ValidateTemplateInput {
            template_body: Some(template.into()),
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(
        validated.capabilities,
        Some(vec![api::Capability::CapabilityIam])
    );
    assert_eq!(
        validated.capabilities_reason.as_deref(),
        Some("The following resource(s) require capabilities: [Test::Fake::Thing]")
    );
    for capability in [
        api::Capability::CapabilityIam,
        api::Capability::CapabilityNamedIam,
    ] {
        let name = format!("web-{}", capability as usize);
        let input = api::CreateStackInput {
            capabilities: Some(vec![capability]),
            ..create(&name, template)
        };
        let id = bench.call(input).await.unwrap().stack_id.unwrap();
        bench.ends(&id, "CREATE_COMPLETE").await;
    }
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let bench = Bench::start();
    let good = "Parameters: {P: {Type: String, Default: a}}\nResources: {It: {Type: Test::Fake::Thing, Properties: {Name: a}}}";
    let long = format!("{good}\n#{}", "x".repeat(51_200));
    let too_long = format!(
        "1 validation error detected: Value '{long}' at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to 51200"
    );
    for (input, expect) in [
        (
            create("1web", good),
            "1 validation error detected: Value '1web' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*",
        ),
        (
            api::CreateStackInput {
                template_body: None,
                ..create("web", good)
            },
            "Either Template URL or Template Body must be specified.",
        ),
        (
            api::CreateStackInput {
                template_url: Some("https://s3/x".into()),
                ..create("web", good)
            },
            "Both Template URL and Template Body cannot be specified.",
        ),
        (
            api::CreateStackInput {
                parameters: crate::bench::parameters(&[("Q", "1")]),
                ..create("web", good)
            },
            "Parameters: [Q] do not exist in the template",
        ),
        (create("web", &long), &too_long),
    ] {
        assert_eq!(bench.call(input).await.unwrap_err().message, expect);
    }
    let error = bench.update("nothing", good).await.unwrap_err();
    assert_eq!(error.message, "Stack [nothing] does not exist");
}

#[tokio::test]
async fn templates_are_described_without_a_stack() {
    let bench = Bench::start();
    let template = "
Description: d
Parameters: {P: {Type: String, Default: a, NoEcho: true, Description: the word}, N: {Type: Number, AllowedValues: [1, 2]}}
Resources: {It: {Type: Test::Fake::Thing, Properties: {Name: a}}}";
    let validated = bench
        .call(api::ValidateTemplateInput {
            template_body: Some(template.into()),
            ..Default::default()
        })
        .await
        .unwrap();
    let shown: Vec<_> = validated
        .parameters
        .unwrap()
        .into_iter()
        .map(|it| {
            (
                it.parameter_key.unwrap(),
                it.default_value,
                it.no_echo.unwrap(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("N".into(), None, false),
            ("P".to_owned(), Some("a".to_owned()), true)
        ]
    );
    let summary = bench
        .call(api::GetTemplateSummaryInput {
            template_body: Some(template.into()),
            ..Default::default()
        })
        .await
        .unwrap();
    assert_eq!(
        summary.resource_types,
        Some(vec!["Test::Fake::Thing".to_owned()])
    );
    assert_eq!(
        summary.parameters.unwrap()[0]
            .parameter_constraints
            .as_ref()
            .unwrap()
            .allowed_values,
        Some(vec!["1".into(), "2".into()])
    );
    let wrong = template.replace("Fake", "Fail");
    let error = bench
        .call(api::ValidateTemplateInput {
            template_body: Some(wrong),
            ..Default::default()
        })
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "Template error: resource type Test::Fail::Thing (line 4, column 24) is not supported by neargate"
    );
}

#[tokio::test]
async fn a_property_that_is_left_out_by_a_condition_need_not_be_supported() {
    let bench = Bench::start();
    let template = |word: &str| {
        format!(
            "
Parameters: {{Word: {{Type: String, Default: {word}}}}}
Conditions: {{Odd: !Equals [!Ref Word, odd]}}
Resources: {{X: {{Type: Test::Fake::Thing, Properties: {{Name: x, Odd: !If [Odd, 1, !Ref AWS::NoValue]}}}}}}"
        )
    };
    let error = bench.create("web", &template("odd")).await.unwrap_err();
    assert!(error.message.contains("property Odd of X"), "{error}");
    let id = bench.create("web", &template("even")).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
}

#[tokio::test]
async fn names_of_exports_and_of_awss_own_parameters_are_looked_at_before_anything_is_made() {
    let bench = Bench::start();
    let thing = "Resources: {It: {Type: Test::Fake::Thing, Properties: {Name: it}}}";
    let malformed = "Template format error: Output O is malformed. The Name field of every Export member must be specified and consist only of alphanumeric characters, colons, or hyphens.";
    for name in ["'a b'", "a_b", "!Sub 'a.${AWS::Region}'", "''"] {
        let template = format!("{thing}\nOutputs: {{O: {{Value: x, Export: {{Name: {name}}}}}}}");
        let expect = format!("{malformed} (line 2, column 40)");
        check(&bench, &template, &expect).await;
    }
    check(
        &bench,
        "Resources: {It: {Type: Test::Fake::Thing, Properties: {Name: '{{resolve:ssm:/aws/service/a/b}}'}}}",
        "Template error: AWS's public parameter /aws/service/a/b is not supported by neargate (line 1, column 55)",
    )
    .await;
}

#[test]
fn members_that_nothing_takes_are_refused_and_those_that_change_nothing_pass() {
    let read = |members: serde_json::Value| {
        let read = wire::lenient_partial::<api::CreateStackInput>(members);
        read.err().map(|error| error.to_string())
    };
    let refused =
        read(serde_json::json!({ "NotificationARNs": ["arn:aws:sns:us-east-1:000000000000:x"] }));
    assert_eq!(
        refused.as_deref(),
        Some("`NotificationARNs` is not supported by neargate")
    );
    let usual = serde_json::json!({
        "NotificationARNs": [],
        "RollbackConfiguration": { "RollbackTriggers": [], "MonitoringTimeInMinutes": 0 },
        "DeploymentConfig": { "Mode": "STANDARD" },
    });
    assert_eq!(read(usual), None);
}
