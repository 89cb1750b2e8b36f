//! What lies in the state directory, and what of it tells secrets.

use std::path::Path;

use e2e::Machine;
use serde_json::json;

/// The files below a folder that hold a text.
fn files_that_hold(folder: &Path, text: &str, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            files_that_hold(&path, text, found);
        } else if kind.is_file()
            && let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(text.len()).any(|it| it == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
}

#[test]
fn secrets_of_no_kind_lie_open_in_the_state_directory() {
    // One text in all of them, which each kind takes.
    const HUSH: &str = "Correct-Horse-Battery-9";
    let machine = Machine::start();
    let ask = |service: &str, operation: &str, input| machine.ask(service, operation, input);
    let secret = json!({ "Name": "a", "SecretString": HUSH });
    ask("secretsmanager", "CreateSecret", secret);
    let parameter = json!({ "Name": "a", "Value": HUSH, "Type": "SecureString" });
    ask("ssm", "PutParameter", parameter);
    let credentials =
        json!({ "token": HUSH, "serverType": "GITHUB", "authType": "PERSONAL_ACCESS_TOKEN" });
    ask("codebuild", "ImportSourceCredentials", credentials);
    let template = json!({
        "Parameters": { "Password": { "Type": "String", "NoEcho": true } },
        "Resources": { "Parameter": {
            "Type": "AWS::SSM::Parameter",
            "Properties": { "Name": "from-a-stack", "Type": "String", "Value": { "Ref": "Password" } },
        } },
    });
    ask(
        "cloudformation",
        "CreateStack",
        json!({
            "StackName": "hush",
            "TemplateBody": template.to_string(),
            "Parameters": [{ "ParameterKey": "Password", "ParameterValue": HUSH }],
        }),
    );
    assert_eq!(
        machine.settled_stack("hush")["StackStatus"],
        "CREATE_COMPLETE"
    );
    ask("iam", "CreateUser", json!({ "UserName": "ann" }));
    let made = ask("iam", "CreateAccessKey", json!({ "UserName": "ann" }));
    let key = made["AccessKey"]["SecretAccessKey"].as_str().unwrap();
    let session = ask("sts", "GetSessionToken", json!({}));
    let (secret, token) = (
        session["Credentials"]["SecretAccessKey"].as_str().unwrap(),
        session["Credentials"]["SessionToken"].as_str().unwrap(),
    );
    let nowhere = |text: &str| {
        let mut found = Vec::new();
        files_that_hold(&machine.state, text, &mut found);
        assert!(found.is_empty(), "`{text}` is in {found:?}");
    };
    for text in [HUSH, key, secret, token] {
        nowhere(text);
    }
    // The daemon is lost, and the next one reads them all.
    machine.kill_daemon();
    for text in [HUSH, key, secret, token] {
        nowhere(text);
    }
    machine.serve();
    let read = ask(
        "secretsmanager",
        "GetSecretValue",
        json!({ "SecretId": "a" }),
    );
    assert_eq!(read["SecretString"], HUSH);
    let names = json!({ "Name": "a", "WithDecryption": true });
    assert_eq!(
        ask("ssm", "GetParameter", names)["Parameter"]["Value"],
        HUSH
    );
    ask(
        "cloudformation",
        "DeleteStack",
        json!({ "StackName": "hush" }),
    );
}

#[test]
fn a_store_without_its_key_is_refused_and_says_how_to_go_on() {
    let machine = Machine::start();
    let secret = json!({ "Name": "a", "SecretString": "hush" });
    machine.ask("secretsmanager", "CreateSecret", secret);
    machine.kill_daemon();
    let (key, kept) = (
        machine.state.join("keys/store.key"),
        machine.state.join("kept.key"),
    );
    std::fs::rename(&key, &kept).unwrap();
    let refused = machine.run(&["serve"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    for words in ["store.key", "--store-key"] {
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    assert!(!key.exists(), "no other key is made in its place");
    std::fs::rename(&kept, &key).unwrap();
    machine.serve();
    let read = json!({ "SecretId": "a" });
    let read = machine.ask("secretsmanager", "GetSecretValue", read);
    assert_eq!(read["SecretString"], "hush");
}
