//! A door with a bucket behind it, and what it answers.

use std::sync::Arc;

use http_body_util::BodyExt;

use super::Ground;
use super::signing::{Ask, ask};

pub struct Told {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: String,
}

impl Told {
    pub fn element(&self, name: &str) -> Option<&str> {
        let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    #[track_caller]
    pub fn refuses(&self, status: u16, code: &str, details: &[(&str, &str)]) {
        assert_eq!(
            (self.status, self.element("Code")),
            (status, Some(code)),
            "{}",
            self.body
        );
        assert!(
            self.element("Message").is_some_and(|it| !it.is_empty()),
            "{}",
            self.body
        );
        assert_eq!(self.element("RequestId"), self.header("x-amz-request-id"));
        assert_eq!(self.element("HostId"), self.header("x-amz-id-2"));
        for (name, value) in details {
            assert_eq!(self.element(name), Some(*value), "{}", self.body);
        }
    }
}

pub struct Shop {
    pub ground: Ground,
    pub door: s3::Door,
}

impl Shop {
    pub async fn new() -> Self {
        let ground = Ground::new();
        ground.bucket("bucket").await;
        let door = ground.owners_door();
        Self { ground, door }
    }

    pub async fn send(&self, request: http::Request<s3::Body>) -> Told {
        let origin = Arc::new(cloud::Origin::Internal);
        let visit = s3::Visit {
            origin,
            request_id: "0123456789ABCDEF".into(),
            believe: Arc::new(|| {}),
        };
        let (head, body) = self.door.handle(request, visit).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Told {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub async fn tell(&self, ask: Ask) -> Told {
        self.send(ask.signed().0).await
    }

    pub async fn done(&self, ask: Ask) -> Told {
        let told = self.tell(ask).await;
        assert!(told.status < 300, "{} {}", told.status, told.body);
        told
    }

    /// Begins an upload of `m` with one part, and answers its id and the part's entity tag.
    pub async fn upload(&self) -> (String, String) {
        let begun = self
            .done(ask("POST", "/bucket/m", "").query("uploads", ""))
            .await;
        let id = begun.element("UploadId").unwrap().to_owned();
        let part = ask("PUT", "/bucket/m", "part").query("uploadId", &id);
        let part = self.done(part.query("partNumber", "1")).await;
        (id, part.header("etag").unwrap().to_owned())
    }
}

pub fn get(path: &str) -> Ask {
    ask("GET", path, "")
}

pub fn complete(upload: &str, etag: &str) -> Ask {
    let parts = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
    );
    ask("POST", "/bucket/m", &parts).query("uploadId", upload)
}

pub fn copy(to: &str, source: &str) -> Ask {
    ask("PUT", to, "").header("x-amz-copy-source", source)
}
