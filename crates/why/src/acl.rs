//! A subnet's network ACL: its entries are asked in their order, and the first that is about a packet decides
//! (VPC User Guide, "Network ACL rules").

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::facts::{EVERYWHERE, base_range};
use crate::report::Place;

/// The port that answers come to: one of those that every system takes for its own end of a connection.
pub const EPHEMERAL_PORT: u16 = 50_000;

/// How the ports of answers are told to people.
pub const EPHEMERAL_SHOWN: &str = "1024-65535";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AclDirection {
    In,
    Out,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AclFacts {
    pub id: String,
    pub entries: Vec<AclEntryFacts>,
    #[serde(skip)]
    pub place: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AclEntryFacts {
    pub number: i64,
    pub direction: AclDirection,
    pub allows: bool,
    /// `-1`, or the number of a protocol.
    pub protocol: String,
    pub from_port: i32,
    pub to_port: i32,
    pub range: String,
}

/// Who is at the other end of a packet.
#[derive(Debug, Clone, Copy)]
pub enum AclPeer {
    Address(IpAddr),
    /// Somebody in the internet: only what is about everybody is about them for sure.
    Anybody,
}

impl AclFacts {
    /// What becomes of TCP to a port, in or out. Err: it is stopped, by the entry that is named.
    pub fn asked(
        &self,
        direction: AclDirection,
        port: u16,
        peer: AclPeer,
    ) -> Result<String, String> {
        let mut concerned: Vec<&AclEntryFacts> = (self.entries.iter())
            .filter(|it| it.direction == direction && it.covers_tcp(port) && it.is_about(peer))
            .collect();
        concerned.sort_by_key(|it| it.number);
        match concerned.first() {
            Some(entry) if entry.allows => Ok(entry.shown()),
            Some(entry) => Err(entry.shown()),
            None => Err("rule *: all traffic is denied".to_owned()),
        }
    }

    /// The same of a connection that begins here, with its answers; what stops it, and in which direction.
    pub fn lets_connect(&self, port: u16, peer: AclPeer) -> Result<(), (AclDirection, String)> {
        let out = self.asked(AclDirection::Out, port, peer);
        out.map_err(|it| (AclDirection::Out, it))?;
        let back = self.asked(AclDirection::In, EPHEMERAL_PORT, peer);
        back.map_err(|it| (AclDirection::In, it)).map(|_| ())
    }
}

impl AclEntryFacts {
    fn covers_tcp(&self, port: u16) -> bool {
        let port = i32::from(port);
        match self.protocol.as_str() {
            "-1" => true,
            "6" | "tcp" => self.from_port <= port && port <= self.to_port,
            _ => false,
        }
    }

    fn is_about(&self, peer: AclPeer) -> bool {
        match peer {
            AclPeer::Anybody => self.range == EVERYWHERE,
            AclPeer::Address(IpAddr::V4(address)) => base_range(&self.range)
                .is_some_and(|(first, last)| (first..=last).contains(&address.to_bits())),
            AclPeer::Address(IpAddr::V6(_)) => false,
        }
    }

    /// As people say it: `rule 100: deny tcp 443 to 0.0.0.0/0`.
    pub fn shown(&self) -> String {
        let (verb, towards) = (
            if self.allows { "allow" } else { "deny" },
            match self.direction {
                AclDirection::In => "from",
                AclDirection::Out => "to",
            },
        );
        let what = match (self.protocol.as_str(), self.from_port == self.to_port) {
            ("-1", _) => "all traffic".to_owned(),
            ("6" | "tcp", true) => format!("tcp {}", self.from_port),
            ("6" | "tcp", false) => format!("tcp {}-{}", self.from_port, self.to_port),
            (other, _) => format!("protocol {other}"),
        };
        format!(
            "rule {}: {verb} {what} {towards} {}",
            self.number, self.range
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: i64, direction: AclDirection, allows: bool, range: &str) -> AclEntryFacts {
        AclEntryFacts {
            number,
            direction,
            allows,
            protocol: "6".into(),
            from_port: 443,
            to_port: 443,
            range: range.into(),
        }
    }

    #[test]
    fn the_first_entry_that_is_about_a_packet_decides() {
        let acl = AclFacts {
            id: "acl-1".into(),
            entries: vec![
                entry(200, AclDirection::Out, true, EVERYWHERE),
                entry(100, AclDirection::Out, false, "10.0.0.0/8"),
                entry(90, AclDirection::In, false, EVERYWHERE),
            ],
            place: None,
        };
        let asked = |port, peer| acl.asked(AclDirection::Out, port, peer);
        let inside = AclPeer::Address("10.1.2.3".parse().unwrap());
        let denied = "rule 100: deny tcp 443 to 10.0.0.0/8".to_owned();
        assert_eq!(asked(443, inside), Err(denied));
        assert_eq!(
            asked(443, AclPeer::Anybody).as_deref(),
            Ok("rule 200: allow tcp 443 to 0.0.0.0/0")
        );
        assert!(asked(80, AclPeer::Anybody).is_err());
        let back = acl.lets_connect(443, AclPeer::Anybody);
        assert_eq!(
            back,
            Err((AclDirection::In, "rule *: all traffic is denied".to_owned()))
        );
    }
}
