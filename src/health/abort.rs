//! A panic of the health port ends the process.

/// Ends the process if it is dropped by a panic: a dead thread must not leave an open port without answers. (Release
/// builds abort on any panic; this covers the others.)
pub(super) struct AbortOnPanic;

// === impl AbortOnPanic ===

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
