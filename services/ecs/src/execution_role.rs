//! What a task's execution role must be allowed before its images are pulled and its logs delivered, as
//! Fargate's agent asks for it in the role's name ("Amazon ECS task execution IAM role").

use cloud::{Cx, Error, Need, PullRefused, Touched};
use engine::ImageName;

use crate::instance_record::ContainerInstance;
use crate::record::Definition;
use crate::roles::execution_role;
use crate::task_record::{Placed, Task};
use crate::task_start::CannotStart;

/// Who pulls, delivers and gets secrets for a task.
pub struct ExecutionRole<'a> {
    cx: &'a Cx,
    arn: String,
    session: &'a str,
}

fn role_of_instance(cx: &Cx, task: &Task, placed: &Placed) -> Result<Option<String>, Error> {
    let key = ContainerInstance::key_of(&task.region, &task.cluster, &placed.instance);
    let found = cx.read(|tx| tx.get::<ContainerInstance>(&key))?;
    Ok(found.and_then(|it| it.machine.role))
}

impl<'a> ExecutionRole<'a> {
    pub fn of(cx: &'a Cx, task: &'a Task, definition: &Definition) -> Result<Self, Error> {
        let arn = match (execution_role(&task.overrides, definition), &task.placed) {
            (Some(given), _) => cx.role_arn(given)?,
            // The agent acts as its instance does.
            (None, Some(placed)) => role_of_instance(cx, task, placed)?.unwrap_or_default(),
            (None, None) => cx.role_arn("")?,
        };
        Ok(Self {
            cx,
            arn,
            session: &task.id,
        })
    }

    /// There is none: nothing can be asked for in its name.
    pub fn is_missing(&self) -> bool {
        self.arn.is_empty()
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
