//! The registry: images pushed and pulled by plain HTTP, with ECR's token.

use e2e::{Aws, Connection, Machine, Pushed, digest_of};
use serde_json::{Value, json};

use crate::iam::user;

#[test]
fn an_image_is_pushed_and_pulled_with_a_token() {
    let machine = Machine::start();
    machine.ask(
        "ecr",
        "CreateRepository",
        json!({ "repositoryName": "team/site" }),
    );
    let image = Pushed::layer(b"not an archive, and nobody unpacks it".to_vec(), json!({}));
    image.push(&machine, "team/site", "v1");

    let pulled = machine.registry("GET", "team/site/manifests/v1", &[], &[]);
    assert_eq!((pulled.status, &pulled.body), (200, &image.manifest));
    let digest = digest_of(&image.manifest);
    assert_eq!(
        pulled.header("docker-content-digest"),
        Some(digest.as_str())
    );
    let blob = format!("team/site/blobs/{}", digest_of(&image.layer));
    let pulled = machine.registry("GET", &blob, &[], &[]);
    assert_eq!((pulled.status, &pulled.body), (200, &image.layer));
    let part = machine.registry("GET", &blob, &[("range", "bytes=4-9")], &[]);
    assert_eq!((part.status, part.text().as_str()), (206, "an arc"));

    // What the registry has, the API describes.
    let described = machine.ask(
        "ecr",
        "DescribeImages",
        json!({ "repositoryName": "team/site" }),
    );
    assert_eq!(described["imageDetails"][0]["imageDigest"], digest);
    assert_eq!(described["imageDetails"][0]["imageTags"], json!(["v1"]));
    let deleted = machine.ask(
        "ecr",
        "BatchDeleteImage",
        json!({ "repositoryName": "team/site", "imageIds": [{ "imageDigest": digest }] }),
    );
    assert_eq!(deleted["failures"], json!([]));
    let gone = machine.registry("GET", "team/site/manifests/v1", &[], &[]);
    assert_eq!(gone.status, 404);
}

#[test]
fn the_registry_lets_in_who_has_a_token_only() {
    let machine = Machine::start();
    let host = machine.listen.to_string();
    for authorization in [
        None,
        Some("Basic QVdTOndyb25n"),
        Some("Bearer x"),
        Some("Basic %%%"),
    ] {
        let mut headers = vec![("host", host.as_str())];
        headers.extend(authorization.map(|it| ("authorization", it)));
        let mut connection = Connection::open(machine.listen).unwrap();
        let answer = connection.ask("GET", "/v2/", &headers, &[]).unwrap();
        assert_eq!(answer.status, 401, "{authorization:?}");
        assert!(
            answer
                .header("www-authenticate")
                .is_some_and(|it| it.starts_with("Basic"))
        );
    }
    assert_eq!(machine.registry("GET", "", &[], &[]).status, 200);
}

#[test]
fn what_is_wrong_with_a_push_is_said() {
    let machine = Machine::start();
    let image = Pushed::layer(b"layer".to_vec(), json!({}));
    // ECR makes no repository by itself.
    let answer = machine.registry("POST", "nowhere/blobs/uploads/", &[], &[]);
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert!(answer.text().contains("NAME_UNKNOWN"), "{}", answer.text());

    machine.ask(
        "ecr",
        "CreateRepository",
        json!({ "repositoryName": "site" }),
    );
    let answer = image.put_manifest(&machine, "site", "v1");
    assert_eq!(answer.status, 400, "blobs are missing: {}", answer.text());
    let begun = machine.registry("POST", "site/blobs/uploads/", &[], &[]);
    let place = begun.header("location").unwrap();
    let place = place.split("/v2/").last().unwrap();
    let wrong = format!("{place}?digest=sha256%3A{}", "0".repeat(64));
    let answer = machine.registry("PUT", &wrong, &[], b"layer");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(
        answer.text().contains("DIGEST_INVALID"),
        "{}",
        answer.text()
    );
    for path in [
        "../../etc/passwd/manifests/v1",
        "site/manifests/..%2f..%2fx",
        "UPPER/manifests/v1",
    ] {
        let answer = machine.registry("GET", path, &[], &[]);
        assert!(
            (400..=404).contains(&answer.status),
            "{path}: {}",
            answer.status
        );
    }
}

/// The password of the registry that this client's user gets.
fn password(client: &Aws) -> String {
    let answer = client.run(&["ecr", "get-login-password"]);
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    answer.stdout.trim().to_owned()
}

fn allow(machine: &Machine, user: &str, statements: Value) {
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    let input =
        json!({ "UserName": user, "PolicyName": "own", "PolicyDocument": policy.to_string() });
    machine.ask("iam", "PutUserPolicy", input);
}

const WRITE: &[&str] = &[
    "ecr:BatchCheckLayerAvailability",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
];

#[test]
fn a_token_may_do_what_its_user_may_and_ends_with_it() {
    let machine = Machine::idle_with(&["--iam", "enforce"]);
    machine.serve();
    let Some(aws) = Aws::of(&machine) else {
        return;
    };
    for name in ["mine", "yours"] {
        machine.ask("ecr", "CreateRepository", json!({ "repositoryName": name }));
    }
    let image = Pushed::layer(b"a layer".to_vec(), json!({}));
    image.push(&machine, "yours", "v1");
    let ann = user(&machine, &aws, "ann");
    let refused = ann.refused(&["ecr", "get-login-password"]);
    assert!(
        refused.contains("is not authorized to perform: ecr:GetAuthorizationToken"),
        "{refused}"
    );
    let token =
        json!({ "Effect": "Allow", "Action": "ecr:GetAuthorizationToken", "Resource": "*" });
    allow(&machine, "ann", json!([token]));
    let password = password(&ann);
    let ask = |method: &str, path: &str, body: &[u8]| {
        machine.registry_with(&password, method, path, &[], body)
    };
    assert_eq!(ask("GET", "", &[]).status, 200);

    let begun = ask("POST", "mine/blobs/uploads/", &[]);
    let body: Value = serde_json::from_slice(&begun.body).unwrap();
    assert_eq!(
        (begun.status, &body["errors"][0]["code"]),
        (403, &json!("DENIED"))
    );
    assert_eq!(
        body["errors"][0]["message"],
        "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: \
         ecr:InitiateLayerUpload on resource: arn:aws:ecr:us-east-1:000000000000:repository/mine \
         because no identity-based policy allows the ecr:InitiateLayerUpload action"
    );
    let layer = digest_of(&image.layer);
    let manifest = digest_of(&image.manifest);
    for (method, path) in [
        ("GET", "yours/manifests/v1".to_owned()),
        ("HEAD", format!("yours/manifests/{manifest}")),
        ("GET", format!("yours/blobs/{layer}")),
        ("HEAD", format!("yours/blobs/{layer}")),
        ("GET", "yours/tags/list".to_owned()),
        ("PUT", "mine/manifests/v1".to_owned()),
        ("DELETE", "yours/manifests/v1".to_owned()),
        (
            "POST",
            format!("mine/blobs/uploads/?mount={layer}&from=yours"),
        ),
        ("GET", "nowhere/tags/list".to_owned()),
    ] {
        let answer = ask(method, &path, &image.manifest);
        assert_eq!(answer.status, 403, "{method} {path}");
    }

    // What may be done with one repository says nothing of another, and its digests open nothing.
    let mine = "arn:aws:ecr:us-east-1:000000000000:repository/mine";
    let write = json!({ "Effect": "Allow", "Action": WRITE, "Resource": mine });
    let read =
        json!({ "Effect": "Allow", "Action": "ecr:GetDownloadUrlForLayer", "Resource": mine });
    allow(&machine, "ann", json!([token, write, read]));
    assert_eq!(ask("POST", "yours/blobs/uploads/", &[]).status, 403);
    assert_eq!(ask("GET", &format!("mine/blobs/{layer}"), &[]).status, 404);
    assert_eq!(
        ask("GET", &format!("mine/blobs/{manifest}"), &[]).status,
        404
    );
    let mount = format!("mine/blobs/uploads/?mount={layer}&from=yours");
    assert_eq!(ask("POST", &mount, &[]).status, 202);
    let answer = ask("PUT", "mine/manifests/stolen", &image.manifest);
    assert_eq!(answer.status, 400, "{}", answer.text());
    image.push_with(&machine, &password, "mine", "v1");
    assert_eq!(ask("GET", &format!("mine/blobs/{layer}"), &[]).status, 200);

    // An address of a layer opens that layer for who has it, and nothing else.
    let asked = json!({ "repositoryName": "yours", "layerDigest": layer.to_string() });
    let told = machine.ask("ecr", "GetDownloadUrlForLayer", asked);
    let addressed = told["downloadUrl"].as_str().unwrap();
    let fetch = |method: &str, url: &str| {
        let path = &url[url.find("/v2/").unwrap()..];
        let host = machine.listen.to_string();
        let headers = [("host", host.as_str()), ("connection", "close")];
        let connection = Connection::open(machine.listen);
        connection
            .unwrap()
            .ask(method, path, &headers, &[])
            .unwrap()
    };
    let fetched = fetch("GET", addressed);
    assert_eq!((fetched.status, &fetched.body), (200, &image.layer));
    assert_eq!(fetch("DELETE", addressed).status, 401);
    assert_eq!(
        fetch("GET", &addressed.replace("/yours/", "/mine/")).status,
        401
    );
    assert_eq!(
        fetch("GET", addressed.split('?').next().unwrap()).status,
        401
    );

    // Nobody lists all repositories here, nor deletes what images are made of.
    for (method, path) in [
        ("GET", "_catalog"),
        ("DELETE", &format!("mine/blobs/{layer}")),
    ] {
        assert_eq!(
            machine.registry(method, path, &[], &[]).status,
            405,
            "{path}"
        );
    }

    // It is refused at once when the permission goes, and let in no longer when the user goes.
    allow(&machine, "ann", json!([token]));
    assert_eq!(ask("GET", &format!("mine/blobs/{layer}"), &[]).status, 403);
    let keys = machine.ask("iam", "ListAccessKeys", json!({ "UserName": "ann" }));
    let key = &keys["AccessKeyMetadata"][0]["AccessKeyId"];
    let input = json!({ "UserName": "ann", "AccessKeyId": key });
    machine.ask("iam", "DeleteAccessKey", input);
    assert_eq!(ask("GET", "", &[]).status, 401);
}

#[test]
fn an_audit_finds_out_what_a_push_needs() {
    let machine = Machine::start();
    let Some(aws) = Aws::of(&machine) else {
        return;
    };
    machine.ask(
        "ecr",
        "CreateRepository",
        json!({ "repositoryName": "site" }),
    );
    let ann = user(&machine, &aws, "ann");
    let image = Pushed::layer(b"a layer".to_vec(), json!({}));
    image.push_with(&machine, &password(&ann), "site", "v1");
    let denied = machine
        .neargate(&["iam", "calls", "ann", "--denied"])
        .stdout;
    for action in ["InitiateLayerUpload", "CompleteLayerUpload", "PutImage"] {
        assert!(denied.contains(&format!("ecr:{action}")), "{denied}");
    }
    assert!(denied.contains("repository/site"), "{denied}");
}
