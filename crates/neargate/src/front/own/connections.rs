//! Completing a connection to a Git host: AWS has no operation for what its owner does in a browser.

use cloud::{Caller, Cx};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Body, Front, aws, refusal};

/// Makes `connection` (a name or ARN) available, with `token` where there is one. The owner's to do.
pub async fn authorize(
    front: &Front,
    caller: Caller,
    region: String,
    input: &Value,
) -> Response<Body> {
    if caller != Caller::Root {
        let message = "only the account's owner may complete a connection";
        return refusal(StatusCode::FORBIDDEN, "AccessDenied", message);
    }
    let cx = Cx {
        request_id: aws::request_id(),
        ..front.cloud.context(&region)
    };
    let connection = input["connection"].as_str().unwrap_or_default();
    let token = input["token"].as_str().map(str::to_owned);
    match codeconnections::authorize(&cx, connection, token).await {
        Ok(shown) => super::json(
            StatusCode::OK,
            &json!({
                "arn": shown.connection_arn,
                "name": shown.connection_name,
                "status": shown.connection_status.map(|it| it.to_string()),
            }),
        ),
        Err(error) => {
            let status =
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            refusal(status, error.code, &error.message)
        }
    }
}
