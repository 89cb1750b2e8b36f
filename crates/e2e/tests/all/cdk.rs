//! A walk with AWS's CDK, as people type it.

use std::fs;

use e2e::{Cdk, Docker, Machine, eventually};
use serde_json::Value;
use shapes::codepipeline::{GetPipelineInput, ListPipelinesInput};

const DOCKERFILE: &str = "FROM scratch\nCOPY probe /probe\nENTRYPOINT [\"/probe\"]\n";

/// The address that a deployment printed.
#[track_caller]
fn url(cdk: &Cdk) -> String {
    let outputs = fs::read(cdk.folder().join("outputs.json")).unwrap();
    let outputs: Value = serde_json::from_slice(&outputs).unwrap();
    let mut of_stack = outputs["Web"].as_object().unwrap().iter();
    let found = of_stack.find(|it| it.0.contains("ServiceURL")).unwrap();
    found.1.as_str().unwrap().to_owned()
}

#[test]
fn a_service_is_bootstrapped_deployed_compared_changed_and_destroyed() {
    let machine = Machine::start();
    let Some(cdk) = Cdk::of(&machine) else { return };
    if Docker::of(&machine).is_none() {
        return;
    }
    let web = cdk.folder().join("web");
    fs::create_dir(&web).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_probe"), web.join("probe")).unwrap();
    fs::write(web.join("Dockerfile"), DOCKERFILE).unwrap();

    let said = cdk.ask(&["bootstrap"]);
    assert!(said.contains("bootstrapped"), "{said}");
    let deploy = [
        "deploy",
        "Web",
        "Delivery",
        "--require-approval",
        "never",
        "--outputs-file",
        "outputs.json",
    ];
    cdk.ask(&deploy);
    // The pipeline's artifacts are encrypted by the key that its stack made.
    let pipelines = machine.typed(ListPipelinesInput::default()).pipelines;
    let name = pipelines.unwrap().remove(0).name.unwrap();
    let pipeline = machine.typed(GetPipelineInput {
        name,
        version: None,
    });
    let store = pipeline.pipeline.unwrap().artifact_store.unwrap();
    assert!(store.encryption_key.unwrap().id.contains(":key/"));
    let url = url(&cdk);
    let page = || machine.page(&url).map(|it| it.text());
    assert_eq!(page().unwrap(), "hello");
    let said = cdk.ask(&["diff", "Web", "Delivery", "--fail"]);
    assert!(said.contains("no differences"), "{said}");
    let said = cdk.ask(&deploy);
    assert!(said.contains("no changes"), "{said}");

    let cdk = cdk.with("GREETING", "bye");
    cdk.ask(&deploy);
    eventually("the page is the new one", || match page() {
        Ok(text) if text == "bye" => Ok(()),
        other => Err(format!("{other:?}")),
    });

    // What cannot be done is refused before anything of it is made.
    let said = cdk.refused(&["deploy", "Nightly", "--require-approval", "never"]);
    assert!(said.contains("AWS::Events::Rule"), "{said}");

    cdk.ask(&["destroy", "Web", "Delivery", "--force"]);
    machine.assert_no_work();
}
