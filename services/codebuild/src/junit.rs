//! JUnit's XML: test suites, their cases, and how each ended. Pure. A document type is refused, and
//! with it every entity that could be expanded.

use roxmltree::{Document, Node};
use shapes::codebuild::TestCase;

/// What a report counts.
pub const STATUSES: [&str; 5] = ["SUCCEEDED", "FAILED", "ERROR", "SKIPPED", "UNKNOWN"];
/// Of a failure's message so much is kept.
const MESSAGE_CHARACTERS_MAX: usize = 1000;
/// A case cannot have taken longer than a year.
const SECONDS_MAX: f64 = 31_536_000.0;

pub fn parse(text: &str) -> Result<Vec<TestCase>, String> {
    let document = Document::parse(text).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if !matches!(root.tag_name().name(), "testsuites" | "testsuite") {
        return Err(format!("it begins with <{}>", root.tag_name().name()));
    }
    let cases = root
        .descendants()
        .filter(|it| it.has_tag_name("testcase"))
        .map(case);
    Ok(cases.collect())
}

fn case(node: Node<'_, '_>) -> TestCase {
    let text = |name: &str| node.attribute(name).map(str::to_owned);
    let seconds: f64 = node
        .attribute("time")
        .and_then(|it| it.replace(',', "").parse().ok())
        .unwrap_or(0.0);
    let outcome = node.children().find_map(|it| match it.tag_name().name() {
        "failure" => Some(("FAILED", it)),
        "error" => Some(("ERROR", it)),
        "skipped" => Some(("SKIPPED", it)),
        _ => None,
    });
    let suite = node
        .ancestors()
        .find(|it| it.has_tag_name("testsuite"))
        .and_then(|it| it.attribute("name"));
    TestCase {
        prefix: text("classname"),
        name: text("name"),
        status: Some(outcome.map_or("SUCCEEDED", |it| it.0).to_owned()),
        duration_in_nano_seconds: Some((seconds.clamp(0.0, SECONDS_MAX) * 1e9) as i64),
        message: Some(outcome.map(|it| message(it.1)).unwrap_or_default()),
        test_suite_name: suite.map(str::to_owned),
        ..Default::default()
    }
}

fn message(node: Node<'_, '_>) -> String {
    let given = node
        .attribute("message")
        .or(node.text())
        .unwrap_or_default();
    given.chars().take(MESSAGE_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_of_nested_suites_are_found() {
        let cases = parse(
            r#"<?xml version="1.0"?><testsuites><testsuite name="s">
            <testcase classname="a.B" name="works" time="0.5"/>
            <testcase name="fails"><failure message="no &lt;luck&gt;">trace</failure></testcase>
            <testsuite name="inner"><testcase name="later"><skipped/></testcase></testsuite>
            </testsuite></testsuites>"#,
        )
        .unwrap();
        assert_eq!(cases.len(), 3);
        assert_eq!(cases[0].status.as_deref(), Some("SUCCEEDED"));
        assert_eq!(cases[0].duration_in_nano_seconds, Some(500_000_000));
        assert_eq!(cases[1].message.as_deref(), Some("no <luck>"));
        assert_eq!(cases[2].test_suite_name.as_deref(), Some("inner"));
        assert_eq!(cases[2].status.as_deref(), Some("SKIPPED"));
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let bomb = r#"<!DOCTYPE x [<!ENTITY a "aaaa">]><testsuite>&a;</testsuite>"#;
        for text in ["", "<html/>", "<testsuite>", bomb] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
