//! Convergent records: each kind has a reconciler that reads the record, plans, applies one step
//! through the engine or another service, and commits what it learnt.

use async_trait::async_trait;
use converge::Next;
use engine::{Changes, Engine};

use crate::{Cloud, Cx};

#[async_trait]
pub trait Reconciler: Send + Sync {
    /// The [`crate::Record::KIND`] whose commits wake it.
    fn kind(&self) -> &'static str;

    /// Every key that may need work: all are woken at start-up, which is the whole of recovery. Usually
    /// [`all_keys`].
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, store::StoreError>;

    /// The region of a key, for the calls that are made on its behalf. By default keys begin with it.
    fn region(&self, key: &str) -> String {
        key.split('/').next().unwrap_or_default().to_owned()
    }

    /// Brings one record closer to what is desired. Must be idempotent: it is repeated after a
    /// crash at any point, and after an error.
    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error>;
}

/// Something of the engine that wakes keys.
pub struct Watch {
    /// Subscribes.
    pub changes: fn(&Engine) -> Changes,
    /// The keys that a changed engine id concerns: kind and key.
    pub keys: fn(&Cloud, &str) -> Vec<(&'static str, String)>,
}

/// The keys of every record of a kind, for [`Reconciler::keys`].
pub fn all_keys<R: store::Record>(cloud: &Cloud) -> Result<Vec<String>, store::StoreError> {
    cloud.store.read(|tx| tx.keys::<R>(""))
}
