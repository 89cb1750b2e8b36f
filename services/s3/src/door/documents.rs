//! Documents of requests, where they say what the library has no members for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cloud::Error;
use futures_util::TryStreamExt;
use http::Method;
use http::request::Parts;
use s3s::Body;
use s3s::dto::{BucketInfo, LocationInfo, StreamingBlob, Tag};
use s3s::xml::{DeError, DeResult, Deserialize, Deserializer};

use super::{DOCUMENT_BYTES_MAX, convert};
use crate::errors::{malformed, too_long};
use crate::host::bucket_and_key;

/// The tags that a bucket is made with.
#[derive(Debug, Clone, Default)]
pub struct NewBucketTags(pub Vec<(String, String)>);

impl NewBucketTags {
    pub fn of<T>(request: &s3s::S3Request<T>) -> Self {
        request.extensions.get().cloned().unwrap_or_default()
    }
}

impl<'xml> Deserialize<'xml> for NewBucketTags {
    fn deserialize(reader: &mut Deserializer<'xml>) -> DeResult<Self> {
        let mut tags: Vec<Tag> = Vec::new();
        reader.named_element("CreateBucketConfiguration", |reader| {
            reader.for_each_element(|reader, name| match name {
                b"Tags" => {
                    tags.extend(reader.list_content::<Tag>("Tag")?);
                    Ok(())
                }
                // What the library reads, too.
                b"LocationConstraint" => reader.content::<String>().map(|_| ()),
                b"Location" => reader.content::<LocationInfo>().map(|_| ()),
                b"Bucket" => reader.content::<BucketInfo>().map(|_| ()),
                _ => Err(DeError::UnexpectedTagName),
            })
        })?;
        Ok(Self(convert::pairs(tags)))
    }
}

/// Whether a request makes a bucket.
fn makes_bucket(head: &Parts) -> bool {
    let (bucket, key) = bucket_and_key(&head.headers, &head.uri);
    let is_bucket = !bucket.is_empty() && key.trim_matches('/').is_empty();
    let query = head.uri.query().unwrap_or_default();
    let says_nothing = |it: &str| it.is_empty() || it.starts_with("x-id=");
    head.method == Method::PUT && is_bucket && query.split('&').all(says_nothing)
}

/// Reads what the library leaves out of a document, and gives the body back.
pub async fn read(head: &mut Parts, body: Body) -> Result<Body, Error> {
    if !makes_bucket(head) {
        return Ok(body);
    }
    let (read, mut body) = Counter::of(body);
    let bytes = body.store_all_limited(DOCUMENT_BYTES_MAX).await;
    let bytes = bytes.map_err(|_| match read.is_past_document() {
        true => too_long(),
        false => malformed(),
    })?;
    if !bytes.is_empty() {
        let tags = NewBucketTags::deserialize(&mut Deserializer::new(&bytes));
        head.extensions.insert(tags.map_err(|_| malformed())?);
    }
    Ok(Body::from(bytes))
}

/// How much of a body has been read so far, in bytes.
pub struct Counter(Arc<AtomicUsize>);

impl Counter {
    /// The same body, counted.
    pub fn of(body: Body) -> (Self, Body) {
        let read = Arc::new(AtomicUsize::new(0));
        if body.bytes().is_some() {
            // It is here already, and was bounded when it was read.
            return (Self(read), body);
        }
        let count = read.clone();
        let counted = body.map_err(io::Error::other).inspect_ok(move |piece| {
            count.fetch_add(piece.len(), Ordering::Relaxed);
        });
        (Self(read), Body::from(StreamingBlob::wrap(counted)))
    }

    /// Whether more than the longest document has been read.
    pub fn is_past_document(&self) -> bool {
        self.0.load(Ordering::Relaxed) > DOCUMENT_BYTES_MAX
    }
}
