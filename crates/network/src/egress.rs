//! Whether an interface's groups, and its subnet's guards, let HTTPS out of its network: registries and the
//! cloud's own services are asked with it, from the task's place in the network.

use engine::{InterfaceSpec, Peer, VpcSpec};

use crate::guards;

const HTTPS: u16 = 443;

pub fn lets_https_out(vpc: &VpcSpec, interface: &InterfaceSpec) -> bool {
    groups_let_https_out(vpc, &interface.groups)
        && guards::lets_tcp_out(vpc, &interface.subnet, HTTPS)
}

fn groups_let_https_out(vpc: &VpcSpec, groups: &[String]) -> bool {
    let own = vpc.groups.iter().filter(|it| groups.contains(&it.id));
    own.flat_map(|group| &group.egress).any(|rule| {
        let outside = match &rule.peer {
            Peer::Range(range) => !vpc.ranges.iter().any(|own| own.contains(range)),
            Peer::Group(_) => false,
        };
        rule.protocol.has_tcp_to(HTTPS) && outside
    })
}

#[cfg(test)]
mod tests {
    use engine::{GroupRule, GroupSpec, Protocol};

    use super::*;

    fn check(protocol: Protocol, peer: &str, expect: bool) {
        let peer = match peer.parse() {
            Ok(range) => Peer::Range(range),
            Err(_) => Peer::Group(peer.into()),
        };
        let egress = vec![GroupRule { protocol, peer }];
        let vpc = VpcSpec {
            id: "vpc".into(),
            ranges: vec!["10.0.0.0/16".parse().unwrap()],
            subnets: vec![],
            route_tables: vec![],
            groups: vec![GroupSpec {
                id: "open".into(),
                ingress: vec![],
                egress: egress.clone(),
            }],
            guards: vec![],
            resolver: None,
            machine: None,
            behind: None,
            unknown: vec![],
        };
        assert_eq!(
            groups_let_https_out(&vpc, &["open".into()]),
            expect,
            "{egress:?}"
        );
        assert!(!groups_let_https_out(&vpc, &["other".into()]));
    }

    #[test]
    fn only_https_to_the_outside_counts() {
        let https = Protocol::Tcp { from: 443, to: 443 };
        check(Protocol::All, "0.0.0.0/0", true);
        check(https, "203.0.113.0/24", true);
        check(Protocol::Tcp { from: 80, to: 80 }, "0.0.0.0/0", false);
        check(Protocol::Udp { from: 0, to: 65535 }, "0.0.0.0/0", false);
        check(https, "10.0.1.0/24", false);
        check(https, "a-group", false);
    }
}
