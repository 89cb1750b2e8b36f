//! Published UDP ports: what comes from one sender goes through a socket of its own in the container's
//! namespace, and what comes back there goes to that sender.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::Network;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::limits::{DATAGRAM_BYTES_MAX, SENDER_IDLE, SENDERS_MAX};
use crate::ports::Address;

type Senders = Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>>;

/// Carries datagrams until it is dropped.
pub async fn serve(
    socket: UdpSocket,
    network: Arc<dyn Network>,
    interface: String,
    (address, port): (Address, u16),
) {
    let socket = Arc::new(socket);
    let senders = Senders::default();
    // They end with this.
    let mut returning = JoinSet::new();
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let (count, from) = match socket.recv_from(&mut bytes).await {
            Ok(received) => received,
            // What was sent to one who is gone came back: that is nobody else's matter.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot receive at a published port");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        while returning.try_join_next().is_some() {}
        let known = lock(&senders).get(&from).cloned();
        let inside = match known {
            Some(inside) => inside,
            // Datagrams may be lost, and too many senders are.
            None if returning.len() >= SENDERS_MAX => continue,
            None => match dial(&*network, &interface, address.port(port)).await {
                Ok(inside) => {
                    let inside = Arc::new(inside);
                    lock(&senders).insert(from, inside.clone());
                    let back = send_back(socket.clone(), inside.clone(), from, senders.clone());
                    returning.spawn(back);
                    inside
                }
                Err(error) => {
                    tracing::debug!(error = error.chain(), port, "cannot reach a published port");
                    continue;
                }
            },
        };
        // Nobody listening there is no reason to tell the sender, as UDP has it.
        let _ = inside.send(&bytes[..count]).await;
    }
}

fn lock(senders: &Senders) -> std::sync::MutexGuard<'_, HashMap<SocketAddr, Arc<UdpSocket>>> {
    senders.lock().expect("no holder panics")
}

async fn dial(network: &dyn Network, interface: &str, to: SocketAddr) -> engine::Result<UdpSocket> {
    let inside = network.dial_udp(interface, to).await?;
    inside.set_nonblocking(true)?;
    Ok(UdpSocket::from_std(inside)?)
}

/// Sends back what comes for one sender, until nothing has for a while.
async fn send_back(
    socket: Arc<UdpSocket>,
    inside: Arc<UdpSocket>,
    to: SocketAddr,
    senders: Senders,
) {
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        match tokio::time::timeout(SENDER_IDLE, inside.recv(&mut bytes)).await {
            Ok(Ok(count)) => drop(socket.send_to(&bytes[..count], to).await),
            // Nobody listens there yet: the next datagram may find somebody.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Ok(Err(_)) | Err(_) => break,
        }
    }
    lock(&senders).remove(&to);
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use engine::*;
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::path::PathBuf;

    /// This machine, as if it were a container.
    struct Here;

    #[async_trait]
    impl Network for Here {
        async fn dial_udp(&self, _: &str, to: SocketAddr) -> Result<std::net::UdpSocket> {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(to)?;
            Ok(socket)
        }
        async fn apply_vpc(&self, _: VpcSpec) -> Result<()> {
            unreachable!()
        }
        async fn remove_vpc(&self, _: &str) -> Result<()> {
            unreachable!()
        }
        async fn attach(&self, _: InterfaceSpec) -> Result<()> {
            unreachable!()
        }
        async fn detach(&self, _: &str) -> Result<()> {
            unreachable!()
        }
        async fn namespace(&self, _: &str) -> Result<PathBuf> {
            unreachable!()
        }
        async fn resolver(&self, _: &str) -> Result<Option<ResolverSpec>> {
            unreachable!()
        }
        async fn list(&self) -> Result<(Vec<String>, Vec<String>)> {
            unreachable!()
        }
        async fn connect(&self, _: &str, _: SocketAddr, _: u64) -> Result<()> {
            unreachable!()
        }
        async fn dial(&self, _: &str, _: SocketAddr, _: u64) -> Result<std::net::TcpStream> {
            unreachable!()
        }
        async fn listen_beside(&self, _: &str, _: SocketAddrV4) -> Result<std::net::TcpListener> {
            unreachable!()
        }
        async fn has_way_out(&self, _: &str) -> Result<bool> {
            unreachable!()
        }
    }

    #[tokio::test]
    async fn each_sender_gets_its_own_answers() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = UdpSocket::bind(any).await.unwrap();
        let published = UdpSocket::bind(any).await.unwrap();
        let at = published.local_addr().unwrap();
        let to = (
            Address::new(Ipv4Addr::LOCALHOST),
            server.local_addr().unwrap().port(),
        );
        let serving = tokio::spawn(serve(published, Arc::new(Here), "i".to_owned(), to));
        let (one, two) = (
            UdpSocket::bind(any).await.unwrap(),
            UdpSocket::bind(any).await.unwrap(),
        );
        one.send_to(b"one", at).await.unwrap();
        two.send_to(b"two", at).await.unwrap();
        let mut bytes = [0; 64];
        for _ in 0..2 {
            let (count, from) = server.recv_from(&mut bytes).await.unwrap();
            let answer = [b"to ", &bytes[..count]].concat();
            server.send_to(&answer, from).await.unwrap();
        }
        for (client, expect) in [(&one, b"to one"), (&two, b"to two")] {
            let (count, from) = client.recv_from(&mut bytes).await.unwrap();
            assert_eq!((&bytes[..count], from), (&expect[..], at));
        }
        serving.abort();
    }
}
