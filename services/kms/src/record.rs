//! What is stored of keys, their material and their aliases.

use std::collections::{BTreeMap, BTreeSet};

use cloud::{Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::kms::{KeyMetadata, KeyState, RotationType};

use crate::cipher::MATERIAL_BYTES;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    Enabled,
    Disabled,
    /// It will be gone at that time.
    PendingDeletion {
        gone_ms: i64,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rotation {
    pub period_days: i32,
    pub next_ms: i64,
}

/// What may be told of a version of a key's material.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaterialFacts {
    pub id: String,
    pub made_ms: i64,
    /// None: the key was made with it.
    pub rotated: Option<RotationType>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyRecord {
    pub region: String,
    pub account: String,
    pub id: String,
    pub description: String,
    /// As [`cloud::Cx::keep_policy`] has it.
    pub policy: String,
    pub tags: BTreeMap<String, String>,
    pub state: State,
    pub created_ms: i64,
    /// The predefined alias of a key that AWS manages.
    pub managed_as: Option<String>,
    /// With their `alias/`.
    pub aliases: BTreeSet<String>,
    pub rotation: Option<Rotation>,
    /// The last one is in use; what a ciphertext tells is a position here.
    pub materials: Vec<MaterialFacts>,
}

impl Record for KeyRecord {
    const KIND: &'static str = "kms.key";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

/// A version of a key's material: read by the cipher alone.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct MaterialRecord {
    pub region: String,
    pub key_id: String,
    pub number: u32,
    pub secret: [u8; MATERIAL_BYTES],
}

impl std::fmt::Debug for MaterialRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

impl Record for MaterialRecord {
    const KIND: &'static str = "kms.material";
    fn key(&self) -> String {
        material_key(&self.region, &self.key_id, self.number)
    }
}

fn material_key(region: &str, key_id: &str, number: u32) -> String {
    format!("{region}/{key_id}/{number:08}")
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AliasRecord {
    pub region: String,
    pub account: String,
    /// With its `alias/`.
    pub name: String,
    pub key_id: String,
    pub created_ms: i64,
    pub updated_ms: i64,
}

impl Record for AliasRecord {
    const KIND: &'static str = "kms.alias";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.name)
    }
}

impl AliasRecord {
    pub fn arn(&self) -> String {
        cloud::arn("kms", &self.region, &self.account, &self.name)
    }
}

impl KeyRecord {
    pub fn arn(&self) -> String {
        let resource = format!("key/{}", self.id);
        cloud::arn("kms", &self.region, &self.account, &resource)
    }

    /// The number of the material in use. There is always one.
    pub fn current(&self) -> u32 {
        u32::try_from(self.materials.len().saturating_sub(1)).unwrap_or(u32::MAX)
    }

    pub fn current_id(&self) -> Option<String> {
        self.materials.last().map(|it| it.id.clone())
    }

    pub fn material(&self, tx: &Records<'_>, number: u32) -> Result<Option<MaterialRecord>, Error> {
        tx.get(&material_key(&self.region, &self.id, number))
    }

    /// Forgets the key, its material and its aliases: what it encrypted stays so for ever.
    pub fn erase(&self, tx: &Records<'_>) -> Result<(), Error> {
        for material in tx.keys::<MaterialRecord>(&format!("{}/", self.key()))? {
            tx.delete::<MaterialRecord>(&material)?;
        }
        for alias in &self.aliases {
            tx.delete::<AliasRecord>(&format!("{}/{alias}", self.region))?;
        }
        tx.delete::<Self>(&self.key())?;
        Ok(())
    }

    pub fn metadata(&self) -> KeyMetadata {
        use shapes::kms::*;
        let (state, gone_ms) = match self.state {
            State::Enabled => (KeyState::Enabled, None),
            State::Disabled => (KeyState::Disabled, None),
            State::PendingDeletion { gone_ms } => (KeyState::PendingDeletion, Some(gone_ms)),
        };
        let manager = match self.managed_as {
            Some(_) => KeyManagerType::Aws,
            None => KeyManagerType::Customer,
        };
        KeyMetadata {
            aws_account_id: Some(self.account.clone()),
            key_id: self.id.clone(),
            arn: Some(self.arn()),
            creation_date: date(self.created_ms),
            enabled: Some(state == KeyState::Enabled),
            description: Some(self.description.clone()),
            key_usage: Some(KeyUsageType::EncryptDecrypt),
            key_state: Some(state),
            deletion_date: gone_ms.and_then(date),
            origin: Some(OriginType::AwsKms),
            key_manager: Some(manager),
            customer_master_key_spec: Some(CustomerMasterKeySpec::SymmetricDefault),
            key_spec: Some(KeySpec::SymmetricDefault),
            encryption_algorithms: Some(vec![EncryptionAlgorithmSpec::SymmetricDefault]),
            multi_region: Some(false),
            current_key_material_id: match state {
                KeyState::PendingDeletion => None,
                _ => self.current_id(),
            },
            ..Default::default()
        }
    }

    pub fn state_shown(&self) -> Option<KeyState> {
        self.metadata().key_state
    }
}

pub fn date(ms: i64) -> Option<wire::Timestamp> {
    Some(wire::Timestamp(ms as f64 / 1000.0))
}
