//! Lifecycle policies: which images of a repository expire (Amazon ECR User Guide, "Lifecycle policies").
//!
//! An image belongs to the first rule, by priority, whose tags it has; that rule expires it or lets it
//! be, and no other is asked. AWS expires images within a day; here a policy is looked at when it is
//! put and from then on every [`INTERVAL`].

use std::time::Duration;

use base::glob::matches_stars;
use cloud::{Cx, Error};
use engine::StoredManifest;
use serde::{Deserialize, Serialize};
use shapes::ecr::*;

use crate::image::has_status;
use crate::names::{engine_error, find, image_name, in_registry, invalid};
use crate::page::page;
use crate::repository::{RepositoryRecord, images};

/// How often policies are looked at, as AWS's day is kept.
pub const INTERVAL: Duration = Duration::from_secs(60 * 60);
/// The most rules that a policy may have.
const RULES_MAX: usize = 50;
/// The most `*` in one pattern (User Guide, "Lifecycle policy parameters"): each may stand for any
/// part of a tag, and all of them are tried together.
const WILDCARDS_MAX: usize = 4;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A policy as it was put.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lifecycle {
    pub text: String,
    pub evaluated_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    rule_priority: u32,
    #[serde(rename = "description")]
    _description: Option<String>,
    selection: Selection,
    #[serde(rename = "action")]
    _action: Action,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Selection {
    tag_status: Which,
    #[serde(default)]
    tag_prefix_list: Vec<String>,
    #[serde(default)]
    tag_pattern_list: Vec<String>,
    count_type: CountType,
    count_unit: Option<CountUnit>,
    count_number: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Which {
    Tagged,
    Untagged,
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum CountType {
    ImageCountMoreThan,
    SinceImagePushed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CountUnit {
    Days,
}

/// There is one thing that a rule does.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Action {
    Expire,
}

/// Reads a policy and checks what the form alone does not say; the rules come in their order.
fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let policy: Policy = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut rules = policy.rules;
    rules.sort_by_key(|it| it.rule_priority);
    if rules.is_empty() || rules.len() > RULES_MAX {
        return Err(format!("a policy has 1 to {RULES_MAX} rules"));
    }
    for (at, rule) in rules.iter().enumerate() {
        let priority = rule.rule_priority;
        let selection = &rule.selection;
        let has_list =
            !selection.tag_prefix_list.is_empty() || !selection.tag_pattern_list.is_empty();
        let wrong = match () {
            () if priority == 0 => Some("rulePriority must be at least 1"),
            () if at > 0 && rules[at - 1].rule_priority == priority => {
                Some("rulePriority must be unique")
            }
            () if selection.count_number == 0 => Some("countNumber must be at least 1"),
            () if (selection.tag_status == Which::Tagged) != has_list => Some(
                "tagPrefixList or tagPatternList is required for tagStatus tagged, and for it alone",
            ),
            () if (selection.tag_pattern_list.iter())
                .any(|it| it.matches('*').count() > WILDCARDS_MAX) =>
            {
                Some("a pattern of tagPatternList may have at most four `*`")
            }
            () if selection.count_type == CountType::SinceImagePushed
                && selection.count_unit.is_none() =>
            {
                Some("countUnit is required for sinceImagePushed")
            }
            () if selection.count_type == CountType::ImageCountMoreThan
                && selection.count_unit.is_some() =>
            {
                Some("countUnit must not be given for imageCountMoreThan")
            }
            () if selection.tag_status == Which::Any && at + 1 < rules.len() => {
                Some("a rule with tagStatus any must have the highest rulePriority")
            }
            () => None,
        };
        if let Some(wrong) = wrong {
            return Err(format!("{wrong} (rule {priority})"));
        }
    }
    Ok(rules)
}

fn is_for(selection: &Selection, tags: &[String]) -> bool {
    let prefix = |it: &String| tags.iter().any(|tag| tag.starts_with(it.as_str()));
    let pattern = |it: &String| tags.iter().any(|tag| matches_stars(it, tag));
    match selection.tag_status {
        Which::Any => true,
        Which::Untagged => tags.is_empty(),
        // An image has to have a tag for each of the list.
        Which::Tagged => {
            selection.tag_prefix_list.iter().all(prefix)
                && selection.tag_pattern_list.iter().all(pattern)
        }
    }
}

/// The images that expire now, with the priorities of the rules that say so.
fn expired<'a>(
    rules: &[Rule],
    images: &'a [StoredManifest],
    now_ms: i64,
) -> Vec<(&'a StoredManifest, u32)> {
    let mut left: Vec<&StoredManifest> = images.iter().collect();
    // Newest first; what was pushed in the same moment is told apart by its digest.
    left.sort_by_key(|it| (std::cmp::Reverse(it.pushed_at_ms), it.digest.to_string()));
    let mut expired = Vec::new();
    for rule in rules {
        let selection = &rule.selection;
        let (own, others) = left.into_iter().partition(|it| is_for(selection, &it.tags));
        left = others;
        let own: Vec<&StoredManifest> = own;
        let count = selection.count_number;
        expired.extend(own.into_iter().enumerate().filter_map(|(at, image)| {
            let is_over = match selection.count_type {
                CountType::ImageCountMoreThan => at >= count as usize,
                CountType::SinceImagePushed => {
                    now_ms - image.pushed_at_ms > i64::from(count) * DAY_MS
                }
            };
            is_over.then_some((image, rule.rule_priority))
        }));
    }
    expired
}

/// Deletes what has expired.
pub async fn enforce(cx: &Cx, repository: &RepositoryRecord) -> Result<(), Error> {
    let Some(lifecycle) = &repository.lifecycle else {
        return Ok(());
    };
    // It was read when it was put.
    let Ok(rules) = parse(&lifecycle.text) else {
        return Ok(());
    };
    let now_ms = cx.clock().now_ms();
    let stored = images(cx, repository).await?;
    for (image, _) in expired(&rules, &stored, now_ms) {
        let id = ImageIdentifier {
            image_digest: Some(image.digest.to_string()),
            image_tag: None,
        };
        let name = image_name(repository, &id).map_err(engine_error)?;
        let gone = cx.engine().images.delete_manifest(&name).await;
        match gone {
            Err(error) if error.fault == engine::Fault::NotFound => {}
            other => other.map_err(engine_error)?,
        }
    }
    Ok(())
}

fn no_policy(cx: &Cx, name: &str) -> Error {
    errors::LifecyclePolicyNotFoundException.because(in_registry(
        cx,
        "Lifecycle policy does not exist for the repository",
        name,
        "in",
    ))
}

fn check(text: &str) -> Result<(), Error> {
    parse(text).map(drop).map_err(|why| {
        invalid(format!(
            "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: {why}'"
        ))
    })
}

pub async fn put_lifecycle_policy(
    cx: Cx,
    input: PutLifecyclePolicyInput,
) -> Result<PutLifecyclePolicyOutput, Error> {
    let text = input.lifecycle_policy_text;
    check(&text)?;
    let (registry, name) = (input.registry_id.as_deref(), &input.repository_name);
    cx.write(|tx| {
        let mut repository = find(&cx, tx, registry, name)?;
        repository.lifecycle = Some(Lifecycle {
            text: text.clone(),
            evaluated_ms: None,
        });
        tx.put(&repository)
    })?;
    Ok(PutLifecyclePolicyOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name),
        lifecycle_policy_text: Some(text),
    })
}

/// Notes of which policy the effect is to be shown: the given one, or the repository's.
pub async fn start_lifecycle_policy_preview(
    cx: Cx,
    input: StartLifecyclePolicyPreviewInput,
) -> Result<StartLifecyclePolicyPreviewOutput, Error> {
    let (registry, name) = (input.registry_id.as_deref(), &input.repository_name);
    let text = cx.write(|tx| {
        let mut repository = find(&cx, tx, registry, name)?;
        let own = || repository.lifecycle.as_ref().map(|it| it.text.clone());
        let text = input.lifecycle_policy_text.clone().or_else(own);
        let text = text.ok_or_else(|| no_policy(&cx, name))?;
        check(&text)?;
        repository.preview = Some(text.clone());
        tx.put(&repository)?;
        Ok(text)
    })?;
    Ok(StartLifecyclePolicyPreviewOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name),
        lifecycle_policy_text: Some(text),
        status: Some(LifecyclePolicyPreviewStatus::Complete),
    })
}

pub async fn get_lifecycle_policy_preview(
    cx: Cx,
    input: GetLifecyclePolicyPreviewInput,
) -> Result<GetLifecyclePolicyPreviewOutput, Error> {
    let (registry, name) = (input.registry_id.as_deref(), &input.repository_name);
    let repository = cx.read(|tx| find(&cx, tx, registry, name))?;
    let text = repository.preview.clone().ok_or_else(|| {
        let what = "Lifecycle policy preview does not exist for the repository";
        errors::LifecyclePolicyPreviewNotFoundException.because(in_registry(&cx, what, name, "in"))
    })?;
    let rules = parse(&text).unwrap_or_default();
    let stored = images(&cx, &repository).await?;
    let all = expired(&rules, &stored, cx.clock().now_ms());
    let count = i32::try_from(all.len()).unwrap_or(i32::MAX);
    let status = input.filter.and_then(|it| it.tag_status);
    let is_asked = |image: &StoredManifest| {
        let ids = input.image_ids.as_ref();
        let named = ids.is_none_or(|ids| ids.iter().any(|id| is_named(id, image)));
        named && has_status(&image.tags, status)
    };
    let shown: Vec<_> = (all.into_iter())
        .filter(|(image, _)| is_asked(image))
        .map(|(image, priority)| expiring(image, priority))
        .collect();
    let key = |it: &LifecyclePolicyPreviewResult| it.image_digest.clone().unwrap_or_default();
    let (shown, next_token) = page(shown, key, input.next_token.as_deref(), input.max_results);
    Ok(GetLifecyclePolicyPreviewOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(input.repository_name),
        lifecycle_policy_text: Some(text),
        status: Some(LifecyclePolicyPreviewStatus::Complete),
        next_token,
        preview_results: Some(shown),
        summary: Some(LifecyclePolicyPreviewSummary {
            expiring_image_total_count: Some(count),
            ..Default::default()
        }),
    })
}

fn is_named(id: &ImageIdentifier, image: &StoredManifest) -> bool {
    let digest = (id.image_digest.as_deref()).is_none_or(|it| it == image.digest.as_str());
    let tag = (id.image_tag.as_ref()).is_none_or(|it| image.tags.contains(it));
    digest && tag
}

fn expiring(image: &StoredManifest, priority: u32) -> LifecyclePolicyPreviewResult {
    LifecyclePolicyPreviewResult {
        image_tags: (!image.tags.is_empty()).then(|| image.tags.clone()),
        image_digest: Some(image.digest.to_string()),
        image_pushed_at: Some(time(image.pushed_at_ms)),
        action: Some(LifecyclePolicyRuleAction {
            r#type: Some(ImageActionType::Expire),
            ..Default::default()
        }),
        applied_rule_priority: i32::try_from(priority).ok(),
        ..Default::default()
    }
}

fn time(ms: i64) -> wire::Timestamp {
    wire::Timestamp(ms as f64 / 1000.0)
}

pub async fn get_lifecycle_policy(
    cx: Cx,
    input: GetLifecyclePolicyInput,
) -> Result<GetLifecyclePolicyOutput, Error> {
    let (registry, name) = (input.registry_id.as_deref(), input.repository_name);
    let repository = cx.read(|tx| find(&cx, tx, registry, &name))?;
    let lifecycle = repository.lifecycle.ok_or_else(|| no_policy(&cx, &name))?;
    Ok(GetLifecyclePolicyOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(name),
        lifecycle_policy_text: Some(lifecycle.text),
        last_evaluated_at: lifecycle.evaluated_ms.map(time),
    })
}

pub async fn delete_lifecycle_policy(
    cx: Cx,
    input: DeleteLifecyclePolicyInput,
) -> Result<DeleteLifecyclePolicyOutput, Error> {
    let (registry, name) = (input.registry_id.as_deref(), input.repository_name);
    let lifecycle = cx.write(|tx| {
        let mut repository = find(&cx, tx, registry, &name)?;
        let lifecycle = repository.lifecycle.take();
        tx.put(&repository)?;
        lifecycle.ok_or_else(|| no_policy(&cx, &name))
    })?;
    Ok(DeleteLifecyclePolicyOutput {
        registry_id: Some(cx.account().to_owned()),
        repository_name: Some(name),
        lifecycle_policy_text: Some(lifecycle.text),
        last_evaluated_at: lifecycle.evaluated_ms.map(time),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn image(name: &str, days_old: i64, tags: &[&str]) -> StoredManifest {
        StoredManifest {
            digest: format!("sha256:{:0>64}", name.len() + name.as_bytes()[0] as usize)
                .parse()
                .unwrap(),
            media_type: String::new(),
            bytes: name.as_bytes().to_vec(),
            tags: tags.iter().map(|it| (*it).to_owned()).collect(),
            size_bytes: 0,
            pushed_at_ms: -days_old * DAY_MS,
            pulled_at_ms: None,
        }
    }

    fn check(rules: Json, expect: &[&str]) {
        let images = [
            image("new", 1, &["prod-3"]),
            image("mid", 5, &["prod-2", "web"]),
            image("old", 20, &["prod-1"]),
            image("lost", 10, &[]),
            image("dev", 30, &["dev"]),
        ];
        let rules = parse(&json!({ "rules": rules }).to_string()).unwrap();
        let mut found: Vec<String> = (expired(&rules, &images, 0).into_iter())
            .map(|(it, _)| String::from_utf8(it.bytes.clone()).unwrap())
            .collect();
        found.sort();
        assert_eq!(found, expect);
    }

    fn rule(priority: u32, selection: Json) -> Json {
        json!({"rulePriority": priority, "selection": selection, "action": {"type": "expire"}})
    }

    #[test]
    fn each_image_belongs_to_its_first_rule() {
        let count = |status: &str, number: u32| json!({"tagStatus": status, "countType": "imageCountMoreThan", "countNumber": number});
        let days = |status: &str, number: u32| json!({"tagStatus": status, "countType": "sinceImagePushed", "countUnit": "days", "countNumber": number});
        check(json!([rule(1, count("any", 2))]), &["dev", "lost", "old"]);
        check(json!([rule(1, days("untagged", 9))]), &["lost"]);
        check(json!([rule(1, days("untagged", 11))]), &[]);
        let mut prod = count("tagged", 1);
        prod["tagPrefixList"] = json!(["prod"]);
        // What the first rule keeps, the second does not take.
        check(
            json!([rule(2, days("any", 1)), rule(1, prod.clone())]),
            &["dev", "lost", "mid", "old"],
        );
        prod["tagPrefixList"] = json!(["prod", "web"]);
        check(json!([rule(1, prod)]), &[]);
        let mut pattern = days("tagged", 3);
        pattern["tagPatternList"] = json!(["*-2"]);
        check(json!([rule(1, pattern)]), &["mid"]);
    }

    #[test]
    fn policies_that_mean_nothing_are_refused() {
        let any = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1});
        for rules in [
            json!([]),
            json!([rule(0, any.clone())]),
            json!([rule(1, any.clone()), rule(1, any.clone())]),
            json!([rule(1, any.clone()), rule(2, any.clone())]),
            json!([rule(
                1,
                json!({"tagStatus": "tagged", "countType": "imageCountMoreThan", "countNumber": 1})
            )]),
            json!([rule(
                1,
                json!({"tagStatus": "any", "countType": "sinceImagePushed", "countNumber": 1})
            )]),
            json!([rule(
                1,
                json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 0})
            )]),
            json!([rule(
                1,
                json!({"tagStatus": "tagged", "tagPatternList": ["*a*a*a*a*b"], "countType": "imageCountMoreThan", "countNumber": 1})
            )]),
            json!([{"rulePriority": 1, "selection": any, "action": {"type": "archive"}}]),
        ] {
            assert!(
                parse(&json!({ "rules": rules }).to_string()).is_err(),
                "{rules}"
            );
        }
    }
}
