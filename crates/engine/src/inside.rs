//! What containers find at a link-local address: a door of their own. It is beside their network
//! namespace and not in it, so every address and port in there is theirs.

use std::net::{Ipv4Addr, SocketAddrV4};

use async_trait::async_trait;

use crate::Result;

/// Where the door is, for every interface that has one. Link-local: no network has the address itself.
pub const INSIDE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 170, 2), 80);

/// Where a machine of its own asks what it is, and who it may act as. Link-local as well.
pub const METADATA: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 254), 80);

#[async_trait]
pub trait Inside: Send + Sync {
    /// Answers at [`INSIDE`] whoever is in the namespace of an interface. Does nothing when it is open already;
    /// it does not outlive this process, so whoever has containers opens it again after a start.
    async fn open(&self, interface: &str) -> Result<()> {
        self.open_at(interface, INSIDE).await
    }
    /// The same at another address: an interface may have more than one door.
    async fn open_at(&self, interface: &str, at: SocketAddrV4) -> Result<()>;
    /// Closes all of them. Succeeds when none is open.
    fn close(&self, interface: &str);
}
