//! The networks of one daemon, on this machine.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use engine::{EngineError, InterfaceSpec, Network, RangeInUse, ResolverSpec, Result, VpcSpec};

use crate::records::{self, InterfaceRecord};
use crate::uplink::Host;
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
    host: Host,
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
            host: Host::open(instance)?,
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
            state.host.remove_all_but(&[])
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
        self.work(move |state| {
            if let Some(place) = state.shared_namespace(&id) {
                return Ok(place.pin);
            }
            let (_, interface) = state.interface(&id)?;
            Ok(match &interface.spec.namespace {
                Some(shared) => state.home(shared, &id)?.pin,
                None => state.interface_place(&id).pin,
            })
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
            let of_machine = state.host.ranges()?.into_iter();
            let mut all: Vec<RangeInUse> = of_machine
                .map(|range| RangeInUse {
                    network: None,
                    range,
                })
                .collect();
            for (id, vpc) in &state.vpcs {
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
            let vpc = state.interfaces.get(&id).and_then(|it| state.vpcs.get(it));
            Ok(vpc.and_then(of))
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
        self.work(move |state| {
            let (vpc, interface) = state.interface(&id)?;
            if !egress::lets_https_out(&vpc.record.spec, &interface.spec) {
                return Ok(false);
            }
            match vpc.firewall.mark_of(&interface)? {
                Some(mark) => routing::leads_out(&mut vpc.links, &interface, mark),
                None => Ok(false),
            }
        })
        .await
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
        if let Some(vpc) = self.vpcs.get_mut(&id) {
            return vpc.converge(&mut self.host, spec);
        }
        // A half-made one may be left from before.
        place.clear()?;
        let mut vpc = Vpc::make(place.clone(), &id)?;
        if let Err(error) = vpc.converge(&mut self.host, spec) {
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
                self.host.remove_uplink(block)?;
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
            .filter_map(|vpc| vpc.record.uplink)
            .collect();
        self.host.remove_all_but(&uplinks)
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
        vpc.attach(&place, home.as_ref(), spec)?;
        self.interfaces.insert(id, vpc_id);
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
        let place = self.interface_place(id);
        match self
            .interfaces
            .remove(id)
            .and_then(|vpc| self.vpcs.get_mut(&vpc))
        {
            Some(vpc) => vpc.detach(&place, id),
            None => place.clear(),
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
        for vpc in self.vpcs.values_mut() {
            // One network that cannot be made whole must not keep the daemon from starting: its
            // rules are those from before, and the next change of it says what is wrong.
            if let Err(error) = vpc.converge(&mut self.host, vpc.record.spec.clone()) {
                let (id, error) = (&vpc.record.spec.id, error.chain());
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
