//! Where RUN steps are in the network. A Dockerfile may be a stranger's: its commands get out, and
//! reach neither the machine nor each other.
//!
//! The network is made with the first step. Making an interface takes longer than a short step, so an
//! interface serves one step after the other; there are as many as steps have run at the same time.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{EngineError, InterfaceSpec, Network, Result, VpcSpec};
use ipnet::Ipv4Net;
use tokio::sync::OnceCell;

const NETWORK: &str = "steps";
/// For tests of network devices (RFC 2544): in use by no network that a step may want to reach.
const RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 19, 0, 0), 16);
/// Interfaces that stay when no step uses them. More are removed when their step ends.
const KEPT_MAX: u32 = 8;
/// Steps at the same time: well below the addresses of the range.
const STEPS_MAX: u32 = 10_000;

pub(crate) struct StepNetwork {
    network: Arc<dyn Network>,
    made: OnceCell<()>,
    numbers: Arc<Mutex<Numbers>>,
}

/// Interfaces by number.
#[derive(Default)]
struct Numbers {
    used: BTreeSet<u32>,
    /// Those that are known to be there.
    attached: BTreeSet<u32>,
}

/// An interface that a step has. Dropped when nothing of the step runs any more.
pub(crate) struct Lease {
    network: Arc<dyn Network>,
    numbers: Arc<Mutex<Numbers>>,
    number: u32,
}

impl StepNetwork {
    pub fn new(network: Arc<dyn Network>) -> Self {
        Self {
            network,
            made: OnceCell::new(),
            numbers: Arc::default(),
        }
    }

    /// An interface that no other step has, and its namespace.
    pub async fn take(&self) -> Result<(Lease, PathBuf)> {
        self.made
            .get_or_try_init(|| self.network.apply_vpc(VpcSpec::outward(NETWORK, RANGE)))
            .await?;
        let (number, is_attached) = self.take_number()?;
        let lease = Lease {
            network: self.network.clone(),
            numbers: self.numbers.clone(),
            number,
        };
        if !is_attached {
            self.network.attach(interface(number)).await?;
            lock(&self.numbers).attached.insert(number);
        }
        let namespace = self.network.namespace(&id(number)).await?;
        Ok((lease, namespace))
    }

    fn take_number(&self) -> Result<(u32, bool)> {
        let mut numbers = lock(&self.numbers);
        let number = (0..STEPS_MAX).find(|it| !numbers.used.contains(it));
        let number = number.ok_or_else(|| {
            EngineError::machine(format!("more than {STEPS_MAX} steps run at the same time"))
        })?;
        numbers.used.insert(number);
        Ok((number, numbers.attached.contains(&number)))
    }
}

impl Lease {
    pub fn interface(&self) -> String {
        id(self.number)
    }

    /// Gives the interface back, and removes it when there are enough others.
    pub async fn end(self) {
        if self.number < KEPT_MAX {
            return;
        }
        lock(&self.numbers).attached.remove(&self.number);
        if let Err(error) = self.network.detach(&id(self.number)).await {
            tracing::warn!(error = error.chain(), "cannot remove a step's interface");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.numbers).used.remove(&self.number);
    }
}

fn lock(numbers: &Mutex<Numbers>) -> std::sync::MutexGuard<'_, Numbers> {
    numbers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn id(number: u32) -> String {
    format!("step-{number}")
}

fn interface(number: u32) -> InterfaceSpec {
    // The network's own address comes first, and then its router's.
    let address = Ipv4Addr::from(u32::from(RANGE.network()) + 2 + number);
    let [a, b, c, d] = address.octets();
    InterfaceSpec {
        id: id(number),
        vpc: NETWORK.to_owned(),
        subnet: NETWORK.to_owned(),
        address,
        mac: [0x02, 0x44, a, b, c, d],
        groups: vec![NETWORK.to_owned()],
        public: false,
        names: vec![],
        aliases: Default::default(),
        namespace: None,
        published: vec![],
    }
}
