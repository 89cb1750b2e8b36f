//! The checksums of S3's clients, computed while a body goes by.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use engine::ByteStream;
use futures_util::{Stream, StreamExt, stream};
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use serde::{Deserialize, Serialize};

use crate::record::Sum;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    Crc32,
    Crc32c,
    /// What S3 computes when the client names none.
    #[default]
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub const ALL: &'static [Self] = &[
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
    ];

    /// As `x-amz-checksum-algorithm` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|it| it.name().eq_ignore_ascii_case(name))
    }

    /// The header, or trailer, that carries one.
    pub fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }

    /// In bytes.
    pub fn length(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Whether the checksum of a whole follows from those of its parts.
    pub fn combines(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme)
    }

    fn hasher(self) -> ChecksumHasher {
        let mut hasher = ChecksumHasher::default();
        match self {
            Self::Crc32 => hasher.crc32 = Some(Crc32::new()),
            Self::Crc32c => hasher.crc32c = Some(Crc32c::new()),
            Self::Crc64Nvme => hasher.crc64nvme = Some(Crc64Nvme::new()),
            Self::Sha1 => hasher.sha1 = Some(Sha1::new()),
            Self::Sha256 => hasher.sha256 = Some(Sha256::new()),
        }
        hasher
    }

    fn finish(hasher: ChecksumHasher) -> String {
        let it = hasher.finalize();
        it.checksum_crc32
            .or(it.checksum_crc32c)
            .or(it.checksum_crc64nvme)
            .or(it.checksum_sha1)
            .or(it.checksum_sha256)
            .expect("a hasher has the one algorithm it was made for")
    }

    pub fn of(self, bytes: &[u8]) -> String {
        let mut hasher = self.hasher();
        hasher.update(bytes);
        Self::finish(hasher)
    }

    /// Of all parts' bytes, from the parts' own checksums and sizes.
    fn combine(self, parts: &[(String, u64)]) -> Option<String> {
        let algorithm = match self {
            Self::Crc32 => crc_fast::CrcAlgorithm::Crc32IsoHdlc,
            Self::Crc32c => crc_fast::CrcAlgorithm::Crc32Iscsi,
            Self::Crc64Nvme => crc_fast::CrcAlgorithm::Crc64Nvme,
            Self::Sha1 | Self::Sha256 => return None,
        };
        let width = self.length();
        let mut whole: Option<u64> = None;
        for (sum, size) in parts {
            let bytes = BASE64.decode(sum).ok().filter(|it| it.len() == width)?;
            let sum = bytes.iter().fold(0, |all, it| (all << 8) | u64::from(*it));
            whole = Some(match whole {
                None => sum,
                Some(before) => crc_fast::checksum_combine(algorithm, before, sum, *size),
            });
        }
        let bytes = whole?.to_be_bytes();
        Some(BASE64.encode(&bytes[8 - width..]))
    }

    /// Of what was uploaded in parts.
    pub fn of_parts(self, parts: &[(String, u64)], composite: bool) -> Option<Sum> {
        let value = if composite {
            let mut all = Vec::new();
            for (sum, _) in parts {
                all.extend(BASE64.decode(sum).ok()?);
            }
            format!("{}-{}", self.of(&all), parts.len())
        } else {
            self.combine(parts)?
        };
        Some(Sum {
            algorithm: self,
            value,
            composite,
        })
    }
}

/// The checksum of a body, once it has gone by.
#[derive(Clone, Default)]
pub struct Computed(Arc<Mutex<Option<String>>>);

impl Computed {
    /// None when the body did not end.
    pub fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

struct Summed {
    body: ByteStream,
    hasher: Option<ChecksumHasher>,
    computed: Computed,
}

impl Stream for Summed {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let next = this.body.as_mut().poll_next(cx);
        match &next {
            Poll::Ready(Some(Ok(piece))) => {
                if let Some(hasher) = &mut this.hasher {
                    hasher.update(piece);
                }
            }
            Poll::Ready(None) => {
                if let Some(hasher) = this.hasher.take() {
                    let sum = Algorithm::finish(hasher);
                    let mut slot = (this.computed.0.lock()).unwrap_or_else(PoisonError::into_inner);
                    *slot = Some(sum);
                }
            }
            _ => {}
        }
        next
    }
}

/// The same body, whose checksum is known when it has ended.
pub fn summed(body: ByteStream, algorithm: Algorithm) -> (ByteStream, Computed) {
    let computed = Computed::default();
    let summed = Summed {
        body,
        hasher: Some(algorithm.hasher()),
        computed: computed.clone(),
    };
    (Box::pin(summed), computed)
}

/// How many bytes went by, and their MD5 in hexadecimal digits where it is asked for; nothing before the body
/// has ended.
type Counted = Arc<Mutex<Option<(u64, Option<String>)>>>;

/// The same body; how long it is is known when it has ended, and its MD5 if that will be compared.
pub fn counted(body: ByteStream, with_md5: bool) -> (ByteStream, Taken) {
    let counted = Counted::default();
    let ended = counted.clone();
    let body = stream::unfold(
        (body, with_md5.then(Md5::new), 0),
        move |(mut body, mut md5, mut size)| {
            let ended = ended.clone();
            async move {
                let Some(piece) = body.next().await else {
                    let digits = md5.map(|it| {
                        let digits = it.finalize();
                        digits.iter().map(|it| format!("{it:02x}")).collect()
                    });
                    *ended.lock().unwrap_or_else(PoisonError::into_inner) = Some((size, digits));
                    return None;
                };
                if let Ok(bytes) = &piece {
                    if let Some(md5) = &mut md5 {
                        md5.update(bytes);
                    }
                    size += bytes.len() as u64;
                }
                Some((piece, (body, md5, size)))
            }
        },
    );
    (Box::pin(body), Taken(counted))
}

/// See [`counted`].
pub struct Taken(Counted);

impl Taken {
    pub fn take(&self) -> Option<(u64, Option<String>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_whole_follows_from_its_parts() {
        let (one, two, three) = (b"The quick ", b"brown fox ", b"jumps");
        let whole = [&one[..], two, three].concat();
        for algorithm in Algorithm::ALL.iter().filter(|it| it.combines()) {
            let parts = [&one[..], two, three].map(|it| (algorithm.of(it), it.len() as u64));
            let combined = algorithm.of_parts(&parts, false).unwrap();
            assert_eq!(combined.value, algorithm.of(&whole), "{}", algorithm.name());
        }
    }

    #[test]
    fn a_composite_checksum_is_of_the_parts_checksums() {
        let parts = [b"a", b"b"].map(|it| (Algorithm::Sha256.of(it), 1));
        let sum = Algorithm::Sha256.of_parts(&parts, true).unwrap();
        assert_eq!(sum.value, "5aAf7hTg7VxIcU8iGA8lrYNltT+XefedxKPX6Tlj+Uo=-2");
        assert!(Algorithm::Sha256.of_parts(&parts, false).is_none());
    }

    #[test]
    fn known_values() {
        assert_eq!(Algorithm::Crc32.of(b"123456789"), "y/Q5Jg==");
        assert_eq!(Algorithm::Crc32c.of(b"123456789"), "4waSgw==");
        assert_eq!(Algorithm::Crc64Nvme.of(b"123456789"), "rosUhgp5mIg=");
    }
}
