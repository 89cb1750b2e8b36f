//! What a bucket is set to, as it is stored.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ownership {
    /// Lists of grants are off: what a new bucket has.
    BucketOwnerEnforced,
    BucketOwnerPreferred,
    ObjectWriter,
}

impl Ownership {
    pub fn name(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [
            Self::BucketOwnerEnforced,
            Self::BucketOwnerPreferred,
            Self::ObjectWriter,
        ]
        .into_iter()
        .find(|it| it.name() == name)
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PublicAccess {
    pub block_acls: bool,
    pub ignore_acls: bool,
    pub block_policy: bool,
    pub restrict_buckets: bool,
}

impl PublicAccess {
    /// What a new bucket has (since April 2023).
    pub const BLOCKED: Self = Self {
        block_acls: true,
        ignore_acls: true,
        block_policy: true,
        restrict_buckets: true,
    };
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Website {
    pub index: Option<String>,
    pub error: Option<String>,
    pub redirect_all: Option<RedirectAll>,
    pub rules: Vec<RoutingRule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedirectAll {
    pub host: String,
    pub protocol: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoutingRule {
    pub prefix: Option<String>,
    pub status: Option<u16>,
    pub host: Option<String>,
    pub protocol: Option<String>,
    pub code: Option<u16>,
    pub replace_prefix: Option<String>,
    pub replace_key: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cors {
    pub id: Option<String>,
    pub headers: Vec<String>,
    pub methods: Vec<String>,
    pub origins: Vec<String>,
    pub expose: Vec<String>,
    pub max_age_seconds: Option<i32>,
}

/// A rule of a lifecycle. What S3 has beyond it (storage classes to move to) is refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lifecycle {
    pub id: String,
    pub enabled: bool,
    pub filter: Filter,
    /// The rule was given in the older form, with a prefix and no filter.
    pub plain_prefix: bool,
    pub expire_days: Option<i32>,
    /// Milliseconds since 1970.
    pub expire_date_ms: Option<i64>,
    pub expire_markers: bool,
    /// It was said that they do not expire.
    pub keeps_markers: bool,
    pub noncurrent_days: Option<i32>,
    pub noncurrent_kept: Option<i32>,
    pub abort_uploads_days: Option<i32>,
}

/// Which objects a rule is about. All that is set has to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    pub prefix: Option<String>,
    pub tags: Vec<(String, String)>,
    pub larger_than: Option<u64>,
    pub smaller_than: Option<u64>,
}
