//! `Fn::Cidr`.

use std::net::IpAddr;

use crate::limits::CIDR_BLOCKS_MAX;

/// How many bits of hosts a block has when the template does not say it: `/24`.
pub const BITS_DEFAULT: u64 = 8;

/// Cuts the first `count` blocks with `bits` host bits each out of `block`.
pub fn blocks(block: &str, count: u64, bits: u32) -> Result<Vec<String>, String> {
    let malformed = || format!("Fn::Cidr cannot read the block {block}");
    let (address, prefix) = block.split_once('/').ok_or_else(malformed)?;
    let address: IpAddr = address.trim().parse().map_err(|_| malformed())?;
    let prefix: u32 = prefix.trim().parse().map_err(|_| malformed())?;
    let (width, start) = match address {
        IpAddr::V4(address) => (32, u128::from(u32::from(address))),
        IpAddr::V6(address) => (128, u128::from(address)),
    };
    if prefix > width {
        return Err(malformed());
    }
    if !(1..=CIDR_BLOCKS_MAX).contains(&count) {
        return Err(format!(
            "Fn::Cidr makes between 1 and {CIDR_BLOCKS_MAX} blocks, not {count}"
        ));
    }
    let room_bits = width - prefix;
    if bits == 0 || bits > room_bits {
        return Err(format!(
            "Fn::Cidr cannot make blocks of {bits} bits out of {block}"
        ));
    }
    let available = 1u128.checked_shl(room_bits - bits).unwrap_or(u128::MAX);
    if u128::from(count) > available {
        return Err(format!(
            "Fn::Cidr cannot make {count} blocks of {bits} bits out of {block}"
        ));
    }
    let first = match room_bits {
        128 => 0,
        _ => (start >> room_bits) << room_bits,
    };
    let text = |index: u64| {
        let at = first + (u128::from(index) << (bits % 128));
        let address = match address {
            IpAddr::V4(_) => IpAddr::from(u32::try_from(at).unwrap_or(u32::MAX).to_be_bytes()),
            IpAddr::V6(_) => IpAddr::from(at.to_be_bytes()),
        };
        format!("{address}/{}", width - bits)
    };
    Ok((0..count).map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn blocks_are_cut_from_the_front() {
        assert_eq!(
            blocks("10.0.0.0/16", 3, 8).unwrap(),
            ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]
        );
        assert_eq!(
            blocks("10.0.3.7/24", 2, 5).unwrap(),
            ["10.0.3.0/27", "10.0.3.32/27"]
        );
        assert_eq!(
            blocks("2001:db8::/56", 2, 64).unwrap(),
            ["2001:db8::/64", "2001:db8:0:1::/64"]
        );
        assert_eq!(blocks("::/0", 1, 128).unwrap(), ["::/0"]);
        assert_eq!(blocks("0.0.0.0/0", 1, 32).unwrap(), ["0.0.0.0/0"]);
        for (block, count, bits) in [
            ("10.0.0.0/24", 2, 8),
            ("10.0.0.0/24", 0, 4),
            ("10.0.0.0/24", 257, 1),
            ("10.0.0.0/24", 1, 0),
            ("10.0.0.0/24", 1, 9),
            ("10.0.0.0/33", 1, 1),
            ("10.0.0.0", 1, 1),
            ("x/8", 1, 1),
        ] {
            assert!(
                blocks(block, count, bits).is_err(),
                "{block} {count} {bits}"
            );
        }
    }
}
