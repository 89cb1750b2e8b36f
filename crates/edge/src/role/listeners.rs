//! Which ports are listened on, and what is behind each.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use engine::{Balancer, Listener, ListenerTls, Snapshot};
use socket2::SockRef;
use tokio::sync::mpsc;

use super::access::AccessLog;
use super::given::GivenSockets;
use super::group::Group;
use super::holder::holder_of;
use super::listen::{bind, bind_more};
use super::namespace::Origin;
use super::plan::{Admission, CompiledHeader, CompiledRule, Frontend, Slot};
use super::tls::{ServedTls, ShownCertificate};
use super::worker::Command;
use crate::protocol::{Listening, ListeningPlace};

/// A namespace's id (zero is the host) and a port.
type Place = (u64, u16);

pub struct Listeners {
    address: IpAddr,
    workers: Vec<mpsc::UnboundedSender<Command>>,
    bound: HashMap<Place, Bound>,
    given: GivenSockets,
    next: u64,
    /// What listeners speak, by their ids: whom they have spoken with before can go on where it was.
    spoken: HashMap<String, (ListenerTls, Arc<ServedTls>)>,
}

/// What names in a snapshot stand for.
pub struct Known<'a> {
    pub groups: &'a HashMap<String, Arc<Group>>,
    pub accesses: &'a HashMap<String, Arc<AccessLog>>,
    pub certificates: &'a HashMap<String, Arc<ShownCertificate>>,
    pub origin: &'a dyn Fn(&str) -> Origin,
}

/// Sockets on their way to the daemon.
pub type Passed = (Listening, Vec<TcpListener>);

struct Bound {
    id: u64,
    place: ListeningPlace,
    slot: Arc<Slot>,
    /// The workers' sockets, to end their listening from here: a port that was given up is free at
    /// once, for another program or for the next snapshot.
    sockets: Vec<TcpListener>,
}

impl Bound {
    fn end_listening(&self) {
        for socket in &self.sockets {
            // It fails only for a socket that does not listen any more.
            let _ = SockRef::from(socket).shutdown(Shutdown::Both);
        }
    }
}

/// What a place should be.
struct Wanted {
    origin: Origin,
    frontends: Vec<Arc<Frontend>>,
}

impl Listeners {
    pub fn new(
        address: IpAddr,
        workers: Vec<mpsc::UnboundedSender<Command>>,
        given: GivenSockets,
    ) -> Self {
        Self {
            address,
            workers,
            given,
            bound: HashMap::new(),
            next: 0,
            spoken: HashMap::new(),
        }
    }

    /// Returns a line for every port that another program has; what else goes wrong is added to
    /// `errors`. The rest is in force in either case.
    pub fn renew(
        &mut self,
        snapshot: &Snapshot,
        known: &Known<'_>,
        errors: &mut Vec<String>,
    ) -> Vec<String> {
        self.renew_spoken(snapshot, known, errors);
        let wanted = wanted_places(snapshot, known, &self.spoken, errors);
        self.close_all_but(&wanted);
        let mut conflicts = Vec::new();
        for (place, wanted) in wanted {
            if let Some(bound) = self.bound.get(&place) {
                bound.slot.serves.store(Arc::new(wanted.frontends));
                continue;
            }
            let (origin, port) = (wanted.origin.clone(), place.1);
            if let Err(error) = self.open(place, wanted) {
                let where_to = self.name_of(place);
                if error.kind() == io::ErrorKind::AddrInUse {
                    let address = self.address_in(&origin);
                    let holder = origin.enter(|| Ok(holder_of(address, port)));
                    let holder = holder.ok().flatten().map(|it| format!(", {it}"));
                    let holder = holder.unwrap_or_default();
                    conflicts.push(format!(
                        "port {port} of {where_to} is taken by another program{holder}"
                    ));
                } else {
                    errors.push(format!(
                        "cannot listen on port {port} of {where_to}: {error}"
                    ));
                }
            }
        }
        conflicts
    }

    fn renew_spoken(&mut self, snapshot: &Snapshot, known: &Known<'_>, errors: &mut Vec<String>) {
        let mut before = std::mem::take(&mut self.spoken);
        for listener in snapshot.balancers.iter().flat_map(|it| &it.listeners) {
            let Some(wanted) = &listener.tls else {
                continue;
            };
            let kept = before.remove(&listener.id);
            let tls = match kept.filter(|it| it.0 == *wanted) {
                Some((_, tls)) => Ok(tls),
                None => ServedTls::new(wanted, known.certificates).map(Arc::new),
            };
            match tls {
                Ok(tls) => drop(
                    self.spoken
                        .insert(listener.id.clone(), (wanted.clone(), tls)),
                ),
                Err(error) => errors.push(format!("port {} has no TLS: {error}", listener.port)),
            }
        }
    }

    fn name_of(&self, place: Place) -> String {
        match place {
            (0, _) => format!("`{}`", self.address),
            _ => "an interface".to_owned(),
        }
    }

    fn close_all_but(&mut self, wanted: &HashMap<Place, Wanted>) {
        self.bound.retain(|place, bound| {
            let keep = wanted.contains_key(place);
            if !keep {
                bound.slot.serves.store(Arc::default());
                bound.end_listening();
                for worker in &self.workers {
                    let _ = worker.send(Command::Close { listener: bound.id });
                }
            }
            keep
        });
    }

    /// The kernel takes clients from the moment of the binding, so whoever is told that this is
    /// done can connect, even before a worker has woken up.
    fn open(&mut self, place: Place, wanted: Wanted) -> io::Result<()> {
        let address = SocketAddr::new(self.address_in(&wanted.origin), place.1);
        let listening = ListeningPlace {
            namespace: wanted.origin.numbers(),
            address,
        };
        let sockets = self.sockets_of(&listening, &wanted.origin)?;
        let ours = sockets.iter().map(TcpListener::try_clone);
        let ours = ours.collect::<io::Result<Vec<_>>>()?;
        let slot = Arc::new(Slot {
            port: place.1,
            serves: ArcSwap::from_pointee(wanted.frontends),
        });
        self.next += 1;
        let mut shares: Vec<Vec<TcpListener>> = Vec::new();
        shares.resize_with(self.workers.len(), Vec::new);
        for (index, socket) in sockets.into_iter().enumerate() {
            shares[index % self.workers.len()].push(socket);
        }
        for (worker, sockets) in self.workers.iter().zip(shares) {
            let _ = worker.send(Command::Listen {
                listener: self.next,
                sockets,
                slot: Arc::clone(&slot),
            });
        }
        let id = self.next;
        let bound = Bound {
            id,
            place: listening,
            slot,
            sockets: ours,
        };
        self.bound.insert(place, bound);
        Ok(())
    }

    fn address_in(&self, origin: &Origin) -> IpAddr {
        match origin {
            Origin::Host => self.address,
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }

    /// At least one for each worker. Those of the edge before this one come first, with the clients
    /// that wait in them; it may have had another number of workers.
    fn sockets_of(
        &mut self,
        place: &ListeningPlace,
        origin: &Origin,
    ) -> io::Result<Vec<TcpListener>> {
        let workers = self.workers.len();
        let Some(mut sockets) = self.given.take(place) else {
            return bind(origin, place.address, workers);
        };
        let missing = workers.saturating_sub(sockets.len());
        sockets.extend(bind_more(origin, place.address, missing)?);
        Ok(sockets)
    }

    /// Closes what the edge before this one listened on and nobody wants any more.
    pub fn forget_given(&mut self) {
        self.given.forget();
    }

    /// The numbers of all that listen, and copies of the sockets that are not known.
    pub fn listening(&self, known: &[u64]) -> io::Result<(Vec<u64>, Vec<Passed>)> {
        let all = self.bound.values().map(|it| it.id).collect();
        let new = self.bound.values().filter(|it| !known.contains(&it.id));
        let copies = new.map(|it| {
            let listening = Listening {
                number: it.id,
                place: it.place.clone(),
            };
            let sockets = it.sockets.iter().map(TcpListener::try_clone);
            Ok((listening, sockets.collect::<io::Result<_>>()?))
        });
        Ok((all, copies.collect::<io::Result<_>>()?))
    }
}

fn wanted_places(
    snapshot: &Snapshot,
    known: &Known<'_>,
    spoken: &HashMap<String, (ListenerTls, Arc<ServedTls>)>,
    errors: &mut Vec<String>,
) -> HashMap<Place, Wanted> {
    let mut wanted: HashMap<Place, Wanted> = HashMap::new();
    for balancer in &snapshot.balancers {
        for listener in &balancer.listeners {
            let tls = spoken.get(&listener.id).map(|it| Arc::clone(&it.1));
            // It is never served in the clear.
            if listener.tls.is_some() && tls.is_none() {
                continue;
            }
            for (place, admits) in places_of(balancer, listener.port, known.origin) {
                let made = frontend(balancer, listener, known, admits);
                let made = made.map(|it| Frontend {
                    tls: tls.clone(),
                    ..it
                });
                match made {
                    Ok(frontend) => {
                        let entry = wanted.entry((place.id(), listener.port));
                        let new = || Wanted {
                            origin: place,
                            frontends: Vec::new(),
                        };
                        entry.or_insert_with(new).frontends.push(Arc::new(frontend));
                    }
                    Err(unknown) => errors.push(format!("there is no target group `{unknown}`")),
                }
            }
        }
    }
    wanted
}

/// Where a balancer can be reached, and who lets clients in there.
fn places_of(
    balancer: &Balancer,
    port: u16,
    origin: &dyn Fn(&str) -> Origin,
) -> Vec<(Origin, Admission)> {
    let mut places = Vec::new();
    if !balancer.internal {
        places.push((Origin::Host, Admission::by_rules(&balancer.ingress, port)));
    }
    for interface in &balancer.interfaces {
        if let place @ Origin::Namespace(_) = origin(interface) {
            places.push((place, Admission::Everyone));
        }
    }
    places
}

fn frontend(
    balancer: &Balancer,
    listener: &Listener,
    known: &Known<'_>,
    admits: Admission,
) -> Result<Frontend, String> {
    let find = |id: &str| known.groups.get(id).cloned();
    let rules = listener
        .rules
        .iter()
        .map(|rule| CompiledRule::new(rule, find));
    let headers = listener.headers.iter().map(CompiledHeader::new);
    Ok(Frontend {
        host: balancer.host.to_ascii_lowercase(),
        admits,
        idle_timeout: Duration::from_millis(balancer.idle_timeout_ms),
        http: balancer.http.clone(),
        access_log: known.accesses.get(&balancer.id).cloned(),
        origin: origin_of(balancer, known.origin),
        rules: rules.collect::<Result<_, _>>()?,
        headers: headers.collect::<Result<_, _>>()?,
        tls: None,
    })
}

/// Where a balancer connects to its targets from.
pub fn origin_of(balancer: &Balancer, origin: &dyn Fn(&str) -> Origin) -> Origin {
    match balancer.interfaces.first() {
        Some(interface) => origin(interface),
        None => Origin::Host,
    }
}
