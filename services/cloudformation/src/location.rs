//! Where templates lie: the forms of an S3 URL.
//!
//! ```text
//! https://s3.amazonaws.com/BUCKET/KEY             https://BUCKET.s3.amazonaws.com/KEY
//! https://s3.REGION.amazonaws.com/BUCKET/KEY      https://BUCKET.s3.REGION.amazonaws.com/KEY
//! https://s3-REGION.amazonaws.com/BUCKET/KEY      https://BUCKET.s3-REGION.amazonaws.com/KEY
//! http://127.0.0.1:4566/BUCKET/KEY                http://BUCKET.s3.localhost:4566/KEY
//! ```

/// An object that a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub bucket: String,
    pub key: String,
    pub version_id: Option<String>,
}

const AMAZON: [&str; 2] = [".amazonaws.com", ".amazonaws.com.cn"];

impl Location {
    /// Reads a URL; `api` is where this program is reached itself. An error is a sentence.
    pub fn parse(url: &str, api: &str) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("s3://") {
            let bucket = path.split('/').next().unwrap_or_default();
            return Err(format!(
                "S3 error: Domain name specified in {bucket} is not a valid S3 domain"
            ));
        }
        let rest = ["https://", "http://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .ok_or("TemplateURL must be a supported URL.")?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let foreign = || "TemplateURL must be a supported URL.".to_owned();
        let bucket = bucket_of(authority, api).ok_or_else(foreign)?;
        let (bucket, key) = match bucket {
            Some(bucket) => (bucket, path),
            None => path.split_once('/').unwrap_or((path, "")),
        };
        let key = decoded(key).ok_or_else(foreign)?;
        if bucket.is_empty() || key.is_empty() {
            return Err(format!(
                "TemplateURL must reference a valid S3 object to which you have access: {url}"
            ));
        }
        let version_id = (query.split('&'))
            .find_map(|it| it.strip_prefix("versionId="))
            .and_then(decoded);
        Ok(Self {
            bucket: bucket.to_owned(),
            key,
            version_id,
        })
    }
}

/// The bucket that a host names; `Some(None)` when the path does. None for hosts that are not S3's.
fn bucket_of<'a>(authority: &'a str, api: &str) -> Option<Option<&'a str>> {
    let is_api = api.split_once("://").is_some_and(|(_, it)| it == authority);
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|it| it.is_ascii_digit()) => host,
        _ => authority,
    };
    if is_api || ["127.0.0.1", "localhost", "[::1]"].contains(&host) {
        return Some(None);
    }
    let local = host.strip_suffix(".localhost");
    let name = local.or_else(|| AMAZON.iter().find_map(|it| host.strip_suffix(it)))?;
    // What is left is `s3…`, or `BUCKET.s3…`; buckets may have dots, regions have none.
    if is_service(name) {
        return Some(None);
    }
    name.match_indices('.')
        .map(|(at, _)| at)
        .find(|at| is_service(&name[at + 1..]))
        .map(|at| Some(&name[..at]))
}

/// `s3`, `s3.REGION`, `s3-REGION`, `s3.dualstack.REGION`.
fn is_service(name: &str) -> bool {
    let is_region = |it: &str| {
        !it.is_empty()
            && (it.bytes()).all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
    };
    match name.strip_prefix("s3") {
        Some("") => true,
        Some(rest) => {
            let rest = rest.strip_prefix(".dualstack").unwrap_or(rest);
            (rest.strip_prefix('.').or_else(|| rest.strip_prefix('-'))).is_some_and(is_region)
        }
        None => false,
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |it: Option<u8>| (it? as char).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "http://10.0.0.1:4566";

    fn check(url: &str, bucket: &str, key: &str) {
        let found = Location::parse(url, API).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            (found.bucket.as_str(), found.key.as_str()),
            (bucket, key),
            "{url}"
        );
    }

    #[test]
    fn every_form_names_a_bucket_and_a_key() {
        for host in [
            "s3.amazonaws.com",
            "s3.eu-west-1.amazonaws.com",
            "s3-eu-west-1.amazonaws.com",
            "s3.dualstack.eu-west-1.amazonaws.com",
            "127.0.0.1:4566",
            "localhost:4566",
            "10.0.0.1:4566",
            "s3.localhost:4566",
        ] {
            check(
                &format!("https://{host}/b.c/a/net.yaml"),
                "b.c",
                "a/net.yaml",
            );
            check(&format!("http://{host}/s3/k"), "s3", "k");
        }
        for host in [
            "s3.amazonaws.com",
            "s3.eu-west-1.amazonaws.com",
            "s3-eu-west-1.amazonaws.com",
            "s3.dualstack.eu-west-1.amazonaws.com",
            "s3.localhost:4566",
        ] {
            check(&format!("https://b.{host}/a/net.yaml"), "b", "a/net.yaml");
            check(&format!("https://b.c.{host}/k"), "b.c", "k");
        }
        check("https://b.s3.amazonaws.com/a%20b%C3%A4", "b", "a bä");
        let version = Location::parse("https://b.s3.amazonaws.com/k?x=1&versionId=v%2F1", API);
        assert_eq!(version.unwrap().version_id.as_deref(), Some("v/1"));
    }

    #[test]
    fn what_is_not_an_object_of_s3_is_refused() {
        for url in [
            "s3://b/k",
            "ftp://s3.amazonaws.com/b/k",
            "https://example.com/b/k",
            "https://ec2.amazonaws.com/b/k",
            "https://s3.amazonaws.com.evil.com/b/k",
            "http://10.0.0.1:80/b/k",
            "https://s3.amazonaws.com/b",
            "https://s3.amazonaws.com/b/",
            "https://b.s3.amazonaws.com/",
            "https://s3.amazonaws.com//k",
            "https://b.s3.amazonaws.com/%zz",
            "",
        ] {
            assert!(Location::parse(url, API).is_err(), "{url}");
        }
    }
}
