//! How much clients may make the daemon hold at once: connections, and the bodies of requests.
//!
//! Each client has a share of its own, an address outside or an interface of a task, and all of them
//! together have a whole. Clients outside and inside of tasks have a whole each, so that no number of
//! tasks can shut the machine's owner out. Connections make room for each other ([`crowd`]); who has to
//! wait for room for a body waits shortly, and is then told to come again.

mod crowd;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

pub use crowd::Turn;
use crowd::{Crowd, Place};

/// Bodies up to this need no room of their own: there are no more of them than connections.
pub const SMALL_BODY_BYTES: usize = 64 * 1024;
/// How long a body may wait for room. Clients of AWS ask again when they are told to, and do not wait
/// for ever.
const WAIT: Duration = Duration::from_secs(5);
/// A burst of large bodies is cleaned up after once.
const BURST: Duration = Duration::from_millis(200);
const KIB: usize = 1024;

/// The most of each that there is.
struct Most {
    connections: usize,
    connections_of_a_client: usize,
    body_kib: usize,
    body_kib_of_a_client: usize,
}

/// On one machine most clients outside come from one address: a load generator or a pipeline opens some
/// hundred connections, which leaves some to others. Both sides together stay well below the 1,024
/// descriptors that a process has unless it is given more. Four of the largest bodies at once are room
/// enough.
const OUTSIDE: Most = Most {
    connections: 512,
    connections_of_a_client: 384,
    body_kib: 128 * KIB,
    body_kib_of_a_client: 128 * KIB,
};
/// A task's programs ask for credentials and call AWS: some connections, and two of the largest bodies.
const INSIDE: Most = Most {
    connections: 256,
    connections_of_a_client: 64,
    body_kib: 128 * KIB,
    body_kib_of_a_client: 64 * KIB,
};

/// Whose share something counts against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    Address(IpAddr),
    Interface(String),
}

impl Holder {
    /// A host has a network of 2⁶⁴ addresses of version 6, and counts once.
    pub fn address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(long) => {
                let network = u128::from(long) >> 64 << 64;
                Self::Address(Ipv6Addr::from(network).into())
            }
            short @ IpAddr::V4(_) => Self::Address(short),
        }
    }
}

struct Side {
    most: Most,
    crowd: Arc<Crowd>,
    body_kib: Arc<Semaphore>,
    /// The room for bodies of those who are connected.
    shares: Mutex<HashMap<Holder, Weak<Semaphore>>>,
}

impl Side {
    fn new(most: Most) -> Self {
        Self {
            crowd: Crowd::new(most.connections, most.connections_of_a_client),
            body_kib: Arc::new(Semaphore::new(most.body_kib)),
            most,
            shares: Mutex::default(),
        }
    }

    fn share_of(&self, holder: Holder) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().expect("nothing panics while it is held");
        if let Some(share) = shares.get(&holder).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, it| it.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.most.body_kib_of_a_client));
        shares.insert(holder, Arc::downgrade(&share));
        share
    }
}

pub struct Bounds {
    outside: Side,
    inside: Side,
    /// Told when the room of a large body is free again.
    freed: Arc<Notify>,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            outside: Side::new(OUTSIDE),
            inside: Side::new(INSIDE),
            freed: Arc::default(),
        }
    }
}

impl Bounds {
    /// Room for another connection of a client, if there is any or somebody makes some.
    pub fn connect(&self, holder: Holder) -> Option<Client> {
        let side = match holder {
            Holder::Address(_) => &self.outside,
            Holder::Interface(_) => &self.inside,
        };
        let place = side.crowd.enter(holder.clone())?;
        Some(Client {
            body_kib: [side.share_of(holder), side.body_kib.clone()],
            freed: self.freed.clone(),
            place: Arc::new(place),
        })
    }

    /// Has the descriptor of a connection outside given back that nobody has shown anything on, for
    /// another. Whether there was one.
    pub fn make_room(&self) -> bool {
        self.outside.crowd.make_room()
    }

    /// Gives the memory that large requests took back to the kernel, for ever.
    pub async fn give_memory_back(&self) {
        loop {
            self.freed.notified().await;
            tokio::time::sleep(BURST).await;
            let _ = tokio::task::spawn_blocking(runtime::give_memory_back).await;
        }
    }
}

/// A client's connection.
pub struct Client {
    /// Its share's first: who has none left of its own does not stand in anybody's way.
    body_kib: [Arc<Semaphore>; 2],
    freed: Arc<Notify>,
    place: Arc<Place>,
}

/// Room that a body takes up until this is dropped.
pub struct Reserved {
    room: Vec<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.room.is_empty() {
            self.freed.notify_one();
        }
    }
}

/// There is no room at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl Client {
    /// Until this connection has to make room for another.
    pub async fn evicted(&self) {
        self.place.evicted().await;
    }

    /// A request has begun. It is dropped when its answer has been sent.
    pub fn begin(&self) -> Turn {
        self.place.begin()
    }

    /// Whoever sent the request that is under way has shown who they are: it is carried out.
    pub fn believe(&self) {
        self.place.believe();
    }

    /// [`Client::believe`] for whoever finds out later.
    pub fn believer(&self) -> Arc<dyn Fn() + Send + Sync> {
        let place = self.place.clone();
        Arc::new(move || place.believe())
    }

    /// Room for a body of so many bytes.
    pub async fn reserve(&self, bytes: usize) -> Result<Reserved, Busy> {
        let mut room = Vec::new();
        if bytes > SMALL_BODY_BYTES {
            let kib = u32::try_from(bytes.div_ceil(KIB)).map_err(|_| Busy)?;
            let waiting = async {
                for semaphore in &self.body_kib {
                    let permit = semaphore.clone().acquire_many_owned(kib).await;
                    room.push(permit.map_err(|_| Busy)?);
                }
                Ok(())
            };
            tokio::time::timeout(WAIT, waiting)
                .await
                .map_err(|_| Busy)??;
        }
        Ok(Reserved {
            room,
            freed: self.freed.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 32 * 1024 * 1024;

    fn interface(name: &str) -> Holder {
        Holder::Interface(name.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_a_share_and_all_have_a_whole() {
        let bounds = Bounds::default();
        let [one, two, three] = ["a", "b", "c"].map(|it| bounds.connect(interface(it)).unwrap());
        let held = [
            one.reserve(LARGE).await.unwrap(),
            one.reserve(LARGE).await.unwrap(),
        ];
        // Its share is used up, by another of its connections as well; others have theirs.
        assert!(one.reserve(LARGE).await.is_err());
        let again = bounds.connect(interface("a")).unwrap();
        assert!(again.reserve(LARGE).await.is_err());
        assert!(again.reserve(SMALL_BODY_BYTES).await.is_ok());
        let others = [
            two.reserve(LARGE).await.unwrap(),
            two.reserve(LARGE).await.unwrap(),
        ];
        // The whole of those inside is used up, and the owner's is not.
        assert!(three.reserve(LARGE).await.is_err());
        let owner = bounds.connect(Holder::address(IpAddr::from([127, 0, 0, 1])));
        let owner = owner.unwrap();
        assert!(owner.reserve(LARGE).await.is_ok());
        drop(held);
        assert!(three.reserve(LARGE).await.is_ok());
        drop(others);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_room_when_there_is_some() {
        let bounds = Bounds::default();
        let client = Arc::new(bounds.connect(interface("a")).unwrap());
        let held = client.reserve(2 * LARGE).await.unwrap();
        let other = client.clone();
        let waiting = tokio::spawn(async move { other.reserve(LARGE).await.is_ok() });
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(held);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_bounded_and_given_back() {
        let bounds = Bounds::default();
        let most = INSIDE.connections_of_a_client;
        let connect = |it| bounds.connect(interface(it));
        let all: Vec<Client> = (0..most).map(|_| connect("a").unwrap()).collect();
        let turns: Vec<Turn> = all.iter().map(Client::begin).collect();
        all.iter().for_each(Client::believe);
        assert!(connect("a").is_none());
        assert!(connect("b").is_some());
        // One of them is done, and idle when another comes.
        drop(turns);
        assert!(connect("a").is_some());
        drop(all);
        let shares = bounds.inside.shares.lock().unwrap();
        assert!(shares.len() <= 2, "shares of who is gone go, too");
    }

    #[test]
    fn a_network_of_version_6_counts_once() {
        let holder = |text: &str| Holder::address(text.parse().unwrap());
        assert_eq!(holder("2001:db8::1"), holder("2001:db8::2"));
        assert_ne!(holder("2001:db8::1"), holder("2001:db8:1::1"));
        assert_eq!(holder("::ffff:192.0.2.1"), holder("192.0.2.1"));
    }
}
