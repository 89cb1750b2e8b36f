//! How much of a tree a message may become. A node takes tens of bytes where `0,` or `[],` takes two or
//! three on the wire, so it is nodes that are bounded, and not bytes alone.

use std::cell::Cell;

/// Values and names of members of one message. AWS's own largest requests stay far below: ten thousand
/// log events are 50,001, and a thousand metrics of 150 values with their counts, in the one mebibyte
/// that CloudWatch takes, fewer than 400,000. What no request needs is refused before it takes memory:
/// this many nodes are about 30 MiB.
pub(crate) const NODES_MAX: usize = 500_000;

/// What is left of a message's nodes.
pub(crate) struct Nodes(Cell<usize>);

impl Nodes {
    pub(crate) fn new() -> Self {
        Self(Cell::new(NODES_MAX))
    }

    /// Counts one, if there may be one more.
    pub(crate) fn take(&self) -> Result<(), TooMany> {
        let left = self.0.get().checked_sub(1).ok_or(TooMany)?;
        self.0.set(left);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has more than {NODES_MAX} values")]
pub(crate) struct TooMany;
