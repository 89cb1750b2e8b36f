//! SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"): what code scanners of CI read.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use why::{Finding, Severity};

use super::outcome::Outcome;

/// The log of one run.
pub fn log(outcome: &Outcome) -> Json {
    let rules: BTreeMap<&str, &Finding> = outcome
        .findings
        .iter()
        .map(|it| (it.id.as_str(), it))
        .collect();
    let described = rules.values().map(|it| {
        json!({
            "id": it.id,
            "name": it.name,
            "shortDescription": { "text": it.name.replace('-', " ") },
        })
    });
    let not = outcome.not_looked_at.iter().map(
        |it| json!({ "level": "note", "message": { "text": format!("not looked at: {it}") } }),
    );
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "neargate",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": described.collect::<Vec<_>>(),
            } },
            "invocations": [{
                "executionSuccessful": true,
                "toolExecutionNotifications": not.collect::<Vec<_>>(),
            }],
            "columnKind": "unicodeCodePoints",
            "results": outcome.findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(it: &Finding) -> Json {
    let level = match it.severity {
        Some(Severity::Warning) => "warning",
        Some(Severity::Note) => "note",
        Some(Severity::Error) | None => "error",
    };
    let mends: Vec<&str> = it.mend.iter().map(|it| it.what.as_str()).collect();
    let text = match mends.is_empty() {
        true => format!("{}: {}", it.thing, it.cause),
        false => format!(
            "{}: {}. To mend it: {}",
            it.thing,
            it.cause,
            mends.join("; ")
        ),
    };
    let locations = it.place.iter().map(|place| {
        json!({ "physicalLocation": {
            "artifactLocation": { "uri": place.file.replace(' ', "%20") },
            "region": { "startLine": place.line, "startColumn": place.column },
        } })
    });
    json!({
        "ruleId": it.id,
        "level": level,
        "message": { "text": text },
        "locations": locations.collect::<Vec<_>>(),
    })
}
