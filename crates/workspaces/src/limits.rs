//! What is taken from archives and builds, at most.

/// An id is a folder's name, and part of others.
pub const ID_BYTES_MAX: usize = 128;
/// An archive as it comes. CodeBuild's own sources and artifacts end far below.
pub const ARCHIVE_BYTES_MAX: u64 = 4 << 30;
/// All contents of an archive, unpacked: a small archive must not fill the disk.
pub const CONTENT_BYTES_MAX: u64 = 16 << 30;
/// Files, folders and links in one archive, or looked at while choosing: a large repository with all
/// its dependencies has a tenth of it.
pub const ENTRIES_MAX: usize = 500_000;
/// Folders within folders: what a path of the kernel's length can hold, in names that mean something.
pub const DEPTH_MAX: usize = 256;
/// The kernel's own limit of a path.
pub const PATH_BYTES_MAX: usize = 4096;
/// Patterns of one selection: as many lines as a person writes.
pub const PATTERNS_MAX: usize = 1000;
