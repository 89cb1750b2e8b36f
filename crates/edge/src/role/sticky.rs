//! Cookies that bring a client back to the same target, or to the same group of a weighted
//! forward. They hold a fingerprint, so they stay good when the edge restarts.

use std::time::{Duration, SystemTime};

use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};

pub const TARGET_COOKIE: &str = "AWSALB";
pub const GROUP_COOKIE: &str = "AWSALBTG";

/// The fingerprint in the request's cookie of this name.
pub fn read(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .and_then(|(_, value)| u64::from_str_radix(value, 16).ok())
}

/// Two cookies: the second one is for pages of other sites.
pub fn write(headers: &mut HeaderMap, name: &str, fingerprint: u64, lasts: Duration) {
    let expires = httpdate::fmt_http_date(SystemTime::now() + lasts);
    let plain = format!("{name}={fingerprint:016x}; Expires={expires}; Path=/");
    let foreign =
        format!("{name}CORS={fingerprint:016x}; Expires={expires}; Path=/; SameSite=None");
    for cookie in [plain, foreign] {
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            headers.append(SET_COOKIE, cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut answer = HeaderMap::new();
        write(&mut answer, TARGET_COOKIE, 0xabc, Duration::from_secs(9));
        let set = answer.get(SET_COOKIE).unwrap().to_str().unwrap();
        let pair = set.split(';').next().unwrap();
        let mut request = HeaderMap::new();
        let cookies = format!("a=b; {pair}; c=d");
        request.insert(COOKIE, HeaderValue::from_str(&cookies).unwrap());
        assert_eq!(read(&request, TARGET_COOKIE), Some(0xabc));
        assert_eq!(read(&request, GROUP_COOKIE), None);
    }
}
