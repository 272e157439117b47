//! What the operating system is asked for the process and its threads as a whole.
#![allow(unsafe_code, reason = "prctl and sched_setscheduler have no safe wrapper in the standard library")]

/// Asks for memory in pages of the usual size only. False when the operating system refuses.
///
/// A huge page is cleared whole when it is first touched: two megabytes, which take 0.1 ms on bare metal and 0.5 to
/// 5 ms under a hypervisor that finds the memory only then. A shard stands still meanwhile, and every call on it waits.
/// A usual page costs 2 to 3 microseconds, 512 of them more than one huge one, but never all at once.
#[must_use]
pub fn small_pages() -> bool {
    // SAFETY: the call has no effect on memory that is there; the unused arguments must be 0 (prctl(2)).
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 }
}

/// Lets the calling thread go before all threads of usual priority (`SCHED_RR`), `priority` 1..=99. False when the
/// operating system refuses: it takes `CAP_SYS_NICE` or a sufficient `RLIMIT_RTPRIO`.
#[must_use]
pub fn go_first(priority: u8) -> bool {
    let parameters = libc::sched_param { sched_priority: i32::from(priority.clamp(1, 99)) };
    // SAFETY: the parameters are read during the call only; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameters) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_are_refused_from_then_on() {
        assert!(small_pages());
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        // Kernels before 5.0 do not tell.
        let told = status.lines().find_map(|line| line.strip_prefix("THP_enabled:"));
        assert!(told.is_none_or(|told| told.trim() == "0"), "{told:?}");
    }
}
