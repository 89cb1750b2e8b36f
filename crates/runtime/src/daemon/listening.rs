//! Where a task's programs accept connections: read from the kernel's tables of their namespace.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// The kernel's number for a socket that listens.
const LISTENS: &str = "0A";
/// More than any program listens on; the table of one that opens thousands is not worth reading.
const ADDRESSES_MAX: usize = 32;

/// The addresses at which the namespace of a process accepts connections.
pub fn addresses(pid: i32) -> BTreeSet<SocketAddr> {
    let mut found = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        // A process that has just ended has no table: then nothing listens.
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        found.extend(text.lines().skip(1).filter_map(listener));
    }
    found.into_iter().take(ADDRESSES_MAX).collect()
}

/// `sl local_address rem_address st …`, the address in the machine's byte order.
fn listener(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace().skip(1);
    let (local, _, state) = (words.next()?, words.next()?, words.next()?);
    if state != LISTENS {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let bytes: Vec<u8> = (0..address.len() / 8)
        .map(|it| u32::from_str_radix(address.get(it * 8..it * 8 + 8)?, 16).ok())
        .collect::<Option<Vec<u32>>>()?
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect();
    let address = match bytes.len() {
        4 => Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into(),
        16 => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_understood() {
        let table = [
            (
                "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000",
                Some("127.0.0.1:8080"),
            ),
            (
                "   1: 00000000000000000000000000000000:270F 00000000000000000000000000000000:0000 0A 0",
                Some("[::]:9999"),
            ),
            // A connection, not a listener.
            (
                "   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000",
                None,
            ),
            ("nonsense", None),
        ];
        for (line, expect) in table {
            let expect = expect.map(|it| it.parse().unwrap());
            assert_eq!(listener(line), expect, "{line}");
        }
    }
}
