//! Contents that are encrypted by a key of KMS: AES-256-GCM in frames of a fixed size, so that a range is
//! read by opening its frames alone, and nothing is held but one of them.
//!
//! ```text
//! content   segment, one after another: one, or one for each part of an upload
//! segment   salt (32 bytes) | frames
//! frame     at most 64 KiB, encrypted | tag (16 bytes)
//! ```
//!
//! A segment's key follows from the data key and its salt, so that a data key may be used for as many
//! segments as an upload has. A frame's nonce is its number and whether it is the last: one that is
//! missing, moved or cut off does not open. An empty segment has one empty frame.

use std::io;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use engine::ByteStream;
use futures_util::{StreamExt, stream};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::rand::{SecureRandom, SystemRandom};

/// What a content is encrypted with. It is never recorded but in the form that KMS encrypted it to.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey([u8; KEY_BYTES]);

pub const KEY_BYTES: usize = 32;
const FRAME_BYTES: u64 = 64 * 1024;
const SALT_BYTES: usize = 32;
const TAG_BYTES: u64 = 16;

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        KEY_BYTES
    }
}

impl DataKey {
    /// None: it has another length.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    fn of_segment(&self, salt: &[u8]) -> io::Result<LessSafeKey> {
        let derived = Salt::new(HKDF_SHA256, salt).extract(&self.0);
        let mut key = [0; KEY_BYTES];
        let expanded = derived.expand(&[b"neargate s3 frames"], Length);
        (expanded.and_then(|it| it.fill(&mut key))).map_err(|_| failed("no key"))?;
        let key = UnboundKey::new(&AES_256_GCM, &key).map_err(|_| failed("no key"))?;
        Ok(LessSafeKey::new(key))
    }
}

fn failed(what: &str) -> io::Error {
    io::Error::other(format!("an encrypted content: {what}"))
}

fn nonce(frame: u64, is_last: bool) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    let (kind, number) = bytes.split_at_mut(NONCE_LEN - size_of::<u64>());
    number.copy_from_slice(&frame.to_be_bytes());
    kind[0] = u8::from(is_last);
    Nonce::assume_unique_for_key(bytes)
}

/// How many frames a segment of so many bytes has.
fn frames(size: u64) -> u64 {
    size.div_ceil(FRAME_BYTES).max(1)
}

/// How long a segment is that holds so many bytes.
pub fn sealed_length(size: u64) -> u64 {
    SALT_BYTES as u64 + size + frames(size) * TAG_BYTES
}

/// How long a frame of a segment is before it is encrypted.
fn frame_length(size: u64, frame: u64) -> u64 {
    size.saturating_sub(frame * FRAME_BYTES).min(FRAME_BYTES)
}

/// The body as a segment.
pub fn seal(body: ByteStream, key: &DataKey) -> io::Result<ByteStream> {
    let mut salt = [0; SALT_BYTES];
    (SystemRandom::new().fill(&mut salt))
        .map_err(|_| failed("the kernel gives no random bytes"))?;
    let writer = Writer {
        body,
        key: key.of_segment(&salt)?,
        left: BytesMut::new(),
        frame: 0,
        ended: false,
    };
    let head = stream::iter([Ok(Bytes::copy_from_slice(&salt))]);
    let frames = stream::try_unfold(Some(writer), |writer| async move {
        match writer {
            None => Ok(None),
            Some(writer) => writer.next().await.map(Some),
        }
    });
    Ok(Box::pin(head.chain(frames)))
}

struct Writer {
    body: ByteStream,
    key: LessSafeKey,
    left: BytesMut,
    frame: u64,
    ended: bool,
}

impl Writer {
    /// The next frame, and the writer where it was not the last. A frame is sealed when it is known
    /// whether another one follows.
    async fn next(mut self) -> io::Result<(Bytes, Option<Self>)> {
        // It fits: a frame is far smaller than any machine's memory.
        let whole = FRAME_BYTES as usize;
        while !self.ended && self.left.len() <= whole {
            match self.body.next().await {
                Some(piece) => self.left.extend_from_slice(&piece?),
                None => self.ended = true,
            }
        }
        let is_last = self.left.len() <= whole;
        let mut frame = self.left.split_to(self.left.len().min(whole)).to_vec();
        self.key
            .seal_in_place_append_tag(nonce(self.frame, is_last), Aad::empty(), &mut frame)
            .map_err(|_| failed("it cannot be encrypted"))?;
        self.frame += 1;
        Ok((Bytes::from(frame), (!is_last).then_some(self)))
    }
}

/// Where in a content the frames are that hold a range of the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Of the content, from the first frame on (or its segment's salt) to the last.
    pub span: Range<u64>,
    /// Where the salt is, if the span does not begin with it.
    pub salt: Option<Range<u64>>,
    segment: usize,
    /// Where the segment begins, of the bytes.
    begins: u64,
    frame: u64,
    wanted: Range<u64>,
}

/// `segments` are how many bytes each has. None: the range has no bytes, or is not all in there.
pub fn place(segments: &[u64], wanted: Range<u64>) -> Option<Place> {
    if wanted.is_empty() {
        return None;
    }
    let (mut begins, mut offset) = (0, 0);
    let mut first = None;
    for (segment, size) in segments.iter().enumerate() {
        let ends = begins + size;
        if first.is_none() && wanted.start < ends {
            let frame = (wanted.start - begins) / FRAME_BYTES;
            first = Some((segment, begins, offset, frame));
        }
        if let Some((segment, begins_first, offset_first, frame)) = first
            && wanted.end <= ends
        {
            let last = (wanted.end - 1 - begins) / FRAME_BYTES;
            let salt = offset_first..offset_first + SALT_BYTES as u64;
            let start = match frame {
                0 => salt.start,
                frame => frame_offset(offset_first, frame),
            };
            let end = frame_offset(offset, last) + frame_length(*size, last) + TAG_BYTES;
            return Some(Place {
                span: start..end,
                salt: (frame > 0).then_some(salt),
                segment,
                begins: begins_first,
                frame,
                wanted,
            });
        }
        (begins, offset) = (ends, offset + sealed_length(*size));
    }
    None
}

/// Where a frame begins in the content, of a segment that begins at `offset`.
fn frame_offset(offset: u64, frame: u64) -> u64 {
    offset + SALT_BYTES as u64 + frame * (FRAME_BYTES + TAG_BYTES)
}

/// The bytes that a place holds: `body` is its span, and `salt` what is where it says, if it says so.
pub fn open(
    body: ByteStream,
    key: DataKey,
    segments: Vec<u64>,
    place: Place,
    salt: Option<&[u8]>,
) -> io::Result<ByteStream> {
    let reader = Reader {
        of_segment: salt.map(|it| key.of_segment(it)).transpose()?,
        body,
        key,
        segments,
        left: BytesMut::new(),
        segment: place.segment,
        begins: place.begins,
        frame: place.frame,
        wanted: place.wanted,
    };
    Ok(Box::pin(stream::try_unfold(reader, Reader::next)))
}

struct Reader {
    body: ByteStream,
    key: DataKey,
    of_segment: Option<LessSafeKey>,
    segments: Vec<u64>,
    left: BytesMut,
    segment: usize,
    begins: u64,
    frame: u64,
    /// What is still to be given out.
    wanted: Range<u64>,
}

impl Reader {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        while !self.wanted.is_empty() {
            let piece = self.frame().await?;
            if !piece.is_empty() {
                return Ok(Some((piece, self)));
            }
        }
        Ok(None)
    }

    async fn take(&mut self, count: u64) -> io::Result<BytesMut> {
        let count = usize::try_from(count).map_err(io::Error::other)?;
        while self.left.len() < count {
            match self.body.next().await {
                Some(piece) => self.left.extend_from_slice(&piece?),
                None => return Err(failed("it is cut off")),
            }
        }
        Ok(self.left.split_to(count))
    }

    /// The wanted bytes of the next frame.
    async fn frame(&mut self) -> io::Result<Bytes> {
        let size = *(self.segments.get(self.segment)).ok_or_else(|| failed("it is cut off"))?;
        let key = match self.of_segment.take() {
            Some(key) => key,
            None => {
                let salt = self.take(SALT_BYTES as u64).await?;
                self.key.of_segment(&salt)?
            }
        };
        let length = frame_length(size, self.frame);
        let is_last = self.frame + 1 == frames(size);
        let mut frame = self.take(length + TAG_BYTES).await?;
        let opened = key.open_in_place(nonce(self.frame, is_last), Aad::empty(), &mut frame);
        opened.map_err(|_| failed("it was changed"))?;
        frame.truncate(usize::try_from(length).map_err(io::Error::other)?);
        let starts = self.begins + self.frame * FRAME_BYTES;
        let from = self.wanted.start.saturating_sub(starts).min(length);
        let to = (self.wanted.end - starts).min(length);
        self.wanted.start = self.wanted.start.max(starts + to);
        if is_last {
            (self.segment, self.frame) = (self.segment + 1, 0);
            self.begins += size;
        } else {
            self.frame += 1;
            self.of_segment = Some(key);
        }
        // Both are within the frame.
        Ok(frame.freeze().slice(from as usize..to as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut body: ByteStream) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes)
    }

    /// In pieces of an awkward size.
    fn body(bytes: &[u8]) -> ByteStream {
        let pieces: Vec<_> = bytes.chunks(7001).map(Bytes::copy_from_slice).collect();
        Box::pin(stream::iter(pieces.into_iter().map(Ok)))
    }

    fn bytes(length: u64) -> Vec<u8> {
        (0..length).map(|it| (it % 251) as u8).collect()
    }

    struct Content {
        key: DataKey,
        plain: Vec<u8>,
        segments: Vec<u64>,
        sealed: Vec<u8>,
    }

    impl Content {
        async fn of(segments: &[u64]) -> Self {
            let key = DataKey([7; KEY_BYTES]);
            let (mut plain, mut sealed) = (Vec::new(), Vec::new());
            for length in segments {
                let part = bytes(*length);
                let one = all(seal(body(&part), &key).unwrap()).await.unwrap();
                assert_eq!(one.len() as u64, sealed_length(*length));
                plain.extend(part);
                sealed.extend(one);
            }
            Self {
                key,
                plain,
                segments: segments.to_vec(),
                sealed,
            }
        }

        async fn read(&self, wanted: Range<u64>) -> io::Result<Vec<u8>> {
            let Some(place) = place(&self.segments, wanted) else {
                return Ok(Vec::new());
            };
            let part = |it: &Range<u64>| &self.sealed[it.start as usize..it.end as usize];
            let salt = place.salt.clone();
            let salt = salt.as_ref().map(part);
            let span = body(part(&place.span));
            let opened = open(span, self.key.clone(), self.segments.clone(), place, salt);
            all(opened?).await
        }
    }

    #[tokio::test]
    async fn ranges_are_read_by_their_frames_alone() {
        const F: u64 = FRAME_BYTES;
        let shapes: &[&[u64]] = &[
            &[0],
            &[1],
            &[F - 1],
            &[F],
            &[F + 1],
            &[3 * F],
            &[2 * F + 5, F, 1, 3 * F - 1],
            &[F, 0, 10],
        ];
        for segments in shapes {
            let content = Content::of(segments).await;
            let size = content.plain.len() as u64;
            let mut edges: Vec<u64> = vec![0, 1, size / 2, size.saturating_sub(1), size];
            let mut at = 0;
            for segment in *segments {
                at += segment;
                edges.extend([
                    at.saturating_sub(1),
                    at,
                    at + 1,
                    at.saturating_sub(F),
                    F + at / 2,
                ]);
            }
            edges.retain(|it| *it <= size);
            for start in &edges {
                for end in edges.iter().filter(|it| *it >= start) {
                    let read = content.read(*start..*end).await.unwrap();
                    let expected = &content.plain[*start as usize..*end as usize];
                    assert!(read == expected, "{segments:?} {start}..{end}");
                }
            }
        }
        let content = Content::of(&[10 * F]).await;
        let one = place(&content.segments, 5 * F..5 * F + 1).unwrap();
        assert_eq!(one.span.end - one.span.start, F + TAG_BYTES);
    }

    #[tokio::test]
    async fn what_was_changed_moved_or_cut_off_does_not_open() {
        let mut content = Content::of(&[2 * FRAME_BYTES + 9]).await;
        let size = content.plain.len() as u64;
        let sealed = content.sealed.clone();
        for at in [0, SALT_BYTES, SALT_BYTES + 70_000, sealed.len() - 1] {
            content.sealed[at] ^= 1;
            assert!(content.read(0..size).await.is_err(), "byte {at}");
            content.sealed.clone_from(&sealed);
        }
        // A whole frame in another's place.
        let frame = (FRAME_BYTES + TAG_BYTES) as usize;
        let second = sealed[SALT_BYTES + frame..SALT_BYTES + 2 * frame].to_vec();
        content.sealed[SALT_BYTES..SALT_BYTES + frame].copy_from_slice(&second);
        assert!(content.read(0..size).await.is_err());
        // The record says that it is shorter: its last frame is not the last one.
        content.sealed.clone_from(&sealed);
        content.segments = vec![FRAME_BYTES];
        assert!(content.read(0..FRAME_BYTES).await.is_err());
        let other = DataKey([8; KEY_BYTES]);
        content.segments = vec![size];
        content.key = other;
        assert!(content.read(0..1).await.is_err());
    }
}
