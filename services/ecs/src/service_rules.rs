//! What a service may ask for.

use cloud::Error;
use shapes::ecs::*;

use crate::launch::{invalid, is_on_instances};
use crate::placement::asked::{constraints, strategies};
use crate::refuse::unsupported;

/// The quota "Tasks per service".
const DESIRED_MAX: i32 = 5000;

/// The desired count, checked.
pub fn desired_count(given: i32) -> Result<u32, Error> {
    match u32::try_from(given) {
        Ok(count) if given <= DESIRED_MAX => Ok(count),
        Ok(_) => Err(invalid(format!(
            "desiredCount must not be greater than {DESIRED_MAX}."
        ))),
        Err(_) => Err(invalid("desiredCount must not be negative.")),
    }
}

pub fn grace_seconds(given: Option<i32>, balanced: bool) -> Result<Option<u32>, Error> {
    match given {
        None => Ok(balanced.then_some(0)),
        // Terraform sends 0 for services without load balancers, and AWS lets it.
        Some(0) => Ok(Some(0)),
        Some(_) if !balanced => Err(invalid(
            "Health check grace period is only valid for services configured to use load balancers",
        )),
        Some(seconds) => u32::try_from(seconds)
            .map(Some)
            .map_err(|_| invalid("healthCheckGracePeriodSeconds must not be negative.")),
    }
}

/// What a deployment configuration asks for that is not built.
pub fn refuse_unbuilt_deployment(given: &DeploymentConfiguration) -> Result<(), Error> {
    match given.strategy {
        None | Some(DeploymentStrategy::Rolling) => (),
        Some(other) => return Err(unsupported(format!("deployment strategy {other}"))),
    }
    if given.bake_time_in_minutes.is_some_and(|it| it != 0) {
        return Err(unsupported("deploymentConfiguration.bakeTimeInMinutes"));
    }
    if given.alarms.as_ref().is_some_and(|it| it.enable) {
        return Err(unsupported("deploymentConfiguration.alarms"));
    }
    Ok(())
}

/// Checks a deployment configuration and fills in AWS's defaults; what `given` leaves open stays as
/// it is in `current`.
pub fn deployment_configuration(
    given: Option<DeploymentConfiguration>,
    current: Option<&DeploymentConfiguration>,
) -> Result<DeploymentConfiguration, Error> {
    let given = given.unwrap_or_default();
    refuse_unbuilt_deployment(&given)?;
    let old = current.cloned().unwrap_or_default();
    let maximum = given.maximum_percent.or(old.maximum_percent).unwrap_or(200);
    let minimum = given
        .minimum_healthy_percent
        .or(old.minimum_healthy_percent)
        .unwrap_or(100);
    if maximum < 100 {
        return Err(invalid("maximumPercent must be at least 100."));
    }
    if !(0..=100).contains(&minimum) {
        return Err(invalid("minimumHealthyPercent must be between 0 and 100."));
    }
    if maximum == 100 && minimum == 100 {
        return Err(invalid(
            "deploymentConfiguration's maximumPercent and minimumHealthyPercent cannot both be 100.",
        ));
    }
    let breaker = given
        .deployment_circuit_breaker
        .or(old.deployment_circuit_breaker);
    let breaker = breaker.unwrap_or_default();
    if let Some(threshold) = &breaker.threshold_configuration
        && threshold.value < 1
    {
        return Err(invalid("thresholdConfiguration.value must be at least 1."));
    }
    Ok(DeploymentConfiguration {
        deployment_circuit_breaker: Some(breaker),
        maximum_percent: Some(maximum),
        minimum_healthy_percent: Some(minimum),
        strategy: Some(DeploymentStrategy::Rolling),
        bake_time_in_minutes: Some(0),
        // Those that are not enabled do nothing, and are shown as they were given.
        alarms: given.alarms.or(old.alarms),
    })
}

/// What a service says of where its tasks come to be.
pub struct Asked {
    pub constraints: Vec<PlacementConstraint>,
    pub strategy: Vec<PlacementStrategy>,
}

pub fn check_placement(
    asked: &Asked,
    launch_type: Option<LaunchType>,
    is_daemon: bool,
) -> Result<(), Error> {
    constraints(&asked.constraints)?;
    strategies(&asked.strategy)?;
    if is_on_instances(launch_type) {
        if is_daemon && !asked.strategy.is_empty() {
            return Err(invalid(
                "Placement strategies are not supported with the daemon scheduling strategy.",
            ));
        }
        return Ok(());
    }
    if is_daemon {
        return Err(invalid(
            "The daemon scheduling strategy is not supported with launch type FARGATE.",
        ));
    }
    if !asked.constraints.is_empty() || !asked.strategy.is_empty() {
        return Err(invalid(
            "Placement constraints and strategies are not supported with launch type FARGATE.",
        ));
    }
    Ok(())
}

/// A daemon is stopped before it is started anew: there is one on an instance at most (API reference of
/// `DeploymentConfiguration`: 0 and 100 percent).
pub fn with_defaults_of(
    given: Option<DeploymentConfiguration>,
    is_daemon: bool,
) -> Option<DeploymentConfiguration> {
    if !is_daemon {
        return given;
    }
    let given = given.unwrap_or_default();
    Some(DeploymentConfiguration {
        maximum_percent: given.maximum_percent.or(Some(100)),
        minimum_healthy_percent: given.minimum_healthy_percent.or(Some(0)),
        ..given
    })
}

/// Services are rolled by ECS itself; no other controller is built.
pub fn check_controller(asked: Option<&DeploymentController>) -> Result<(), Error> {
    match asked {
        Some(it) if it.r#type != DeploymentControllerType::Ecs => {
            Err(unsupported(format!("deploymentController {}", it.r#type)))
        }
        _ => Ok(()),
    }
}
