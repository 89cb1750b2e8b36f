//! An application: what `up` makes and the other commands find again. It is a stack with a tag, and
//! nothing else: AWS's own clients see the same.

use anyhow::{Result, bail, ensure};
use serde::Serialize;
use shapes::cloudformation as cfn;

use crate::client::{CallError, Client};

/// The tag that marks a stack as an application of `up`; its value is the application's name.
pub const TAG: &str = "neargate:application";

/// A name serves as stack name, repository and prefix of load balancer and target group names, and
/// those allow the least: 32 characters with a suffix.
const NAME_LENGTH_MAX: usize = 20;

/// Checks a name that the user gave.
pub fn check_name(name: &str) -> Result<()> {
    let letters = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let begins = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    ensure!(
        letters
            && begins
            && !name.ends_with('-')
            && !name.contains("--")
            && name.len() <= NAME_LENGTH_MAX,
        "`{name}` cannot be an application's name: small letters, digits and single hyphens, a letter first, at most {NAME_LENGTH_MAX} characters"
    );
    Ok(())
}

/// A name made from a folder's, or none when nothing of it can be used.
pub fn name_from(folder: &str) -> Option<String> {
    let mut name = String::new();
    for c in folder.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_lowercase() || (c.is_ascii_digit() && !name.is_empty()) {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == NAME_LENGTH_MAX {
            break;
        }
    }
    let name = name.trim_end_matches('-').to_owned();
    check_name(&name).is_ok().then_some(name)
}

#[derive(Debug, Clone, Serialize)]
pub struct Application {
    pub name: String,
    /// The stack's status, in CloudFormation's words.
    pub status: String,
    pub reason: Option<String>,
    pub url: Option<String>,
    pub cluster: Option<String>,
    pub service: Option<String>,
    pub log_group: Option<String>,
    pub running: i32,
    pub desired: i32,
}

impl Application {
    fn from_stack(stack: &cfn::Stack) -> Option<Self> {
        let tags = stack.tags.iter().flatten();
        let tag = tags.into_iter().find(|it| it.key == TAG)?;
        let output = |name: &str| {
            let outputs = stack.outputs.iter().flatten();
            outputs
                .into_iter()
                .find(|it| it.output_key.as_deref() == Some(name))?
                .output_value
                .clone()
        };
        Some(Self {
            name: tag.value.clone(),
            status: stack.stack_status.to_string(),
            reason: stack.stack_status_reason.clone(),
            url: output("Url"),
            cluster: output("Cluster"),
            service: output("Service"),
            log_group: output("LogGroup"),
            running: 0,
            desired: 0,
        })
    }
}

/// The stack with this name or id; None when CloudFormation knows of none.
pub async fn find_stack(client: &Client, name: &str) -> Result<Option<cfn::Stack>> {
    let describe = cfn::DescribeStacksInput {
        stack_name: Some(name.to_owned()),
        ..Default::default()
    };
    match client.call(describe).await {
        Ok(found) => Ok(found.stacks.unwrap_or_default().into_iter().next()),
        Err(error) => match error.downcast_ref::<CallError>() {
            Some(known) if known.message.contains("does not exist") => Ok(None),
            _ => Err(error),
        },
    }
}

/// Every application of the region, with the counts of its service.
pub async fn list(client: &Client) -> Result<Vec<Application>> {
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let page = client
            .call(cfn::DescribeStacksInput {
                next_token: token,
                ..Default::default()
            })
            .await?;
        found.extend(
            page.stacks
                .iter()
                .flatten()
                .filter_map(Application::from_stack),
        );
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    for application in &mut found {
        count_tasks(client, application).await?;
    }
    Ok(found)
}

pub async fn find(client: &Client, name: &str) -> Result<Application> {
    let all = list(client).await?;
    let names: Vec<String> = all.iter().map(|it| it.name.clone()).collect();
    match all.into_iter().find(|it| it.name == name) {
        Some(application) => Ok(application),
        None if names.is_empty() => {
            bail!("there is no application `{name}`: `neargate up DIR` makes one")
        }
        None => bail!(
            "there is no application `{name}`; there are: {}",
            names.join(", ")
        ),
    }
}

async fn count_tasks(client: &Client, application: &mut Application) -> Result<()> {
    let (Some(cluster), Some(service)) = (&application.cluster, &application.service) else {
        return Ok(());
    };
    let input = shapes::ecs::DescribeServicesInput {
        cluster: Some(cluster.clone()),
        services: vec![service.clone()],
        ..Default::default()
    };
    let Ok(answer) = client.call(input).await else {
        return Ok(());
    };
    if let Some(service) = answer.services.iter().flatten().next() {
        application.running = service.running_count.unwrap_or(0);
        application.desired = service.desired_count.unwrap_or(0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_give_names_that_aws_accepts() {
        let table = [
            ("website", Some("website")),
            ("My Company.Site", Some("my-company-site")),
            ("2026-site", Some("site")),
            ("__", None),
            (
                "a-very-long-folder-name-indeed",
                Some("a-very-long-folder-n"),
            ),
        ];
        for (folder, expect) in table {
            assert_eq!(name_from(folder).as_deref(), expect, "{folder}");
        }
    }
}
