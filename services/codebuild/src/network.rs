//! Where builds are in the network: each region has a network for them, with a way out and nothing
//! that comes in. A build's container has an interface of its own there, so it reaches neither the
//! machine nor another build.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use cloud::Cx;
use engine::{EngineError, InterfaceSpec, VpcSpec};
use ipnet::Ipv4Net;

use crate::record::BuildRecord;
use crate::source::Failure;

/// For tests of network devices (RFC 2544): in use by no network that a build may want to reach.
const RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 16);

/// The engine's id of a build's interface.
pub fn interface(build: &BuildRecord) -> String {
    format!("codebuild-{}", build.uuid)
}

/// Gives a build its interface, and the door inside. Done again, it is the same one.
pub async fn plug(cx: &Cx, build: &mut BuildRecord) -> Result<(), Failure> {
    let address = match build.address {
        Some(address) => address,
        None => take_address(cx, build)?,
    };
    let [a, b, c, d] = address.octets();
    // It stays when no build runs: it costs one namespace, and the next build is quicker.
    let vpc = format!("codebuild-{}", build.region);
    let spec = InterfaceSpec {
        id: interface(build),
        vpc: vpc.clone(),
        subnet: vpc.clone(),
        address,
        mac: [0x02, 0x43, a, b, c, d],
        groups: vec![vpc.clone()],
        public: false,
        names: vec![],
        aliases: Default::default(),
        namespace: None,
        published: vec![],
    };
    let engine = cx.engine();
    let network = VpcSpec::outward(&vpc, RANGE);
    engine.network.apply_vpc(network).await?;
    engine.network.attach(spec).await?;
    Ok(engine.inside.open(&interface(build)).await?)
}

/// Takes an address that no other build of the region has. It is recorded before it is used, and is
/// the build's until its record goes, so none is ever given twice.
fn take_address(cx: &Cx, build: &mut BuildRecord) -> Result<Ipv4Addr, Failure> {
    let taken = cx.write(|tx| {
        let all = tx.list::<BuildRecord>(&format!("{}/", build.region))?;
        let others = all.iter().filter(|it| it.uuid != build.uuid);
        let taken: BTreeSet<Ipv4Addr> = others.filter_map(|it| it.address).collect();
        // The first is the router's.
        let mut free = RANGE.hosts().skip(1).filter(|it| !taken.contains(it));
        build.address = free.next();
        if let Some(now) = all.iter().find(|it| it.uuid == build.uuid) {
            build.stop_asked |= now.stop_asked;
        }
        tx.put(build)?;
        Ok(build.address)
    })?;
    let none_left = || EngineError::machine(format!("no address is left in `{RANGE}`"));
    Ok(taken.ok_or_else(none_left)?)
}

/// Takes a build's interface away.
pub async fn unplug(cx: &Cx, build: &BuildRecord) -> Result<(), EngineError> {
    let interface = interface(build);
    cx.engine().inside.close(&interface);
    cx.engine().network.detach(&interface).await
}
