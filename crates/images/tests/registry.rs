//! The registry over real HTTP: what a client may do, and what it must not get.

mod common;

use common::{Server, digest, manifest_of};
use engine::{ImageName, Images, Repository};
use http::{Method, StatusCode};
use images::Access;
use serde_json::{Value, json};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn code(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["errors"][0]["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_base_answers() {
    let server = Server::start().await;
    let answer = server.call(Method::GET, "/v2/", &[], "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.header("docker-distribution-api-version"),
        "registry/2.0"
    );
    let answer = server.call(Method::POST, "/v2/", &[], "").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn repositories_must_exist() {
    let server = Server::start().await;
    let blob = digest(b"x");
    for (method, path) in [
        (Method::POST, "/v2/nothing/blobs/uploads/".to_owned()),
        (Method::GET, "/v2/nothing/tags/list".to_owned()),
        (Method::HEAD, format!("/v2/nothing/blobs/{blob}")),
        (Method::GET, "/v2/nothing/manifests/v1".to_owned()),
        (Method::PUT, "/v2/nothing/manifests/v1".to_owned()),
        (Method::GET, format!("/v2/nothing/referrers/{blob}")),
    ] {
        let answer = server.call(method.clone(), &path, &[], "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
        if method != Method::HEAD {
            assert_eq!(code(&answer.body), "NAME_UNKNOWN", "{method} {path}");
        }
    }
    let answer = server
        .call(Method::POST, "/v2/../x/blobs/uploads/", &[], "")
        .await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(code(&answer.body), "NAME_INVALID");
}

#[tokio::test]
async fn a_blob_is_pushed_whole() {
    let server = Server::start().await;
    let blob = digest(b"content");
    let path = format!("/v2/site/blobs/uploads/?digest={blob}");
    let answer = server.call(Method::POST, &path, &[], "content").await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.header("docker-content-digest"), blob);
    assert_eq!(answer.header("location"), format!("/v2/site/blobs/{blob}"));
    let answer = server
        .call(Method::HEAD, answer.header("location"), &[], "")
        .await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-length"), "7");
    // Another content than the digest says is not kept.
    let answer = server.call(Method::POST, &path, &[], "other").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(code(&answer.body), "DIGEST_INVALID");
    assert!(!server.has_blob(&digest(b"other")).await);
    assert_eq!(server.temporary_files(), 0);
}

#[tokio::test]
async fn uploads_to_one_repository_leave_room_for_others() {
    let server = Server::start().await;
    let begin = async |repository: &str| {
        let path = format!("/v2/{repository}/blobs/uploads/");
        server.call(Method::POST, &path, &[], "").await.status
    };
    let mut open = 0;
    let refused = loop {
        match begin("site").await {
            StatusCode::ACCEPTED => open += 1,
            other => break other,
        }
        assert!(open < 1000, "nothing bounds them");
    };
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(begin("other").await, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_blob_is_pushed_in_chunks() {
    let server = Server::start().await;
    let start = server
        .call(Method::POST, "/v2/site/blobs/uploads/", &[], "")
        .await;
    assert_eq!(start.status, StatusCode::ACCEPTED);
    let upload = start.header("location").to_owned();
    let first = [("content-range", "0-3")];
    let answer = server.call(Method::PATCH, &upload, &first, "0123").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.header("range"), "0-3");
    // Out of order, twice, or with a gap.
    for range in ["0-3", "5-8", "3-6"] {
        let again = [("content-range", range)];
        let answer = server.call(Method::PATCH, &upload, &again, "4567").await;
        assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(answer.header("range"), "0-3");
    }
    let status = server.call(Method::GET, &upload, &[], "").await;
    assert_eq!(status.status, StatusCode::NO_CONTENT);
    assert_eq!(status.header("range"), "0-3");
    let second = [("content-range", "4-7")];
    let answer = server.call(Method::PATCH, &upload, &second, "4567").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let blob = digest(b"0123456789");
    assert!(!server.has_blob(&blob).await);
    let finish = format!("{upload}?digest={}", blob.replace(':', "%3A"));
    let answer = server.call(Method::PUT, &finish, &[], "89").await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let answer = server.get(&format!("/v2/site/blobs/{blob}")).await;
    assert_eq!(answer.body, b"0123456789");
    let gone = server.call(Method::GET, &upload, &[], "").await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(code(&gone.body), "BLOB_UPLOAD_UNKNOWN");
    assert_eq!(server.temporary_files(), 0);
}

#[tokio::test]
async fn an_upload_is_of_its_repository_and_can_be_cancelled() {
    let server = Server::start().await;
    let start = server
        .call(Method::POST, "/v2/site/blobs/uploads/", &[], "")
        .await;
    let upload = start.header("location").to_owned();
    let foreign = upload.replace("/site/", "/other/");
    let answer = server.call(Method::PATCH, &foreign, &[], "x").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    let answer = server.call(Method::PUT, &upload, &[], "").await;
    assert_eq!(code(&answer.body), "DIGEST_INVALID");
    let wrong_length = [("content-range", "0-9")];
    let answer = server
        .call(Method::PATCH, &upload, &wrong_length, "x")
        .await;
    assert_eq!(code(&answer.body), "SIZE_INVALID");
    let start = server
        .call(Method::POST, "/v2/site/blobs/uploads/", &[], "")
        .await;
    let upload = start.header("location").to_owned();
    assert_eq!(server.temporary_files(), 1);
    let answer = server.call(Method::DELETE, &upload, &[], "").await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(server.temporary_files(), 0);
}

#[tokio::test]
async fn a_broken_upload_is_no_blob_and_can_go_on() {
    let server = Server::start().await;
    let blob = digest(b"0123456789");
    // At once: nothing stays.
    let path = format!("/v2/site/blobs/uploads/?digest={blob}");
    server.break_off(Method::POST, &path, 10, b"01234").await;
    server
        .wait_until(|server| server.temporary_files() == 0)
        .await;
    assert!(!server.has_blob(&blob).await);
    // In chunks: what came stays, under no name, and the rest may follow.
    let start = server
        .call(Method::POST, "/v2/site/blobs/uploads/", &[], "")
        .await;
    let upload = start.header("location").to_owned();
    server.break_off(Method::PATCH, &upload, 10, b"01234").await;
    let mut range = String::new();
    for _ in 0..100 {
        let status = server.call(Method::GET, &upload, &[], "").await;
        if status.status == StatusCode::NO_CONTENT {
            range = status.header("range").to_owned();
            if range == "0-4" {
                break;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(range, "0-4");
    let finish = format!("{upload}?digest={blob}");
    let answer = server.call(Method::PUT, &finish, &[], "56789").await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(server.temporary_files(), 0);
}

#[tokio::test]
async fn blobs_are_read_in_ranges() {
    let server = Server::start().await;
    let content: Vec<u8> = (0..700_000u32).map(|n| n as u8).collect();
    let blob = server.push_blob("site", &content).await;
    let path = format!("/v2/site/blobs/{blob}");
    assert_eq!(server.get(&path).await.body, content);
    let part = [("range", "bytes=300000-599999")];
    let answer = server.call(Method::GET, &path, &part, "").await;
    assert_eq!(answer.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(answer.header("content-range"), "bytes 300000-599999/700000");
    assert_eq!(answer.body, content[300_000..600_000]);
    let beyond = [("range", "bytes=700000-")];
    let answer = server.call(Method::GET, &path, &beyond, "").await;
    assert_eq!(answer.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(answer.header("content-range"), "bytes */700000");
    let missing = server
        .get(&format!("/v2/site/blobs/{}", digest(b"no")))
        .await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(code(&missing.body), "BLOB_UNKNOWN");
}

#[tokio::test]
async fn blobs_are_mounted() {
    let server = Server::start().await;
    let blob = server.push_blob("site", b"shared").await;
    let mount = format!("/v2/other/blobs/uploads/?mount={blob}&from=site");
    let answer = server.call(Method::POST, &mount, &[], "").await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.header("location"), format!("/v2/other/blobs/{blob}"));
    let absent = digest(b"absent");
    let mount = format!("/v2/other/blobs/uploads/?mount={absent}&from=site");
    let answer = server.call(Method::POST, &mount, &[], "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn what_other_repositories_have_is_not_had_by_its_digest() {
    let server = Server::start().await;
    let secret = server.push_image("site", "v1", "a secret").await;
    let manifest = server.get("/v2/site/manifests/v1").await;
    let parts = manifest.json();
    let part = |value: &Value| value["digest"].as_str().unwrap().to_owned();
    let digests = [
        manifest.header("docker-content-digest").to_owned(),
        part(&parts["config"]),
        part(&parts["layers"][0]),
    ];
    for blob in &digests {
        assert_eq!(
            server.get(&format!("/v2/site/blobs/{blob}")).await.status,
            200
        );
        let path = format!("/v2/other/blobs/{blob}");
        for method in [Method::GET, Method::HEAD, Method::DELETE] {
            let answer = server.call(method, &path, &[], "").await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND);
        }
        // Nor by saying that it is already here.
        for query in ["", "&from=other", "&from=team/app", "&from=nothing"] {
            let mount = format!("/v2/other/blobs/uploads/?mount={blob}{query}");
            let answer = server.call(Method::POST, &mount, &[], "").await;
            assert_eq!(answer.status, StatusCode::ACCEPTED, "{query}");
        }
    }
    let text = String::from_utf8(manifest.body).unwrap();
    let answer = server
        .put_manifest("other", "v1", OCI_MANIFEST, &text)
        .await;
    assert_eq!(code(&answer.body), "MANIFEST_BLOB_UNKNOWN");
    let mine = ImageName {
        repository: Repository {
            path: "other".to_owned(),
            ..secret.repository.clone()
        },
        ..secret.clone()
    };
    assert!(
        server
            .store
            .put_manifest(&mine, OCI_MANIFEST, text.as_bytes())
            .await
            .is_err()
    );
    // What the machine itself puts there is there with all its parts.
    server.store.tag(&secret, &mine).await.unwrap();
    for blob in &digests {
        assert_eq!(
            server.get(&format!("/v2/other/blobs/{blob}")).await.status,
            200
        );
    }
    // Nothing is left to a namesake.
    let pushed = server.push_blob("team/app", b"of before").await;
    let repository = Repository {
        path: "team/app".to_owned(),
        ..secret.repository
    };
    server.store.delete_repository(&repository).await.unwrap();
    server.store.create_repository(&repository).await.unwrap();
    let path = format!("/v2/team/app/blobs/{pushed}");
    assert_eq!(server.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_what_is_allowed_is_done() {
    // Everything with `site`; reading manifests and starting uploads elsewhere.
    let server = Server::where_allowed(|access, path| {
        path == "site" || matches!(access, Access::ReadManifest | Access::StartUpload)
    })
    .await;
    let blob = server.push_blob("site", b"content").await;
    for (method, path) in [
        (Method::GET, format!("/v2/other/blobs/{blob}")),
        (Method::DELETE, format!("/v2/other/blobs/{blob}")),
        (Method::GET, "/v2/other/tags/list".to_owned()),
        (Method::GET, format!("/v2/other/referrers/{blob}")),
        (Method::PUT, "/v2/other/manifests/v1".to_owned()),
        (Method::DELETE, "/v2/other/manifests/v1".to_owned()),
        (
            Method::POST,
            format!("/v2/other/blobs/uploads/?digest={blob}"),
        ),
        // What is not there is not told apart.
        (Method::GET, "/v2/nothing/tags/list".to_owned()),
    ] {
        let answer = server.call(method.clone(), &path, &[], "content").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
        assert_eq!(code(&answer.body), "DENIED", "{method} {path}");
    }
    let answer = server.get("/v2/other/manifests/v1").await;
    assert_eq!(code(&answer.body), "MANIFEST_UNKNOWN");
    let begun = server
        .call(Method::POST, "/v2/other/blobs/uploads/", &[], "")
        .await;
    assert_eq!(begun.status, StatusCode::ACCEPTED);
    let upload = begun.header("location").to_owned();
    let finish = format!("{upload}?digest={blob}");
    for (method, path) in [
        (Method::PATCH, &upload),
        (Method::GET, &upload),
        (Method::PUT, &finish),
    ] {
        let answer = server.call(method.clone(), path, &[], "content").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}");
    }
}

#[tokio::test]
async fn mounting_is_reading_the_source() {
    let server =
        Server::where_allowed(|access, path| path != "site" || !matches!(access, Access::ReadBlob))
            .await;
    let blob = server.push_blob("site", b"shared").await;
    let mount = format!("/v2/other/blobs/uploads/?mount={blob}&from=site");
    let answer = server.call(Method::POST, &mount, &[], "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let path = format!("/v2/other/blobs/{blob}");
    assert_eq!(server.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn manifests_live_under_tags_and_digests() {
    let server = Server::start().await;
    let config = server.push_blob("site", b"{}").await;
    let layer = server.push_blob("site", b"layer").await;
    let manifest = manifest_of((&config, 2), &[(&layer, 5)]);
    let own = digest(manifest.as_bytes());
    let put = server
        .put_manifest("site", "v1", OCI_MANIFEST, &manifest)
        .await;
    assert_eq!(put.status, StatusCode::CREATED);
    assert_eq!(put.header("docker-content-digest"), own);
    for reference in ["v1", &own] {
        let path = format!("/v2/site/manifests/{reference}");
        let answer = server.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.body, manifest.as_bytes());
        assert_eq!(answer.header("content-type"), OCI_MANIFEST);
        assert_eq!(answer.header("docker-content-digest"), own);
        let head = server.call(Method::HEAD, &path, &[], "").await;
        assert_eq!(head.header("content-length"), manifest.len().to_string());
    }
    // A blob that a manifest names stays.
    let blob_path = format!("/v2/site/blobs/{layer}");
    let answer = server.call(Method::DELETE, &blob_path, &[], "").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    let answer = server
        .call(Method::DELETE, "/v2/site/manifests/v1", &[], "")
        .await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let answer = server
        .call(Method::DELETE, "/v2/site/manifests/v1", &[], "")
        .await;
    assert_eq!(code(&answer.body), "MANIFEST_UNKNOWN");
    let by_digest = format!("/v2/site/manifests/{own}");
    assert_eq!(server.get(&by_digest).await.status, StatusCode::OK);
    let answer = server.call(Method::DELETE, &by_digest, &[], "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(server.get(&by_digest).await.status, StatusCode::NOT_FOUND);
    let answer = server.call(Method::DELETE, &blob_path, &[], "").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(server.get(&blob_path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn bad_manifests_are_refused() {
    let server = Server::start().await;
    let config = server.push_blob("site", b"{}").await;
    let absent = digest(b"absent");
    let refused = async |reference: &str, media_type: &str, body: &str, expected: &str| {
        let answer = server
            .put_manifest("site", reference, media_type, body)
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(code(&answer.body), expected, "{body}");
    };
    let missing = manifest_of((&config, 2), &[(&absent, 5)]);
    refused("v1", OCI_MANIFEST, &missing, "MANIFEST_BLOB_UNKNOWN").await;
    let wrong_size = manifest_of((&config, 3), &[]);
    refused("v1", OCI_MANIFEST, &wrong_size, "MANIFEST_INVALID").await;
    let good = manifest_of((&config, 2), &[]);
    refused("v1", OCI_INDEX, &good, "MANIFEST_INVALID").await;
    refused("v1", "text/plain", &good, "MANIFEST_INVALID").await;
    refused("v1", OCI_MANIFEST, "not json", "MANIFEST_INVALID").await;
    refused("-bad", OCI_MANIFEST, &good, "MANIFEST_INVALID").await;
    refused(&absent, OCI_MANIFEST, &good, "DIGEST_INVALID").await;
    let huge = " ".repeat(5 << 20);
    let answer = server.put_manifest("site", "v1", OCI_MANIFEST, &huge).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let tags = server.get("/v2/site/tags/list").await.json();
    assert_eq!(tags["tags"], json!([]));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let server = Server::start().await;
    let config = server.push_blob("site", b"{}").await;
    let manifest = manifest_of((&config, 2), &[]);
    for tag in ["c", "a", "d", "b", "e"] {
        server
            .put_manifest("site", tag, OCI_MANIFEST, &manifest)
            .await;
    }
    let mut found = Vec::new();
    let mut path = "/v2/site/tags/list?n=2".to_owned();
    loop {
        let answer = server.get(&path).await;
        let tags = answer.json()["tags"].as_array().unwrap().clone();
        assert!(tags.len() <= 2);
        found.extend(tags);
        let Some(link) = answer.headers.get("link") else {
            break;
        };
        let link = link.to_str().unwrap();
        path = link[1..link.find('>').unwrap()].to_owned();
    }
    assert_eq!(Value::from(found), json!(["a", "b", "c", "d", "e"]));
    let all = server.get("/v2/site/tags/list").await.json();
    assert_eq!(all["name"], "site");
    let none = server.get("/v2/site/tags/list?n=0").await.json();
    assert_eq!(none["tags"], json!([]));
    let catalog = server.get("/v2/_catalog").await.json();
    assert_eq!(
        catalog["repositories"],
        json!(["other", "site", "team/app"])
    );
}

#[tokio::test]
async fn referrers_are_found() {
    let server = Server::start().await;
    let config = server.push_blob("site", b"{}").await;
    let subject = manifest_of((&config, 2), &[]);
    let subject_digest = digest(subject.as_bytes());
    server
        .put_manifest("site", "v1", OCI_MANIFEST, &subject)
        .await;
    let mut artifact: Value = serde_json::from_str(&subject).unwrap();
    artifact["artifactType"] = json!("application/x.sbom");
    artifact["annotations"] = json!({ "k": "v" });
    artifact["subject"] =
        json!({ "mediaType": OCI_MANIFEST, "digest": subject_digest, "size": subject.len() });
    let artifact = artifact.to_string();
    let own = digest(artifact.as_bytes());
    let put = server
        .put_manifest("site", &own, OCI_MANIFEST, &artifact)
        .await;
    assert_eq!(put.header("oci-subject"), subject_digest);
    let path = format!("/v2/site/referrers/{subject_digest}");
    let answer = server.get(&path).await;
    assert_eq!(answer.header("content-type"), OCI_INDEX);
    let expected = json!([{
        "mediaType": OCI_MANIFEST,
        "digest": own,
        "size": artifact.len(),
        "artifactType": "application/x.sbom",
        "annotations": { "k": "v" },
    }]);
    assert_eq!(answer.json()["manifests"], expected);
    let filtered = server.get(&format!("{path}?artifactType=other")).await;
    assert_eq!(filtered.json()["manifests"], json!([]));
    assert_eq!(filtered.header("oci-filters-applied"), "artifactType");
    let nothing = server.get(&format!("/v2/site/referrers/{own}")).await;
    assert_eq!(nothing.json()["manifests"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_can_be_prepared() {
    let server = Server::start().await;
    let name = server.push_image("team/app", "v1", "hello").await;
    let image = server.store.prepare(&name, None).await.unwrap();
    let file = image.directories[0].join("greeting");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "hello");
    let repository = Repository {
        host: common::HOST.to_owned(),
        path: "team/app".to_owned(),
    };
    let stored = server.store.manifests(&repository).await.unwrap();
    assert_eq!(stored[0].tags, ["v1"]);
    // Two clients may push the same at once.
    let pushes = (0..8).map(|_| server.push_image("team/app", "v2", "hello"));
    futures_util::future::join_all(pushes).await;
    assert_eq!(server.temporary_files(), 0);
}

#[tokio::test]
async fn a_manifest_that_was_sent_as_a_layer_opens_nothing() {
    let server = Server::start().await;
    let secret = server.push_blob("site", b"a secret").await;
    let config = server.push_blob("other", b"{}").await;
    let disguised = manifest_of((&config, 2), &[(&secret, 8)]);
    let digest = server.push_blob("other", disguised.as_bytes()).await;
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
        "size": disguised.len(), "platform": { "os": "linux", "architecture": "amd64" } }] });
    server
        .put_manifest("other", "v1", media_type, &index.to_string())
        .await;
    let answer = server.get(&format!("/v2/other/blobs/{secret}")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}
