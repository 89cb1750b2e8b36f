//! Which addresses the daemon connects to when somebody else named the place.
//!
//! Repositories, registries, the servers that registries send a client to for a token, and redirects are
//! named by users, templates and images, while the daemon that goes there is root on this machine. So the
//! machine itself (its loopback, its own addresses, what is on its links alone) is reached only where the
//! owner said so. **What is decided on is the address that is connected to**: a name is resolved once,
//! what it resolves to is checked, and the caller connects to what was checked. A name that resolves to
//! something else a moment later leads nowhere.
//!
//! Whoever opens a connection to a place that came from outside asks [`Reach::addresses`] first, again for
//! each redirect.

mod allowed;
mod class;
mod host;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use engine::{EngineError, Result};

pub use allowed::Allowed;
pub use host::Target;

/// Until the machine's resolver has answered.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Addresses of one name that are looked at; large sites have about ten.
const ADDRESSES_MAX: usize = 32;

/// Where the daemon may be sent. Clones share one.
#[derive(Debug, Clone, Default)]
pub struct Reach(Arc<Policy>);

#[derive(Debug, Clone, Default)]
struct Policy {
    allowed: Vec<Allowed>,
    trusted: Vec<Target>,
    has_proxy: bool,
}

impl Reach {
    /// The public network, what the owner allows beyond it, and servers that the owner configured: those
    /// are where they are.
    pub fn new(allowed: Vec<Allowed>, trusted: Vec<Target>) -> Self {
        Self(Arc::new(Policy {
            allowed,
            trusted,
            has_proxy: false,
        }))
    }

    /// The same, where programs that heed the environment reach the world by a proxy.
    #[must_use]
    pub fn behind_a_proxy(&self) -> Self {
        Self(Arc::new(Policy {
            has_proxy: true,
            ..(*self.0).clone()
        }))
    }

    pub fn has_proxy(&self) -> bool {
        self.0.has_proxy
    }

    /// Whether the owner configured this very server.
    pub fn trusts(&self, target: &Target) -> bool {
        self.0.trusted.iter().any(|it| it.same_place(target))
    }

    /// Where to connect for a target: each of these may be connected to, and nothing else may.
    pub async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>> {
        let found = resolve(target).await?;
        if self.trusts(target) {
            return Ok(found);
        }
        let own = class::own_addresses()?;
        let (mut good, mut refused) = (Vec::new(), None);
        for address in found {
            match self.objection(address, &own) {
                None => good.push(address),
                Some(why) => refused = Some((address, why)),
            }
        }
        match refused {
            Some((address, why)) if good.is_empty() => Err(EngineError::invalid(format!(
                "`{target}` is not reached from here: {} is {why}. Where that is meant, the owner of \
                 this machine allows it with `--allow-address {address}`",
                address.ip()
            ))),
            _ => Ok(good),
        }
    }

    fn objection(&self, address: SocketAddr, own: &[IpAddr]) -> Option<&'static str> {
        let why = class::objection(address.ip(), own)?;
        let allowed = self.0.allowed.iter().any(|it| it.covers(address));
        (!allowed).then_some(why)
    }
}

async fn resolve(target: &Target) -> Result<Vec<SocketAddr>> {
    if let Some(address) = target.literal() {
        return Ok(vec![SocketAddr::new(address, target.port())]);
    }
    let asked = tokio::net::lookup_host((target.host(), target.port()));
    let failed = |why: String| {
        let host = target.host();
        EngineError::unreachable(format!("cannot find the address of `{host}`: {why}"))
    };
    match tokio::time::timeout(RESOLVE_TIMEOUT, asked).await {
        Err(_) => Err(failed("nobody answers".into())),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Ok(Ok(found)) => {
            let found: Vec<_> = found.take(ADDRESSES_MAX).collect();
            match found.is_empty() {
                true => Err(failed("it has none".into())),
                false => Ok(found),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::of(url).unwrap()
    }

    #[tokio::test]
    async fn the_machine_is_not_reached_by_any_of_its_names() {
        let reach = Reach::default();
        for url in [
            "http://127.0.0.1:4566/a",
            "http://127.8.9.10/a",
            "http://0.0.0.0:4566/a",
            "http://[::1]:4566/a",
            "http://[::]/a",
            "http://[::ffff:127.0.0.1]/a",
            "http://[::ffff:7f00:1]/a",
            "http://[64:ff9b::7f00:1]/a",
            "http://localhost:4566/a",
            "https://LOCALHOST/a",
            "http://169.254.169.254/latest/meta-data",
            "http://169.254.170.2/v2/credentials",
            "http://[fd00:ec2::254]/latest",
            "http://[fe80::1]/a",
            "http://224.0.0.1/a",
            "http://[ff02::1]/a",
            "http://255.255.255.255/a",
        ] {
            let error = reach.addresses(&target(url)).await.unwrap_err();
            assert!(error.message.contains("--allow-address"), "{url}: {error}");
        }
        let own = class::own_addresses().unwrap();
        assert!(!own.is_empty());
        for address in own {
            let place = Target::new(false, &address.to_string(), 80).unwrap();
            reach.addresses(&place).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn other_addresses_are_reached() {
        let reach = Reach::default();
        for (url, address) in [
            ("http://192.0.2.7/a", "192.0.2.7:80"),
            ("https://10.255.254.253:5000/a", "10.255.254.253:5000"),
            ("https://[2001:db8::7]/a", "[2001:db8::7]:443"),
        ] {
            let found = reach.addresses(&target(url)).await.unwrap();
            assert_eq!(found, [address.parse().unwrap()]);
        }
    }

    #[tokio::test]
    async fn the_owner_allows_addresses_and_configures_servers() {
        let port = Reach::new(vec!["127.0.0.1:5000".parse().unwrap()], vec![]);
        let server = Reach::new(vec![], vec![target("http://localhost:3000")]);
        let good = [
            (&port, "http://127.0.0.1:5000/a"),
            (&server, "http://localhost:3000/a"),
        ];
        for (reach, url) in good {
            reach.addresses(&target(url)).await.unwrap();
        }
        let bad = [
            (&port, "http://127.0.0.1:4566/a"),
            (&port, "http://127.0.0.2:5000/a"),
            (&server, "http://localhost:4566/a"),
            // The same place by a name that the owner did not write.
            (&server, "http://127.0.0.1:3000/a"),
        ];
        for (reach, url) in bad {
            reach.addresses(&target(url)).await.unwrap_err();
        }
    }
}
