//! Buckets and objects, with the clients that people use.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use e2e::{Aws, Machine, Site, eventually, get};
use serde_json::json;

/// Just a few parts of the size that the client chooses.
const BIG_BYTES: usize = 60_000_000;

#[test]
fn the_command_line_copies_lists_syncs_and_removes() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    let site = Site::page("site", "hello");
    site.write("notes +ü.txt", "one");
    let folder = site.path().display().to_string();
    // S3 tells whole seconds: a file of the second that it is uploaded in would count as changed since.
    let page = fs::File::options()
        .append(true)
        .open(site.path().join("index.html"));
    let before = SystemTime::now() - Duration::from_secs(10);
    page.unwrap().set_modified(before).unwrap();
    let s3 = |arguments: &[&str]| {
        let output = aws.run(&[&["s3"], arguments].concat());
        assert_eq!(output.code, 0, "{arguments:?}: {output:?}");
        output.stdout
    };
    s3(&["mb", "s3://walk"]);
    s3(&[
        "cp",
        "--recursive",
        &folder,
        "s3://walk/t",
        "--only-show-errors",
    ]);
    let listed = s3(&["ls", "--recursive", "s3://walk"]);
    assert!(
        listed.contains("t/index.html") && listed.contains("t/notes +ü.txt"),
        "{listed}"
    );
    assert!(s3(&["ls", "s3://walk"]).contains("PRE t/"));
    // Only what has changed goes over the line.
    site.write("notes +ü.txt", "changed");
    let synced = s3(&["sync", &folder, "s3://walk/t", "--no-progress"]);
    assert!(
        synced.contains("notes +ü.txt") && !synced.contains("index.html"),
        "{synced}"
    );
    assert_eq!(s3(&["cp", "s3://walk/t/index.html", "-"]), "hello");
    // A link that needs no keys.
    let link = s3(&["presign", "s3://walk/t/index.html"]);
    let target = link
        .trim()
        .split_once(&machine.listen.to_string())
        .unwrap()
        .1;
    let host = machine.listen.to_string();
    assert_eq!(get(machine.listen, &host, target).unwrap().text(), "hello");
    let unsigned = get(machine.listen, &host, "/walk/t/index.html").unwrap();
    assert_eq!(unsigned.status, 403);

    // In parts, and back.
    let (big, back) = (site.path().join("big"), site.path().join("back"));
    let bytes: Vec<u8> = (0..BIG_BYTES).map(|it| (it / 7) as u8).collect();
    fs::write(&big, &bytes).unwrap();
    s3(&[
        "cp",
        &big.display().to_string(),
        "s3://walk/big",
        "--only-show-errors",
    ]);
    let head = aws.ask(&["s3api", "head-object", "--bucket", "walk", "--key", "big"]);
    assert_eq!(head["ContentLength"], BIG_BYTES);
    assert!(head["ETag"].as_str().unwrap().ends_with("-8\""), "{head}");
    s3(&[
        "cp",
        "s3://walk/big",
        &back.display().to_string(),
        "--only-show-errors",
    ]);
    assert!(fs::read(&back).unwrap() == bytes);

    let full = aws.run(&["s3", "rb", "s3://walk"]);
    assert!(full.stderr.contains("BucketNotEmpty"), "{full:?}");
    s3(&["rm", "--recursive", "s3://walk", "--quiet"]);
    s3(&["rb", "s3://walk"]);
    eventually("no content is left", || none_left(&machine));
}

/// Versions, parts, conditions, checksums, copies, presigned requests and forms, sessions of roles,
/// settings, and what is refused.
#[test]
fn boto3_finds_what_it_expects() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    let output = aws.python(include_str!("s3.py"));
    assert_eq!(
        (output.code, output.stdout.trim()),
        (0, "all well"),
        "{output:?}"
    );
}

#[test]
fn a_daemon_that_dies_in_an_upload_leaves_nothing_of_it() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    let site = Site::page("site", "kept");
    let small = site.path().join("index.html").display().to_string();
    let put = |key: &str, file: &str| {
        aws.run(&[
            "s3api",
            "put-object",
            "--bucket",
            "walk",
            "--key",
            key,
            "--body",
            file,
        ])
    };
    aws.ask(&["s3api", "create-bucket", "--bucket", "walk"]);
    assert_eq!(put("small", &small).code, 0);
    // A file with nothing in it is sent like any other, and takes no space here.
    let large = site.path().join("large");
    fs::File::create(&large)
        .unwrap()
        .set_len(800_000_000)
        .unwrap();
    let large = large.display().to_string();
    std::thread::scope(|scope| {
        let putting = scope.spawn(|| put("large", &large));
        eventually("the upload has begun", || {
            let new = machine.state.join("objects/new");
            let sizes = files(&new)
                .into_iter()
                .map(|it| fs::metadata(it).map_or(0, |it| it.len()));
            match sizes.max() {
                Some(size) if size > 1_000_000 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        machine.kill_daemon();
        assert_ne!(
            putting.join().unwrap().code,
            0,
            "the upload ended before the daemon did"
        );
    });
    machine.serve();
    let gone = aws.refused(&["s3api", "head-object", "--bucket", "walk", "--key", "large"]);
    assert!(gone.contains("404"), "{gone}");
    assert_eq!(
        aws.run(&["s3", "cp", "s3://walk/small", "-"]).stdout,
        "kept"
    );
    eventually("only what is known is left", || {
        match files(&machine.state.join("objects")).len() {
            1 => Ok(()),
            other => Err(format!("{other} contents")),
        }
    });
}

#[test]
fn a_stack_makes_a_website() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else { return };
    let template = json!({
        "Resources": {
            "Site": {"Type": "AWS::S3::Bucket", "Properties": {
                "PublicAccessBlockConfiguration": {"BlockPublicPolicy": false, "RestrictPublicBuckets": false},
                "WebsiteConfiguration": {"IndexDocument": "index.html", "ErrorDocument": "error.html"}
            }},
            "Open": {"Type": "AWS::S3::BucketPolicy", "Properties": {
                "Bucket": {"Ref": "Site"},
                "PolicyDocument": {"Version": "2012-10-17", "Statement": [{
                    "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
                    "Resource": {"Fn::Sub": "${Site.Arn}/*.html"}
                }]}
            }}
        },
        "Outputs": {
            "Bucket": {"Value": {"Ref": "Site"}},
            "Url": {"Value": {"Fn::GetAtt": ["Site", "WebsiteURL"]}}
        }
    });
    machine.create_stack("site", &template.to_string(), &[]);
    let stack = machine.settled_stack("site");
    assert_eq!(
        stack["StackStatus"],
        "CREATE_COMPLETE",
        "{}",
        machine.stack_events("site")
    );
    let output = |key: &str| {
        let outputs = stack["Outputs"].as_array().unwrap().iter();
        let mut found = outputs.filter(|it| it["OutputKey"] == key);
        found.next().unwrap()["OutputValue"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (bucket, url) = (output("Bucket"), output("Url"));
    let site = Site::page("site", "home");
    site.write("error.html", "sorry");
    site.write("secret.txt", "secret");
    let (folder, target) = (site.path().display().to_string(), format!("s3://{bucket}"));
    let copied = aws.run(&[
        "s3",
        "cp",
        "--recursive",
        &folder,
        &target,
        "--only-show-errors",
    ]);
    assert_eq!(copied.code, 0, "{copied:?}");
    let host = url.strip_prefix("http://").unwrap();
    let page = |path: &str| {
        let answer = get(machine.listen, host, path).unwrap();
        (answer.status, answer.text())
    };
    assert_eq!(page("/"), (200, "home".into()));
    assert_eq!(page("/absent"), (403, "sorry".into()));
    assert_eq!(page("/secret.txt"), (403, "sorry".into()));
}

fn none_left(machine: &Machine) -> Result<(), String> {
    match files(&machine.state.join("objects")).len() {
        0 => Ok(()),
        left => Err(format!("{left} contents")),
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
