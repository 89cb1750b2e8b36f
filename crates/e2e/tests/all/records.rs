//! Records that are lost or damaged: the daemon refuses to start, says what to type, and that works.

use std::fs;

use e2e::Machine;
use serde_json::json;

fn make_secret(machine: &Machine, name: &str) {
    let secret = json!({ "Name": name, "SecretString": "hush" });
    machine.ask("secretsmanager", "CreateSecret", secret);
}

fn secrets(machine: &Machine) -> Vec<String> {
    let listed = machine.ask("secretsmanager", "ListSecrets", json!({}));
    let all = listed["SecretList"].as_array().unwrap().iter();
    all.map(|it| it["Name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_damaged_store_is_refused_and_what_the_refusal_says_mends_it() {
    let machine = Machine::start();
    make_secret(&machine, "kept");
    machine.kill_daemon();
    // The next start copies what the first one left.
    machine.serve();
    make_secret(&machine, "later");
    machine.kill_daemon();
    let store = machine.state.join("store.db");
    let _ = fs::remove_file(machine.state.join("store.db-wal"));
    let whole = fs::read(&store).unwrap();
    let damages: [(Option<&[u8]>, &str); 3] = [
        (Some(&whole[..whole.len() / 2]), "is damaged"),
        (Some(b""), "is empty"),
        (None, "is missing"),
    ];
    for (contents, says) in damages {
        match contents {
            Some(contents) => fs::write(&store, contents).unwrap(),
            None => fs::remove_file(&store).unwrap(),
        }
        let refused = machine.run(&["serve"]);
        assert_eq!(refused.code, 1, "{refused:?}");
        let command = format!("neargate restore --state {}", machine.state.display());
        for words in [says, &command, &store.display().to_string()] {
            assert!(refused.stderr.contains(words), "{refused:?}");
        }
        let listed = machine.neargate(&["restore", "--list"]);
        assert!(listed.stdout.contains("store-0000000"), "{listed:?}");
        let restored = machine.neargate(&["restore"]);
        assert!(
            restored.stdout.contains("records are as they were"),
            "{restored:?}"
        );
        machine.serve();
        assert_eq!(secrets(&machine), ["kept"]);
        let running = machine.run(&["restore"]);
        assert_eq!(running.code, 1, "a daemon works on them: {running:?}");
        machine.kill_daemon();
    }
    machine.serve();
}

#[test]
fn after_a_clean_end_the_records_are_taken_as_they_are() {
    let machine = Machine::start();
    make_secret(&machine, "kept");
    machine.stop();
    let mark = fs::read_to_string(machine.state.join("store.mark")).unwrap();
    assert!(mark.contains("\"bytes\""), "no clean end is marked: {mark}");
    machine.serve();
    assert_eq!(secrets(&machine), ["kept"]);
}

/// Changes a bit of what the store keeps under a key: its bytes follow the key's.
fn damage_record(machine: &Machine, key: &str) {
    let store = machine.state.join("store.db");
    let mut bytes = fs::read(&store).unwrap();
    let found = bytes.windows(key.len()).position(|it| it == key.as_bytes());
    bytes[found.expect("the record is there") + key.len() + 60] ^= 1;
    fs::write(&store, bytes).unwrap();
}

#[test]
fn one_record_that_cannot_be_read_stops_nothing_but_its_own_thing() {
    let machine = Machine::start();
    for name in ["first", "second", "third"] {
        make_secret(&machine, name);
    }
    machine.stop();
    damage_record(&machine, "secretsmanager.secretus-east-1/second");
    machine.serve();
    assert!(
        machine.log().contains("us-east-1/second"),
        "its name is in the log"
    );
    assert_eq!(secrets(&machine), ["first", "third"]);
    let of = |name: &str| json!({ "SecretId": name });
    machine.ask("secretsmanager", "GetSecretValue", of("first"));
    // Who asks for it is told its name and what to do.
    for operation in ["GetSecretValue", "DescribeSecret", "DeleteSecret"] {
        let refused = machine.call("secretsmanager", operation, of("second"));
        let said = format!("{:?}", refused.unwrap_err());
        for words in [
            "secretsmanager.secret",
            "us-east-1/second",
            "neargate restore",
        ] {
            assert!(said.contains(words), "{operation}: {said}");
        }
    }
    // It is there, and not made a second time.
    let again = json!({ "Name": "second", "SecretString": "other" });
    let made = machine.call("secretsmanager", "CreateSecret", again);
    assert!(made.is_err(), "{made:?}");
    make_secret(&machine, "fourth");
}
