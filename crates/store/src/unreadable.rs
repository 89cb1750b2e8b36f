//! Records that are there and cannot be read: a bit of the disk fell over, or a newer version wrote them.
//!
//! **Such a record is never absent.** Its key is known ([`crate::Transaction::keys`] has it, and
//! [`crate::Transaction::delete`] takes it), what it says is not. So:
//!
//! - Who asks for it gets an error with its kind and key.
//! - Who *decides* by a scan gets that error as well: of a whole that one record is missing in, nothing
//!   follows. Otherwise a cluster would be deleted with a service in it, a stack created a second time, a
//!   content removed as nobody's. All transactions of [`crate::Store::write`] and [`crate::Store::read`]
//!   are of this kind. What stands still is what the record's own thing is part of; everything else goes on.
//! - Who only *looks* ([`crate::Store::look`]: what a person or a client lists) gets the others, and the
//!   damaged one is named in the log. When nothing else was found the error is answered all the same,
//!   since an empty answer would say that nothing is there.
//! - Who works for all records of a kind at once, each for itself, asks for those that can be read
//!   ([`crate::Transaction::readable`]), and does nothing to what it does not find.

use std::collections::BTreeSet;
use std::sync::Mutex;

use crate::StoreError;

/// Those that were told of are remembered, up to so many: more of them are told of again.
const TOLD_MAX: usize = 1000;

/// What a scan does when it meets one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scan {
    /// It ends: the rest would be taken for the whole.
    Whole,
    /// It goes on, unless it would find nothing.
    Others,
    /// It goes on.
    Readable,
}

/// Tells of each record once.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<BTreeSet<String>>);

impl Told {
    pub(crate) fn of(&self, error: &StoreError) {
        let text = error.to_string();
        let mut told = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.contains(&text) {
            return;
        }
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::error!(cause, "left out of an answer: {text}");
        if told.len() < TOLD_MAX {
            told.insert(text);
        }
    }
}
