//! The catalogue: one rule, one file. A rule looks at a [`Situation`] and says what is wrong there, or
//! nothing. It is pure and knows no other rule; which finding is the cause and which ones follow from it
//! is decided afterwards, by [`Layer`].

mod branch_missing;
mod build_command;
mod buildspec_missing;
mod code_mismatch;
mod container_exceeds_memory;
mod container_health;
mod docker_unprivileged;
mod egress_closed;
mod entrypoint_missing;
mod entrypoint_not_executable;
mod exited_at_once;
mod exited_nonzero;
mod gateway_without_public_address;
mod group_closed;
mod group_unused;
mod image_definitions;
mod image_foreign_account;
mod image_foreign_region;
mod image_no_permission;
mod image_platform;
mod image_rate_limit;
mod image_reference;
mod internet_gateway_detached;
mod killed_by_signal;
mod listens_elsewhere;
mod listens_on_loopback;
mod log_group_elsewhere;
mod log_group_missing;
mod log_permission;
mod nat_broken;
mod nat_in_private_subnet;
mod no_command;
mod no_route;
mod packets;
mod percent_deadlock;
mod registry_login;
mod repository_missing;
mod role_not_assumable;
mod script_interpreter;
mod secret_key_missing;
mod secret_missing;
mod secret_permission;
mod source_denied;
mod tag_missing;
mod user_missing;
mod working_directory;

use serde::{Deserialize, Serialize};

use crate::facts::Situation;
use crate::report::{Basis, Evidence, Finding, Hop, Mend};

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

/// A row of the catalogue.
pub struct Rule {
    pub id: &'static str,
    pub name: &'static str,
    pub layer: Layer,
    pub find: fn(&Situation) -> Option<Clue>,
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
        }
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
        let (object, seen) = task_said(situation);
        self.because(object, seen)
    }
}

fn task_said(situation: &Situation) -> (String, String) {
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
    repository_missing::RULE,
    tag_missing::RULE,
    image_no_permission::RULE,
    image_foreign_account::RULE,
    image_foreign_region::RULE,
    image_platform::RULE,
    image_reference::RULE,
    image_rate_limit::RULE,
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
    group_unused::RULE,
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
    Some(Finding {
        id: rule.id.to_owned(),
        name: rule.name.to_owned(),
        thing: situation.thing.clone(),
        cause: clue.cause,
        because: clue.because,
        path: clue.path,
        mend: clue.mend,
        aws_says: clue.aws_says,
        basis: clue.basis,
        also_seen: found
            .map(|(rule, clue)| format!("{} ({} {})", clue.cause, rule.id, rule.name))
            .chain(rolled_back)
            .collect(),
    })
}
