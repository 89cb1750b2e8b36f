//! The control socket: what the daemon asks, and what it is told.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{broadcast, mpsc};

use super::state::State;
use crate::passing;
use crate::protocol::{
    Answer, Ask, FromEdge, Hello, PROTOCOL, Request, read_message, write_message,
};

/// What a daemon that does not read may be behind before its connection is closed; it then attaches
/// again and looks at everything.
pub const CHANGES_BEHIND_MAX: usize = 4096;

/// Someone asked for the end, and the snapshot is to be forgotten.
pub type StopAsked = mpsc::Sender<()>;

/// What an edge says of itself, beside what it serves.
pub struct Greeting {
    pub cookie: String,
    pub listen_address: IpAddr,
}

pub async fn serve(
    stream: UnixStream,
    state: Rc<RefCell<State>>,
    greeting: Greeting,
    mut changes: broadcast::Receiver<Arc<str>>,
    stop: StopAsked,
) -> io::Result<()> {
    if !is_owner(&stream)? {
        return Err(io::Error::from(io::ErrorKind::PermissionDenied));
    }
    let (mut reader, mut writer) = stream.into_split();
    let hello = FromEdge::Hello(Hello {
        protocol: PROTOCOL,
        cookie: greeting.cookie,
        generation: state.borrow().generation(),
        listen_address: Some(greeting.listen_address),
    });
    write_message(&mut writer, &hello).await?;
    // Reading a message takes several steps and must not be cancelled between them, so it has a
    // task for itself.
    let (asked, mut asks) = mpsc::channel::<Request>(16);
    let reading = tokio::task::spawn_local(async move {
        while let Ok(Some(request)) = read_message(&mut reader).await {
            if asked.send(request).await.is_err() {
                return;
            }
        }
    });
    let talked = talk(&mut writer, &mut asks, &mut changes, &state, &stop).await;
    reading.abort();
    talked
}

async fn talk(
    writer: &mut OwnedWriteHalf,
    asks: &mut mpsc::Receiver<Request>,
    changes: &mut broadcast::Receiver<Arc<str>>,
    state: &RefCell<State>,
    stop: &StopAsked,
) -> io::Result<()> {
    loop {
        tokio::select! {
            request = asks.recv() => {
                let Some(Request { id, ask }) = request else {
                    return Ok(());
                };
                if let Ask::Sockets { known } = ask {
                    pass_on(writer, id, &known, state).await?;
                    continue;
                }
                let stopping = matches!(ask, Ask::Stop);
                let answer = obey(ask, state);
                write_message(writer, &FromEdge::Answer { id, answer }).await?;
                if stopping {
                    let _ = stop.send(()).await;
                }
            }
            changed = changes.recv() => match changed {
                Ok(group) => {
                    let group = group.to_string();
                    write_message(writer, &FromEdge::Changed { group }).await?;
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    return Err(io::Error::other("the daemon does not read what it is told"));
                }
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// Gives the daemon the sockets that listen, so that they outlive this process.
async fn pass_on(
    writer: &OwnedWriteHalf,
    id: u64,
    known: &[u64],
    state: &RefCell<State>,
) -> io::Result<()> {
    let (all, new) = state.borrow().listening(known)?;
    let answer = Answer::Sockets { all };
    let stream = writer.as_ref();
    passing::send(stream, &FromEdge::Answer { id, answer }, &[]).await?;
    for (listening, sockets) in new {
        let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(TcpListener::as_fd).collect();
        passing::send(stream, &FromEdge::Listening(listening), &sockets).await?;
    }
    Ok(())
}

fn obey(ask: Ask, state: &RefCell<State>) -> Answer {
    match ask {
        Ask::Ping => Answer::Alive {
            behind: state.borrow_mut().beat(),
        },
        Ask::Sockets { .. } => Answer::Invalid("sockets have an answer of their own".into()),
        Ask::Apply(configuration) => state.borrow_mut().apply(*configuration),
        Ask::Health { group } => state.borrow().health(&group),
        Ask::Traffic { group } => state.borrow().traffic(&group),
        Ask::TakeAccesses { balancer } => state.borrow().take_accesses(&balancer),
        Ask::Stop => Answer::Stopping,
    }
}

/// The directory is closed to others already; this holds even where it is not.
fn is_owner(stream: &UnixStream) -> io::Result<bool> {
    let peer = stream.peer_cred()?;
    Ok(peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw())
}
