//! Errors as the caller sees them.

use std::fmt;

use crate::node::Node;

/// Whose fault an error is, as AWS says it: the request's, or the service's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Sender,
    Receiver,
}

/// An error that an operation may answer. Services have theirs generated from the models; a handler
/// writes `ecs::errors::ClusterNotFoundException.because("Cluster not found.")`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorCode {
    /// The shape's name in the model.
    pub shape: &'static str,
    /// The code on the wire: in query services it may differ from the shape's name.
    pub code: &'static str,
    pub status: u16,
    pub fault: Fault,
    /// What the model calls the member with the message, in JSON.
    pub message_member: &'static str,
}

/// What most models call it.
const MESSAGE: &str = "message";

impl ErrorCode {
    /// An error of the request.
    pub const fn sender(code: &'static str, status: u16) -> Self {
        Self {
            shape: code,
            code,
            status,
            fault: Fault::Sender,
            message_member: MESSAGE,
        }
    }

    /// An error of the service.
    pub const fn receiver(code: &'static str, status: u16) -> Self {
        Self {
            shape: code,
            code,
            status,
            fault: Fault::Receiver,
            message_member: MESSAGE,
        }
    }

    /// As generated: the shape has a name of its own.
    pub const fn modelled(
        shape: &'static str,
        code: &'static str,
        status: u16,
        fault: Fault,
    ) -> Self {
        Self {
            shape,
            code,
            status,
            fault,
            message_member: MESSAGE,
        }
    }

    /// The same, of which the model calls the message `Message`.
    pub const fn with_capital_message(mut self) -> Self {
        self.message_member = "Message";
        self
    }

    /// The error, with the message for the caller.
    pub fn because(self, message: impl Into<String>) -> Error {
        let Self {
            shape,
            code,
            status,
            fault,
            message_member,
        } = self;
        Error {
            message_member,
            code,
            message: message.into(),
            status,
            fault,
            shape,
            members: Vec::new(),
        }
    }
}

/// An AWS error as the caller sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    pub code: &'static str,
    pub message: String,
    pub status: u16,
    pub fault: Fault,
    pub shape: &'static str,
    pub message_member: &'static str,
    /// What the error carries beside its message, where the model gives it members.
    pub members: Vec<(&'static str, Node)>,
}

impl Error {
    /// Is this error the one of `code`?
    pub fn is(&self, code: ErrorCode) -> bool {
        self.code == code.code
    }

    /// Adds a member of the error's shape.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: Node) -> Self {
        self.members.push((member, value));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

#[allow(non_upper_case_globals)]
pub mod codes {
    //! The errors that every AWS service may answer.

    use super::ErrorCode;

    pub const AccessDenied: ErrorCode = ErrorCode::sender("AccessDenied", 403);
    pub const AccessDeniedException: ErrorCode = ErrorCode::sender("AccessDeniedException", 400);
    pub const IncompleteSignature: ErrorCode = ErrorCode::sender("IncompleteSignature", 400);
    pub const IncompleteSignatureException: ErrorCode =
        ErrorCode::sender("IncompleteSignatureException", 400);
    pub const InternalFailure: ErrorCode = ErrorCode::receiver("InternalFailure", 500);
    pub const InternalError: ErrorCode = ErrorCode::receiver("InternalError", 500);
    pub const InvalidAccessKeyId: ErrorCode = ErrorCode::sender("InvalidAccessKeyId", 403);
    pub const InvalidAction: ErrorCode = ErrorCode::sender("InvalidAction", 400);
    pub const InvalidClientTokenId: ErrorCode = ErrorCode::sender("InvalidClientTokenId", 403);
    pub const InvalidSignatureException: ErrorCode =
        ErrorCode::sender("InvalidSignatureException", 400);
    pub const MalformedInput: ErrorCode = ErrorCode::sender("MalformedInput", 400);
    pub const MalformedQueryString: ErrorCode = ErrorCode::sender("MalformedQueryString", 404);
    pub const MissingAction: ErrorCode = ErrorCode::sender("MissingAction", 400);
    pub const MissingAuthenticationToken: ErrorCode =
        ErrorCode::sender("MissingAuthenticationToken", 403);
    pub const MissingAuthenticationTokenException: ErrorCode =
        ErrorCode::sender("MissingAuthenticationTokenException", 400);
    pub const RequestEntityTooLarge: ErrorCode = ErrorCode::sender("RequestEntityTooLarge", 413);
    pub const RequestExpired: ErrorCode = ErrorCode::sender("RequestExpired", 400);
    pub const SerializationException: ErrorCode = ErrorCode::sender("SerializationException", 400);
    pub const ServiceUnavailable: ErrorCode = ErrorCode::receiver("ServiceUnavailable", 503);
    pub const SignatureDoesNotMatch: ErrorCode = ErrorCode::sender("SignatureDoesNotMatch", 403);
    pub const Throttling: ErrorCode = ErrorCode::sender("Throttling", 400);
    pub const UnknownOperationException: ErrorCode =
        ErrorCode::sender("UnknownOperationException", 400);
    pub const UnrecognizedClientException: ErrorCode =
        ErrorCode::sender("UnrecognizedClientException", 400);
    pub const ValidationError: ErrorCode = ErrorCode::sender("ValidationError", 400);
    pub const ValidationException: ErrorCode = ErrorCode::sender("ValidationException", 400);
    /// A modelled operation that this program does not build.
    pub const NotImplemented: ErrorCode = ErrorCode::receiver("NotImplemented", 501);

    // EC2 has no modelled errors; these are the ones of its whole API.
    pub const AuthFailure: ErrorCode = ErrorCode::sender("AuthFailure", 401);
    pub const InvalidParameterValue: ErrorCode = ErrorCode::sender("InvalidParameterValue", 400);
    pub const MissingParameter: ErrorCode = ErrorCode::sender("MissingParameter", 400);
    pub const UnknownParameter: ErrorCode = ErrorCode::sender("UnknownParameter", 400);
    pub const UnsupportedOperation: ErrorCode = ErrorCode::sender("UnsupportedOperation", 400);
}
