//! The managed policies of AWS that templates refer to.
//!
//! Their documents are AWS's own, as `GetPolicyVersion` answers them (AWS Managed Policy Reference
//! Guide), a policy a line of `managed/policies.jsonl`: roles are evaluated by them. One whose document
//! is not known is not there.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// Each line is one policy, in the order of their names.
const LINES: &str = include_str!("managed/policies.jsonl");

/// How the ARNs begin of policies that only services' own roles have.
pub const LINKED: &str = "arn:aws:iam::aws:policy/aws-service-role/";

#[derive(Debug, Deserialize)]
pub struct Managed {
    /// Begins and ends with `/`.
    pub path: &'static str,
    pub name: &'static str,
    /// The version that counts; AWS keeps the older ones to itself as far as this account can tell.
    pub version: &'static str,
    created: &'static str,
    updated: &'static str,
    /// As it is written in the line, which it ends.
    #[serde(skip)]
    document: &'static str,
}

static BY_ARN: LazyLock<BTreeMap<String, Managed>> = LazyLock::new(|| {
    LINES
        .lines()
        .map(|it| read(it).expect("a test reads every line"))
        .map(|it| (it.arn(), it))
        .collect()
});

fn read(line: &'static str) -> Option<Managed> {
    let (_, document) = line.split_once("\"document\":")?;
    let policy: Managed = serde_json::from_str(line).ok()?;
    Some(Managed {
        document: document.strip_suffix('}')?,
        ..policy
    })
}

impl Managed {
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy{}{}", self.path, self.name)
    }

    /// Stable, and in AWS's form; not AWS's own.
    pub fn id(&self) -> String {
        format!(
            "ANPA{}",
            cloud::token_hex(self.name, "policy id", 17).to_uppercase()
        )
    }

    pub fn document(&self) -> String {
        self.document.to_owned()
    }

    pub fn created(&self) -> wire::Timestamp {
        time(self.created)
    }

    /// When its default version was made.
    pub fn updated(&self) -> wire::Timestamp {
        time(self.updated)
    }
}

fn time(text: &str) -> wire::Timestamp {
    wire::Timestamp::from_iso8601(text).expect("a test reads every line")
}

pub fn all() -> impl Iterator<Item = &'static Managed> {
    BY_ARN.values()
}

/// The policy with this ARN. Names are matched as they are; AWS's paths belong to them.
pub fn find(arn: &str) -> Option<&'static Managed> {
    BY_ARN.get(arn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::check;
    use ::policy::Purpose;

    #[test]
    fn policies_are_in_order_and_well_formed() {
        assert_eq!(all().count(), LINES.lines().count());
        let names: Vec<&str> = LINES
            .lines()
            .map(|it| it.split('"').nth(3).unwrap())
            .collect();
        assert!(names.is_sorted());
        for policy in all() {
            let document = policy.document();
            assert_eq!(
                check(&document, Purpose::Managed),
                Ok(()),
                "{}",
                policy.name
            );
            assert!(policy.created().0 <= policy.updated().0, "{}", policy.name);
        }
        assert!(
            find("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy").is_some()
        );
        assert!(find("arn:aws:iam::aws:policy/AmazonECSTaskExecutionRolePolicy").is_none());
    }
}
