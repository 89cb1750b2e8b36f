//! What is asked for is checked before anything is made.

use std::collections::HashSet;

use engine::{ContainerSpec, EngineError, OwnNetwork, Result, TaskSpec};

use crate::container::destination;

/// Ten times what AWS takes.
const CONTAINERS_MAX: usize = 100;
/// An id is part of file names and control group names.
const ID_BYTES_MAX: usize = 128;

pub(super) fn id(what: &str, text: &str) -> Result<()> {
    let valid = !text.is_empty()
        && text.len() <= ID_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if valid {
        Ok(())
    } else {
        Err(EngineError::invalid(format!(
            "{what} `{text}` is not made of letters, digits and `-`"
        )))
    }
}

pub(super) fn task(spec: &TaskSpec) -> Result<()> {
    id("the task's id", &spec.id)?;
    if let Some(outer) = &spec.within {
        id("the outer task's id", outer)?;
    }
    if spec.containers.is_empty() {
        return Err(EngineError::invalid(format!(
            "the task `{}` has no containers",
            spec.id
        )));
    }
    if spec.containers.len() > CONTAINERS_MAX {
        return Err(EngineError::invalid(format!(
            "the task `{}` has more than {CONTAINERS_MAX} containers",
            spec.id
        )));
    }
    hosts(&spec.hosts)?;
    let mut names = HashSet::new();
    for container in &spec.containers {
        if let Some(network) = &container.own_network {
            hosts(&network.hosts)?;
            name_servers(network)?;
        }
        let name = &container.name;
        if !names.insert(name) {
            return Err(EngineError::invalid(format!(
                "two containers are named `{name}`"
            )));
        }
        if container.argv.is_empty() {
            return Err(EngineError::invalid(format!(
                "the container `{name}` has no command"
            )));
        }
        let mounted = container.mounts.iter().map(|it| &it.path);
        for path in mounted.chain(&container.tmpfs) {
            let checked = destination::check_name(path);
            checked.map_err(|failure| EngineError::invalid(format!("`{name}`: {failure}")))?;
        }
        let upper = container.upper.as_ref();
        if upper.is_some_and(|it| !it.is_absolute() || it.file_name().is_none() || !it.is_dir()) {
            return Err(EngineError::invalid(format!(
                "the changes of `{name}` cannot be kept: their directory is missing"
            )));
        }
    }
    dependencies(&spec.containers)
}

/// The text of all hosts entries; a network of some thousand containers.
const HOSTS_BYTES_MAX: usize = 256 * 1024;

/// Entries become lines of a file.
pub(super) fn hosts(hosts: &[(String, String)]) -> Result<()> {
    let mut bytes = 0;
    for (address, name) in hosts {
        bytes += address.len() + name.len() + 2;
        if address.parse::<std::net::IpAddr>().is_err() {
            return Err(EngineError::invalid(format!(
                "`{address}` is not an address"
            )));
        }
        if name.is_empty() || name.contains(|it: char| it.is_control() || it == '#') {
            return Err(EngineError::invalid(format!("`{name}` is not a name")));
        }
    }
    if bytes > HOSTS_BYTES_MAX {
        return Err(EngineError::invalid("there are too many hosts entries"));
    }
    Ok(())
}

/// They become lines of files, too.
fn name_servers(network: &OwnNetwork) -> Result<()> {
    let is_no_address = |it: &&String| it.parse::<std::net::IpAddr>().is_err();
    if let Some(server) = network.dns.iter().find(is_no_address) {
        return Err(EngineError::invalid(format!(
            "`{server}` is not an address"
        )));
    }
    let names = network.search.iter().chain([&network.hostname]);
    let has_sign =
        |it: &&String| it.contains(|sign: char| sign.is_control() || sign.is_whitespace());
    match names.into_iter().find(has_sign) {
        Some(name) => Err(EngineError::invalid(format!("`{name}` is not a name"))),
        None => Ok(()),
    }
}

/// Every dependency has to be there, and none may lead back to where it came from: such containers
/// would wait for each other for ever.
fn dependencies(containers: &[ContainerSpec]) -> Result<()> {
    let mut settled: HashSet<&str> = HashSet::new();
    loop {
        let before = settled.len();
        for container in containers {
            let mut needed = container.depends_on.iter();
            if needed.all(|(name, _)| settled.contains(name.as_str())) {
                settled.insert(&container.name);
            }
        }
        if settled.len() == containers.len() {
            return Ok(());
        }
        if settled.len() == before {
            let stuck = containers
                .iter()
                .find(|one| !settled.contains(one.name.as_str()));
            let name = stuck.map_or("", |one| &one.name);
            return Err(EngineError::invalid(format!(
                "the container `{name}` depends on itself or on one that is not there"
            )));
        }
    }
}
