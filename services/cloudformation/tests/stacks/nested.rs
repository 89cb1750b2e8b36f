//! Trees of stacks: made, shown, updated, rolled back and deleted as one.

use std::time::Duration;

use serde_json::json;
use shapes::cloudformation as api;

use crate::bench::{Bench, create, parameters, update};

/// Two nested stacks: the second uses what the first one made.
pub const ROOT: &str = "
Parameters: {Secret: {Type: String, NoEcho: true, Default: hunter22}}
Resources:
  Net:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: https://s3-eu-west-1.amazonaws.com/templates/net.yaml
      Tags: [{Key: part, Value: net}]
  Web:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: !Sub 'https://templates.s3.${AWS::Region}.amazonaws.com/web.yaml'
      Parameters: {Nets: !GetAtt Net.Outputs.Nets, Count: 2, Word: !Ref Secret}
  Last: {Type: Test::Fake::Thing, Properties: {Name: last, Of: !GetAtt Web.Outputs.Web}}
Outputs: {Url: {Value: !GetAtt Web.Outputs.Web}}
";
pub const NET: &str = "
Resources:
  A: {Type: Test::Fake::Thing, Properties: {Name: a, Size: 1}}
  B: {Type: Test::Fake::Thing, Properties: {Name: b}}
Outputs: {Nets: {Value: !Join [',', [!Ref A, !Ref B]], Export: {Name: nets}}}
";
pub const WEB: &str = "
Parameters: {Nets: {Type: List<String>}, Count: {Type: Number}, Word: {Type: String}}
Resources:
  Web: {Type: Test::Fake::Thing, Properties: {Name: web, Of: !Select [0, !Ref Nets], Size: !Ref Count, Role: !Ref Word}}
Outputs: {Web: {Value: !Ref Web}}
";

pub fn put(bench: &Bench, net: &str, web: &str) {
    bench.put("templates/net.yaml", net);
    bench.put("templates/web.yaml", web);
}

/// WEB needs a capability for its `Role`.
fn with_capability(input: api::CreateStackInput) -> api::CreateStackInput {
    api::CreateStackInput {
        capabilities: Some(vec![api::Capability::CapabilityIam]),
        ..input
    }
}

pub async fn tree(bench: &Bench) -> String {
    put(bench, NET, WEB);
    let input = with_capability(create("root", ROOT));
    bench.call(input).await.unwrap().stack_id.unwrap()
}

pub async fn update_tree(bench: &Bench) -> Result<(), cloud::Error> {
    let input = api::UpdateStackInput {
        capabilities: Some(vec![api::Capability::CapabilityIam]),
        ..update("root", ROOT)
    };
    bench.call(input).await.map(|_| ())
}

/// The names of everything that exists, sorted.
fn live(bench: &Bench) -> Vec<String> {
    let mut names: Vec<String> = (bench.world.live().values())
        .map(|it| it["Name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_tree_is_made_shown_and_deleted() {
    let bench = Bench::start();
    let id = tree(&bench).await;
    let root = bench.ends(&id, "CREATE_COMPLETE").await;
    assert_eq!(live(&bench), ["a", "b", "last", "web"]);
    let net = bench.physical_id("root", "Net").await;
    let web = bench.physical_id("root", "Web").await;
    let made = bench.world.live();
    let made = made.values().find(|it| it["Name"] == "web").unwrap();
    assert_eq!(made["Size"], "2");
    assert!(made["Of"].as_str().unwrap().starts_with("a-"), "{made}");
    assert_eq!(
        root.outputs.unwrap()[0].output_value,
        bench.stack(&web).await.unwrap().outputs.unwrap()[0].output_value
    );

    let stack = bench.stack(&net).await.unwrap();
    let suffix = stack.stack_name.strip_prefix("root-Net-").unwrap();
    assert!(
        suffix.len() == 12
            && suffix
                .bytes()
                .all(|it| it.is_ascii_uppercase() || it.is_ascii_digit())
    );
    assert_eq!(
        (stack.parent_id.as_deref(), stack.root_id.as_deref()),
        (Some(id.as_str()), Some(id.as_str()))
    );
    let tags: Vec<_> = stack
        .tags
        .unwrap()
        .into_iter()
        .map(|it| (it.key, it.value))
        .collect();
    assert_eq!(tags, [("part".to_owned(), "net".to_owned())]);

    // The secret of the root stays one where the nested template does not know it for one.
    let shown = format!(
        "{:?} {:?}",
        bench.stack(&web).await,
        events(&bench, &web).await
    );
    assert!(!shown.contains("hunter22"), "{shown}");
    assert!(shown.contains("****"), "{shown}");
    let shown = format!("{:?}", events(&bench, &id).await);
    assert!(
        !shown.contains("hunter22") && shown.contains("****"),
        "{shown}"
    );

    bench.delete("root").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    assert_eq!(live(&bench), [""; 0]);
    for nested in [&net, &web] {
        bench.ends(nested, "DELETE_COMPLETE").await;
    }
}

async fn events(bench: &Bench, id: &str) -> Vec<api::StackEvent> {
    let input = api::DescribeStackEventsInput {
        stack_name: id.into(),
        ..Default::default()
    };
    bench.call(input).await.unwrap().stack_events.unwrap()
}

async fn refused(bench: &Bench, template: &str) -> String {
    let error = bench.create("root", template).await.unwrap_err();
    assert!(bench.stack("root").await.is_err(), "something was recorded");
    assert_eq!(bench.world.live(), Default::default());
    error.message
}

#[tokio::test]
async fn what_is_wrong_anywhere_in_a_tree_is_found_before_anything_is_made() {
    let bench = Bench::start();
    let root = |url: &str, more: &str| {
        format!(
            "Resources:\n  First: {{Type: Test::Fake::Thing, Properties: {{Name: first}}}}\n  N: {{Type: AWS::CloudFormation::Stack, DependsOn: First, Properties: {{TemplateURL: '{url}'{more}}}}}"
        )
    };
    let url = "https://s3.amazonaws.com/templates/n.yaml";
    let message = refused(&bench, &root(url, "")).await;
    assert!(
        message.ends_with("S3 error: The specified key does not exist. (templates/n.yaml)"),
        "{message}"
    );
    let message = refused(&bench, &root("https://example.com/a/b", "")).await;
    assert!(message.contains("must be a supported URL"), "{message}");

    bench.put(
        "templates/n.yaml",
        "Resources: {X: {Type: AWS::Nope::Nope}}",
    );
    let message = refused(&bench, &root(url, "")).await;
    assert!(
        message.starts_with("Embedded stack N (https://s3.amazonaws.com/templates/n.yaml): "),
        "{message}"
    );
    assert!(
        message.contains("resource type AWS::Nope::Nope"),
        "{message}"
    );

    // The same two levels down.
    bench.put(
        "templates/deep.yaml",
        "Resources: {X: {Type: AWS::Nope::Nope}}",
    );
    bench.put("templates/n.yaml", "Resources: {D: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: 'https://templates.s3.amazonaws.com/deep.yaml'}}}");
    assert!(
        refused(&bench, &root(url, ""))
            .await
            .contains("AWS::Nope::Nope")
    );

    bench.put("templates/n.yaml", "Parameters: {P: {Type: Number}}\nResources: {X: {Type: Test::Fake::Thing, Properties: {Name: x, Size: !Ref P}}}");
    assert!(
        refused(&bench, &root(url, ""))
            .await
            .contains("Parameters: [P] must have values")
    );
    let message = refused(&bench, &root(url, ", Parameters: {P: 1, Q: 2}")).await;
    assert!(
        message.contains("Parameters: [Q] do not exist in the template"),
        "{message}"
    );
    // What only the building tells is not guessed at.
    bench
        .create("root", &root(url, ", Parameters: {P: !Ref First}"))
        .await
        .unwrap();

    // What a nested template asks to be acknowledged is asked of the root.
    bench.put(
        "templates/n.yaml",
        "Resources: {X: {Type: Test::Fake::Thing, Properties: {Name: x, Role: r}}}",
    );
    let error = bench.create("other", &root(url, "")).await.unwrap_err();
    assert_eq!(error.code, "InsufficientCapabilitiesException");

    // A template that nests itself.
    bench.put("templates/n.yaml", &root(url, ""));
    let error = bench.create("other", &root(url, "")).await.unwrap_err();
    assert!(error.message.contains("nested more than"), "{error}");
}

#[tokio::test]
async fn conditions_of_what_is_not_known_yet_refuse_nothing() {
    let bench = Bench::start();
    bench.put(
        "t/n.yaml",
        "
Parameters: {Id: {Type: String}}
Conditions: {Odd: !Equals [!Ref Id, 'never'], Not: !Not [!Condition Odd]}
Resources:
  X: {Type: Test::Fake::Thing, Condition: Not, Properties: {Name: x}}
  Y: {Type: AWS::Nope::Nope, Condition: Odd}
Outputs: {X: {Condition: Not, Value: !Ref X}}",
    );
    let id = bench.create("root", "
Resources:
  First: {Type: Test::Fake::Thing, Properties: {Name: first}}
  N: {Type: AWS::CloudFormation::Stack, Properties: {TemplateURL: 'http://127.0.0.1:4566/t/n.yaml', Parameters: {Id: !Ref First}}}").await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    assert_eq!(live(&bench), ["first", "x"]);
}

#[tokio::test]
async fn a_failed_creation_takes_the_whole_tree_back() {
    let bench = Bench::start();
    bench.world.break_thing("web", "create");
    let id = tree(&bench).await;
    bench.ends(&id, "ROLLBACK_COMPLETE").await;
    assert_eq!(live(&bench), [""; 0]);
    let events = bench.events(&id).await;
    let failed = events
        .iter()
        .find(|it| it.starts_with("Web CREATE_FAILED"))
        .unwrap();
    assert!(
        failed.contains(
            "Embedded stack arn:aws:cloudformation:eu-west-1:000000000000:stack/root-Web-"
        ),
        "{failed}"
    );
    assert!(
        failed.contains(
            "was not successfully created: The following resource(s) failed to create: [Web]."
        ),
        "{failed}"
    );
    for id in ["Net", "Web"] {
        let nested = bench.physical_id("root", id).await;
        bench.ends(&nested, "DELETE_COMPLETE").await;
    }
}

#[tokio::test]
async fn a_tree_without_rollback_stays_as_it_failed() {
    let bench = Bench::start();
    put(&bench, NET, WEB);
    bench.world.break_thing("web", "create");
    let input = api::CreateStackInput {
        disable_rollback: Some(true),
        ..with_capability(create("root", ROOT))
    };
    let id = bench.call(input).await.unwrap().stack_id.unwrap();
    bench.ends(&id, "CREATE_FAILED").await;
    let web = bench.physical_id("root", "Web").await;
    bench.ends(&web, "CREATE_FAILED").await;
    assert_eq!(live(&bench), ["a", "b"]);
    bench.delete("root").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    bench.ends(&web, "DELETE_COMPLETE").await;
    assert_eq!(live(&bench), [""; 0]);
}

#[tokio::test]
async fn an_update_reaches_a_nested_template_that_changed_in_its_bucket() {
    let bench = Bench::start();
    let id = tree(&bench).await;
    bench.ends(&id, "CREATE_COMPLETE").await;
    let web = bench.physical_id("root", "Web").await;
    // Replaces `a`, whose id travels through an output into the other nested stack.
    put(&bench, &NET.replace("Name: a,", "Name: a2,"), WEB);
    update_tree(&bench).await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    assert_eq!(live(&bench), ["a2", "b", "last", "web"]);
    let made = bench.world.live();
    let (new, _) = made.iter().find(|(_, it)| it["Name"] == "a2").unwrap();
    let user = made.values().find(|it| it["Name"] == "web").unwrap();
    assert_eq!(user["Of"], json!(new));
    assert_eq!(bench.physical_id("root", "Web").await, web);
    bench.ends(&web, "UPDATE_COMPLETE").await;
    let net = bench.physical_id("root", "Net").await;
    bench.ends(&net, "UPDATE_COMPLETE").await;
    // The same again finds nothing to do, and says so of the parts.
    update_tree(&bench).await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    let events = bench.events(&net).await;
    assert_eq!(
        events
            .iter()
            .filter(|it| it.contains("UPDATE_COMPLETE_CLEANUP"))
            .count(),
        1,
        "{events:#?}"
    );
}

#[tokio::test]
async fn a_failed_update_brings_the_tree_back_to_exactly_what_it_was() {
    let bench = Bench::start();
    let id = tree(&bench).await;
    bench.ends(&id, "CREATE_COMPLETE").await;
    let before = bench.world.live();
    let net = bench.physical_id("root", "Net").await;
    let outputs = bench.stack(&net).await.unwrap().outputs;
    // Net replaces one thing, changes another and is done with it; then Web fails.
    let new = NET
        .replace("Name: a,", "Name: a2,")
        .replace("Name: b}", "Name: b, Size: 9}");
    put(&bench, &new, &WEB.replace("Name: web", "Name: web2"));
    bench.world.break_thing("web2", "create");
    update_tree(&bench).await.unwrap();
    let root = bench.ends(&id, "UPDATE_ROLLBACK_COMPLETE").await;
    assert_eq!(bench.world.live(), before, "{:#?}", bench.events(&id).await);
    assert_eq!(root.outputs.unwrap().len(), 1);
    let stack = bench.ends(&net, "UPDATE_ROLLBACK_COMPLETE").await;
    assert_eq!(stack.outputs, outputs);
    let web = bench.physical_id("root", "Web").await;
    bench.ends(&web, "UPDATE_ROLLBACK_COMPLETE").await;
    let events = bench.events(&id).await;
    let failed = events
        .iter()
        .find(|it| it.starts_with("Web UPDATE_FAILED"))
        .unwrap();
    assert!(
        failed.contains("was not successfully updated. Currently in UPDATE_ROLLBACK"),
        "{failed}"
    );
    let exports = bench
        .call(api::ListExportsInput::default())
        .await
        .unwrap()
        .exports
        .unwrap();
    assert_eq!(exports[0].value, outputs.unwrap()[0].output_value);

    // And it can be updated afterwards.
    bench.world.repair();
    update_tree(&bench).await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    assert_eq!(live(&bench), ["a2", "b", "last", "web2"]);
    bench.delete("root").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    assert_eq!(live(&bench), [""; 0]);
}

#[tokio::test]
async fn a_sibling_that_fails_takes_a_finished_nested_update_back() {
    let bench = Bench::start();
    let id = tree(&bench).await;
    bench.ends(&id, "CREATE_COMPLETE").await;
    let before = bench.world.live();
    put(&bench, &NET.replace("Name: a,", "Name: a2,"), WEB);
    bench.world.break_thing("last2", "create");
    let input = api::UpdateStackInput {
        capabilities: Some(vec![api::Capability::CapabilityIam]),
        ..update("root", &ROOT.replace("Name: last", "Name: last2"))
    };
    bench.call(input).await.unwrap();
    bench.ends(&id, "UPDATE_ROLLBACK_COMPLETE").await;
    assert_eq!(bench.world.live(), before);
    let net = bench.physical_id("root", "Net").await;
    bench.ends(&net, "UPDATE_ROLLBACK_COMPLETE").await;
}

#[tokio::test]
async fn a_nested_stack_that_leaves_the_template_goes_and_what_it_retains_stays() {
    let bench = Bench::start();
    put(
        &bench,
        &NET.replace("B: {", "B: {DeletionPolicy: Retain, "),
        WEB,
    );
    let id = bench
        .call(with_capability(create("root", ROOT)))
        .await
        .unwrap()
        .stack_id
        .unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    bench
        .update(
            "root",
            "Resources: {Last: {Type: Test::Fake::Thing, Properties: {Name: last}}}",
        )
        .await
        .unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    assert_eq!(live(&bench), ["b", "last"]);
}

#[tokio::test]
async fn protection_is_the_roots_and_exports_protect_across_trees() {
    let bench = Bench::start();
    let id = tree(&bench).await;
    bench.ends(&id, "CREATE_COMPLETE").await;
    let net = bench.physical_id("root", "Net").await;
    let protect = |name: &str, on: bool| api::UpdateTerminationProtectionInput {
        enable_termination_protection: on,
        stack_name: name.into(),
    };
    assert!(bench.call(protect(&net, true)).await.is_err());
    bench.call(protect("root", true)).await.unwrap();
    assert_eq!(
        bench
            .stack(&net)
            .await
            .unwrap()
            .enable_termination_protection,
        Some(true)
    );
    assert!(
        bench
            .delete(&net)
            .await
            .unwrap_err()
            .message
            .contains("TerminationProtection")
    );
    bench.call(protect("root", false)).await.unwrap();

    let user = bench.create("user", "Resources: {U: {Type: Test::Fake::Thing, Properties: {Name: u, Size: !ImportValue nets}}}").await.unwrap();
    bench.ends(&user, "CREATE_COMPLETE").await;
    bench.delete("root").await.unwrap();
    let root = bench.ends(&id, "DELETE_FAILED").await;
    assert!(root.stack_status_reason.unwrap().contains("[Net]"));
    let events = bench.events(&id).await;
    assert!(
        events
            .iter()
            .any(|it| it
                == "Net DELETE_FAILED Export nets cannot be deleted as it is in use by user."),
        "{events:#?}"
    );
    bench.delete("user").await.unwrap();
    bench.ends(&user, "DELETE_COMPLETE").await;
    bench.delete("root").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
    assert_eq!(live(&bench), [""; 0]);
}

#[tokio::test]
async fn a_rollback_that_failed_in_a_nested_stack_is_continued_from_the_root() {
    let bench = Bench::start();
    let id = tree(&bench).await;
    bench.ends(&id, "CREATE_COMPLETE").await;
    // The update of `b` succeeds, but bringing it back does not.
    put(
        &bench,
        &NET.replace("Name: b}", "Name: b, Size: 9}"),
        &WEB.replace("Name: web", "Name: web2"),
    );
    bench.world.hold("web2");
    update_tree(&bench).await.unwrap();
    let net = bench.physical_id("root", "Net").await;
    while !(bench.world.live().values()).any(|it| it["Name"] == "web2") {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The first has finished and waits for the second.
    let stack = bench.stack(&net).await.unwrap();
    assert_eq!(
        stack.stack_status.as_str(),
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
    );
    bench.world.break_thing("b", "update");
    bench.world.break_thing("web2", "stability");
    bench.ends(&id, "UPDATE_ROLLBACK_FAILED").await;
    bench.ends(&net, "UPDATE_ROLLBACK_FAILED").await;
    let skip = |stack: &str, resource: String| api::ContinueUpdateRollbackInput {
        stack_name: stack.into(),
        resources_to_skip: Some(vec![resource]),
        ..Default::default()
    };
    let path = format!("{}.B", stack.stack_name);
    assert!(bench.call(skip("root", "nowhere.B".into())).await.is_err());
    assert!(bench.call(skip(&net, "B".into())).await.is_err());
    bench.call(skip("root", path)).await.unwrap();
    bench.ends(&id, "UPDATE_ROLLBACK_COMPLETE").await;
    bench.ends(&net, "UPDATE_ROLLBACK_COMPLETE").await;
    assert_eq!(live(&bench), ["a", "b", "last", "web"]);
}

#[tokio::test]
async fn parameters_out_of_the_store_and_of_ec2_are_looked_up() {
    let bench = Bench::start();
    let template = "
Parameters:
  Image: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /images/web}
  Hosts: {Type: 'AWS::SSM::Parameter::Value<List<String>>', Default: /hosts}
  Vpc: {Type: 'AWS::EC2::VPC::Id'}
Resources:
  X: {Type: Test::Fake::Thing, Properties: {Name: x, Size: !Ref Image, Of: !Select [1, !Ref Hosts]}}";
    let input = |vpc: &str| api::CreateStackInput {
        parameters: parameters(&[("Vpc", vpc)]),
        ..create("web", template)
    };
    let message = bench.call(input("vpc-1")).await.unwrap_err().message;
    assert_eq!(
        message,
        "Unable to fetch parameters [/hosts,/images/web] from parameter store for this account."
    );
    bench.put("ssm:/images/web", "nginx:1");
    bench.put("ssm:/hosts", "one, two");
    let message = bench.call(input("vpc-2")).await.unwrap_err().message;
    assert_eq!(
        message,
        "Parameter validation failed: parameter value vpc-2 for parameter name Vpc does not exist"
    );
    let id = bench.call(input("vpc-1")).await.unwrap().stack_id.unwrap();
    let stack = bench.ends(&id, "CREATE_COMPLETE").await;
    let made = bench.world.live()["x-1"].clone();
    assert_eq!(
        (&made["Size"], &made["Of"]),
        (&json!("nginx:1"), &json!("two"))
    );
    let image = stack
        .parameters
        .unwrap()
        .into_iter()
        .find(|it| it.parameter_key.as_deref() == Some("Image"))
        .unwrap();
    assert_eq!(
        (
            image.parameter_value.as_deref(),
            image.resolved_value.as_deref()
        ),
        (Some("/images/web"), Some("nginx:1"))
    );
    // What is stored now is what an update takes.
    bench.put("ssm:/images/web", "nginx:2");
    let again = api::UpdateStackInput {
        parameters: parameters(&[("Vpc", "vpc-1")]),
        ..update("web", template)
    };
    bench.call(again).await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    assert_eq!(bench.world.live()["x-1"]["Size"], "nginx:2");
}

#[tokio::test]
async fn a_stack_policy_may_lie_in_a_bucket() {
    let bench = Bench::start();
    bench.put("policies/deny.json", r#"{"Statement": [{"Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}"#);
    let template = "Resources: {X: {Type: Test::Fake::Thing, Properties: {Name: x, Size: 1}}}";
    let input = api::CreateStackInput {
        stack_policy_url: Some("https://policies.s3.amazonaws.com/deny.json".into()),
        ..create("web", template)
    };
    let id = bench.call(input).await.unwrap().stack_id.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    let changed = template.replace("Size: 1", "Size: 2");
    bench.update("web", &changed).await.unwrap();
    bench.ends(&id, "UPDATE_ROLLBACK_COMPLETE").await;
    // A policy for this update alone, out of a bucket as well.
    bench.put("policies/allow.json", r#"{"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}"#);
    let input = api::UpdateStackInput {
        stack_policy_during_update_url: Some("https://s3.amazonaws.com/policies/allow.json".into()),
        ..update("web", &changed)
    };
    bench.call(input).await.unwrap();
    bench.ends(&id, "UPDATE_COMPLETE").await;
    bench.update("web", template).await.unwrap();
    bench.ends(&id, "UPDATE_ROLLBACK_COMPLETE").await;
}

/// What the CDK writes around everything that it makes.
const CDK: &str = "
Parameters:
  BootstrapVersion: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /cdk-bootstrap/hnb659fds/version}
Conditions: {CDKMetadataAvailable: !Equals [!Ref AWS::Region, eu-west-1]}
Rules:
  CheckBootstrapVersion:
    Assertions:
      - Assert: {Fn::Not: [{Fn::Contains: [['1', '2', '3', '4', '5'], !Ref BootstrapVersion]}]}
        AssertDescription: CDK bootstrap stack version 6 required. Please run 'cdk bootstrap' with a recent version of the CDK CLI.
Resources:
  X: {Type: Test::Fake::Thing, Properties: {Name: x}}
  CDKMetadata: {Type: AWS::CDK::Metadata, Condition: CDKMetadataAvailable, Properties: {Analytics: 'v2:deflate64:H4sIAAAA'}}
";

#[tokio::test]
async fn what_the_cdk_writes_is_understood() {
    let bench = Bench::start();
    bench.put("ssm:/cdk-bootstrap/hnb659fds/version", "5");
    let error = bench.create("web", CDK).await.unwrap_err();
    assert!(
        error
            .message
            .contains("CDK bootstrap stack version 6 required"),
        "{error}"
    );
    assert!(bench.stack("web").await.is_err());
    bench.put("ssm:/cdk-bootstrap/hnb659fds/version", "21");
    let id = bench.create("web", CDK).await.unwrap();
    bench.ends(&id, "CREATE_COMPLETE").await;
    assert_eq!(live(&bench), ["x"]);
    bench.delete("web").await.unwrap();
    bench.ends(&id, "DELETE_COMPLETE").await;
}
