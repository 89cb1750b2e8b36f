//! `moby.buildkit.v1.frontend.LLBBridge`: what a client that leads a build itself asks for while it does.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

use super::{CacheEntry, Worker};

/// The header that says which build a call belongs to.
pub const BUILD_ID: &str = "buildkit-controlapi-buildid";

#[derive(Clone, PartialEq, Message)]
pub struct BridgeSolveRequest {
    #[prost(bytes = "vec", optional, tag = "1")]
    pub definition: Option<Vec<u8>>,
    #[prost(string, tag = "2")]
    pub frontend: String,
    #[prost(btree_map = "string, string", tag = "3")]
    pub options: BTreeMap<String, String>,
    #[prost(bool, tag = "5")]
    pub takes_result: bool,
    #[prost(bool, tag = "6")]
    pub takes_references: bool,
    #[prost(message, repeated, tag = "12")]
    pub imports: Vec<CacheEntry>,
    #[prost(btree_map = "string, bytes", tag = "13")]
    pub inputs: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BridgeSolveResponse {
    /// For clients that do not take a result.
    #[prost(string, tag = "1")]
    pub reference: String,
    #[prost(message, optional, tag = "3")]
    pub result: Option<BridgeResult>,
}

#[derive(Clone, PartialEq, Message)]
pub struct BridgeResult {
    #[prost(oneof = "ResultKind", tags = "1, 2, 3, 4")]
    pub kind: Option<ResultKind>,
    #[prost(btree_map = "string, bytes", tag = "10")]
    pub metadata: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, PartialEq, Oneof)]
pub enum ResultKind {
    #[prost(string, tag = "1")]
    Id(String),
    #[prost(message, tag = "2")]
    Ids(Ids),
    #[prost(message, tag = "3")]
    Reference(Reference),
    #[prost(message, tag = "4")]
    References(References),
}

#[derive(Clone, PartialEq, Message)]
pub struct Ids {
    #[prost(btree_map = "string, string", tag = "1")]
    pub ids: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Reference {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct References {
    #[prost(btree_map = "string, message", tag = "1")]
    pub references: BTreeMap<String, Reference>,
}

impl BridgeResult {
    /// The ids of what is referred to.
    pub fn ids(&self) -> Vec<String> {
        let ids = match &self.kind {
            None => Vec::new(),
            Some(ResultKind::Id(id)) => vec![id.clone()],
            Some(ResultKind::Ids(ids)) => ids.ids.values().cloned().collect(),
            Some(ResultKind::Reference(reference)) => vec![reference.id.clone()],
            Some(ResultKind::References(all)) => {
                all.references.values().map(|it| it.id.clone()).collect()
            }
        };
        ids.into_iter().filter(|it| !it.is_empty()).collect()
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct ReturnRequest {
    #[prost(message, optional, tag = "1")]
    pub result: Option<BridgeResult>,
    #[prost(message, optional, tag = "2")]
    pub error: Option<RpcStatus>,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub code: i32,
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PongResponse {
    #[prost(message, repeated, tag = "1")]
    pub frontend_capabilities: Vec<Capability>,
    #[prost(message, repeated, tag = "2")]
    pub capabilities: Vec<Capability>,
    #[prost(message, repeated, tag = "3")]
    pub workers: Vec<Worker>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Capability {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(bool, tag = "2")]
    pub enabled: bool,
}
