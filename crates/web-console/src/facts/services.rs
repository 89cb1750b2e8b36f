//! All services of the region.

use cloud::{Cx, Error};
use serde::Serialize;
use shapes::ecs::Service;
use why::list;

use super::{ServiceSummary, now_ms, summary};

/// More services are not looked at for one page.
pub const SERVICES_MAX: usize = 500;

#[derive(Debug, Clone, Serialize)]
pub struct ServicesFacts {
    pub services: Vec<ServiceSummary>,
    pub left_off: usize,
    pub now_ms: i64,
}

pub async fn gather(cx: &Cx) -> Result<ServicesFacts, Error> {
    let (described, left_off) = all(cx).await?;
    let mut services = Vec::new();
    for service in &described {
        services.push(summary(cx, service).await?);
    }
    services.sort_by(|one, other| (one.state, &one.name).cmp(&(other.state, &other.name)));
    Ok(ServicesFacts {
        services,
        left_off,
        now_ms: now_ms(cx),
    })
}

/// As many as a page shows, and how many there are besides.
pub async fn all(cx: &Cx) -> Result<(Vec<Service>, usize), Error> {
    let mut found = Vec::new();
    for cluster in list::clusters(cx).await? {
        let services = list::services(cx, &cluster).await?;
        let is_there = |it: &Service| it.status.as_deref() != Some("INACTIVE");
        found.extend(services.into_iter().filter(is_there));
    }
    let left_off = found.len().saturating_sub(SERVICES_MAX);
    found.truncate(SERVICES_MAX);
    Ok((found, left_off))
}
