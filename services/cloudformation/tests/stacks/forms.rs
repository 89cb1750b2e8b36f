//! What a template says of its resources is looked at before anything is made; what goes wrong all the same
//! is the resource's failure alone, and leaves nothing behind.

use shapes::cloudformation as api;

use crate::bench::{Bench, create, parameters};

fn thing(properties: &str) -> String {
    format!("Resources: {{X: {{Type: Test::Fake::Thing, Properties: {{{properties}}}}}}}")
}

#[tokio::test]
async fn properties_of_another_form_are_refused_by_every_way_in() {
    let bench = Bench::start();
    for (properties, expect) in [
        (
            "Name: {a: b}",
            "#/Name: expected type: String, found: JSONObject",
        ),
        (
            "Name: [a]",
            "#/Name: expected type: String, found: JSONArray",
        ),
        (
            "Name: x, Groups: a",
            "#/Groups: expected type: JSONArray, found: String",
        ),
        (
            "Name: x, Groups: !Ref AWS::Region",
            "#/Groups: expected type: JSONArray, found: String",
        ),
        (
            "Name: x, Rules: [1]",
            "#/Rules/0: expected type: JSONObject, found: Integer",
        ),
        (
            "Name: x, Rules: {Port: a}",
            "#/Rules/0/Port: expected type: Number, found: String",
        ),
        (
            "Name: x, Net: y",
            "#/Net: expected type: JSONObject, found: String",
        ),
        (
            "Name: !Split [',', 'a,b']",
            "#/Name: expected type: String, found: JSONArray",
        ),
    ] {
        let template = thing(properties);
        let expect =
            format!("Properties validation failed for resource X with message: [{expect}] (line 1");
        let created = bench.create("web", &template).await.unwrap_err();
        assert!(created.message.starts_with(&expect), "{}", created.message);
        let change_set = api::CreateChangeSetInput {
            stack_name: "web".into(),
            change_set_name: "c".into(),
            change_set_type: Some(api::ChangeSetType::Create),
            template_body: Some(template.clone()),
            ..Default::default()
        };
        let planned = bench.call(change_set).await.unwrap_err();
        assert_eq!(planned.message, created.message);
        let validated = bench
            .call(api::ValidateTemplateInput {
                template_body: Some(template),
                ..Default::default()
            })
            .await
            .unwrap_err();
        assert_eq!(validated.message, created.message);
    }
    assert!(bench.stack("web").await.is_err());
    assert!(bench.world.live().is_empty());
}

#[tokio::test]
async fn what_cannot_be_computed_is_refused_before_anything_is_made() {
    let bench = Bench::start();
    for (value, expect) in [
        (
            "!Select [3, [a, b]]",
            "Fn::Select cannot select nonexistent value at index 3",
        ),
        (
            "!Select [x, [a]]",
            "Fn::Select requires a list argument with two elements",
        ),
        (
            "!FindInMap [M, !Ref P, z]",
            "Unable to get mapping for M::a::z",
        ),
        (
            "!Select [5, !Ref L]",
            "Fn::Select cannot select nonexistent value at index 5",
        ),
    ] {
        let template = format!(
            "Parameters: {{P: {{Type: String, Default: a}}, L: {{Type: CommaDelimitedList, Default: 'x,y'}}}}\nMappings: {{M: {{a: {{b: c}}}}}}\n{}",
            thing(&format!("Name: {value}"))
        );
        let error = bench.create("web", &template).await.unwrap_err();
        assert!(error.message.contains(expect), "{}", error.message);
        // What a condition leaves out is nobody's mistake.
        let left_out = template.replace("{Type: Test", "{Condition: C, Type: Test")
            + "\nConditions: {C: !Equals [a, b]}\n";
        let left_out = left_out.replace(
            "Resources: {X",
            "Resources: {Y: {Type: Test::Fake::Thing, Properties: {Name: y}}, X",
        );
        let id = bench.create("other", &left_out).await.unwrap();
        bench.ends(&id, "CREATE_COMPLETE").await;
        bench.delete("other").await.unwrap();
        bench.ends(&id, "DELETE_COMPLETE").await;
    }
    // What nobody knows yet is left open.
    let open = "
Resources:
  A: {Type: Test::Fake::Thing, Properties: {Name: a}}
  B: {Type: Test::Fake::Thing, Properties: {Name: !Select [6, !Split [':', !Ref A]]}}";
    let change_set = api::CreateChangeSetInput {
        stack_name: "open".into(),
        change_set_name: "c".into(),
        change_set_type: Some(api::ChangeSetType::Create),
        template_body: Some(open.into()),
        ..Default::default()
    };
    bench.call(change_set).await.unwrap();
}

/// A creation that fails after its first call leaves nothing; neither does one that panics.
#[tokio::test]
async fn a_creation_that_fails_halfway_is_deleted_as_far_as_it_came() {
    for how in ["halfway", "panic"] {
        let bench = Bench::start();
        bench.world.break_thing("x", how);
        let template = "
Resources:
  Y: {Type: Test::Fake::Thing, Properties: {Name: y}}
  X: {Type: Test::Fake::Thing, Properties: {Name: x, Of: !Ref Y}}";
        let id = bench.create("web", template).await.unwrap();
        bench.ends(&id, "ROLLBACK_COMPLETE").await;
        assert!(bench.world.live().is_empty(), "{how}");
        let events = bench.events(&id).await;
        let failed = events
            .iter()
            .find(|it| it.starts_with("X CREATE_FAILED"))
            .unwrap();
        assert!(
            failed.contains(if how == "panic" {
                "Internal Failure"
            } else {
                "no room"
            }),
            "{failed}"
        );
        assert!(
            events.iter().any(|it| it == "X DELETE_COMPLETE"),
            "{events:#?}"
        );
        bench.delete("web").await.unwrap();
        bench.ends(&id, "DELETE_COMPLETE").await;
        // In an update, what was before is there again.
        bench.world.repair();
        let id = bench.create("again", template).await.unwrap();
        bench.ends(&id, "CREATE_COMPLETE").await;
        let before = bench.world.live();
        bench.world.break_thing("x2", how);
        bench
            .update("again", &template.replace("Name: x", "Name: x2"))
            .await
            .unwrap();
        bench.ends(&id, "UPDATE_ROLLBACK_COMPLETE").await;
        assert_eq!(bench.world.live(), before);
    }
}

#[tokio::test]
async fn the_type_of_a_resource_stays() {
    let bench = Bench::start();
    let id = bench.create("web", &thing("Name: x")).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    let other = "Resources: {X: {Type: AWS::CloudFormation::WaitConditionHandle}}";
    let error = bench.update("web", other).await.unwrap_err();
    assert_eq!(
        error.message,
        "Update of resource type is not permitted. The new template modifies resource type of the following resources: [X]"
    );
}

async fn changes(bench: &Bench, template: &str, given: &[(&str, &str)]) -> Vec<String> {
    let name = format!("c{}", bench.world.calls());
    let input = api::CreateChangeSetInput {
        stack_name: "web".into(),
        change_set_name: name.clone(),
        template_body: Some(template.into()),
        parameters: parameters(given),
        ..Default::default()
    };
    bench.call(input).await.unwrap();
    let described = api::DescribeChangeSetInput {
        change_set_name: name.clone(),
        stack_name: Some("web".into()),
        ..Default::default()
    };
    let answer = bench.call(described).await.unwrap();
    let dropped = api::DeleteChangeSetInput {
        change_set_name: name,
        stack_name: Some("web".into()),
    };
    bench.call(dropped).await.unwrap();
    let mut told = Vec::new();
    for change in answer.changes.unwrap() {
        let change = change.resource_change.unwrap();
        let id = change.logical_resource_id.unwrap();
        for detail in change.details.unwrap() {
            let target = detail.target.unwrap();
            assert!(target.path.is_none() && target.before_value.is_none());
            told.push(format!(
                "{id} {}{} {} {} {}",
                target.attribute.unwrap(),
                target.name.map(|it| format!("/{it}")).unwrap_or_default(),
                detail.change_source.unwrap(),
                detail.causing_entity.unwrap_or("-".into()),
                detail.evaluation.unwrap()
            ));
        }
    }
    told
}

#[tokio::test]
async fn change_sets_tell_why_something_changes() {
    let bench = Bench::start();
    let template = "
Parameters: {P: {Type: String, Default: one}, Keep: {Type: String, Default: Delete}}
Resources:
  A: {Type: Test::Fake::Thing, Properties: {Name: a, Size: !Ref P}, Metadata: {p: !Ref P}, DeletionPolicy: !Ref Keep}
  B: {Type: Test::Fake::Thing, Properties: {Name: b, Size: !GetAtt A.Size}}
  C: {Type: Test::Fake::Thing, Properties: {Name: c, Of: !Ref A}}
";
    let id = bench.create("web", template).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    assert_eq!(
        changes(&bench, template, &[("P", "two")]).await,
        [
            "A Metadata ParameterReference P Static",
            "A Metadata DirectModification - Dynamic",
            "A Properties/Size ParameterReference P Static",
            "A Properties/Size DirectModification - Dynamic",
            "B Properties/Size ResourceAttribute A.Size Dynamic",
        ]
    );
    assert_eq!(
        changes(&bench, &template.replace("Name: a,", "Name: a2,"), &[]).await,
        [
            "A Properties/Name DirectModification - Static",
            "B Properties/Size ResourceAttribute A.Size Dynamic",
            "C Properties/Of ResourceReference A Dynamic",
        ]
    );
    assert_eq!(
        changes(&bench, template, &[("Keep", "Retain")]).await,
        [
            "A DeletionPolicy ParameterReference Keep Static",
            "A DeletionPolicy DirectModification - Dynamic",
        ]
    );
    assert_eq!(
        changes(
            &bench,
            &template.replace("Metadata: {p: !Ref P}", "Metadata: {p: q}"),
            &[]
        )
        .await,
        ["A Metadata DirectModification - Static"]
    );
    // The attribute alone is an update, and what it says holds.
    let kept = template.replace(
        "B: {Type: Test::Fake::Thing,",
        "B: {Type: Test::Fake::Thing, DeletionPolicy: Retain,",
    );
    bench.update("web", &kept).await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    assert_eq!(
        bench.update("web", &kept).await.unwrap_err().message,
        "No updates are to be performed."
    );
    bench.delete("web").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    assert_eq!(bench.world.live().len(), 1);
}

#[tokio::test]
async fn a_stack_in_review_may_be_made_without_its_change_set() {
    let bench = Bench::start();
    let change_set = api::CreateChangeSetInput {
        stack_name: "web".into(),
        change_set_name: "c".into(),
        change_set_type: Some(api::ChangeSetType::Create),
        template_body: Some(thing("Name: x")),
        include_nested_stacks: Some(true),
        resource_types: Some(vec!["Test::*".into()]),
        deployment_config: Some(api::DeploymentConfig::default()),
        ..Default::default()
    };
    let id = bench
        .call(change_set.clone())
        .await
        .unwrap()
        .stack_id
        .unwrap();
    let made = bench.create("web", &thing("Name: y")).await.unwrap();
    assert_eq!(made, id);
    bench.ends(&id, "CREATE_COMPLETE").await;
    let refused = api::CreateChangeSetInput {
        change_set_type: None,
        resource_types: Some(vec!["AWS::*".into()]),
        ..change_set
    };
    let error = bench.call(refused).await.unwrap_err();
    assert_eq!(
        error.message,
        "Resource type Test::Fake::Thing is not allowed by parameter ResourceTypes [AWS::*]"
    );
}

#[tokio::test]
async fn a_loop_is_unrolled_once_it_is_acknowledged() {
    let bench = Bench::start();
    let template = "
Transform: AWS::LanguageExtensions
Parameters: {Names: {Type: CommaDelimitedList}}
Resources:
  Fn::ForEach::All: [N, !Ref Names, {'X${N}': {Type: Test::Fake::Thing, Properties: {Name: !Ref N}}}]
";
    let input = |capabilities| api::CreateStackInput {
        parameters: parameters(&[("Names", "a,b")]),
        capabilities,
        ..create("web", template)
    };
    let error = bench.call(input(None)).await.unwrap_err();
    assert_eq!(
        error.message,
        "Requires capabilities : [CAPABILITY_AUTO_EXPAND]"
    );
    let given = Some(vec![api::Capability::CapabilityAutoExpand]);
    let id = bench.call(input(given)).await.unwrap().stack_id.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    let ids: Vec<String> = bench.resources("web").await.into_keys().collect();
    assert_eq!(ids, ["Xa", "Xb"]);
    let text = |stage| api::GetTemplateInput {
        stack_name: Some("web".into()),
        template_stage: stage,
        ..Default::default()
    };
    let original = bench
        .call(text(Some(api::TemplateStage::Original)))
        .await
        .unwrap();
    assert_eq!(original.template_body.as_deref(), Some(template));
    let processed = bench.call(text(None)).await.unwrap().template_body.unwrap();
    assert!(
        processed.contains("Xb") && !processed.contains("ForEach"),
        "{processed}"
    );
}
