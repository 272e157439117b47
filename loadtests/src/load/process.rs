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

    /// All of them together.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn of_all(processes: &[u32]) -> anyhow::Result<Self> {
        processes.iter().try_fold(Used::default(), |sum, process| {
            let used = Used::of(*process)?;
            Ok(Used { user_s: sum.user_s + used.user_s, system_s: sum.system_s + used.system_s })
        })
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

/// Datagrams that a look at the machine sends and receives.
const EXCHANGES: u32 = 30_000;

/// What a datagram sent and received over loopback costs here and now, microseconds of processor time: how fast the machine
/// is. Half a second at most.
///
/// # Errors
/// When there is no socket.
pub fn exchange_us() -> anyhow::Result<f64> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(socket.local_addr()?)?;
    let mut buffer = [0; 64];
    let before = Used::of(std::process::id())?;
    for _ in 0..EXCHANGES {
        socket.send(&buffer)?;
        socket.recv(&mut buffer)?;
    }
    Ok(Used::of(std::process::id())?.since(before).us() / f64::from(EXCHANGES))
}

/// A process and all that it has made.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn family(process: u32) -> anyhow::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // It may be gone again.
        let Ok(text) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        let parent = text.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        parents.extend(parent.and_then(|parent| parent.parse::<u32>().ok()).map(|parent| (id, parent)));
    }
    let mut found = vec![process];
    let mut next = 0;
    while let Some(member) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(id, _)| *id));
        next += 1;
    }
    Ok(found)
}

/// Memory of these processes that is resident, KiB (what they share counts for each).
///
/// # Errors
/// When there is no such process.
pub fn resident_kib(processes: &[u32]) -> anyhow::Result<u64> {
    processes.iter().map(|process| resident_kib_of(*process)).sum()
}

/// Files that these processes have open.
///
/// # Errors
/// When there is no such process.
pub fn open_files(processes: &[u32]) -> anyhow::Result<u64> {
    processes.iter().map(|process| Ok(std::fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64)).sum()
}

fn resident_kib_of(process: u32) -> anyhow::Result<u64> {
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
        assert!(resident_kib(&[own]).unwrap() > 100);
        assert!(family(own).unwrap().contains(&own));
        assert!(Used::of(u32::MAX).is_err());
    }
}
