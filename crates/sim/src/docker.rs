//! Docker engines of builds: which are open is all there is to them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use engine::{BuildEngines, Result};

#[derive(Default)]
pub struct SimDocker {
    open: Mutex<BTreeMap<String, String>>,
}

impl SimDocker {
    /// Those that are open, and whose cache each uses.
    pub fn open(&self) -> Vec<(String, String)> {
        let open = self.open.lock().expect("no panic");
        open.clone().into_iter().collect()
    }

    /// As when the daemon dies: nothing is served until it is asked for again.
    pub fn forget(&self) {
        self.open.lock().expect("no panic").clear();
    }
}

#[async_trait]
impl BuildEngines for SimDocker {
    async fn open(&self, build: &str, cache: &str) -> Result<Option<PathBuf>> {
        let mut open = self.open.lock().expect("no panic");
        open.insert(build.to_owned(), cache.to_owned());
        Ok(Some(PathBuf::from("/sim/docker").join(build)))
    }
    async fn close(&self, build: &str) -> Result<()> {
        self.open.lock().expect("no panic").remove(build);
        Ok(())
    }
}
