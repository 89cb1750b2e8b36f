//! Memory that was freed and that the allocator keeps.

/// Gives what is free back to the kernel (malloc_trim(3)). The allocator keeps pages between others that
/// are in use, so that after large requests a daemon would hold as much as its largest moment took.
pub fn give_memory_back() {
    // SAFETY: the call takes no pointer of ours and may be made by any thread at any time; it locks the
    // allocator's arenas one by one and returns pages that nobody holds.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}
