//! The console's own files, built into the program. They are compressed when somebody asks for the first of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::OnceLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::StatusCode;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use http::request::Parts;

use crate::asked::link;
use crate::reply::{self, Content, Reply};

const SCRIPT: &str = "text/javascript; charset=utf-8";
const ICON: &str = "image/svg+xml";
const STYLE: &str = "text/css; charset=utf-8";

struct File {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// In the order in which a page names them.
const FILES: [File; 5] = [
    File {
        name: "icon.svg",
        kind: ICON,
        bytes: include_bytes!("../files/icon.svg"),
    },
    File {
        name: "console.css",
        kind: STYLE,
        bytes: include_bytes!("../files/console.css"),
    },
    File {
        name: "htmx.js",
        kind: SCRIPT,
        bytes: include_bytes!("../files/htmx-4.0.1/htmx.min.js"),
    },
    File {
        name: "hx-sse.js",
        kind: SCRIPT,
        bytes: include_bytes!("../files/htmx-4.0.1/hx-sse.min.js"),
    },
    File {
        name: "console.js",
        kind: SCRIPT,
        bytes: include_bytes!("../files/console.js"),
    },
];

/// A file as it is sent.
struct Packed {
    file: &'static File,
    /// What its address says, so that a browser that has it never asks again.
    mark: String,
    gzip: Bytes,
}

fn packed() -> &'static [Packed] {
    static PACKED: OnceLock<Vec<Packed>> = OnceLock::new();
    PACKED.get_or_init(|| FILES.iter().map(pack).collect())
}

fn pack(file: &'static File) -> Packed {
    let mut hasher = DefaultHasher::new();
    file.bytes.hash(&mut hasher);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(file.bytes);
    let gzip = written.and_then(|()| encoder.finish());
    Packed {
        file,
        mark: format!("{:016x}", hasher.finish()),
        gzip: Bytes::from(gzip.expect("writing to memory does not fail")),
    }
}

/// The addresses of the icon, the style sheet and the scripts.
pub fn addresses() -> [Vec<String>; 3] {
    let address = |it: &Packed| link(&["files", &it.mark, it.file.name], &[]);
    let of = |kind: &'static str| packed().iter().filter(move |it| it.file.kind == kind);
    [ICON, STYLE, SCRIPT].map(|kind| of(kind).map(address).collect())
}

pub fn answer(name: &str, head: &Parts) -> Reply {
    let Some(found) = packed().iter().find(|it| it.file.name == name) else {
        return reply::plain(StatusCode::NOT_FOUND, "there is no such file");
    };
    let accepts = head.headers.get(ACCEPT_ENCODING);
    let takes_gzip = accepts
        .and_then(|it| it.to_str().ok())
        .is_some_and(|it| it.contains("gzip"));
    let content = match takes_gzip {
        true => found.gzip.clone(),
        false => Bytes::from_static(found.file.bytes),
    };
    let mut reply = Reply::new(StatusCode::OK, found.file.kind, Content::Whole(content));
    if takes_gzip {
        reply.header(CONTENT_ENCODING, "gzip");
    }
    reply.keep_for_ever();
    reply
}

#[cfg(test)]
pub fn packed_bytes() -> usize {
    packed().iter().map(|it| it.gzip.len()).sum()
}
