//! Who may do what, in one file: `docs/permissions.txt` lists each operation, the IAM actions that it
//! needs, the types of resources that they are on, the services that it hands roles to, and the
//! condition keys that it supplies. These tests hold it against the tables of the services, and the
//! tables against AWS's service authorization reference.
//!
//! `NEARGATE_BLESS=1 cargo test -p neargate permissions` writes the file anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use cloud::permission::Described;
use serde::Deserialize;

use super::services;

const LIST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/permissions.txt");
const REFERENCE: &str = include_str!("../../data/authorization.json");

#[derive(Deserialize)]
struct Reference {
    actions: BTreeMap<String, Facts>,
}

#[derive(Deserialize)]
struct Facts {
    /// Types of resources, and whether the action needs one of the type.
    resources: BTreeMap<String, bool>,
    keys: Vec<String>,
}

/// Actions that the reference does not have, and why they are asked for all the same.
const UNKNOWN_ACTIONS: &[(&str, &str)] = &[(
    "ecr:ListImageReferrers",
    "an operation of ECR's model that is newer than the reference",
)];

/// Required types that a line leaves out, and why.
const LEFT_OUT: &[(&str, &str, &str)] = &[];

/// Types that a line names and the reference does not have for the action, and why.
const ADDED: &[(&str, &str, &str)] = &[];

fn all() -> Vec<(&'static str, &'static str, Described)> {
    let services = services();
    let rows = services.iter().flat_map(|service| {
        let name = service.model().signing_name;
        let rows = service.permissions();
        rows.map(move |(operation, it)| (name, operation, it.clone()))
    });
    let mut rows: Vec<_> = rows.filter(|it| it.0 != "s3").collect();
    // S3's table for other services has the same lines as its door, which has more operations.
    let door = s3::PERMISSIONS.iter().map(|(operation, actions)| {
        let lines = actions.iter().map(|(action, kind)| {
            let kind = Some(*kind).filter(|it| *it != "*");
            ((*action).to_owned(), kind)
        });
        let described = Described {
            lines: lines.collect(),
            passes_to: Vec::new(),
            keys: Vec::new(),
            lacking: &[],
            without: None,
        };
        ("s3", *operation, described)
    });
    rows.extend(door);
    rows.sort_by_key(|row| (row.0, row.1));
    rows
}

fn listed() -> String {
    let mut text = String::from(
        "# Operation: IAM actions, each on its type of resource; services that get a role by the call\n\
         # (iam:PassRole); condition keys that are supplied beside those of every call, and those that are\n\
         # known to be absent where the resource has none of its own. Written by\n\
         # `NEARGATE_BLESS=1 cargo test -p neargate permissions`.\n",
    );
    for (service, operation, it) in all() {
        let _ = write!(text, "{service}:{operation}:");
        if let Some(why) = it.without {
            let _ = write!(text, " none ({why})");
        }
        for (index, (action, kind)) in it.lines.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(text, "{comma} {action} on {}", kind.unwrap_or("*"));
        }
        for to in &it.passes_to {
            let _ = write!(text, "; iam:PassRole to {to}");
        }
        if !it.keys.is_empty() {
            let _ = write!(text, "; keys {}", it.keys.join(" "));
        }
        match it.lacking.len() {
            0 => {}
            few @ 1..=5 => {
                let _ = write!(
                    text,
                    "; absent unless its own: {}",
                    it.lacking[..few].join(" ")
                );
            }
            many => {
                let _ = write!(text, "; absent unless its own: {many} others");
            }
        }
        text.push('\n');
    }
    text
}

#[test]
fn the_list_of_permissions_is_up_to_date() {
    let (path, text) = (Path::new(LIST), listed());
    if std::env::var_os("NEARGATE_BLESS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let there = std::fs::read_to_string(path).unwrap_or_default();
    let differs = there.lines().zip(text.lines()).find(|(a, b)| a != b);
    assert!(
        there == text,
        "docs/permissions.txt is not what the tables say (first difference: {differs:?}); \
         read the change, then write it with NEARGATE_BLESS=1"
    );
}

/// What the tables declare is what AWS's service authorization reference says.
#[test]
fn permissions_are_those_of_awss_reference() {
    let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
    let mut wrong = Vec::new();
    for (service, operation, described) in all() {
        let mut kinds: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (action, kind) in &described.lines {
            kinds.entry(action).or_default().extend(*kind);
        }
        let mut keys_known = BTreeSet::new();
        for (action, kinds) in &kinds {
            let Some(facts) = reference.actions.get(*action) else {
                if !UNKNOWN_ACTIONS.iter().any(|it| it.0 == *action) {
                    wrong.push(format!(
                        "{service}:{operation}: there is no action {action}"
                    ));
                }
                continue;
            };
            keys_known.extend(facts.keys.iter().map(String::as_str));
            for kind in kinds {
                let added = ADDED.iter().any(|it| it.0 == *action && it.1 == *kind);
                if !facts.resources.contains_key(*kind) && !added {
                    wrong.push(format!(
                        "{service}:{operation}: {action} is not on a {kind}"
                    ));
                }
            }
            for (kind, _) in facts.resources.iter().filter(|it| *it.1) {
                let left_out = LEFT_OUT.iter().any(|it| it.0 == *action && it.1 == *kind);
                // `listener/app` and `listener/net` are kinds of one type.
                let stem = |kind: &str| kind.split('/').next().map(str::to_owned);
                let is_touched = kinds.iter().any(|it| stem(it) == stem(kind));
                if !is_touched && !left_out {
                    wrong.push(format!("{service}:{operation}: {action} needs a {kind}"));
                }
            }
        }
        for key in described.keys.iter().chain(described.lacking) {
            if !keys_known.contains(key) {
                wrong.push(format!(
                    "{service}:{operation}: no action has the key {key}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Keys that are left unknown, so that a denial with one denies and an allowance does not allow, and why.
const UNSUPPLIED: &[(&str, &str)] = &[(
    "ec2:Attribute/${AttributeName}",
    "attributes are told by the names that the API has for them; whether AWS has others is not documented",
)];

/// Tags of a resource: every call supplies them where they are known.
fn is_of_tags(key: &str) -> bool {
    key.starts_with("aws:") || key.contains(":ResourceTag/") || key.contains(":resourceTag/")
}

/// No policy that names a condition key of AWS's finds it unknown where AWS would have known it.
#[test]
fn every_key_of_awss_reference_is_supplied() {
    let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
    let mut wrong = Vec::new();
    for (service, operation, described) in all() {
        let of_s3 = s3::KEYS.iter().chain(s3::COMMON_KEYS);
        let of_s3 = of_s3.filter(|_| service == "s3");
        let own = described.keys.iter().chain(described.lacking);
        let supplied: BTreeSet<String> =
            own.chain(of_s3).map(|it| it.to_ascii_lowercase()).collect();
        let actions = described.lines.iter().map(|it| it.0.as_str());
        let facts = actions.filter_map(|it| reference.actions.get(it));
        let unknown: BTreeSet<&String> = facts
            .flat_map(|it| &it.keys)
            .filter(|it| !is_of_tags(it) && !UNSUPPLIED.iter().any(|left| left.0 == **it))
            .filter(|it| !supplied.contains(&it.to_ascii_lowercase()))
            .collect();
        if !unknown.is_empty() {
            wrong.push(format!("{service}:{operation}: {unknown:?}"));
        }
    }
    assert!(wrong.is_empty(), "not supplied:\n{}", wrong.join("\n"));
}

/// What is asked for where no table has a line: by the registry's door, by Git's, and for those who are
/// acted for.
#[test]
fn permissions_of_doors_are_those_of_awss_reference() {
    let reference: Reference = serde_json::from_str(REFERENCE).unwrap();
    let of_registry = crate::front::registry_actions();
    let others = [
        "codebuild:BatchPutTestCases",
        "codebuild:CreateReport",
        "codebuild:CreateReportGroup",
        "codebuild:UpdateReport",
        "codecommit:GitPull",
        "codecommit:GitPush",
        "codeconnections:UseConnection",
        "codestar-connections:UseConnection",
        "ecr:GetAuthorizationToken",
        "logs:PutLogEvents",
        "s3:ListBucket",
    ];
    let others = others.iter().map(|it| (*it).to_owned());
    let unknown: BTreeSet<String> = (of_registry.chain(others))
        .filter(|it| !reference.actions.contains_key(it))
        .collect();
    let listed: BTreeSet<String> = (UNKNOWN_ACTIONS.iter().map(|it| it.0.to_owned())).collect();
    assert_eq!(
        unknown, listed,
        "what a newer reference has is no longer listed"
    );
    for (action, _) in UNKNOWN_ACTIONS {
        let name = action.strip_prefix("ecr:").unwrap();
        assert!(shapes::ecr::MODEL.operations.contains(&name), "{action}");
    }
}
