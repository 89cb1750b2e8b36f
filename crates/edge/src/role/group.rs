//! Target groups as they live in the edge: they outlast snapshots, so that health, counts and the
//! turn of the round robin survive a new configuration.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use engine::{
    Algorithm, GroupTraffic, RESPONSE_TIME_BUCKETS, Stickiness, TargetState, response_time_bucket,
};
use tokio::sync::mpsc;

use super::warmth::Warmth;

/// Names groups in which something changed. Unbounded, yet small: the control loop drains it and
/// each target adds to it only when its state changes.
pub type Events = mpsc::UnboundedSender<Arc<str>>;

pub struct Group {
    pub id: Arc<str>,
    /// All of them, draining ones too.
    pub targets: ArcSwap<Vec<Arc<Target>>>,
    /// Those that new requests go to.
    usable: ArcSwap<Vec<Arc<Target>>>,
    next: AtomicUsize,
    pub settings: ArcSwap<GroupSettings>,
    pub traffic: Vec<TrafficShard>,
    pub events: Events,
}

/// How requests are spread over a group's targets.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct GroupSettings {
    pub stickiness: Option<Stickiness>,
    pub algorithm: Algorithm,
    pub slow_start_ms: u64,
}

pub struct Target {
    /// Never used twice: a target that left and came back is another one.
    pub id: u64,
    pub address: SocketAddrV4,
    /// It is spoken to by TLS.
    pub tls: bool,
    /// What stickiness cookies hold.
    pub token: u64,
    health: Mutex<TargetState>,
    in_flight: AtomicU32,
    draining: AtomicBool,
    cut: AtomicBool,
    pub warmth: Warmth,
}

/// A worker's own counts, apart from the others' in memory, so that cores do not fight over them.
#[repr(align(128))]
pub struct TrafficShard {
    pub requests: AtomicU64,
    /// Of targets: 2xx to 5xx.
    status: [AtomicU64; 4],
    /// The balancer's own: 2xx to 5xx.
    own_status: [AtomicU64; 4],
    pub connection_errors: AtomicU64,
    response_time_us: AtomicU64,
    response_times: [AtomicU64; RESPONSE_TIME_BUCKETS],
}

/// A request under way at a target, counted while this lives.
pub struct InFlight {
    group: Arc<Group>,
    target: Arc<Target>,
}

impl Group {
    pub fn new(id: &str, workers: usize, events: Events) -> Self {
        Self {
            id: id.into(),
            targets: ArcSwap::default(),
            usable: ArcSwap::default(),
            next: AtomicUsize::new(0),
            settings: ArcSwap::default(),
            traffic: (0..workers).map(|_| TrafficShard::default()).collect(),
            events,
        }
    }

    /// The target that is to have the next request, of those that are not in `tried` (ids).
    pub fn pick(&self, tried: &[u64], random: impl FnOnce() -> u64) -> Option<Arc<Target>> {
        let usable = self.usable.load();
        let settings = self.settings.load();
        let turn = match settings.algorithm {
            Algorithm::Random => random() as usize,
            _ => self.next.fetch_add(1, Ordering::Relaxed),
        };
        let mut able = (0..usable.len())
            .map(|step| &usable[turn.wrapping_add(step) % usable.len()])
            .filter(|target| !tried.contains(&target.id) && !target.is_draining());
        let picked = match settings.algorithm {
            // Of several with as few it is the one whose turn it is.
            Algorithm::LeastOutstanding => able.min_by_key(|it| it.in_flight()),
            _ if settings.slow_start_ms == 0 => able.next(),
            _ => {
                let warm = |it: &&Arc<Target>| it.warmth.takes_its_share(settings.slow_start_ms);
                let first = able.next()?;
                match warm(&first) {
                    true => Some(first),
                    false => able.find(warm).or(Some(first)),
                }
            }
        };
        picked.cloned()
    }

    /// Whether a request could go to a target that is not in `tried` (ids).
    pub fn has_others(&self, tried: &[u64]) -> bool {
        let usable = self.usable.load();
        let mut others = usable.iter().filter(|it| !tried.contains(&it.id));
        others.any(|it| !it.is_draining())
    }

    /// The target that a cookie holds, while it may be used.
    pub fn by_token(&self, token: u64) -> Option<Arc<Target>> {
        let usable = self.usable.load();
        let found = usable.iter().find(|target| target.token == token)?;
        (!found.is_draining()).then(|| Arc::clone(found))
    }

    /// Only healthy targets get requests; when none is healthy all of them do, because a probe
    /// that is wrong must not take a service down.
    pub fn settle_usable(&self) {
        let targets = self.targets.load();
        let able = || targets.iter().filter(|target| !target.is_draining());
        let mut usable: Vec<_> = able()
            .filter(|target| target.is_healthy())
            .cloned()
            .collect();
        if usable.is_empty() {
            usable = able().cloned().collect();
        }
        self.usable.store(Arc::new(usable));
    }

    pub fn set_health(&self, target: &Target, state: TargetState) {
        if self.settings.load().slow_start_ms > 0 {
            match state {
                TargetState::Healthy if !target.is_healthy() && self.has_warm(target) => {
                    target.warmth.begin();
                }
                TargetState::Unhealthy(_) if target.is_healthy() => target.warmth.lose(),
                _ => {}
            }
        }
        if target.set_health(state) {
            self.settle_usable();
            self.tell();
        }
    }

    /// Whether a healthy target, but this one, gets its whole share.
    fn has_warm(&self, but: &Target) -> bool {
        let targets = self.targets.load();
        let mut others = targets.iter().filter(|it| it.id != but.id);
        others.any(|it| it.is_healthy() && !it.is_draining() && !it.warmth.is_growing())
    }

    /// Whether a target that is registered now is to be warmed up.
    pub fn warms_up_new_ones(&self) -> bool {
        let targets = self.targets.load();
        targets
            .iter()
            .any(|it| it.is_healthy() && !it.is_draining())
    }

    pub fn tell(&self) {
        let _ = self.events.send(Arc::clone(&self.id));
    }

    pub fn traffic(&self) -> GroupTraffic {
        let sum = |count: &dyn Fn(&TrafficShard) -> &AtomicU64| {
            let counts = self.traffic.iter().map(count);
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        GroupTraffic {
            requests: sum(&|shard| &shard.requests),
            status_2xx: sum(&|shard| &shard.status[0]),
            status_3xx: sum(&|shard| &shard.status[1]),
            status_4xx: sum(&|shard| &shard.status[2]),
            status_5xx: sum(&|shard| &shard.status[3]),
            own_4xx: sum(&|shard| &shard.own_status[2]),
            own_5xx: sum(&|shard| &shard.own_status[3]),
            connection_errors: sum(&|shard| &shard.connection_errors),
            response_time_us_sum: sum(&|shard| &shard.response_time_us),
            response_times: {
                let all = 0..RESPONSE_TIME_BUCKETS;
                let mut counts: Vec<u64> = all
                    .map(|it| sum(&|shard| &shard.response_times[it]))
                    .collect();
                while counts.last() == Some(&0) {
                    counts.pop();
                }
                counts
            },
        }
    }
}

/// Who gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnsweredBy {
    Target,
    Balancer,
}

impl Default for TrafficShard {
    fn default() -> Self {
        Self {
            requests: AtomicU64::default(),
            status: Default::default(),
            own_status: Default::default(),
            connection_errors: AtomicU64::default(),
            response_time_us: AtomicU64::default(),
            response_times: std::array::from_fn(|_| AtomicU64::default()),
        }
    }
}

impl TrafficShard {
    pub fn count_status(&self, status: u16, by: AnsweredBy) {
        let counts = match by {
            AnsweredBy::Target => &self.status,
            AnsweredBy::Balancer => &self.own_status,
        };
        if let Some(class) = usize::from(status / 100).checked_sub(2)
            && let Some(count) = counts.get(class)
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn count_response_time(&self, us: u64) {
        self.response_time_us.fetch_add(us, Ordering::Relaxed);
        self.response_times[response_time_bucket(us)].fetch_add(1, Ordering::Relaxed);
    }
}

impl Target {
    pub fn new(group: &str, address: SocketAddrV4, tls: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            address,
            tls,
            token: token(group, address),
            health: Mutex::new(TargetState::Initial),
            in_flight: AtomicU32::new(0),
            draining: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            warmth: Warmth::default(),
        }
    }

    pub fn health(&self) -> TargetState {
        self.health_lock().clone()
    }

    /// Whether that was news.
    pub fn set_health(&self, state: TargetState) -> bool {
        let mut health = self.health_lock();
        let changed = *health != state;
        *health = state;
        changed
    }

    fn is_healthy(&self) -> bool {
        *self.health_lock() == TargetState::Healthy
    }

    fn health_lock(&self) -> std::sync::MutexGuard<'_, TargetState> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Whether that was news.
    pub fn set_draining(&self, draining: bool) -> bool {
        self.draining.swap(draining, Ordering::SeqCst) != draining
    }

    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    /// Marks that every connection to it is to end, whatever is under way. The workers see to it
    /// when they sweep.
    pub fn cut(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.cut.store(true, Ordering::SeqCst);
    }
}

impl InFlight {
    /// `None` when the target began to drain meanwhile. Counted first and asked second: whoever
    /// sets draining and then reads the count misses no request.
    pub fn begin(group: &Arc<Group>, target: &Arc<Target>) -> Option<Self> {
        target.in_flight.fetch_add(1, Ordering::SeqCst);
        let in_flight = Self {
            group: Arc::clone(group),
            target: Arc::clone(target),
        };
        (!target.is_draining()).then_some(in_flight)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let before = self.target.in_flight.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.target.is_draining() {
            self.group.tell();
        }
    }
}

/// The same after every restart, so that cookies stay good. FNV-1a.
fn token(group: &str, address: SocketAddrV4) -> u64 {
    fingerprint(format!("{group} {address}").as_bytes())
}

pub fn fingerprint(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}
