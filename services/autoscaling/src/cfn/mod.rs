//! Auto Scaling's types for CloudFormation (CloudFormation User Guide, "AWS::AutoScaling::…").

mod configuration;
mod group;
mod parts;
mod rolling;

pub use configuration::LaunchConfigurationType;
pub use group::GroupType;
pub use parts::{LifecycleHookType, ScalingPolicyType, ScheduledActionType};

use cloud::ResourceError;

/// Auto Scaling has one code for all that is not there; its message begins with what that is.
fn gone_is_fine<T>(outcome: Result<T, cloud::Error>) -> Result<(), ResourceError> {
    match outcome {
        Err(error) if error.is(wire::codes::ValidationError) && says_gone(&error.message) => Ok(()),
        outcome => cloud::deletion(
            outcome,
            &[],
            &["ScalingActivityInProgress", "ResourceInUse"],
        ),
    }
}

fn says_gone(message: &str) -> bool {
    ["not found", "No Lifecycle Hook found", "Cannot find"]
        .iter()
        .any(|it| message.contains(it))
}
