//! A steady load, with every failed request counted.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http::{Connection, get};

/// Clients that keep their connection, and as many that open one for each request.
const CLIENTS_OF_EACH_KIND: usize = 2;
/// Between a client's requests: steady, and leaves the two cores to what is tested.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub answered: usize,
    /// What went wrong, and how often.
    pub failed: BTreeMap<String, usize>,
    /// Answers by what `classify` made of their bodies.
    pub seen: BTreeMap<String, usize>,
}

impl Tally {
    #[track_caller]
    pub fn assert_none_failed(&self) {
        assert!(self.failed.is_empty(), "requests failed: {self:?}");
        assert!(self.answered > 0, "no request was sent: {self:?}");
    }
}

pub struct Load {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Asks for `target` without end. `classify` names what an answer's body is.
    pub fn start(
        address: SocketAddr,
        host: &str,
        target: &str,
        classify: fn(&str) -> &'static str,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let clients = (0..2 * CLIENTS_OF_EACH_KIND).map(|number| {
            let client = Client {
                address,
                host: host.to_owned(),
                target: target.to_owned(),
                keeps_connection: number % 2 == 0,
                classify,
                stop: stop.clone(),
                tally: tally.clone(),
            };
            std::thread::spawn(move || client.run())
        });
        let clients = clients.collect();
        Self {
            stop,
            tally,
            clients,
        }
    }

    pub fn tally(&self) -> Tally {
        self.tally.lock().expect("clients do not panic").clone()
    }

    pub fn stop(mut self) -> Tally {
        self.end();
        self.tally()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

struct Client {
    address: SocketAddr,
    host: String,
    target: String,
    keeps_connection: bool,
    classify: fn(&str) -> &'static str,
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
}

impl Client {
    fn run(&self) {
        let mut kept = None;
        while !self.stop.load(Ordering::Relaxed) {
            let answer = if self.keeps_connection {
                self.ask_on(&mut kept)
            } else {
                get(self.address, &self.host, &self.target)
            };
            let mut tally = self.tally.lock().expect("clients do not panic");
            match answer {
                Ok(answer) if answer.status == 200 => {
                    tally.answered += 1;
                    let class = (self.classify)(&answer.text());
                    *tally.seen.entry(class.to_owned()).or_default() += 1;
                }
                Ok(answer) => {
                    let what = format!("{}: {}", answer.status, answer.text());
                    *tally.failed.entry(what).or_default() += 1;
                }
                Err(error) => {
                    kept = None;
                    *tally.failed.entry(error.to_string()).or_default() += 1;
                }
            }
            drop(tally);
            std::thread::sleep(PAUSE);
        }
    }

    fn ask_on(&self, kept: &mut Option<Connection>) -> std::io::Result<crate::http::Answer> {
        if kept.is_none() {
            *kept = Some(Connection::open(self.address)?);
        }
        let connection = kept.as_mut().expect("it was opened above");
        let answer = connection.ask("GET", &self.target, &[("host", &self.host)], &[])?;
        if answer.header("connection") == Some("close") {
            // A server may end a connection after any answer, when it says so.
            *kept = None;
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tests rely on when they say that no request failed.
    #[test]
    fn what_fails_is_counted() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let closing = std::thread::spawn(move || drop(listener.accept()));
        let load = Load::start(address, "page", "/", |_| "any");
        closing.join().unwrap();
        crate::eventually("failures are seen", || match load.tally().failed.len() {
            0 => Err("none yet".into()),
            _ => Ok(()),
        });
        assert_eq!(load.stop().answered, 0);
    }
}
