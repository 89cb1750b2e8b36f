//! What `aws codecommit credential-helper` gives Git as a password: a signature over the repository's
//! path, in version 4's way, by whoever's access key is the user name.
//!
//! The helper signs `GIT`, the path and the host without its port; its password is the time, `Z`, and
//! the signature. It asks its configuration for the region, so the region is the caller's, not the
//! repository's.

use ring::{digest, hmac};

/// How far a password's time may be from ours.
const SKEW_SECONDS: f64 = 15.0 * 60.0;
/// `20261126T161604Z` and 64 hexadecimal digits.
const TIME_LENGTH: usize = 15;
const PASSWORD_LENGTH: usize = TIME_LENGTH + 1 + 64;

/// What was asked for.
pub struct Asked<'a> {
    pub host: &'a str,
    pub path: &'a str,
}

/// Does the password look like one of the helper's?
pub fn is_signature(password: &str) -> bool {
    password.len() == PASSWORD_LENGTH
        && password.is_ascii()
        && password.as_bytes()[8] == b'T'
        && password.as_bytes()[TIME_LENGTH] == b'Z'
}

/// Is it the signature of this request by the holder of `secret`, for one of these regions, and no
/// older than it may be?
pub fn is_signed(
    password: &str,
    asked: &Asked<'_>,
    secret: &str,
    regions: &[&str],
    now: f64,
) -> bool {
    if !is_signature(password) {
        return false;
    }
    let (time, signature) = (&password[..TIME_LENGTH], &password[TIME_LENGTH + 1..]);
    let Some(signature) = unhex(signature) else {
        return false;
    };
    let in_time = seconds(time).is_some_and(|it| (it - now).abs() <= SKEW_SECONDS);
    in_time
        && regions.iter().any(|region| {
            let (key, text) = (key(secret, time, region), text(asked, time, region));
            hmac::verify(&key, text.as_bytes(), &signature).is_ok()
        })
}

fn text(asked: &Asked<'_>, time: &str, region: &str) -> String {
    let host = asked.host.split(':').next().unwrap_or_default();
    let canonical = format!("GIT\n{}\n\nhost:{host}\n\nhost\n", asked.path);
    let digest = digest::digest(&digest::SHA256, canonical.as_bytes());
    let digest: String = (digest.as_ref().iter())
        .map(|it| format!("{it:02x}"))
        .collect();
    let scope = format!("{}/{region}/codecommit/aws4_request", &time[..8]);
    format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{digest}")
}

fn key(secret: &str, time: &str, region: &str) -> hmac::Key {
    let sign = |key: &[u8], text: &str| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
            .as_ref()
            .to_vec()
    };
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in [&time[..8], region, "codecommit", "aws4_request"] {
        key = sign(&key, part);
    }
    hmac::Key::new(hmac::HMAC_SHA256, &key)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

/// `20261126T161604` in seconds since 1970 (days by Howard Hinnant's `days_from_civil`).
fn seconds(time: &str) -> Option<f64> {
    let number = |from: usize, to: usize| time.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the helper of the AWS command line 1.46.3.
    const PASSWORD: &str =
        "20261126T163048Z4fb63263e4d951b98e336dda891e2ac50843778174d131d703598b5b500e6e0e";
    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    #[test]
    fn a_time_is_read() {
        assert_eq!(seconds("19700101T000000"), Some(0.0));
        assert_eq!(seconds("20261126T161604"), Some(1_795_709_764.0));
        assert_eq!(seconds("2026112aT161604"), None);
    }

    #[test]
    fn the_helpers_password_is_believed_for_what_it_signed_and_not_for_long() {
        let check = |path, secret, region, later: f64| {
            let asked = Asked {
                host: "127.0.0.1:4566",
                path,
            };
            let now = seconds(&PASSWORD[..TIME_LENGTH]).unwrap() + later;
            is_signed(PASSWORD, &asked, secret, &["eu-west-1", region], now)
        };
        assert!(check("/v1/repos/web", SECRET, "us-east-1", 800.0));
        assert!(!check("/v1/repos/other", SECRET, "us-east-1", 0.0));
        assert!(!check("/v1/repos/web", "other", "us-east-1", 0.0));
        assert!(!check("/v1/repos/web", SECRET, "us-east-2", 0.0));
        assert!(!check("/v1/repos/web", SECRET, "us-east-1", 1000.0));
    }
}
