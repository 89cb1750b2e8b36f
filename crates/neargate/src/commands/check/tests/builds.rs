//! Dockerfiles, build specifications and compose files with one mistake each.

use super::*;

#[test]
fn a_dockerfile_whose_image_will_not_start_is_found() {
    let folder = Folder::new();
    folder.script("run.sh", "#!/bin/sh\nexec app\n");
    folder.write("plain.sh", "#!/bin/sh\n");
    folder.script("windows.sh", "#!/bin/sh\r\nexec app\r\n");
    folder.script("bare.sh", "exec app\n");
    let mut foreign = b"\x7fELF\x02\x01\x01".to_vec();
    foreign.resize(64, 0);
    foreign[18] = 183;
    fs::write(folder.path("arm"), &foreign).unwrap();
    fs::set_permissions(folder.path("arm"), fs::Permissions::from_mode(0o755)).unwrap();
    for (id, text, line, parts) in [
        (
            "",
            "FROM alpine\nCOPY run.sh /\nENTRYPOINT [\"/run.sh\"]\n",
            "",
            vec![],
        ),
        (
            "",
            "FROM alpine\nWORKDIR /app\nCOPY . .\nRUN chmod +x plain.sh\nCMD [\"./plain.sh\"]\n",
            "",
            vec![],
        ),
        (
            "",
            "FROM alpine\nCOPY --chmod=755 plain.sh /\nENTRYPOINT /plain.sh\n",
            "",
            vec![],
        ),
        (
            "",
            "FROM alpine\nRUN make install\nCMD [\"/usr/bin/app\"]\n",
            "",
            vec![],
        ),
        (
            "S1",
            "FROM scratch\nCOPY run.sh /\nENTRYPOINT [\"/start.sh\"]\n",
            "ENTRYPOINT",
            vec!["/start.sh"],
        ),
        (
            "S1",
            "FROM alpine\nCOPY . /app\nCMD [\"/app/start.sh\"]\n",
            "CMD",
            vec!["/app/start.sh"],
        ),
        (
            "S2",
            "FROM alpine\nCOPY plain.sh /run.sh\nENTRYPOINT [\"/run.sh\"]\n",
            "COPY plain.sh",
            vec!["chmod"],
        ),
        (
            "S2",
            "FROM alpine\nWORKDIR /app\nCOPY . .\nENTRYPOINT [\"./plain.sh\"]\n",
            "COPY . .",
            vec!["/app/plain.sh"],
        ),
        (
            "S2",
            "FROM alpine\nCOPY <<EOF /run.sh\n#!/bin/sh\nEOF\nENTRYPOINT [\"/run.sh\"]\n",
            "COPY <<EOF",
            vec!["0644"],
        ),
        (
            "S3",
            "FROM alpine\nCOPY windows.sh /\nCMD [\"/windows.sh\"]\n",
            "COPY windows.sh",
            vec!["carriage return"],
        ),
        (
            "S3",
            "FROM alpine\nCOPY bare.sh /\nCMD [\"/bare.sh\"]\n",
            "COPY bare.sh",
            vec!["#!/bin/sh"],
        ),
        (
            "I8",
            "FROM alpine\nCOPY arm /app\nCMD [\"/app\"]\n",
            "COPY arm",
            vec!["aarch64"],
        ),
        ("S27", "FROM scratch\nCOPY run.sh /\n", "FROM", vec![]),
        (
            "B11",
            "FROM alpine\nCOPY none.sh /\n",
            "COPY none.sh",
            vec!["none.sh"],
        ),
        (
            "B12",
            "FROM alpine\nCOPPY run.sh /\n",
            "COPPY",
            vec!["COPPY"],
        ),
        (
            "R12",
            "FROM alpine\nCMD flask run\n",
            "CMD",
            vec!["0.0.0.0"],
        ),
        (
            "R1",
            "FROM alpine\nCMD [\"sh\"]\n",
            "CMD",
            vec!["foreground"],
        ),
    ] {
        let file = folder.write("Dockerfile", text);
        let outcome = checked(&file);
        match id {
            "" => assert!(
                outcome.findings.is_empty(),
                "{text} {:#?}",
                outcome.findings
            ),
            id => assert_found(&outcome, &file, id, line, &parts),
        }
    }
    // What it begins with is asked for: a shell that is not there, and a user.
    let text = "FROM alpine\nUSER app\nCOPY bash.sh /\nHEALTHCHECK CMD curl localhost\nCMD [\"/bash.sh\"]\n";
    folder.script("bash.sh", "#!/usr/bin/env bash\n");
    let file = folder.write("Dockerfile", text);
    let (types, none) = (Lent(services()), BTreeMap::new());
    let around = Surroundings {
        types: &types,
        region: "us-east-1",
        account: "123456789012",
        parameters: &none,
    };
    let parts = read(&file, &around, &mut Outcome::default()).unwrap();
    let image = parts.iter().map(Part::wanted).next().unwrap().images[0].clone();
    assert_eq!(
        (image.user.as_deref(), &image.programs[..]),
        (Some("app"), &["bash".to_owned(), "curl".to_owned()][..])
    );
    let known = json!({ "images": { image.key(): {
        "name": image.name, "here": null, "account": null, "region": null, "program": null, "says_nothing": true,
        "lacks_user": "app", "lacks": ["bash", "curl"], "is_of": null, "is_immutable": false,
    } } });
    let known: Known = serde_json::from_value(known).unwrap();
    let outcome = given(&file, &[], Some(&known));
    assert_found(&outcome, &file, "S3", "COPY bash.sh", &["bash"]);
    assert_found(&outcome, &file, "S4", "USER app", &["adduser"]);
    assert_found(&outcome, &file, "R7", "USER app", &["curl"]);
}

#[test]
fn build_specifications_and_compose_files_are_checked() {
    let folder = Folder::new();
    folder.write("build.sh", "#!/bin/sh\n");
    let spec = |commands: &str, more: &str| {
        format!("version: 0.2\nphases:\n  build:\n    commands:\n{commands}{more}")
    };
    for (id, text, line, parts) in [
        (
            "B3",
            "version: 0.2\nphases:\n  built:\n    commands: [ls]\n".to_owned(),
            "commands: [ls]",
            vec!["built"],
        ),
        (
            "B4",
            spec("      - ./build.sh\n", ""),
            "./build.sh",
            vec!["not executable"],
        ),
        (
            "B4",
            spec("      - sh ./none.sh\n", ""),
            "none.sh",
            vec!["not in the source"],
        ),
        (
            "B5",
            spec("      - docker build -t x .\n", ""),
            "docker build",
            vec!["PrivilegedMode", "note"],
        ),
        (
            "B6",
            spec(
                "      - docker push 123456789012.dkr.ecr.us-east-1.amazonaws.com/web\n",
                "",
            ),
            "docker push",
            vec!["get-login-password"],
        ),
        (
            "B7",
            spec(
                "      - echo '[]' > imagedefinitions.json\n",
                "artifacts:\n  files: [out.txt]\n",
            ),
            "imagedefinitions",
            vec!["artifacts"],
        ),
    ] {
        let file = folder.write("buildspec.yml", &text);
        assert_found(&checked(&file), &file, id, line, &parts);
    }
    folder.write(
        "app/Dockerfile",
        "FROM scratch\nCOPY none /\nCMD [\"/none\"]\n",
    );
    for (id, text, line, parts) in [
        (
            "S22",
            "services:\n  web:\n    image: web\n    depends_on: [db]\n",
            "web:",
            vec!["db"],
        ),
        (
            "S17",
            "services:\n  web:\n    image: web\n    env_file: none.env\n",
            "env_file",
            vec!["none.env"],
        ),
        (
            "B11",
            "services:\n  web:\n    build: ./nowhere\n",
            "build:",
            vec!["nowhere/Dockerfile"],
        ),
        (
            "B11",
            "services:\n  web:\n    build: { context: app }\n",
            "COPY none",
            vec!["none"],
        ),
    ] {
        let file = folder.write("compose.yaml", text);
        assert_found(&checked(&file), &file, id, line, &parts);
    }
}
