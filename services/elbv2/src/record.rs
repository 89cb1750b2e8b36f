//! What is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use cloud::{Cx, Error, Record, Records};
use serde::{Deserialize, Serialize};
use shapes::elbv2::errors::{
    ListenerNotFoundException, LoadBalancerNotFoundException, RuleNotFoundException,
    TargetGroupNotFoundException,
};
use shapes::elbv2::{self, Action, LoadBalancerSchemeEnum, RuleCondition};

pub type Tags = BTreeMap<String, String>;
pub type Attributes = BTreeMap<String, String>;

/// A load balancer. Its key, without the region, is the end of its ARN: `app/<name>/<id>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balancer {
    pub region: String,
    pub name: String,
    /// Sixteen hexadecimal digits.
    pub id: String,
    pub scheme: LoadBalancerSchemeEnum,
    pub vpc: String,
    pub subnets: Vec<SubnetPlace>,
    /// Those that it was taken out of: it serves from there until it does from its new ones.
    #[serde(default)]
    pub leaving: Vec<SubnetPlace>,
    pub groups: Vec<String>,
    pub attributes: Attributes,
    pub tags: Tags,
    /// Seconds since 1970.
    pub created: f64,
    /// Every subnet has its interface, and each interface the balancer's groups.
    pub provisioned: bool,
    pub deleting: bool,
    pub made_by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubnetPlace {
    pub subnet: String,
    pub zone: String,
    pub interface: Option<String>,
}

impl Balancer {
    pub fn full_name(&self) -> String {
        format!("app/{}/{}", self.name, self.id)
    }

    pub fn arn(&self, cx: &Cx) -> String {
        cx.in_region(&self.region).arn(
            "elasticloadbalancing",
            &format!("loadbalancer/{}", self.full_name()),
        )
    }

    pub fn internal(&self) -> bool {
        self.scheme == LoadBalancerSchemeEnum::Internal
    }

    /// It has an interface: it can serve.
    pub fn is_ready(&self) -> bool {
        self.interfaces().next().is_some()
    }

    /// Those that are there, also where it is about to leave.
    pub fn interfaces(&self) -> impl Iterator<Item = &String> {
        let places = self.subnets.iter().chain(&self.leaving);
        places.filter_map(|it| it.interface.as_ref())
    }

    /// Ends in `localhost`, which curl and browsers resolve to this machine.
    pub fn dns_name(&self) -> String {
        let number = u64::from_str_radix(&self.id, 16).unwrap_or(0) % 10_000_000_000;
        let prefix = if self.internal() { "internal-" } else { "" };
        format!(
            "{prefix}{}-{number:010}.{}.elb.localhost",
            self.name, self.region
        )
        .to_lowercase()
    }
}

impl Record for Balancer {
    const KIND: &'static str = "elbv2.load-balancer";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.full_name())
    }
}

/// A target group. Its key, without the region, is the end of its ARN: `<name>/<id>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetGroup {
    pub region: String,
    pub name: String,
    pub id: String,
    /// As it is described, without the load balancers, which follow from the listeners.
    pub shape: elbv2::TargetGroup,
    pub attributes: Attributes,
    pub tags: Tags,
    pub targets: Vec<Target>,
    pub made_by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub address: Ipv4Addr,
    /// What it was registered as, where that was not its address.
    #[serde(default)]
    pub instance: Option<String>,
    /// That instance is stopped or terminated: nothing is sent to its address, which may be another's.
    #[serde(default)]
    pub is_over: bool,
    pub port: u16,
    pub zone: Option<String>,
    pub draining_until_ms: Option<i64>,
    /// Whether the edge has taken it that the target drains: its time begins then, so that a daemon
    /// that dies before it says so takes no time away.
    #[serde(default)]
    pub drain_told: bool,
    /// Nothing is under way any more: the target is deregistered, and shown as draining until its
    /// time is over.
    #[serde(default)]
    pub drained: bool,
}

impl Target {
    /// As clients call it.
    pub fn id(&self) -> String {
        let instance = self.instance.clone();
        instance.unwrap_or_else(|| self.address.to_string())
    }
}

impl TargetGroup {
    pub fn full_name(&self) -> String {
        format!("targetgroup/{}/{}", self.name, self.id)
    }
    pub fn arn(&self, cx: &Cx) -> String {
        cx.in_region(&self.region)
            .arn("elasticloadbalancing", &self.full_name())
    }
}

impl Record for TargetGroup {
    const KIND: &'static str = "elbv2.target-group";
    fn key(&self) -> String {
        format!("{}/{}", self.region, self.full_name())
    }
}

/// A listener with its rules. Its key, without the region, is `<balancer's full name>/<id>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    pub region: String,
    /// The balancer's full name.
    pub balancer: String,
    pub id: String,
    pub port: u16,
    pub default_actions: Vec<Action>,
    pub rules: Vec<Rule>,
    pub tags: Tags,
    #[serde(default)]
    pub attributes: Attributes,
    /// Of a listener for HTTPS.
    #[serde(default)]
    pub tls: Option<TlsSettings>,
    /// The generation that it came or last changed with: it is real once the edge serves that one.
    pub generation: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    pub id: String,
    pub priority: i32,
    pub conditions: Vec<RuleCondition>,
    pub actions: Vec<Action>,
    pub tags: Tags,
}

/// How a listener speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsSettings {
    /// The ARN of the certificate that is shown where no other one fits.
    pub default: String,
    pub others: Vec<String>,
    pub policy: String,
}

impl TlsSettings {
    /// The ARNs of its certificates, the default one first.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.default).chain(&self.others)
    }
}

impl Listener {
    pub fn arn(&self, cx: &Cx) -> String {
        let resource = format!("listener/{}/{}", self.balancer, self.id);
        cx.in_region(&self.region)
            .arn("elasticloadbalancing", &resource)
    }
    pub fn rule_arn(&self, cx: &Cx, rule: &str) -> String {
        let resource = format!("listener-rule/{}/{}/{rule}", self.balancer, self.id);
        cx.in_region(&self.region)
            .arn("elasticloadbalancing", &resource)
    }
    /// The default rule's id follows from the listener's.
    pub fn default_rule(&self) -> String {
        cloud::token_hex(&self.id, "default rule", 16)
    }
    pub fn all_actions(&self) -> impl Iterator<Item = &Action> {
        self.default_actions
            .iter()
            .chain(self.rules.iter().flat_map(|it| &it.actions))
    }
}

impl Record for Listener {
    const KIND: &'static str = "elbv2.listener";
    fn key(&self) -> String {
        format!("{}/{}/{}", self.region, self.balancer, self.id)
    }
}

pub const EDGE: &str = "elbv2.edge";
pub const EDGE_KEY: &str = "all";

/// Counted up with every change: wakes the reconciler that makes the snapshot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeWanted {
    pub generation: u64,
}

impl Record for EdgeWanted {
    const KIND: &'static str = EDGE;
    fn key(&self) -> String {
        EDGE_KEY.to_owned()
    }
}

/// What the edge took, and what it could not do of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeApplied {
    pub generation: u64,
    pub problem: Option<String>,
    /// Keys of balancers that have an interface which is not on the machine yet. What the edge served of
    /// them, if anything, it serves on.
    #[serde(default)]
    pub waiting: BTreeSet<String>,
    /// Keys of balancers that the edge serves, as they are or as they were.
    #[serde(default)]
    pub served: BTreeSet<String>,
}

impl Record for EdgeApplied {
    const KIND: &'static str = "elbv2.edge-applied";
    fn key(&self) -> String {
        EDGE_KEY.to_owned()
    }
}

impl EdgeApplied {
    /// Whether the edge has yet to serve a balancer for the first time.
    pub fn is_first_waiting(&self, balancer: &str) -> bool {
        self.waiting.contains(balancer) && !self.served.contains(balancer)
    }

    /// What the edge could not do, when that concerns a listener on this port. The edge names ports
    /// as `port 80 of …`.
    pub fn problem_of(&self, port: u16) -> Option<&String> {
        let named = format!("port {port} of ");
        self.problem.as_ref().filter(|it| it.contains(&named))
    }
}

/// Something changed: returns the new generation.
pub fn touch(tx: &Records<'_>) -> Result<u64, Error> {
    let mut wanted = tx.get::<EdgeWanted>(EDGE_KEY)?.unwrap_or_default();
    wanted.generation += 1;
    tx.put(&wanted)?;
    Ok(wanted.generation)
}

/// What an ARN names, found or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Balancer,
    TargetGroup,
    Listener,
    Rule,
}

/// A rule is what nothing else is.
pub fn kind_of(arn: &str) -> Kind {
    if arn.contains(":loadbalancer/") {
        Kind::Balancer
    } else if arn.contains(":targetgroup/") {
        Kind::TargetGroup
    } else if arn.contains(":listener/") {
        Kind::Listener
    } else {
        Kind::Rule
    }
}

/// The part of an ARN after its kind: `loadbalancer/app/web/1` gives `app/web/1`.
///
/// # Errors
/// When it is no ARN of this kind: nothing could have it.
fn resource<'a>(arn: &'a str, kind: &str, title: &str) -> Result<&'a str, Error> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let found = match parts[..] {
        ["arn", _, "elasticloadbalancing", _, _, resource] => resource.strip_prefix(kind),
        _ => None,
    };
    found.filter(|it| !it.is_empty()).ok_or_else(|| {
        wire::codes::ValidationError.because(format!("'{arn}' is not a valid {title} ARN"))
    })
}

/// Of several that were asked for by their ARNs, or by their names, some are not there.
pub fn some_missing(code: wire::ErrorCode, what: &str) -> Error {
    code.because(format!("One or more {what} not found"))
}

/// Turns what is said of one that is missing into what is said of several; any other error stays.
pub fn among<T>(found: Result<T, Error>, code: wire::ErrorCode, what: &str) -> Result<T, Error> {
    found.map_err(|error| match error.is(code) {
        true => some_missing(code, what),
        false => error,
    })
}

/// `None` for one that is gone; what cannot be read is not gone.
pub fn or_gone<T>(found: Result<T, Error>, gone: wire::ErrorCode) -> Result<Option<T>, Error> {
    match found {
        Err(error) if error.is(gone) => Ok(None),
        found => found.map(Some),
    }
}

pub fn balancer(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<Balancer, Error> {
    let name = resource(arn, "loadbalancer/", "load balancer")?;
    let found = tx.get::<Balancer>(&cx.key(name))?;
    found.filter(|it| !it.deleting).ok_or_else(|| {
        LoadBalancerNotFoundException.because(format!("Load balancer '{arn}' not found"))
    })
}

pub fn target_group(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<TargetGroup, Error> {
    let name = resource(arn, "targetgroup/", "target group")?;
    let found = tx.get(&cx.key(&format!("targetgroup/{name}")))?;
    found.ok_or_else(|| {
        TargetGroupNotFoundException.because(format!("Target groups '{arn}' not found"))
    })
}

pub fn listener(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<Listener, Error> {
    let name = resource(arn, "listener/", "listener")?;
    let found = tx.get(&cx.key(name))?;
    found.ok_or_else(|| ListenerNotFoundException.because(format!("Listener '{arn}' not found")))
}

/// A rule's listener and its id there.
pub fn rule(cx: &Cx, tx: &Records<'_>, arn: &str) -> Result<(Listener, String), Error> {
    let missing = || RuleNotFoundException.because(format!("Rule '{arn}' not found"));
    let (listener, id) = resource(arn, "listener-rule/", "listener rule")?
        .rsplit_once('/')
        .ok_or_else(missing)?;
    let listener: Listener = tx.get(&cx.key(listener))?.ok_or_else(missing)?;
    if listener.default_rule() == id || listener.rules.iter().any(|it| it.id == id) {
        Ok((listener, id.to_owned()))
    } else {
        Err(missing())
    }
}

/// The target groups that actions forward to, with their weights.
pub fn forwarded(action: &Action) -> Vec<(String, u32)> {
    let several = action
        .forward_config
        .as_ref()
        .and_then(|it| it.target_groups.as_ref());
    match (several, &action.target_group_arn) {
        (Some(groups), _) if !groups.is_empty() => groups
            .iter()
            .filter_map(|it| {
                Some((
                    it.target_group_arn.clone()?,
                    it.weight.unwrap_or(1).max(0).unsigned_abs(),
                ))
            })
            .collect(),
        (_, Some(arn)) => vec![(arn.clone(), 1)],
        _ => vec![],
    }
}
