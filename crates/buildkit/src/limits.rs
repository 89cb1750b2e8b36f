//! Every bound on what comes from outside, with its reason.

use std::time::Duration;

/// One message that answers a call of ours. BuildKit's own clients send and take 16 MiB; a packet of a file
/// has 32 KiB, but a whole archive may come as one.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// One message of a call that is answered: a build's options are a few KiB.
pub const ASKED_BYTES_MAX: usize = 1 << 20;
/// Calls on one connection at a time: a client has a handful for each build.
pub const CALLS_MAX: u32 = 32;
/// Messages of one call that wait for a slow reader.
pub const MESSAGES_QUEUED: usize = 64;
/// The text of an error goes into a header, which peers bound.
pub const ERROR_BYTES_MAX: usize = 8 << 10;
/// Sessions: each is a connection that its client keeps open.
pub const SESSIONS_MAX: usize = 256;
/// Methods that a session says it offers; clients have about ten.
pub const METHODS_MAX: usize = 64;
/// A session's id and the like, which become keys in memory.
pub const NAME_BYTES_MAX: usize = 256;
/// Until a session that a build names is there: its client opens both at once.
pub const SESSION_WAIT: Duration = Duration::from_secs(5);
/// Until a client's service has answered or sent the next message of a call. A client may ask somebody
/// (an agent, a helper for logins) before it does.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(120);
/// Files, folders and links of one folder that is sent: as many as one COPY takes. Files are remembered until
/// they have come.
pub const ENTRIES_MAX: u32 = 500_000;
/// The paths of them, and what links lead to, together: a hundred bytes each.
pub const PATHS_BYTES_MAX: usize = 64 << 20;
/// A path, or what a link leads to: as the kernel's `PATH_MAX`, with its final zero.
pub const PATH_BYTES_MAX: usize = 4_095;
/// All of one folder that is sent, as much as an archive of it may have.
pub const BYTES_MAX: u64 = 64 << 30;
/// Files that are asked for before the first of them has come, each an open file.
pub const FILES_AHEAD: usize = 32;
