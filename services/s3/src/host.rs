//! What a request's host says: a bucket, a bucket's website, or S3 itself.

use http::Uri;
use http::header::{HOST, HeaderMap};

/// Where S3 is, by its own names or by ones that lead to this machine.
const DOMAINS: &[&str] = &[".amazonaws.com", ".localhost"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address<'a> {
    /// The bucket is in the path.
    Service {
        region: Option<&'a str>,
    },
    Bucket {
        bucket: &'a str,
        region: Option<&'a str>,
    },
    Website {
        bucket: &'a str,
    },
}

/// None: the host is not one of S3's.
pub fn address(host: &str) -> Option<Address<'_>> {
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        _ => host,
    };
    let name = DOMAINS.iter().find_map(|it| host.strip_suffix(it))?;
    let (bucket, endpoint, region) = split(name)?;
    match (endpoint, bucket) {
        ("s3", None) => Some(Address::Service { region }),
        ("s3", Some(bucket)) => Some(Address::Bucket { bucket, region }),
        ("s3-website", Some(bucket)) => Some(Address::Website { bucket }),
        _ => None,
    }
}

/// The bucket and the key that a request names, by its host or by its path, as they are written there.
/// What it does not name is empty.
pub fn bucket_and_key<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> (&'a str, &'a str) {
    let host = headers.get(HOST).and_then(|it| it.to_str().ok());
    let path = uri.path().trim_start_matches('/');
    match address(host.unwrap_or_default()) {
        Some(Address::Bucket { bucket, .. } | Address::Website { bucket }) => (bucket, path),
        Some(Address::Service { .. }) | None => path.split_once('/').unwrap_or((path, "")),
    }
}

/// `<bucket>.<endpoint>[.dualstack].<region>`, or with a dash before the region, from its end: a
/// bucket's name may hold dots.
fn split(name: &str) -> Option<(Option<&str>, &'static str, Option<&str>)> {
    let (before, last) = match name.rsplit_once('.') {
        Some((before, last)) => (Some(before), last),
        None => (None, name),
    };
    for endpoint in ["s3-website", "s3"] {
        if last == endpoint {
            return Some((before, endpoint, None));
        }
        let dashed = last
            .strip_prefix(endpoint)
            .and_then(|it| it.strip_prefix('-'));
        if let Some(region) = dashed.filter(|it| is_region(it)) {
            return Some((before, endpoint, Some(region)));
        }
    }
    let before = before.filter(|_| is_region(last))?;
    let before = before.strip_suffix(".dualstack").unwrap_or(before);
    ["s3-website", "s3"].into_iter().find_map(|endpoint| {
        if before == endpoint {
            return Some((None, endpoint, Some(last)));
        }
        let bucket = before.strip_suffix(endpoint)?.strip_suffix('.')?;
        Some((Some(bucket), endpoint, Some(last)))
    })
}

/// `eu-west-1`, `us-gov-east-1`.
pub fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let letters = |it: &&str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_lowercase());
    let (Some((number, words)), true) = (parts.split_last(), parts.len() >= 3) else {
        return false;
    };
    words.iter().all(letters) && number.bytes().all(|it| it.is_ascii_digit()) && !number.is_empty()
}

/// Whether there is a region of this name, and not only a name like one.
pub fn is_known_region(text: &str) -> bool {
    use shapes::s3::BucketLocationConstraint;
    let is_named = || text.parse::<BucketLocationConstraint>().is_ok();
    text == crate::bucket::FIRST_REGION
        || NEW_REGIONS.contains(&text)
        || (is_region(text) && is_named())
}

/// Regions that the model's list of constraints does not have yet.
const NEW_REGIONS: &[&str] = &[
    "ap-east-2",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-west-1",
    "mx-central-1",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let service = |region| Some(Address::Service { region });
        let bucket = |bucket, region| Some(Address::Bucket { bucket, region });
        let website = |bucket| Some(Address::Website { bucket });
        for (host, expected) in [
            ("s3.amazonaws.com", service(None)),
            ("s3.eu-west-1.amazonaws.com", service(Some("eu-west-1"))),
            ("s3-eu-west-1.amazonaws.com", service(Some("eu-west-1"))),
            ("s3.localhost:4566", service(None)),
            ("b1.s3.amazonaws.com", bucket("b1", None)),
            (
                "b1.s3.eu-west-1.amazonaws.com",
                bucket("b1", Some("eu-west-1")),
            ),
            (
                "b1.s3-eu-west-1.amazonaws.com",
                bucket("b1", Some("eu-west-1")),
            ),
            (
                "b1.s3.dualstack.eu-west-1.amazonaws.com",
                bucket("b1", Some("eu-west-1")),
            ),
            ("www.b1.com.s3.localhost:80", bucket("www.b1.com", None)),
            (
                "a.s3.b.s3.us-gov-east-1.localhost",
                bucket("a.s3.b", Some("us-gov-east-1")),
            ),
            ("b1.s3-website.eu-west-1.localhost:4566", website("b1")),
            ("b1.s3-website-eu-west-1.amazonaws.com", website("b1")),
            ("b.c.s3-website.eu-west-1.amazonaws.com", website("b.c")),
            ("s3-website.eu-west-1.amazonaws.com", None),
            ("localhost:4566", None),
            ("127.0.0.1:4566", None),
            ("ecs.eu-west-1.amazonaws.com", None),
            ("s3.example.com", None),
            ("abcs3.amazonaws.com", None),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", None),
        ] {
            assert_eq!(address(host), expected, "{host}");
        }
    }
}
