//! Waiting for any of a few sockets.
#![allow(unsafe_code, reason = "poll has no safe wrapper in the standard library")]

use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Waits until one of the sockets can be read, at most so long. Which one is not told.
pub fn readable(sockets: &[&UdpSocket], at_most: Duration) {
    let mut set: Vec<libc::pollfd> = sockets
        .iter()
        .map(|socket| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 })
        .collect();
    let limit = libc::timespec {
        tv_sec: at_most.as_secs().min(3600) as libc::time_t,
        tv_nsec: libc::c_long::from(at_most.subsec_nanos() as i32),
    };
    // SAFETY: the set and the limit live until the call returns; no signal mask is given.
    let _ = unsafe {
        libc::ppoll(set.as_mut_ptr(), set.len() as libc::nfds_t, &raw const limit, std::ptr::null())
    };
}

/// Tells a child process to end (SIGTERM).
pub fn terminate(process: u32) {
    // SAFETY: kill has no memory effects; callers give the id of their own child that is not yet waited for.
    let _ = unsafe { libc::kill(process as libc::pid_t, libc::SIGTERM) };
}
