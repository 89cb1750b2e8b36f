//! Which registry hosts are this machine's own.

use std::fmt;
use std::sync::Arc;

/// Decides whether a registry host name means the embedded registry. Such names are never asked of
/// the network.
#[derive(Clone)]
pub struct EmbeddedHosts(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl EmbeddedHosts {
    pub fn matching(decide: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }
    pub fn contains(&self, host: &str) -> bool {
        (self.0)(host)
    }
}

impl fmt::Debug for EmbeddedHosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmbeddedHosts")
    }
}
