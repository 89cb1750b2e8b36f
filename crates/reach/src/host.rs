//! The server that an address of HTTP leads to, read once and in one way.
//!
//! Programs read the same address differently: `127.1`, `0x7f.1`, `2130706433`, `%31` and full-width
//! digits are hosts to some and not to others. What two of them could read differently is refused here,
//! so that what was checked is what is connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use engine::{EngineError, Result};

/// The longest name that DNS has.
const HOST_BYTES_MAX: usize = 253;

/// A server: whether it is spoken to in secret, its host, its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    secure: bool,
    host: String,
    port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.literal() {
            Some(IpAddr::V6(it)) => write!(f, "[{it}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Target {
    /// Of a URL's `http://host:port/…`.
    pub fn of(url: &str) -> Result<Self> {
        let bad = || EngineError::invalid(format!("`{url}` does not lead to a server of HTTP"));
        let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(bad()),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = &rest[..end];
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let digits = port.bytes().all(|it| it.is_ascii_digit());
                let port = port.parse().ok().filter(|_| digits).ok_or_else(bad)?;
                (host, port)
            }
            _ if secure => (authority, 443),
            _ => (authority, 80),
        };
        Self::new(secure, host, port)
    }

    pub fn new(secure: bool, host: &str, port: u16) -> Result<Self> {
        let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let host = inner.unwrap_or(host).to_ascii_lowercase();
        let known = match (host.parse(), inner) {
            (Ok(IpAddr::V6(_)), _) => true,
            (_, Some(_)) => false,
            (Ok(IpAddr::V4(_)), None) => true,
            (Err(_), None) => is_name(&host),
        };
        match known {
            true => Ok(Self { secure, host, port }),
            false => Err(EngineError::invalid(format!(
                "`{host}` is not a host's name"
            ))),
        }
    }

    pub fn host(&self) -> &str {
        &self.host
    }
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, where the host is one and no name.
    pub fn literal(&self) -> Option<IpAddr> {
        let v4 = self.host.parse::<Ipv4Addr>().map(IpAddr::V4);
        v4.or_else(|_| self.host.parse::<Ipv6Addr>().map(IpAddr::V6))
            .ok()
    }

    /// The same server; a login for one is not sent to it in the clear for it.
    pub(crate) fn same_place(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }
}

/// A name of DNS that nobody reads as a number. Underscores are in use, though no host has one.
fn is_name(host: &str) -> bool {
    let plain = |it: u8| it.is_ascii_alphanumeric() || it == b'-' || it == b'_';
    let label = |it: &str| !it.is_empty() && it.len() <= 63 && it.bytes().all(plain);
    let last = host.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|it| it.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|it| it.bytes().all(|it| it.is_ascii_hexdigit()));
    host.len() <= HOST_BYTES_MAX && host.split('.').all(label) && !number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for (url, wanted) in [
            ("https://Example.com/a/b.git", "example.com:443"),
            ("http://example.com", "example.com:80"),
            ("http://127.0.0.1:8080?x", "127.0.0.1:8080"),
            ("http://[::1]:8080/", "[::1]:8080"),
            ("https://[2001:DB8::1]/", "[2001:db8::1]:443"),
            ("http://a_b.example:1/", "a_b.example:1"),
        ] {
            assert_eq!(Target::of(url).unwrap().to_string(), wanted);
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for url in [
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://a.0x7f/",
            "http://127.0.0.1./",
            "http://localhost./",
            "http://%31%32%37.0.0.1/",
            "http://１２７.0.0.1/",
            "http://127。0。0。1/",
            "http://a@127.0.0.1/",
            "http://good\\@127.0.0.1/",
            "http://[127.0.0.1]/",
            "http://[::1%25lo]/",
            "http://[::1/",
            "http:///a",
            "http://:80/",
            "http://a..b/",
            "http://host:+80/",
            "http://host:99999/",
            "http://host:/",
            "ftp://host/",
            "host/a",
        ] {
            assert!(Target::of(url).is_err(), "{url}");
        }
    }
}
