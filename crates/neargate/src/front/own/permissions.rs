//! What was found out about a role's or user's calls.

use cloud::Cx;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Body, refused};

/// The calls of `principal` (an ARN), and the least policy that they need. The owner's to
/// know, which the door has seen to.
pub fn calls(cx: &Cx, input: &Value) -> Response<Body> {
    let principal = input["principal"].as_str().unwrap_or_default();
    match iam::calls(&cx.cloud, principal) {
        Ok(calls) => super::json(
            StatusCode::OK,
            &json!({ "policy": iam::policy_for(&calls), "calls": calls }),
        ),
        Err(error) => refused(&cloud::internal(error), &cx.request_id),
    }
}
