//! How much clients may make the daemon hold at once: connections, and the bodies of requests.
//!
//! Each client has a share of its own, an address outside or an interface of a task, and all of them
//! together have a whole. Clients outside and inside of tasks have a whole each, so that no number of
//! tasks can shut the machine's owner out. Connections make room for each other ([`crowd`]); who has to
//! wait for room for a body waits shortly, and is then told to come again. Until it is known who sends a body,
//! it may have to make room for another ([`arrivals`]).

mod arrivals;
mod crowd;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

pub use arrivals::Arrival;
use arrivals::{Among, Arrivals};
pub use crowd::Turn;
use crowd::{Crowd, Place};

/// Bodies up to this need no room of their own: there are no more of them than connections.
pub const SMALL_BODY_BYTES: usize = 64 * 1024;
/// How long a body may wait for room. Clients of AWS ask again when they are told to, and do not wait
/// for ever.
const WAIT: Duration = Duration::from_secs(5);
/// How often it is looked, while a body waits, whether another is late by now.
const LOOK: Duration = Duration::from_millis(100);
/// A burst of large bodies is cleaned up after once.
const BURST: Duration = Duration::from_millis(200);
const KIB: usize = 1024;

/// The most of each that there is.
struct Most {
    connections: usize,
    connections_of_a_client: usize,
    body_kib: usize,
    body_kib_of_a_client: usize,
    /// Of whoever says, at one place, to be of one key, or says nothing, until that is known: the other half
    /// is for others.
    body_kib_of_a_sender: usize,
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
    body_kib_of_a_sender: 64 * KIB,
};
/// A task's programs ask for credentials and call AWS: some connections, and two of the largest bodies.
const INSIDE: Most = Most {
    connections: 256,
    connections_of_a_client: 64,
    body_kib: 128 * KIB,
    body_kib_of_a_client: 64 * KIB,
    body_kib_of_a_sender: 64 * KIB,
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
    arrivals: Arc<Arrivals>,
    /// The room for bodies of those who are connected.
    shares: Mutex<HashMap<Holder, Weak<Semaphore>>>,
}

impl Side {
    fn new(most: Most) -> Self {
        Self {
            crowd: Crowd::new(most.connections, most.connections_of_a_client),
            body_kib: Arc::new(Semaphore::new(most.body_kib)),
            arrivals: Arrivals::new(most.body_kib_of_a_sender),
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
            body_kib: [side.share_of(holder.clone()), side.body_kib.clone()],
            arrivals: side.arrivals.clone(),
            holder,
            freed: self.freed.clone(),
            place: Arc::new(place),
        })
    }

    /// Has the descriptor of a connection given back that nobody has shown anything on, for another: one
    /// outside, or one of a container's, for which nobody outside has to go. Whether there was one.
    pub fn make_room(&self) -> bool {
        self.outside.crowd.make_room() || self.make_room_inside()
    }

    /// The same for a container's connection.
    pub fn make_room_inside(&self) -> bool {
        self.inside.crowd.make_room()
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
    arrivals: Arc<Arrivals>,
    holder: Holder,
    freed: Arc<Notify>,
    place: Arc<Place>,
}

/// Who sends a body, as far as that is known before it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender<'a> {
    /// It has shown who it is.
    Known,
    /// It says that it has this key; without one, it is anybody.
    Says(&'a str),
}

/// Room that a body takes up until this is dropped.
pub struct Reserved {
    room: Vec<OwnedSemaphorePermit>,
    freed: Arc<Notify>,
    arrival: Option<Arc<Arrival>>,
}

impl Reserved {
    /// Until the room is somebody else's, because the body is late.
    pub async fn given_up(&self) {
        match &self.arrival {
            Some(arrival) => arrival.given_up().await,
            None => std::future::pending().await,
        }
    }

    /// The body is there.
    pub fn arrived(&self) {
        if let Some(arrival) = &self.arrival {
            arrival.settle();
        }
    }

    /// For whoever finds out who sent the body before it is there.
    pub fn arrival(&self) -> Option<Arc<Arrival>> {
        self.arrival.clone()
    }
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
    pub async fn reserve(&self, bytes: usize, sender: Sender<'_>) -> Result<Reserved, Busy> {
        let mut reserved = Reserved {
            room: Vec::new(),
            freed: self.freed.clone(),
            arrival: None,
        };
        if bytes <= SMALL_BODY_BYTES {
            return Ok(reserved);
        }
        let kib = u32::try_from(bytes.div_ceil(KIB)).map_err(|_| Busy)?;
        let until = Instant::now() + WAIT;
        let [own, all] = &self.body_kib;
        let of_sender = match sender {
            Sender::Known => None,
            Sender::Says(key) => {
                let share = self.arrivals.share_of(key, &self.holder);
                let among = Among::Sender(key, &self.holder);
                Some(self.acquire(&share, kib, until, among).await?)
            }
        };
        for (semaphore, among) in [(own, Among::Holder(&self.holder)), (all, Among::All)] {
            let permit = self.acquire(semaphore, kib, until, among).await?;
            reserved.room.push(permit);
        }
        if let (Some(room), Sender::Says(key)) = (of_sender, sender) {
            let arrival = self.arrivals.begin(key, self.holder.clone(), room);
            reserved.arrival = Some(Arc::new(arrival));
        }
        Ok(reserved)
    }

    /// Waits for room, in the order of those who came, and has late ones make some.
    async fn acquire(
        &self,
        semaphore: &Arc<Semaphore>,
        kib: u32,
        until: Instant,
        among: Among<'_>,
    ) -> Result<OwnedSemaphorePermit, Busy> {
        let acquiring = semaphore.clone().acquire_many_owned(kib);
        tokio::pin!(acquiring);
        loop {
            let look = (Instant::now() + LOOK).min(until);
            match tokio::time::timeout_at(look, &mut acquiring).await {
                Ok(permit) => return permit.map_err(|_| Busy),
                Err(_) if Instant::now() >= until => return Err(Busy),
                Err(_) => drop(self.arrivals.make_room(among)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

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
            one.reserve(LARGE, Sender::Known).await.unwrap(),
            one.reserve(LARGE, Sender::Known).await.unwrap(),
        ];
        // Its share is used up, by another of its connections as well; others have theirs.
        assert!(one.reserve(LARGE, Sender::Known).await.is_err());
        let again = bounds.connect(interface("a")).unwrap();
        assert!(again.reserve(LARGE, Sender::Known).await.is_err());
        assert!(again.reserve(SMALL_BODY_BYTES, Sender::Known).await.is_ok());
        let others = [
            two.reserve(LARGE, Sender::Known).await.unwrap(),
            two.reserve(LARGE, Sender::Known).await.unwrap(),
        ];
        // The whole of those inside is used up, and the owner's is not.
        assert!(three.reserve(LARGE, Sender::Known).await.is_err());
        let owner = bounds.connect(Holder::address(IpAddr::from([127, 0, 0, 1])));
        let owner = owner.unwrap();
        assert!(owner.reserve(LARGE, Sender::Known).await.is_ok());
        drop(held);
        assert!(three.reserve(LARGE, Sender::Known).await.is_ok());
        drop(others);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_gets_room_when_there_is_some() {
        let bounds = Bounds::default();
        let client = Arc::new(bounds.connect(interface("a")).unwrap());
        let held = client.reserve(2 * LARGE, Sender::Known).await.unwrap();
        let other = client.clone();
        let waiting =
            tokio::spawn(async move { other.reserve(LARGE, Sender::Known).await.is_ok() });
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(held);
        assert!(waiting.await.unwrap());
    }

    fn outside(last: u8) -> Holder {
        Holder::address(IpAddr::from([192, 0, 2, last]))
    }

    /// Reserves room, and gives it back when it is taken: as whoever sends a head and then nothing.
    fn silent(client: &Arc<Client>, key: &'static str) -> tokio::task::JoinHandle<&'static str> {
        let client = client.clone();
        tokio::spawn(async move {
            match client.reserve(LARGE, Sender::Says(key)).await {
                Ok(reserved) => {
                    let whole = tokio::time::timeout(Duration::from_secs(60), reserved.given_up());
                    whole.await.map_or("held", |()| "given up")
                }
                Err(Busy) => "busy",
            }
        })
    }

    #[tokio::test(start_paused = true)]
    async fn who_merely_says_a_key_takes_no_room_for_long() {
        let bounds = Bounds::default();
        let [stranger, other] = [1, 2].map(|it| Arc::new(bounds.connect(outside(it)).unwrap()));
        let heads: Vec<_> = (0..4).map(|_| silent(&stranger, "AKIASTOLEN")).collect();
        tokio::time::sleep(Duration::from_secs(1)).await;
        // One sender takes half of what there is, so that others have room at once.
        let begun = Instant::now();
        let another = other.reserve(2 * LARGE, Sender::Says("AKIAOTHER")).await;
        assert!(another.is_ok() && begun.elapsed() < LOOK);
        drop(another);
        // So has who has the key, elsewhere, although nobody gives room back by itself.
        let own = other.reserve(LARGE, Sender::Says("AKIASTOLEN")).await;
        assert!(
            own.is_ok() && begun.elapsed() < LOOK,
            "{:?}",
            begun.elapsed()
        );
        drop(own);
        let mut ends = Vec::new();
        for head in heads {
            ends.push(head.await.unwrap());
        }
        assert!(ends.contains(&"given up"), "{ends:?}");
        assert!(
            bounds
                .outside
                .arrivals
                .share_of("", &outside(1))
                .available_permits()
                > 0
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_there_is_not_given_up_and_neither_is_one_that_nobody_waits_for() {
        let bounds = Bounds::default();
        let client = bounds.connect(outside(1)).unwrap();
        let says = Sender::Says("AKIA");
        let slow = client.reserve(LARGE, says).await.unwrap();
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert!(slow.given_up().now_or_never().is_none());
        let whole = client.reserve(LARGE, says).await.unwrap();
        whole.arrived();
        // Its sender's share is free again, and the slow one goes when somebody waits.
        let third = client.reserve(LARGE, says).await.unwrap();
        let waiting = client.reserve(LARGE, says);
        let (fourth, ()) = tokio::join!(waiting, async {
            slow.given_up().await;
            drop(slow);
        });
        assert!(fourth.is_ok());
        tokio::time::sleep(Duration::from_secs(50)).await;
        assert!(whole.given_up().now_or_never().is_none());
        drop(third);
    }

    #[tokio::test(start_paused = true)]
    async fn the_late_ones_of_who_holds_most_go_first() {
        let bounds = Bounds::default();
        let [one, two] = [1, 2].map(|it| bounds.connect(outside(it)).unwrap());
        let first = one.reserve(LARGE, Sender::Says("AKIAONE")).await.unwrap();
        let others = [
            two.reserve(LARGE, Sender::Says("AKIATWO")).await.unwrap(),
            two.reserve(LARGE, Sender::Says("AKIATWO")).await.unwrap(),
        ];
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(bounds.outside.arrivals.make_room(Among::All));
        assert!(first.given_up().now_or_never().is_none());
        assert!(others[0].given_up().now_or_never().is_some());
        let (place, elsewhere) = (outside(1), outside(2));
        let of_one = |holder| Among::Sender("AKIAONE", holder);
        assert!(!bounds.outside.arrivals.make_room(of_one(&elsewhere)));
        assert!(bounds.outside.arrivals.make_room(of_one(&place)));
        assert!(first.given_up().now_or_never().is_some());
        assert!(!bounds.outside.arrivals.make_room(of_one(&place)));
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
