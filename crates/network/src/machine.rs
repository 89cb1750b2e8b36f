//! The networks of one daemon, on this machine.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use engine::{EngineError, InterfaceSpec, Network, RangeInUse, ResolverSpec, Result, VpcSpec};

use crate::hosts::{Front, Hosts, expect_unpublished};
use crate::records::{self, InterfaceRecord};
use crate::vpc::{Place, Vpc};
use crate::{check, egress, namespaces, routing, sockets};

/// Networks of this machine: namespaces, links, routes and packet rules in the kernel, found again
/// by a new daemon.
///
/// Every call does its work on a thread that may block, and changes one after the other: the kernel
/// takes them one by one anyway, and each takes about a millisecond.
#[derive(Clone)]
pub struct Machine {
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    vpc_directory: PathBuf,
    interface_directory: PathBuf,
    pub namespace_directory: PathBuf,
    hosts: Hosts,
    pub vpcs: BTreeMap<String, Vpc>,
    /// Which network each interface is in.
    pub interfaces: BTreeMap<String, String>,
    /// Everything was removed, and nothing is made any more.
    pub is_closed: bool,
}

impl Machine {
    /// Opens the networks under a run directory, as an earlier daemon left them. `instance` is a
    /// short tag (see [`instance_tag`](crate::instance_tag)) that tells this daemon's things apart
    /// from another's where they share the machine's namespace.
    ///
    /// The run directory had best be on a file system in memory: an attachment writes two small
    /// files, which on a disk takes as long as all the rest.
    pub fn open(run_directory: PathBuf, instance: String) -> Result<Self> {
        check::instance(&instance)?;
        let mut state = State {
            vpc_directory: run_directory.join("vpc"),
            interface_directory: run_directory.join("netns"),
            namespace_directory: run_directory.join("shared"),
            hosts: Hosts::open(instance)?,
            vpcs: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            is_closed: false,
        };
        state.find_all()?;
        Ok(Self {
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// Removes every network and every interface of this daemon, for good: whoever is about to make
    /// one is refused, so that none is left half made when the process ends.
    pub async fn cleanup_all(&self) -> Result<()> {
        self.work(|state| {
            state.is_closed = true;
            for id in state.namespaces()? {
                state.remove_namespace(&id)?;
            }
            for id in state.vpcs.keys().cloned().collect::<Vec<_>>() {
                state.remove_vpc(&id)?;
            }
            state.hosts.machine.remove_all_but(&[])
        })
        .await
    }

    /// Does something with the state on a thread that may block.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let state = self.state.clone();
        blocking(move || work(&mut state.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

#[async_trait]
impl Network for Machine {
    async fn apply_vpc(&self, vpc: VpcSpec) -> Result<()> {
        self.work(move |state| state.apply_vpc(vpc)).await
    }

    async fn remove_vpc(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.work(move |state| state.remove_vpc(&id)).await
    }

    async fn attach(&self, interface: InterfaceSpec) -> Result<()> {
        self.work(move |state| state.attach(interface)).await
    }

    async fn detach(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.work(move |state| state.detach(&id)).await
    }

    async fn namespace(&self, interface: &str) -> Result<PathBuf> {
        let id = interface.to_owned();
        self.work(move |state| match state.shared_namespace(&id) {
            Some(place) => Ok(place.pin),
            None => state.pin_of(&id),
        })
        .await
    }

    async fn make_namespace(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.work(move |state| state.make_namespace(&id)).await
    }

    async fn remove_namespace(&self, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.work(move |state| state.remove_namespace(&id)).await
    }

    async fn ranges(&self) -> Result<Vec<RangeInUse>> {
        self.work(|state| {
            let of_machine = state.hosts.machine.ranges()?.into_iter();
            let mut all: Vec<RangeInUse> = of_machine
                .map(|range| RangeInUse {
                    network: None,
                    range,
                })
                .collect();
            let on_machine = |it: &(&String, &Vpc)| it.1.record.spec.behind.is_none();
            for (id, vpc) in state.vpcs.iter().filter(on_machine) {
                all.extend(vpc.record.spec.ranges.iter().map(|range| RangeInUse {
                    network: Some(id.clone()),
                    range: *range,
                }));
            }
            Ok(all)
        })
        .await
    }

    async fn resolver(&self, interface: &str) -> Result<Option<ResolverSpec>> {
        let id = interface.to_owned();
        self.work(move |state| {
            let of = |vpc: &Vpc| vpc.record.spec.resolver.clone();
            if state.shared_namespace(&id).is_some() {
                return Ok(state.members(&id).into_iter().find_map(|it| of(it.0)));
            }
            let vpc_of = |id: &String| state.vpcs.get(state.interfaces.get(id)?);
            let vpc = vpc_of(&id);
            // Who is behind an interface asks whom that one asks.
            let front = vpc.and_then(|it| vpc_of(it.record.spec.behind.as_ref()?));
            Ok(vpc.and_then(of).or(front.and_then(of)))
        })
        .await
    }

    async fn list(&self) -> Result<(Vec<String>, Vec<String>)> {
        self.work(|state| {
            let vpcs = state.vpcs.keys().cloned().collect();
            Ok((vpcs, state.interfaces.keys().cloned().collect()))
        })
        .await
    }

    async fn connect(&self, interface: &str, to: SocketAddr, timeout_ms: u64) -> Result<()> {
        let pin = self.namespace(interface).await?;
        let timeout = Duration::from_millis(timeout_ms.max(1));
        blocking(move || {
            let connected = namespaces::enter(&namespaces::open(&pin)?, || {
                Ok(TcpStream::connect_timeout(&to, timeout))
            })?;
            connected.map(|_| ()).map_err(|error| {
                let message = format!("cannot connect to `{to}`: {}", error.kind());
                EngineError::unreachable(message).because(error)
            })
        })
        .await
    }

    async fn dial(
        &self,
        interface: &str,
        to: SocketAddr,
        timeout_ms: u64,
    ) -> Result<std::net::TcpStream> {
        let pin = self.namespace(interface).await?;
        let socket = blocking(move || sockets::make(&pin, to)).await?;
        sockets::connect(socket, to, timeout_ms).await
    }

    async fn dial_udp(&self, interface: &str, to: SocketAddr) -> Result<std::net::UdpSocket> {
        let pin = self.namespace(interface).await?;
        blocking(move || sockets::make_udp(&pin, to)).await
    }

    async fn listen_beside(
        &self,
        interface: &str,
        at: SocketAddrV4,
    ) -> Result<std::net::TcpListener> {
        check::beside(at)?;
        let id = interface.to_owned();
        let side = self.work(move |state| {
            let (vpc, interface) = state.interface(&id)?;
            Ok((vpc.place.pin.clone(), interface.index))
        });
        let (network, link) = side.await?;
        blocking(move || sockets::listen_beside(&network, link, at)).await
    }

    async fn has_way_out(&self, interface: &str) -> Result<bool> {
        let id = interface.to_owned();
        self.work(move |state| state.has_way_out(&id)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| EngineError::machine("a network change ended early").because(error))?
}

impl State {
    fn vpc_place(&self, id: &str) -> Place {
        Place::of(&self.vpc_directory, id)
    }

    fn interface_place(&self, id: &str) -> Place {
        Place::of(&self.interface_directory, id)
    }

    fn apply_vpc(&mut self, mut spec: VpcSpec) -> Result<()> {
        if self.is_closed {
            return Err(EngineError::machine("the networks are being stopped"));
        }
        if let Some(vpc) = self.vpcs.get(&spec.id) {
            spec.carry_over(&vpc.record.spec);
        }
        spec.unknown.clear();
        check::vpc(&spec)?;
        let id = spec.id.clone();
        let place = self.vpc_place(&id);
        let front = self.front_of(&spec)?;
        if let Some(vpc) = self.vpcs.get_mut(&id) {
            return vpc.converge(self.hosts.of(front.as_ref())?, spec);
        }
        // A half-made one may be left from before.
        place.clear()?;
        let mut vpc = Vpc::make(place.clone(), &id)?;
        let made = (self.hosts.of(front.as_ref())).and_then(|host| vpc.converge(host, spec));
        if let Err(error) = made {
            drop(vpc);
            place.clear()?;
            self.sweep_host()?;
            return Err(error);
        }
        self.vpcs.insert(id, vpc);
        Ok(())
    }

    fn remove_vpc(&mut self, id: &str) -> Result<()> {
        check::id("network", id)?;
        let own = self.vpcs.get(id).into_iter();
        let own: Vec<String> = own.flat_map(|it| it.interfaces.keys().cloned()).collect();
        for interface in own {
            self.remove_behind(&interface)?;
        }
        let shared = |it: &InterfaceRecord| it.spec.namespace.is_some();
        if let Some(vpc) = self.vpcs.get(id) {
            let all = vpc.interfaces.values().filter(|it| shared(it));
            for interface in all.map(|it| it.spec.id.clone()).collect::<Vec<_>>() {
                // Its end in the namespace goes now, and not with the network's some time later.
                self.detach(&interface)?;
            }
        }
        if let Some(vpc) = self.vpcs.remove(id) {
            for interface in vpc.interfaces.keys() {
                self.interface_place(interface).clear()?;
                self.interfaces.remove(interface);
            }
            if let Some(block) = vpc.record.uplink {
                self.hosts.remove_uplink(&vpc.record.spec, block)?;
            }
        }
        self.vpc_place(id).clear()?;
        self.sweep_host()
    }

    /// Removes what no network needs in the machine's own namespace.
    fn sweep_host(&mut self) -> Result<()> {
        let uplinks: Vec<u32> = self
            .vpcs
            .values()
            .filter(|vpc| vpc.record.spec.behind.is_none())
            .filter_map(|vpc| vpc.record.uplink)
            .collect();
        self.hosts.machine.remove_all_but(&uplinks)
    }

    fn attach(&mut self, spec: InterfaceSpec) -> Result<()> {
        check::interface(&spec)?;
        let id = spec.id.clone();
        if let Some(vpc) = self.interfaces.get(&id).filter(|vpc| **vpc != spec.vpc) {
            return Err(EngineError::conflict(format!(
                "interface `{id}` exists in network `{vpc}`"
            )));
        }
        let place = self.interface_place(&id);
        let shared = spec.namespace.clone();
        let home = match &shared {
            Some(namespace) => Some(self.home(namespace, &id)?),
            None => None,
        };
        let vpc = self.vpcs.get_mut(&spec.vpc).ok_or_else(|| {
            EngineError::not_found(format!("network `{}` does not exist", spec.vpc))
        })?;
        let vpc_id = spec.vpc.clone();
        if !spec.published.is_empty() && vpc.record.spec.behind.is_none() {
            return Err(EngineError::invalid(format!(
                "interface `{id}` publishes ports of the machine, which its network `{vpc_id}` does not"
            )));
        }
        expect_unpublished(&spec, vpc.interfaces.values().map(|it| &it.spec))?;
        vpc.attach(&place, home.as_ref(), spec)?;
        self.interfaces.insert(id, vpc_id.clone());
        self.publish(&vpc_id)?;
        match shared {
            Some(namespace) => self.converge_namespace(&namespace),
            None => Ok(()),
        }
    }

    fn detach(&mut self, id: &str) -> Result<()> {
        let shared = match self.interface(id) {
            Ok((_, interface)) => interface.spec.namespace,
            Err(_) => None,
        };
        self.detach_one(id)?;
        match shared {
            Some(namespace) => self.converge_namespace(&namespace),
            None => Ok(()),
        }
    }

    pub fn detach_one(&mut self, id: &str) -> Result<()> {
        check::id("interface", id)?;
        self.remove_behind(id)?;
        let place = self.interface_place(id);
        let vpc_id = self.interfaces.remove(id).unwrap_or_default();
        match self.vpcs.get_mut(&vpc_id) {
            Some(vpc) => vpc.detach(&place, id)?,
            None => place.clear()?,
        }
        self.publish(&vpc_id)
    }

    /// Removes the network that is behind an interface.
    fn remove_behind(&mut self, interface: &str) -> Result<()> {
        let is_behind = |it: &&Vpc| it.record.spec.behind.as_deref() == Some(interface);
        let found = self.vpcs.values().find(is_behind);
        match found.map(|it| it.record.spec.id.clone()) {
            Some(id) => self.remove_vpc(&id),
            None => Ok(()),
        }
    }

    /// The interface that stands for a network's machine, if one does. No other network is behind it.
    fn front_of(&mut self, spec: &VpcSpec) -> Result<Option<Front>> {
        let Some(behind) = &spec.behind else {
            return Ok(None);
        };
        let (_, interface) = self.interface(behind)?;
        let is_other = |it: &&Vpc| it.record.spec.behind.as_ref() == Some(behind);
        let mut all = self.vpcs.values().filter(is_other);
        if let Some(other) = all.find(|it| it.record.spec.id != spec.id) {
            return Err(EngineError::conflict(format!(
                "the network `{}` is behind interface `{behind}` already",
                other.record.spec.id
            )));
        }
        Ok(Some(Front {
            interface: behind.clone(),
            address: interface.spec.address,
            pin: self.pin_of(behind)?,
        }))
    }

    fn publish(&mut self, vpc: &str) -> Result<()> {
        let Some(spec) = self.vpcs.get(vpc).map(|it| it.record.spec.clone()) else {
            return Ok(());
        };
        match (self.front_of(&spec)?, self.vpcs.get(vpc)) {
            (Some(front), Some(vpc)) => vpc.publish(self.hosts.of(Some(&front))?),
            _ => Ok(()),
        }
    }

    /// Where an interface's namespace is pinned.
    fn pin_of(&mut self, id: &str) -> Result<PathBuf> {
        let (_, interface) = self.interface(id)?;
        Ok(match &interface.spec.namespace {
            Some(shared) => self.home(shared, id)?.pin,
            None => self.interface_place(id).pin,
        })
    }

    fn has_way_out(&mut self, id: &str) -> Result<bool> {
        let (vpc, interface) = self.interface(id)?;
        if !egress::lets_https_out(&vpc.record.spec, &interface.spec) {
            return Ok(false);
        }
        let leads_out = match vpc.firewall.mark_of(&interface)? {
            Some(mark) => routing::leads_out(&mut vpc.links, &interface, mark)?,
            None => false,
        };
        match vpc.record.spec.behind.clone() {
            Some(front) if leads_out => self.has_way_out(&front),
            _ => Ok(leads_out),
        }
    }

    /// An interface and its network.
    fn interface(&mut self, id: &str) -> Result<(&mut Vpc, InterfaceRecord)> {
        let missing = || EngineError::not_found(format!("interface `{id}` is not attached"));
        let vpc = self.interfaces.get(id).ok_or_else(missing)?;
        let vpc = self.vpcs.get_mut(vpc).ok_or_else(missing)?;
        let interface = vpc.interfaces.get(id).cloned().ok_or_else(missing)?;
        Ok((vpc, interface))
    }

    /// Takes over what is there, makes its rules whole and removes what is half made or half gone.
    fn find_all(&mut self) -> Result<()> {
        for directory in [
            &self.vpc_directory,
            &self.interface_directory,
            &self.namespace_directory,
        ] {
            std::fs::create_dir_all(directory)?;
        }
        for id in ids_in(&self.vpc_directory)? {
            let place = self.vpc_place(&id);
            match Vpc::find(place.clone())? {
                Some(vpc) => {
                    self.vpcs.insert(id, vpc);
                }
                None => place.clear()?,
            }
        }
        for id in self.namespaces()? {
            if self.shared_namespace(&id).is_none() {
                // From before a reboot.
                self.remove_namespace(&id)?;
            }
        }
        for id in ids_in(&self.interface_directory)? {
            self.find_interface(&id)?;
        }
        for id in self.vpcs.keys().cloned().collect::<Vec<_>>() {
            // One network that cannot be made whole must not keep the daemon from starting: its
            // rules are those from before, and the next change of it says what is wrong.
            if let Err(error) = self.find_whole(&id) {
                let error = error.chain();
                tracing::error!(%id, %error, "a network could not be made whole");
            }
        }
        for id in self.namespaces()? {
            if let Err(error) = self.converge_namespace(&id) {
                let error = error.chain();
                tracing::error!(%id, %error, "a namespace could not be made whole");
            }
        }
        self.sweep_host()
    }

    /// Makes a network of an earlier daemon what it was to be. One that is behind an interface that is gone goes,
    /// too.
    fn find_whole(&mut self, id: &str) -> Result<()> {
        let Some(spec) = self.vpcs.get(id).map(|it| it.record.spec.clone()) else {
            return Ok(());
        };
        let is_there = |it: &String| self.interfaces.contains_key(it);
        if !spec.behind.as_ref().is_none_or(is_there) {
            return self.remove_vpc(id);
        }
        let front = self.front_of(&spec)?;
        let host = self.hosts.of(front.as_ref())?;
        match self.vpcs.get_mut(id) {
            Some(vpc) => vpc.converge(host, spec),
            None => Ok(()),
        }
    }

    fn find_interface(&mut self, id: &str) -> Result<()> {
        let place = self.interface_place(id);
        let is_there = |it: &InterfaceRecord| match &it.spec.namespace {
            Some(shared) => self.shared_namespace(shared).is_some(),
            None => namespaces::is_pinned(&place.pin),
        };
        let record = records::read::<InterfaceRecord>(&place.record).filter(is_there);
        let Some(record) = record else {
            return place.clear();
        };
        let Some(vpc) = self.vpcs.get_mut(&record.spec.vpc) else {
            return place.clear();
        };
        vpc.remember(&record);
        self.interfaces
            .insert(id.to_owned(), record.spec.vpc.clone());
        Ok(())
    }
}

/// The ids that have a pin or a record in a directory.
pub(crate) fn ids_in(directory: &Path) -> io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(name) = name.to_str() {
            ids.push(name.split('.').next().unwrap_or(name).to_owned());
        }
    }
    ids.sort();
    ids.dedup();
    ids.retain(|id| check::id("found", id).is_ok());
    Ok(ids)
}
