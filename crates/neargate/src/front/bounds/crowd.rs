//! Who is connected: so many connections of each client, and so many in all.
//!
//! A connection costs its client nothing, and nobody has shown anything who has merely opened one. So a
//! connection counts as *believed* only while a request is carried out whose signature or password was
//! found to be true; until then, and between requests, it may have to make room for another:
//!
//! ```text
//!             a whole head came        the signature is true
//!   waiting ────────────────────► doubted ────────────────────► believed
//!      ▲                              │                             │
//!      └──────────────────────────────┴─────────────────────────────┘
//!                           the answer has been sent
//! ```
//!
//! When a bound is reached, the oldest that is not believed goes. A client that sends its request when it
//! has connected is the youngest, so that no number of silent connections keeps it out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Holder;

/// Who has waited that long goes before anybody whose request is being answered: a head follows its
/// connection at once, and clients open an idle connection again without a word.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// No whole head has come yet, or none after the last answer.
    Waiting,
    /// A request is looked at or answered of which nobody knows whose it is.
    Doubted,
    /// A request is carried out that somebody has signed.
    Believed,
}

struct Member {
    holder: Holder,
    stage: Stage,
    since: Instant,
    evicted: Arc<Notify>,
}

#[derive(Default)]
struct Members {
    next: u64,
    by_number: HashMap<u64, Member>,
    of_holder: HashMap<Holder, usize>,
}

pub struct Crowd {
    most: usize,
    most_of_a_client: usize,
    members: Mutex<Members>,
}

impl Crowd {
    pub fn new(most: usize, most_of_a_client: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_a_client,
            members: Mutex::default(),
        })
    }

    /// A place for another connection of a client, if need be that of one who is not believed.
    pub fn enter(self: &Arc<Self>, holder: Holder) -> Option<Place> {
        let mut members = self.lock();
        let own = members.of_holder.get(&holder).copied().unwrap_or_default();
        if own >= self.most_of_a_client {
            members.evict_of(&holder).then_some(())?;
        }
        if members.by_number.len() >= self.most {
            members.evict_any().then_some(())?;
        }
        let number = members.next;
        members.next += 1;
        *members.of_holder.entry(holder.clone()).or_default() += 1;
        let evicted = Arc::new(Notify::new());
        let member = Member {
            holder,
            stage: Stage::Waiting,
            since: Instant::now(),
            evicted: evicted.clone(),
        };
        members.by_number.insert(number, member);
        Some(Place {
            crowd: self.clone(),
            number,
            evicted,
        })
    }

    /// Sends one away who is not believed, for the sake of its descriptor. Whether there was one.
    pub fn make_room(&self) -> bool {
        self.lock().evict_any()
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members
            .lock()
            .expect("nothing panics while it is held")
    }
}

impl Members {
    fn remove(&mut self, number: u64) -> Option<Member> {
        let member = self.by_number.remove(&number)?;
        if let Some(count) = self.of_holder.get_mut(&member.holder) {
            *count -= 1;
            if *count == 0 {
                self.of_holder.remove(&member.holder);
            }
        }
        Some(member)
    }

    fn evict_of(&mut self, holder: &Holder) -> bool {
        let now = Instant::now();
        let unbelieved = self
            .by_number
            .iter()
            .filter(|(_, it)| it.holder == *holder && it.stage != Stage::Believed);
        let first = unbelieved.min_by_key(|(number, it)| {
            let is_patient = it.stage == Stage::Waiting && now - it.since >= PATIENCE;
            (!is_patient, it.since, **number)
        });
        let Some(number) = first.map(|(number, _)| *number) else {
            return false;
        };
        if let Some(member) = self.remove(number) {
            member.evicted.notify_one();
        }
        true
    }

    /// One of whoever has most of them: who has few is not who fills the house.
    fn evict_any(&mut self) -> bool {
        let mut unbelieved: HashMap<&Holder, (usize, Instant)> = HashMap::new();
        for it in self.by_number.values() {
            if it.stage != Stage::Believed {
                let (count, oldest) = unbelieved.entry(&it.holder).or_insert((0, it.since));
                *count += 1;
                *oldest = it.since.min(*oldest);
            }
        }
        let most = (unbelieved.into_iter())
            .max_by_key(|(_, (count, oldest))| (*count, std::cmp::Reverse(*oldest)));
        let Some(holder) = most.map(|(holder, _)| holder.clone()) else {
            return false;
        };
        self.evict_of(&holder)
    }
}

/// A connection's place, until it is dropped or taken by another.
pub struct Place {
    crowd: Arc<Crowd>,
    number: u64,
    evicted: Arc<Notify>,
}

impl Place {
    /// Until another connection has taken this place.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// A request has begun: its whole head is there. It ends when the turn is dropped.
    pub fn begin(self: &Arc<Self>) -> Turn {
        self.set(Stage::Doubted);
        Turn(self.clone())
    }

    /// It is known who sent the request that is under way.
    pub fn believe(&self) {
        self.set(Stage::Believed);
    }

    fn set(&self, stage: Stage) {
        if let Some(member) = self.crowd.lock().by_number.get_mut(&self.number) {
            member.stage = stage;
            member.since = Instant::now();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lock().remove(self.number);
    }
}

/// A request that is being answered.
pub struct Turn(Arc<Place>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.set(Stage::Waiting);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt;

    use super::*;

    fn address(last: u8) -> Holder {
        Holder::address(IpAddr::from([192, 0, 2, last]))
    }

    fn enter(crowd: &Arc<Crowd>, holder: u8) -> Arc<Place> {
        Arc::new(crowd.enter(address(holder)).expect("there is room"))
    }

    fn is_evicted(place: &Place) -> bool {
        place.evicted().now_or_never().is_some()
    }

    /// One after the other, so that each is older than the next.
    async fn enter_all(crowd: &Arc<Crowd>, holder: u8, count: usize) -> Vec<Arc<Place>> {
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(enter(crowd, holder));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        all
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_makes_room_for_who_comes_the_oldest_first() {
        let crowd = Crowd::new(10, 4);
        let silent = enter_all(&crowd, 1, 4).await;
        let client = enter(&crowd, 1);
        assert!(is_evicted(&silent[0]));
        // Its request is under way while strangers go on to connect.
        let turn = client.begin();
        client.believe();
        let more = enter_all(&crowd, 1, 40).await;
        assert!(!is_evicted(&client));
        assert!(silent.iter().skip(1).all(|it| is_evicted(it)));
        assert!(more[..37].iter().all(|it| is_evicted(it)));
        assert!(!more[37..].iter().any(|it| is_evicted(it)));
        // Between requests it is one of many.
        drop(turn);
        enter_all(&crowd, 1, 4).await;
        assert!(is_evicted(&client));
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_half_a_request_does_not_stay_for_it() {
        let crowd = Crowd::new(10, 4);
        let silent = enter_all(&crowd, 1, 4).await;
        let _heads: Vec<Turn> = silent.iter().map(Place::begin).collect();
        enter(&crowd, 1);
        assert!(is_evicted(&silent[0]));
        // An idle one goes before any whose request is looked at.
        let crowd = Crowd::new(10, 2);
        let busy = enter(&crowd, 1);
        let _turn = busy.begin();
        let idle = enter(&crowd, 1);
        tokio::time::sleep(PATIENCE).await;
        enter(&crowd, 1);
        assert!(is_evicted(&idle) && !is_evicted(&busy));
    }

    #[tokio::test(start_paused = true)]
    async fn many_addresses_shut_nobody_out() {
        let crowd = Crowd::new(12 * 4, 4);
        let client = enter(&crowd, 100);
        let mut strangers = Vec::new();
        for holder in 0..12 {
            strangers.extend(enter_all(&crowd, holder, 4).await);
        }
        // Who has one connection keeps it, although it is the oldest.
        assert!(!is_evicted(&client));
        assert_eq!(strangers.iter().filter(|it| is_evicted(it)).count(), 1);
        for holder in 101..120 {
            let other = enter(&crowd, holder);
            let _turn = other.begin();
            other.believe();
            enter_all(&crowd, 1, 4).await;
            assert!(!is_evicted(&other));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_believed_is_never_sent_away() {
        let crowd = Crowd::new(3, 2);
        let all = [enter(&crowd, 1), enter(&crowd, 1), enter(&crowd, 2)];
        let _turns = all.each_ref().map(|it| {
            let turn = it.begin();
            it.believe();
            turn
        });
        assert!(crowd.enter(address(1)).is_none());
        assert!(crowd.enter(address(3)).is_none());
        assert!(!crowd.make_room());
        assert!(!all.iter().any(|it| is_evicted(it)));
    }

    #[test]
    fn places_are_given_back() {
        let crowd = Crowd::new(3, 2);
        let all = [enter(&crowd, 1), enter(&crowd, 1), enter(&crowd, 2)];
        // Taken by another and dropped: counted once.
        let other = enter(&crowd, 2);
        drop(all);
        assert_eq!(crowd.lock().by_number.len(), 1);
        drop(other);
        assert!(crowd.lock().by_number.is_empty());
        assert!(crowd.lock().of_holder.is_empty());
    }
}
