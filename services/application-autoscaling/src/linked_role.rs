//! The role that AWS makes for scalable targets with an account's first. What lists roles shows it, and what is to be made once and for all
//! finds it made.

use cloud::{Cx, Error};
use shapes::iam::CreateServiceLinkedRoleInput;
use shapes::iam::errors::InvalidInputException;

const SERVICE: &str = "ecs.application-autoscaling.amazonaws.com";

/// Makes the role when it is not there.
pub async fn ensure(cx: &Cx) -> Result<(), Error> {
    let input = CreateServiceLinkedRoleInput {
        aws_service_name: SERVICE.to_owned(),
        description: None,
        custom_suffix: None,
    };
    match cx.call(input).await {
        Ok(_) => Ok(()),
        // It is there already.
        Err(error) if error.code == InvalidInputException.code => Ok(()),
        // Where IAM is not served, nobody could see the role.
        Err(error) if error.status == NOT_SERVED => Ok(()),
        Err(error) => Err(error),
    }
}

const NOT_SERVED: u16 = 501;
