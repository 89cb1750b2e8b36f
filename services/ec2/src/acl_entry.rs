//! Entries of network ACLs: numbered, and the first that a packet matches decides.

use cloud::{Cx, Error};
use engine::{Decision, GuardEntry, Protocol};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use shapes::ec2::{
    CreateNetworkAclEntryInput, CreateNetworkAclEntryOutput, DeleteNetworkAclEntryInput,
    DeleteNetworkAclEntryOutput, IcmpTypeCode, NetworkAclEntry, PortRange,
    ReplaceNetworkAclEntryInput, ReplaceNetworkAclEntryOutput, RuleAction,
};

use crate::errors::{
    InvalidNetworkAclEntryNotFound, InvalidParameterCombination, InvalidParameterValue,
    MissingParameter, NetworkAclEntryAlreadyExists, NetworkAclEntryLimitExceeded,
};
use crate::network_acl::{self, NetworkAcl};
use crate::vpc::{self, parse_range};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub egress: bool,
    pub number: i32,
    pub action: RuleAction,
    /// None for every protocol.
    pub protocol: Option<u8>,
    /// Of TCP and UDP.
    pub ports: Option<(u16, u16)>,
    /// Type and code of ICMP; -1 is any.
    pub icmp: Option<(i32, i32)>,
    pub peer: Peer,
}

/// Where packets that enter come from, or those that leave go to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Peer {
    V4(Ipv4Net),
    /// Nothing here speaks IPv6: no packet ever matches it.
    V6(Ipv6Net),
}

/// Entries that somebody made are below the one that AWS ends every network ACL with (VPC User Guide, "Network ACL
/// rules").
const NUMBER_MAX: i32 = 32766;
const LAST_NUMBER: i32 = 32767;

/// AWS's quota of "Rules per network ACL", in each direction, that last one included. It may be raised to 40.
const ENTRIES_MAX: usize = 40;

/// The number of the entries that a VPC's own network ACL begins with.
const FIRST_NUMBER: i32 = 100;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP_V6: u8 = 58;

impl Entry {
    fn about_everything(egress: bool, number: i32, action: RuleAction) -> Self {
        Self {
            egress,
            number,
            action,
            protocol: None,
            ports: None,
            icmp: None,
            peer: Peer::V4(Ipv4Net::default()),
        }
    }

    /// Everything may pass, both ways.
    pub fn everything() -> Vec<Self> {
        let open = |egress| Self::about_everything(egress, FIRST_NUMBER, RuleAction::Allow);
        [false, true].map(open).to_vec()
    }

    /// What AWS ends every network ACL with, which nobody can take away.
    pub fn last_ones() -> [NetworkAclEntry; 2] {
        let last = |egress| Self::about_everything(egress, LAST_NUMBER, RuleAction::Deny);
        [false, true].map(|egress| last(egress).shown())
    }

    fn protocol_text(&self) -> String {
        match self.protocol {
            Some(number) => number.to_string(),
            None => "-1".to_owned(),
        }
    }

    pub fn shown(&self) -> NetworkAclEntry {
        let (cidr_block, ipv6_cidr_block) = match &self.peer {
            Peer::V4(range) => (Some(range.to_string()), None),
            Peer::V6(range) => (None, Some(range.to_string())),
        };
        NetworkAclEntry {
            cidr_block,
            ipv6_cidr_block,
            egress: Some(self.egress),
            icmp_type_code: self.icmp.map(|(kind, code)| IcmpTypeCode {
                r#type: Some(kind),
                code: Some(code),
            }),
            port_range: self.ports.map(|(from, to)| PortRange {
                from: Some(from.into()),
                to: Some(to.into()),
            }),
            protocol: Some(self.protocol_text()),
            rule_action: Some(self.action),
            rule_number: Some(self.number),
        }
    }

    /// The value of one of the filters `entry.…`.
    pub fn filtered(entry: &NetworkAclEntry, member: &str) -> Option<String> {
        let icmp = || entry.icmp_type_code.as_ref();
        let ports = || entry.port_range.as_ref();
        match member {
            "cidr" => entry.cidr_block.clone(),
            "ipv6-cidr" => entry.ipv6_cidr_block.clone(),
            "icmp.code" => Some(icmp()?.code?.to_string()),
            "icmp.type" => Some(icmp()?.r#type?.to_string()),
            "port-range.from" => Some(ports()?.from?.to_string()),
            "port-range.to" => Some(ports()?.to?.to_string()),
            "protocol" => entry.protocol.clone(),
            "rule-action" => Some(entry.rule_action?.to_string()),
            "egress" => Some(entry.egress?.to_string()),
            "rule-number" => Some(entry.rule_number?.to_string()),
            _ => None,
        }
    }

    /// None for what cannot match here: IPv6.
    pub fn for_engine(&self) -> Option<GuardEntry> {
        let Peer::V4(peer) = self.peer else {
            return None;
        };
        let (from, to) = self.ports.unwrap_or((0, u16::MAX));
        let protocol = match self.protocol {
            None => Protocol::All,
            Some(TCP) => Protocol::Tcp { from, to },
            Some(UDP) => Protocol::Udp { from, to },
            Some(ICMP) => icmp(self.icmp),
            Some(number) => Protocol::Other(number),
        };
        Some(GuardEntry {
            decision: match self.action {
                RuleAction::Allow => Decision::Allow,
                RuleAction::Deny => Decision::Deny,
            },
            protocol,
            peer,
        })
    }
}

/// A type and a code as EC2 has them: -1 is any.
pub fn icmp(given: Option<(i32, i32)>) -> Protocol {
    let byte = |it: i32| u8::try_from(it).ok();
    match given.and_then(|(kind, code)| Some((byte(kind)?, byte(code)))) {
        Some((kind, code)) => Protocol::IcmpOf { kind, code },
        None => Protocol::Icmp,
    }
}

/// Whether there is such a type with such a code. Every type has every code.
pub fn is_icmp(kind: i32, code: i32) -> bool {
    let valid = -1..=255;
    valid.contains(&kind) && valid.contains(&code) && (kind != -1 || code == -1)
}

/// The entry that a request describes: creating one and replacing one have the same members.
macro_rules! entry_of {
    ($input:expr) => {
        Asked {
            egress: $input.egress,
            number: $input.rule_number,
            action: $input.rule_action,
            protocol: &$input.protocol,
            ports: $input.port_range.as_ref(),
            icmp: $input.icmp_type_code.as_ref(),
            range: $input.cidr_block.as_deref(),
            range6: $input.ipv6_cidr_block.as_deref(),
        }
        .entry()
    };
}

struct Asked<'a> {
    egress: bool,
    number: i32,
    action: RuleAction,
    protocol: &'a str,
    ports: Option<&'a PortRange>,
    icmp: Option<&'a IcmpTypeCode>,
    range: Option<&'a str>,
    range6: Option<&'a str>,
}

impl Asked<'_> {
    fn entry(self) -> Result<Entry, Error> {
        if !(1..=NUMBER_MAX).contains(&self.number) {
            return Err(InvalidParameterValue.because(format!(
                "Invalid rule number '{}': it must be from 1 to {NUMBER_MAX}",
                self.number
            )));
        }
        let protocol = self.protocol()?;
        let ports = match protocol {
            Some(TCP | UDP) => Some(self.port_range()?),
            _ => None,
        };
        let icmp = match protocol {
            Some(ICMP | ICMP_V6) => Some(self.type_and_code()?),
            _ => None,
        };
        Ok(Entry {
            egress: self.egress,
            number: self.number,
            action: self.action,
            protocol,
            ports,
            icmp,
            peer: self.peer()?,
        })
    }

    fn protocol(&self) -> Result<Option<u8>, Error> {
        if self.protocol == "-1" {
            return Ok(None);
        }
        let number = self.protocol.parse().map_err(|_| {
            InvalidParameterValue.because(format!(
                "Value ({}) for parameter protocol is invalid. Unknown IP protocol: it is -1, or a number up to 255.",
                self.protocol
            ))
        })?;
        Ok(Some(number))
    }

    fn port_range(&self) -> Result<(u16, u16), Error> {
        let given = self.ports.and_then(|it| Some((it.from?, it.to?)));
        let (from, to) = given.ok_or_else(|| {
            MissingParameter.because("The request must contain the parameter portRange")
        })?;
        let port = |it: i32| u16::try_from(it).ok();
        match (port(from), port(to)) {
            (Some(from), Some(to)) if from <= to => Ok((from, to)),
            _ => {
                Err(InvalidParameterValue
                    .because(format!("Invalid TCP/UDP port range ({from}:{to})")))
            }
        }
    }

    fn type_and_code(&self) -> Result<(i32, i32), Error> {
        let given = self.icmp.and_then(|it| Some((it.r#type?, it.code?)));
        let (kind, code) = given.ok_or_else(|| {
            MissingParameter.because("The request must contain the parameter icmpTypeCode")
        })?;
        if !is_icmp(kind, code) {
            return Err(InvalidParameterValue
                .because(format!("Invalid ICMP type and code ({kind}:{code})")));
        }
        Ok((kind, code))
    }

    fn peer(&self) -> Result<Peer, Error> {
        match (self.range, self.range6) {
            (Some(range), None) => parse_range(range, "cidrBlock").map(Peer::V4),
            (None, Some(range)) => match range.parse::<Ipv6Net>() {
                Ok(range) => Ok(Peer::V6(range.trunc())),
                Err(_) => Err(InvalidParameterValue.because(format!(
                    "Value ({range}) for parameter ipv6CidrBlock is invalid. This is not a valid CIDR block."
                ))),
            },
            (None, None) => Err(MissingParameter
                .because("Either 'cidrBlock' or 'ipv6CidrBlock' should be provided.")),
            (Some(_), Some(_)) => Err(InvalidParameterCombination
                .because("Only one of 'cidrBlock' and 'ipv6CidrBlock' can be provided.")),
        }
    }
}

/// Changes the entries of a network ACL, and lets the network know.
fn change<T>(
    cx: &Cx,
    id: &str,
    edit: impl Fn(&mut NetworkAcl) -> Result<T, Error>,
) -> Result<T, Error> {
    cx.write(|tx| {
        let mut acl = network_acl::get(cx, tx, id)?;
        let outcome = edit(&mut acl)?;
        tx.put(&acl)?;
        vpc::touch(cx, tx, &acl.vpc)?;
        Ok(outcome)
    })
}

pub async fn create_network_acl_entry(
    cx: Cx,
    input: CreateNetworkAclEntryInput,
) -> Result<CreateNetworkAclEntryOutput, Error> {
    let entry = entry_of!(input)?;
    change(&cx, &input.network_acl_id, |acl| {
        let same_way = || acl.entries.iter().filter(|it| it.egress == entry.egress);
        if let Some(existing) = same_way().find(|it| it.number == entry.number) {
            // The same request once more.
            if cx.token.is_some() && *existing == entry {
                return Ok(());
            }
            return Err(NetworkAclEntryAlreadyExists.because(format!(
                "The network acl entry identified by {} already exists.",
                entry.number
            )));
        }
        // The last one, which everybody has, counts.
        if same_way().count() + 1 >= ENTRIES_MAX {
            return Err(NetworkAclEntryLimitExceeded
                .because("The maximum number of network acl entries has been reached."));
        }
        acl.entries.push(entry.clone());
        Ok(())
    })?;
    Ok(CreateNetworkAclEntryOutput {})
}

fn find(acl: &mut NetworkAcl, egress: bool, number: i32) -> Result<&mut Entry, Error> {
    let mut entries = acl.entries.iter_mut();
    let found = entries.find(|it| it.egress == egress && it.number == number);
    found.ok_or_else(|| {
        InvalidNetworkAclEntryNotFound.because(format!(
            "The network acl entry identified by {number} does not exist."
        ))
    })
}

pub async fn replace_network_acl_entry(
    cx: Cx,
    input: ReplaceNetworkAclEntryInput,
) -> Result<ReplaceNetworkAclEntryOutput, Error> {
    let entry = entry_of!(input)?;
    change(&cx, &input.network_acl_id, |acl| {
        *find(acl, entry.egress, entry.number)? = entry.clone();
        Ok(())
    })?;
    Ok(ReplaceNetworkAclEntryOutput {})
}

pub async fn delete_network_acl_entry(
    cx: Cx,
    input: DeleteNetworkAclEntryInput,
) -> Result<DeleteNetworkAclEntryOutput, Error> {
    let (egress, number) = (input.egress, input.rule_number);
    change(&cx, &input.network_acl_id, |acl| {
        find(acl, egress, number)?;
        (acl.entries).retain(|it| it.egress != egress || it.number != number);
        Ok(())
    })?;
    Ok(DeleteNetworkAclEntryOutput {})
}
