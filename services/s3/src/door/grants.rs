//! Lists of grants in requests and answers: canned ones, those of headers, and those of documents.

use cloud::Error;
use s3s::dto::{AccessControlPolicy, Grant, Grantee, Permission, Type};

use super::convert::owner;
use crate::acl::{Acl, Granted, GrantedTo, Right};
use crate::errors::*;
use crate::refuse::not_built;

/// API reference of `PutBucketAcl`.
const GRANTS_MAX: usize = 100;

/// The headers of an input that grant something.
macro_rules! granted {
    ($input:ident) => {
        [
            (
                $crate::acl::Right::FullControl,
                $input.grant_full_control.clone(),
            ),
            ($crate::acl::Right::Read, $input.grant_read.clone()),
            ($crate::acl::Right::ReadAcp, $input.grant_read_acp.clone()),
            ($crate::acl::Right::WriteAcp, $input.grant_write_acp.clone()),
        ]
    };
    ($input:ident, with_write) => {{
        let [full, read, read_acp, write_acp] = $crate::door::grants::granted!($input);
        let write = ($crate::acl::Right::Write, $input.grant_write.clone());
        [full, read, write, read_acp, write_acp]
    }};
}
pub(super) use granted;

/// What an input says of a list of grants.
macro_rules! list_of {
    ($cx:ident, $input:ident $(, $with_write:ident)?) => {
        $crate::door::grants::of_head(
            $input.acl.as_ref().map(|it| it.as_str()),
            &$crate::door::grants::granted!($input $(, $with_write)?),
            $cx.account(),
        )
    };
}
pub(super) use list_of;

/// What a head says of a list: nothing, a canned one, or who has which right.
pub fn of_head(
    canned: Option<&str>,
    headers: &[(Right, Option<String>)],
    account: &str,
) -> Result<Option<Acl>, Error> {
    let named = || headers.iter().filter(|it| it.1.is_some());
    if let Some(name) = canned {
        if named().next().is_some() {
            return Err(InvalidRequest
                .because("Specifying both Canned ACLs and Header Grants is not allowed"));
        }
        return match Acl::canned(name) {
            Some(acl) => Ok(Some(acl)),
            None if name == "aws-exec-read" => Err(not_built("the canned ACL aws-exec-read")),
            None => Err(bad_argument(
                "x-amz-acl",
                name,
                "The canned ACL is not valid",
            )),
        };
    }
    let mut grants = Vec::new();
    for (right, value) in headers {
        for grantee in value.iter().flat_map(|it| it.split(',')) {
            let to = grantee_of_header(grantee.trim(), *right, account)?;
            grants.push(Granted { to, right: *right });
        }
    }
    check_count(grants.len())?;
    Ok(Some(grants).filter(|it| !it.is_empty()).map(Acl))
}

fn check_count(count: usize) -> Result<(), Error> {
    match count > GRANTS_MAX {
        true => Err(malformed_list()),
        false => Ok(()),
    }
}

fn malformed_list() -> Error {
    MalformedACLError.because(malformed().message)
}

/// `id="…"` or `uri="…"`.
fn grantee_of_header(text: &str, right: Right, account: &str) -> Result<GrantedTo, Error> {
    let (kind, value) = text.split_once('=').unwrap_or((text, ""));
    let value = value.trim().trim_matches('"');
    match kind.trim() {
        "id" if is_owner(value, account) => Ok(GrantedTo::Owner),
        "id" => Err(bad_argument("id", value, "Invalid id")),
        "uri" => {
            let group = GrantedTo::group(value);
            group.ok_or_else(|| bad_argument("uri", value, "Invalid group uri"))
        }
        "emailAddress" => Err(not_built("a grant to an e-mail address")),
        _ => {
            let header = match right {
                Right::FullControl => "x-amz-grant-full-control",
                Right::Read => "x-amz-grant-read",
                Right::Write => "x-amz-grant-write",
                Right::ReadAcp => "x-amz-grant-read-acp",
                Right::WriteAcp => "x-amz-grant-write-acp",
            };
            Err(bad_argument(header, text, "Argument format not recognized"))
        }
    }
}

fn is_owner(id: &str, account: &str) -> bool {
    owner(account).id.as_deref() == Some(id)
}

/// What is put on something that is there: it has to be said in one of the ways.
pub fn of_put(
    head: Option<Acl>,
    document: Option<AccessControlPolicy>,
    account: &str,
) -> Result<Acl, Error> {
    match (head, document) {
        (Some(acl), None) => Ok(acl),
        (None, Some(document)) => of_document(document, account),
        (Some(_), Some(_)) => {
            Err(UnexpectedContent.because("This request does not support content"))
        }
        (None, None) => Err(MissingSecurityHeader
            .because("Your request was missing a required header")
            .about("MissingHeaderName", "x-amz-acl")),
    }
}

fn of_document(document: AccessControlPolicy, account: &str) -> Result<Acl, Error> {
    let invalid_id = |id: &str| bad_argument("CanonicalUser/ID", id, "Invalid id");
    let id = document
        .owner
        .and_then(|it| it.id)
        .ok_or_else(malformed_list)?;
    if !is_owner(&id, account) {
        return Err(invalid_id(&id));
    }
    let given = document.grants.unwrap_or_default();
    check_count(given.len())?;
    let mut grants = Vec::new();
    for it in given {
        let right = it.permission.as_ref().map(Permission::as_str);
        let right = right.and_then(Right::named).ok_or_else(malformed_list)?;
        let grantee = it.grantee.ok_or_else(malformed_list)?;
        let to = match grantee.type_.as_str() {
            Type::CANONICAL_USER => {
                let id = grantee.id.unwrap_or_default();
                match is_owner(&id, account) {
                    true => GrantedTo::Owner,
                    false => return Err(invalid_id(&id)),
                }
            }
            Type::GROUP => {
                let uri = grantee.uri.unwrap_or_default();
                let group = GrantedTo::group(&uri);
                group.ok_or_else(|| bad_argument("Group/URI", &uri, "Invalid group uri"))?
            }
            Type::AMAZON_CUSTOMER_BY_EMAIL => {
                return Err(not_built("a grant to an e-mail address"));
            }
            _ => return Err(malformed_list()),
        };
        grants.push(Granted { to, right });
    }
    Ok(Acl(grants))
}

/// As answers list them.
pub fn shown(account: &str, acl: Acl) -> Vec<Grant> {
    let grants = acl.0.into_iter().map(|it| {
        let grantee = match it.to.uri() {
            Some(uri) => Grantee {
                display_name: None,
                email_address: None,
                id: None,
                type_: Type::from_static(Type::GROUP),
                uri: Some(uri.to_owned()),
            },
            None => Grantee {
                display_name: None,
                email_address: None,
                id: owner(account).id,
                type_: Type::from_static(Type::CANONICAL_USER),
                uri: None,
            },
        };
        Grant {
            grantee: Some(grantee),
            permission: Some(Permission::from_static(it.right.name())),
        }
    });
    grants.collect()
}
