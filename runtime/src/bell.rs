//! The bell of a sleeping thread: whoever has put something into its mailbox rings, and only if it sleeps.
//!
//! ```text
//!   sender                         sleeper
//!     put item into the ring         about to sleep: waiting = true
//!     waiting was true? ring         ring not empty? do not sleep
//!                                    wait for the bell, the sockets, the deadline: all in one wait
//! ```
//!
//! Both sides write before they read, with a full fence between, so at least one of them sees the other.
#![allow(unsafe_code, reason = "the standard library has no eventfd")]

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A bell that can be waited for together with sockets.
#[derive(Debug)]
pub struct Bell {
    event: File,
    waiting: AtomicBool,
}

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// When the process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the returned descriptor is ours alone.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened and owned by nobody else.
        let event = unsafe { File::from_raw_fd(fd) };
        Ok(Bell { event, waiting: AtomicBool::new(false) })
    }

    /// Gives the bell to the runtime of this thread, which then hears it in its sleep.
    ///
    /// # Errors
    /// When the runtime cannot watch it.
    pub fn in_runtime(self) -> io::Result<AsyncFd<Bell>> {
        // SAFETY: a Bell gives the same open descriptor for as long as it lives, and the AsyncFd owns it.
        unsafe { AsyncFd::register_with_interest(self, Interest::READABLE) }
            .map_err(|error| io::Error::other(error.to_string()))
    }

    /// Wakes the sleeper, if it sleeps or is about to.
    pub fn ring_if_waited_for(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) && self.waiting.swap(false, Ordering::AcqRel) {
            self.ring();
        }
    }

    /// Rings. The bell is watched for edges, so nobody has to silence it.
    pub fn ring(&self) {
        // Fails only when the counter is at its end, after 2^64 rings.
        let _ = (&self.event).write(&1_u64.to_ne_bytes());
    }

    /// From now on senders ring. The caller must look into its mailbox once more before it sleeps.
    pub fn wait_for(&self) {
        self.waiting.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Awake again: nobody needs to ring.
    pub fn awake(&self) {
        self.waiting.store(false, Ordering::Relaxed);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::Poller;

    fn rings(poller: &mut Poller) -> bool {
        let mut marks = Vec::new();
        poller.wait(&mut marks, false);
        !marks.is_empty()
    }

    #[test]
    fn it_rings_only_for_who_waits_and_only_once() {
        let bell = Bell::new().unwrap();
        let mut poller = Poller::new().unwrap();
        poller.add_bell(&bell, 1).unwrap();
        bell.ring_if_waited_for();
        assert!(!rings(&mut poller));
        for _ in 0..2 {
            bell.wait_for();
            bell.ring_if_waited_for();
            bell.ring_if_waited_for();
            assert!(rings(&mut poller));
            assert!(!rings(&mut poller));
        }
        bell.wait_for();
        bell.awake();
        bell.ring_if_waited_for();
        assert!(!rings(&mut poller));
    }
}
