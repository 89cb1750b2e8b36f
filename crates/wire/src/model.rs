//! What a service is to the wire: names, protocol, operations. Generated.

use crate::error::ErrorCode;

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
    /// S3's; known by name only, nothing here reads it.
    RestXml,
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
    /// All operations of the model, sorted; what is built of them is the service's to say.
    pub operations: &'static [&'static str],
}

impl ServiceModel {
    /// Does the model know the operation, built or not? Returns the model's own copy of the name.
    pub fn operation(&self, name: &str) -> Option<&'static str> {
        self.operations
            .binary_search(&name)
            .ok()
            .map(|index| self.operations[index])
    }
}
