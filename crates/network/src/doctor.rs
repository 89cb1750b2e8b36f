//! What the machine lacks for networks, each with its fix.
//!
//! Nothing is concluded from versions or module lists: a network's parts are made in a namespace
//! that is thrown away, and the kernel says what it cannot do.

use std::collections::BTreeMap;
use std::fs;
use std::iter;
use std::os::fd::AsRawFd;

use engine::{EngineError, Result};
use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_packet_netfilter::nftables::InetHookNumber;

use crate::firewall::Firewall;
use crate::links::{self, Links, VethEnd};
use crate::namespaces;
use crate::nftables::{ChainFound, Tables};
use crate::records::VpcRecord;
use crate::routing;
use crate::uplink::{FORWARDING_SWITCH, NAME_PREFIX, TABLE_PREFIX};
use crate::vpc;

/// How bad a [`Finding`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// Networks work, but something may not.
    Warning,
    /// There can be no network.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    /// What was looked at, as in `nftables`.
    pub what: &'static str,
    pub message: String,
    /// What to do about it; `None` when nothing is to be done.
    pub fix: Option<String>,
}

/// Looks at the machine, from the calling thread's namespace. Changes nothing.
pub fn doctor() -> Vec<Finding> {
    let mut findings = Vec::new();
    let namespace = namespaces::apart(|| Ok(()));
    let possible = namespace.is_ok();
    findings.push(finding(
        "network namespaces",
        namespace,
        "run as root, on a kernel with network namespaces (CONFIG_NET_NS)",
    ));
    if possible {
        findings.push(finding(
            "veth",
            namespaces::apart(try_veth),
            "load the module: `modprobe veth`",
        ));
        findings.push(finding(
            "policy routing",
            namespaces::apart(try_routing),
            "use a kernel with policy routing (CONFIG_IP_MULTIPLE_TABLES)",
        ));
        findings.push(finding(
            "nftables with connection tracking",
            namespaces::apart(try_firewall),
            "load the modules: `modprobe -a nf_tables nf_conntrack nft_ct nft_masq nft_chain_nat`",
        ));
    }
    findings.push(forwarding());
    if possible {
        findings.extend(strange_rules());
    }
    findings
}

fn finding(what: &'static str, tried: Result<()>, fix: &str) -> Finding {
    match tried {
        Ok(()) => Finding {
            severity: Severity::Fine,
            what,
            message: "works".into(),
            fix: None,
        },
        Err(error) => Finding {
            severity: Severity::Broken,
            what,
            message: error.chain(),
            fix: Some(fix.to_owned()),
        },
    }
}

fn try_veth() -> Result<()> {
    let here = namespaces::own()?;
    let end = |name, index, last| VethEnd {
        name,
        index: Some(index),
        mac: [2, 0, 0, 0, 0, last],
    };
    let pair = links::make_veth(
        &end("here", 100, 1),
        &end("there", 101, 2),
        here.as_raw_fd(),
    );
    Ok(Links::open()?.change(vec![pair])?)
}

fn try_routing() -> Result<()> {
    vpc::prepare_router()?;
    let record = VpcRecord {
        spec: vpc::empty("doctor"),
        table_numbers: BTreeMap::new(),
        uplink: None,
    };
    routing::converge(&mut Links::open()?, &record)
}

fn try_firewall() -> Result<()> {
    let mut firewall = Firewall::open()?;
    Ok(firewall.converge(&vpc::empty("doctor"), iter::empty())?)
}

/// Forwarding is switched on with the first way out; it is said here because it is the machine's.
fn forwarding() -> Finding {
    const WHAT: &str = "forwarding";
    let is = |severity, message: &str, fix: Option<&str>| Finding {
        severity,
        what: WHAT,
        message: message.to_owned(),
        fix: fix.map(str::to_owned),
    };
    match fs::read_to_string(FORWARDING_SWITCH) {
        Ok(value) if value.trim() == "1" => is(
            Severity::Fine,
            "the machine passes IPv4 packets on (`net.ipv4.ip_forward` is 1)",
            None,
        ),
        Ok(_) => is(
            Severity::Fine,
            "the machine passes no IPv4 packets on; `net.ipv4.ip_forward` is set to 1 when the first network gets a way out",
            None,
        ),
        Err(error) => is(
            Severity::Broken,
            &format!("`{FORWARDING_SWITCH}` cannot be read: {error}"),
            Some("mount `/proc`"),
        ),
    }
}

/// Rules of others that drop what networks send out.
fn strange_rules() -> Vec<Finding> {
    const WHAT: &str = "other firewalls";
    let warning = |message: String, fix: String| Finding {
        severity: Severity::Warning,
        what: WHAT,
        message,
        fix: Some(fix),
    };
    let let_through = format!(
        "`iptables -I FORWARD -i {NAME_PREFIX}+ -j ACCEPT; iptables -I FORWARD -o {NAME_PREFIX}+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`"
    );
    let mut findings = match dropping_chains() {
        Ok(chains) => chains
            .into_iter()
            .map(|chain| {
                let message = format!(
                    "the chain `{}` of the table `{}` drops forwarded packets unless its rules say otherwise, so networks may have no way out",
                    chain.name, chain.table
                );
                warning(message, let_through.clone())
            })
            .collect(),
        Err(error) => vec![warning(
            format!("other firewalls' rules cannot be read: {}", error.chain()),
            "load the module: `modprobe nf_tables`".into(),
        )],
    };
    let legacy = fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    if legacy.lines().any(|table| table == "filter") {
        findings.push(warning(
            "there are rules of the old iptables, which cannot be seen from here; should they drop forwarded packets, networks have no way out".into(),
            format!("`iptables-legacy -S FORWARD` shows them; to let networks through: {let_through}"),
        ));
    }
    if findings.is_empty() {
        findings.push(Finding {
            severity: Severity::Fine,
            what: WHAT,
            message: "none drops forwarded packets".into(),
            fix: None,
        });
    }
    findings
}

fn dropping_chains() -> Result<Vec<ChainFound>, EngineError> {
    const DROP_POLICY: u32 = 0;
    let forward: u32 = InetHookNumber::Forward.into();
    let mut tables = Tables::open()?;
    let mut chains = tables.chains(NetfilterProtoFamily::Inet)?;
    chains.extend(tables.chains(NetfilterProtoFamily::IPv4)?);
    chains.retain(|chain| {
        chain.hook == Some(forward)
            && chain.policy == Some(DROP_POLICY)
            && !chain.table.starts_with(TABLE_PREFIX)
    });
    Ok(chains)
}
