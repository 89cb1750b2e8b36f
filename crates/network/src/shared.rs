//! Namespaces that interfaces of several networks are in: which of them is the way to everywhere, which
//! leads to a resolver, and whose names each resolver tells there.

use engine::{EngineError, Result};

use crate::interfaces::{ETH0_INDEX, Home, make_namespace, router_of};
use crate::links::{self, LOOPBACK_INDEX, Links};
use crate::machine::State;
use crate::records::InterfaceRecord;
use crate::vpc::{Place, Vpc};
use crate::{check, namespaces, routing};

/// Interfaces in one namespace. Each is a network that a container is in.
const INTERFACES_MAX: u32 = 64;

impl State {
    fn namespace_place(&self, id: &str) -> Place {
        Place::of(&self.namespace_directory, id)
    }

    /// Whether there is a namespace of this id, made for interfaces that come and go.
    pub fn shared_namespace(&self, id: &str) -> Option<Place> {
        let place = self.namespace_place(id);
        namespaces::is_pinned(&place.pin).then_some(place)
    }

    pub fn make_namespace(&mut self, id: &str) -> Result<()> {
        check::id("namespace", id)?;
        if self.is_closed {
            return Err(EngineError::machine("the networks are being stopped"));
        }
        if self.interfaces.contains_key(id) {
            return Err(EngineError::conflict(format!(
                "there is an interface `{id}`"
            )));
        }
        let place = self.namespace_place(id);
        if namespaces::is_pinned(&place.pin) {
            return Ok(());
        }
        place.clear()?;
        let made = make_namespace(&place.pin).and_then(|(_, mut inside)| {
            inside.change(vec![links::set_up(LOOPBACK_INDEX)])?;
            Ok(())
        });
        if made.is_err() {
            place.clear()?;
        }
        made
    }

    pub fn remove_namespace(&mut self, id: &str) -> Result<()> {
        check::id("namespace", id)?;
        let members = self.members(id).into_iter();
        let members: Vec<String> = members.map(|it| it.1.spec.id.clone()).collect();
        for interface in members {
            self.detach_one(&interface)?;
        }
        self.namespace_place(id).clear()
    }

    /// What namespaces there are.
    pub fn namespaces(&self) -> Result<Vec<String>> {
        Ok(crate::machine::ids_in(&self.namespace_directory)?)
    }

    /// The interfaces in a namespace, with their networks, in the order of their links.
    pub fn members(&self, id: &str) -> Vec<(&Vpc, &InterfaceRecord)> {
        let networks = self.vpcs.values();
        let mut members: Vec<(&Vpc, &InterfaceRecord)> = networks
            .flat_map(|vpc| vpc.interfaces.values().map(move |it| (vpc, it)))
            .filter(|it| it.1.spec.namespace.as_deref() == Some(id))
            .collect();
        members.sort_by_key(|it| it.1.number);
        members
    }

    /// Where an interface goes: it keeps its number, or gets the first that is free.
    pub fn home(&self, namespace: &str, interface: &str) -> Result<Home> {
        let place = self.shared_namespace(namespace).ok_or_else(|| {
            EngineError::not_found(format!("there is no namespace `{namespace}`"))
        })?;
        let members = self.members(namespace);
        let own = members.iter().find(|it| it.1.spec.id == interface);
        let is_free = |number: &u32| members.iter().all(|it| it.1.number != *number);
        let number = match own {
            Some((_, interface)) => Some(interface.number),
            None => (0..INTERFACES_MAX).find(is_free),
        };
        let number = number.ok_or_else(|| {
            EngineError::invalid(format!(
                "more than {INTERFACES_MAX} interfaces in the namespace `{namespace}`"
            ))
        })?;
        Ok(Home {
            pin: place.pin,
            number,
        })
    }

    /// Makes the ways that do not belong to one interface, and the names that are known, what they should be
    /// with those who are in a namespace now.
    pub fn converge_namespace(&self, id: &str) -> Result<()> {
        let Some(place) = self.shared_namespace(id) else {
            return Ok(());
        };
        let members = self.members(id);
        let gateway = |(vpc, interface): &(&Vpc, &InterfaceRecord)| {
            let subnets = &vpc.record.spec.subnets;
            let subnet = subnets.iter().find(|it| it.id == interface.spec.subnet);
            subnet.map(|it| router_of(it.range))
        };
        let link = |interface: &InterfaceRecord| ETH0_INDEX + interface.number;
        let mut requests = Vec::new();
        let leads_out = |it: &&(&Vpc, &InterfaceRecord)| routing::has_way_out(&it.0.record.spec);
        let first = members.iter().find(leads_out).or_else(|| members.first());
        if let Some((it, gateway)) = first.and_then(|it| Some((it, gateway(it)?))) {
            requests.push(links::add_default_route(link(it.1), gateway));
        }
        let asked = members.iter().find_map(|it| {
            let resolver = it.0.resolver_on_the_loopback()?;
            Some((it.1, resolver, gateway(it)?))
        });
        if let Some((interface, resolver, gateway)) = asked {
            let own = interface.spec.address;
            requests.push(links::add_loopback_route(
                link(interface),
                resolver,
                gateway,
                own,
            ));
        }
        for (vpc, interface) in &members {
            let Some(resolver) = &vpc.resolver else {
                continue;
            };
            let others = members
                .iter()
                .filter(|it| it.0.record.spec.id != vpc.record.spec.id);
            let others = others.filter_map(|it| Some(it.0.resolver.as_ref()?.names()));
            resolver.set_others(interface.spec.address, others.collect());
        }
        if !requests.is_empty() {
            let namespace = namespaces::open(&place.pin)?;
            let mut inside = namespaces::enter(&namespace, || Ok(Links::open()?))?;
            inside.change(requests)?;
        }
        Ok(())
    }
}
