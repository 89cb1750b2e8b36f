//! The registry: images pushed and pulled by plain HTTP, with ECR's token.

use e2e::{Connection, Machine, Pushed, digest_of};
use serde_json::json;

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
