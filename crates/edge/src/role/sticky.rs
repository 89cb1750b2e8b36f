//! Cookies that bring a client back to the same target, or to the same group of a weighted
//! forward. They hold a fingerprint, so they stay good when the edge restarts, and when they were made.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::Stickiness;
use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};

pub const GROUP_COOKIE: &str = "AWSALBTG";
const TARGET_COOKIE: &str = "AWSALB";
/// AWS's own is longer than a cookie may be, and so it comes in parts. The first one is enough here, and
/// the others are removed, as they are there.
const APPLICATION_COOKIES: [&str; 4] = ["AWSALBAPP-0", "AWSALBAPP-1", "AWSALBAPP-2", "AWSALBAPP-3"];
const REMOVED: &str = "_remove_";
/// Whatever the stickiness lasts: that is looked at when the cookie comes back.
const EXPIRES_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// The target that the request's cookies hold.
pub fn target_of(headers: &HeaderMap, stickiness: &Stickiness) -> Option<u64> {
    match stickiness {
        Stickiness::ByBalancer { lasts_ms } => read(headers, TARGET_COOKIE, *lasts_ms),
        // It is the application's session that sticks: without it there is nothing to come back to.
        Stickiness::ByApplication { cookie, lasts_ms } => {
            value(headers, cookie)?;
            read(headers, APPLICATION_COOKIES[0], *lasts_ms)
        }
    }
}

/// Has the client come back to the target that answered. `came_back` is a client that had such a cookie.
pub fn keep_at(
    answer: &mut HeaderMap,
    stickiness: &Stickiness,
    target: Option<u64>,
    came_back: bool,
) {
    match (stickiness, target) {
        (Stickiness::ByBalancer { .. }, Some(target)) => write(answer, TARGET_COOKIE, target),
        (Stickiness::ByBalancer { .. }, None) => {}
        (Stickiness::ByApplication { cookie, .. }, target) => {
            let is_set = came_back || sets(answer, cookie);
            let first = target.filter(|_| is_set).map(sealed);
            let first = first.unwrap_or_else(|| REMOVED.to_owned());
            let rest = std::iter::repeat_n(REMOVED, APPLICATION_COOKIES.len() - 1);
            let values = std::iter::once(first.as_str()).chain(rest);
            for (name, value) in APPLICATION_COOKIES.into_iter().zip(values) {
                append(answer, name, value, "");
            }
        }
    }
}

/// The fingerprint in the request's cookie of this name, while it is good.
pub fn read(headers: &HeaderMap, name: &str, lasts_ms: u64) -> Option<u64> {
    let (fingerprint, made) = value(headers, name)?.split_at_checked(16)?;
    let made = u64::from_str_radix(made, 16).ok()?;
    let age = now_seconds().checked_sub(made)?;
    (age.saturating_mul(1000) < lasts_ms).then_some(())?;
    u64::from_str_radix(fingerprint, 16).ok()
}

/// Two cookies: the second one is for pages of other sites.
pub fn write(headers: &mut HeaderMap, name: &str, fingerprint: u64) {
    let value = sealed(fingerprint);
    append(headers, name, &value, "");
    append(headers, &format!("{name}CORS"), &value, "; SameSite=None");
}

fn sealed(fingerprint: u64) -> String {
    format!("{fingerprint:016x}{:08x}", now_seconds())
}

fn append(headers: &mut HeaderMap, name: &str, value: &str, more: &str) {
    let expires = httpdate::fmt_http_date(SystemTime::now() + EXPIRES_AFTER);
    let cookie = format!("{name}={value}; Expires={expires}; Path=/{more}");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.append(SET_COOKIE, cookie);
    }
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// Whether an answer sets this cookie, to whatever value.
fn sets(answer: &HeaderMap, name: &str) -> bool {
    let mut all = answer.get_all(SET_COOKIE).iter();
    all.any(|it| {
        let bytes = it.as_bytes();
        let end = bytes.iter().position(|it| *it == b'=');
        end.is_some_and(|end| bytes[..end].trim_ascii() == name.as_bytes())
    })
}

fn now_seconds() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |it| it.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BALANCER: Stickiness = Stickiness::ByBalancer { lasts_ms: 9_000 };

    /// The request of a client that keeps what an answer set.
    fn next(answer: &HeaderMap, more: &str) -> HeaderMap {
        let set = answer.get_all(SET_COOKIE).iter();
        let pairs = set.map(|it| it.to_str().unwrap().split(';').next().unwrap());
        let cookies = format!("a=b; {}; {more}", pairs.collect::<Vec<_>>().join("; "));
        let mut request = HeaderMap::new();
        request.insert(COOKIE, HeaderValue::from_str(&cookies).unwrap());
        request
    }

    #[test]
    fn what_is_written_is_read_while_it_is_good() {
        let mut answer = HeaderMap::new();
        keep_at(&mut answer, &BALANCER, Some(0xabc), false);
        let request = next(&answer, "");
        assert_eq!(target_of(&request, &BALANCER), Some(0xabc));
        assert_eq!(read(&request, GROUP_COOKIE, 9_000), None);
        let over = Stickiness::ByBalancer { lasts_ms: 0 };
        assert_eq!(target_of(&request, &over), None);
        let mut nonsense = HeaderMap::new();
        for value in [
            "AWSALB=",
            "AWSALB=zz",
            "AWSALB=é",
            "AWSALB=0000000000000abcffffffff",
        ] {
            nonsense.insert(COOKIE, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            assert_eq!(target_of(&nonsense, &BALANCER), None, "{value}");
        }
    }

    #[test]
    fn an_applications_cookie_is_what_sticks() {
        let sticky = Stickiness::ByApplication {
            cookie: "SESSION".into(),
            lasts_ms: 9_000,
        };
        let mut answer = HeaderMap::new();
        keep_at(&mut answer, &sticky, Some(0xabc), false);
        assert_eq!(target_of(&next(&answer, "SESSION=1"), &sticky), None);
        let first = answer.get(SET_COOKIE).unwrap().to_str().unwrap();
        assert!(first.starts_with("AWSALBAPP-0=_remove_;"), "{first}");
        let mut answer = HeaderMap::new();
        let set = HeaderValue::from_static("SESSION=1; Path=/");
        answer.insert(SET_COOKIE, set);
        keep_at(&mut answer, &sticky, Some(0xabc), false);
        assert_eq!(target_of(&next(&answer, ""), &sticky), Some(0xabc));
        // Without the session, the balancer's half alone is nothing.
        answer.remove(SET_COOKIE);
        keep_at(&mut answer, &sticky, Some(0xabc), true);
        assert_eq!(target_of(&next(&answer, ""), &sticky), None);
        assert_eq!(target_of(&next(&answer, "SESSION=2"), &sticky), Some(0xabc));
    }
}
