//! What an address is, when it is not simply one of the network's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use engine::{EngineError, Result};

/// Why nobody but the owner may send the daemon to an address.
pub fn objection(address: IpAddr, own: &[IpAddr]) -> Option<&'static str> {
    let address = innermost(address);
    if own.iter().any(|it| innermost(*it) == address) {
        return Some("an address of this machine");
    }
    match address {
        IpAddr::V4(it) => of_v4(it),
        IpAddr::V6(it) => of_v6(it),
    }
}

fn of_v4(it: Ipv4Addr) -> Option<&'static str> {
    match it.octets() {
        // Linux takes all of 0.0.0.0/8 for "this machine, on this network".
        [0, ..] => Some("an address that stands for this machine"),
        [127, ..] => Some("a loopback address"),
        [169, 254, ..] => Some("a link-local address"),
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..] => Some("a reserved address"),
        _ => None,
    }
}

fn of_v6(it: Ipv6Addr) -> Option<&'static str> {
    match it.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an address that stands for this machine"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        // fe80::/10, and the site-local fec0::/10 of old.
        [0xfe80..=0xfeff, ..] => Some("a link-local address"),
        // Where EC2 has its own services for an instance.
        [0xfd00, 0x0ec2, ..] => Some("a link-local address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        _ => None,
    }
}

/// The IPv4 address that an IPv6 one is only another form of.
fn innermost(address: IpAddr) -> IpAddr {
    let IpAddr::V6(it) = address else {
        return address;
    };
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match it.segments() {
        // `::` and `::1` are IPv6's own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        // Mapped, compatible, translated (RFC 6052), 6to4.
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // Translated by a prefix of the network's own (RFC 8215), and by hosts (RFC 2765).
        [0x64, 0xff9b, 1, _, _, _, high, low] => v4(high, low),
        [0, 0, 0, 0, 0xffff, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => address,
    }
}

/// Every address that the machine has now: they come and go with its networks.
pub fn own_addresses() -> Result<Vec<IpAddr>> {
    let failed =
        |error| EngineError::machine("cannot list this machine's addresses").because(error);
    let interfaces = nix::ifaddrs::getifaddrs().map_err(failed)?;
    let address = |it: nix::ifaddrs::InterfaceAddress| {
        let it = it.address?;
        let v4 = it.as_sockaddr_in().map(|it| IpAddr::V4(it.ip()));
        v4.or_else(|| it.as_sockaddr_in6().map(|it| IpAddr::V6(it.ip())))
    };
    Ok(interfaces.filter_map(address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_own_address_is_one_in_every_form() {
        let own: Vec<IpAddr> = vec!["198.51.100.4".parse().unwrap()];
        for form in [
            "198.51.100.4",
            "::ffff:198.51.100.4",
            "64:ff9b::198.51.100.4",
            "64:ff9b:1::198.51.100.4",
            "64:ff9b:1:a:b:c:198.51.100.4",
            "::ffff:0:198.51.100.4",
            "2002:c633:6404::1",
        ] {
            assert!(objection(form.parse().unwrap(), &own).is_some(), "{form}");
        }
        assert!(objection("198.51.100.5".parse().unwrap(), &own).is_none());
    }
}
