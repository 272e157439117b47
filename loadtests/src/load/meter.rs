//! What a core spends, to the microsecond, though others want it too.
//!
//! The kernel's own accounting looks at who is running 250 times a second: it mistakes work that keeps time with it, and sees
//! little of the receive path, which runs inside of whomever it interrupts. So a thread takes all the time of the core that
//! nobody under test wants, and reads the clock all the while: what passes between two looks that follow each other at once
//! was its own, a longer gap was taken from it while it had the core, by interrupts. Time of the processes under test is
//! the scheduler's, which is exact, and so is that of the kernel's thread that goes on with interrupts' work where there is
//! much of it; others on the machine are in neither figure.

use anyhow::Context;
use runtime::process::go_first;
use runtime::udp::pin_to_core;
use std::fs::read_to_string;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Priority of what is under test, …
pub const UNDER_TEST_FIRST: u8 = 30;
/// … and of the one who takes what is left: before all who have nothing to do with the run.
const REST_FIRST: u8 = 1;
/// Two looks at the clock follow each other within less than this; no interrupt is as short.
const LOOK_MAX: Duration = Duration::from_nanos(400);
/// Looks between two tellings.
const LOOKS: u32 = 256;

/// Takes what is left of a core.
pub struct Meter {
    thread: Option<JoinHandle<()>>,
    over: Arc<AtomicBool>,
    own_ns: Arc<AtomicU64>,
    /// The thread's id.
    id: u64,
    core: usize,
    interrupts: InterruptsThread,
}

/// The kernel's thread (ksoftirqd) that goes on with what interrupts have to do on a core, when it is too much for them. It has
/// no priority: whoever takes what is left of the core would keep it from working.
struct InterruptsThread {
    id: Option<u32>,
}

impl InterruptsThread {
    /// Finds it and lets it go as first as what is under test, until this is dropped.
    fn first_on(core: usize) -> Self {
        let name = format!("ksoftirqd/{core}\n");
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let id = processes
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .find(|id| read_to_string(format!("/proc/{id}/comm")).is_ok_and(|comm| comm == name));
        let thread = InterruptsThread { id };
        thread.schedule(&["-f", "-p", &UNDER_TEST_FIRST.to_string()]);
        thread
    }

    fn schedule(&self, how: &[&str]) {
        if let Some(id) = self.id {
            // Without that right it has to wait, and packets may be lost.
            let _ = Command::new("chrt").args(how).arg(id.to_string()).status();
        }
    }

    fn ns(&self) -> u64 {
        self.id.and_then(|id| on_core_ns(&format!("/proc/{id}/schedstat")).ok()).unwrap_or(0)
    }
}

impl Drop for InterruptsThread {
    fn drop(&mut self) {
        self.schedule(&["-o", "-p", "0"]);
    }
}

/// Processor time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// Of the processes under test, nanoseconds; of that which interrupted them, too.
    pub processes_ns: u64,
    /// Of interrupts while they had not the core, nanoseconds.
    pub interrupts_ns: u64,
    /// Nobody's, nanoseconds.
    pub rest_ns: u64,
    /// Packets that the core has received, for whomever.
    pub received: u64,
}

impl Spent {
    /// Spent since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Spent) -> Spent {
        Spent {
            processes_ns: self.processes_ns.saturating_sub(earlier.processes_ns),
            interrupts_ns: self.interrupts_ns.saturating_sub(earlier.interrupts_ns),
            rest_ns: self.rest_ns.saturating_sub(earlier.rest_ns),
            received: self.received.saturating_sub(earlier.received),
        }
    }

    /// Without what a core that has nothing to do is robbed of as well (ticks, the hypervisor), in the same share as in
    /// `idle`.
    #[must_use]
    pub fn without(self, idle: Spent) -> Spent {
        let share = idle.interrupts_ns as f64 / ((idle.interrupts_ns + idle.rest_ns) as f64).max(1.0);
        let always = (share * (self.interrupts_ns + self.rest_ns) as f64) as u64;
        Spent { interrupts_ns: self.interrupts_ns.saturating_sub(always), ..self }
    }

    /// For what is under test, microseconds.
    #[must_use]
    pub fn us(self) -> f64 {
        (self.processes_ns + self.interrupts_ns) as f64 / 1e3
    }
}

impl Meter {
    /// Begins.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(core: usize) -> anyhow::Result<Self> {
        let (over, own_ns) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, tell) = mpsc::channel();
        let thread = {
            let (over, own_ns) = (Arc::clone(&over), Arc::clone(&own_ns));
            std::thread::Builder::new().name("meter".into()).spawn(move || {
                let _ = pin_to_core(core);
                // Without that right others are on the core more often, which costs this thread only time.
                let _ = go_first(REST_FIRST);
                let _ = told.send(read_to_string("/proc/thread-self/stat"));
                while !over.load(Ordering::Relaxed) {
                    own_ns.fetch_add(look(), Ordering::Relaxed);
                }
            })?
        };
        let stat = tell.recv().context("the meter's thread")??;
        let id = stat.split(' ').next().context("stat begins with an id")?.parse()?;
        Ok(Meter {
            thread: Some(thread),
            over,
            own_ns,
            id,
            core,
            interrupts: InterruptsThread::first_on(core),
        })
    }

    /// Spent since the beginning.
    ///
    /// # Errors
    /// When one of the processes is not there.
    pub fn read(&self, processes: &[u32]) -> anyhow::Result<Spent> {
        let rest_ns = self.own_ns.load(Ordering::Relaxed);
        let with_interrupts = on_core_ns(&format!("/proc/self/task/{}/schedstat", self.id))?;
        let mut processes_ns = 0;
        for process in processes {
            for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
                // A thread may have ended meanwhile.
                processes_ns +=
                    on_core_ns(&task?.path().join("schedstat").display().to_string()).unwrap_or(0);
            }
        }
        let interrupts_ns = with_interrupts.saturating_sub(rest_ns) + self.interrupts.ns();
        Ok(Spent { processes_ns, interrupts_ns, rest_ns, received: received_on(self.core)? })
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Looks at the clock for a little while: how much of it was our own, nanoseconds.
fn look() -> u64 {
    let mut own = Duration::ZERO;
    let mut last = Instant::now();
    for _ in 0..LOOKS {
        let now = Instant::now();
        let passed = now - last;
        if passed < LOOK_MAX {
            own += passed;
        }
        last = now;
    }
    own.as_nanos() as u64
}

/// Packets a core has received so far, by whatever interface and in whatever network namespace. The kernel keeps it in 32
/// bits: over a run it may begin anew.
fn received_on(core: usize) -> anyhow::Result<u64> {
    let text = read_to_string("/proc/net/softnet_stat")?;
    let line = text.lines().nth(core).context("the core is not in /proc/net/softnet_stat")?;
    Ok(u64::from_str_radix(line.split(' ').next().unwrap_or_default(), 16)?)
}

/// Processor time of the calling thread so far, nanoseconds.
///
/// # Errors
/// When the kernel does not account for it.
pub fn thread_ns() -> anyhow::Result<u64> {
    // What it has used since it last had the core is in the figure only then.
    std::thread::yield_now();
    on_core_ns("/proc/thread-self/schedstat")
}

/// Time on a core by the scheduler, which is exact but up to a tick old.
fn on_core_ns(file: &str) -> anyhow::Result<u64> {
    let text = read_to_string(file)?;
    Ok(text.split(' ').next().context("schedstat has a time")?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No figure is asserted that others could change.
    #[test]
    fn what_is_spent_is_told_apart() {
        let meter = Meter::start(0).unwrap();
        let own = std::process::id();
        let before = meter.read(&[own]).unwrap();
        while meter.read(&[own]).unwrap().since(before).rest_ns == 0 {}
        let spent = meter.read(&[own]).unwrap().since(before);
        assert!(spent.us() >= 0.0);
        assert!(meter.read(&[u32::MAX]).is_err());
    }
}
