//! Documents that every parser can read. Keys, prefixes and markers hold any character, and XML 1.0 cannot say
//! most of those below the space, in whatever way they are written: S3 has `encoding-type=url` for whoever has
//! such keys. The library writes them as they are, and nothing of such a document could be read.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use s3s::Body;

/// The same answer; what its document cannot say is U+FFFD there. Contents of objects are streams, and are not
/// looked at.
pub fn readable(mut response: http::Response<Body>) -> http::Response<Body> {
    let kind = response.headers().get(CONTENT_TYPE);
    if kind.is_none_or(|it| it != "application/xml") {
        return response;
    }
    let document = response.body().bytes();
    let document = document.as_deref().map(String::from_utf8_lossy);
    if let Some(repaired) = document.and_then(|it| repaired(&it)) {
        *response.body_mut() = Body::from(repaired);
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    response
}

/// None: nothing is wrong with it.
fn repaired(document: &str) -> Option<String> {
    // The library ends no line by a carriage return: one that is there is somebody's, and a parser would make a
    // line feed of it.
    let is_right = |it: char| it != '\r' && wire::is_xml(it);
    if document.chars().all(is_right) {
        return None;
    }
    let mut out = String::with_capacity(document.len() + 16);
    for it in document.chars() {
        match it {
            '\r' => out.push_str("&#13;"),
            it if wire::is_xml(it) => out.push(it),
            _ => out.push('\u{fffd}'),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_say_is_replaced_and_nothing_else() {
        assert_eq!(repaired("<a>\t\n &#1;é\u{85}</a>"), None);
        assert_eq!(
            repaired("<a>\u{1}\r\u{fffe}b</a>").as_deref(),
            Some("<a>\u{fffd}&#13;\u{fffd}b</a>")
        );
    }
}
