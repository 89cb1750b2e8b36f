//! A client of the door that signs as AWS's do, and can be made to leave out of its signature what it
//! is asked to.
#![allow(dead_code)]

use http::{Request, Response};
use http_body_util::BodyExt;
use ring::{digest, hmac};

pub const HOST: &str = "127.0.0.1:4566";
pub const UNSIGNED: &str = "UNSIGNED-PAYLOAD";

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

pub fn hmac_sha1(key: &str, text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

pub fn base64(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}

/// As in addresses.
pub fn encoded(text: &str) -> String {
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.~".contains(&it);
    let bytes = text.bytes();
    bytes
        .map(|it| match plain(it) {
            true => char::from(it).to_string(),
            false => format!("%{it:02X}"),
        })
        .collect()
}

/// One request. `headers` are signed, and `open` are not.
#[derive(Clone)]
pub struct Ask {
    pub key: &'static str,
    pub secret: &'static str,
    pub method: &'static str,
    /// Not encoded: `/bucket/key`.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub open: Vec<(String, String)>,
    pub content_sha256: String,
    pub body: Vec<u8>,
    /// `20261130T110000Z`.
    pub time: String,
}

pub fn ask(method: &'static str, path: &str, body: &str) -> Ask {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = wire::Timestamp(since.unwrap().as_secs() as f64).to_string();
    Ask {
        key: "OWNER",
        secret: "secret",
        method,
        path: path.into(),
        query: vec![],
        headers: vec![],
        open: vec![],
        content_sha256: sha256(body.as_bytes()),
        body: body.into(),
        time: now.replace(['-', ':'], ""),
    }
}

impl Ask {
    pub fn by(mut self, key: &'static str, secret: &'static str) -> Self {
        (self.key, self.secret) = (key, secret);
        self
    }

    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// A header that somebody adds to a request that is signed already.
    pub fn open(mut self, name: &str, value: &str) -> Self {
        self.open.push((name.into(), value.into()));
        self
    }

    pub fn hashed(mut self, content_sha256: &str) -> Self {
        self.content_sha256 = content_sha256.into();
        self
    }

    fn scope(&self) -> String {
        format!("{}/eu-west-1/s3/aws4_request", &self.time[..8])
    }

    fn sign(&self, text: &str) -> String {
        let key = format!("AWS4{}", self.secret);
        let parts = [&self.time[..8], "eu-west-1", "s3", "aws4_request"];
        let key = parts
            .iter()
            .fold(key.into_bytes(), |key, part| hmac(&key, part));
        hex(&hmac(&key, text))
    }

    fn canonical_query(query: &[(String, String)]) -> String {
        let mut pairs: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        pairs.sort();
        pairs.join("&")
    }

    fn canonical_path(&self) -> String {
        let parts: Vec<String> = self.path.split('/').map(encoded).collect();
        parts.join("/")
    }

    fn signature(&self, query: &str, headers: &[(String, String)], hash: &str) -> String {
        let names: Vec<&str> = headers.iter().map(|it| it.0.as_str()).collect();
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let canonical = format!(
            "{}\n{}\n{query}\n{lines}\n{}\n{hash}",
            self.method,
            self.canonical_path(),
            names.join(";")
        );
        let text = format!(
            "AWS4-HMAC-SHA256\n{}\n{}\n{}",
            self.time,
            self.scope(),
            sha256(canonical.as_bytes())
        );
        self.sign(&text)
    }

    fn request(&self, query: &str, headers: &[(String, String)]) -> Request<s3::Body> {
        let mut uri = self.canonical_path();
        if !query.is_empty() {
            uri = format!("{uri}?{query}");
        }
        let mut request = Request::builder().method(self.method).uri(uri);
        for (name, value) in headers.iter().chain(&self.open) {
            request = request.header(name, value);
        }
        if !self.body.is_empty() {
            request = request.header("content-length", self.body.len());
        }
        request.body(s3::Body::from(self.body.clone())).unwrap()
    }

    fn sorted(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let more = more.iter().map(|it| (it.0.to_owned(), it.1.to_owned()));
        let mut headers: Vec<_> = self.headers.iter().cloned().chain(more).collect();
        headers.sort();
        headers
    }

    /// Signed in its head; answers its signature, too, which that of the first chunk follows from.
    pub fn signed(&self) -> (Request<s3::Body>, String) {
        let mut headers = self.sorted(&[
            ("host", HOST),
            ("x-amz-date", &self.time),
            ("x-amz-content-sha256", &self.content_sha256),
        ]);
        let query = Self::canonical_query(&self.query);
        let signature = self.signature(&query, &headers, &self.content_sha256);
        let names: Vec<&str> = headers.iter().map(|it| it.0.as_str()).collect();
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={}, Signature={signature}",
            self.key,
            self.scope(),
            names.join(";")
        );
        headers.push(("authorization".into(), authorization));
        (self.request(&query, &headers), signature)
    }

    /// Signed in its query.
    pub fn presigned(&self, expires: &str) -> Request<s3::Body> {
        self.presigned_over(expires, UNSIGNED)
    }

    /// Signed in its query, over what is told of its body.
    pub fn presigned_over(&self, expires: &str, hash: &str) -> Request<s3::Body> {
        let headers = self.sorted(&[("host", HOST)]);
        let names: Vec<&str> = headers.iter().map(|it| it.0.as_str()).collect();
        let mut query = self.query.clone();
        let credential = format!("{}/{}", self.key, self.scope());
        for (name, value) in [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &self.time),
            ("X-Amz-Expires", expires),
            ("X-Amz-SignedHeaders", &names.join(";")),
        ] {
            query.push((name.into(), value.into()));
        }
        let text = Self::canonical_query(&query);
        let signature = self.signature(&text, &headers, hash);
        let text = format!("{text}&X-Amz-Signature={signature}");
        self.request(&text, &headers)
    }

    /// Signed in its query by version 2, with the token of a session.
    pub fn presigned_old(&self, token: &str, expires: i64) -> Request<s3::Body> {
        let text = format!(
            "{}\n\n\n{expires}\nx-amz-security-token:{token}\n{}",
            self.method, self.path
        );
        let signature = base64(&hmac_sha1(self.secret, &text));
        let query = [
            ("AWSAccessKeyId", self.key),
            ("Expires", &expires.to_string()),
            ("Signature", &signature),
            ("x-amz-security-token", token),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let query = Self::canonical_query(&query);
        self.request(&query, &[("host".into(), HOST.into())])
    }

    /// In chunks, each with a signature; `trailer` follows them, with one, too.
    pub fn in_chunks(&self, chunks: &[&str], trailer: Option<(&str, &str)>) -> Request<s3::Body> {
        let length: usize = chunks.iter().map(|it| it.len()).sum();
        let mut ask = self
            .clone()
            .header("x-amz-decoded-content-length", &length.to_string())
            .hashed(match trailer {
                Some(_) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
                None => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            });
        if let Some((name, _)) = trailer {
            ask = ask.header("x-amz-trailer", name);
        }
        let (_, mut last) = ask.signed();
        let mut body = String::new();
        for chunk in chunks.iter().chain(&[""]) {
            last = ask.sign(&format!(
                "AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{last}\n{}\n{}",
                ask.time,
                ask.scope(),
                sha256(b""),
                sha256(chunk.as_bytes())
            ));
            body += &format!("{:x};chunk-signature={last}\r\n{chunk}", chunk.len());
            if !chunk.is_empty() {
                body += "\r\n";
            }
        }
        if let Some((name, value)) = trailer {
            let line = format!("{name}:{value}\n");
            let signature = ask.sign(&format!(
                "AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{last}\n{}",
                ask.time,
                ask.scope(),
                sha256(line.as_bytes())
            ));
            body += &format!("{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n");
        }
        body += "\r\n";
        ask.body = body.into_bytes();
        ask.signed().0
    }
}

/// A form that a browser sends, signed by a policy over `conditions`. `fields` are the form's own beside
/// those of the signature.
pub fn form(
    asked: &Ask,
    conditions: &[String],
    fields: &[(&str, &str)],
    file: &str,
) -> Request<s3::Body> {
    let credential = format!("{}/{}", asked.key, asked.scope());
    let signing = [
        ("x-amz-algorithm", "AWS4-HMAC-SHA256"),
        ("x-amz-credential", &credential),
        ("x-amz-date", &asked.time),
    ];
    let mut all = conditions.to_vec();
    all.extend(
        signing
            .iter()
            .map(|(name, value)| format!(r#"{{"{name}": "{value}"}}"#)),
    );
    let policy = format!(
        r#"{{"expiration": "2099-01-01T00:00:00.000Z", "conditions": [{}]}}"#,
        all.join(", ")
    );
    let policy = base64(policy.as_bytes());
    let signature = asked.sign(&policy);
    let mut fields: Vec<(&str, &str)> = fields.to_vec();
    fields.extend(signing);
    fields.extend([("policy", policy.as_str()), ("x-amz-signature", &signature)]);
    unsigned_form(&asked.path, &fields, file)
}

pub fn unsigned_form(path: &str, fields: &[(&str, &str)], file: &str) -> Request<s3::Body> {
    let mut body = String::new();
    for (name, value) in fields {
        body += &format!(
            "--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        );
    }
    body += &format!(
        "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\nContent-Type: text/plain\r\n\r\n{file}\r\n--edge--\r\n"
    );
    Request::builder()
        .method("POST")
        .uri(path)
        .header("host", HOST)
        .header("content-type", "multipart/form-data; boundary=edge")
        .header("content-length", body.len())
        .body(s3::Body::from(body))
        .unwrap()
}

/// The status, and the body as text.
pub async fn answer(door: &s3::Door, request: Request<s3::Body>) -> (u16, String) {
    answer_from(door, request, cloud::Origin::Internal).await
}

pub async fn answer_from(
    door: &s3::Door,
    request: Request<s3::Body>,
    origin: cloud::Origin,
) -> (u16, String) {
    let visit = s3::Visit {
        origin: std::sync::Arc::new(origin),
        request_id: "0123456789ABCDEF".into(),
        believe: std::sync::Arc::new(|| {}),
    };
    let answer = door.handle(request, visit).await;
    let (head, body) = Response::into_parts(answer);
    let body = body.collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    (head.status.as_u16(), body)
}

/// A client at this address, over plain HTTP.
pub fn client(address: &str) -> cloud::Origin {
    cloud::Origin::Client(cloud::ClientOrigin {
        address: address.parse().ok(),
        user_agent: None,
        is_secure: false,
        inside: None,
    })
}

/// The body of a request, to be changed on its way.
pub async fn tampered(
    request: Request<s3::Body>,
    change: impl FnOnce(String) -> String,
) -> Request<s3::Body> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let body = change(String::from_utf8(body.to_vec()).unwrap());
    head.headers.insert("content-length", body.len().into());
    Request::from_parts(head, s3::Body::from(body))
}
