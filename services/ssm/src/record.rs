//! What is stored of parameters.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::ssm::{Parameter, ParameterTier, ParameterType, errors};

use crate::seal::DEFAULT_KEY;

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// A version of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Version {
    pub region: String,
    pub name: String,
    pub number: i64,
    pub value: Hidden,
    /// What is shown of a SecureString to those who do not ask for its value.
    pub sealed: Option<String>,
    /// The key that encrypted it, as it was given: then what is shown is the ciphertext, and the value is nowhere
    /// else. None: it is sealed with the store.
    #[serde(default)]
    pub own_key: Option<String>,
    pub kind: ParameterType,
    pub description: Option<String>,
    pub allowed_pattern: Option<String>,
    pub tier: ParameterTier,
    pub labels: BTreeSet<String>,
    pub modified_ms: i64,
    pub modified_by: String,
}

impl Record for Version {
    const KIND: &'static str = "ssm.version";
    fn key(&self) -> String {
        version_key(&self.region, &self.name, self.number)
    }
}

fn version_key(region: &str, name: &str, number: i64) -> String {
    // A name has no colon, and with leading zeros versions sort as numbers do.
    format!("{region}/{name}:{number:012}")
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParameterRecord {
    pub region: String,
    pub name: String,
    /// The number of the latest version.
    pub latest: i64,
    pub tags: BTreeMap<String, String>,
    /// The token of the request that made it, when it had one.
    pub made_by: Option<String>,
}

impl Record for ParameterRecord {
    const KIND: &'static str = "ssm.parameter";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

impl ParameterRecord {
    /// Its versions, oldest first.
    pub fn versions(&self, tx: &Records<'_>) -> Result<Vec<Version>, Error> {
        tx.list(&format!("{}:", self.key()))
    }

    pub fn latest(&self, tx: &Records<'_>) -> Result<Version, Error> {
        let found = tx.get(&version_key(&self.region, &self.name, self.latest))?;
        found.ok_or_else(|| no_version(&self.name, self.latest))
    }

    pub fn version(&self, tx: &Records<'_>, number: i64) -> Result<Option<Version>, Error> {
        tx.get(&version_key(&self.region, &self.name, number))
    }
}

impl Version {
    pub fn key_id(&self) -> Option<String> {
        let key = || {
            self.own_key
                .clone()
                .unwrap_or_else(|| DEFAULT_KEY.to_owned())
        };
        (self.kind == ParameterType::SecureString).then(key)
    }

    /// The value, for somebody who asked for it or not.
    pub fn value(&self, decrypted: bool) -> String {
        match &self.sealed {
            Some(sealed) if !decrypted => sealed.clone(),
            _ => self.value.0.clone(),
        }
    }

    pub fn shown(&self, cx: &Cx, decrypted: bool, selector: Option<String>) -> Parameter {
        Parameter {
            name: Some(self.name.clone()),
            r#type: Some(self.kind),
            value: Some(self.value(decrypted)),
            version: Some(self.number),
            selector,
            source_result: None,
            last_modified_date: Some(self.date()),
            arn: Some(arn(cx, &self.name)),
            data_type: Some("text".into()),
        }
    }

    pub fn date(&self) -> wire::Timestamp {
        wire::Timestamp(self.modified_ms as f64 / 1000.0)
    }
}

/// `…:parameter/a/b` of both `/a/b` and `a/b`.
pub fn arn(cx: &Cx, name: &str) -> String {
    let rest = name.strip_prefix('/').unwrap_or(name);
    cx.arn("ssm", &format!("parameter/{rest}"))
}

pub fn no_version(name: &str, number: i64) -> Error {
    errors::ParameterVersionNotFound.because(format!(
        "Systems Manager could not find version {number} of {name}. Verify the version and try again."
    ))
}
