//! Bodies that are still coming, of senders who have not shown who they are.
//!
//! A head costs nothing, and a key's id is no secret: it is in every URL that was signed with it. Who sends
//! such a head, tells a large body and then says nothing holds the room that the body would take. So what
//! one sender holds is bounded, and whoever is slower than a body on this machine takes has it for as long
//! only as nobody else needs it: the oldest of those who hold most is given up for somebody who waits.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Holder;

/// A body that comes slower may be given up: two seconds, and one for every sixteen mebibytes.
const PATIENCE: Duration = Duration::from_secs(2);
const KIB_A_SECOND: u32 = 16 * 1024;

struct Body {
    sender: String,
    holder: Holder,
    kib: u32,
    since: Instant,
    given_up: Arc<Notify>,
}

impl Body {
    fn is_late(&self, now: Instant) -> bool {
        let due = PATIENCE + Duration::from_secs(1) * self.kib / KIB_A_SECOND;
        now - self.since >= due
    }
}

#[derive(Default)]
struct Table {
    next: u64,
    by_number: HashMap<u64, Body>,
    shares: HashMap<(String, Holder), Weak<Semaphore>>,
}

pub struct Arrivals {
    most_kib_of_a_sender: usize,
    table: Mutex<Table>,
}

/// Whose departure would help somebody who waits.
#[derive(Debug, Clone, Copy)]
pub enum Among<'a> {
    /// Of one sender, from one place: who repeats a key's id does not stand in the way of who has the key.
    Sender(&'a str, &'a Holder),
    Holder(&'a Holder),
    All,
}

impl Arrivals {
    pub fn new(most_kib_of_a_sender: usize) -> Arc<Self> {
        Arc::new(Self {
            most_kib_of_a_sender,
            table: Mutex::default(),
        })
    }

    /// What all bodies of one sender from one place may take together while they come.
    pub fn share_of(&self, sender: &str, holder: &Holder) -> Arc<Semaphore> {
        let whose = (sender.to_owned(), holder.clone());
        let mut table = self.lock();
        if let Some(share) = table.shares.get(&whose).and_then(Weak::upgrade) {
            return share;
        }
        table.shares.retain(|_, it| it.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.most_kib_of_a_sender));
        let weak = Arc::downgrade(&share);
        table.shares.insert(whose, weak);
        share
    }

    pub fn begin(
        self: &Arc<Self>,
        sender: &str,
        holder: Holder,
        room: OwnedSemaphorePermit,
    ) -> Arrival {
        let mut table = self.lock();
        let number = table.next;
        table.next += 1;
        let given_up = Arc::new(Notify::new());
        let body = Body {
            sender: sender.to_owned(),
            holder,
            kib: u32::try_from(room.num_permits()).unwrap_or(u32::MAX),
            since: Instant::now(),
            given_up: given_up.clone(),
        };
        table.by_number.insert(number, body);
        Arrival {
            arrivals: self.clone(),
            number,
            given_up,
            room: Mutex::new(Some(room)),
        }
    }

    /// Gives up a body that is late. Whether there was one.
    pub fn make_room(&self, among: Among<'_>) -> bool {
        let mut table = self.lock();
        let now = Instant::now();
        let helps = |it: &Body| match among {
            Among::Sender(sender, holder) => it.sender == sender && it.holder == *holder,
            Among::Holder(holder) => it.holder == *holder,
            Among::All => true,
        };
        let mut held: HashMap<&str, u64> = HashMap::new();
        for it in table.by_number.values() {
            *held.entry(&it.sender).or_default() += u64::from(it.kib);
        }
        let late = table.by_number.iter();
        let late = late.filter(|(_, it)| helps(it) && it.is_late(now));
        let of_most = late.max_by_key(|(number, it)| {
            let oldest = Reverse((it.since, **number));
            (held[it.sender.as_str()], oldest)
        });
        let Some(number) = of_most.map(|(number, _)| *number) else {
            return false;
        };
        if let Some(body) = table.by_number.remove(&number) {
            body.given_up.notify_one();
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while it is held")
    }
}

/// A body that comes, until this is dropped or it is known who sent it.
pub struct Arrival {
    arrivals: Arc<Arrivals>,
    number: u64,
    given_up: Arc<Notify>,
    room: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Arrival {
    /// Until somebody else has its room.
    pub async fn given_up(&self) {
        self.given_up.notified().await;
    }

    /// All of it is there, or its sender has shown who it is: it stays.
    pub fn settle(&self) {
        self.arrivals.lock().by_number.remove(&self.number);
        drop(
            self.room
                .lock()
                .expect("nothing panics while it is held")
                .take(),
        );
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.settle();
    }
}
