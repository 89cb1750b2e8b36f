//! Objects of S3, as builds read and write them.

use std::pin::Pin;

use cloud::{Cx, Error};
use engine::ByteStream;
use futures_util::StreamExt;
use shapes::s3::{GetObjectInput, ListObjectsV2Input, PutObjectInput, ServerSideEncryption};

use crate::project_rules::DEFAULT_KEY;
use crate::record::BuildRecord;

/// What is read into memory at once: sources and artifacts of builds that one machine carries.
const OBJECT_BYTES_MAX: usize = 2 << 30;

/// `bucket/key`, also as an ARN.
pub fn split(location: &str) -> Option<(String, String)> {
    let plain = location
        .strip_prefix("arn:aws:s3:::")
        .or_else(|| location.strip_prefix("s3://"))
        .unwrap_or(location);
    let (bucket, key) = plain.trim_start_matches('/').split_once('/')?;
    (!bucket.is_empty() && !key.is_empty()).then(|| (bucket.to_owned(), key.to_owned()))
}

pub struct Object {
    pub bytes: Vec<u8>,
    pub version: Option<String>,
    pub etag: Option<String>,
}

pub async fn get(cx: &Cx, bucket: &str, key: &str, version: Option<&str>) -> Result<Object, Error> {
    let asked = GetObjectInput {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version_id: version.map(str::to_owned),
        ..Default::default()
    };
    let answer = cx.call(asked).await?;
    Ok(Object {
        bytes: answer.body.unwrap_or_default().0,
        version: answer.version_id,
        etag: answer.e_tag,
    })
}

/// The key of KMS that a build's objects are encrypted by. None: they are as their bucket says.
pub fn own_key(build: &BuildRecord) -> Option<&str> {
    let key = build.shape.encryption_key.as_deref();
    key.filter(|it| !it.ends_with(DEFAULT_KEY))
}

pub async fn put(
    cx: &Cx,
    bucket: &str,
    key: &str,
    bytes: Vec<u8>,
    kms_key: Option<&str>,
) -> Result<(), Error> {
    let asked = PutObjectInput {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        body: Some(wire::Blob(bytes)),
        server_side_encryption: kms_key.map(|_| ServerSideEncryption::AwsKms),
        ssekms_key_id: kms_key.map(str::to_owned),
        ..Default::default()
    };
    cx.call(asked).await.map(drop)
}

/// The keys below a prefix.
pub async fn keys(cx: &Cx, bucket: &str, prefix: &str) -> Result<Vec<String>, Error> {
    let mut keys = Vec::new();
    let mut token = None;
    loop {
        let asked = ListObjectsV2Input {
            bucket: bucket.to_owned(),
            prefix: Some(prefix.to_owned()),
            continuation_token: token,
            ..Default::default()
        };
        let answer = cx.call(asked).await?;
        keys.extend(
            answer
                .contents
                .into_iter()
                .flatten()
                .filter_map(|it| it.key),
        );
        token = answer.next_continuation_token;
        if token.is_none() {
            return Ok(keys);
        }
    }
}

/// Bytes as a stream, in pieces.
pub fn stream(bytes: Vec<u8>) -> ByteStream {
    let bytes = bytes::Bytes::from(bytes);
    Box::pin(futures_util::stream::iter([Ok(bytes)]))
}

/// A stream to its end.
pub async fn collect(
    mut stream: Pin<Box<dyn futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send>>,
) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece.map_err(|error| error.to_string())?;
        if all.len() + piece.len() > OBJECT_BYTES_MAX {
            return Err(format!(
                "the archive is larger than {OBJECT_BYTES_MAX} bytes"
            ));
        }
        all.extend_from_slice(&piece);
    }
    Ok(all)
}
