//! IAM's types for CloudFormation (CloudFormation User Guide, "AWS::IAM::…").

mod policy;
mod profile;
mod role;

use std::collections::BTreeSet;

use cloud::{Cx, Error, ResourceError, ResourceRequest, Service};
use serde_json::Value as Json;
use shapes::iam::{Tag, errors};

use crate::tags::Tags;

pub fn register(service: Service) -> Service {
    service
        .resource(role::RoleType)
        .resource(policy::PolicyType)
        .resource(policy::ManagedPolicyType)
        .resource(profile::ProfileType)
}

/// What a template with an IAM resource must acknowledge: more when the resource's name is chosen.
fn capability(properties: &Json, name: &str) -> Option<&'static str> {
    let named = properties.get(name).is_some_and(|it| !it.is_null());
    Some(if named {
        "CAPABILITY_NAMED_IAM"
    } else {
        "CAPABILITY_IAM"
    })
}

fn required_document(request: &ResourceRequest, name: &str) -> Result<String, ResourceError> {
    request
        .get(name)
        .map(cloud::document)
        .ok_or_else(|| ResourceError::new(format!("Property {name} is required")))
}

/// A property that is a list of texts.
fn texts(properties: &Json, name: &str) -> BTreeSet<String> {
    let items = properties.get(name).and_then(Json::as_array);
    let texts = items.into_iter().flatten().filter_map(Json::as_str);
    texts.map(str::to_owned).collect()
}

fn tag_list(tags: &Tags) -> Vec<Tag> {
    let tag = |(key, value): (&String, &String)| Tag {
        key: key.clone(),
        value: value.clone(),
    };
    tags.iter().map(tag).collect()
}

/// What is gone already needs no removing.
fn gone_is_fine<T>(outcome: Result<T, Error>) -> Result<(), ResourceError> {
    cloud::deletion(outcome, &[errors::NoSuchEntityException.code], &[])
}

/// The holders of a policy, by the property that lists them.
struct Holders {
    roles: BTreeSet<String>,
    users: BTreeSet<String>,
    groups: BTreeSet<String>,
}

impl Holders {
    fn of(properties: &Json) -> Self {
        Self {
            roles: texts(properties, "Roles"),
            users: texts(properties, "Users"),
            groups: texts(properties, "Groups"),
        }
    }

    fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.users.is_empty() && self.groups.is_empty()
    }

    fn without(&self, others: &Self) -> Self {
        Self {
            roles: self.roles.difference(&others.roles).cloned().collect(),
            users: self.users.difference(&others.users).cloned().collect(),
            groups: self.groups.difference(&others.groups).cloned().collect(),
        }
    }

    async fn attach(&self, cx: &Cx, arn: &str) -> Result<(), ResourceError> {
        for role_name in self.roles.iter().cloned() {
            let policy_arn = arn.to_owned();
            let input = shapes::iam::AttachRolePolicyInput {
                role_name,
                policy_arn,
            };
            cx.call(input).await?;
        }
        for user_name in self.users.iter().cloned() {
            let policy_arn = arn.to_owned();
            let input = shapes::iam::AttachUserPolicyInput {
                user_name,
                policy_arn,
            };
            cx.call(input).await?;
        }
        for group_name in self.groups.iter().cloned() {
            let policy_arn = arn.to_owned();
            let input = shapes::iam::AttachGroupPolicyInput {
                group_name,
                policy_arn,
            };
            cx.call(input).await?;
        }
        Ok(())
    }

    async fn detach(&self, cx: &Cx, arn: &str) -> Result<(), ResourceError> {
        for role_name in self.roles.iter().cloned() {
            let policy_arn = arn.to_owned();
            let input = shapes::iam::DetachRolePolicyInput {
                role_name,
                policy_arn,
            };
            gone_is_fine(cx.call(input).await)?;
        }
        for user_name in self.users.iter().cloned() {
            let policy_arn = arn.to_owned();
            let input = shapes::iam::DetachUserPolicyInput {
                user_name,
                policy_arn,
            };
            gone_is_fine(cx.call(input).await)?;
        }
        for group_name in self.groups.iter().cloned() {
            let policy_arn = arn.to_owned();
            let input = shapes::iam::DetachGroupPolicyInput {
                group_name,
                policy_arn,
            };
            gone_is_fine(cx.call(input).await)?;
        }
        Ok(())
    }

    async fn put(&self, cx: &Cx, name: &str, document: &str) -> Result<(), ResourceError> {
        for role_name in self.roles.iter().cloned() {
            let input = shapes::iam::PutRolePolicyInput {
                role_name,
                policy_name: name.to_owned(),
                policy_document: document.to_owned(),
            };
            cx.call(input).await?;
        }
        for user_name in self.users.iter().cloned() {
            let input = shapes::iam::PutUserPolicyInput {
                user_name,
                policy_name: name.to_owned(),
                policy_document: document.to_owned(),
            };
            cx.call(input).await?;
        }
        for group_name in self.groups.iter().cloned() {
            let input = shapes::iam::PutGroupPolicyInput {
                group_name,
                policy_name: name.to_owned(),
                policy_document: document.to_owned(),
            };
            cx.call(input).await?;
        }
        Ok(())
    }

    async fn remove(&self, cx: &Cx, name: &str) -> Result<(), ResourceError> {
        for role_name in self.roles.iter().cloned() {
            let input = shapes::iam::DeleteRolePolicyInput {
                role_name,
                policy_name: name.to_owned(),
            };
            gone_is_fine(cx.call(input).await)?;
        }
        for user_name in self.users.iter().cloned() {
            let input = shapes::iam::DeleteUserPolicyInput {
                user_name,
                policy_name: name.to_owned(),
            };
            gone_is_fine(cx.call(input).await)?;
        }
        for group_name in self.groups.iter().cloned() {
            let input = shapes::iam::DeleteGroupPolicyInput {
                group_name,
                policy_name: name.to_owned(),
            };
            gone_is_fine(cx.call(input).await)?;
        }
        Ok(())
    }
}
