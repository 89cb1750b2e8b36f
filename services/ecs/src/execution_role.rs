//! What a task's execution role must be allowed before its images are pulled and its logs delivered, as
//! Fargate's agent asks for it in the role's name ("Amazon ECS task execution IAM role").

use cloud::{Cx, Error, Need, Touched};
use engine::ImageName;

use crate::record::Definition;
use crate::task_record::Task;
use crate::task_start::CannotStart;

/// Who pulls, delivers and gets secrets for a task.
pub struct ExecutionRole<'a> {
    cx: &'a Cx,
    arn: String,
    session: &'a str,
}

impl<'a> ExecutionRole<'a> {
    pub fn of(cx: &'a Cx, task: &'a Task, definition: &Definition) -> Self {
        let role = definition.shape.execution_role_arn.as_deref();
        Self {
            cx,
            arn: cloud::role_arn(cx.account(), role.unwrap_or_default()),
            session: &task.id,
        }
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

    /// Asks for an action that no operation here stands for.
    fn ask(
        &self,
        region: &str,
        service: &str,
        action: &str,
        resource: Option<Touched>,
    ) -> Result<(), Error> {
        let role = cloud::Caller::AssumedRole {
            role_arn: self.arn.clone(),
            role_id: None,
            session_name: self.session.to_owned(),
            access_key: String::new(),
        };
        let cx = self.cx.in_region(region).acting_as(role);
        cx.authorize_one(service, Need::new(format!("{service}:{action}"), resource))
    }

    /// Whether an image may be pulled. Those of other registries need no permission of AWS's.
    pub fn may_pull(&self, image: &ImageName) -> Result<(), CannotStart> {
        let host = &image.repository.host;
        let Some(region) = region_of(host, self.cx.account()) else {
            return Ok(());
        };
        self.ask(region, "ecr", "GetAuthorizationToken", None)
            .map_err(|error| {
                CannotStart(format!(
                    "ResourceInitializationError: unable to pull secrets or registry auth: execution \
                     resource retrieval failed: unable to retrieve ecr registry auth: service call has \
                     been retried 1 time(s): {}: {}",
                    error.code, error.message
                ))
            })?;
        let cx = self.cx.in_region(region);
        let path = &image.repository.path;
        let repository = cx
            .find_resource("ecr", path)
            .unwrap_or_else(|| Touched::named(cx.arn("ecr", &format!("repository/{path}"))));
        for action in [
            "BatchGetImage",
            "BatchCheckLayerAvailability",
            "GetDownloadUrlForLayer",
        ] {
            self.ask(region, "ecr", action, Some(repository.clone()))
                .map_err(|error| {
                    CannotStart(format!(
                        "CannotPullContainerError: pull image manifest has been retried 1 time(s): \
                         failed to resolve ref {image}: pulling from host {host} failed with status \
                         code [manifests {}]: 403 Forbidden: denied: {}",
                        image.reference, error.message
                    ))
                })?;
        }
        Ok(())
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
        self.ask(region, "logs", "PutLogEvents", Some(touched))
    }
}

/// The region of the account's own registry: `<account>.dkr.ecr.<region>.amazonaws.com`.
fn region_of<'a>(host: &'a str, account: &str) -> Option<&'a str> {
    let rest = host.strip_prefix(account)?.strip_prefix(".dkr.ecr.")?;
    rest.strip_suffix(".amazonaws.com")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounts_own_registry_is_told_from_others() {
        let region = |host: &str| region_of(host, "000000000000").map(str::to_owned);
        let own = "000000000000.dkr.ecr.eu-west-1.amazonaws.com";
        assert_eq!(region(own).as_deref(), Some("eu-west-1"));
        assert_eq!(region("111111111111.dkr.ecr.eu-west-1.amazonaws.com"), None);
        assert_eq!(region("docker.io"), None);
        assert_eq!(
            region("000000000000.dkr.ecr.eu-west-1.amazonaws.com.evil"),
            None
        );
    }
}
