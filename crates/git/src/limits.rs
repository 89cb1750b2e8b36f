//! Bounds on what comes from outside, and on what is kept.

use std::time::Duration;

/// Questions that a repository on this machine answers from its files.
pub const LOCAL_TIMEOUT: Duration = Duration::from_secs(60);
/// Asking a remote repository for its branches: some hundred bytes to some megabytes.
pub const LIST_TIMEOUT: Duration = Duration::from_secs(30);
/// Fetching a remote repository, or copying one: as long as a large one takes on a slow line.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(600);
/// A push or a clone by somebody else.
pub const SERVE_TIMEOUT: Duration = Duration::from_secs(3600);
/// What one answer of the program may be: lists of the paths and branches of a large repository.
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What is kept of what it complains about.
pub const COMPLAINT_BYTES_MAX: usize = 16 * 1024;
/// What is told of it.
pub const COMPLAINT_CHARS_MAX: usize = 300;
/// A push (AWS CodeCommit's own limit of a repository's files is of the same order).
pub const PUSH_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// The commands of a push, some hundred bytes for each reference: thousands of them.
pub const COMMANDS_BYTES_MAX: usize = 1024 * 1024;
/// They come before the objects, at once.
pub const COMMANDS_TIMEOUT: Duration = Duration::from_secs(60);
/// The copy of a remote repository.
pub const MIRROR_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// How often a fetch is held against it.
pub const MIRROR_LOOK: Duration = Duration::from_millis(500);
/// Copies of remote repositories that are kept; those not used for longest go first.
pub const MIRRORS_MAX: usize = 64;
/// Clients that are served at once; further ones wait.
pub const SERVED_MAX: usize = 16;
/// Of those, who asks in one name.
pub const SERVED_OF_ONE_MAX: usize = 4;
/// Pieces of an answer that a slow client may be behind.
pub const PIECES_MAX: usize = 16;
/// What a ref's name may be. (A file name on disk ends at 255.)
pub const NAME_BYTES_MAX: usize = 255;
/// What Linux allows a path.
pub const PATH_BYTES_MAX: usize = 4096;
/// Changes that a slow listener may be behind before it has to look at everything.
pub const CHANGES_MAX: usize = 256;
