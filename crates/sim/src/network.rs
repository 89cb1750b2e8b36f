//! Networks as sets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;

use async_trait::async_trait;
use engine::*;

#[derive(Default)]
pub struct SimNetwork {
    pub vpcs: Mutex<BTreeMap<String, VpcSpec>>,
    pub interfaces: Mutex<BTreeMap<String, InterfaceSpec>>,
}

#[async_trait]
impl Network for SimNetwork {
    async fn apply_vpc(&self, vpc: VpcSpec) -> Result<()> {
        self.vpcs
            .lock()
            .expect("no panic")
            .insert(vpc.id.clone(), vpc);
        Ok(())
    }
    async fn remove_vpc(&self, id: &str) -> Result<()> {
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
        self.interfaces
            .lock()
            .expect("no panic")
            .insert(interface.id.clone(), interface);
        Ok(())
    }
    async fn detach(&self, id: &str) -> Result<()> {
        self.interfaces.lock().expect("no panic").remove(id);
        Ok(())
    }
    async fn namespace(&self, interface: &str) -> Result<PathBuf> {
        if self
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
