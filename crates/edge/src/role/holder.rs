//! Which program has a port that a balancer needs: who hears that a port is taken wants to know by
//! whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

/// The program that listens on a port in the calling thread's network namespace, in words: its name
/// and process id. `None` when it cannot be found, as in another process namespace.
pub fn holder_of(address: IpAddr, port: u16) -> Option<String> {
    let inode = ["tcp", "tcp6"].iter().find_map(|table| {
        let sockets = std::fs::read_to_string(format!("/proc/thread-self/net/{table}")).ok()?;
        listening_inode(&sockets, address, port)
    })?;
    let wanted = format!("socket:[{inode}]");
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|it| it.parse().ok()) else {
            continue;
        };
        if has_open(&process.path(), &wanted) {
            return Some(name_of(&process.path(), pid));
        }
    }
    None
}

fn has_open(process: &Path, wanted: &str) -> bool {
    let Ok(open) = std::fs::read_dir(process.join("fd")) else {
        return false;
    };
    open.flatten()
        .any(|it| std::fs::read_link(it.path()).is_ok_and(|it| it.as_os_str() == wanted))
}

fn name_of(process: &Path, pid: u32) -> String {
    let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
    // A program may call itself anything.
    let name: String = name.trim().chars().filter(|it| !it.is_control()).collect();
    format!("`{name}` (process {pid})")
}

/// The inode of the socket that has the port, from the lines of `/proc/net/tcp` or `tcp6`.
fn listening_inode(sockets: &str, address: IpAddr, port: u16) -> Option<u64> {
    const LISTENS: &str = "0A";
    let clashes =
        |found: IpAddr| found == address || found.is_unspecified() || address.is_unspecified();
    sockets.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (Some(&local), Some(&state), Some(inode)) =
            (fields.get(1), fields.get(3), fields.get(9))
        else {
            return None;
        };
        let (found, found_port) = local.split_once(':')?;
        let same_port = u16::from_str_radix(found_port, 16).is_ok_and(|it| it == port);
        (state == LISTENS && same_port && clashes(parse_address(found)?))
            .then(|| inode.parse().ok())?
    })
}

/// Words of 32 bits in the machine's own order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    let mut bytes = Vec::with_capacity(16);
    for at in (0..hex.len()).step_by(8) {
        let word = u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes)
            .ok()
            .map(|it| Ipv4Addr::from(it).into()),
        16 => {
            let address = Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?);
            Some(IpAddr::V6(address).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_found_by_name() {
        for (bound, asked) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("127.0.0.1:0", "0.0.0.0"),
            ("0.0.0.0:0", "127.0.0.7"),
            ("[::]:0", "127.0.0.7"),
        ] {
            let socket = std::net::TcpListener::bind(bound).unwrap();
            let port = socket.local_addr().unwrap().port();
            let found = holder_of(asked.parse().unwrap(), port).unwrap();
            let own = format!("(process {})", std::process::id());
            assert!(found.ends_with(&own), "{found}");
            drop(socket);
            assert_eq!(holder_of(asked.parse().unwrap(), port), None);
        }
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert_eq!(holder_of("127.0.0.2".parse().unwrap(), port), None);
    }
}
