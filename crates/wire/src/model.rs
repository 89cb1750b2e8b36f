//! What a service is to the wire: names, protocol, operations. Generated.

use crate::error::{Error, ErrorCode};

/// How a service's messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// JSON bodies; the operation is named by `X-Amz-Target: <target_prefix>.<Operation>`.
    Json {
        version: &'static str,
        target_prefix: &'static str,
    },
    /// Form parameters in, XML out.
    Query { xml_namespace: &'static str },
    /// EC2's own variant of `Query`.
    Ec2 { xml_namespace: &'static str },
    /// REST with XML bodies; known by name only.
    RestXml,
    /// S3's kind of it, whose errors stand in no `ErrorResponse`.
    S3,
    /// REST with JSON bodies; known by name only.
    RestJson,
    /// Smithy's RPC in CBOR: services that speak JSON are spoken to in it by newer clients.
    Cbor,
}

/// A service of the models.
#[derive(Debug)]
pub struct ServiceModel {
    /// The name in the signature's credential scope, by which requests are routed.
    pub signing_name: &'static str,
    pub protocol: Protocol,
    pub api_version: &'static str,
    /// What the service answers to input that its model forbids.
    pub validation: ErrorCode,
    /// What it answers to what is valid and not built here.
    pub unbuilt: ErrorCode,
    /// How it says so.
    pub constraints: Constraints,
    /// The operations that nobody signs.
    pub unsigned: &'static [&'static str],
    /// All operations of the model, sorted; what is built of them is the service's to say.
    pub operations: &'static [&'static str],
}

/// How a service speaks of input that its model forbids.
#[derive(Debug, Clone, Copy)]
pub struct Constraints {
    pub words: Words,
    /// Operations that answer another code than the service's usual one.
    pub operations: &'static [(&'static str, ErrorCode)],
    /// Members, by their models' names, that have errors of their own.
    pub members: &'static [OwnRefusal],
}

/// The errors of one member.
#[derive(Debug, Clone, Copy)]
pub struct OwnRefusal {
    pub member: &'static str,
    /// When it is absent.
    pub missing: Option<ErrorCode>,
    /// When it does not fit.
    pub unfit: Option<ErrorCode>,
}

/// In which words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// `1 validation error detected: Value 'B' at 'name' failed to satisfy constraint: Member must …`
    Value,
    /// `Invalid parameter at 'name' failed to satisfy constraint: 'must …'`, the first alone, as ECR does.
    Parameter,
}

impl Constraints {
    pub const USUAL: Self = Self {
        words: Words::Value,
        operations: &[],
        members: &[],
    };
}

impl ServiceModel {
    /// The refusal of what AWS does and this program does not, by its name.
    pub fn unsupported(&self, what: impl std::fmt::Display) -> Error {
        (self.unbuilt).because(format!("{what} is not supported by neargate"))
    }

    /// Does the model know the operation, built or not? Returns the model's own copy of the name.
    pub fn operation(&self, name: &str) -> Option<&'static str> {
        self.operations
            .binary_search(&name)
            .ok()
            .map(|index| self.operations[index])
    }
}
