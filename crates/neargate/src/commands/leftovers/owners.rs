//! Which stack owns what, and which deleted stack retained what.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use shapes::cloudformation::{
    ListStackResourcesInput, ListStacksInput, StackResourceSummary, StackSummary,
};

use crate::client::Client;

pub struct Owners {
    /// Physical ids of everything in stacks that are there.
    owned: BTreeSet<String>,
    /// Physical ids that a deleted stack retained, and its name.
    retained: BTreeMap<String, String>,
}

impl Owners {
    pub async fn read(client: &Client) -> Result<Self> {
        let (mut owned, mut retained) = (BTreeSet::new(), BTreeMap::new());
        for stack in stacks(client).await? {
            let id = stack.stack_id.unwrap_or_default();
            let is_gone = stack.stack_status.as_str() == "DELETE_COMPLETE";
            for resource in resources(client, &id).await? {
                let status = resource.resource_status.as_str().to_owned();
                let Some(physical) = resource.physical_resource_id else {
                    continue;
                };
                if !is_gone {
                    if status != "DELETE_COMPLETE" {
                        owned.insert(physical);
                    }
                } else if status == "DELETE_SKIPPED" {
                    retained.insert(physical, stack.stack_name.clone());
                }
            }
        }
        Ok(Self { owned, retained })
    }

    pub fn owns(&self, physical_id: &str) -> bool {
        self.owned.contains(physical_id)
    }

    pub fn retained_by(&self, physical_id: &str) -> Option<String> {
        self.retained.get(physical_id).cloned()
    }
}

async fn stacks(client: &Client) -> Result<Vec<StackSummary>> {
    let (mut found, mut next_token) = (Vec::new(), None);
    loop {
        let input = ListStacksInput {
            next_token,
            ..Default::default()
        };
        let page = client.call(input).await?;
        found.extend(page.stack_summaries.unwrap_or_default());
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(found);
        }
    }
}

async fn resources(client: &Client, stack: &str) -> Result<Vec<StackResourceSummary>> {
    let (mut found, mut next_token) = (Vec::new(), None);
    loop {
        let input = ListStackResourcesInput {
            stack_name: stack.to_owned(),
            next_token,
        };
        let page = client.call(input).await?;
        found.extend(page.stack_resource_summaries.unwrap_or_default());
        next_token = page.next_token;
        if next_token.is_none() {
            return Ok(found);
        }
    }
}
