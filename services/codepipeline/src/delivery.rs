//! Deliveries to webhooks: who may make them, what they mean.
//!
//! A signature says who wrote a delivery, and nothing of when. Whoever once saw one could send it again, so
//! that what was taken is remembered by the digest of its body: GitHub's own id of a delivery is not signed.

use cloud::{Cloud, Cx, Error, Record, Records};
use ring::{digest, hmac};
use serde_json::Value as Json;
use shapes::codepipeline::errors::ValidationException;
use shapes::codepipeline::*;

use crate::find;
use crate::record::{Delivered, Pipeline, Webhook};
use crate::start::{Trigger, start};

/// Deliveries that are remembered of each webhook. Nobody without its secret can fill this up; a busy
/// repository is pushed to some thousand times in a year.
const DELIVERIES_MAX: usize = 10_000;
/// How many are forgotten at once when there are more, the oldest first.
const FORGOTTEN_AT_ONCE: usize = 1_000;

/// Whether a push to a branch is one that the webhook starts its pipeline for.
pub fn takes_push(webhook: &Webhook, pipeline: &Pipeline, branch: &str) -> bool {
    let event = serde_json::json!({ "ref": format!("refs/heads/{branch}") });
    let mut filters = webhook.definition.filters.iter();
    filters.all(|filter| passes(filter, &event, pipeline, webhook))
}

/// A call of a webhook's address.
pub struct Delivery<'a> {
    /// What the address ends in.
    pub path: &'a str,
    /// `X-Hub-Signature-256`: `sha256=<hexadecimal digits>`.
    pub signature_sha256: Option<&'a str>,
    /// `X-Hub-Signature`: `sha1=<hexadecimal digits>`.
    pub signature_sha1: Option<&'a str>,
    /// `X-GitHub-Event`.
    pub event: Option<&'a str>,
    pub body: &'a [u8],
}

/// Whether there is a webhook of this address: nothing else is worth a body.
pub fn is_address(cloud: &std::sync::Arc<Cloud>, path: &str) -> bool {
    let found = cloud.store.read(|tx| tx.readable::<Webhook>(""));
    // What cannot be read is told when the delivery is taken.
    found.map_or(true, |all| all.iter().any(|it| it.path == path))
}

/// Starts the webhook's pipeline when the delivery is what it says it is: the status and text that
/// the caller is answered with.
pub fn deliver(cloud: &std::sync::Arc<Cloud>, delivery: &Delivery<'_>) -> (u16, String) {
    let found = cloud.store.read(|tx| tx.readable::<Webhook>(""));
    let webhooks: Vec<Webhook> = match found {
        Ok(all) => all,
        Err(error) => return internal(&error),
    };
    let Some(webhook) = webhooks.into_iter().find(|it| it.path == delivery.path) else {
        return (404, "there is no such webhook".into());
    };
    if !is_authentic(&webhook.definition, delivery) {
        tracing::warn!(
            webhook = webhook.definition.name,
            "a delivery with a wrong signature was refused"
        );
        return (403, "the signature is missing or wrong".into());
    }
    if delivery.event == Some("ping") {
        return (200, "pong".into());
    }
    let cx = cloud.daemon_context(&webhook.region);
    match take(&cx, webhook, delivery.body) {
        Ok(Taken::Started(execution)) => (200, format!("started the execution {execution}")),
        Ok(Taken::Filtered) => (200, "the filters do not match: nothing was started".into()),
        Ok(Taken::Before) => (200, "it was delivered before: nothing was started".into()),
        Err(error) if error.status < 500 => (error.status, error.message),
        Err(error) => internal(&error),
    }
}

fn internal(error: &dyn std::error::Error) -> (u16, String) {
    tracing::error!(%error, "a webhook's delivery could not be taken");
    (500, "the delivery could not be taken".into())
}

fn is_authentic(definition: &WebhookDefinition, delivery: &Delivery<'_>) -> bool {
    if definition.authentication == WebhookAuthenticationType::Unauthenticated {
        return true;
    }
    let secret = definition
        .authentication_configuration
        .secret_token
        .as_deref();
    let Some(secret) = secret.filter(|it| !it.is_empty()) else {
        return false;
    };
    let verify = |algorithm, given: &str| {
        // Ring compares in constant time.
        let key = hmac::Key::new(algorithm, secret.as_bytes());
        bytes_of(given).is_some_and(|it| hmac::verify(&key, delivery.body, &it).is_ok())
    };
    match (delivery.signature_sha256, delivery.signature_sha1) {
        // The stronger one decides when it is there.
        (Some(given), _) => given
            .strip_prefix("sha256=")
            .is_some_and(|it| verify(hmac::HMAC_SHA256, it)),
        (None, Some(given)) => given
            .strip_prefix("sha1=")
            .is_some_and(|it| verify(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, it)),
        (None, None) => false,
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.bytes().all(|it| it.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = (0..hex.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok())
        .collect()
}

/// What came of a delivery.
enum Taken {
    /// An execution, by its id.
    Started(String),
    Filtered,
    Before,
}

/// Remembers a delivery that is signed; whether it is new.
fn remember(cx: &Cx, tx: &Records<'_>, webhook: &Webhook, body: &[u8]) -> Result<bool, Error> {
    if webhook.definition.authentication == WebhookAuthenticationType::Unauthenticated {
        // Whoever knows the address may start it as often as they like.
        return Ok(true);
    }
    let digest = digest::digest(&digest::SHA256, body);
    let hex = digest.as_ref().iter().map(|it| format!("{it:02x}"));
    let delivered = Delivered {
        region: webhook.region.clone(),
        path: webhook.path.clone(),
        digest: hex.collect(),
        at_ms: cx.clock().now_ms(),
    };
    if tx.get::<Delivered>(&delivered.key())?.is_some() {
        return Ok(false);
    }
    tx.put(&delivered)?;
    let prefix = Delivered::prefix(&webhook.region, &webhook.path);
    if tx.keys::<Delivered>(&prefix)?.len() > DELIVERIES_MAX {
        let mut all: Vec<Delivered> = tx.list(&prefix)?;
        all.sort_by_key(|it| it.at_ms);
        for old in &all[..FORGOTTEN_AT_ONCE] {
            tx.delete::<Delivered>(&old.key())?;
        }
    }
    Ok(true)
}

/// Forgets what was delivered to a webhook that goes.
pub fn forget(tx: &Records<'_>, webhook: &Webhook) -> Result<(), Error> {
    for key in tx.keys::<Delivered>(&Delivered::prefix(&webhook.region, &webhook.path))? {
        tx.delete::<Delivered>(&key)?;
    }
    Ok(())
}

fn take(cx: &Cx, webhook: Webhook, body: &[u8]) -> Result<Taken, Error> {
    let Ok(event) = serde_json::from_slice::<Json>(body) else {
        return Err(ValidationException.because("the delivery is not JSON"));
    };
    cx.write(|tx| {
        let name = &webhook.definition.target_pipeline;
        let mut pipeline = find::pipeline(cx, tx, name)?;
        if !remember(cx, tx, &webhook, body)? {
            return Ok(Taken::Before);
        }
        let passes = |filter: &WebhookFilterRule| passes(filter, &event, &pipeline, &webhook);
        if !webhook.definition.filters.iter().all(passes) {
            return Ok(Taken::Filtered);
        }
        let arn = cx.arn(
            "codepipeline",
            &format!("webhook:{}", webhook.definition.name),
        );
        let trigger = Trigger::new(TriggerType::Webhook, arn);
        let execution = start(cx, tx, &mut pipeline, trigger)?;
        // It may be gone, or another, by now.
        if let Some(mut webhook) = tx.get::<Webhook>(&webhook.key())? {
            webhook.last_triggered_ms = Some(cx.clock().now_ms());
            tx.put(&webhook)?;
        }
        Ok(Taken::Started(execution.id))
    })
}

/// Whether the value at the path is the filter's. `{Branch}` is the action's own setting; without
/// `matchEquals` it is enough that there is one.
fn passes(
    filter: &WebhookFilterRule,
    event: &Json,
    pipeline: &Pipeline,
    webhook: &Webhook,
) -> bool {
    let parts = parts(&filter.json_path).unwrap_or_default();
    let found = parts.iter().try_fold(event, |at, part| match part {
        Part::Name(name) => at.get(name),
        Part::Index(index) => at.get(index),
    });
    let Some(found) = found.filter(|it| !it.is_null()) else {
        return false;
    };
    let Some(wanted) = &filter.match_equals else {
        return true;
    };
    let text = match found {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    text == filled_in(wanted, pipeline, &webhook.definition.target_action)
}

fn filled_in(wanted: &str, pipeline: &Pipeline, action: &str) -> String {
    let stages = pipeline.declaration.stages.iter();
    let action = stages
        .flat_map(|it| &it.actions)
        .find(|it| it.name == action);
    let settings = action.and_then(|it| it.configuration.as_ref());
    let mut text = wanted.to_owned();
    for (name, value) in settings.into_iter().flatten() {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    text
}

#[derive(Debug, PartialEq)]
pub enum Part {
    Name(String),
    Index(usize),
}

/// `$.a.b[0]`: the part of JSONPath that webhooks are written with.
pub fn parts(path: &str) -> Option<Vec<Part>> {
    let mut rest = path.strip_prefix('$')?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[']).unwrap_or(after.len());
            let name = &after[..end];
            let plain = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == '-';
            if name.is_empty() || !name.chars().all(plain) {
                return None;
            }
            parts.push(Part::Name(name.to_owned()));
            rest = &after[end..];
        } else {
            let (inner, after) = rest.strip_prefix('[')?.split_once(']')?;
            let quoted = inner
                .strip_prefix('\'')
                .and_then(|it| it.strip_suffix('\''));
            parts.push(match quoted {
                Some(name) => Part::Name(name.to_owned()),
                None => Part::Index(inner.parse().ok()?),
            });
            rest = after;
        }
    }
    (!parts.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_names_and_indices() {
        let name = |it: &str| Part::Name(it.into());
        assert_eq!(parts("$.ref"), Some(vec![name("ref")]));
        assert_eq!(
            parts("$.commits[0]['id'].x"),
            Some(vec![name("commits"), Part::Index(0), name("id"), name("x")])
        );
        for wrong in ["", "$", "ref", "$.", "$..ref", "$.a[?(@.b)]", "$.a[", "$.*"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    fn definition(authentication: WebhookAuthenticationType) -> WebhookDefinition {
        WebhookDefinition {
            authentication,
            authentication_configuration: WebhookAuthConfiguration {
                secret_token: Some("It's a Secret to Everybody".into()),
                allowed_ip_range: None,
            },
            ..Default::default()
        }
    }

    /// The example of GitHub's page "Validating webhook deliveries".
    #[test]
    fn signatures_are_github_s() {
        const GOOD: &str =
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let hmac = definition(WebhookAuthenticationType::GithubHmac);
        let delivery = |signature_sha256, signature_sha1| Delivery {
            path: "",
            signature_sha256,
            signature_sha1,
            event: None,
            body: b"Hello, World!",
        };
        assert!(is_authentic(&hmac, &delivery(Some(GOOD), None)));
        let wrong = GOOD.replace('7', "8");
        for (sha256, sha1) in [
            (None, None),
            (Some(wrong.as_str()), None),
            (Some("sha256="), None),
            (Some(&GOOD[7..]), None),
            (None, Some("sha1=00")),
            // A wrong strong signature is not made good by anything.
            (Some("sha256=00"), Some("sha1=00")),
        ] {
            assert!(
                !is_authentic(&hmac, &delivery(sha256, sha1)),
                "{sha256:?} {sha1:?}"
            );
        }
        let key = hmac::Key::new(
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            b"It's a Secret to Everybody",
        );
        let tag = hmac::sign(&key, b"Hello, World!");
        let hex: String = tag.as_ref().iter().map(|it| format!("{it:02x}")).collect();
        let sha1 = format!("sha1={hex}");
        assert!(is_authentic(&hmac, &delivery(None, Some(&sha1))));
    }
}
