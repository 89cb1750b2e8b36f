//! Who listens at an address: found in `/proc`, where the kernel tells it.

use std::fs;
use std::net::{IpAddr, SocketAddr};

/// A process that listens.
pub struct Holder {
    pub id: u32,
    /// Its program and arguments, separated by spaces.
    pub command: String,
}

/// Of the kernel's states of a socket, the one that listens.
const LISTENS: &str = "0A";

/// None when nobody does, or when it is in another network namespace or another user's process.
pub fn find(address: SocketAddr) -> Option<Holder> {
    let sockets = fs::read_to_string("/proc/net/tcp").ok()?;
    let wanted = [address.ip(), IpAddr::from([0, 0, 0, 0])];
    let wanted = wanted.map(|ip| written(ip, address.port()));
    let socket = sockets.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = (*fields.get(1)?).to_owned();
        let listens = fields.get(3) == Some(&LISTENS);
        (listens && wanted.contains(&Some(local))).then(|| format!("socket:[{}]", fields[9]))
    })?;
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let id = process.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        open.find(|it| fs::read_link(it.path()).is_ok_and(|to| to.as_os_str() == &*socket))?;
        let command = fs::read(process.path().join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        Some(Holder {
            id,
            command: command.trim_end().to_owned(),
        })
    })
}

/// An address as `/proc/net/tcp` has it: the bytes of the address in the machine's order.
fn written(ip: IpAddr, port: u16) -> Option<String> {
    let IpAddr::V4(ip) = ip else { return None };
    Some(format!(
        "{:08X}:{port:04X}",
        u32::from_ne_bytes(ip.octets())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_its_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(find(address).unwrap().id, std::process::id());
        drop(listener);
        assert!(find(address).is_none());
    }
}
