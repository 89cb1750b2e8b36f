//! Completing a connection to a Git host: AWS has no operation for what its owner does in a browser.

use cloud::Cx;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Body, refused};

/// Makes `connection` (a name or ARN) available, with `token` where there is one. The owner's to do, which
/// the door has seen to.
pub async fn authorize(cx: &Cx, input: &Value) -> Response<Body> {
    let connection = input["connection"].as_str().unwrap_or_default();
    let token = input["token"].as_str().map(str::to_owned);
    match codeconnections::authorize(cx, connection, token).await {
        Ok(shown) => super::json(
            StatusCode::OK,
            &json!({
                "arn": shown.connection_arn,
                "name": shown.connection_name,
                "status": shown.connection_status.map(|it| it.to_string()),
            }),
        ),
        Err(error) => refused(&error, &cx.request_id),
    }
}
