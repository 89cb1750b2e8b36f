//! Every bound on what comes from outside, with its reason.

use std::time::Duration;

/// A manifest is read into memory as a whole. 4 MiB is what the distribution specification asks
/// registries to accept at least; common registries accept no more.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// An image's configuration is read into memory as a whole.
pub const CONFIG_BYTES_MAX: u64 = 8 << 20;
/// The largest blob. Hosted registries stop near 50 GB for one layer.
pub const BLOB_BYTES_MAX: u64 = 52_000 << 20;
/// Layers of one image: an overlay mount takes no more than 500 lower directories, and other
/// engines stop at 127.
pub const LAYERS_MAX: usize = 127;

/// What a layer may become when it is unpacked.
#[derive(Debug, Clone, Copy)]
pub struct UnpackLimits {
    /// Of the uncompressed tar.
    pub bytes_max: u64,
    /// A tar below this may be compressed as well as it likes (files full of zeros are honest).
    pub ratio_free_bytes: u64,
    /// Above it, uncompressed to compressed bytes: gzip ends near 1000, real layers stay below 20.
    pub ratio_max: u64,
    /// Files, directories, links: each is an inode.
    pub entries_max: u64,
    /// As the kernel's `PATH_MAX`, with its final zero.
    pub path_bytes_max: usize,
}

pub const UNPACK_LIMITS: UnpackLimits = UnpackLimits {
    bytes_max: 64 << 30,
    ratio_free_bytes: 1 << 30,
    ratio_max: 200,
    entries_max: 2_000_000,
    path_bytes_max: 4095,
};

/// A tar's extension records (long names, attributes) are read into memory.
pub const TAR_EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// Zstandard may ask for a window this large (as a power of two); 128 MiB is what its own tools
/// accept without being told.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Unpacking is bound by the processor: more at once than this only makes each slower.
pub const UNPACK_PARALLEL_MAX: usize = 4;
/// Blobs fetched at once from a remote registry, per image, as other clients do.
pub const PULL_PARALLEL_MAX: usize = 3;
/// Until a remote registry accepts a connection.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Until the other side sends the next bytes.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Redirects followed for one request; registries send blobs from a content network by one.
pub const REDIRECTS_MAX: usize = 5;
/// An answer that is read into memory: a token or an error.
pub const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Nothing younger than this is collected as garbage: a push stores blobs first and names them
/// last, a build keeps steps for the next build, and a task that was just placed mounts its layers
/// a little later.
pub const GARBAGE_GRACE: Duration = Duration::from_secs(60 * 60);
/// An upload that nobody continued for this long is given up.
pub const UPLOAD_IDLE_MAX: Duration = Duration::from_secs(60 * 60);
/// Blobs that were uploaded to one repository and that no manifest names yet: an image has
/// [`LAYERS_MAX`] layers at most, and a few of them are pushed at once.
pub const FRESH_BLOBS_MAX: usize = 1000;
/// A client that has uploaded what an image is made of names it in a manifest by then.
pub const FRESH_MAX_AGE: Duration = GARBAGE_GRACE;
/// Manifests whose parts are remembered: each takes a few kilobytes.
pub const REFERENCES_KEPT_MAX: usize = 4096;
/// Open uploads: each is a file and a hash state.
pub const UPLOADS_MAX: usize = 1000;
/// Of those, to one repository.
pub const UPLOADS_OF_ONE_MAX: usize = 200;
/// Bodies being received at once: each holds a thread while it is written, and the runtime has a
/// few hundred.
pub const RECEIVING_MAX: usize = 64;
/// Of those, for one repository: a client sends a few layers at a time.
pub const RECEIVING_OF_ONE_MAX: usize = 16;
/// Names in one answer of a list, when the client does not say.
pub const LIST_PAGE: usize = 1000;

/// Pieces in which blobs travel between threads.
pub const CHUNK_BYTES: usize = 256 << 10;
/// Pieces waiting between an async task and a blocking thread.
pub const CHUNKS_IN_FLIGHT: usize = 8;

/// Content that one space may reach: what its images are made of. A build's machine on AWS has 64 GB of
/// disk at its smallest (CodeBuild's user guide, "Build environment compute modes and types").
pub const SPACE_BYTES_MAX: u64 = 64 << 30;
/// Manifests that a space names: each is a file, and all are listed for each name that is made.
pub const SPACE_MANIFESTS_MAX: usize = 300;
