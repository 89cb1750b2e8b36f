//! Which balancer a request is for, and which of its rules it meets.

use std::net::IpAddr;
use std::sync::Arc;

use base::glob::{Glob, matches, matches_ignoring_case};
use engine::Condition;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use super::plan::{CompiledRule, Frontend, client_v4};
use super::tls::ClientTls;

/// The balancer of that name, or the only one of the port. A name that is no balancer's is the
/// application's own domain: it belongs to the balancer that has a rule for it. A client that speaks TLS may
/// have named its balancer already, and who does not is for those that speak none.
pub fn frontend<'a>(
    serves: &'a [Arc<Frontend>],
    host: &str,
    tls: Option<&ClientTls>,
) -> Option<&'a Arc<Frontend>> {
    let speaks = |it: &&Arc<Frontend>| it.tls.is_some() == tls.is_some();
    if let [only] = serves {
        return Some(only).filter(speaks);
    }
    let spoken = || serves.iter().filter(speaks);
    if let Some(balancer) = tls.and_then(|it| it.balancer.as_ref()) {
        return spoken().find(|it| it.host == *balancer);
    }
    if let (Some(only), None) = (spoken().next(), spoken().nth(1)) {
        return Some(only);
    }
    let named = spoken().find(|it| it.host.eq_ignore_ascii_case(host));
    named.or_else(|| spoken().find(|it| names(it, host)))
}

/// Whether a rule asks for this host.
fn names(frontend: &Frontend, host: &str) -> bool {
    let conditions = frontend.rules.iter().flat_map(|rule| &rule.conditions);
    conditions
        .filter_map(|condition| match condition {
            Condition::Host(patterns) => Some(patterns),
            _ => None,
        })
        .flatten()
        .any(|pattern| matches_ignoring_case(pattern, host))
}

/// The first rule whose every condition holds.
pub fn rule<'a>(
    rules: &'a [CompiledRule],
    request: &Parts,
    host: &str,
    client: IpAddr,
) -> Option<&'a CompiledRule> {
    rules.iter().find(|rule| {
        let holds = |condition: &Condition| holds(condition, request, host, client);
        rule.conditions.iter().all(holds)
    })
}

/// The host of a `Host` header without its port; brackets of IPv6 addresses stay.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn holds(condition: &Condition, request: &Parts, host: &str, client: IpAddr) -> bool {
    match condition {
        Condition::Path(patterns) => {
            let path = request.uri.path();
            patterns.iter().any(|pattern| matches(pattern, path))
        }
        Condition::Host(patterns) => patterns
            .iter()
            .any(|pattern| matches_ignoring_case(pattern, host)),
        Condition::Header { name, values } => request
            .headers
            .get_all(name.as_str())
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| {
                let mut patterns = values.iter();
                patterns.any(|pattern| matches_ignoring_case(pattern, value))
            }),
        Condition::Method(methods) => methods
            .iter()
            .any(|method| method == request.method.as_str()),
        Condition::Query(wanted) => {
            let query = request.uri.query().unwrap_or("");
            wanted
                .iter()
                .any(|(key, value)| query_holds(query, key.as_deref(), value))
        }
        Condition::SourceIp(ranges) => client_v4(client)
            .is_some_and(|client| ranges.iter().any(|range| range.contains(&client))),
    }
}

/// Whether some `key=value` of the query matches. Without a key, any parameter's value may.
fn query_holds(query: &str, key: Option<&str>, value: &str) -> bool {
    query.split('&').any(|pair| {
        let (found_key, found_value) = pair.split_once('=').unwrap_or((pair, ""));
        let decode = |text| percent_decode_str(text).decode_utf8_lossy();
        key.is_none_or(|key| is_of_query_pattern(&decode(found_key), key))
            && is_of_query_pattern(&decode(found_value), value)
    })
}

/// In a query's patterns, and in no others, a backslash takes the meaning from `*` and `?`.
fn is_of_query_pattern(text: &str, pattern: &str) -> bool {
    if !pattern.contains('\\') {
        return matches_ignoring_case(pattern, text);
    }
    let mut glob = Glob::default();
    let mut rest = pattern;
    while let Some((before, escaped)) = rest.split_once('\\') {
        glob.push_pattern(&before.to_ascii_lowercase());
        let length = escaped.chars().next().map_or(0, char::len_utf8);
        let (itself, after) = escaped.split_at(length);
        glob.push_text(&itself.to_ascii_lowercase());
        rest = after;
    }
    glob.push_pattern(&rest.to_ascii_lowercase());
    glob.matches(&text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(condition: Condition, request: http::request::Builder, expect: bool) {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let client = "10.1.2.3".parse().unwrap();
        let found = holds(&condition, &parts, "Shop.Example", client);
        assert_eq!(found, expect, "{condition:?} {parts:?}");
    }

    fn get(uri: &str) -> http::request::Builder {
        http::Request::get(uri)
    }

    #[test]
    fn conditions() {
        let path = |pattern: &str| Condition::Path(vec![pattern.into()]);
        check(path("/img/*"), get("/img/a/b?x"), true);
        check(path("/img/*"), get("/Img/a"), false);
        check(Condition::Host(vec!["*.example".into()]), get("/"), true);
        check(Condition::Method(vec!["POST".into()]), get("/"), false);
        let header = || Condition::Header {
            name: "X-Who".into(),
            values: vec!["me*".into()],
        };
        check(header(), get("/").header("x-who", "MEgan"), true);
        check(header(), get("/"), false);
        let query = |key: Option<&str>| Condition::Query(vec![(key.map(Into::into), "b".into())]);
        check(query(Some("a")), get("/?x=1&A=%62"), true);
        check(query(Some("a")), get("/?x=b"), false);
        check(query(None), get("/?x=b"), true);
        let literal = |value: &str| Condition::Query(vec![(None, value.into())]);
        check(literal("a\\*c"), get("/?x=A*c"), true);
        check(literal("a\\*c"), get("/?x=abc"), false);
        check(literal("\\?*\\\\"), get("/?x=?yes\\"), true);
        check(literal("\\?*\\\\"), get("/?x=yes\\"), false);
        let source = |range: &str| Condition::SourceIp(vec![range.parse().unwrap()]);
        check(source("10.1.0.0/16"), get("/"), true);
        check(source("10.2.0.0/16"), get("/"), false);
    }

    #[test]
    fn ports_are_cut_off_hosts() {
        assert_eq!(without_port("a.b:80"), "a.b");
        assert_eq!(without_port("a.b"), "a.b");
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("[fe80::a]"), "[fe80::a]");
    }
}
