//! Links of Docker's default network: what one container calls another, and what it is told of it in variables.

use std::net::Ipv4Addr;

/// `name:alias`, or a name that is both.
pub fn read(text: &str) -> (&str, &str) {
    let (name, alias) = text.split_once(':').unwrap_or((text, text));
    // As `inspect` shows it, the alias has the container's own name in front.
    let alias = alias.rsplit('/').next().unwrap_or(alias);
    (name.trim_start_matches('/'), alias)
}

/// Whether a link has names on both sides.
pub fn is_link(text: &str) -> bool {
    let (name, alias) = read(text);
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
    let is_name = |name: &str| !name.is_empty() && name.len() <= 253 && name.bytes().all(plain);
    is_name(name) && is_name(alias)
}

/// A container that another is linked to.
pub struct Linked<'a> {
    /// None: it has none now.
    pub address: Option<Ipv4Addr>,
    /// Its ports, by protocol (`tcp`).
    pub ports: Vec<(u16, &'a str)>,
    /// Its own variables, as `NAME=value`.
    pub env: Vec<&'a str>,
}

/// The variables by which `name` finds the container that it calls `alias`.
pub fn variables(name: &str, alias: &str, linked: Linked<'_>) -> Vec<String> {
    let upper = alias.to_ascii_uppercase().replace('-', "_");
    let mut variables = Vec::new();
    let mut ports = linked.ports;
    ports.sort_by_key(|(number, protocol)| (*protocol != "tcp", *number));
    if let Some(address) = linked.address {
        for (index, (port, protocol)) in ports.into_iter().enumerate() {
            let url = format!("{protocol}://{address}:{port}");
            let name = format!("{upper}_PORT_{port}_{}", protocol.to_ascii_uppercase());
            if index == 0 {
                variables.push(format!("{upper}_PORT={url}"));
            }
            variables.push(format!("{name}={url}"));
            variables.push(format!("{name}_ADDR={address}"));
            variables.push(format!("{name}_PORT={port}"));
            variables.push(format!("{name}_PROTO={protocol}"));
        }
    }
    variables.push(format!("{upper}_NAME=/{name}/{alias}"));
    let is_own = |it: &&str| !it.starts_with("HOME=") && !it.starts_with("PATH=");
    let shown = linked.env.into_iter().filter(is_own);
    variables.extend(shown.map(|it| format!("{upper}_ENV_{it}")));
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_names() {
        for right in ["db:database", "db", "/db:/web/database"] {
            assert!(is_link(right), "{right}");
        }
        for wrong in ["", ":", "db:", "db:a b", "db:a\n1.1.1.1 x"] {
            assert!(!is_link(wrong), "{wrong}");
        }
        assert_eq!(read("/db:database"), ("db", "database"));
        assert_eq!(read("/db:/web/database"), ("db", "database"));
        assert_eq!(read("db"), ("db", "db"));
    }
}
