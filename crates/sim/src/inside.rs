//! Doors inside interfaces, remembered.

use std::collections::BTreeSet;
use std::sync::Mutex;

use async_trait::async_trait;
use engine::{Inside, Result};

#[derive(Default)]
pub struct SimInside {
    open: Mutex<BTreeSet<String>>,
}

impl SimInside {
    /// The interfaces that have a door.
    pub fn open_doors(&self) -> Vec<String> {
        let open = self.open.lock().expect("nothing panics while it is held");
        open.iter().cloned().collect()
    }
}

#[async_trait]
impl Inside for SimInside {
    async fn open(&self, interface: &str) -> Result<()> {
        let mut open = self.open.lock().expect("nothing panics while it is held");
        open.insert(interface.to_owned());
        Ok(())
    }
    fn close(&self, interface: &str) {
        let mut open = self.open.lock().expect("nothing panics while it is held");
        open.remove(interface);
    }
}
