//! The resolver's two sockets. What one interface asks does not keep others from asking.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{Outcome, QUESTION_BYTES_MAX, Transport, answer};
use super::{Others, Shared, forward};

/// Questions that are being passed on, and connections, of one network at a time, and of one address.
/// Each costs a descriptor of this process.
const GUESTS_MAX: usize = 256;
const GUESTS_OF_AN_ADDRESS_MAX: usize = 32;
/// A connection on which nothing is asked for so long is closed (RFC 7766 asks for seconds).
const IDLE_MAX: Duration = Duration::from_secs(10);
/// After an error of the socket's own: the process is out of something, most likely.
const PAUSE: Duration = Duration::from_millis(100);

/// Those who are being served, by their address.
#[derive(Clone, Default)]
struct Guests(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them. It leaves when this is dropped.
struct Guest {
    guests: Guests,
    address: IpAddr,
}

impl Guests {
    fn let_in(&self, address: IpAddr) -> Option<Guest> {
        let mut guests = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = guests.get(&address).copied().unwrap_or_default();
        if guests.values().sum::<usize>() >= GUESTS_MAX || own >= GUESTS_OF_AN_ADDRESS_MAX {
            return None;
        }
        guests.insert(address, own + 1);
        Some(Guest {
            guests: self.clone(),
            address,
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut guests = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = guests.get(&self.address).copied().unwrap_or_default();
        match own {
            0 | 1 => guests.remove(&self.address),
            _ => guests.insert(self.address, own - 1),
        };
    }
}

/// The names that a resolver answers with.
#[derive(Clone)]
pub(super) struct Known {
    /// Of the resolver's own network.
    pub names: Shared,
    /// Of further networks that some who ask are in, by their address in this one.
    pub others: Others,
}

fn decide(bytes: &[u8], transport: Transport, known: &Known, from: IpAddr) -> Outcome {
    let others = known.others.read().unwrap_or_else(PoisonError::into_inner);
    let others = others.get(&from).cloned().unwrap_or_default();
    // One is looked at after the other: no two are held at the same time.
    let all = std::iter::once(&known.names).chain(&others);
    let names = all.map(|it| it.read().unwrap_or_else(PoisonError::into_inner));
    answer(bytes, transport, from, names)
}

/// Answers datagrams for ever.
pub(super) async fn datagrams(socket: UdpSocket, known: Known) {
    let socket = Arc::new(socket);
    let guests = Guests::default();
    // They end with this.
    let mut asking = JoinSet::new();
    // One byte more than a question has, so that a longer one is seen to be.
    let mut bytes = vec![0; QUESTION_BYTES_MAX + 1];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut bytes) => received,
            Some(_) = asking.join_next() => continue,
        };
        let Ok((length, from)) = received else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let asked = match decide(&bytes[..length], Transport::Datagram, &known, from.ip()) {
            Outcome::Reply(reply) => {
                // An answer that cannot be sent is like one that is lost: whoever asked asks again.
                let _ = socket.send_to(&reply, from).await;
                continue;
            }
            Outcome::Ask(asked) => asked,
            Outcome::Silence => continue,
        };
        let Some(guest) = guests.let_in(from.ip()) else {
            if let Some(reply) = asked.failed() {
                let _ = socket.send_to(&reply, from).await;
            }
            continue;
        };
        let socket = socket.clone();
        asking.spawn(async move {
            let answer = forward::ask(&asked).await;
            if let Some(reply) = answer.or_else(|| asked.failed()) {
                let _ = socket.send_to(&reply, from).await;
            }
            drop(guest);
        });
    }
}

/// Answers connections for ever.
pub(super) async fn connections(listener: TcpListener, known: Known) {
    let guests = Guests::default();
    let mut serving = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = serving.join_next() => continue,
        };
        let Ok((stream, from)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        if let Some(guest) = guests.let_in(from.ip()) {
            let known = known.clone();
            serving.spawn(async move {
                if let Err(error) = connection(stream, &known, from.ip()).await {
                    tracing::debug!(%error, ?from, "a connection for names ended early");
                }
                drop(guest);
            });
        }
    }
}

/// One question after the other, until whoever asks has enough.
async fn connection(mut stream: TcpStream, known: &Known, from: IpAddr) -> io::Result<()> {
    while let Some(bytes) = timeout(IDLE_MAX, read_question(&mut stream)).await?? {
        let reply = match decide(&bytes, Transport::Connection, known, from) {
            Outcome::Reply(reply) => Some(reply),
            Outcome::Ask(asked) => {
                let answer = forward::ask(&asked).await;
                answer.or_else(|| asked.failed())
            }
            Outcome::Silence => None,
        };
        let Some(reply) = reply else {
            return Ok(());
        };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes()[..], &reply].concat();
        timeout(IDLE_MAX, stream.write_all(&framed)).await??;
    }
    Ok(())
}

async fn read_question(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > QUESTION_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(Some(bytes))
}
