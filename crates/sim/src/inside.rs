//! Doors inside interfaces, remembered.

use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::sync::Mutex;

use async_trait::async_trait;
use engine::{Inside, Result};

#[derive(Default)]
pub struct SimInside {
    open: Mutex<BTreeSet<(String, SocketAddrV4)>>,
}

impl SimInside {
    /// The interfaces that have a door.
    pub fn open_doors(&self) -> Vec<String> {
        let open = self.open.lock().expect("nothing panics while it is held");
        let mut all: Vec<String> = open.iter().map(|it| it.0.clone()).collect();
        all.dedup();
        all
    }

    /// Whether an interface has a door there.
    pub fn is_open_at(&self, interface: &str, at: SocketAddrV4) -> bool {
        let open = self.open.lock().expect("nothing panics while it is held");
        open.contains(&(interface.to_owned(), at))
    }
}

#[async_trait]
impl Inside for SimInside {
    async fn open_at(&self, interface: &str, at: SocketAddrV4) -> Result<()> {
        let mut open = self.open.lock().expect("nothing panics while it is held");
        open.insert((interface.to_owned(), at));
        Ok(())
    }
    fn close(&self, interface: &str) {
        let mut open = self.open.lock().expect("nothing panics while it is held");
        open.retain(|it| it.0 != interface);
    }
}
