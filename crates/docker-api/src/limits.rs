//! Every bound on what comes from outside, with its reason.

use std::time::Duration;

/// A request that is JSON is read into memory; a container's is a few KiB.
pub const JSON_BYTES_MAX: usize = 4 << 20;
/// An archive that is sent: a build's context, an image. As large as the largest blob.
pub const ARCHIVE_BYTES_MAX: u64 = 64 << 30;
/// Files, folders and links of one archive: each is an inode.
pub const ARCHIVE_ENTRIES_MAX: u64 = 2_000_000;
/// A long name or an extended header within an archive: read into memory, and never this large.
pub const ARCHIVE_HEADER_BYTES_MAX: u64 = 256 * 1024;
/// Uncompressed to compressed bytes of an archive above [`ARCHIVE_FREE_BYTES`].
pub const ARCHIVE_RATIO_MAX: u64 = 200;
pub const ARCHIVE_FREE_BYTES: u64 = 1 << 30;
/// An image's manifest or configuration: read into memory.
pub const DOCUMENT_BYTES_MAX: u64 = 8 << 20;
/// Lines or pieces of a streamed answer that a slow reader may be behind.
pub const PIECES_MAX: usize = 64;
/// Pieces in which files and archives are sent.
pub const PIECE_BYTES: usize = 256 << 10;
/// A client that has not sent its request's head by then is not coming.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Until the next bytes of a body come.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(300);
/// Containers of the owner: each is a directory and a record in memory.
pub const CONTAINERS_MAX: usize = 10_000;
/// Networks: each is a namespace once it is used.
pub const NETWORKS_MAX: usize = 1_000;
/// Commands that were made for containers and not yet forgotten.
pub const EXECS_MAX: usize = 10_000;
/// How long the record of a command that has ended is kept, for its exit code to be asked for.
pub const EXEC_KEPT: Duration = Duration::from_secs(300);
/// Events that are remembered for `since`.
pub const EVENTS_KEPT: usize = 1_000;
/// How long a container waits for those who attached before it was started.
pub const ATTACH_WAIT_MS: u64 = 5_000;
/// How often a followed log is looked at.
pub const LOG_POLL: Duration = Duration::from_millis(50);
/// A line of a log is cut by its writer long before.
pub const LOG_LINE_BYTES_MAX: usize = 1 << 20;
/// What an archive that is copied out of a container may hold at depth.
pub const FOLDER_DEPTH_MAX: usize = 256;
/// Connections to one published port.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Senders to one published UDP port: each has a socket for a while.
pub const SENDERS_MAX: usize = 1_024;
/// A sender that was answered nothing for so long is forgotten, as docker's proxy forgets it.
pub const SENDER_IDLE: Duration = Duration::from_secs(90);
/// The largest there are.
pub const DATAGRAM_BYTES_MAX: usize = 65_535;
/// A program in a container accepts by then.
pub const DIAL_TIMEOUT_MS: u64 = 10_000;
/// Ports of one container: each is a listener.
pub const PORTS_MAX: usize = 1_000;
/// Before a container that ended is started again: doubled each time, as docker does.
pub const RESTART_FIRST: Duration = Duration::from_millis(100);
pub const RESTART_LAST: Duration = Duration::from_secs(60);
/// One that ran for so long begins anew with [`RESTART_FIRST`].
pub const RESTART_SETTLED_MS: i64 = 10_000;
/// A start that is under way when an engine is closed is over by then.
pub const CLOSE_WAIT: Duration = Duration::from_secs(10);

/// Volumes of the owner: each is a directory and a record in memory.
pub const VOLUMES_MAX: usize = 10_000;
/// Containers of one build, running or not: a build's tests start a dozen, and each is a process, a
/// namespace and two directories.
pub const BUILD_CONTAINERS_MAX: usize = 100;
/// Networks of one build: each is a namespace with its own rules.
pub const BUILD_NETWORKS_MAX: usize = 20;
/// Volumes of one build: one for each container, and as many that were given names.
pub const BUILD_VOLUMES_MAX: usize = 200;
/// What a build's containers, volumes, logs and contexts may have on disk together; what its images may
/// have is the image store's to say. 64 GB is the disk of the smallest machine that AWS gives a build
/// (CodeBuild's user guide, "Build environment compute modes and types").
pub const BUILD_DISK_BYTES_MAX: u64 = 64 << 30;
/// How often a build's disk is looked at, at most; looking takes no more than a twentieth of the time.
pub const DISK_POLL: Duration = Duration::from_secs(5);
pub const DISK_POLL_SHARE: u32 = 20;

/// For the end of a container to be recorded, once the engine knows of it: it is woken at once.
pub const NOTE_WAIT: Duration = Duration::from_secs(5);
