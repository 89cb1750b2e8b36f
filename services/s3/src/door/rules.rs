//! Websites, cross-origin rules and lifecycles: settings that are rules.

use cloud::{Cx, Error};
use s3s::S3Request;
use s3s::dto::*;

use super::convert;
use crate::bucket::{change, get};
use crate::config::{self, Filter, RedirectAll, Website};
use crate::errors::*;
use crate::refuse::members;
use crate::{cors, lifecycle, website};

fn status(text: Option<String>) -> Result<Option<u16>, Error> {
    let status = text.map(|it| it.parse()).transpose();
    status.map_err(|_| malformed())
}

pub async fn get_website(
    cx: Cx,
    request: S3Request<GetBucketWebsiteInput>,
) -> Result<GetBucketWebsiteOutput, Error> {
    let bucket = request.input.bucket;
    let found = get(&cx, &bucket)?.website;
    let found = found.ok_or_else(|| no_website(&bucket))?;
    let rules = found.rules.into_iter().map(|it| RoutingRule {
        condition: (it.prefix.is_some() || it.status.is_some()).then(|| Condition {
            http_error_code_returned_equals: it.status.map(|it| it.to_string()),
            key_prefix_equals: it.prefix,
        }),
        redirect: Redirect {
            host_name: it.host,
            http_redirect_code: it.code.map(|it| it.to_string()),
            protocol: it.protocol.map(Protocol::from),
            replace_key_prefix_with: it.replace_prefix,
            replace_key_with: it.replace_key,
        },
    });
    let rules: Vec<RoutingRule> = rules.collect();
    Ok(GetBucketWebsiteOutput {
        error_document: found.error.map(|key| ErrorDocument { key }),
        index_document: found.index.map(|suffix| IndexDocument { suffix }),
        redirect_all_requests_to: found.redirect_all.map(|it| RedirectAllRequestsTo {
            host_name: it.host,
            protocol: it.protocol.map(Protocol::from),
        }),
        routing_rules: Some(rules).filter(|it| !it.is_empty()),
    })
}

pub async fn put_website(
    cx: Cx,
    request: S3Request<PutBucketWebsiteInput>,
) -> Result<PutBucketWebsiteOutput, Error> {
    let wanted = request.input.website_configuration;
    if wanted.routing_rules.as_ref().is_some_and(Vec::is_empty) {
        return Err(malformed());
    }
    let mut rules = Vec::new();
    for it in wanted.routing_rules.unwrap_or_default() {
        if it
            .condition
            .as_ref()
            .is_some_and(|it| *it == Condition::default())
        {
            return Err(InvalidRequest.because("Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't be present."));
        }
        let condition = it.condition.unwrap_or_default();
        rules.push(config::RoutingRule {
            prefix: condition.key_prefix_equals,
            status: status(condition.http_error_code_returned_equals)?,
            host: it.redirect.host_name,
            protocol: it.redirect.protocol.map(|it| it.as_str().to_owned()),
            code: status(it.redirect.http_redirect_code)?,
            replace_prefix: it.redirect.replace_key_prefix_with,
            replace_key: it.redirect.replace_key_with,
        });
    }
    let wanted = Website {
        index: wanted.index_document.map(|it| it.suffix),
        error: wanted.error_document.map(|it| it.key),
        redirect_all: wanted.redirect_all_requests_to.map(|it| RedirectAll {
            host: it.host_name,
            protocol: it.protocol.map(|it| it.as_str().to_owned()),
        }),
        rules,
    };
    website::check(&wanted)?;
    change(&cx, &request.input.bucket, |it| {
        it.website = Some(wanted);
        Ok(())
    })?;
    Ok(PutBucketWebsiteOutput {})
}

pub async fn delete_website(
    cx: Cx,
    request: S3Request<DeleteBucketWebsiteInput>,
) -> Result<DeleteBucketWebsiteOutput, Error> {
    change(&cx, &request.input.bucket, |it| {
        it.website = None;
        Ok(())
    })?;
    Ok(DeleteBucketWebsiteOutput {})
}

pub async fn get_cors(
    cx: Cx,
    request: S3Request<GetBucketCorsInput>,
) -> Result<GetBucketCorsOutput, Error> {
    let rules = get(&cx, &request.input.bucket)?.cors;
    if rules.is_empty() {
        return Err(NoSuchCORSConfiguration
            .because("The CORS configuration does not exist")
            .about("BucketName", request.input.bucket));
    }
    let some = |list: Vec<String>| Some(list).filter(|it| !it.is_empty());
    let rules = rules.into_iter().map(|it| CORSRule {
        allowed_headers: some(it.headers),
        allowed_methods: it.methods,
        allowed_origins: it.origins,
        expose_headers: some(it.expose),
        id: it.id,
        max_age_seconds: it.max_age_seconds,
    });
    Ok(GetBucketCorsOutput {
        cors_rules: Some(rules.collect()),
    })
}

pub async fn put_cors(
    cx: Cx,
    request: S3Request<PutBucketCorsInput>,
) -> Result<PutBucketCorsOutput, Error> {
    let rules = request.input.cors_configuration.cors_rules.into_iter();
    let rules: Vec<config::Cors> = rules
        .map(|it| config::Cors {
            id: it.id,
            headers: it.allowed_headers.unwrap_or_default(),
            methods: it.allowed_methods,
            origins: it.allowed_origins,
            expose: it.expose_headers.unwrap_or_default(),
            max_age_seconds: it.max_age_seconds,
        })
        .collect();
    cors::check(&rules)?;
    change(&cx, &request.input.bucket, |it| {
        it.cors = rules;
        Ok(())
    })?;
    Ok(PutBucketCorsOutput {})
}

pub async fn delete_cors(
    cx: Cx,
    request: S3Request<DeleteBucketCorsInput>,
) -> Result<DeleteBucketCorsOutput, Error> {
    change(&cx, &request.input.bucket, |it| {
        it.cors.clear();
        Ok(())
    })?;
    Ok(DeleteBucketCorsOutput {})
}

pub async fn get_lifecycle(
    cx: Cx,
    request: S3Request<GetBucketLifecycleConfigurationInput>,
) -> Result<GetBucketLifecycleConfigurationOutput, Error> {
    let bucket = get(&cx, &request.input.bucket)?;
    let (rules, least) = (bucket.lifecycle, bucket.least_transition);
    if rules.is_empty() {
        return Err(NoSuchLifecycleConfiguration
            .because("The lifecycle configuration does not exist")
            .about("BucketName", request.input.bucket));
    }
    Ok(GetBucketLifecycleConfigurationOutput {
        rules: Some(rules.into_iter().map(shown).collect()),
        transition_default_minimum_object_size: Some(least_transition(least)),
    })
}

pub async fn put_lifecycle(
    cx: Cx,
    request: S3Request<PutBucketLifecycleConfigurationInput>,
) -> Result<PutBucketLifecycleConfigurationOutput, Error> {
    let configuration = request.input.lifecycle_configuration;
    let rules = configuration.ok_or_else(malformed)?.rules.into_iter();
    let rules = rules.map(read).collect::<Result<Vec<_>, Error>>()?;
    lifecycle::check(&rules)?;
    let least = request.input.transition_default_minimum_object_size;
    let least = least.map(|it| it.as_str().to_owned());
    if let Some(other) = least
        .as_deref()
        .filter(|it| !LEAST_TRANSITIONS.contains(it))
    {
        return Err(InvalidRequest.because(format!(
            "Invalid TransitionDefaultMinimumObjectSize found: {other}"
        )));
    }
    change(&cx, &request.input.bucket, |it| {
        it.lifecycle = rules;
        it.least_transition.clone_from(&least);
        Ok(())
    })?;
    Ok(PutBucketLifecycleConfigurationOutput {
        transition_default_minimum_object_size: Some(least_transition(least)),
    })
}

pub async fn delete_lifecycle(
    cx: Cx,
    request: S3Request<DeleteBucketLifecycleInput>,
) -> Result<DeleteBucketLifecycleOutput, Error> {
    change(&cx, &request.input.bucket, |it| {
        it.lifecycle.clear();
        Ok(())
    })?;
    Ok(DeleteBucketLifecycleOutput {})
}

/// From which size on objects are moved, where no rule says (API reference of
/// `PutBucketLifecycleConfiguration`). The first is what is so by default.
const LEAST_TRANSITIONS: [&str; 2] = ["all_storage_classes_128K", "varies_by_storage_class"];

fn least_transition(named: Option<String>) -> TransitionDefaultMinimumObjectSize {
    let name = named.unwrap_or_else(|| LEAST_TRANSITIONS[0].to_owned());
    TransitionDefaultMinimumObjectSize::from(name)
}

fn read(rule: LifecycleRule) -> Result<config::Lifecycle, Error> {
    let any = |it: Option<usize>| it.is_some_and(|it| it > 0);
    members(&[
        (
            "lifecycle transitions",
            any(rule.transitions.map(|it| it.len())),
        ),
        (
            "lifecycle transitions of noncurrent versions",
            any(rule.noncurrent_version_transitions.map(|it| it.len())),
        ),
    ])?;
    if rule.filter.is_none() && rule.prefix.is_none() {
        return Err(malformed());
    }
    let expiration = rule.expiration.unwrap_or_default();
    let noncurrent = rule.noncurrent_version_expiration.unwrap_or_default();
    let plain_prefix = rule.filter.is_none() && rule.prefix.is_some();
    let mut filter = read_filter(rule.filter.unwrap_or_default());
    if plain_prefix {
        filter.prefix = rule.prefix;
    }
    Ok(config::Lifecycle {
        id: rule.id.unwrap_or_else(|| cloud::random_hex(32)),
        enabled: rule.status.as_str() == ExpirationStatus::ENABLED,
        filter,
        plain_prefix,
        expire_days: expiration.days,
        expire_date_ms: expiration.date.map(convert::ms),
        expire_markers: expiration.expired_object_delete_marker.unwrap_or(false),
        keeps_markers: expiration.expired_object_delete_marker == Some(false),
        noncurrent_days: noncurrent.noncurrent_days,
        noncurrent_kept: noncurrent.newer_noncurrent_versions,
        abort_uploads_days: rule
            .abort_incomplete_multipart_upload
            .and_then(|it| it.days_after_initiation),
    })
}

fn read_filter(filter: LifecycleRuleFilter) -> Filter {
    let and = filter.and.unwrap_or_default();
    let tags = and.tags.unwrap_or_default().into_iter().chain(filter.tag);
    let size =
        |one: Option<i64>, other: Option<i64>| one.or(other).and_then(|it| u64::try_from(it).ok());
    Filter {
        prefix: filter.prefix.or(and.prefix),
        tags: convert::pairs(tags.collect()),
        larger_than: size(
            filter.object_size_greater_than,
            and.object_size_greater_than,
        ),
        smaller_than: size(filter.object_size_less_than, and.object_size_less_than),
    }
}

fn shown(rule: config::Lifecycle) -> LifecycleRule {
    let markers = (rule.expire_markers || rule.keeps_markers).then_some(rule.expire_markers);
    let expires = rule.expire_days.is_some() || rule.expire_date_ms.is_some() || markers.is_some();
    let status = match rule.enabled {
        true => ExpirationStatus::ENABLED,
        false => ExpirationStatus::DISABLED,
    };
    LifecycleRule {
        abort_incomplete_multipart_upload: rule.abort_uploads_days.map(|days| {
            AbortIncompleteMultipartUpload {
                days_after_initiation: Some(days),
            }
        }),
        expiration: expires.then(|| LifecycleExpiration {
            date: rule.expire_date_ms.map(convert::time),
            days: rule.expire_days,
            expired_object_delete_marker: markers,
        }),
        prefix: rule.filter.prefix.clone().filter(|_| rule.plain_prefix),
        filter: (!rule.plain_prefix).then(|| shown_filter(rule.filter)),
        id: Some(rule.id),
        noncurrent_version_expiration: rule.noncurrent_days.map(|days| {
            NoncurrentVersionExpiration {
                newer_noncurrent_versions: rule.noncurrent_kept,
                noncurrent_days: Some(days),
            }
        }),
        noncurrent_version_transitions: None,
        status: ExpirationStatus::from_static(status),
        transitions: None,
    }
}

fn shown_filter(filter: Filter) -> LifecycleRuleFilter {
    let size = |it: Option<u64>| it.and_then(|it| i64::try_from(it).ok());
    let (larger, smaller) = (size(filter.larger_than), size(filter.smaller_than));
    let mut tags = convert::tags(filter.tags.iter().cloned().collect());
    let several = usize::from(filter.prefix.is_some())
        + tags.len()
        + usize::from(larger.is_some())
        + usize::from(smaller.is_some());
    if several > 1 {
        return LifecycleRuleFilter {
            and: Some(LifecycleRuleAndOperator {
                object_size_greater_than: larger,
                object_size_less_than: smaller,
                prefix: filter.prefix,
                tags: Some(tags).filter(|it| !it.is_empty()),
            }),
            ..Default::default()
        };
    }
    LifecycleRuleFilter {
        and: None,
        object_size_greater_than: larger,
        object_size_less_than: smaller,
        prefix: filter.prefix,
        tag: tags.pop(),
    }
}
