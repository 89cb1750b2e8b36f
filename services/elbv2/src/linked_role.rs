//! The role that AWS makes for load balancers with an account's first. What lists roles shows it, and what
//! is to be made once and for all finds it made.

use cloud::{Cx, Error};
use shapes::iam::CreateServiceLinkedRoleInput;
use shapes::iam::errors::InvalidInputException;

const SERVICE: &str = "elasticloadbalancing.amazonaws.com";

/// Makes the role when it is not there.
pub async fn ensure(cx: &Cx) -> Result<(), Error> {
    let input = CreateServiceLinkedRoleInput {
        aws_service_name: SERVICE.to_owned(),
        description: Some("Allows ELB to call AWS services on your behalf.".to_owned()),
        custom_suffix: None,
    };
    cx.make_once(input, InvalidInputException).await
}
