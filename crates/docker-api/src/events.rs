//! What happened, for whoever asks for a stream of it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use bytes::Bytes;
use http::{Response, header};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use crate::answer::{self, Answer, Refusal};
use crate::clock::{self, now_ms};
use crate::limits::{EVENTS_KEPT, PIECES_MAX};
use crate::query::Filters;
use crate::routes::Call;

#[derive(Debug, Clone)]
pub struct Event {
    pub kind: &'static str,
    pub action: String,
    pub id: String,
    pub attributes: BTreeMap<String, String>,
    pub time_ms: i64,
}

pub struct Events {
    sender: broadcast::Sender<Event>,
    kept: Mutex<VecDeque<Event>>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            sender: broadcast::channel(EVENTS_KEPT).0,
            kept: Mutex::default(),
        }
    }
}

impl Events {
    pub fn tell(&self, event: Event) {
        let mut kept = self.kept.lock().expect("no holder panics");
        if kept.len() == EVENTS_KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // With the lock held, so that a listener that looked at what is kept misses none.
        let _ = self.sender.send(event);
    }

    fn listen(&self) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let kept = self.kept.lock().expect("no holder panics");
        (kept.iter().cloned().collect(), self.sender.subscribe())
    }
}

impl Event {
    pub fn image(action: &str, id: &str, name: Option<&str>) -> Self {
        let name = name.map(|it| ("name".to_owned(), it.to_owned()));
        Self {
            kind: "image",
            action: action.to_owned(),
            id: id.to_owned(),
            attributes: name.into_iter().collect(),
            time_ms: now_ms(),
        }
    }

    fn json(&self) -> Value {
        let mut value = json!({
            "Type": self.kind, "Action": self.action, "scope": "local",
            "Actor": { "ID": self.id, "Attributes": self.attributes },
            "time": self.time_ms / 1000, "timeNano": self.time_ms * 1_000_000,
        });
        if matches!(self.kind, "container" | "image") {
            value["status"] = json!(self.action);
            value["id"] = json!(self.id);
        }
        if self.kind == "container" {
            value["from"] = json!(self.attributes.get("image"));
        }
        value
    }

    fn passes(&self, filters: &Filters) -> bool {
        let of = |kind: &str, wanted: &str| {
            let name = self.attributes.get("name");
            self.kind == kind
                && (self.id.starts_with(wanted)
                    || name.is_some_and(|it| it.split(':').next() == Some(wanted) || it == wanted))
        };
        let from = self.attributes.get("image").map(String::as_str);
        let of_image = |it: &str| of("image", it) || from == Some(it);
        filters.any("type", |it| it == self.kind)
            && filters.any("event", |it| {
                it == self.action || self.action.split(':').next() == Some(it)
            })
            && filters.any("container", |it| of("container", it))
            && filters.any("image", of_image)
            && filters.any("network", |it| of("network", it))
            && filters.any("volume", |it| of("volume", it))
            && filters.any("scope", |it| it == "local")
            && filters.labels(&self.attributes)
    }
}

const FILTERS: &[&str] = &[
    "type",
    "event",
    "container",
    "image",
    "network",
    "volume",
    "label",
    "scope",
    "daemon",
];

/// `GET /events`
pub async fn stream(call: Call) -> Answer {
    let filters = call.query.filters(FILTERS)?;
    let time = |name: &str| -> Result<Option<i64>, Refusal> {
        let parse = |text: &str| {
            clock::parse(text)
                .ok_or_else(|| Refusal::bad(format!("`{name}` is not a time: `{text}`")))
        };
        call.query.get(name).map(parse).transpose()
    };
    let (since, until) = (time("since")?, time("until")?);
    let (kept, mut live) = call.docker.events.listen();
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    tokio::spawn(async move {
        let wanted = |event: &Event| {
            event.passes(&filters) && until.is_none_or(|until| event.time_ms <= until)
        };
        let line = |event: &Event| Ok(Bytes::from(event.json().to_string() + "\n"));
        let past = kept
            .iter()
            .filter(|it| since.is_some_and(|since| it.time_ms >= since) && wanted(it));
        for event in past {
            if sender.send(line(event)).await.is_err() {
                return;
            }
        }
        loop {
            let left = until.map_or(i64::from(u32::MAX), |until| (until - now_ms()).max(0));
            let wait = std::time::Duration::from_millis(left as u64);
            let event = tokio::select! {
                event = live.recv() => event,
                () = tokio::time::sleep(wait) => return,
                () = sender.closed() => return,
            };
            match event {
                Ok(event) if wanted(&event) => {
                    if sender.send(line(&event)).await.is_err() {
                        return;
                    }
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return,
            }
        }
    });
    let mut response = Response::new(answer::pieces(receiver));
    answer::set(&mut response, header::CONTENT_TYPE, "application/json");
    Ok(response)
}
