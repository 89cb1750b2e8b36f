//! The catalogue: one rule, one file. A rule looks at a [`Situation`] and says what is wrong there, or
//! nothing. It is pure and knows no other rule; which finding is the cause and which ones follow from it
//! is decided afterwards, by [`Layer`].

mod acl_closed;
mod agent_not_joined;
mod agent_silent;
mod boot_failed;
mod branch_missing;
mod build_command;
mod buildspec_missing;
mod code_mismatch;
mod container_exceeds_memory;
mod container_health;
mod container_port;
mod docker_unprivileged;
mod egress_closed;
mod endpoint_closed;
mod endpoint_missing;
mod endpoint_names_off;
mod endpoint_not_in_table;
mod entrypoint_missing;
mod entrypoint_not_executable;
mod exited_at_once;
mod exited_nonzero;
mod gateway_without_public_address;
mod group_closed;
mod group_of_other_network;
mod group_unused;
mod health_port;
mod image_definitions;
mod image_foreign_account;
mod image_foreign_region;
mod image_no_permission;
mod image_platform;
mod image_rate_limit;
mod image_reference;
mod immutable_tag;
mod internet_gateway_detached;
mod killed_by_signal;
mod listens_elsewhere;
pub mod listens_on_loopback;
mod log_group_elsewhere;
mod log_group_missing;
mod log_permission;
mod missing_dependency;
mod nat_broken;
mod nat_in_private_subnet;
mod no_command;
mod no_route;
mod packets;
mod percent_deadlock;
mod placement;
mod registry_login;
mod repository_missing;
mod resolver_off;
mod role_not_assumable;
mod script_interpreter;
mod secret_key_missing;
mod secret_missing;
mod secret_permission;
mod source_denied;
mod subnet_full;
mod tag_missing;
mod target_gone;
mod target_type;
mod user_missing;
mod working_directory;
mod wrong_cluster;
mod zone_not_enabled;

use serde::{Deserialize, Serialize};

use crate::facts::Situation;
use crate::report::{Basis, Evidence, Finding, Hop, Mend, MendPlace, Place, Severity};

/// What has to work before what comes after it can: what fails further in is the cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    Network,
    Image,
    Start,
    Running,
    Balancer,
    Deployment,
}

/// What a rule decides by, and what has to be there to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// Routes, gateways and security groups.
    Network,
    /// Which images there are, by their names.
    Image,
    /// What is in an image, and what is made of it.
    Program,
    LogGroups,
    Roles,
    Secrets,
    /// Containers, as the definition has them.
    Definition,
    /// Counts and percentages of a service.
    Service,
    /// Which target group a service registers at, and who leads to it.
    Targets,
    /// What a probe was answered.
    Probes,
    /// Why a task stopped.
    StopReason,
    /// What a container ended with, and what it printed.
    Exit,
    /// Where programs listen.
    Sockets,
    /// What an instance and its agent say of themselves.
    Agent,
    /// What a service said when it found no place.
    Placement,
    Build,
    Action,
}

impl Fact {
    /// Whether it is there before anything is made: a file says it, or the account and its images do.
    pub fn exists_before(self) -> bool {
        match self {
            Self::Network
            | Self::Image
            | Self::Program
            | Self::LogGroups
            | Self::Roles
            | Self::Secrets
            | Self::Definition
            | Self::Service
            | Self::Targets => true,
            Self::Probes
            | Self::StopReason
            | Self::Exit
            | Self::Sockets
            | Self::Agent
            | Self::Placement
            | Self::Build
            | Self::Action => false,
        }
    }
}

/// A row of the catalogue.
pub struct Rule {
    pub id: &'static str,
    pub name: &'static str,
    pub layer: Layer,
    /// Without these it cannot say anything.
    pub needs: &'static [Fact],
    pub find: fn(&Situation) -> Option<Clue>,
}

impl Rule {
    /// Whether it can know before anything is made.
    pub fn knows_before(&self) -> bool {
        self.needs.iter().all(|it| it.exists_before())
    }
}

/// What a rule found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clue {
    pub cause: String,
    pub because: Vec<Evidence>,
    pub path: Vec<Hop>,
    pub mend: Vec<Mend>,
    pub aws_says: String,
    pub basis: Basis,
    /// Counts beforehand.
    pub severity: Severity,
    /// Where it is to be mended, when a file says it.
    pub place: Option<Place>,
}

impl Clue {
    pub fn observed(cause: impl Into<String>, aws_says: impl Into<String>) -> Self {
        Self {
            cause: cause.into(),
            because: Vec::new(),
            path: Vec::new(),
            mend: Vec::new(),
            aws_says: aws_says.into(),
            basis: Basis::Observed,
            severity: Severity::Error,
            place: None,
        }
    }

    #[must_use]
    pub fn at(mut self, place: &Option<Place>) -> Self {
        self.place.clone_from(place);
        self
    }

    #[must_use]
    pub fn warns(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    #[must_use]
    pub fn on(mut self, basis: Basis) -> Self {
        self.basis = basis;
        self
    }

    #[must_use]
    pub fn because(mut self, object: impl Into<String>, seen: impl Into<String>) -> Self {
        self.because.push(Evidence::new(object, seen));
        self
    }

    #[must_use]
    pub fn along(mut self, path: Vec<Hop>) -> Self {
        self.path = path;
        self
    }

    #[must_use]
    pub fn mend(mut self, mend: Mend) -> Self {
        self.mend.push(mend);
        self
    }

    /// An action that the task's execution role was asked for and has no right to.
    #[must_use]
    pub fn because_of_the_execution_role(self, situation: &Situation, action: &str) -> Self {
        if let Some(role) = situation.lacking_role() {
            return self.at(&role.place).because(
                format!("execution role {}", role.name),
                format!("none of its policies allows {action}"),
            );
        }
        let task = situation.task.as_ref();
        let role = task.and_then(|it| it.execution_role.as_deref());
        self.because(
            format!("execution role {}", role.unwrap_or_default()),
            format!("was asked for {action} and has no right to it"),
        )
        .with_what_the_task_says(situation)
    }

    /// What the task itself said, which most rules about its start rest on.
    #[must_use]
    pub fn with_what_the_task_says(self, situation: &Situation) -> Self {
        if situation.is_ahead {
            return self;
        }
        let (object, seen) = task_said(situation);
        self.because(object, seen)
    }
}

fn task_said(situation: &Situation) -> (String, String) {
    if let Some(instance) = &situation.instance {
        let object = format!(
            "the agent of {}, in /var/log/ecs/ecs-agent.log",
            instance.id
        );
        return (object, instance.said.last().cloned().unwrap_or_default());
    }
    let object = match &situation.task {
        Some(task) => format!("task {}", task.id),
        None => situation.thing.clone(),
    };
    (object, format!("stopped: {}", situation.stopped_reason()))
}

/// Every rule, in the order of the catalogue.
pub const RULES: &[Rule] = &[
    no_route::RULE,
    gateway_without_public_address::RULE,
    nat_broken::RULE,
    nat_in_private_subnet::RULE,
    internet_gateway_detached::RULE,
    egress_closed::RULE,
    endpoint_closed::RULE,
    endpoint_missing::RULE,
    endpoint_not_in_table::RULE,
    endpoint_names_off::RULE,
    acl_closed::RULE,
    resolver_off::RULE,
    subnet_full::RULE,
    group_of_other_network::RULE,
    agent_not_joined::RULE,
    repository_missing::RULE,
    tag_missing::RULE,
    image_no_permission::RULE,
    image_foreign_account::RULE,
    image_foreign_region::RULE,
    image_platform::RULE,
    image_reference::RULE,
    image_rate_limit::RULE,
    immutable_tag::RULE,
    entrypoint_missing::RULE,
    entrypoint_not_executable::RULE,
    script_interpreter::RULE,
    user_missing::RULE,
    working_directory::RULE,
    log_group_missing::RULE,
    log_group_elsewhere::RULE,
    log_permission::RULE,
    secret_missing::RULE,
    secret_key_missing::RULE,
    secret_permission::RULE,
    role_not_assumable::RULE,
    missing_dependency::RULE,
    no_command::RULE,
    exited_at_once::RULE,
    exited_nonzero::RULE,
    container_exceeds_memory::RULE,
    killed_by_signal::RULE,
    container_health::RULE,
    listens_on_loopback::RULE,
    listens_elsewhere::RULE,
    group_closed::RULE,
    code_mismatch::RULE,
    health_port::RULE,
    group_unused::RULE,
    zone_not_enabled::RULE,
    target_type::RULE,
    container_port::RULE,
    target_gone::RULE,
    placement::NO_INSTANCES,
    placement::CPU,
    placement::MEMORY,
    placement::PORT,
    placement::ATTRIBUTE,
    placement::CONSTRAINT,
    agent_silent::RULE,
    wrong_cluster::RULE,
    boot_failed::RULE,
    percent_deadlock::RULE,
    source_denied::RULE,
    branch_missing::RULE,
    buildspec_missing::RULE,
    build_command::RULE,
    docker_unprivileged::RULE,
    registry_login::RULE,
    image_definitions::RULE,
];

/// What all rules find in a situation: the first is the cause, the others are seen with it.
pub fn find(situation: &Situation) -> Option<Finding> {
    let mut found: Vec<(&Rule, Clue)> = (RULES.iter())
        .filter_map(|rule| Some((rule, (rule.find)(situation)?)))
        .collect();
    found.sort_by_key(|(rule, clue)| (rule.layer, clue.basis));
    let mut found = found.into_iter();
    let (rule, clue) = found.next()?;
    let service = situation.service.as_ref().filter(|it| it.is_rolled_back);
    let rolled_back = service.map(|it| {
        format!(
            "the deployment failed, and service {} was rolled back to the version before",
            it.name
        )
    });
    let also_seen = found
        .map(|(rule, clue)| format!("{} ({} {})", clue.cause, rule.id, rule.name))
        .chain(rolled_back);
    Some(Finding {
        also_seen: also_seen.collect(),
        ..finding(rule, clue, situation)
    })
}

/// The layer of a row.
pub fn layer_of(id: &str) -> Option<Layer> {
    RULES.iter().find(|it| it.id == id).map(|it| it.layer)
}

/// What is wrong with something that is not there yet: each of it is to be mended.
pub fn find_ahead(situation: &Situation) -> Vec<Finding> {
    let mut found = Vec::new();
    for rule in RULES.iter().filter(|it| it.knows_before()) {
        let Some(mut clue) = (rule.find)(situation) else {
            continue;
        };
        // Nothing of it was seen happening.
        clue.basis = clue.basis.max(Basis::Derived);
        let place = clue.place.take().or_else(|| situation.place.clone());
        let severity = Some(clue.severity);
        // What is not there has no id to type yet.
        let by_file = |it: &&mut Mend| it.place == MendPlace::Template;
        clue.mend
            .iter_mut()
            .filter(by_file)
            .for_each(|it| it.command = None);
        found.push(Finding {
            severity,
            place,
            ..finding(rule, clue, situation)
        });
    }
    found
}

fn finding(rule: &Rule, clue: Clue, situation: &Situation) -> Finding {
    Finding {
        id: rule.id.to_owned(),
        name: rule.name.to_owned(),
        thing: situation.thing.clone(),
        cause: clue.cause,
        because: clue.because,
        path: clue.path,
        mend: clue.mend,
        aws_says: clue.aws_says,
        basis: clue.basis,
        also_seen: Vec::new(),
        severity: None,
        place: None,
    }
}
