//! What was found out about a role's or user's calls.

use cloud::Caller;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Body, Front, refusal};

/// The calls of `principal` (an ARN), and the least policy that they need. The owner's to know.
pub fn calls(front: &Front, caller: &Caller, input: &Value) -> Response<Body> {
    if *caller != Caller::Root {
        let message = "only the account's owner may ask";
        return refusal(StatusCode::FORBIDDEN, "AccessDenied", message);
    }
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
