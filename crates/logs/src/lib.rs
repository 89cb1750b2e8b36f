//! Log streams as files that anyone may append to.
//!
//! ```text
//! <root>/<group>/.group          the group's name
//! <root>/<group>/<stream>.meta   the stream's name and when it was made
//! <root>/<group>/<stream>.log    its events, one a line (see `engine::format_log_line`)
//! ```
//!
//! A stream's file is written to by its task's supervisor directly, with `O_APPEND`, whether this
//! process lives or not. So a file is never replaced, and an event's offset never changes: what has
//! expired is punched out of the front of the file, which gives its blocks back and leaves a hole.
//! Reading holds a piece of the file and one page of events, whatever the file's size.

mod names;
mod read;
mod store;
#[cfg(test)]
mod tests;
mod watch;

pub use store::LogStore;
