//! Hostile bodies: forms of browsers, and those in signed chunks.

use bytes::Bytes;
use futures_util::StreamExt;
use fuzz::{Target, bucket, shape_of};
use s3s::Body;
use s3s::dto::StreamingBlob;

use super::chunks::{Framing, watch};
use super::forms;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A body that arrives in pieces of this length.
fn body(bytes: &[u8], piece: usize) -> Body {
    let pieces: Vec<_> = (bytes.chunks(piece))
        .map(|it| Ok::<_, std::io::Error>(Bytes::copy_from_slice(it)))
        .collect();
    Body::from(StreamingBlob::wrap(futures_util::stream::iter(pieces)))
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("it needs nothing").block_on(future)
}

#[test]
fn fuzz_form() {
    let part = |head: &str, value: &str| {
        format!("--edge\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n")
    };
    let file = part("name=\"file\"; filename=\"f\"", "x") + "--edge--\r\n";
    let policy = "eyJjb25kaXRpb25zIjpbeyJidWNrZXQiOiJiIn1dfQ==";
    Target::new("form", ROOT)
        .seeds([
            part("name=\"key\"", "a") + &part("name=\"policy\"", policy) + &file,
            part("name=\"key\"", "a") + &file,
            part("name=\"X-Amz-Algorithm\"", "AWS4-HMAC-SHA256") + &file,
            file.clone(),
        ])
        .words([
            "--edge",
            "\r\n\r\n",
            "name=\"",
            "; filename=",
            "--edge--",
            "\\\"",
            "\0",
        ])
        .run(|input| {
            let request = http::Request::post("/bucket")
                .header("content-type", "multipart/form-data; boundary=edge")
                .body(body(input, 100));
            let find_key = |_: &str, _: Option<&str>| None;
            let read = wait(async {
                let posted = forms::read(request.expect("it is one"), &find_key, 0).await?;
                let mut file = posted.request.into_body();
                let mut length = 0;
                while let Some(Ok(piece)) = file.next().await {
                    length += piece.len();
                }
                Ok((posted.version, bucket(length)))
            });
            read.map_err(|error: cloud::Error| shape_of(&error.message))
        });
}

#[test]
fn fuzz_chunks() {
    let signature = "a".repeat(64);
    let signed =
        format!("5;chunk-signature={signature}\r\nhello\r\n0;chunk-signature={signature}\r\n\r\n");
    Target::new("chunks", ROOT)
        .seeds([
            signed.as_str(),
            "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
            "ffffffff\r\n",
        ])
        .words([
            "\r\n",
            ";chunk-signature=",
            "0\r\n",
            "x-amz-trailer-signature:",
            "-1",
            "fffffffffffffffff",
        ])
        .run(|input| {
            [true, false].map(|signed| {
                let framing = Framing {
                    signed,
                    length: 5,
                    trailers: vec!["x-amz-checksum-crc32".into()],
                };
                let mut watched = watch(body(input, 3), framing);
                wait(async {
                    let mut length = 0;
                    while let Some(piece) = watched.next().await {
                        match piece {
                            Ok(piece) => length += piece.len(),
                            Err(error) => return shape_of(&error.to_string()),
                        }
                    }
                    bucket(length).to_string()
                })
            })
        });
}
