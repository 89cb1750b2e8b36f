//! Making load balancers real.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloud::{Cloud, Cx, Next, Reconciler, Record, StoreError, all_keys};
use engine::{Fault, GroupRule, Peer, Protocol, TargetState};
use shapes::ec2::{
    CreateNetworkInterfaceInput, DeleteNetworkInterfaceInput, DescribeNetworkInterfacesInput,
    DescribeSecurityGroupsInput, Filter, IpPermission, ModifyNetworkInterfaceAttributeInput,
};

use crate::plan::{Facts, snapshot};
use crate::record::{
    self, Balancer, EDGE, EDGE_KEY, EdgeApplied, EdgeWanted, Listener, TargetGroup,
};
use crate::targets::drain_until_ms;

/// How soon to look whether a draining target has finished.
const DRAIN_LOOK: Duration = Duration::from_millis(25);
/// How soon to try a port again that somebody else has.
const CONFLICT_LOOK: Duration = Duration::from_secs(2);

/// One snapshot is made and handed over at a time: made side by side, the older of two with the same
/// generation could be the last to arrive, and what it knows of security groups would stay in force.
pub type Turn = Arc<tokio::sync::Mutex<()>>;

/// Gives each balancer an interface in each of its subnets, and takes them away again.
pub struct BalancerReconciler(pub Turn);

#[async_trait]
impl Reconciler for BalancerReconciler {
    fn kind(&self) -> &'static str {
        Balancer::KIND
    }
    fn keys(&self, cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        all_keys::<Balancer>(cloud)
    }

    async fn reconcile(&self, cx: Cx, key: &str) -> Result<Next, converge::Error> {
        let Some(balancer) = cx.read(|tx| tx.get::<Balancer>(key))? else {
            return Ok(Next::Idle);
        };
        if balancer.deleting {
            remove(&cx, &self.0, &balancer).await?;
        } else if !balancer.provisioned {
            provision(&cx, balancer).await?;
        }
        Ok(Next::Idle)
    }
}

async fn provision(cx: &Cx, balancer: Balancer) -> Result<(), converge::Error> {
    let mut interfaces = BTreeMap::new();
    for place in &balancer.subnets {
        let token = format!("{}/{}", balancer.key(), place.subnet);
        let tokened = cx.with_token(token);
        let made = tokened.call(CreateNetworkInterfaceInput {
            subnet_id: place.subnet.clone(),
            description: Some(description(&balancer)),
            groups: Some(balancer.groups.clone()),
            ..Default::default()
        });
        let id = made
            .await?
            .network_interface
            .and_then(|it| it.network_interface_id)
            .unwrap_or_default();
        // Its groups may have changed since it was made.
        let change = ModifyNetworkInterfaceAttributeInput {
            network_interface_id: id.clone(),
            groups: Some(balancer.groups.clone()),
            associate_public_ip_address: Some(!balancer.internal()),
            ..Default::default()
        };
        cx.call(change).await?;
        interfaces.insert(place.subnet.clone(), id);
    }
    cx.write(|tx| {
        if let Some(mut record) = tx.get::<Balancer>(&balancer.key())? {
            for place in &mut record.subnets {
                place.interface = interfaces
                    .get(&place.subnet)
                    .cloned()
                    .or(place.interface.take());
            }
            // Groups that changed meanwhile have woken this key again.
            record.provisioned = record.groups == balancer.groups;
            tx.put(&record)?;
            record::touch(tx)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// By which AWS, and this, know a balancer's interfaces.
fn description(balancer: &Balancer) -> String {
    format!("ELB {}", balancer.full_name())
}

/// The edge has to let go of the interfaces first: it does in the snapshot without the balancer.
async fn remove(cx: &Cx, turn: &Turn, balancer: &Balancer) -> Result<(), converge::Error> {
    apply_snapshot(cx, turn).await?;
    // Asked of EC2: an interface may have been made and not recorded before a crash.
    let request = DescribeNetworkInterfacesInput {
        filters: Some(vec![Filter {
            name: Some("description".into()),
            values: Some(vec![description(balancer)]),
        }]),
        ..Default::default()
    };
    let found = cx.call(request).await?.network_interfaces;
    let interfaces = found
        .into_iter()
        .flatten()
        .filter_map(|it| it.network_interface_id);
    for interface in interfaces {
        let gone = DeleteNetworkInterfaceInput {
            network_interface_id: interface,
            ..Default::default()
        };
        match cx.call(gone).await {
            Ok(_) => {}
            Err(error) if error.code == "InvalidNetworkInterfaceID.NotFound" => {}
            Err(error) => return Err(error.into()),
        }
    }
    cx.write(|tx| tx.delete::<Balancer>(&balancer.key()))?;
    Ok(())
}

/// Hands everything to the edge, and takes out targets that have drained.
pub struct EdgeReconciler(pub Turn);

#[async_trait]
impl Reconciler for EdgeReconciler {
    fn kind(&self) -> &'static str {
        EDGE
    }
    fn keys(&self, _cloud: &Cloud) -> Result<Vec<String>, StoreError> {
        Ok(vec![EDGE_KEY.to_owned()])
    }
    fn region(&self, _key: &str) -> String {
        String::new()
    }

    async fn reconcile(&self, cx: Cx, _key: &str) -> Result<Next, converge::Error> {
        let conflict = apply_snapshot(&cx, &self.0).await?;
        let draining = finish_draining(&cx).await?;
        Ok(match (draining, conflict) {
            (true, _) => Next::After(DRAIN_LOOK),
            (false, true) => Next::After(CONFLICT_LOOK),
            (false, false) => Next::Idle,
        })
    }
}

/// Returns whether something of it could not be done.
async fn apply_snapshot(cx: &Cx, turn: &Turn) -> Result<bool, converge::Error> {
    let _turn = turn.lock().await;
    begin_drains(cx)?;
    let (generation, balancers, listeners, groups) = cx.read(|tx| {
        let wanted = tx.get::<EdgeWanted>(EDGE_KEY)?.unwrap_or_default();
        Ok((
            wanted.generation,
            tx.readable::<Balancer>("")?,
            tx.readable::<Listener>("")?,
            tx.readable::<TargetGroup>("")?,
        ))
    })?;
    let mut ingress = BTreeMap::new();
    for balancer in balancers.iter().filter(|it| !it.deleting) {
        ingress.insert(balancer.key(), ingress_rules(cx, balancer).await?);
    }
    let wanted = snapshot(&Facts {
        generation,
        balancers: &balancers,
        listeners: &listeners,
        groups: &groups,
        ingress: &|it| ingress.get(&it.key()).cloned().unwrap_or_default(),
        clock: cx.clock(),
    });
    for interface in wanted.balancers.iter().flat_map(|it| &it.interfaces) {
        // Made in the records, not yet on the machine: this key is woken when it is.
        cx.engine().network.namespace(interface).await?;
    }
    let problem = match cx.engine().edge.apply(wanted).await {
        Ok(()) => None,
        Err(error) if error.fault == Fault::Conflict => Some(error.chain()),
        Err(error) => return Err(error.into()),
    };
    drains_are_told(cx, &groups)?;
    let conflict = problem.is_some();
    let applied = EdgeApplied {
        generation,
        problem,
    };
    cx.write(|tx| match tx.get::<EdgeApplied>(EDGE_KEY)? {
        Some(known) if known == applied || known.generation > generation => Ok(()),
        _ => tx.put(&applied),
    })?;
    Ok(conflict)
}

/// Gives the drains that the edge has not heard of yet their whole time.
fn begin_drains(cx: &Cx) -> Result<(), converge::Error> {
    let groups = cx.read(|tx| tx.readable::<TargetGroup>(""))?;
    for group in groups.iter().filter(|it| it.targets.iter().any(is_untold)) {
        cx.write(|tx| {
            if let Some(mut record) = tx.get::<TargetGroup>(&group.key())? {
                let until = drain_until_ms(cx, &record);
                let untold = record.targets.iter_mut().filter(|it| is_untold(it));
                untold.for_each(|it| it.draining_until_ms = Some(until));
                tx.put(&record)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Remembers that the edge has taken the drains in the groups that it was given.
fn drains_are_told(cx: &Cx, given: &[TargetGroup]) -> Result<(), converge::Error> {
    for group in given.iter().filter(|it| it.targets.iter().any(is_untold)) {
        cx.write(|tx| {
            if let Some(mut record) = tx.get::<TargetGroup>(&group.key())? {
                let told = record
                    .targets
                    .iter_mut()
                    .filter(|it| it.draining_until_ms.is_some() && group.targets.contains(it));
                told.for_each(|it| it.drain_told = true);
                tx.put(&record)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn is_untold(target: &record::Target) -> bool {
    target.draining_until_ms.is_some() && !target.drain_told
}

/// What a balancer's security groups let in, as the edge checks it for clients outside the VPC.
async fn ingress_rules(cx: &Cx, balancer: &Balancer) -> Result<Vec<GroupRule>, converge::Error> {
    let request = DescribeSecurityGroupsInput {
        group_ids: Some(balancer.groups.clone()),
        ..Default::default()
    };
    let found = cx.in_region(&balancer.region).call(request).await?;
    let permissions = found
        .security_groups
        .into_iter()
        .flatten()
        .flat_map(|it| it.ip_permissions.unwrap_or_default());
    Ok(permissions.flat_map(|it| group_rules(&it)).collect())
}

fn group_rules(permission: &IpPermission) -> Vec<GroupRule> {
    let port = |value: Option<i32>, absent: u16| {
        value
            .and_then(|it| u16::try_from(it).ok())
            .unwrap_or(absent)
    };
    let (from, to) = (
        port(permission.from_port, 0),
        port(permission.to_port, u16::MAX),
    );
    let protocol = match permission.ip_protocol.as_deref() {
        Some("-1") => Protocol::All,
        Some("tcp") => Protocol::Tcp { from, to },
        _ => return vec![],
    };
    let ranges = permission
        .ip_ranges
        .iter()
        .flatten()
        .filter_map(|it| it.cidr_ip.as_ref()?.parse().ok());
    let groups = permission
        .user_id_group_pairs
        .iter()
        .flatten()
        .filter_map(|it| it.group_id.clone());
    let peers = ranges.map(Peer::Range).chain(groups.map(Peer::Group));
    peers.map(|peer| GroupRule { protocol, peer }).collect()
}

/// Removes targets that have nothing under way any more, or have had their time. Returns whether
/// some are left.
async fn finish_draining(cx: &Cx) -> Result<bool, converge::Error> {
    let groups = cx.read(|tx| tx.readable::<TargetGroup>(""))?;
    let mut left = false;
    for group in groups
        .iter()
        .filter(|it| it.targets.iter().any(|it| it.draining_until_ms.is_some()))
    {
        let health = cx.engine().edge.health(&group.key()).await?;
        let now = cx.clock().now_ms();
        let done = |target: &record::Target| {
            let Some(until) = target.draining_until_ms else {
                return false;
            };
            let known = health
                .iter()
                .find(|it| (it.address, it.port) == (target.address, target.port));
            (now >= until && target.drain_told)
                || known.is_some_and(|it| {
                    matches!(
                        it.state,
                        TargetState::Draining { in_flight: 0 } | TargetState::Unused
                    )
                })
        };
        cx.write(|tx| {
            if let Some(mut record) = tx.get::<TargetGroup>(&group.key())? {
                let before = record.targets.len();
                record.targets.retain(|it| !done(it));
                left |= record
                    .targets
                    .iter()
                    .any(|it| it.draining_until_ms.is_some());
                if record.targets.len() != before {
                    tx.put(&record)?;
                    record::touch(tx)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(left)
}
