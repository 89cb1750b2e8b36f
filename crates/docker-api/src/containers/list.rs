//! `ps`: which containers are listed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::Container;
use super::record::{Record, Status};
use super::show::{health_word, networks, summary};
use crate::answer::{self, Answer, Refusal};
use crate::disk::{blocking, bytes_below};
use crate::docker::Docker;
use crate::query::{Filters, Patterns};
use crate::routes::Call;

const FILTERS: &[&str] = &[
    "id", "name", "label", "label!", "status", "ancestor", "network", "volume", "exited", "health",
    "before", "since", "is-task", "publish", "expose",
];

struct Asked<'a> {
    filters: &'a Filters,
    ids: Patterns,
    names: Patterns,
    /// What `ancestor` names.
    images: BTreeMap<String, engine::Digest>,
    /// Made after all of these, and before all of those.
    since_ms: Option<i64>,
    before_ms: Option<i64>,
    publish: Vec<Ports>,
    expose: Vec<Ports>,
}

/// `80`, `80/udp`, `8000-8010/tcp`.
struct Ports {
    first: u16,
    last: u16,
    protocol: String,
}

impl Ports {
    fn parse(text: &str) -> Result<Self, Refusal> {
        let bad = || Refusal::bad(format!("invalid port: `{text}`"));
        let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Ok(Self {
            first: first.parse().map_err(|_| bad())?,
            last: last.parse().map_err(|_| bad())?,
            protocol: protocol.to_owned(),
        })
    }

    fn has(&self, port: u16, protocol: &str) -> bool {
        (self.first..=self.last).contains(&port) && self.protocol == protocol
    }
}

impl<'a> Asked<'a> {
    async fn new(docker: &Docker, filters: &'a Filters) -> Result<Self, Refusal> {
        let mut images = BTreeMap::new();
        for text in filters.get("ancestor") {
            if let Ok(found) = docker.find_image(text).await {
                images.insert(text.clone(), found.id);
            }
        }
        let made = |name: &str| -> Result<Vec<i64>, Refusal> {
            let texts = filters.get(name).iter();
            let of = |text: &String| Ok(docker.containers.find(text)?.record().created_ms);
            texts.map(of).collect()
        };
        let ports = |name: &str| -> Result<Vec<Ports>, Refusal> {
            filters
                .get(name)
                .iter()
                .map(|it| Ports::parse(it))
                .collect()
        };
        Ok(Self {
            filters,
            ids: filters.patterns("id"),
            names: filters.patterns("name"),
            images,
            since_ms: made("since")?.into_iter().max(),
            before_ms: made("before")?.into_iter().min(),
            publish: ports("publish")?,
            expose: ports("expose")?,
        })
    }

    fn passes(&self, docker: &Docker, container: &Container, record: &Record) -> bool {
        let filters = self.filters;
        self.ids.fits(&record.id)
            && self.names.fits_name(&record.name)
            && self.since_ms.is_none_or(|it| record.created_ms > it)
            && self.before_ms.is_none_or(|it| record.created_ms < it)
            && filters.any("status", |it| record.status_word() == it)
            && filters.any("health", |it| {
                health_word(container, record).unwrap_or("none") == it
            })
            && filters.any("exited", |it| {
                record.state.status == Status::Exited && it.parse() == Ok(record.state.exit_code)
            })
            && filters.any("ancestor", |it| {
                record.image == it || self.images.get(it) == Some(&record.image_id)
            })
            && filters.any("network", |it| is_in(docker, record, it))
            && filters.any("volume", |it| {
                let mut mounts = record.mounts.iter();
                mounts.any(|mount| mount.name == it || mount.destination == it)
            })
            && self.passes_ports(record)
            && filters.any("is-task", |it| it == "false")
            && filters.labels(&record.config.labels)
    }

    fn passes_ports(&self, record: &Record) -> bool {
        let mut bound = record.state.bound.iter();
        let is_bound = bound.any(|port| {
            let mut wanted = self.publish.iter();
            wanted.any(|it| it.has(port.container_port, port.protocol.word()))
        });
        let mut exposed = record.config.exposed_ports.keys();
        let is_exposed = exposed.any(|text| {
            let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let port = port.parse().unwrap_or_default();
            self.expose.iter().any(|it| it.has(port, protocol))
        });
        (self.publish.is_empty() || is_bound) && (self.expose.is_empty() || is_exposed)
    }
}

fn is_in(docker: &Docker, record: &Record, text: &str) -> bool {
    networks(docker, record).iter().any(|(name, value)| {
        let id = value["NetworkID"].as_str();
        name == text || id.is_some_and(|it| it.starts_with(text))
    })
}

/// `GET /containers/json`
pub async fn list(call: Call) -> Answer {
    let filters = call.query.filters(FILTERS)?;
    let limit = call.query.number("limit")?.filter(|it| *it > 0);
    let asks_status = !filters.get("status").is_empty() || !filters.get("exited").is_empty();
    let all = call.query.flag("all") || limit.is_some() || asks_status;
    let docker = &call.docker;
    let asked = Asked::new(docker, &filters).await?;
    let mut containers = docker.containers.all();
    containers.sort_by_key(|it| std::cmp::Reverse(it.record().created_ms));
    containers.retain(|container| {
        let record = container.record();
        (all || record.is_alive()) && asked.passes(docker, container, &record)
    });
    containers.truncate(limit.map_or(usize::MAX, |it| it as usize));
    let mut shown: Vec<Value> = containers
        .iter()
        .map(|it| summary(&it.record(), Some((docker, it))))
        .collect();
    if call.query.flag("size") {
        for (summary, container) in shown.iter_mut().zip(&containers) {
            let sizes = docker.sizes(container).await?;
            summary["SizeRw"] = json!(sizes.own);
            summary["SizeRootFs"] = json!(sizes.whole);
        }
    }
    answer::ok(json!(shown))
}

/// Bytes of a container's root.
pub struct Sizes {
    /// What it changed.
    pub own: u64,
    /// With its image.
    pub whole: u64,
}

impl Docker {
    pub(crate) async fn sizes(&self, container: &Arc<Container>) -> Result<Sizes, Refusal> {
        let upper = container.upper();
        let own = blocking(move || Ok(bytes_below(&upper))).await?;
        let image = self.local_image(&container.record().image_id).await?;
        let below = image.map_or(0, |it| it.size_bytes);
        Ok(Sizes {
            own,
            whole: own + below,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_or_ranges() {
        let check = |text: &str, port: u16, protocol: &str, expect: bool| {
            let ports = Ports::parse(text).ok().unwrap();
            assert_eq!(ports.has(port, protocol), expect, "{text}");
        };
        check("80", 80, "tcp", true);
        check("80", 80, "udp", false);
        check("53/udp", 53, "udp", true);
        check("8000-8010", 8010, "tcp", true);
        check("8000-8010", 8011, "tcp", false);
        for text in ["", "x", "1-", "70000"] {
            assert!(Ports::parse(text).is_err(), "{text}");
        }
    }
}
