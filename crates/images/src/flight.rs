//! Work that several callers want at once is done once.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{EngineError, Result};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};

type Work<V> = BoxFuture<'static, Result<V, Arc<EngineError>>>;

/// Work under way, by key. Callers that come while it runs share its outcome, also when it fails;
/// work whose every caller went away is dropped.
pub struct Flights<K, V: Clone>(Mutex<HashMap<K, WeakShared<Work<V>>>>);

impl<K: Clone + Eq + Hash, V: Clone + Send + Sync + 'static> Flights<K, V> {
    pub fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    pub async fn run<F>(&self, key: K, start: impl FnOnce() -> F) -> Result<V>
    where
        F: Future<Output = Result<V>> + Send + 'static,
    {
        let work = self.join(key.clone(), start);
        let outcome = work.clone().await;
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Someone may have begun the next flight already; only the finished one is forgotten.
        if flights
            .get(&key)
            .is_some_and(|weak| weak.upgrade().is_none_or(|current| current.ptr_eq(&work)))
        {
            flights.remove(&key);
        }
        outcome.map_err(|error| copy(&error))
    }

    fn join<F>(&self, key: K, start: impl FnOnce() -> F) -> Shared<Work<V>>
    where
        F: Future<Output = Result<V>> + Send + 'static,
    {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(work) = flights.get(&key).and_then(WeakShared::upgrade) {
            return work;
        }
        // Flights that were given up by all who waited.
        flights.retain(|_, weak| weak.upgrade().is_some());
        let work: Work<V> = Box::pin(start().map(|outcome| outcome.map_err(Arc::new)));
        let work = work.shared();
        if let Some(weak) = work.downgrade() {
            flights.insert(key, weak);
        }
        work
    }
}

/// An error can be told to several callers; the chain of causes becomes text.
fn copy(error: &EngineError) -> EngineError {
    EngineError {
        lack: error.lack,
        ..EngineError::new(error.fault, error.chain())
    }
}
