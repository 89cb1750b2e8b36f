//! Who may do what a request asks, decided on its typed input ([`crate::permissions`]).
//!
//! Who is bound by what:
//!
//! - **Nobody in particular** (an unsigned request, or a website's visitor) may do what the bucket's
//!   policy, or a list of grants, lets everybody do, within what public access is blocked to. That is
//!   always decided, whatever `--iam` says: what is public does not depend on how identities are treated.
//! - **Users and roles** are bound by their own policies and the bucket's together: either allows, and a
//!   denial of either wins. The account's authority decides, and its mode says what a refusal does: under
//!   `audit` it is recorded and lets through, so that what worked goes on working; under `enforce` it
//!   refuses.
//! - **The owner** is bound by a denial of the bucket's policy, and by nothing else. It follows the
//!   mode, too: a policy that denies what does not come over TLS, as many templates have it, would
//!   otherwise keep everybody out of a bucket on a machine that serves plain HTTP. As on AWS, no policy
//!   keeps the owner from reading, writing and deleting the policy itself.
//! - **The daemon and its services**, where they act in their own name, are asked about nowhere.

use std::sync::Arc;

use cloud::permission::{as_action, as_action_everywhere};
use cloud::{Caller, ConditionKey, Cx, Error, Need, Needs, Permission, Touched};
use wire::Operation;

use crate::access::{self, Scene};
use crate::permissions::{Ask, KEYS, ObjectRef, On, Permitted};
use crate::record::{Bucket, Object, bucket_key};
use crate::versions::{self, Found};

/// What is known of a request beside what it asks for.
#[derive(Debug, Clone, Default)]
pub struct RequestFacts {
    /// Condition keys that every request to S3 has, with a value or known to be absent.
    pub keys: Vec<ConditionKey>,
}

impl RequestFacts {
    /// Of what has nothing to do with a signature.
    pub fn unsigned(headers: &http::HeaderMap) -> Self {
        let text = |name: &str| {
            let value = headers.get(name);
            value.map(|it| String::from_utf8_lossy(it.as_bytes()).into_owned())
        };
        Self {
            keys: vec![
                ConditionKey::new("aws:Referer", text("referer")),
                ConditionKey::new("s3:x-amz-content-sha256", text("x-amz-content-sha256")),
            ],
        }
    }

    /// Of a call from within: services sign what they ask S3 for, on AWS.
    pub fn internal() -> Self {
        let key = |name: &str, value: Option<&str>| ConditionKey::new(name, value);
        Self {
            keys: vec![
                key("aws:Referer", None),
                key("s3:x-amz-content-sha256", None),
                key("s3:authType", Some("REST-HEADER")),
                key("s3:signatureversion", Some("AWS4-HMAC-SHA256")),
                key("s3:signatureAge", Some("0")),
            ],
        }
    }

    /// Of a visitor of a website, whom nothing identifies.
    pub fn of_visitor(headers: &http::HeaderMap) -> Self {
        let mut facts = Self::unsigned(headers);
        for name in ["s3:authType", "s3:signatureversion", "s3:signatureAge"] {
            facts.keys.push(ConditionKey::new(name, None::<String>));
        }
        facts
    }
}

/// What an ask is about, as it is now.
struct Subject {
    bucket: Option<Arc<Bucket>>,
    object: Option<Object>,
}

/// The bucket's record that a decision was made on, so that it is read once in a request.
#[derive(Debug, Clone, Default)]
pub struct Seen(Option<Arc<Bucket>>);

impl Seen {
    pub fn of<T>(request: &s3s::S3Request<T>) -> Self {
        request.extensions.get().cloned().unwrap_or_default()
    }

    /// The bucket of this name, if it was seen.
    pub fn bucket(&self, name: &str) -> Option<&Bucket> {
        self.0.as_deref().filter(|it| it.name == name)
    }
}

/// Whether whoever calls may do all of this.
pub fn authorize(cx: &Cx, facts: &RequestFacts, asks: &[Ask]) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    if matches!(cx.caller, Caller::Daemon | Caller::Service(_)) {
        return Ok(seen);
    }
    let mut needs = Needs::default();
    for ask in asks {
        if let Some(source) = &ask.if_tagged {
            let source = object(cx, source)?;
            if source.is_none_or(|it| it.tags.is_empty()) {
                continue;
            }
        }
        let subject = find(cx, &ask.on)?;
        if seen.0.is_none() {
            seen.0.clone_from(&subject.bucket);
        }
        let keys = keys(cx, facts, ask, &subject);
        match &cx.caller {
            Caller::Anonymous => anybody_may(cx, ask, &subject, &keys)?,
            Caller::Root(_)
            | Caller::RootSession { .. }
            | Caller::User { .. }
            | Caller::AssumedRole { .. } => {
                needs.all.push(need(ask, &subject, keys));
                if let Some(bucket) = ask.on.bucket().filter(|_| is_hidden(ask, &subject)) {
                    let listing = Ask::new("s3:ListBucket", On::Bucket(bucket.to_owned()));
                    let keys = self::keys(cx, facts, &listing, &subject);
                    needs.all.push(need(&listing, &subject, keys));
                }
            }
            Caller::Daemon | Caller::Service(_) => {}
        }
    }
    if needs.all.is_empty() {
        return Ok(seen);
    }
    cx.authorize("s3", &needs)?;
    Ok(seen)
}

fn find(cx: &Cx, on: &On) -> Result<Subject, Error> {
    let Some(name) = on.bucket() else {
        return Ok(Subject {
            bucket: None,
            object: None,
        });
    };
    let bucket: Option<Bucket> = cx.read(|tx| tx.get(&bucket_key(name)))?;
    let bucket = bucket.map(Arc::new);
    let object = match on {
        On::Object(it) => object(cx, it)?,
        _ => None,
    };
    Ok(Subject { bucket, object })
}

/// The version that is touched, if it is there.
fn object(cx: &Cx, of: &ObjectRef) -> Result<Option<Object>, Error> {
    cx.read(|tx| {
        let Some(version) = &of.version else {
            return versions::current(tx, &of.bucket, &of.key);
        };
        Ok(match versions::find(tx, &of.bucket, &of.key, version)? {
            Some(Found::Object(object)) => Some(*object),
            Some(Found::Marker(_)) | None => None,
        })
    })
}

/// All of S3's condition keys: each has a value, or is known to be absent. A name that ends in `/*`
/// says that all keys of a family are known.
pub fn keys_of(ask: &Ask) -> Vec<ConditionKey> {
    let mut keys: Vec<ConditionKey> = KEYS
        .iter()
        .map(|name| {
            let value = ask.keys.iter().find(|it| it.0 == *name);
            ConditionKey::new(*name, value.map(|it| &it.1))
        })
        .collect();
    if let Some(tags) = &ask.request_tags {
        let pairs = tags.clone();
        keys.extend(ConditionKey::of_family("s3:RequestObjectTag", pairs));
        let names = tags.keys().cloned().collect();
        keys.push(ConditionKey::of_many("s3:RequestObjectTagKeys", names));
    }
    keys
}

fn keys(cx: &Cx, facts: &RequestFacts, ask: &Ask, subject: &Subject) -> Vec<ConditionKey> {
    let mut keys = facts.keys.clone();
    keys.extend(keys_of(ask));
    keys.push(ConditionKey::new("s3:ResourceAccount", Some(cx.account())));
    keys.push(ConditionKey::new("aws:ResourceAccount", Some(cx.account())));
    let is_secure = cx.origin.client().is_some_and(|it| it.is_secure);
    if !is_secure {
        keys.push(ConditionKey::new("s3:TlsVersion", None::<String>));
    }
    // A bucket's tags count only where its owner has turned that on, which cannot be done here.
    // Access points are not here.
    for family in ["s3:BucketTag", "aws:ResourceTag", "s3:AccessPointTag"] {
        keys.extend(ConditionKey::of_family(family, []));
    }
    let tags = subject.object.as_ref().map(|it| it.tags.clone());
    let tags = tags.unwrap_or_default();
    keys.extend(ConditionKey::of_family("s3:ExistingObjectTag", tags));
    keys
}

fn need(ask: &Ask, subject: &Subject, keys: Vec<ConditionKey>) -> Need {
    let policy = subject.bucket.as_ref().and_then(|it| it.policy.clone());
    let touched = ask.on.arn().map(|arn| {
        Touched::named(arn)
            .tagged(std::iter::empty())
            .bound_by(policy)
    });
    Need::new(ask.action, touched).with_keys(keys)
}

fn anybody_may(cx: &Cx, ask: &Ask, subject: &Subject, keys: &[ConditionKey]) -> Result<(), Error> {
    let (Some(arn), Some(name)) = (ask.on.arn(), ask.on.bucket()) else {
        return Err(access::denied());
    };
    let bucket = subject.bucket.as_deref();
    let bucket = bucket.ok_or_else(|| crate::errors::no_such_bucket(name))?;
    let scene = Scene {
        action: ask.action,
        arn: &arn,
        acl: subject.object.as_ref().map(|it| &it.acl),
        keys,
        origin: &cx.origin,
        now_ms: cx.clock().now_ms(),
    };
    // Whether a key is there is told to those who may list the bucket, and to nobody else. A list of
    // grants that lets everybody list it is enough: what is not there has no list of its own.
    let allowed = match is_hidden(ask, subject) {
        true => access::everybody_may(
            bucket,
            &Scene {
                action: "s3:ListBucket",
                arn: &format!("arn:aws:s3:::{name}"),
                ..scene
            },
        ),
        false => access::everybody_may(bucket, &scene),
    };
    match allowed {
        true => Ok(()),
        false => Err(access::denied()),
    }
}

/// The ask for an object that is not there. Whether a key is there is told to those who may list the
/// bucket; to others it is denied (API reference, `GetObject`).
fn is_hidden(ask: &Ask, subject: &Subject) -> bool {
    let is_object = matches!(ask.on, On::Object(_)) && subject.object.is_none();
    is_object && subject.bucket.is_some() && ask.action.starts_with("s3:Get")
}

/// Whether whoever calls may read an object, for websites: their visitors are nobody in particular.
pub fn may_read(cx: &Cx, facts: &RequestFacts, name: &str, key: &str) -> Result<(), Error> {
    let object = ObjectRef {
        bucket: name.to_owned(),
        key: key.to_owned(),
        version: None,
    };
    authorize(cx, facts, &[Ask::new("s3:GetObject", On::Object(object))]).map(|_| ())
}

/// The line of an operation in the table: what it needs by its [`Permitted`].
pub fn listed<I: Permitted + Operation>() -> Permission<I> {
    let touches = |action: &'static str| {
        move |cx: &Cx, input: &I| {
            let asks = input.asks().into_iter();
            let asks = asks.filter(|it| it.action == action);
            asks.filter_map(|it| touched(cx, &it)).collect::<Vec<_>>()
        }
    };
    let mut lines = I::ACTIONS.iter();
    let &(action, kind) = lines.next().expect("every operation needs something");
    let first = match kind {
        "*" => as_action_everywhere(action),
        kind => as_action(action, kind, touches(action)),
    };
    let all = lines.fold(first, |permission, &(action, kind)| {
        permission.and(action, kind, touches(action))
    });
    all.supplying(KEYS, |cx, input| {
        let ask = input.asks().into_iter().next();
        let subject = ask.as_ref().and_then(|it| find(cx, &it.on).ok());
        match (ask, subject) {
            (Some(ask), Some(subject)) => keys(cx, &RequestFacts::internal(), &ask, &subject),
            _ => Vec::new(),
        }
    })
}

fn touched(cx: &Cx, ask: &Ask) -> Option<Touched> {
    let subject = find(cx, &ask.on).ok()?;
    need(ask, &subject, Vec::new()).resource
}
