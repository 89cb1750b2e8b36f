//! What a request for a path is answered.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED,
    LOCATION, RANGE, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

use super::files::{Found, Root};
use super::range::{self, Wanted};
use super::types::content_type;

/// What is read of a file at once: large enough to be quick, small enough for small containers.
const CHUNK_BYTES: u64 = 64 * 1024;

pub async fn answer(root: &Root, request: &Parts) -> Response<FileBody> {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        let mut response = text(
            StatusCode::METHOD_NOT_ALLOWED,
            "only GET and HEAD are served\n",
        );
        let allow = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allow);
        return response;
    }
    let path = request.uri.path();
    match root.find(path) {
        Found::File(file) => match file.metadata() {
            Ok(metadata) => file_answer(file, &metadata, path, request),
            Err(_) => not_found(root),
        },
        Found::Folder => to_folder(request),
        Found::Nothing => not_found(root),
    }
}

fn file_answer(file: File, metadata: &Metadata, path: &str, request: &Parts) -> Response<FileBody> {
    let length = metadata.len();
    let marks = Marks::of(metadata);
    let mut response = if marks.unchanged_for(&request.headers) {
        let mut response = empty(StatusCode::NOT_MODIFIED);
        marks.write(response.headers_mut());
        return response;
    } else {
        let range = header(&request.headers, RANGE);
        let range = range.filter(|_| marks.range_holds(&request.headers));
        match range::parse(range, length) {
            Wanted::Whole => with_file(StatusCode::OK, file, 0, length, request),
            Wanted::Part(part) => {
                let text = format!("bytes {}-{}/{length}", part.start, part.end - 1);
                let count = part.end - part.start;
                let code = StatusCode::PARTIAL_CONTENT;
                let mut response = with_file(code, file, part.start, count, request);
                insert(response.headers_mut(), CONTENT_RANGE, &text);
                response
            }
            Wanted::Impossible => {
                let mut response = text(StatusCode::RANGE_NOT_SATISFIABLE, "");
                let text = format!("bytes */{length}");
                insert(response.headers_mut(), CONTENT_RANGE, &text);
                return response;
            }
        }
    };
    let headers = response.headers_mut();
    marks.write(headers);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let name = if path.ends_with('/') {
        "index.html"
    } else {
        path
    };
    insert(headers, CONTENT_TYPE, content_type(name));
    response
}

fn with_file(
    status: StatusCode,
    mut file: File,
    from: u64,
    count: u64,
    request: &Parts,
) -> Response<FileBody> {
    if from > 0 && file.seek(SeekFrom::Start(from)).is_err() {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "cannot read the file\n");
    }
    let body = if request.method == Method::HEAD {
        FileBody::Nothing
    } else {
        FileBody::File { file, left: count }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(count));
    response
}

/// Relative, so that it is right behind any proxy.
fn to_folder(request: &Parts) -> Response<FileBody> {
    let name = request.uri.path().rsplit('/').next().unwrap_or("");
    let query = request.uri.query().map(|query| format!("?{query}"));
    let mut response = text(StatusCode::MOVED_PERMANENTLY, "");
    // With `./` before it, a colon in the name makes no other address of it.
    let location = format!("./{name}/{}", query.unwrap_or_default());
    insert(response.headers_mut(), LOCATION, &location);
    response
}

fn not_found(root: &Root) -> Response<FileBody> {
    let Found::File(file) = root.find("/404.html") else {
        return text(StatusCode::NOT_FOUND, "404 there is no such page\n");
    };
    let length = file.metadata().map_or(0, |found| found.len());
    let mut response = Response::new(FileBody::File { file, left: length });
    *response.status_mut() = StatusCode::NOT_FOUND;
    insert(
        response.headers_mut(),
        CONTENT_TYPE,
        content_type("404.html"),
    );
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<FileBody> {
    let mut response = Response::new(FileBody::Text(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    insert(response.headers_mut(), CONTENT_TYPE, content_type("a.txt"));
    response
}

fn empty(status: StatusCode) -> Response<FileBody> {
    let mut response = Response::new(FileBody::Nothing);
    *response.status_mut() = status;
    response
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What tells one version of a file from another. Times in images are often all the same, so the
/// tag holds the length too.
struct Marks {
    tag: String,
    modified: SystemTime,
}

impl Marks {
    fn of(metadata: &Metadata) -> Self {
        let seconds = u64::try_from(metadata.mtime()).unwrap_or(0);
        let (size, inode) = (metadata.size(), metadata.ino());
        Self {
            tag: format!(
                "\"{seconds:x}-{:x}-{size:x}-{inode:x}\"",
                metadata.mtime_nsec()
            ),
            modified: UNIX_EPOCH + Duration::from_secs(seconds),
        }
    }

    /// The tag decides when the client names one; the time does otherwise.
    fn unchanged_for(&self, headers: &HeaderMap) -> bool {
        if let Some(tags) = header(headers, IF_NONE_MATCH) {
            let mut tags = tags.split(',').map(str::trim);
            return tags.any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.tag);
        }
        let since = header(headers, IF_MODIFIED_SINCE);
        let since = since.and_then(|since| httpdate::parse_http_date(since).ok());
        since.is_some_and(|since| self.modified <= since)
    }

    /// Whether a part of this version is wanted, not of one that the client had before.
    fn range_holds(&self, headers: &HeaderMap) -> bool {
        let Some(condition) = header(headers, IF_RANGE) else {
            return true;
        };
        let time = httpdate::parse_http_date(condition).ok();
        condition == self.tag || time.is_some_and(|time| time == self.modified)
    }

    fn write(&self, headers: &mut HeaderMap) {
        insert(headers, ETAG, &self.tag);
        insert(
            headers,
            LAST_MODIFIED,
            &httpdate::fmt_http_date(self.modified),
        );
        // Asked again each time: a page is new the moment that it is deployed.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
}

pub enum FileBody {
    Nothing,
    Text(Bytes),
    File { file: File, left: u64 },
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    /// Reads on the runtime's thread: the files of an image are in the page cache, where a read is
    /// quicker than handing it to another thread.
    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        match this {
            FileBody::Nothing => Poll::Ready(None),
            FileBody::Text(text) => {
                let text = std::mem::take(text);
                *this = FileBody::Nothing;
                Poll::Ready(Some(Ok(Frame::data(text))))
            }
            FileBody::File { left: 0, .. } => Poll::Ready(None),
            FileBody::File { file, left } => {
                let mut chunk = Vec::new();
                let read = file
                    .by_ref()
                    .take(CHUNK_BYTES.min(*left))
                    .read_to_end(&mut chunk);
                Poll::Ready(Some(match read {
                    Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                    Ok(count) => {
                        *left -= count as u64;
                        Ok(Frame::data(Bytes::from(chunk)))
                    }
                    Err(error) => Err(error),
                }))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            FileBody::Nothing => true,
            FileBody::Text(text) => text.is_empty(),
            FileBody::File { left, .. } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            FileBody::Nothing => SizeHint::with_exact(0),
            FileBody::Text(text) => SizeHint::with_exact(text.len() as u64),
            FileBody::File { left, .. } => SizeHint::with_exact(*left),
        }
    }
}
