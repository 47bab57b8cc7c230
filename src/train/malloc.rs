//! malloc settings for training.

/// Makes glibc retain freed memory. By default it returns large blocks to the system at
/// once, and to get them again, zeroed and page by page, takes a quarter of a small
/// model's step.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn retain_freed_memory() {
    use std::ffi::c_int;
    use std::sync::Once;
    // As in <malloc.h>.
    const M_TRIM_THRESHOLD: c_int = -1;
    const M_MMAP_THRESHOLD: c_int = -3;
    /// Upper limit on 64 bits; for larger blocks the page faults are negligible beside
    /// the work.
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
pub fn retain_freed_memory() {}
