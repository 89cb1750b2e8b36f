//! The way in: a request's bytes become an authenticated, routed tree.

use http::request::Parts;

use crate::answer::{RPC_V2_CBOR, SMITHY_PROTOCOL};
use crate::cbor::read_cbor;
use crate::error::{Error, codes};
use crate::json_reader::parse_json;
use crate::model::{Protocol, ServiceModel};
use crate::node::Node;
use crate::query::{read_query, split_form};
use crate::sigv4::{Credentials, Doubt, FindKey, check_head, verify};

/// The largest body that is read: the files of a commit at CodeCommit, or a part of an ECR layer, 20 MB in
/// base64, and what is around it.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// The largest form. The largest requests in forms are templates and policies, well below a mebibyte.
const FORM_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The largest body of a request that is refused anyway. It is read where it is that small, because a
/// form's body says in whose words to refuse it.
pub const UNBELIEVED_BODY_BYTES_MAX: usize = 64 * 1024;

/// What the way in has to know.
pub struct Door<'a, I> {
    /// All services that are known by name, built or not.
    pub models: &'a [&'static ServiceModel],
    /// Finds an access key and session token, and whom they stand for.
    pub find_key: &'a FindKey<'a, I>,
    /// Seconds since 1970.
    pub now: f64,
}

/// A request that is believed and understood so far.
#[derive(Debug)]
pub struct Received<I> {
    pub service: &'static ServiceModel,
    pub operation: &'static str,
    /// What the caller speaks, and is to be answered in: the service's own, or another that clients
    /// of it may choose.
    pub protocol: Protocol,
    pub region: String,
    /// Who asks: whom the key that the request is signed with stands for.
    pub identity: I,
    /// For [`crate::decode_input`].
    pub input: Node,
}

/// A request that ends at the door, and the protocol in which to say so.
#[derive(Debug)]
pub struct Refusal {
    pub protocol: Protocol,
    pub error: Box<Error>,
}

/// What a request may go on with, as far as its head tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Admission {
    pub protocol: Protocol,
    /// How much of a body there may be.
    pub body_bytes_max: usize,
}

/// Whether a request's body is worth reading: it is signed, lately, with a key that is known. Who asks is
/// known only when the body has been read, by [`receive`].
pub fn admit<I>(head: &Parts, door: &Door<'_, I>) -> Result<Admission, Refusal> {
    let asked = Asked::of(head, b"", door.models);
    let credentials = (asked.credentials.as_ref())
        .map_err(|doubt| asked.refuse(unbelieved(asked.protocol, doubt)))?;
    check_head(head, credentials, door.find_key, door.now)
        .map_err(|doubt| asked.refuse(unbelieved(asked.protocol, &doubt)))?;
    let body_bytes_max = match (asked.service, asked.protocol) {
        (None, _) => UNBELIEVED_BODY_BYTES_MAX,
        (Some(_), Protocol::Query { .. } | Protocol::Ec2 { .. }) => FORM_BODY_BYTES_MAX,
        (Some(_), _) => MAX_BODY_BYTES,
    };
    Ok(Admission {
        protocol: asked.protocol,
        body_bytes_max,
    })
}

/// The id of the key that a request says it is signed with.
pub fn claimed_key(head: &Parts) -> Option<String> {
    Credentials::of(head).ok().map(|it| it.access_key)
}

/// What a request says of itself: nothing of it is believed yet.
struct Asked {
    credentials: Result<Credentials, Doubt>,
    service: Option<&'static ServiceModel>,
    protocol: Protocol,
}

impl Asked {
    fn of(head: &Parts, body: &[u8], models: &[&'static ServiceModel]) -> Self {
        let credentials = Credentials::of(head);
        let service = match &credentials {
            Ok(credentials) => find_by_scope(models, &credentials.service, body),
            // Without a scope the request's form still tells in which words to refuse it.
            Err(_) => find_by_form(models, head, body),
        };
        let protocol = match service {
            _ if speaks_cbor(head) => Protocol::Cbor,
            Some(service) if speaks_form(service, head) => FORM,
            Some(service) => service.protocol,
            None => guess_protocol(head, credentials.is_ok()),
        };
        Self {
            credentials,
            service,
            protocol,
        }
    }

    fn refuse(&self, error: Error) -> Refusal {
        Refusal {
            protocol: self.protocol,
            error: Box::new(error),
        }
    }
}

/// Finds out which service is asked, who asks, and what for.
pub fn receive<I>(head: &Parts, body: &[u8], door: &Door<'_, I>) -> Result<Received<I>, Refusal> {
    let Asked {
        credentials,
        service,
        protocol,
    } = Asked::of(head, body, door.models);
    let refuse = |error: Error| Refusal {
        protocol,
        error: Box::new(error),
    };
    if body.len() > MAX_BODY_BYTES {
        return Err(refuse(codes::RequestEntityTooLarge.because(format!(
            "The body is larger than {MAX_BODY_BYTES} bytes"
        ))));
    }
    let credentials = credentials.map_err(|doubt| {
        let unsigned = service.and_then(|it| unsigned_operation(it, head, body));
        refuse(match (&doubt, unsigned) {
            (Doubt::Unsigned, Some(operation)) => operation,
            _ => unbelieved(protocol, &doubt),
        })
    })?;
    let identity = verify(head, body, &credentials, door.find_key, door.now)
        .map_err(|doubt| refuse(unbelieved(protocol, &doubt)))?;
    let Some(service) = service else {
        let why = format!(
            "The service `{}` is not supported by neargate",
            credentials.service
        );
        return Err(refuse(codes::NotImplemented.because(why)));
    };
    let (operation, input) = read_operation(service, head, body).map_err(refuse)?;
    Ok(Received {
        service,
        operation,
        protocol,
        region: credentials.region,
        identity,
        input,
    })
}

/// Nobody signs some operations, none of which is built.
fn unsigned_operation(service: &'static ServiceModel, head: &Parts, body: &[u8]) -> Option<Error> {
    let (operation, _) = read_operation(service, head, body).ok()?;
    let is_unsigned = service.unsigned.contains(&operation);
    is_unsigned.then(|| {
        codes::NotImplemented.because(format!(
            "{}:{operation} is not supported by neargate",
            service.signing_name
        ))
    })
}

/// Services that share a signing name (both generations of Elastic Load Balancing do) differ in
/// their API version.
fn find_by_scope(
    models: &[&'static ServiceModel],
    name: &str,
    body: &[u8],
) -> Option<&'static ServiceModel> {
    let same_name = || {
        models
            .iter()
            .copied()
            .filter(|model| model.signing_name == name)
    };
    let version = std::str::from_utf8(body).ok().and_then(form_version);
    same_name()
        .find(|model| Some(model.api_version) == version)
        .or_else(|| same_name().next())
}

fn find_by_form(
    models: &[&'static ServiceModel],
    head: &Parts,
    body: &[u8],
) -> Option<&'static ServiceModel> {
    if let Some(target) = target(head) {
        let prefix = target.rsplit_once('.')?.0;
        return models.iter().copied().find(
            |model| matches!(model.protocol, Protocol::Json { target_prefix, .. } if names_service(prefix, target_prefix)),
        );
    }
    let version = head
        .uri
        .query()
        .and_then(form_version)
        .or_else(|| form_version(std::str::from_utf8(body).ok()?))?;
    models.iter().copied().find(|model| {
        model.api_version == version
            && matches!(
                model.protocol,
                Protocol::Query { .. } | Protocol::Ec2 { .. }
            )
    })
}

fn form_version(form: &str) -> Option<&str> {
    form.split('&')
        .find_map(|part| part.strip_prefix("Version="))
}

/// Whether a target's prefix is a service's. Some SDKs write it with the namespace of the service's shapes,
/// others without: the last dotted part is the service.
fn names_service(prefix: &str, target_prefix: &str) -> bool {
    let last = |text: &'_ str| text.rfind('.').map_or(0, |at| at + 1);
    prefix[last(prefix)..] == target_prefix[last(target_prefix)..]
}

/// In which protocol an unknown service is likely to be spoken to. Those that speak REST with XML are all
/// known, so that a signed request is for one that speaks REST with JSON; nobody knows what a page is for.
fn guess_protocol(head: &Parts, is_signed: bool) -> Protocol {
    let content_type = head
        .headers
        .get(http::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if target(head).is_some() {
        Protocol::Json {
            version: "1.1",
            target_prefix: "",
        }
    } else if content_type.is_some_and(|it| it.starts_with("application/x-www-form-urlencoded")) {
        Protocol::Query {
            xml_namespace: "http://webservices.amazon.com/AWSFault/2005-15-09",
        }
    } else if is_signed || content_type.is_some_and(|it| it.contains("json")) {
        Protocol::RestJson
    } else {
        Protocol::S3
    }
}

fn speaks_cbor(head: &Parts) -> bool {
    head.headers
        .get(SMITHY_PROTOCOL)
        .is_some_and(|value| value == RPC_V2_CBOR)
}

/// How clients are answered that send forms to a service whose own protocol is JSON.
const FORM: Protocol = Protocol::Query {
    xml_namespace: "http://webservices.amazon.com/AWSFault/2005-15-09",
};

/// Older clients send forms to services that speak JSON by now: those which were spoken to in forms
/// once, as their version tells.
fn speaks_form(service: &ServiceModel, head: &Parts) -> bool {
    let content_type = head.headers.get(http::header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    matches!(service.protocol, Protocol::Json { .. })
        && target(head).is_none()
        && content_type.is_some_and(|it| it.starts_with("application/x-www-form-urlencoded"))
}

fn target(head: &Parts) -> Option<&str> {
    head.headers
        .get("x-amz-target")
        .and_then(|value| value.to_str().ok())
}

fn read_operation(
    service: &'static ServiceModel,
    head: &Parts,
    body: &[u8],
) -> Result<(&'static str, Node), Error> {
    match service.protocol {
        _ if speaks_form(service, head) => match read_form_operation(service, head, body)? {
            (operation, Node::Map(members)) => Ok((operation, Node::Form(members))),
            other => Ok(other),
        },
        Protocol::Json { target_prefix, .. } => {
            read_json_operation(service, target_prefix, head, body)
        }
        Protocol::Query { .. } | Protocol::Ec2 { .. } => read_form_operation(service, head, body),
        Protocol::RestXml | Protocol::S3 | Protocol::RestJson | Protocol::Cbor => {
            Err(codes::NotImplemented.because(format!(
                "{}: {} {} is not supported by neargate",
                service.signing_name,
                head.method,
                head.uri.path()
            )))
        }
    }
}

fn read_json_operation(
    service: &'static ServiceModel,
    target_prefix: &str,
    head: &Parts,
    body: &[u8],
) -> Result<(&'static str, Node), Error> {
    let unknown = |name: &str| {
        codes::UnknownOperationException.because(format!(
            "The operation `{name}` is not known to {}",
            service.signing_name
        ))
    };
    // Newer clients of some services name the operation in the path (Smithy's RPC protocol).
    let name = match target(head) {
        Some(target) => {
            let named = target
                .rsplit_once('.')
                .filter(|(prefix, _)| names_service(prefix, target_prefix));
            named.ok_or_else(|| unknown(target))?.1
        }
        None => {
            head.uri
                .path()
                .rsplit_once("/operation/")
                .ok_or_else(|| unknown(""))?
                .1
        }
    };
    let operation = service.operation(name).ok_or_else(|| unknown(name))?;
    if speaks_cbor(head) {
        return read_cbor_body(body).map(|input| (operation, input));
    }
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok((operation, Node::empty()));
    }
    match parse_json(body)? {
        input @ Node::Map(_) => Ok((operation, input)),
        other => Err(codes::SerializationException.because(format!(
            "{} can not be converted to a Structure",
            other.kind()
        ))),
    }
}

fn read_cbor_body(body: &[u8]) -> Result<Node, Error> {
    if body.is_empty() {
        return Ok(Node::empty());
    }
    let wrong = |why: &str| {
        codes::SerializationException.because(format!("The body is not a structure in CBOR: {why}"))
    };
    match read_cbor(body) {
        Ok(input @ Node::Map(_)) => Ok(input),
        Ok(other) => Err(wrong(other.kind())),
        Err(why) => Err(wrong(why)),
    }
}

fn read_form_operation(
    service: &'static ServiceModel,
    head: &Parts,
    body: &[u8],
) -> Result<(&'static str, Node), Error> {
    let body = std::str::from_utf8(body)
        .map_err(|_| codes::MalformedQueryString.because("The body is not text"))?;
    let mut parameters = split_form(head.uri.query().unwrap_or_default())?;
    parameters.extend(split_form(body.trim())?);
    let (mut action, mut version) = (None, None);
    let mut members = Vec::with_capacity(parameters.len());
    for (name, value) in parameters {
        match name.as_str() {
            "Action" => action = Some(value),
            "Version" => version = Some(value),
            _ if name.starts_with("X-Amz-") => (),
            _ => members.push((name, value)),
        }
    }
    let action = action.ok_or_else(|| {
        codes::MissingAction.because("The request is missing an action or a required parameter")
    })?;
    let version = version.unwrap_or_else(|| service.api_version.into());
    let operation = service
        .operation(&action)
        .filter(|_| version == service.api_version)
        .ok_or_else(|| {
            codes::InvalidAction.because(format!(
                "Could not find operation {action} for version {version}"
            ))
        })?;
    Ok((operation, read_query(members)?))
}

const INVALID_TOKEN: &str = "The security token included in the request is invalid.";
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your \
    AWS Secret Access Key and signing method. Consult the service documentation for details.";
const NOT_VALIDATED: &str = "AWS was not able to validate the provided access credentials";

/// A doubt in the words of a protocol.
fn unbelieved(protocol: Protocol, doubt: &Doubt) -> Error {
    match protocol {
        Protocol::Json { .. } | Protocol::RestJson | Protocol::Cbor => match doubt {
            Doubt::Unsigned => {
                codes::MissingAuthenticationTokenException.because("Missing Authentication Token")
            }
            Doubt::Incomplete(why) => codes::IncompleteSignatureException.because(why),
            Doubt::UnknownKey => codes::UnrecognizedClientException.because(INVALID_TOKEN),
            Doubt::WrongSignature => codes::InvalidSignatureException.because(MISMATCH),
            Doubt::Expired(why) => codes::InvalidSignatureException.because(why),
        },
        Protocol::Query { .. } => match doubt {
            Doubt::Unsigned => {
                codes::MissingAuthenticationToken.because("Request is missing Authentication Token")
            }
            Doubt::Incomplete(why) => codes::IncompleteSignature.because(why),
            Doubt::UnknownKey => codes::InvalidClientTokenId.because(INVALID_TOKEN),
            Doubt::WrongSignature => codes::SignatureDoesNotMatch.because(MISMATCH),
            Doubt::Expired(why) => codes::SignatureDoesNotMatch.because(why),
        },
        Protocol::Ec2 { .. } => match doubt {
            Doubt::Unsigned => codes::MissingParameter
                .because("The request must contain the parameter AWSAccessKeyId"),
            Doubt::Incomplete(why) => codes::IncompleteSignature.because(why),
            Doubt::UnknownKey | Doubt::WrongSignature => codes::AuthFailure.because(NOT_VALIDATED),
            Doubt::Expired(_) => codes::RequestExpired.because("Request has expired."),
        },
        Protocol::RestXml | Protocol::S3 => match doubt {
            Doubt::Unsigned => codes::AccessDenied.because("Access Denied"),
            Doubt::Incomplete(why) => codes::IncompleteSignature.because(why),
            Doubt::UnknownKey => codes::InvalidAccessKeyId
                .because("The AWS Access Key Id you provided does not exist in our records."),
            Doubt::WrongSignature => codes::SignatureDoesNotMatch.because(MISMATCH),
            Doubt::Expired(_) => codes::RequestExpired.because("Request has expired"),
        },
    }
}
