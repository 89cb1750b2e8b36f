//! Making load balancers real.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloud::{
    Cloud, Cx, Next, Reconciler, Record, Records, ServingCertificate, StoreError, all_keys,
};
use engine::{Fault, GroupRule, Peer, Protocol, Snapshot, TargetState};
use shapes::ec2::{
    CreateNetworkInterfaceInput, DeleteNetworkInterfaceInput, DescribeNetworkInterfacesInput,
    DescribeSecurityGroupsInput, Filter, IpPermission, ModifyNetworkInterfaceAttributeInput,
};

use crate::certificates::balancer_key;
use crate::plan::{Facts, snapshot};
use crate::record::{
    self, Balancer, EDGE, EDGE_KEY, EdgeApplied, EdgeWanted, Listener, TargetGroup, TlsSettings,
};
use crate::targets::drain_until_ms;

/// How soon to look whether a draining target has finished.
const DRAIN_LOOK: Duration = Duration::from_millis(25);
/// How soon to try a port again that somebody else has.
const CONFLICT_LOOK: Duration = Duration::from_secs(2);

/// How soon to look whether an interface is on the machine that was not.
const INTERFACE_LOOK: Duration = Duration::from_millis(250);

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
            provision(&cx, &self.0, balancer).await?;
        }
        Ok(Next::Idle)
    }
}

async fn provision(cx: &Cx, turn: &Turn, balancer: Balancer) -> Result<(), converge::Error> {
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
            let moved_again = record.subnets.iter().any(|it| it.interface.is_none());
            if !moved_again {
                record.leaving.clear();
            }
            tx.put(&record)?;
            record::touch(tx)?;
        }
        Ok(())
    })?;
    remove_strays(cx, turn, &balancer).await?;
    cx.write(|tx| {
        if let Some(mut record) = tx.get::<Balancer>(&balancer.key())? {
            // Groups or subnets that changed meanwhile have woken this key again.
            let all = record.subnets.iter().all(|it| it.interface.is_some());
            record.provisioned = record.groups == balancer.groups && all;
            tx.put(&record)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Takes away the interfaces in subnets that the balancer has left. The edge has to let go of them first.
async fn remove_strays(cx: &Cx, turn: &Turn, balancer: &Balancer) -> Result<(), converge::Error> {
    let Some(balancer) = cx.read(|tx| tx.get::<Balancer>(&balancer.key()))? else {
        return Ok(());
    };
    let mut strays = interfaces_of(cx, &balancer).await?;
    strays.retain(|it| !balancer.interfaces().any(|own| own == it));
    if strays.is_empty() {
        return Ok(());
    }
    apply_snapshot(cx, turn).await?;
    delete_interfaces(cx, strays).await
}

/// By which AWS, and this, know a balancer's interfaces.
fn description(balancer: &Balancer) -> String {
    format!("ELB {}", balancer.full_name())
}

/// The edge has to let go of the interfaces first: it does in the snapshot without the balancer.
async fn remove(cx: &Cx, turn: &Turn, balancer: &Balancer) -> Result<(), converge::Error> {
    apply_snapshot(cx, turn).await?;
    let interfaces = interfaces_of(cx, balancer).await?;
    delete_interfaces(cx, interfaces).await?;
    cx.write(|tx| tx.delete::<Balancer>(&balancer.key()))?;
    Ok(())
}

/// Asked of EC2: an interface may have been made and not recorded before a crash.
async fn interfaces_of(cx: &Cx, balancer: &Balancer) -> Result<Vec<String>, converge::Error> {
    let request = DescribeNetworkInterfacesInput {
        filters: Some(vec![Filter {
            name: Some("description".into()),
            values: Some(vec![description(balancer)]),
        }]),
        ..Default::default()
    };
    let found = cx.call(request).await?.network_interfaces;
    let found = found.into_iter().flatten();
    Ok(found.filter_map(|it| it.network_interface_id).collect())
}

async fn delete_interfaces(cx: &Cx, interfaces: Vec<String>) -> Result<(), converge::Error> {
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
        let look = apply_snapshot(&cx, &self.0).await?;
        let draining = finish_draining(&cx).await?;
        let soonest = draining.into_iter().chain(look).min();
        Ok(soonest.map_or(Next::Idle, Next::After))
    }
}

/// Returns when to look again, where something of it could not be done.
async fn apply_snapshot(cx: &Cx, turn: &Turn) -> Result<Option<Duration>, converge::Error> {
    let _turn = turn.lock().await;
    begin_drains(cx)?;
    let mut unknown = Vec::new();
    let mut certificates = BTreeMap::new();
    let (generation, balancers, listeners, groups) = cx.read(|tx| {
        let wanted = tx.get::<EdgeWanted>(EDGE_KEY)?.unwrap_or_default();
        let mut of_listeners = Vec::new();
        let listeners = known::<Listener>(tx, &mut of_listeners)?;
        // One listener less would be another balancer.
        let holders = of_listeners.iter().filter_map(|it| it.rsplit_once('/'));
        unknown.extend(holders.map(|it| it.0.to_owned()));
        for listener in &listeners {
            if !find_certificates(cx, tx, listener, &mut certificates) {
                unknown.push(balancer_key(listener));
            }
        }
        let balancers = known::<Balancer>(tx, &mut unknown)?;
        let groups = known::<TargetGroup>(tx, &mut unknown)?;
        Ok((wanted.generation, balancers, listeners, groups))
    })?;
    let mut ingress = BTreeMap::new();
    let mut look_again = false;
    for balancer in balancers.iter().filter(|it| !it.deleting) {
        match ingress_rules(cx, balancer).await {
            Ok(rules) => drop(ingress.insert(balancer.key(), rules)),
            // Its groups are not known now. The others go on.
            Err(error) => {
                tracing::error!("the balancer `{}` stays as it is: {error}", balancer.name);
                unknown.push(balancer.key());
                look_again = true;
            }
        }
    }
    let mut wanted = snapshot(&Facts {
        generation,
        balancers: &balancers,
        listeners: &listeners,
        groups: &groups,
        certificates: &certificates,
        unknown: &unknown,
        ingress: &|it| ingress.get(&it.key()).cloned().unwrap_or_default(),
        clock: cx.clock(),
    });
    let waiting = set_waiting_aside(cx, &mut wanted).await;
    let served: BTreeSet<String> = wanted.balancers.iter().map(|it| it.id.clone()).collect();
    let unknown = wanted.unknown.clone();
    let problem = match cx.engine().edge.apply(wanted).await {
        Ok(()) => None,
        Err(error) if error.fault == Fault::Conflict => Some(error.chain()),
        Err(error) => return Err(error.into()),
    };
    drains_are_told(cx, &groups)?;
    let conflict = problem.is_some();
    let waits = !waiting.is_empty();
    cx.write(|tx| {
        let known = tx.get::<EdgeApplied>(EDGE_KEY)?;
        let before = known.iter().flat_map(|it| &it.served);
        let stays = before.filter(|it| unknown.contains(it)).cloned();
        let applied = EdgeApplied {
            generation,
            problem,
            served: served.into_iter().chain(stays).collect(),
            waiting,
        };
        match known {
            Some(known) if known == applied || known.generation > generation => Ok(()),
            _ => tx.put(&applied),
        }
    })?;
    let looks = [
        waits.then_some(INTERFACE_LOOK),
        (conflict || look_again).then_some(CONFLICT_LOOK),
    ];
    Ok(looks.into_iter().flatten().min())
}

/// Whether all that a listener serves with is known: it is never served with less.
fn find_certificates(
    cx: &Cx,
    tx: &Records<'_>,
    listener: &Listener,
    found: &mut BTreeMap<String, ServingCertificate>,
) -> bool {
    let cx = cx.in_region(&listener.region);
    for arn in listener.tls.iter().flat_map(TlsSettings::all) {
        match cx.find_certificate(tx, arn) {
            Ok(Some(certificate)) => drop(found.insert(arn.clone(), certificate)),
            Ok(None) => {
                tracing::error!("the certificate `{arn}` of a listener is not there");
                return false;
            }
            Err(error) => {
                tracing::error!("the certificate `{arn}` of a listener is not known: {error}");
                return false;
            }
        }
    }
    true
}

/// Takes out the balancers that have an interface in the records and not yet on the machine, and answers
/// their keys: the edge goes on with what it has of them, and the others do not wait.
async fn set_waiting_aside(cx: &Cx, wanted: &mut Snapshot) -> BTreeSet<String> {
    let mut waiting = BTreeSet::new();
    for balancer in &wanted.balancers {
        for interface in &balancer.interfaces {
            if let Err(error) = cx.engine().network.namespace(interface).await {
                tracing::debug!("the balancer `{}` waits: {}", balancer.id, error.chain());
                waiting.insert(balancer.id.clone());
            }
        }
    }
    wanted.balancers.retain(|it| !waiting.contains(&it.id));
    wanted.unknown.extend(waiting.iter().cloned());
    waiting
}

/// The records that can be read; the keys of the others are added to `unknown`.
fn known<R: Record>(tx: &Records<'_>, unknown: &mut Vec<String>) -> Result<Vec<R>, cloud::Error> {
    let (found, others) = tx.readable_and_others::<R>("")?;
    unknown.extend(others);
    Ok(found)
}

/// Gives the drains that the edge has not heard of yet their whole time, and no drain more than that:
/// one that has more left was begun by a clock that has been set back since.
fn begin_drains(cx: &Cx) -> Result<(), converge::Error> {
    let groups = cx.read(|tx| tx.readable::<TargetGroup>(""))?;
    let is_off = |target: &record::Target, until: i64| {
        is_untold(target) || target.draining_until_ms.is_some_and(|it| it > until)
    };
    for group in &groups {
        let until = drain_until_ms(cx, group);
        if !group.targets.iter().any(|it| is_off(it, until)) {
            continue;
        }
        cx.write(|tx| {
            if let Some(mut record) = tx.get::<TargetGroup>(&group.key())? {
                let until = drain_until_ms(cx, &record);
                let off = record.targets.iter_mut().filter(|it| is_off(it, until));
                off.for_each(|it| it.draining_until_ms = Some(until));
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

/// Marks targets that have nothing under way any more, and removes those that have had their time.
/// Returns when to look again, if some are left.
async fn finish_draining(cx: &Cx) -> Result<Option<Duration>, converge::Error> {
    let groups = cx.read(|tx| tx.readable::<TargetGroup>(""))?;
    let mut look: Option<Duration> = None;
    for group in groups
        .iter()
        .filter(|it| it.targets.iter().any(|it| it.draining_until_ms.is_some()))
    {
        let health = cx.engine().edge.health(&group.key()).await?;
        let now = cx.clock().now_ms();
        let is_over = |it: &record::Target| {
            let until = it.draining_until_ms;
            it.drain_told && until.is_some_and(|until| now >= until)
        };
        let has_ended = |target: &record::Target| {
            let known = health
                .iter()
                .find(|it| (it.address, it.port) == (target.address, target.port));
            let state = known.map(|it| &it.state);
            let has_none = matches!(
                state,
                Some(TargetState::Draining { in_flight: 0 } | TargetState::Unused)
            );
            target.draining_until_ms.is_some() && (has_none || target.is_over)
        };
        cx.write(|tx| {
            let Some(mut record) = tx.get::<TargetGroup>(&group.key())? else {
                return Ok(());
            };
            let before = record.targets.clone();
            record.targets.retain(|it| !is_over(it));
            for target in &mut record.targets {
                target.drained |= has_ended(target);
            }
            if record.targets != before {
                tx.put(&record)?;
                record::touch(tx)?;
            }
            for target in &record.targets {
                if let Some(until) = target.draining_until_ms {
                    let left = u64::try_from(until - now).unwrap_or(0);
                    let next = match target.drained {
                        true => Duration::from_millis(left).max(DRAIN_LOOK),
                        false => DRAIN_LOOK,
                    };
                    look = Some(look.map_or(next, |it| it.min(next)));
                }
            }
            Ok(())
        })?;
    }
    Ok(look)
}
