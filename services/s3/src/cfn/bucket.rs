//! `AWS::S3::Bucket`: `Ref` is its name.

use async_trait::async_trait;
use cloud::{Created, Cx, Property, ResourceError, ResourceRequest, ResourceType, deletion};
use serde_json::{Value as Json, json};

use super::authorize;
use super::read::{flag, list, number, text, texts};
use crate::acl::Acl;
use crate::bucket::{self, FIRST_REGION, NewBucket};
use crate::config::{
    Cors, Filter, Lifecycle, Ownership, PublicAccess, RedirectAll, RoutingRule, Website,
};
use crate::encryption::BucketKms;
use crate::names::{self, Tagged};
use crate::record::{Bucket, Versioning};
use crate::refuse::not_built;
use crate::{access, cors, encryption, lifecycle, website};

pub struct BucketType;

const NAME_LENGTH_MAX: usize = 63;

const LIFECYCLE_RULE: &[Property] = &[
    Property::object("AbortIncompleteMultipartUpload")
        .members(&[Property::number("DaysAfterInitiation").required()]),
    Property::text("ExpirationDate"),
    Property::number("ExpirationInDays"),
    Property::flag("ExpiredObjectDeleteMarker"),
    Property::text("Id"),
    Property::object("NoncurrentVersionExpiration").members(&[
        Property::number("NewerNoncurrentVersions"),
        Property::number("NoncurrentDays").required(),
    ]),
    Property::number("NoncurrentVersionExpirationInDays"),
    Property::text("ObjectSizeGreaterThan"),
    Property::text("ObjectSizeLessThan"),
    Property::text("Prefix"),
    Property::text("Status").required(),
    Property::objects("TagFilters").members(&[
        Property::text("Key").required(),
        Property::text("Value").required(),
    ]),
];

const ROUTING_RULE: &[Property] = &[
    Property::object("RedirectRule").required().members(&[
        Property::text("HostName"),
        Property::text("HttpRedirectCode"),
        Property::text("Protocol"),
        Property::text("ReplaceKeyPrefixWith"),
        Property::text("ReplaceKeyWith"),
    ]),
    Property::object("RoutingRuleCondition").members(&[
        Property::text("HttpErrorCodeReturnedEquals"),
        Property::text("KeyPrefixEquals"),
    ]),
];

const CORS_RULE: &[Property] = &[
    Property::texts("AllowedHeaders"),
    Property::texts("AllowedMethods").required(),
    Property::texts("AllowedOrigins").required(),
    Property::texts("ExposedHeaders"),
    Property::text("Id"),
    Property::number("MaxAge"),
];

const PUBLIC_ACCESS: &[Property] = &[
    Property::flag("BlockPublicAcls"),
    Property::flag("BlockPublicPolicy"),
    Property::flag("IgnorePublicAcls"),
    Property::flag("RestrictPublicBuckets"),
];

const ENCRYPTION_RULE: &[Property] = &[
    Property::flag("BucketKeyEnabled"),
    Property::object("ServerSideEncryptionByDefault").members(&[
        Property::text("KMSMasterKeyID"),
        Property::text("SSEAlgorithm").required(),
    ]),
];

const PROPERTIES: &[Property] = &[
    Property::text("AccessControl"),
    Property::object("BucketEncryption").members(&[Property::objects(
        "ServerSideEncryptionConfiguration",
    )
    .required()
    .members(ENCRYPTION_RULE)]),
    Property::text("BucketName").names(),
    Property::object("CorsConfiguration")
        .members(&[Property::objects("CorsRules").required().members(CORS_RULE)]),
    Property::object("LifecycleConfiguration").members(&[Property::objects("Rules")
        .required()
        .members(LIFECYCLE_RULE)]),
    Property::object("OwnershipControls").members(&[Property::objects("Rules")
        .required()
        .members(&[Property::text("ObjectOwnership")])]),
    Property::object("PublicAccessBlockConfiguration").members(PUBLIC_ACCESS),
    Property::TAGS,
    Property::object("VersioningConfiguration").members(&[Property::text("Status").required()]),
    Property::object("WebsiteConfiguration").members(&[
        Property::text("ErrorDocument"),
        Property::text("IndexDocument"),
        Property::object("RedirectAllRequestsTo").members(&[
            Property::text("HostName").required(),
            Property::text("Protocol"),
        ]),
        Property::objects("RoutingRules").members(ROUTING_RULE),
    ]),
];

#[async_trait]
impl ResourceType for BucketType {
    fn name(&self) -> &'static str {
        "AWS::S3::Bucket"
    }
    fn properties(&self) -> &'static [Property] {
        PROPERTIES
    }
    fn readable(&self) -> &'static [&'static str] {
        &[
            "Arn",
            "DomainName",
            "DualStackDomainName",
            "RegionalDomainName",
            "WebsiteURL",
        ]
    }

    fn refuse(&self, properties: &Json) -> Result<(), String> {
        let rules = &properties["BucketEncryption"]["ServerSideEncryptionConfiguration"];
        let known = cloud::known_part(rules);
        let named = known.as_array().into_iter().flatten();
        let mut named =
            named.filter_map(|it| it["ServerSideEncryptionByDefault"]["SSEAlgorithm"].as_str());
        let refused = named.find_map(|it| encryption::check_algorithm(Some(it)).err());
        refused.map_or(Ok(()), |it| Err(it.message))
    }

    async fn create(&self, cx: &Cx, request: &ResourceRequest) -> Result<Created, ResourceError> {
        let name = request
            .text("BucketName")
            .unwrap_or_else(|| request.generated_name(NAME_LENGTH_MAX).to_lowercase());
        let settings = settings(request)?;
        let new = NewBucket {
            name: name.clone(),
            location: Some(cx.region.clone()).filter(|it| it != FIRST_REGION),
            ..NewBucket::default()
        };
        authorize(cx, "s3:CreateBucket", &name)?;
        authorize_changes(cx, &name, &Json::Null, request)?;
        bucket::create(&cx.with_token(&request.token), new)?;
        request.made.note(&name);
        bucket::change(cx, &name, |it| set(it, &settings))?;
        Ok(Created { physical_id: name })
    }

    async fn update(
        &self,
        cx: &Cx,
        physical_id: &str,
        old: &Json,
        request: &ResourceRequest,
    ) -> Result<(), ResourceError> {
        let settings = settings(request)?;
        authorize_changes(cx, physical_id, old, request)?;
        bucket::change(cx, physical_id, |it| set(it, &settings))?;
        Ok(())
    }

    async fn delete(
        &self,
        cx: &Cx,
        physical_id: &str,
        _properties: &Json,
    ) -> Result<(), ResourceError> {
        authorize(cx, "s3:DeleteBucket", physical_id)?;
        deletion(bucket::delete(cx, physical_id), &["NoSuchBucket"], &[])
    }

    async fn read(&self, cx: &Cx, physical_id: &str) -> Result<Json, ResourceError> {
        let (name, region) = (physical_id, bucket::get(cx, physical_id)?.region);
        Ok(json!({
            "Arn": format!("arn:aws:s3:::{name}"),
            "DomainName": format!("{name}.s3.amazonaws.com"),
            "DualStackDomainName": format!("{name}.s3.dualstack.{region}.amazonaws.com"),
            "RegionalDomainName": format!("{name}.s3.{region}.amazonaws.com"),
            "WebsiteURL": website::url(&cx.engine().access.api, name, &region),
        }))
    }
}

/// The actions that set what is now another than it was.
const SETTERS: &[(&str, &str)] = &[
    ("AccessControl", "s3:PutBucketAcl"),
    ("BucketEncryption", "s3:PutEncryptionConfiguration"),
    ("CorsConfiguration", "s3:PutBucketCORS"),
    ("LifecycleConfiguration", "s3:PutLifecycleConfiguration"),
    ("OwnershipControls", "s3:PutBucketOwnershipControls"),
    (
        "PublicAccessBlockConfiguration",
        "s3:PutBucketPublicAccessBlock",
    ),
    ("Tags", "s3:PutBucketTagging"),
    ("VersioningConfiguration", "s3:PutBucketVersioning"),
    ("WebsiteConfiguration", "s3:PutBucketWebsite"),
];

fn authorize_changes(
    cx: &Cx,
    name: &str,
    old: &Json,
    request: &ResourceRequest,
) -> Result<(), ResourceError> {
    for (property, action) in SETTERS {
        if old.get(property) != request.properties.get(property) {
            authorize(cx, action, name)?;
        }
    }
    Ok(())
}

/// All that a template says, as the bucket shall be: what is not said is as in a new bucket.
fn settings(request: &ResourceRequest) -> Result<Bucket, ResourceError> {
    let read = || -> Result<Bucket, ResourceError> {
        let of = &request.properties;
        let mut it = Bucket {
            tags: names::tags(request.all_tags(), Tagged::OfStack)?,
            ownership: Some(ownership(&of["OwnershipControls"])?),
            public_access: Some(public_access(&of["PublicAccessBlockConfiguration"])),
            bucket_key_enabled: bucket_key(&of["BucketEncryption"]),
            encryption_set: !of["BucketEncryption"].is_null(),
            kms: kms(&of["BucketEncryption"])?,
            website: website_of(&of["WebsiteConfiguration"])?,
            ..Bucket::default()
        };
        it.versioning = match text(&of["VersioningConfiguration"], "Status").as_deref() {
            None => Versioning::Off,
            Some("Enabled") => Versioning::Enabled,
            Some("Suspended") => Versioning::Suspended,
            Some(other) => return Err(ResourceError::new(format!("Status {other} is not valid"))),
        };
        for rule in list(&of["CorsConfiguration"], "CorsRules") {
            it.cors.push(cors_rule(&rule)?);
        }
        if !it.cors.is_empty() {
            cors::check(&it.cors)?;
        }
        for rule in list(&of["LifecycleConfiguration"], "Rules") {
            it.lifecycle
                .push(lifecycle_rule(&rule, it.lifecycle.len())?);
        }
        if !it.lifecycle.is_empty() {
            lifecycle::check(&it.lifecycle)?;
        }
        it.acl = match request.text("AccessControl").as_deref() {
            None | Some("Private" | "BucketOwnerFullControl" | "BucketOwnerRead") => Acl::default(),
            Some("PublicRead") => Acl::public_read(),
            Some(other) => return Err(not_built(&format!("AccessControl {other}")).into()),
        };
        access::check_acl(&it, &it.acl)?;
        Ok(it)
    };
    read()
}

/// The bucket keeps what it is; a bucket that once kept versions can only stop to.
fn set(bucket: &mut Bucket, wanted: &Bucket) -> Result<(), cloud::Error> {
    let versioning = match (wanted.versioning, bucket.versioning) {
        (Versioning::Off, Versioning::Enabled) => Versioning::Suspended,
        (Versioning::Off, before) => before,
        (wanted, _) => wanted,
    };
    *bucket = Bucket {
        name: bucket.name.clone(),
        region: bucket.region.clone(),
        created_ms: bucket.created_ms,
        token: bucket.token.clone(),
        policy: bucket.policy.clone(),
        versioning,
        ..wanted.clone()
    };
    Ok(())
}

fn ownership(of: &Json) -> Result<Ownership, ResourceError> {
    let Some(rule) = list(of, "Rules").into_iter().next() else {
        return Ok(Ownership::BucketOwnerEnforced);
    };
    let name = text(&rule, "ObjectOwnership").unwrap_or_default();
    Ownership::named(&name)
        .ok_or_else(|| ResourceError::new(format!("ObjectOwnership {name} is not valid")))
}

fn public_access(of: &Json) -> PublicAccess {
    if of.is_null() {
        return PublicAccess::BLOCKED;
    }
    PublicAccess {
        block_acls: flag(of, "BlockPublicAcls"),
        ignore_acls: flag(of, "IgnorePublicAcls"),
        block_policy: flag(of, "BlockPublicPolicy"),
        restrict_buckets: flag(of, "RestrictPublicBuckets"),
    }
}

fn encryption_rule(of: &Json) -> Option<Json> {
    let rules = list(of, "ServerSideEncryptionConfiguration");
    rules.into_iter().next()
}

fn bucket_key(of: &Json) -> bool {
    encryption_rule(of).is_some_and(|it| flag(&it, "BucketKeyEnabled"))
}

fn kms(of: &Json) -> Result<Option<BucketKms>, ResourceError> {
    let Some(rule) = encryption_rule(of) else {
        return Ok(None);
    };
    let default = &rule["ServerSideEncryptionByDefault"];
    match text(default, "SSEAlgorithm") {
        None => Ok(None),
        Some(it) => Ok(encryption::default_of(
            &it,
            text(default, "KMSMasterKeyID"),
        )?),
    }
}

fn website_of(of: &Json) -> Result<Option<Website>, ResourceError> {
    if of.is_null() {
        return Ok(None);
    }
    let all = &of["RedirectAllRequestsTo"];
    let mut rules = Vec::new();
    for rule in list(of, "RoutingRules") {
        let (condition, redirect) = (&rule["RoutingRuleCondition"], &rule["RedirectRule"]);
        let numbered = |of, name| number(of, name).map_err(ResourceError::new);
        rules.push(RoutingRule {
            prefix: text(condition, "KeyPrefixEquals"),
            status: numbered(condition, "HttpErrorCodeReturnedEquals")?,
            host: text(redirect, "HostName"),
            protocol: text(redirect, "Protocol"),
            code: numbered(redirect, "HttpRedirectCode")?,
            replace_prefix: text(redirect, "ReplaceKeyPrefixWith"),
            replace_key: text(redirect, "ReplaceKeyWith"),
        });
    }
    let website = Website {
        index: text(of, "IndexDocument"),
        error: text(of, "ErrorDocument"),
        redirect_all: text(all, "HostName").map(|host| RedirectAll {
            host,
            protocol: text(all, "Protocol"),
        }),
        rules,
    };
    website::check(&website)?;
    Ok(Some(website))
}

fn cors_rule(of: &Json) -> Result<Cors, ResourceError> {
    Ok(Cors {
        id: text(of, "Id"),
        headers: texts(of, "AllowedHeaders"),
        methods: texts(of, "AllowedMethods"),
        origins: texts(of, "AllowedOrigins"),
        expose: texts(of, "ExposedHeaders"),
        max_age_seconds: number(of, "MaxAge").map_err(ResourceError::new)?,
    })
}

fn lifecycle_rule(of: &Json, index: usize) -> Result<Lifecycle, ResourceError> {
    let days = |of: &Json, name: &str| number(of, name).map_err(ResourceError::new);
    let size = |name: &str| number(of, name).map_err(ResourceError::new);
    let noncurrent = &of["NoncurrentVersionExpiration"];
    let date = text(of, "ExpirationDate").map(|it| {
        let read = s3s::dto::Timestamp::parse(s3s::dto::TimestampFormat::DateTime, &it);
        let bad = || ResourceError::new(format!("ExpirationDate {it} is not a time"));
        read.map(crate::door::ms).map_err(|_| bad())
    });
    let tags = list(of, "TagFilters").into_iter().map(|it| {
        let value = |name| text(&it, name).unwrap_or_default();
        (value("Key"), value("Value"))
    });
    Ok(Lifecycle {
        // The same for every repetition.
        id: text(of, "Id").unwrap_or_else(|| format!("rule-{index}")),
        enabled: text(of, "Status").as_deref() == Some("Enabled"),
        filter: Filter {
            prefix: text(of, "Prefix"),
            tags: tags.collect(),
            larger_than: size("ObjectSizeGreaterThan")?,
            smaller_than: size("ObjectSizeLessThan")?,
        },
        plain_prefix: false,
        expire_days: days(of, "ExpirationInDays")?,
        expire_date_ms: date.transpose()?,
        expire_markers: flag(of, "ExpiredObjectDeleteMarker"),
        keeps_markers: false,
        noncurrent_days: days(noncurrent, "NoncurrentDays")?
            .or(days(of, "NoncurrentVersionExpirationInDays")?),
        noncurrent_kept: days(noncurrent, "NewerNoncurrentVersions")?,
        abort_uploads_days: days(&of["AbortIncompleteMultipartUpload"], "DaysAfterInitiation")?,
    })
}
