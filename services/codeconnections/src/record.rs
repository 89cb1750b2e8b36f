//! What is stored of connections and hosts.

use std::collections::BTreeMap;

use cloud::Record;
use serde::{Deserialize, Serialize};
use shapes::codeconnections::{Connection, ConnectionStatus, Host, ProviderType};

/// The name that something was made under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Made {
    CodeConnections,
    CodeStar,
}

impl Made {
    pub fn service(self) -> &'static str {
        match self {
            Self::CodeConnections => "codeconnections",
            Self::CodeStar => "codestar-connections",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConnectionRecord {
    pub region: String,
    pub account: String,
    pub id: String,
    pub made: Made,
    pub name: String,
    pub provider: ProviderType,
    pub host_arn: Option<String>,
    pub available: bool,
    /// Its token, if there is one, is a record of its own. Not so in records of earlier versions.
    #[serde(default)]
    pub keeps_token: bool,
    pub created_ms: i64,
    pub tags: BTreeMap<String, String>,
}

impl Record for ConnectionRecord {
    const KIND: &'static str = "codeconnections.connection";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

impl ConnectionRecord {
    pub fn arn(&self) -> String {
        let resource = format!("connection/{}", self.id);
        cloud::arn(self.made.service(), &self.region, &self.account, &resource)
    }

    pub fn shown(&self) -> Connection {
        Connection {
            connection_name: Some(self.name.clone()),
            connection_arn: Some(self.arn()),
            provider_type: Some(self.provider),
            owner_account_id: Some(self.account.clone()),
            connection_status: Some(match self.available {
                true => ConnectionStatus::Available,
                false => ConnectionStatus::Pending,
            }),
            host_arn: self.host_arn.clone(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostRecord {
    pub region: String,
    pub account: String,
    /// Its name and eight more, as its ARN ends.
    pub id: String,
    pub made: Made,
    pub name: String,
    pub provider: ProviderType,
    pub endpoint: String,
    pub available: bool,
    pub tags: BTreeMap<String, String>,
}

impl Record for HostRecord {
    const KIND: &'static str = "codeconnections.host";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.id)
    }
}

impl HostRecord {
    pub fn arn(&self) -> String {
        let resource = format!("host/{}", self.id);
        cloud::arn(self.made.service(), &self.region, &self.account, &resource)
    }

    pub fn status(&self) -> String {
        match self.available {
            true => "AVAILABLE",
            false => "PENDING",
        }
        .to_owned()
    }

    pub fn shown(&self) -> Host {
        Host {
            name: Some(self.name.clone()),
            host_arn: Some(self.arn()),
            provider_type: Some(self.provider),
            provider_endpoint: Some(self.endpoint.clone()),
            vpc_configuration: None,
            status: Some(self.status()),
            status_message: None,
        }
    }
}
