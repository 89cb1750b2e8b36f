//! The language of IAM's policies, and the decision over a request. Pure: it does no I/O and knows no
//! service.
//!
//! A [`Document`] is read once from its text, and is kept parsed. One that is put now is held against
//! AWS's grammar for its [`Purpose`] ([`Document::put`]). [`decide`] holds
//! the documents of who asks, and the one that is attached to what is asked for, against a [`Request`]:
//!
//! ```
//! use policy::{Attached, Context, Document, Kind, Outcome, Principal, Request, Resource, decide};
//!
//! let own = Document::parse(
//!     r#"{"Version": "2012-10-17", "Statement": [
//!         {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
//!         {"Effect": "Deny", "Action": "s3:*", "Resource": "*",
//!          "Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}]}"#,
//!     Kind::Identity,
//! )?;
//! let ann = Principal::User {
//!     account: "000000000000".into(),
//!     arn: "arn:aws:iam::000000000000:user/ann".into(),
//!     id: "AIDA".into(),
//! };
//! let mut context = Context::new();
//! let ask = |context: &Context| {
//!     let request = Request {
//!         action: "s3:GetObject",
//!         resource: Resource::One("arn:aws:s3:::shop/a"),
//!         principal: &ann,
//!         context,
//!     };
//!     decide(&request, std::slice::from_ref(&own), Attached::None)
//! };
//! // Nothing is known of where the request comes from: the denial counts, and the key is named.
//! let decision = ask(&context);
//! assert_eq!(decision.outcome, Outcome::DeniedExplicitly(Kind::Identity));
//! assert!(decision.unknown.contains("aws:SourceIp"));
//! context.set("aws:SourceIp", "10.1.2.3");
//! assert_eq!(ask(&context).outcome, Outcome::Allowed);
//! # Ok::<(), policy::Malformed>(())
//! ```
//!
//! # Three states of a condition key
//!
//! A key of the [`Context`] has values ([`Context::set`], [`Context::set_all`]), or is known to be absent
//! ([`Context::set_absent`], [`Context::set_tags`] for a family, [`Context::know_services`] for what
//! other services have), or is unknown, as all are of which nothing was said. Conditions are evaluated
//! with that third value: one that is false by a known key is false whatever else is unknown. What stays
//! unknown makes no `Allow` apply and makes a `Deny` apply; [`Decision::unknown`] names the keys.
//!
//! # Who gives what
//!
//! - For the account's owner, its users, and sessions of its roles: [`decide`] with their own documents
//!   (none for the owner) and [`Attached::Grants`] for a bucket, a repository or a secret that has a
//!   policy: either side allows, and a `Deny` on either side wins, for the owner too.
//! - For somebody with a permissions boundary, or a session with policies of its own: [`decide_within`].
//! - For a role that is assumed, or a key: [`Attached::MustGrant`].
//! - For an unsigned request: [`Principal::Anonymous`], no documents, and the resource's policy.
//!
//! What is refused says why with [`Decision::reason`].

mod compare;
mod condition;
mod context;
mod decide;
mod document;
mod explain;
mod grammar;
mod instant;
mod limits;
mod principal;
mod rename;
mod text;
mod tree;
mod truth;

pub use context::{Context, Value};
pub use decide::{Attached, Bound, Decision, Outcome, Request, Resource, decide, decide_within};
pub use document::{Document, Effect, Kind, Malformed, Statement};
pub use explain::{Matched, Place, keys_asked, matched, places};
pub use grammar::Purpose;
pub use limits::{BYTES_MAX, STATEMENTS_MAX};
pub use principal::Principal;
pub use rename::rename_principals;
