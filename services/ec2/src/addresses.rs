//! Addresses of a subnet: AWS keeps the first four and the last one
//! (VPC User Guide, "Subnet CIDR blocks").

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

const RESERVED_FIRST: u32 = 4;
const RESERVED_LAST: u32 = 1;

/// How many addresses interfaces can have.
pub fn capacity(range: Ipv4Net) -> u32 {
    size(range).saturating_sub(RESERVED_FIRST + RESERVED_LAST)
}

fn size(range: Ipv4Net) -> u32 {
    1u32.checked_shl(32 - u32::from(range.prefix_len()))
        .unwrap_or(u32::MAX)
}

/// Whether an interface may have this address.
pub fn usable(range: Ipv4Net, address: Ipv4Addr) -> bool {
    let offset = u32::from(address).wrapping_sub(u32::from(range.network()));
    range.contains(&address) && offset >= RESERVED_FIRST && offset < size(range) - RESERVED_LAST
}

/// A free address. The search begins at a place that `seed` gives, so that an address is not used
/// again at once after it was given back: stale connections would reach the next owner.
pub fn choose<E>(
    range: Ipv4Net,
    seed: u64,
    is_used: impl Fn(Ipv4Addr) -> Result<bool, E>,
) -> Result<Option<Ipv4Addr>, E> {
    let count = capacity(range);
    if count == 0 {
        return Ok(None);
    }
    let first = u32::from(range.network()) + RESERVED_FIRST;
    let start = u32::try_from(seed % u64::from(count)).unwrap_or(0);
    for step in 0..count {
        let address = Ipv4Addr::from(first + (start + step) % count);
        if !is_used(address)? {
            return Ok(Some(address));
        }
    }
    Ok(None)
}

/// A locally administered address that follows from the IP address: unique within the VPC.
pub fn mac(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x0a, a, b, c, d]
}

pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The domain of the names that addresses have within a VPC.
/// <https://docs.aws.amazon.com/vpc/latest/userguide/vpc-dns.html>
pub fn private_domain(region: &str) -> String {
    match region {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    }
}

/// Where a VPC's resolver is: two above the first address of its range.
pub fn resolver(range: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(range.network()).wrapping_add(2))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_subnet_gives_all_its_addresses_and_none_of_awss() {
        let range: Ipv4Net = "10.0.0.0/28".parse().unwrap();
        let mut used = BTreeSet::new();
        let free = |used: &BTreeSet<Ipv4Addr>| {
            choose(range, 7, |it| Ok::<_, ()>(used.contains(&it))).unwrap()
        };
        while let Some(address) = free(&used) {
            assert!(usable(range, address) && used.insert(address));
        }
        assert_eq!(used.len(), 11);
        assert!(
            !usable(range, "10.0.0.3".parse().unwrap())
                && !usable(range, "10.0.0.15".parse().unwrap())
        );
    }
}
