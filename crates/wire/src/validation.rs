//! Input that its model forbids, in AWS's own words.

use std::fmt::Write;

use crate::decoder::{DecodeError, Failure, Problem, Segment, Style};
use crate::error::{Error, ErrorCode, codes};
use crate::model::{Protocol, ServiceModel, Words};
use crate::node::Node;
use crate::shape::{Operation, decode};

/// Reads the input of an operation from what came over the network and holds it against its model.
pub fn decode_input<I: Operation>(service: &ServiceModel, node: Node) -> Result<I, Error> {
    let style = match service.protocol {
        _ if matches!(node, Node::Form(_)) => Style::Query,
        Protocol::Query { .. } => Style::Query,
        Protocol::Ec2 { .. } => Style::Ec2,
        Protocol::Json { .. }
        | Protocol::RestXml
        | Protocol::S3
        | Protocol::RestJson
        | Protocol::Cbor => Style::Json,
    };
    decode(node, style).map_err(|error| forbidden(service, I::NAME, &error))
}

/// Holds an input that was made inside this program against its model, as [`decode_input`] does
/// for one from the network.
pub fn validate<I: Operation>(service: &ServiceModel, input: &I) -> Result<(), Error> {
    let checked: Result<I, DecodeError> = decode(input.get(), Style::Json);
    checked
        .map(|_| ())
        .map_err(|error| forbidden(service, I::NAME, &error))
}

/// The service's own error for input that does not fit its model.
pub fn forbidden(service: &ServiceModel, operation: &str, error: &DecodeError) -> Error {
    let usual = usual_code(service, operation);
    let Some(first) = error.failures.first() else {
        return usual.because("the input does not fit");
    };
    if let Some(failure) = error.unbuilt() {
        return refused(service, failure);
    }
    if matches!(service.protocol, Protocol::Ec2 { .. }) {
        return ec2_error(first);
    }
    let wrong_type = error
        .failures
        .iter()
        .find(|it| matches!(it.problem, Problem::WrongType { .. }));
    if let Some(failure) = wrong_type {
        // Types are checked before anything else, and the first mismatch ends the request.
        let code = match service.protocol {
            Protocol::Query { .. } => codes::MalformedInput,
            _ => codes::SerializationException,
        };
        return code.because(type_message(failure));
    }
    if service.constraints.words == Words::Parameter {
        return usual.because(format!(
            "Invalid parameter at '{}' failed to satisfy constraint: '{}'",
            coral_path(&first.path),
            parameter_demand(&first.problem)
        ));
    }
    // One that has an error of its own ends the request with it.
    if let Some(code) = own_code(service, first) {
        return code.because(constraint_message(first));
    }
    let messages: Vec<String> = error.failures.iter().map(constraint_message).collect();
    let (count, noun) = (
        messages.len(),
        if messages.len() == 1 {
            "error"
        } else {
            "errors"
        },
    );
    usual.because(format!(
        "{count} validation {noun} detected: {}",
        messages.join("; ")
    ))
}

/// A member that is known and not built.
fn refused(service: &ServiceModel, failure: &Failure) -> Error {
    let place = match service.protocol {
        Protocol::Ec2 { .. } => ec2_parameter(&failure.path),
        _ => failure.place(),
    };
    let Problem::Unbuilt { only: Some(only) } = failure.problem else {
        return service.unsupported(format_args!("the parameter {place}"));
    };
    service.unsupported(format_args!(
        "the parameter {place} with another value than '{only}'"
    ))
}

fn usual_code(service: &ServiceModel, operation: &str) -> ErrorCode {
    let own = service.constraints.operations.iter();
    let own = own.copied().find(|(name, _)| *name == operation);
    own.map_or(service.validation, |(_, code)| code)
}

/// The error of the member that does not fit, where the service has one for it.
fn own_code(service: &ServiceModel, failure: &Failure) -> Option<ErrorCode> {
    let name = failure.path.iter().rev().find_map(|it| match it {
        Segment::Member(name) => Some(name.as_ref()),
        Segment::Index(_) | Segment::Key(_) => None,
    })?;
    let own = service.constraints.members.iter();
    let own = own.copied().find(|it| it.member == name)?;
    match failure.problem {
        Problem::Missing => own.missing,
        _ => own.unfit,
    }
}

fn type_message(failure: &Failure) -> String {
    match &failure.problem {
        Problem::WrongType {
            expected, found, ..
        } => {
            format!(
                "{found} can not be converted to {expected} at '{}'",
                coral_path(&failure.path)
            )
        }
        _ => failure.to_string(),
    }
}

fn constraint_message(failure: &Failure) -> String {
    let value = match (&failure.problem, failure.sensitive) {
        (Problem::Missing | Problem::Unknown | Problem::Unbuilt { .. }, _) => "Value null".into(),
        (_, true) => "Value".into(),
        (
            Problem::WrongType { value, .. }
            | Problem::NotInEnum { value, .. }
            | Problem::TooShort { value, .. }
            | Problem::TooLong { value, .. }
            | Problem::TooSmall { value, .. }
            | Problem::TooLarge { value, .. }
            | Problem::Pattern { value, .. },
            false,
        ) => format!("Value '{value}'"),
    };
    format!(
        "{value} at '{}' failed to satisfy constraint: Member {}",
        coral_path(&failure.path),
        demand(&failure.problem)
    )
}

/// The same in the words of ECR, which has some of its own.
fn parameter_demand(problem: &Problem) -> String {
    match problem {
        Problem::Pattern { pattern, .. } => {
            format!("must satisfy regular expression '{pattern}'")
        }
        Problem::NotInEnum { .. } | Problem::Missing => format!("Member {}", demand(problem)),
        _ => demand(problem),
    }
}

/// What the model demands, to stand after a noun.
fn demand(problem: &Problem) -> String {
    match problem {
        Problem::Missing => "must not be null".into(),
        Problem::Unknown => "must be known".into(),
        Problem::Unbuilt { .. } => problem.to_string(),
        Problem::WrongType { expected, .. } => format!("must be {expected}"),
        Problem::NotInEnum { allowed, .. } => {
            format!("must satisfy enum value set: [{}]", allowed.join(", "))
        }
        Problem::TooShort { min, .. } => format!("must have length greater than or equal to {min}"),
        Problem::TooLong { max, .. } => format!("must have length less than or equal to {max}"),
        Problem::TooSmall { min, .. } => format!("must have value greater than or equal to {min}"),
        Problem::TooLarge { max, .. } => format!("must have value less than or equal to {max}"),
        Problem::Pattern { pattern, .. } => {
            format!("must satisfy regular expression pattern: {pattern}")
        }
    }
}

/// AWS writes `tags.1.member.key`: small first letters, lists counted from one.
fn coral_path(path: &[Segment]) -> String {
    let mut out = String::new();
    for segment in path {
        if !out.is_empty() {
            out.push('.');
        }
        match segment {
            Segment::Member(name) => {
                let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
                out.push_str(&first.to_lowercase());
                out.push_str(rest);
            }
            Segment::Index(index) => {
                write!(out, "{}.member", index + 1).expect("writing to a string does not fail");
            }
            Segment::Key(key) => {
                write!(out, "{key}.member").expect("writing to a string does not fail");
            }
        }
    }
    out
}

/// EC2 names the parameter as it is sent: `Filter.1.Name`.
fn ec2_parameter(path: &[Segment]) -> String {
    let mut parameter = String::new();
    for segment in path {
        if !parameter.is_empty() {
            parameter.push('.');
        }
        match segment {
            Segment::Member(name) => parameter.push_str(name),
            Segment::Index(index) => parameter.push_str(&(index + 1).to_string()),
            Segment::Key(key) => parameter.push_str(key),
        }
    }
    parameter
}

fn ec2_error(failure: &Failure) -> Error {
    let parameter = ec2_parameter(&failure.path);
    let invalid = |why: String| codes::InvalidParameterValue.because(why);
    let shown = |value: &str| {
        if failure.sensitive {
            "…".to_owned()
        } else {
            value.to_owned()
        }
    };
    match &failure.problem {
        Problem::Missing => codes::MissingParameter.because(format!(
            "The request must contain the parameter {parameter}"
        )),
        Problem::Unknown => {
            codes::UnknownParameter.because(format!("The parameter {parameter} is not recognized"))
        }
        Problem::WrongType {
            expected, value, ..
        } => invalid(format!(
            "Invalid value '{}' for {parameter}: it must be {expected}",
            shown(value)
        )),
        Problem::NotInEnum { value, .. } => invalid(format!(
            "Value ({}) for parameter {parameter} is invalid.",
            shown(value)
        )),
        Problem::Unbuilt { .. } | Problem::TooShort { .. } | Problem::TooLong { .. } => {
            invalid(format!(
                "Invalid value for parameter {parameter}: it {}",
                failure.problem
            ))
        }
        Problem::TooSmall { value, .. }
        | Problem::TooLarge { value, .. }
        | Problem::Pattern { value, .. } => invalid(format!(
            "Value ({}) for parameter {parameter} is invalid.",
            shown(value)
        )),
    }
}
