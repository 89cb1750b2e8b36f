//! What is stored of secrets.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::secretsmanager::Tag;

pub const CURRENT: &str = "AWSCURRENT";
pub const PREVIOUS: &str = "AWSPREVIOUS";
/// Where a rotation puts the version that it is about to make the current one.
const PENDING: &str = "AWSPENDING";

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The day of a moment: AWS tells when something was last read, without the time of the day.
pub fn day_of(ms: i64) -> i64 {
    ms - ms.rem_euclid(DAY_MS)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretRecord {
    pub region: String,
    pub account: String,
    pub name: String,
    /// Six letters and digits at the end of its ARN, so that a secret of the same name that is made
    /// later is another one.
    pub suffix: String,
    pub description: Option<String>,
    pub tags: BTreeMap<String, String>,
    pub policy: Option<String>,
    pub created_ms: i64,
    pub changed_ms: i64,
    /// When it was deleted and when it will be gone; it can be restored until then.
    pub deleted_ms: Option<i64>,
    pub gone_ms: Option<i64>,
    /// Ids of its versions, and the labels that are at them. Those without any are deprecated.
    pub stages: BTreeMap<String, BTreeSet<String>>,
    /// The token of the request that made it, when it had one.
    pub made_by: Option<String>,
    /// The day on which its value was last read.
    #[serde(default)]
    pub read_ms: Option<i64>,
    /// The key of KMS that encrypts its values, as it was given. None: they are sealed with the store.
    #[serde(default)]
    pub kms_key: Option<String>,
}

impl Record for SecretRecord {
    const KIND: &'static str = "secretsmanager.secret";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    Text(String),
    Bytes(Vec<u8>),
    /// Encrypted by a key of the account's own.
    Sealed(SealedValue),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedValue {
    /// As the secret had it then.
    pub key: String,
    /// As KMS encrypted it.
    pub data_key: Vec<u8>,
    pub sealed: Vec<u8>,
    pub is_text: bool,
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionRecord {
    pub region: String,
    pub secret: String,
    pub id: String,
    pub value: Value,
    pub created_ms: i64,
    /// The day on which it was last read.
    #[serde(default)]
    pub read_ms: Option<i64>,
}

impl Record for VersionRecord {
    const KIND: &'static str = "secretsmanager.version";
    fn key(&self) -> String {
        version_key(&self.region, &self.secret, &self.id)
    }
}

fn version_key(region: &str, secret: &str, id: &str) -> String {
    // A secret's name has no colon.
    format!("{region}/{secret}:{id}")
}

impl SecretRecord {
    pub fn arn(&self) -> String {
        let resource = format!("secret:{}-{}", self.name, self.suffix);
        cloud::arn("secretsmanager", &self.region, &self.account, &resource)
    }

    pub fn version(&self, tx: &Records<'_>, id: &str) -> Result<Option<VersionRecord>, Error> {
        tx.get(&version_key(&self.region, &self.name, id))
    }

    pub fn versions(&self, tx: &Records<'_>) -> Result<Vec<VersionRecord>, Error> {
        tx.list(&format!("{}:", self.key()))
    }

    /// The version that a label is at.
    pub fn at_stage(&self, stage: &str) -> Option<&str> {
        let found = self.stages.iter().find(|it| it.1.contains(stage));
        found.map(|it| it.0.as_str())
    }

    pub fn stages_of(&self, version: &str) -> Vec<String> {
        let stages = self.stages.get(version);
        stages.into_iter().flatten().cloned().collect()
    }

    /// Moves a label to a version. What was current becomes the previous one, and waits for nothing any more.
    pub fn move_stage(&mut self, stage: &str, to: &str) {
        let from = self.at_stage(stage).map(str::to_owned);
        for stages in self.stages.values_mut() {
            stages.remove(stage);
        }
        let stages = self.stages.entry(to.to_owned()).or_default();
        stages.insert(stage.to_owned());
        if let Some(from) = from
            && stage == CURRENT
            && from != to
        {
            self.move_stage(PREVIOUS, &from);
            if let Some(stages) = self.stages.get_mut(&from) {
                stages.remove(PENDING);
            }
        }
    }

    /// Forgets the secret and all of its versions.
    pub fn erase(&self, tx: &Records<'_>) -> Result<(), Error> {
        for version in self.versions(tx)? {
            tx.delete::<VersionRecord>(&version.key())?;
        }
        tx.delete::<Self>(&self.key())?;
        Ok(())
    }

    /// As they are answered; absent when there are none.
    pub fn shown_tags(&self) -> Option<Vec<Tag>> {
        let tag = |(key, value): (&String, &String)| Tag {
            key: Some(key.clone()),
            value: Some(value.clone()),
        };
        (!self.tags.is_empty()).then(|| self.tags.iter().map(tag).collect())
    }

    /// As they are answered; absent when there are none.
    pub fn shown_stages(&self) -> Option<BTreeMap<String, Vec<String>>> {
        let used = self.stages.iter().filter(|it| !it.1.is_empty());
        let shown: BTreeMap<_, _> = used
            .map(|(id, stages)| (id.clone(), stages.iter().cloned().collect()))
            .collect();
        (!shown.is_empty()).then_some(shown)
    }
}

pub fn date(ms: i64) -> Option<wire::Timestamp> {
    Some(wire::Timestamp(ms as f64 / 1000.0))
}
