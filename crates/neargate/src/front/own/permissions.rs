//! What was found out about a role's or user's calls.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Body, Front, refusal};

/// The calls of `principal` (an ARN), and the least policy that they need. The owner's to
/// know, which the door has seen to.
pub fn calls(front: &Front, input: &Value) -> Response<Body> {
    let principal = input["principal"].as_str().unwrap_or_default();
    match iam::calls(&front.cloud, principal) {
        Ok(calls) => super::json(
            StatusCode::OK,
            &json!({ "policy": iam::policy_for(&calls), "calls": calls }),
        ),
        Err(error) => refusal(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            &error.to_string(),
        ),
    }
}
