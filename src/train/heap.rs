//! Memory that a step frees and the next one wants again.

/// Has the C library keep what is freed. By itself it gives large blocks back to
/// the system at once, and to get them again, cleared and page by page, takes a quarter of
/// a small model's step.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep() {
    use std::ffi::c_int;
    use std::sync::Once;
    // As in <malloc.h>.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_MMAP_THRESHOLD: c_int = -3;
    /// The most that is allowed on 64 bits; larger blocks are so much work that the
    /// pages do not matter.
    const LARGE: c_int = 32 << 20;
    unsafe extern "C" {
        fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }
    static ONCE: Once = Once::new();
    // SAFETY: as <malloc.h> declares it; other threads may allocate meanwhile.
    ONCE.call_once(|| unsafe {
        mallopt(M_MMAP_THRESHOLD, LARGE);
        mallopt(M_TRIM_THRESHOLD, c_int::MAX);
    });
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep() {}
