//! What many use at once, and what everybody has a share in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Turns of which there are so many, and so many of one user's. Whoever has that many waits for an end of their
/// own, so that others find a turn: a client that does not go on keeps its turns for long.
pub struct Shares {
    all: Arc<Semaphore>,
    of_one: usize,
    /// Of those who have turns or wait for one.
    own: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A turn, until it is dropped.
pub struct Turn {
    _permits: [OwnedSemaphorePermit; 2],
}

impl Shares {
    pub fn new(all: usize, of_one: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            of_one,
            own: Mutex::default(),
        }
    }

    /// Waits for a turn of one user's.
    pub async fn take(&self, who: &str) -> Turn {
        let own = permit(self.of(who)).await;
        let any = permit(self.all.clone()).await;
        Turn {
            _permits: [own, any],
        }
    }

    fn of(&self, who: &str) -> Arc<Semaphore> {
        let mut known = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, it| it.strong_count() > 0);
        if let Some(own) = known.get(who).and_then(Weak::upgrade) {
            return own;
        }
        let own = Arc::new(Semaphore::new(self.of_one));
        known.insert(who.to_owned(), Arc::downgrade(&own));
        own
    }
}

async fn permit(of: Arc<Semaphore>) -> OwnedSemaphorePermit {
    of.acquire_owned().await.expect("it is never closed")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_user_leaves_turns_for_others() {
        let shares = Shares::new(3, 2);
        let mut held = vec![shares.take("a").await, shares.take("a").await];
        let waits = tokio::time::timeout(Duration::from_secs(1), shares.take("a"));
        assert!(waits.await.is_err());
        drop(shares.take("b").await);
        held.pop();
        held.push(shares.take("a").await);
        drop(held);
        drop(shares.take("c").await);
        let known = shares.own.lock().unwrap().len();
        assert_eq!(known, 1, "who is gone is forgotten");
    }
}
