//! The loop that brings the world to what the records say.
//!
//! Keys are queued (by a commit, a timer, or something the engine saw), and each is reconciled: one
//! at a time per key, many keys at once. A wake-up carries no data; a key that is woken while it is
//! being reconciled is reconciled once more. An error is tried again with growing delays. Recovery
//! after a crash is the boot path: every key is queued.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The first delay after an error; it doubles from there.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);
/// Errors here are the machine's (a full disk, a lost process): looked at again this often.
const BACK_OFF_MAX: Duration = Duration::from_secs(15);

/// What is reconciled: a kind of record and a record's key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub kind: &'static str,
    pub key: String,
}

/// When to look at a key again, should nothing wake it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing is left to do until something changes.
    Idle,
    After(Duration),
}

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Outcome = Pin<Box<dyn Future<Output = Result<Next, Error>> + Send>>;
pub type Reconcile = Arc<dyn Fn(Key) -> Outcome + Send + Sync>;

/// The queue. Cheap to clone; the loop itself is [`Converge::run`].
#[derive(Clone, Default)]
pub struct Converge {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    keys: Mutex<Keys>,
    work: Notify,
}

#[derive(Default)]
struct Keys {
    states: HashMap<Key, State>,
    /// Timers by time; the number keeps two at one instant apart.
    timers: BTreeMap<(Instant, u64), Key>,
    ready: Vec<Key>,
    sequence: u64,
    stopped: bool,
}

#[derive(Default)]
struct State {
    running: bool,
    /// Woken since it was last taken up.
    dirty: bool,
    timer: Option<(Instant, u64)>,
    failures: u32,
}

impl Converge {
    /// Queues a key.
    pub fn wake(&self, kind: &'static str, key: impl Into<String>) {
        let key = Key {
            kind,
            key: key.into(),
        };
        self.lock().wake(key);
        self.shared.work.notify_one();
    }

    /// Queues every key that waits for a time: what that time is was told by a clock that has been set
    /// since. What is being reconciled now may have read it, too, and is reconciled once more.
    pub fn wake_timers(&self) {
        self.lock().wake_timers();
        self.shared.work.notify_one();
    }

    /// Ends the loop after what is under way.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.shared.work.notify_one();
    }

    /// Reconciles queued keys until [`Converge::stop`].
    pub async fn run(&self, reconcile: Reconcile) {
        let mut running: JoinSet<(Key, Result<Next, Error>)> = JoinSet::new();
        loop {
            let (ready, next_timer, stopped) = self.lock().take_ready(Instant::now());
            if stopped {
                break;
            }
            for key in ready {
                let work = reconcile(key.clone());
                running.spawn(async move { (key, guarded(work).await) });
            }
            let timer = async {
                match next_timer {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.shared.work.notified() => {}
                () = timer => {}
                Some(done) = running.join_next(), if !running.is_empty() => {
                    if let Ok((key, outcome)) = done {
                        self.lock().finished(key, outcome, Instant::now());
                    }
                }
            }
        }
        while running.join_next().await.is_some() {}
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Keys> {
        self.shared
            .keys
            .lock()
            .expect("nothing panics while the queue is locked")
    }
}

/// A reconciler that panics is an error of that key, never the end of the loop.
async fn guarded(work: Outcome) -> Result<Next, Error> {
    match tokio::spawn(work).await {
        Ok(outcome) => outcome,
        Err(error) => Err(Box::new(error)),
    }
}

impl Keys {
    fn wake(&mut self, key: Key) {
        let state = self.states.entry(key.clone()).or_default();
        let queued = std::mem::replace(&mut state.dirty, true);
        if !queued && !state.running {
            self.ready.push(key);
        }
    }

    fn wake_timers(&mut self) {
        let waits = |it: &State| it.timer.is_some() || it.running;
        let waiting = self.states.iter().filter(|it| waits(it.1));
        let waiting: Vec<Key> = waiting.map(|it| it.0.clone()).collect();
        for key in waiting {
            self.wake(key);
        }
    }

    /// Keys to reconcile now, and when the next timer is due.
    fn take_ready(&mut self, now: Instant) -> (Vec<Key>, Option<Instant>, bool) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            if let Some(state) = self.states.get_mut(&key) {
                state.timer = None;
            }
            self.wake(key);
        }
        let ready = std::mem::take(&mut self.ready);
        for key in &ready {
            let state = self.states.entry(key.clone()).or_default();
            state.running = true;
            state.dirty = false;
            if let Some(timer) = state.timer.take() {
                self.timers.remove(&timer);
            }
        }
        (
            ready,
            self.timers.first_key_value().map(|((at, _), _)| *at),
            self.stopped,
        )
    }

    fn finished(&mut self, key: Key, outcome: Result<Next, Error>, now: Instant) {
        let Some(state) = self.states.get_mut(&key) else {
            return;
        };
        state.running = false;
        let wait = match outcome {
            Ok(next) => {
                state.failures = 0;
                match next {
                    Next::Idle => None,
                    Next::After(delay) => Some(delay),
                }
            }
            Err(error) => {
                let delay = back_off(state.failures);
                state.failures = state.failures.saturating_add(1);
                tracing::warn!(
                    kind = key.kind,
                    key = key.key,
                    error = chain(&*error),
                    "will be tried again"
                );
                Some(delay)
            }
        };
        if state.dirty {
            self.ready.push(key);
        } else if let Some(delay) = wait {
            self.sequence += 1;
            let timer = (now + delay, self.sequence);
            state.timer = Some(timer);
            self.timers.insert(timer, key);
        } else {
            // An idle key costs nothing: it is forgotten until it is woken.
            self.states.remove(&key);
        }
    }
}

fn back_off(failures: u32) -> Duration {
    BACK_OFF_MIN
        .saturating_mul(1 << failures.min(16))
        .min(BACK_OFF_MAX)
}

/// An error with all its causes, for a log line.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        out.push_str(": ");
        out.push_str(&error.to_string());
        cause = error.source();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn start(reconcile: impl Fn(Key) -> Outcome + Send + Sync + 'static) -> Converge {
        let converge = Converge::default();
        let it = converge.clone();
        tokio::spawn(async move { it.run(Arc::new(reconcile)).await });
        converge
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_woken_while_it_runs_is_reconciled_once_more_and_never_twice_at_once() {
        let (runs, at_once) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (seen, busy) = (runs.clone(), at_once.clone());
        let converge = start(move |_| {
            let (seen, busy) = (seen.clone(), busy.clone());
            Box::pin(async move {
                assert_eq!(busy.fetch_add(1, Ordering::SeqCst), 0);
                tokio::time::sleep(Duration::from_millis(10)).await;
                busy.fetch_sub(1, Ordering::SeqCst);
                seen.fetch_add(1, Ordering::SeqCst);
                Ok(Next::Idle)
            })
        });
        converge.wake("k", "a");
        tokio::time::sleep(Duration::from_millis(5)).await;
        converge.wake("k", "a");
        converge.wake("k", "a");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn errors_and_panics_are_tried_again_until_it_works() {
        let runs = Arc::new(AtomicU32::new(0));
        let seen = runs.clone();
        let converge = start(move |_| {
            let run = seen.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                match run {
                    0 => Err("no luck".into()),
                    1 => panic!("worse"),
                    _ => Ok(Next::Idle),
                }
            })
        });
        converge.wake("k", "a");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(runs.load(Ordering::SeqCst), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_a_time_looks_again_once_when_the_clock_is_set() {
        let runs = Arc::new(Mutex::new(Vec::new()));
        let seen = runs.clone();
        let converge = start(move |key| {
            seen.lock().unwrap().push(key.key.clone());
            Box::pin(async move {
                if key.key == "busy" {
                    tokio::time::sleep(Duration::from_secs(2)).await;
                }
                Ok(match key.key.as_str() {
                    "idle" | "busy" => Next::Idle,
                    _ => Next::After(Duration::from_secs(3600)),
                })
            })
        });
        let pause = || tokio::time::sleep(Duration::from_millis(10));
        let taken = || {
            let mut taken = std::mem::take(&mut *runs.lock().unwrap());
            taken.sort();
            taken
        };
        for key in ["a", "b", "idle"] {
            converge.wake("k", key);
        }
        pause().await;
        assert_eq!(taken(), ["a", "b", "idle"]);
        converge.wake("k", "busy");
        pause().await;
        assert_eq!(taken(), ["busy"]);
        converge.wake_timers();
        converge.wake_timers();
        pause().await;
        assert_eq!(taken(), ["a", "b"]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(taken(), ["busy"]);
        // Their timers are as they were.
        tokio::time::sleep(Duration::from_secs(3602)).await;
        assert_eq!(taken(), ["a", "b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_wakes_its_key_and_a_wake_up_replaces_it() {
        let times = Arc::new(Mutex::new(Vec::new()));
        let seen = times.clone();
        let began = Instant::now();
        let converge = start(move |_| {
            let count = {
                let mut times = seen.lock().unwrap();
                times.push(began.elapsed().as_millis());
                times.len()
            };
            Box::pin(async move {
                Ok(if count < 3 {
                    Next::After(Duration::from_millis(100))
                } else {
                    Next::Idle
                })
            })
        });
        converge.wake("k", "a");
        tokio::time::sleep(Duration::from_millis(50)).await;
        converge.wake("k", "a");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let times: Vec<u128> = times
            .lock()
            .unwrap()
            .iter()
            .map(|it| it / 10 * 10)
            .collect();
        assert_eq!(times, [0, 50, 150]);
    }
}
