//! What a process has used, as the kernel accounts for it.

use anyhow::Context;

/// Clock ticks of `/proc/PID/stat` per second; fixed by the kernel's interface to user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time of a process so far, all its threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// In user mode, seconds.
    pub user_s: f64,
    /// In the kernel, seconds.
    pub system_s: f64,
}

impl Used {
    /// Reads it. Resolution: 10 ms.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(process: u32) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The second field is a name that may hold anything, up to the last parenthesis (proc(5)).
        let rest = text.rsplit(')').next().context("stat has a name")?;
        let ticks = |field: usize| -> anyhow::Result<f64> {
            let text = rest.split_whitespace().nth(field).context("stat has utime and stime")?;
            Ok(text.parse::<f64>()? / TICKS_PER_SECOND)
        };
        Ok(Used { user_s: ticks(11)?, system_s: ticks(12)? })
    }

    /// Used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Used) -> Used {
        Used { user_s: self.user_s - earlier.user_s, system_s: self.system_s - earlier.system_s }
    }

    /// User and kernel together, microseconds.
    #[must_use]
    pub fn us(self) -> f64 {
        (self.user_s + self.system_s) * 1e6
    }
}

/// Memory of a process that is resident, KiB.
///
/// # Errors
/// When there is no such process.
pub fn resident_kib(process: u32) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("status has VmRSS")?;
    Ok(line.split_whitespace().next().context("VmRSS has a value")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_process_is_accounted_for() {
        let own = std::process::id();
        assert!(Used::of(own).unwrap().us() >= 0.0);
        assert!(resident_kib(own).unwrap() > 100);
        assert!(Used::of(u32::MAX).is_err());
    }
}
