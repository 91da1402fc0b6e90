//! How much more memory a piece of work needed than stood before it, where the system tells.

use std::fs;

/// Runs `work` and gives the growth of the process's peak resident memory in bytes; `None` where the
/// system does not tell (it does on Linux) or does not let the peak be reset.
///
/// Memory that was free inside the process before counts as nothing, and what other threads do at the
/// same time counts as the work's: run it alone.
pub(super) fn growth<T>(work: impl FnOnce() -> T) -> (T, Option<u64>) {
    // "5" resets the peak: proc(5), clear_refs.
    let reset = fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = status("VmRSS:");
    let result = work();
    let peak = status("VmHWM:").filter(|_| reset);
    let growth = peak
        .zip(before)
        .map(|(peak, before)| peak.saturating_sub(before));
    (result, growth)
}

/// Peak resident memory of the process in bytes.
pub(super) fn peak() -> Option<u64> {
    status("VmHWM:")
}

fn status(field: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    #[test]
    fn a_large_buffer_is_seen() {
        let (_, grown) = super::growth(|| std::hint::black_box(vec![1u8; 64 << 20]).len());
        // Other tests run beside this one: at least the buffer, where the system allows the reset.
        assert!(grown.is_none_or(|bytes| bytes > 48 << 20), "{grown:?}");
        assert!(super::peak().unwrap() > 0);
    }
}
