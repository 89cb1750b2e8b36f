//! Challenges (RFC 7235) as registries make them, and the answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::{EngineError, RegistryLogin, Result};
use serde::Deserialize;

#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Challenge {
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut realm = None;
        let mut service = None;
        for (key, value) in parameters(rest) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer {
            realm: realm?,
            service,
        })
    }
}

/// `key="value", key=value`: values may hold commas within quotes.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',']).to_owned();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.push((key, value.to_owned()));
        rest = next;
    }
    found
}

pub fn basic(login: &RegistryLogin) -> String {
    let pair = format!("{}:{}", login.username, login.password);
    format!("Basic {}", STANDARD.encode(pair))
}

/// A token server's answer as an authorization; both names of the member are in use.
pub fn bearer(answer: &[u8]) -> Result<String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Option<Answer> = serde_json::from_slice(answer).ok();
    answer
        .and_then(|answer| answer.token.or(answer.access_token))
        .map(|token| format!("Bearer {token}"))
        .ok_or_else(|| EngineError::invalid("the registry's token server sent no token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let header =
            r#"Bearer realm="https://auth.example/token?a=b",service="one, two",scope="x""#;
        let expected = Challenge::Bearer {
            realm: "https://auth.example/token?a=b".to_owned(),
            service: Some("one, two".to_owned()),
        };
        assert_eq!(Challenge::parse(header), Some(expected));
        assert_eq!(
            Challenge::parse("Basic realm=\"x\""),
            Some(Challenge::Basic)
        );
        assert_eq!(Challenge::parse("Negotiate"), None);
        assert_eq!(Challenge::parse("Bearer service=x"), None);
    }
}
