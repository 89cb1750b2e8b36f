use shapes::cloudformation as api;

use crate::bench::Bench;

fn input(name: &str, kind: api::ChangeSetType, template: &str) -> api::CreateChangeSetInput {
    api::CreateChangeSetInput {
        stack_name: "web".into(),
        change_set_name: name.into(),
        change_set_type: Some(kind),
        template_body: Some(template.into()),
        ..Default::default()
    }
}

async fn describe(bench: &Bench, name: &str) -> api::DescribeChangeSetOutput {
    let input = api::DescribeChangeSetInput {
        change_set_name: name.into(),
        stack_name: Some("web".into()),
        ..Default::default()
    };
    bench.call(input).await.unwrap()
}

async fn execute(bench: &Bench, name: &str) -> Result<(), cloud::Error> {
    let input = api::ExecuteChangeSetInput {
        change_set_name: name.into(),
        stack_name: Some("web".into()),
        ..Default::default()
    };
    bench.call(input).await.map(|_| ())
}

const BEFORE: &str = "
Resources:
  Net: {Type: Test::Fake::Thing, Properties: {Name: net}}
  Web: {Type: Test::Fake::Thing, Properties: {Name: web, Of: !Ref Net}}
  Old: {Type: Test::Fake::Thing, Properties: {Name: old}}
";
const AFTER: &str = "
Resources:
  Net: {Type: Test::Fake::Thing, Properties: {Name: net2}}
  Web: {Type: Test::Fake::Thing, Properties: {Name: web, Of: !Ref Net}}
  New: {Type: Test::Fake::Thing, Properties: {Name: !Ref Web}}
";

/// As `aws cloudformation deploy` does it, twice.
#[tokio::test]
async fn a_change_set_makes_a_stack_and_changes_it() {
    let bench = Bench::start();
    let answer = bench
        .call(input("first", api::ChangeSetType::Create, BEFORE))
        .await
        .unwrap();
    let id = answer.stack_id.unwrap();
    assert!(
        answer
            .id
            .unwrap()
            .starts_with("arn:aws:cloudformation:eu-west-1:000000000000:changeSet/first/")
    );
    assert_eq!(
        bench.stack("web").await.unwrap().stack_status.as_str(),
        "REVIEW_IN_PROGRESS"
    );
    let change_set = describe(&bench, "first").await;
    assert_eq!(
        change_set.status,
        Some(api::ChangeSetStatus::CreateComplete)
    );
    assert_eq!(
        change_set.execution_status,
        Some(api::ExecutionStatus::Available)
    );
    let actions = |set: &api::DescribeChangeSetOutput| -> Vec<(String, String, String)> {
        (set.changes.as_ref().unwrap().iter())
            .map(|it| {
                let it = it.resource_change.as_ref().unwrap();
                let replacement = it.replacement.map(|it| it.to_string()).unwrap_or_default();
                (
                    it.logical_resource_id.clone().unwrap(),
                    it.action.unwrap().to_string(),
                    replacement,
                )
            })
            .collect()
    };
    let expect = |list: &[(&str, &str, &str)]| -> Vec<(String, String, String)> {
        list.iter()
            .map(|(a, b, c)| ((*a).into(), (*b).into(), (*c).into()))
            .collect()
    };
    assert_eq!(
        actions(&change_set),
        expect(&[("Net", "Add", ""), ("Old", "Add", ""), ("Web", "Add", "")])
    );
    assert!(bench.world.live().is_empty());
    execute(&bench, "first").await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    assert_eq!(
        describe(&bench, "first").await.execution_status,
        Some(api::ExecutionStatus::ExecuteComplete)
    );
    assert_eq!(
        execute(&bench, "first").await.unwrap_err().code,
        "InvalidChangeSetStatus"
    );

    bench
        .call(input("none", api::ChangeSetType::Update, BEFORE))
        .await
        .unwrap();
    let none = describe(&bench, "none").await;
    assert_eq!(none.status, Some(api::ChangeSetStatus::Failed));
    assert!(
        none.status_reason
            .unwrap()
            .starts_with("The submitted information didn't contain changes.")
    );
    assert_eq!(
        execute(&bench, "none").await.unwrap_err().code,
        "InvalidChangeSetStatus"
    );

    bench
        .call(input("second", api::ChangeSetType::Update, AFTER))
        .await
        .unwrap();
    bench
        .call(input("third", api::ChangeSetType::Update, AFTER))
        .await
        .unwrap();
    let change_set = describe(&bench, "second").await;
    assert_eq!(
        actions(&change_set),
        expect(&[
            ("Net", "Modify", "True"),
            ("Web", "Modify", "False"),
            ("New", "Add", ""),
            ("Old", "Remove", "")
        ])
    );
    let details = change_set.changes.unwrap()[1]
        .resource_change
        .clone()
        .unwrap()
        .details
        .unwrap();
    assert_eq!(
        details[0].target.as_ref().unwrap().name.as_deref(),
        Some("Of")
    );
    assert_eq!(details[0].evaluation, Some(api::EvaluationType::Dynamic));
    execute(&bench, "second").await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    assert_eq!(
        bench.world.live().keys().collect::<Vec<_>>(),
        ["net-4", "new-5", "web-3"]
    );
    // What was computed against the stack as it was is gone.
    let error = execute(&bench, "third").await.unwrap_err();
    assert_eq!((error.code, error.status), ("ChangeSetNotFound", 404));
    bench
        .call(api::DeleteChangeSetInput {
            change_set_name: "third".into(),
            stack_name: Some("web".into()),
        })
        .await
        .unwrap();
    let sets = bench
        .call(api::ListChangeSetsInput {
            stack_name: "web".into(),
            ..Default::default()
        })
        .await
        .unwrap();
    // What was executed is not listed any more.
    assert!(sets.summaries.unwrap().is_empty());
}

#[tokio::test]
async fn a_replacement_that_depends_on_what_is_not_known_is_conditional() {
    let bench = Bench::start();
    let before = "
Resources:
  Net: {Type: Test::Fake::Thing, Properties: {Name: net}}
  Web: {Type: Test::Fake::Thing, Properties: {Name: !Ref Net}}";
    bench
        .call(input("first", api::ChangeSetType::Create, before))
        .await
        .unwrap();
    execute(&bench, "first").await.unwrap();
    let id = bench.stack("web").await.unwrap().stack_id.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    bench
        .call(input(
            "second",
            api::ChangeSetType::Update,
            &before.replace("Name: net", "Name: net2"),
        ))
        .await
        .unwrap();
    let changes = describe(&bench, "second").await.changes.unwrap();
    assert_eq!(
        changes[1].resource_change.as_ref().unwrap().replacement,
        Some(api::Replacement::Conditional)
    );
}

#[tokio::test]
async fn a_stack_in_review_can_be_deleted() {
    let bench = Bench::start();
    let answer = bench
        .call(input("first", api::ChangeSetType::Create, BEFORE))
        .await
        .unwrap();
    let error = bench
        .call(input("first", api::ChangeSetType::Create, BEFORE))
        .await
        .unwrap_err();
    assert_eq!(error.code, "AlreadyExistsException");
    bench.delete("web").await.unwrap();
    bench
        .ends(&answer.stack_id.unwrap(), "DELETE_COMPLETE")
        .await;
    let error = bench
        .call(input("x", api::ChangeSetType::Update, BEFORE))
        .await
        .unwrap_err();
    assert_eq!(error.message, "Stack [web] does not exist");
}
