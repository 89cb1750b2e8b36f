//! What a task's execution role must be allowed before its images are pulled and its logs delivered, as
//! Fargate's agent asks for it in the role's name ("Amazon ECS task execution IAM role").

use cloud::{Cx, Error, Need, PullRefused, Touched};
use engine::ImageName;

use crate::record::Definition;
use crate::roles::execution_role;
use crate::task_record::Task;
use crate::task_start::CannotStart;

/// Who pulls, delivers and gets secrets for a task.
pub struct ExecutionRole<'a> {
    cx: &'a Cx,
    arn: String,
    session: &'a str,
}

impl<'a> ExecutionRole<'a> {
    pub fn of(cx: &'a Cx, task: &'a Task, definition: &Definition) -> Result<Self, Error> {
        let given = execution_role(&task.overrides, definition);
        Ok(Self {
            cx,
            arn: cx.role_arn(given.map_or("", String::as_str))?,
            session: &task.id,
        })
    }

    /// Calls an operation in the role's name.
    pub async fn call<I: wire::Operation + Send + 'static>(
        &self,
        region: &str,
        input: I,
    ) -> Result<I::Output, Error> {
        let cx = self.cx.in_region(region);
        cx.call_as(&self.arn, self.session, input).await
    }

    fn acting(&self) -> Cx {
        self.cx.acting_as(cloud::Caller::AssumedRole {
            role_arn: self.arn.clone(),
            role_id: None,
            session_name: self.session.to_owned(),
            access_key: String::new(),
        })
    }

    /// Whether an image may be pulled.
    pub fn may_pull(&self, image: &ImageName) -> Result<(), CannotStart> {
        self.acting().authorize_pull(image).map_err(|refused| {
            CannotStart(match refused {
                PullRefused::Login(error) => format!(
                    "ResourceInitializationError: unable to pull secrets or registry auth: execution \
                     resource retrieval failed: unable to retrieve ecr registry auth: service call has \
                     been retried 1 time(s): {}: {}",
                    error.code, error.message
                ),
                PullRefused::Image(error) => format!(
                    "CannotPullContainerError: pull image manifest has been retried 1 time(s): \
                     failed to resolve ref {image}: pulling from host {} failed with status \
                     code [manifests {}]: 403 Forbidden: denied: {}",
                    image.repository.host, image.reference, error.message
                ),
            })
        })
    }

    /// Whether a container's output may be delivered to a stream.
    pub fn may_deliver(&self, region: &str, group: &str, stream: &str) -> Result<(), Error> {
        let cx = self.cx.in_region(region);
        let of_group = cx.find_resource("logs", group);
        let arn = cx.arn("logs", &format!("log-group:{group}:log-stream:{stream}"));
        let touched = Touched {
            arn,
            ..of_group.unwrap_or_else(|| Touched::named(""))
        };
        let need = Need::new("logs:PutLogEvents", Some(touched));
        self.acting().in_region(region).authorize_one("logs", need)
    }
}
