//! Connections that changed their protocol, such as WebSockets: bytes in both directions until
//! one side ends, nothing has moved for the idle time, or the target is cut.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use super::group::{InFlight, Target};
use super::worker::Client;

pub struct Tunnel {
    pub client: Rc<Client>,
    pub target: Arc<Target>,
    pub idle_timeout: Duration,
    pub client_side: OnUpgrade,
    pub target_side: OnUpgrade,
}

/// The headers that ask for an upgrade or grant it.
pub fn announce(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

impl Tunnel {
    /// Runs beside the connection that it takes over, and counts as a request under way.
    pub fn start(self, in_flight: Option<InFlight>) {
        let open = self.client.worker.count_connection();
        let under_way = self.client.activity.begin();
        tokio::task::spawn_local(async move {
            self.run().await;
            drop((in_flight, open, under_way));
        });
    }

    async fn run(self) {
        let (Ok(client), Ok(target)) = (self.client_side.await, self.target_side.await) else {
            return;
        };
        let (mut client, mut target) = (TokioIo::new(client), TokioIo::new(target));
        let mut stop = self.client.worker.stop.clone();
        tokio::select! {
            // Either side ends a tunnel as it likes; that is not an error of ours.
            _ = tokio::io::copy_bidirectional(&mut client, &mut target) => {}
            () = self.client.activity.died_down(self.idle_timeout) => {}
            () = self.client.worker.pool.cut_off(&self.target) => {}
            _ = stop.wait_for(|stopping| *stopping) => {}
        }
    }
}
