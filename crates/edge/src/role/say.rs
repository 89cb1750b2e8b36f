//! What the edge has to say goes to its log, and is lost where that is full: nothing else depends on
//! it, above all not that the edge runs.

use std::fmt::Arguments;
use std::io::Write as _;

pub fn say(what: Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "edge: {what}");
}
