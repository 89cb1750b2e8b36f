//! Bounds of documents. AWS bounds each kind of policy far below, which the service that stores it
//! checks; these keep reading and evaluating one short whatever the service.

/// What IAM's model takes as a policy document at most.
pub const BYTES_MAX: usize = 131_072;

/// A document, its statements, a statement, its conditions, an operator's keys, a key's values. More
/// has no meaning.
pub const NESTING_MAX: usize = 8;

/// The largest policies of AWS (a key's, 32 KB) hold fewer than this, were each as short as can be.
pub const STATEMENTS_MAX: usize = 1_000;
