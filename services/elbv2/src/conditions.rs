//! What AWS takes as a rule's conditions (ELBv2 API reference, "RuleCondition"; ELB User Guide,
//! "Condition types" and "Quotas"). What it refuses here would never match, or mean something else.

use cloud::Error;
use shapes::elbv2::RuleCondition;

use crate::plan;

/// AWS's quotas of a rule.
const VALUES_MAX: usize = 5;
const WILDCARDS_MAX: usize = 6;
/// Of a value, and of a query's key.
const VALUE_LENGTH_MAX: usize = 128;
/// Of a method, and of a header's name.
const NAME_LENGTH_MAX: usize = 40;
/// Of these a rule has one at most.
const ONCE: [&str; 4] = [
    "http-request-method",
    "host-header",
    "path-pattern",
    "source-ip",
];

/// Refuses what AWS refuses.
pub fn check(conditions: &[RuleCondition]) -> Result<(), Error> {
    if conditions.is_empty() {
        return invalid("A condition must be specified");
    }
    let (mut values_count, mut wildcards_count) = (0, 0);
    for (index, condition) in conditions.iter().enumerate() {
        let field = check_form(condition)?;
        let earlier = conditions[..index].iter();
        let again = earlier
            .filter_map(|it| it.field.as_deref())
            .any(|it| it == field);
        if again && ONCE.contains(&field) {
            return invalid(format!("A rule can only have one '{field}' condition"));
        }
        let values = values_of(condition);
        for value in &values {
            check_value(field, value)?;
        }
        if let Some(name) = condition.http_header_config.as_ref() {
            check_header_name(name.http_header_name.as_deref().unwrap_or_default())?;
        }
        values_count += value_count(condition, &values);
        wildcards_count += values.iter().map(|it| wildcards(it)).sum::<usize>();
    }
    if values_count > VALUES_MAX {
        return invalid(format!(
            "A rule can only have '{VALUES_MAX}' condition values"
        ));
    }
    if wildcards_count > WILDCARDS_MAX {
        return invalid(format!(
            "A rule can only have '{WILDCARDS_MAX}' condition wildcards"
        ));
    }
    Ok(())
}

fn invalid<T>(text: impl Into<String>) -> Result<T, Error> {
    Err(wire::codes::ValidationError.because(text))
}

/// The field, when the condition has values for it, in one form.
fn check_form(condition: &RuleCondition) -> Result<&str, Error> {
    let Some(field) = condition.field.as_deref().filter(|it| !it.is_empty()) else {
        return invalid("A condition field must be specified");
    };
    let own = [
        (
            "path-pattern",
            "PathPatternConfig",
            condition.path_pattern_config.is_some(),
        ),
        (
            "host-header",
            "HostHeaderConfig",
            condition.host_header_config.is_some(),
        ),
        (
            "http-request-method",
            "HttpRequestMethodConfig",
            condition.http_request_method_config.is_some(),
        ),
        (
            "http-header",
            "HttpHeaderConfig",
            condition.http_header_config.is_some(),
        ),
        (
            "query-string",
            "QueryStringConfig",
            condition.query_string_config.is_some(),
        ),
        (
            "source-ip",
            "SourceIpConfig",
            condition.source_ip_config.is_some(),
        ),
    ];
    let has_values = condition.values.as_ref().is_some_and(|it| !it.is_empty());
    for (of, name, is_there) in own {
        if is_there && of != field {
            return invalid(format!(
                "A '{name}' cannot be specified with a '{field}' condition"
            ));
        }
        if is_there && has_values {
            return invalid(format!("You cannot specify both 'Values' and '{name}'"));
        }
    }
    if plan::condition(condition).is_none() {
        return invalid(format!(
            "The condition on '{field}' has no value, or the field is not valid"
        ));
    }
    Ok(field)
}

/// Everything that is compared, the keys of a query too.
fn values_of(condition: &RuleCondition) -> Vec<&str> {
    let lists = [
        condition.values.as_ref(),
        condition
            .path_pattern_config
            .as_ref()
            .and_then(|it| it.values.as_ref()),
        condition
            .host_header_config
            .as_ref()
            .and_then(|it| it.values.as_ref()),
        condition
            .http_request_method_config
            .as_ref()
            .and_then(|it| it.values.as_ref()),
        condition
            .http_header_config
            .as_ref()
            .and_then(|it| it.values.as_ref()),
        condition
            .source_ip_config
            .as_ref()
            .and_then(|it| it.values.as_ref()),
    ];
    let pairs = condition
        .query_string_config
        .iter()
        .filter_map(|it| it.values.as_ref());
    let pairs = pairs
        .flatten()
        .flat_map(|it| [it.key.as_deref(), it.value.as_deref()]);
    let values = lists.into_iter().flatten().flatten().map(String::as_str);
    values.chain(pairs.flatten()).collect()
}

/// A query's key and value are one.
fn value_count(condition: &RuleCondition, values: &[&str]) -> usize {
    let pairs = condition
        .query_string_config
        .as_ref()
        .and_then(|it| it.values.as_ref());
    pairs.map_or(values.len(), Vec::len)
}

/// Those that are not escaped.
fn wildcards(value: &str) -> usize {
    let mut count = 0;
    let mut rest = value.chars();
    while let Some(found) = rest.next() {
        match found {
            '\\' => drop(rest.next()),
            '*' | '?' => count += 1,
            _ => {}
        }
    }
    count
}

fn check_value(field: &str, value: &str) -> Result<(), Error> {
    let length_max = match field {
        "http-request-method" => NAME_LENGTH_MAX,
        _ => VALUE_LENGTH_MAX,
    };
    if value.chars().count() > length_max {
        return invalid(format!(
            "The length of the condition value '{value}' is over the limit of '{length_max}' characters"
        ));
    }
    let allowed = |byte: u8| match field {
        "path-pattern" => {
            byte.is_ascii_alphanumeric() || br#"_-.$/~"'@:+&*?%=!,;()[]{}|^`<>#"#.contains(&byte)
        }
        "host-header" => byte.is_ascii_alphanumeric() || b"-.*?".contains(&byte),
        "http-request-method" => byte.is_ascii_uppercase() || b"-_".contains(&byte),
        "http-header" => (b' '..=b'~').contains(&byte) || byte == b'\t',
        _ => (b' '..=b'~').contains(&byte),
    };
    if value.bytes().all(allowed) {
        return Ok(());
    }
    invalid(format!(
        "Condition value '{value}' contains a character that is not valid"
    ))
}

fn check_header_name(name: &str) -> Result<(), Error> {
    // A token, as RFC 7230 has it, without wildcards.
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return invalid(format!(
            "The 'HttpHeaderName' '{name}' contains a character that is not valid"
        ));
    }
    if name.len() > NAME_LENGTH_MAX {
        return invalid(format!(
            "The 'HttpHeaderName' is over the limit of '{NAME_LENGTH_MAX}' characters"
        ));
    }
    if name.eq_ignore_ascii_case("host") {
        return invalid("The 'HttpHeaderName' cannot be 'Host'; use a 'host-header' condition");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(conditions: serde_json::Value) -> Option<String> {
        let conditions = serde_json::from_value::<serde_json::Value>(conditions).ok()?;
        let list = conditions.as_array()?.iter().map(of).collect::<Vec<_>>();
        check(&list).err().map(|it| it.message)
    }

    /// In short: a field, and its values.
    fn of(json: &serde_json::Value) -> RuleCondition {
        use shapes::elbv2::*;
        let strings = |it: &serde_json::Value| {
            let all = it.as_array()?.iter();
            Some(all.filter_map(|it| it.as_str().map(Into::into)).collect())
        };
        let text = |it: &serde_json::Value| it.as_str().map(Into::into);
        RuleCondition {
            field: text(&json["f"]),
            values: strings(&json["v"]),
            host_header_config: json.get("host").map(|it| HostHeaderConditionConfig {
                values: strings(it),
            }),
            http_request_method_config: json.get("method").map(|it| {
                HttpRequestMethodConditionConfig {
                    values: strings(it),
                }
            }),
            http_header_config: json.get("name").map(|it| HttpHeaderConditionConfig {
                http_header_name: text(it),
                values: strings(&json["is"]),
            }),
            query_string_config: json.get("query").map(|it| QueryStringConditionConfig {
                values: it.as_array().map(|all| {
                    let pair = |it: &serde_json::Value| QueryStringKeyValuePair {
                        key: text(&it[0]),
                        value: text(&it[1]),
                    };
                    all.iter().map(pair).collect()
                }),
            }),
            ..Default::default()
        }
    }

    #[test]
    fn what_aws_takes() {
        use serde_json::json;
        for conditions in [
            json!([{"f": "path-pattern", "v": ["/a", "/b", "/c*", "/d?", "/e"]}]),
            json!([{"f": "path-pattern", "v": ["/x~y/$z&q='1'"]}]),
            json!([{"f": "host-header", "v": ["*.example.com"]}, {"f": "path-pattern", "v": ["/"]}]),
            json!([{"f": "http-request-method", "method": ["GET", "X_Y-Z"]}]),
            json!([
                {"f": "http-header", "name": "X-A", "is": ["*chrome*"]},
                {"f": "http-header", "name": "X-B", "is": ["a b"]},
            ]),
            json!([{"f": "query-string", "query": [["k", "v\\*"], [null, "x*"]]}]),
            json!([{"f": "source-ip", "v": ["10.0.0.0/8"]}]),
        ] {
            assert_eq!(message(conditions.clone()), None, "{conditions}");
        }
    }

    #[test]
    fn what_aws_refuses() {
        use serde_json::json;
        let long = "x".repeat(129);
        for (conditions, expect) in [
            (json!([]), "must be specified"),
            (
                json!([{"v": ["/a"]}]),
                "A condition field must be specified",
            ),
            (json!([{"f": "path", "v": ["/a"]}]), "is not valid"),
            (json!([{"f": "path-pattern"}]), "has no value"),
            (
                json!([{"f": "path-pattern", "v": ["/1", "/2", "/3", "/4", "/5", "/6"]}]),
                "A rule can only have '5' condition values",
            ),
            (
                json!([
                    {"f": "path-pattern", "v": ["/1", "/2", "/3"]},
                    {"f": "host-header", "v": ["a.b", "c.d", "e.f"]},
                ]),
                "A rule can only have '5' condition values",
            ),
            (
                json!([{"f": "path-pattern", "v": ["/*/*/*/*/?/?/?"]}]),
                "A rule can only have '6' condition wildcards",
            ),
            (
                json!([{"f": "path-pattern", "v": ["/1"]}, {"f": "path-pattern", "v": ["/2"]}]),
                "only have one 'path-pattern'",
            ),
            (
                json!([{"f": "path-pattern", "v": [long]}]),
                "limit of '128'",
            ),
            (
                json!([{"f": "host-header", "v": ["a b.c"]}]),
                "character that is not valid",
            ),
            (
                json!([{"f": "host-header", "v": ["bad_host!"]}]),
                "character that is not valid",
            ),
            (
                json!([{"f": "http-request-method", "method": ["get"]}]),
                "character that is not valid",
            ),
            (
                json!([{"f": "http-header", "name": "hOst", "is": ["x"]}]),
                "cannot be 'Host'",
            ),
            (
                json!([{"f": "http-header", "name": "X-*", "is": ["x"]}]),
                "not valid",
            ),
            (
                json!([{"f": "host-header", "v": ["a.b"], "host": ["a.b"]}]),
                "both 'Values' and 'HostHeaderConfig'",
            ),
            (
                json!([{"f": "path-pattern", "v": ["/a"], "host": ["a.b"]}]),
                "cannot be specified with",
            ),
            (
                json!([{"f": "source-ip", "v": ["10.0.0.0"]}]),
                "is not valid",
            ),
        ] {
            let found = message(conditions.clone()).unwrap_or_else(|| panic!("{conditions}"));
            assert!(found.contains(expect), "{conditions}: {found}");
        }
    }
}
