//! Networks as sets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use engine::*;

#[derive(Default)]
pub struct SimNetwork {
    pub vpcs: Mutex<BTreeMap<String, VpcSpec>>,
    pub interfaces: Mutex<BTreeMap<String, InterfaceSpec>>,
    /// Those that interfaces are put into.
    pub namespaces: Mutex<BTreeSet<String>>,
    /// While this is set nothing can be removed: interfaces stay attached, networks stay.
    pub holds_on: AtomicBool,
    /// How often a network was applied, refused attempts included.
    pub applied: AtomicUsize,
}

impl SimNetwork {
    fn may_remove(&self, what: &str) -> Result<()> {
        if self.holds_on.load(Ordering::SeqCst) {
            return Err(EngineError::machine(format!("`{what}` is busy")));
        }
        Ok(())
    }

    /// A subnet or a group with interfaces in it must stay, as on a real machine.
    fn refuse_loss(&self, vpc: &VpcSpec) -> Result<()> {
        let interfaces = self.interfaces.lock().expect("no panic");
        for interface in interfaces.values().filter(|it| it.vpc == vpc.id) {
            let subnet = vpc.subnets.iter().any(|it| it.id == interface.subnet);
            let lost = interface
                .groups
                .iter()
                .find(|id| !vpc.groups.iter().any(|it| it.id == **id));
            if !subnet || lost.is_some() {
                return Err(EngineError::conflict(format!(
                    "a subnet or group is in use by interface `{}`",
                    interface.id
                )));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Network for SimNetwork {
    async fn apply_vpc(&self, mut vpc: VpcSpec) -> Result<()> {
        self.applied.fetch_add(1, Ordering::SeqCst);
        if let Some(before) = self.vpcs.lock().expect("no panic").get(&vpc.id) {
            vpc.carry_over(before);
        }
        vpc.unknown.clear();
        self.refuse_loss(&vpc)?;
        self.vpcs
            .lock()
            .expect("no panic")
            .insert(vpc.id.clone(), vpc);
        Ok(())
    }
    async fn remove_vpc(&self, id: &str) -> Result<()> {
        self.may_remove(id)?;
        self.vpcs.lock().expect("no panic").remove(id);
        self.interfaces
            .lock()
            .expect("no panic")
            .retain(|_, it| it.vpc != id);
        Ok(())
    }
    async fn attach(&self, interface: InterfaceSpec) -> Result<()> {
        if !self
            .vpcs
            .lock()
            .expect("no panic")
            .contains_key(&interface.vpc)
        {
            return Err(EngineError::not_found(format!(
                "network `{}` does not exist",
                interface.vpc
            )));
        }
        if let Some(namespace) = &interface.namespace {
            self.namespace(namespace).await?;
        }
        self.interfaces
            .lock()
            .expect("no panic")
            .insert(interface.id.clone(), interface);
        Ok(())
    }
    async fn make_namespace(&self, id: &str) -> Result<()> {
        let mut namespaces = self.namespaces.lock().expect("no panic");
        namespaces.insert(id.to_owned());
        Ok(())
    }
    async fn remove_namespace(&self, id: &str) -> Result<()> {
        self.may_remove(id)?;
        self.namespaces.lock().expect("no panic").remove(id);
        let mut interfaces = self.interfaces.lock().expect("no panic");
        interfaces.retain(|_, it| it.namespace.as_deref() != Some(id));
        Ok(())
    }
    async fn ranges(&self) -> Result<Vec<RangeInUse>> {
        let vpcs = self.vpcs.lock().expect("no panic");
        let of = |vpc: &VpcSpec| {
            let id = vpc.id.clone();
            let ranges = vpc.ranges.clone().into_iter();
            ranges.map(move |range| RangeInUse {
                network: Some(id.clone()),
                range,
            })
        };
        Ok(vpcs.values().flat_map(of).collect())
    }
    async fn detach(&self, id: &str) -> Result<()> {
        self.may_remove(id)?;
        self.interfaces.lock().expect("no panic").remove(id);
        Ok(())
    }
    async fn namespace(&self, interface: &str) -> Result<PathBuf> {
        let is_shared = self
            .namespaces
            .lock()
            .expect("no panic")
            .contains(interface);
        if is_shared
            || self
                .interfaces
                .lock()
                .expect("no panic")
                .contains_key(interface)
        {
            Ok(PathBuf::from("/sim").join(interface))
        } else {
            Err(EngineError::not_found(format!(
                "interface `{interface}` is not attached"
            )))
        }
    }
    async fn resolver(&self, interface: &str) -> Result<Option<ResolverSpec>> {
        let interfaces = self.interfaces.lock().expect("no panic");
        let vpcs = self.vpcs.lock().expect("no panic");
        let vpc = interfaces.get(interface).and_then(|it| vpcs.get(&it.vpc));
        Ok(vpc.and_then(|it| it.resolver.clone()))
    }
    async fn list(&self) -> Result<(Vec<String>, Vec<String>)> {
        let vpcs = self
            .vpcs
            .lock()
            .expect("no panic")
            .keys()
            .cloned()
            .collect();
        Ok((
            vpcs,
            self.interfaces
                .lock()
                .expect("no panic")
                .keys()
                .cloned()
                .collect(),
        ))
    }
    async fn connect(&self, _interface: &str, _to: SocketAddr, _timeout_ms: u64) -> Result<()> {
        Err(EngineError::unreachable(
            "the simulated machine has no wires",
        ))
    }
    async fn dial(
        &self,
        _interface: &str,
        _to: std::net::SocketAddr,
        _timeout_ms: u64,
    ) -> engine::Result<std::net::TcpStream> {
        Err(engine::EngineError::unreachable(
            "the simulated machine has no wires",
        ))
    }
    async fn listen_beside(
        &self,
        _interface: &str,
        _at: std::net::SocketAddrV4,
    ) -> engine::Result<std::net::TcpListener> {
        Err(engine::EngineError::machine(
            "the simulated machine has no wires",
        ))
    }
    async fn has_way_out(&self, interface: &str) -> Result<bool> {
        let interfaces = self.interfaces.lock().expect("no panic");
        let it = interfaces.get(interface).ok_or_else(|| {
            EngineError::not_found(format!("interface `{interface}` is not attached"))
        })?;
        let vpcs = self.vpcs.lock().expect("no panic");
        let Some(vpc) = vpcs.get(&it.vpc) else {
            return Ok(false);
        };
        let subnet = vpc.subnets.iter().find(|subnet| subnet.id == it.subnet);
        let table = subnet.and_then(|subnet| {
            vpc.route_tables
                .iter()
                .find(|table| table.id == subnet.route_table)
        });
        Ok(table.is_some_and(|table| {
            table.routes.iter().any(|route| {
                route.destination.prefix_len() == 0
                    && match route.target {
                        RouteTarget::InternetGateway => it.public,
                        RouteTarget::NatGateway => true,
                        RouteTarget::Blackhole => false,
                    }
            })
        }))
    }
}
