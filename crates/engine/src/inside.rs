//! What containers find inside their own network namespace: a door at a link-local address.

use std::net::{Ipv4Addr, SocketAddrV4};

use async_trait::async_trait;

use crate::Result;

/// Where the door is, in every namespace that has one. Link-local: no network is asked for the way.
pub const INSIDE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 170, 2), 80);

#[async_trait]
pub trait Inside: Send + Sync {
    /// Answers at [`INSIDE`] in the namespace of an interface. Does nothing when it is open already;
    /// it does not outlive this process, so whoever has containers opens it again after a start.
    async fn open(&self, interface: &str) -> Result<()>;
    /// Succeeds when it is not open.
    fn close(&self, interface: &str);
}
