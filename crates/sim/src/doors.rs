//! Those who are attached to simulated containers, and what was asked of these.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use engine::{Attached, OutputStream};
use tokio::sync::mpsc;

/// As many pieces as a machine that is there keeps.
const PIECES_MAX: usize = 8;

type Output = mpsc::Sender<(OutputStream, Bytes)>;
type Inputs = Vec<mpsc::Receiver<Bytes>>;

/// By task and container.
#[derive(Default)]
pub(crate) struct Doors(Mutex<HashMap<(String, String), Door>>);

#[derive(Default)]
struct Door {
    outputs: Vec<Output>,
    inputs: Inputs,
    heard: Vec<u8>,
    asked: Vec<String>,
}

impl Doors {
    fn door<T>(&self, id: &str, container: &str, work: impl FnOnce(&mut Door) -> T) -> T {
        let mut doors = self.all();
        let key = (id.to_owned(), container.to_owned());
        work(doors.entry(key).or_default())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(String, String), Door>> {
        self.0.lock().expect("no panic")
    }

    pub fn attach(&self, id: &str, container: &str, has_input: bool) -> Attached {
        let (output, received) = mpsc::channel(PIECES_MAX);
        let input = has_input.then(|| mpsc::channel(PIECES_MAX));
        let (input, taken) = input.unzip();
        self.door(id, container, |door| {
            door.outputs.push(output);
            door.inputs.extend(taken);
        });
        Attached {
            input,
            output: received,
        }
    }

    pub fn listeners(&self, id: &str, container: &str) -> Vec<Output> {
        self.door(id, container, |door| {
            door.outputs.retain(|output| !output.is_closed());
            door.outputs.clone()
        })
    }

    pub fn heard(&self, id: &str, container: &str) -> String {
        self.door(id, container, |door| {
            for input in &mut door.inputs {
                while let Ok(bytes) = input.try_recv() {
                    door.heard.extend_from_slice(&bytes);
                }
            }
            String::from_utf8_lossy(&door.heard).into_owned()
        })
    }

    pub fn ask(&self, id: &str, container: &str, what: String) {
        self.door(id, container, |door| door.asked.push(what));
    }

    pub fn asked(&self, id: &str, container: &str) -> Vec<String> {
        self.door(id, container, |door| door.asked.clone())
    }

    /// The task has ended: so has all output.
    pub fn close(&self, id: &str) {
        let mut doors = self.all();
        for (_, door) in doors.iter_mut().filter(|(key, _)| key.0 == id) {
            door.outputs.clear();
            door.inputs.clear();
        }
    }
}
