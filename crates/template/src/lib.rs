//! The language of CloudFormation templates: pure, with no I/O.
//!
//! ```text
//! text ─ read (yaml, json) ─> Node ─ parse ─> Template ─ instantiate ─> Instance ─> properties, outputs, graph
//!        every scalar as it      functions become        parameters and conditions
//!        is written, with spans  one `Value` type        are decided
//! ```
//!
//! [`Template::parse`] finds everything that can be wrong without knowing the parameters,
//! [`Template::instantiate`] everything that can be wrong without knowing the resources. What is
//! left for the evaluation of a resource's properties is what only exists while a stack is built:
//! physical ids, attributes, exports. They come from a [`Scope`].
//!
//! Dynamic references ([`dynamic`]) stay text here: whoever makes a resource puts their values in.
//!
//! What a transform makes of a text ([`transform`]) is a text again, before any of this.
//!
//! Deliberately absent: macros and hooks. Each is refused by name.

mod cidr;
mod constraint;
pub mod dynamic;
mod error;
mod evaluate;
mod function;
mod graph;
mod instance;
mod json;
pub mod limits;
mod node;
mod parameter;
mod parse;
mod pattern;
mod relaxed;
mod rules;
mod section;
mod spans;
mod template;
pub mod transform;
mod validate;
mod value;
mod yaml;

pub use constraint::{ParameterValue, ParameterValues, ResolvedParameter};
pub use error::TemplateError;
pub use evaluate::{KNOWN_AFTER_APPLY, Scope, is_known_after_apply};
pub use function::{Function, Piece};
pub use graph::Graph;
pub use instance::{EvaluatedOutput, EvaluatedProperties, Instance};
pub use node::{Content, Key, Node, Span};
pub use parameter::{Parameter, ParameterType};
pub use rules::Rule;
pub use spans::Spans;
pub use template::{
    DeletionPolicy, Environment, Export, Mapping, MappingValue, Output, Policies, Resource,
    Template, WrittenPolicy,
};
pub use value::{Branches, Kind, Value};
pub use yaml::read as read_yaml;
