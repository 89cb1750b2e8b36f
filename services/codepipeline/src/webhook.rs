//! Webhooks: addresses that GitHub calls when something was pushed. What comes in by them is
//! [`crate::delivery`]'s.

use cloud::{Cx, Error, Record};
use shapes::codepipeline::errors::*;
use shapes::codepipeline::*;

use crate::delivery::{forget, parts};
use crate::find;
use crate::page::page;
use crate::pipeline::MASK;
use crate::record::{Pipeline, SourceWatch, Webhook, timestamp};
use crate::tags;

/// What a webhook's address begins with, after that of the API.
const PATH: &str = "/_neargate/webhooks/";

pub async fn put_webhook(cx: Cx, input: PutWebhookInput) -> Result<PutWebhookOutput, Error> {
    let definition = input.webhook;
    check(&definition)?;
    let tags = tags::new(input.tags.unwrap_or_default())?;
    let webhook = cx.write(|tx| {
        let pipeline = find::pipeline(&cx, tx, &definition.target_pipeline)?;
        check_target(&pipeline, &definition)?;
        let old: Option<Webhook> = tx.get(&cx.key(&definition.name))?;
        let webhook = match old {
            Some(old) => Webhook {
                definition: keep_secret(definition, &old),
                tags: if tags.is_empty() {
                    old.tags.clone()
                } else {
                    tags
                },
                ..old
            },
            None => Webhook {
                region: cx.region.clone(),
                definition,
                path: cx.new_id("", 64),
                registered: false,
                last_triggered_ms: None,
                failure: None,
                tags,
            },
        };
        tx.put(&webhook)?;
        Ok(webhook)
    })?;
    Ok(PutWebhookOutput {
        webhook: Some(shown(&cx, webhook)),
    })
}

/// A caller who saw only the secret's mask sends it back.
fn keep_secret(mut definition: WebhookDefinition, old: &Webhook) -> WebhookDefinition {
    let secret = &mut definition.authentication_configuration.secret_token;
    if secret.as_deref() == Some(MASK) {
        secret.clone_from(&old.definition.authentication_configuration.secret_token);
    }
    definition
}

fn check(it: &WebhookDefinition) -> Result<(), Error> {
    let invalid = |why: &str| InvalidWebhookAuthenticationParametersException.because(why);
    let settings = &it.authentication_configuration;
    match it.authentication {
        WebhookAuthenticationType::GithubHmac => {
            if settings.secret_token.as_deref().is_none_or(str::is_empty) {
                return Err(invalid("GITHUB_HMAC needs a SecretToken"));
            }
            if settings.allowed_ip_range.is_some() {
                return Err(invalid("GITHUB_HMAC takes no AllowedIPRange"));
            }
        }
        WebhookAuthenticationType::Unauthenticated => {
            if settings.secret_token.is_some() || settings.allowed_ip_range.is_some() {
                return Err(invalid(
                    "UNAUTHENTICATED takes neither a SecretToken nor an AllowedIPRange",
                ));
            }
        }
        WebhookAuthenticationType::Ip => {
            return Err(invalid(
                "The authentication IP is not supported by neargate.",
            ));
        }
    }
    if it.filters.is_empty() {
        return Err(InvalidWebhookFilterPatternException.because("A webhook needs a filter"));
    }
    match it.filters.iter().find(|it| parts(&it.json_path).is_none()) {
        Some(filter) => Err(InvalidWebhookFilterPatternException.because(format!(
            "The JSON path {} is not of the form $.name.name or $.name[0]",
            filter.json_path
        ))),
        None => Ok(()),
    }
}

fn check_target(pipeline: &Pipeline, it: &WebhookDefinition) -> Result<(), Error> {
    let sources = pipeline.declaration.stages.first();
    let target = sources.and_then(|stage| {
        stage
            .actions
            .iter()
            .find(|action| action.name == it.target_action)
    });
    match target {
        Some(_) => Ok(()),
        None => Err(ValidationException.because(format!(
            "Pipeline '{}' does not have a source action '{}'",
            pipeline.name, it.target_action
        ))),
    }
}

/// Where GitHub reaches a webhook.
pub fn url(cx: &Cx, webhook: &Webhook) -> String {
    format!("{}{PATH}{}", cx.engine().access.api, webhook.path)
}

pub fn shown(cx: &Cx, webhook: Webhook) -> ListWebhookItem {
    let url = url(cx, &webhook);
    let mut definition = webhook.definition;
    let arn = cx.arn("codepipeline", &format!("webhook:{}", definition.name));
    if let Some(secret) = &mut definition.authentication_configuration.secret_token {
        MASK.clone_into(secret);
    }
    ListWebhookItem {
        definition,
        url,
        error_code: webhook.failure.as_ref().map(|it| it.code.clone()),
        error_message: webhook.failure.map(|it| it.message),
        last_triggered: webhook.last_triggered_ms.map(timestamp),
        arn: Some(arn),
        tags: Some(webhook.tags),
    }
}

pub async fn list_webhooks(cx: Cx, input: ListWebhooksInput) -> Result<ListWebhooksOutput, Error> {
    let all = cx.read(|tx| tx.list::<Webhook>(&cx.key("")))?;
    let (items, next_token) = page(all, input.next_token.as_deref(), input.max_results)?;
    let items = items.into_iter().map(|it| shown(&cx, it));
    Ok(ListWebhooksOutput {
        webhooks: Some(items.collect()),
        next_token,
    })
}

/// Succeeds when there is none, as on AWS.
pub async fn delete_webhook(
    cx: Cx,
    input: DeleteWebhookInput,
) -> Result<DeleteWebhookOutput, Error> {
    cx.write(|tx| {
        let key = cx.key(&input.name);
        if let Some(webhook) = tx.get::<Webhook>(&key)? {
            forget(tx, &webhook)?;
        }
        tx.delete::<Webhook>(&key)
    })?;
    Ok(DeleteWebhookOutput {})
}

/// On AWS this has GitHub call the webhook. What is on this machine's loopback cannot be called from
/// there, so that a registered webhook is served the other way round: the repository is looked at, and
/// a push that the webhook's filters let through starts the pipeline as a delivery of it would.
pub async fn register_webhook_with_third_party(
    cx: Cx,
    input: RegisterWebhookWithThirdPartyInput,
) -> Result<RegisterWebhookWithThirdPartyOutput, Error> {
    set_registered(&cx, input.webhook_name, |webhook| {
        let filters = &webhook.definition.filters;
        if let Some(other) = filters.iter().find(|it| it.json_path != "$.ref") {
            return Err(InvalidWebhookFilterPatternException.because(format!(
                "Registering a webhook that filters on {} is not supported by neargate: $.ref is",
                other.json_path
            )));
        }
        webhook.registered = true;
        Ok(())
    })?;
    Ok(RegisterWebhookWithThirdPartyOutput {})
}

pub async fn deregister_webhook_with_third_party(
    cx: Cx,
    input: DeregisterWebhookWithThirdPartyInput,
) -> Result<DeregisterWebhookWithThirdPartyOutput, Error> {
    set_registered(&cx, input.webhook_name, |webhook| {
        webhook.registered = false;
        Ok(())
    })?;
    Ok(DeregisterWebhookWithThirdPartyOutput {})
}

fn set_registered(
    cx: &Cx,
    name: Option<String>,
    set: impl FnOnce(&mut Webhook) -> Result<(), Error>,
) -> Result<(), Error> {
    let name = name.unwrap_or_default();
    let pipeline = cx.write(|tx| {
        let found: Option<Webhook> = tx.get(&cx.key(&name))?;
        let mut webhook = found.ok_or_else(|| {
            WebhookNotFoundException.because(format!("There is no webhook with the name '{name}'"))
        })?;
        set(&mut webhook)?;
        tx.put(&webhook)?;
        Ok(cx.key(&webhook.definition.target_pipeline))
    })?;
    cx.cloud.converge.wake(SourceWatch::KIND, pipeline);
    Ok(())
}
