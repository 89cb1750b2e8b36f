//! What names may be.

use std::collections::BTreeMap;

use cloud::Error;

use crate::errors::*;

/// In bytes of UTF-8 (User Guide, "Naming Amazon S3 objects").
const KEY_BYTES_MAX: usize = 1024;
/// User Guide, "Categorizing your objects using tags".
const OBJECT_TAGS_MAX: usize = 10;
const BUCKET_TAGS_MAX: usize = 50;
const TAG_KEY_MAX: usize = 128;
const TAG_VALUE_MAX: usize = 256;

/// User Guide, "General purpose bucket naming rules".
pub fn check_bucket(name: &str) -> Result<(), Error> {
    let bytes = name.as_bytes();
    let plain = |it: &u8| it.is_ascii_lowercase() || it.is_ascii_digit();
    let good = (3..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|it| plain(it) || matches!(it, b'-' | b'.'))
        && bytes.first().is_some_and(plain)
        && bytes.last().is_some_and(plain)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !["xn--", "sthree-", "amzn-s3-demo-"]
            .iter()
            .any(|it| name.starts_with(it))
        && !["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"]
            .iter()
            .any(|it| name.ends_with(it));
    if good {
        return Ok(());
    }
    let error = InvalidBucketName.because("The specified bucket is not valid.");
    Err(error.about("BucketName", name))
}

pub fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(InvalidArgument.because("Object key must not be empty"));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(cloud::ErrorCode::sender("KeyTooLongError", 400)
            .because("Your key is too long")
            .about("Size", key.len().to_string())
            .about("MaxSizeAllowed", KEY_BYTES_MAX.to_string()));
    }
    if key.contains('\0') {
        // XML cannot say it, so no listing could.
        return Err(InvalidArgument.because("Object key must not contain U+0000"));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tagged {
    Bucket,
    /// A bucket that is made with them.
    NewBucket,
    /// A bucket of a stack, which has tags of the system's, too.
    OfStack,
    Object,
}

/// User Guide, "Categorizing your objects using tags": letters, digits, spaces, and these.
fn is_of_tag(it: char) -> bool {
    it.is_alphanumeric() || it.is_whitespace() || "_.:/=+-@".contains(it)
}

/// The tags of a bucket or an object, each key once.
pub fn tags(
    list: impl IntoIterator<Item = (String, String)>,
    of: Tagged,
) -> Result<BTreeMap<String, String>, Error> {
    let mut tags = BTreeMap::new();
    for (key, value) in list {
        let invalid = |why: &str| InvalidTag.because(why.to_owned()).about("TagKey", &key);
        if key.starts_with("aws:") && of != Tagged::OfStack {
            return Err(invalid(match of {
                Tagged::Bucket | Tagged::OfStack => {
                    "System tags cannot be added/updated by requester"
                }
                Tagged::NewBucket => {
                    "User-defined tag keys can't start with \"aws:\". This prefix is reserved for system tags. Remove \"aws:\" from your tag keys and try again."
                }
                Tagged::Object => "Your TagKey cannot be prefixed with aws:",
            }));
        }
        if key.is_empty() || key.chars().count() > TAG_KEY_MAX || !key.chars().all(is_of_tag) {
            return Err(invalid("The TagKey you have provided is invalid"));
        }
        if value.chars().count() > TAG_VALUE_MAX || !value.chars().all(is_of_tag) {
            let error = invalid("The TagValue you have provided is invalid");
            return Err(error.about("TagValue", value));
        }
        if tags.contains_key(&key) {
            return Err(invalid("Cannot provide multiple Tags with the same key"));
        }
        tags.insert(key, value);
    }
    match of {
        Tagged::Object if tags.len() > OBJECT_TAGS_MAX => {
            Err(cloud::ErrorCode::sender("BadRequest", 400)
                .because("Object tags cannot be greater than 10"))
        }
        Tagged::Bucket | Tagged::NewBucket | Tagged::OfStack if tags.len() > BUCKET_TAGS_MAX => {
            Err(cloud::ErrorCode::sender("BadRequest", 400)
                .because("Bucket tag count cannot be greater than 50"))
        }
        _ => Ok(tags),
    }
}

const TAGGING: &str = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.";

/// `x-amz-tagging`: tags as a query. What is wrong with it, is wrong with all of it.
pub fn tags_of_header(header: Option<&str>) -> Result<BTreeMap<String, String>, Error> {
    let pairs = header
        .unwrap_or_default()
        .split('&')
        .filter(|it| !it.is_empty());
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
        decoded
            .map(|it| it.into_owned())
            .map_err(|_| bad_argument("x-amz-tagging", header.unwrap_or_default(), TAGGING))
    };
    let mut list = Vec::new();
    for pair in pairs {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        list.push((decode(key)?, decode(value)?));
    }
    tags(list, Tagged::Object).map_err(|error| match error.is(InvalidTag) {
        true if error.message.starts_with("Your TagKey") => error,
        true => bad_argument("x-amz-tagging", header.unwrap_or_default(), TAGGING),
        false => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_names() {
        for good in ["abc", "my-bucket", "www.example.com", "123", "a.b-c"] {
            assert!(check_bucket(good).is_ok(), "{good}");
        }
        for bad in [
            "ab",
            "Abc",
            "a_b",
            "-abc",
            "abc-",
            ".abc",
            "a..b",
            "192.168.1.1",
            "xn--abc",
            "a/b",
            "abc-s3alias",
        ] {
            assert!(check_bucket(bad).is_err(), "{bad}");
        }
        assert!(check_bucket(&"a".repeat(64)).is_err());
    }

    #[test]
    fn tags_in_a_header_are_a_query() {
        let tags = tags_of_header(Some("a=1&b%20c=d+e&f=")).unwrap();
        let list: Vec<_> = tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(list, [("a", "1"), ("b c", "d e"), ("f", "")]);
        assert!(tags_of_header(Some("a=1&a=2")).is_err());
        assert!(tags_of_header(None).unwrap().is_empty());
    }
}
