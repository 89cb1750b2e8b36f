//! Asking the machine's resolvers, as its own programs would: in the machine's namespace, by what its
//! `/etc/resolv.conf` says at that moment.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::answer::{Asked, Transport};

const CONFIGURATION: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// As many as the C library heeds.
const SERVERS_MAX: usize = 3;
/// Shorter than programs wait for us, so that the second is asked in time.
const SERVER_TIME_MAX: Duration = Duration::from_secs(2);
/// Longer than any datagram that we say we take.
const DATAGRAM_BYTES_MAX: usize = 4096;

/// The answer of the first of the machine's resolvers that has one.
pub(super) async fn ask(asked: &Asked) -> Option<Vec<u8>> {
    let question = asked.in_our_words()?;
    let configuration = tokio::fs::read_to_string(CONFIGURATION).await.ok()?;
    for server in servers(&configuration) {
        let answering = async {
            match asked.transport() {
                Transport::Datagram => by_datagram(asked, &question, server).await,
                Transport::Connection => by_connection(asked, &question, server).await,
            }
        };
        match timeout(SERVER_TIME_MAX, answering).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%error, %server, "a resolver cannot be asked"),
            Err(_) => tracing::debug!(%server, "a resolver does not answer"),
        }
    }
    None
}

fn servers(configuration: &str) -> Vec<SocketAddr> {
    let words = configuration.lines().map(|it| it.split_whitespace());
    let addresses = words.filter_map(|mut it| match (it.next(), it.next()) {
        (Some("nameserver"), Some(address)) => address.parse::<IpAddr>().ok(),
        _ => None,
    });
    let servers = addresses.map(|it| SocketAddr::new(it, PORT));
    servers.take(SERVERS_MAX).collect()
}

async fn by_datagram(asked: &Asked, question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let own: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // A port of its own for each question, which nobody can guess either.
    let socket = UdpSocket::bind((own, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut bytes = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let length = socket.recv(&mut bytes).await?;
        // Anything else is a guess of somebody's, or late.
        if let Some(answer) = asked.passed_on(question, &bytes[..length]) {
            return Ok(answer);
        }
    }
}

async fn by_connection(asked: &Asked, question: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    let framed = [&length.to_be_bytes()[..], question].concat();
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    let answer = asked.passed_on(question, &bytes);
    answer.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_as_the_c_library_reads_them() {
        let text = "# nameserver 192.0.2.9\nsearch example.com\n nameserver\t127.0.0.53\nnameserver ::1\n\
                    nameserver nonsense\nnameserver 192.0.2.1 # why\nnameserver 192.0.2.2\n";
        let expected = ["127.0.0.53:53", "[::1]:53", "192.0.2.1:53"];
        let expected: Vec<SocketAddr> = expected.iter().map(|it| it.parse().unwrap()).collect();
        assert_eq!(servers(text), expected);
    }
}
