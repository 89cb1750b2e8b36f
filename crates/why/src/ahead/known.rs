//! What the account has that files only name: asked of a daemon, in one go.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use shapes::iam::{
    GetPolicyInput, GetPolicyVersionInput, GetRoleInput, GetRolePolicyInput,
    ListAttachedRolePoliciesInput, ListRolePoliciesInput,
};
use shapes::secretsmanager::DescribeSecretInput;
use shapes::ssm::GetParametersInput;

use crate::facts::{GroupFacts, ImageFacts, LogFacts, NetworkFacts};
use crate::gather::{Place, containers, networks, pictures};

/// More of one kind is not looked at: nobody waits for it.
const EACH_MAX: usize = 100;

/// What is to be looked at.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wanted {
    pub images: Vec<WantedImage>,
    /// Region and name.
    pub log_groups: BTreeSet<(String, String)>,
    /// Names of roles.
    pub roles: BTreeSet<String>,
    /// What stands at `valueFrom`.
    pub secrets: BTreeSet<String>,
    pub networks: BTreeSet<Place>,
}

/// An image, and what is to start in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WantedImage {
    pub name: String,
    pub is_entry_point: bool,
    pub starts: Option<String>,
    pub user: Option<String>,
    /// Other programs that it should have.
    pub programs: Vec<String>,
}

impl Wanted {
    pub fn add(&mut self, other: Self) {
        for image in other.images {
            if !self.images.contains(&image) {
                self.images.push(image);
            }
        }
        self.log_groups.extend(other.log_groups);
        self.roles.extend(other.roles);
        self.secrets.extend(other.secrets);
        self.networks.extend(other.networks);
    }

    /// What is more of its kind than is looked at.
    fn left(&self) -> Self {
        fn rest<T: Clone + Ord>(all: &BTreeSet<T>) -> BTreeSet<T> {
            all.iter().skip(EACH_MAX).cloned().collect()
        }
        Self {
            images: self.images.iter().skip(EACH_MAX).cloned().collect(),
            log_groups: rest(&self.log_groups),
            roles: rest(&self.roles),
            secrets: rest(&self.secrets),
            networks: rest(&self.networks),
        }
    }
}

impl WantedImage {
    /// Two that differ in what they start are looked at each.
    pub fn key(&self) -> String {
        let starts = self.starts.as_deref().unwrap_or_default();
        let user = self.user.as_deref().unwrap_or_default();
        [&self.name, starts, user, &self.programs.join(" ")].join("\n")
    }
}

/// What was found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Known {
    /// By [`WantedImage::key`].
    pub images: BTreeMap<String, ImageFacts>,
    log_groups: Vec<LogFacts>,
    /// Those that are there.
    pub roles: BTreeMap<String, KnownRole>,
    pub missing_secrets: BTreeSet<String>,
    /// By their subnets, with the groups of all who are to be in one.
    pub networks: BTreeMap<String, NetworkFacts>,
    /// What was not looked at, and is not known to be there or not.
    pub left: Wanted,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct KnownRole {
    pub trust: String,
    pub documents: Vec<String>,
}

impl Known {
    pub fn logs(&self, region: &str, group: &str) -> Option<&LogFacts> {
        let mut all = self.log_groups.iter();
        all.find(|it| it.region == region && it.group == group)
    }

    pub fn group(&self, id: &str) -> Option<&GroupFacts> {
        let mut all = self.networks.values().flat_map(|it| &it.groups);
        all.find(|it| it.id == id)
    }

    fn add_network(&mut self, subnet: &str, found: NetworkFacts) {
        match self.networks.entry(subnet.to_owned()) {
            Entry::Vacant(it) => {
                it.insert(found);
            }
            Entry::Occupied(mut it) => it.get_mut().groups.extend(found.groups),
        }
    }
}

/// Looks at what is wanted, in the name of whoever asks. What is not there is left out.
pub async fn look_up(cx: &Cx, wanted: &Wanted) -> Result<Known, Error> {
    let cx = &crate::looking(cx);
    let mut known = Known {
        left: wanted.left(),
        ..Known::default()
    };
    for it in wanted.images.iter().take(EACH_MAX) {
        let starts = it.starts.as_deref();
        let mut found = pictures::of(cx, &it.name, it.is_entry_point, starts).await?;
        pictures::look_further(cx, it, &mut found).await;
        known.images.insert(it.key(), found);
    }
    for (region, group) in wanted.log_groups.iter().take(EACH_MAX) {
        known
            .log_groups
            .push(containers::log_group(cx, region, group).await?);
    }
    for name in wanted.roles.iter().take(EACH_MAX) {
        if let Some(role) = role(cx, name).await? {
            known.roles.insert(name.clone(), role);
        }
    }
    for from in wanted.secrets.iter().take(EACH_MAX) {
        if is_missing(cx, from).await? {
            known.missing_secrets.insert(from.clone());
        }
    }
    for place in wanted.networks.iter().take(EACH_MAX) {
        if let Some(network) = networks::of(cx, place).await? {
            known.add_network(&place.subnet, network);
        }
    }
    Ok(known)
}

/// Nothing for what is not there; an error of the machine stays one.
fn unless_gone<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.status < 500 => Ok(None),
        Err(error) => Err(error),
    }
}

async fn role(cx: &Cx, name: &str) -> Result<Option<KnownRole>, Error> {
    let found = cx.call(GetRoleInput {
        role_name: name.to_owned(),
    });
    let Some(found) = unless_gone(found.await)? else {
        return Ok(None);
    };
    let trust = found.role.assume_role_policy_document;
    let mut role = KnownRole {
        trust: trust.as_deref().map(decoded).unwrap_or_default(),
        documents: Vec::new(),
    };
    let own = cx.call(ListRolePoliciesInput {
        role_name: name.to_owned(),
        ..Default::default()
    });
    for policy in own.await?.policy_names {
        let found = cx.call(GetRolePolicyInput {
            role_name: name.to_owned(),
            policy_name: policy,
        });
        role.documents.push(decoded(&found.await?.policy_document));
    }
    let attached = cx.call(ListAttachedRolePoliciesInput {
        role_name: name.to_owned(),
        ..Default::default()
    });
    for policy in attached.await?.attached_policies.into_iter().flatten() {
        let arn = policy.policy_arn.unwrap_or_default();
        role.documents.extend(document(cx, &arn).await?);
    }
    Ok(Some(role))
}

async fn document(cx: &Cx, arn: &str) -> Result<Option<String>, Error> {
    let policy = cx.call(GetPolicyInput {
        policy_arn: arn.to_owned(),
    });
    let Some(policy) = unless_gone(policy.await)?.and_then(|it| it.policy) else {
        return Ok(None);
    };
    let version = cx.call(GetPolicyVersionInput {
        policy_arn: arn.to_owned(),
        version_id: policy.default_version_id.unwrap_or_default(),
    });
    let version = unless_gone(version.await)?.and_then(|it| it.policy_version);
    Ok(version.and_then(|it| it.document).map(|it| decoded(&it)))
}

/// IAM answers documents in the form of a URL's part (RFC 3986).
fn decoded(document: &str) -> String {
    let text = percent_decode_str(document).decode_utf8_lossy();
    text.into_owned()
}

/// Whether what stands at `valueFrom` leads nowhere: a secret's ARN, maybe with a key behind it, or a parameter.
async fn is_missing(cx: &Cx, from: &str) -> Result<bool, Error> {
    let parts: Vec<&str> = from.split(':').collect();
    match parts[..] {
        ["arn", _, "secretsmanager", region, _, "secret", _, ..] => {
            let there = cx.in_region(region);
            let found = there.call(DescribeSecretInput {
                secret_id: parts[..7].join(":"),
            });
            Ok(unless_gone(found.await)?.is_none())
        }
        ["arn", _, "ssm", region, _, ..] => {
            let name = from.split_once(":parameter").map_or("", |it| it.1);
            has_no_parameter(&cx.in_region(region), name).await
        }
        [name] => has_no_parameter(cx, name).await,
        // What it is, the task will say.
        _ => Ok(false),
    }
}

/// A parameter that is not in a folder is named in an ARN with a slash before it, and without in itself.
async fn has_no_parameter(cx: &Cx, name: &str) -> Result<bool, Error> {
    let bare = name.trim_start_matches('/');
    let name = match bare.contains('/') {
        true => format!("/{bare}"),
        false => bare.to_owned(),
    };
    let found = cx.call(GetParametersInput {
        names: vec![name],
        ..Default::default()
    });
    let found = unless_gone(found.await)?.and_then(|it| it.parameters);
    Ok(found.is_none_or(|it| it.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_looked_at_is_told() {
        let mut wanted = Wanted {
            roles: (0..EACH_MAX).map(|it| format!("{it:04}")).collect(),
            ..Wanted::default()
        };
        assert!(wanted.left().roles.is_empty());
        wanted.roles.insert("last".to_owned());
        assert_eq!(wanted.left().roles, BTreeSet::from(["last".to_owned()]));
    }

    #[test]
    fn tasks_of_one_subnet_have_groups_of_their_own() {
        let in_group = |id: &str| NetworkFacts {
            groups: vec![GroupFacts {
                id: id.to_owned(),
                ..GroupFacts::default()
            }],
            ..NetworkFacts::default()
        };
        let mut known = Known::default();
        for group in ["sg-1", "sg-2"] {
            known.add_network("subnet-1", in_group(group));
        }
        assert!(known.group("sg-1").is_some() && known.group("sg-2").is_some());
    }

    #[test]
    fn a_document_is_decoded() {
        assert_eq!(decoded("%7B%22a%22%3A1%7D"), r#"{"a":1}"#);
        assert_eq!(decoded("{\"a\": \"100%\"}"), "{\"a\": \"100%\"}");
        assert_eq!(decoded("%+f"), "%+f");
    }
}
