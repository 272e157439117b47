//! Where the tests happen: network namespaces of the test's own, so that no two tests meet.
#![allow(unsafe_code, reason = "a thread enters a namespace by a system call without a safe wrapper")]

use std::fs::File;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

/// Two other machines, each at the other end of a wire to ours, the calling thread's new namespace. Ours is
/// 10.77.1.1 and fd77:1::1 on the first wire, 10.77.2.1 and fd77:2::1 on the second; theirs end in 2.
pub(crate) struct World {
    others: Vec<File>,
}

fn run(command: &str) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Leaves the calling thread in a new, empty network namespace with loopback up. False: not permitted; says so.
pub(crate) fn alone() -> bool {
    // SAFETY: no pointers; only the calling thread changes.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        println!("skipped: no network namespace may be made ({})", std::io::Error::last_os_error());
        return false;
    }
    run("ip link set lo up");
    true
}

impl World {
    /// `None`: not permitted.
    pub(crate) fn new() -> Option<World> {
        if !alone() {
            return None;
        }
        let others = (1..=2).map(join).collect();
        Some(World { others })
    }

    /// Does something on the other machine `number`, 1 or 2.
    pub(crate) fn at<T: Send>(&self, number: usize, what: impl FnOnce() -> T + Send) -> T {
        let namespace = &self.others[number - 1];
        std::thread::scope(|scope| {
            let there = scope.spawn(|| {
                // SAFETY: no pointers; only this thread changes.
                assert_eq!(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }, 0);
                what()
            });
            there.join().unwrap()
        })
    }
}

/// Makes another machine with a wire to ours.
fn join(number: usize) -> File {
    let (told, tell) = mpsc::channel();
    let (go_on, wait) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        assert!(alone());
        // SAFETY: no arguments, cannot fail.
        told.send(unsafe { libc::gettid() }).unwrap();
        wait.recv().unwrap();
        run(&format!("ip address add 10.77.{number}.2/24 dev out"));
        run(&format!("ip address add fd77:{number}::2/64 dev out nodad"));
        run("ip link set out up");
        run(&format!("ip route add default via 10.77.{number}.1"));
        run(&format!("ip -6 route add default via fd77:{number}::1"));
        File::open("/proc/thread-self/ns/net").unwrap()
    });
    let there = tell.recv().unwrap();
    run(&format!("ip link add wire{number} type veth peer name out netns {there}"));
    run(&format!("ip address add 10.77.{number}.1/24 dev wire{number}"));
    run(&format!("ip address add fd77:{number}::1/64 dev wire{number} nodad"));
    run(&format!("ip link set wire{number} up"));
    go_on.send(()).unwrap();
    thread.join().unwrap()
}

/// A socket that waits a little for what should come.
pub(crate) fn socket(address: IpAddr, port: u16) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::new(address, port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}
