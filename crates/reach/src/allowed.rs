//! What the owner allows: `10.0.0.0/8`, `127.0.0.1`, `127.0.0.1:5000`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use ipnet::IpNet;

/// Addresses, or one port of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    Network(IpNet),
    Place(SocketAddr),
}

/// The text is neither.
#[derive(Debug)]
pub struct NotAllowed(String);

impl fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = &self.0;
        write!(
            f,
            "`{text}` is no address (127.0.0.1), network (10.0.0.0/8) or address with a port \
             (127.0.0.1:5000)"
        )
    }
}

impl std::error::Error for NotAllowed {}

impl FromStr for Allowed {
    type Err = NotAllowed;
    fn from_str(text: &str) -> Result<Self, NotAllowed> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        let place = text.parse().map_err(|_| NotAllowed(text.to_owned()))?;
        Ok(Self::Place(place))
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(it) => it.fmt(f),
            Self::Place(it) => it.fmt(f),
        }
    }
}

impl Allowed {
    pub fn covers(&self, address: SocketAddr) -> bool {
        match self {
            Self::Network(it) => it.contains(&address.ip()),
            Self::Place(it) => *it == address,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_addresses_and_ports_are_read_and_written() {
        for (text, good, bad) in [
            ("10.1.0.0/16", "10.1.2.3:80", "10.2.0.0:80"),
            ("127.0.0.1", "127.0.0.1:80", "127.0.0.2:80"),
            ("127.0.0.1:5000", "127.0.0.1:5000", "127.0.0.1:80"),
            ("[::1]:5000", "[::1]:5000", "127.0.0.1:5000"),
        ] {
            let allowed: Allowed = text.parse().unwrap();
            assert!(allowed.covers(good.parse().unwrap()), "{text}");
            assert!(!allowed.covers(bad.parse().unwrap()), "{text}");
            assert_eq!(allowed.to_string().parse::<Allowed>().unwrap(), allowed);
        }
        for bad in ["", "localhost", "10.0.0.0/33", "127.0.0.1:x", "*"] {
            bad.parse::<Allowed>().unwrap_err();
        }
    }
}
