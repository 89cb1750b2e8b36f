//! Links: what one container alone calls others of its network (`--link db:database`). Their names are
//! in its hosts file for as long as they run, and its network's resolver answers it for them. In the default
//! network it finds them in its environment as well.

use crate::answer::Refusal;
use crate::containers::Record;
use crate::docker::Docker;

/// Links of one container: each is a line of its hosts file or three.
const LINKS_MAX: usize = 100;

pub fn check(links: &[String]) -> Result<(), Refusal> {
    if links.len() > LINKS_MAX {
        return Err(Refusal::bad(format!("more than {LINKS_MAX} links")));
    }
    match links.iter().find(|it| !base::links::is_link(it)) {
        Some(text) => Err(Refusal::bad(format!("bad format for links: {text}"))),
        None => Ok(()),
    }
}

impl Docker {
    /// In the default network only what is there can be linked to.
    pub(super) fn check_linked(&self, links: &[String]) -> Result<(), Refusal> {
        for text in links {
            let (name, _) = base::links::read(text);
            self.containers.find(name).map_err(|refusal| {
                Refusal::bad(format!(
                    "could not get container for {name}: {}",
                    refusal.message
                ))
            })?;
        }
        Ok(())
    }

    /// In the default network, what linked containers are and where.
    pub(crate) fn variables_of_links(&self, record: &Record) -> Vec<String> {
        let bridge = self.networks.find(super::BRIDGE);
        let is_in_it = bridge.is_ok_and(|it| record.endpoint_in(&it.id).is_some());
        let mut variables = Vec::new();
        for text in record.host.links.iter().filter(|_| is_in_it) {
            let (name, alias) = base::links::read(text);
            if let Ok(linked) = self.containers.find(name) {
                variables.extend(record.variables_of_link(alias, &linked.record()));
            }
        }
        variables
    }

    /// Of the linked containers that are in the same network now.
    pub(super) fn hosts_of_links(&self, record: &Record) -> Vec<(String, String)> {
        let mut hosts = Vec::new();
        for (name, alias) in record.links() {
            let Ok(other) = self.containers.find(name) else {
                continue;
            };
            let other = other.record();
            let mut own = record.endpoints().iter();
            let in_reach = own.find_map(|it| other.endpoint_in(&it.network)?.address);
            let Some(address) = in_reach else {
                continue;
            };
            for name in [alias, &other.id[..12], &other.name] {
                hosts.push((address.to_string(), name.to_owned()));
            }
        }
        hosts
    }
}
