//! The kernel's keyrings, which no namespace separates.
#![allow(unsafe_code)]

/// Gives this process and its children an empty session keyring instead of the one it was started
/// with, so that a container that may ask for keys finds none of the daemon's or of another task's.
pub(crate) fn leave_session() {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    let anonymous: *const libc::c_char = std::ptr::null();
    // SAFETY: without a name nothing is read. A kernel without keyrings refuses, and has nothing to
    // give away.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous) };
}
