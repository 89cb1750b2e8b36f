//! Operations asked in JSON, whatever the service speaks: `machine.call("ecs", "ListClusters", …)`.
//! Checks, permissions and records are those of every other client; what goes over the wire to AWS's
//! own clients is tested with those.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::http::{Answer, Connection};
use crate::machine::Machine;
use crate::sign::{Key, Signed, sign};
use crate::wait::eventually;

#[derive(Debug, Clone)]
pub struct ApiError {
    pub status: u16,
    pub code: String,
    pub message: String,
}

impl Machine {
    pub fn call(&self, service: &str, operation: &str, input: Value) -> Result<Value, ApiError> {
        let input = with_token(service, operation, input);
        let path = format!("/_neargate/v1/call/{service}/{operation}");
        let answer = self
            .post(
                &self.key(),
                "neargate",
                &path,
                &[],
                input.to_string().as_bytes(),
            )
            .map_err(|error| ApiError {
                status: 0,
                code: "NoAnswer".into(),
                message: error.to_string(),
            })?;
        if answer.status == 200 {
            return Ok(answer.json());
        }
        // Who is refused before anybody looks at the request is told no more than the status.
        let error: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        Err(ApiError {
            status: answer.status,
            code: text("code"),
            message: text("message"),
        })
    }

    /// An operation by its type, for services whose members have other names on the way out than on
    /// the way in.
    #[track_caller]
    pub fn typed<I: wire::Operation>(&self, input: I) -> I::Output {
        let answer = self.ask(I::SERVICE, I::NAME, wire::to_json(&input));
        wire::from_json(answer).unwrap_or_else(|error| panic!("{}: {error}", I::NAME))
    }

    /// For calls that must work.
    #[track_caller]
    pub fn ask(&self, service: &str, operation: &str, input: Value) -> Value {
        match self.call(service, operation, input.clone()) {
            Ok(output) => output,
            Err(error) => panic!("{service}:{operation} {input}: {error:?}"),
        }
    }

    /// A signed POST to the API's address.
    pub fn post(
        &self,
        key: &Key,
        service: &str,
        path: &str,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let host = self.listen.to_string();
        let headers = sign(
            key,
            &Signed {
                method: "POST",
                path,
                host: &host,
                service,
                region: "us-east-1",
                headers: more,
                body,
            },
        );
        let mut headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        headers.push(("connection", "close"));
        Connection::open(self.listen)?.ask("POST", path, &headers, body)
    }

    /// The stack as described, when its status is final.
    #[track_caller]
    pub fn settled_stack(&self, name: &str) -> Value {
        eventually(&format!("the stack `{name}` comes to rest"), || {
            let described = self
                .call(
                    "cloudformation",
                    "DescribeStacks",
                    json!({ "StackName": name }),
                )
                .map_err(|error| format!("{error:?}"))?;
            let stack = described["Stacks"][0].clone();
            let status = stack["StackStatus"].as_str().unwrap_or_default();
            match status.ends_with("_IN_PROGRESS") {
                true => Err(stack.to_string()),
                false => Ok(stack),
            }
        })
    }

    /// Every event of a stack in one text, oldest first: what tests look for reasons in.
    #[track_caller]
    pub fn stack_events(&self, name: &str) -> String {
        let input = json!({ "StackName": name });
        let answer = self.ask("cloudformation", "DescribeStackEvents", input);
        let events = answer["StackEvents"].as_array().cloned();
        let lines = events.unwrap_or_default().into_iter().rev().map(|event| {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            format!(
                "{} {} {}",
                text("LogicalResourceId"),
                text("ResourceStatus"),
                text("ResourceStatusReason")
            )
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[track_caller]
    pub fn create_stack(&self, name: &str, template: &str, parameters: &[(&str, &str)]) -> Value {
        self.ask(
            "cloudformation",
            "CreateStack",
            stack_input(name, template, parameters),
        )
    }
}

pub fn stack_input(name: &str, template: &str, parameters: &[(&str, &str)]) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|(key, value)| json!({ "ParameterKey": key, "ParameterValue": value }))
        .collect();
    json!({
        "StackName": name,
        "TemplateBody": template,
        "Parameters": parameters,
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    })
}

/// AWS's own clients name the version of a secret that a request makes; so does this one.
fn with_token(service: &str, operation: &str, mut input: Value) -> Value {
    const TOKEN: &str = "ClientRequestToken";
    let makes_version = ["CreateSecret", "PutSecretValue", "UpdateSecret"].contains(&operation);
    if service == "secretsmanager" && makes_version && input[TOKEN].is_null() {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let text = format!("{:032}-{count:012}", std::process::id());
        input[TOKEN] = text.into();
    }
    input
}
