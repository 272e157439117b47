//! UDP in batches.
//!
//! Unsafe code for `recvmmsg`, `sendmmsg`, `epoll`, `timerfd` and two socket options, for which the standard library has no
//! call. Every pointer given to the kernel points into a buffer that outlives the call.
#![allow(unsafe_code, reason = "batched datagram system calls have no safe wrapper in the standard library")]

use crate::bell::Bell;
use bytes::Bytes;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Datagrams taken from a socket by one system call.
pub const BATCH: usize = 32;
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// A datagram that the kernel refuses is tried so often again: it may mean others that were sent before.
const TRIES_MAX: u32 = 3;

/// Opens a non-blocking UDP socket with large buffers.
///
/// # Errors
/// As the operating system says (address in use, not ours, too many files).
pub fn bind(address: SocketAddr, buffer_bytes: usize) -> io::Result<UdpSocket> {
    bind_as(address, buffer_bytes, false)
}

/// As [`bind`], on a port that further sockets of this process may share (SO_REUSEPORT): the kernel gives what one
/// peer sends always to the same one of them.
///
/// # Errors
/// As [`bind`].
pub fn bind_shared(address: SocketAddr, buffer_bytes: usize) -> io::Result<UdpSocket> {
    bind_as(address, buffer_bytes, true)
}

/// A second socket on the address and port of a bound one, for one peer alone: what comes from there comes to it, what
/// comes from anybody else still comes to the first.
///
/// A connected socket knows its route, so that neither receiving nor sending has to look for one: a packet relayed
/// through two of them costs half as much. Nobody else can bind the port before, meanwhile or afterwards.
///
/// # Errors
/// When there is no way to the peer or no file descriptor left. The first socket is as it was.
pub fn bind_beside(first: &UdpSocket, peer: SocketAddr) -> io::Result<UdpSocket> {
    let address = first.local_addr()?;
    let first = socket2::SockRef::from(first);
    first.set_reuse_address(true)?;
    let joined = (|| {
        let socket = unbound(address)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        // Until then it hears everybody, so whoever reads from it must look at the source.
        socket.connect(&peer.into())?;
        socket.set_reuse_address(false)?;
        Ok(socket.into())
    })();
    first.set_reuse_address(false)?;
    joined
}

fn unbound(address: SocketAddr) -> io::Result<socket2::Socket> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::DGRAM, Some(socket2::Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn bind_as(address: SocketAddr, buffer_bytes: usize, shared: bool) -> io::Result<UdpSocket> {
    let socket = unbound(address)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if buffer_bytes > 0 {
        // Best effort: beyond net.core.rmem_max only with CAP_NET_ADMIN.
        let size = libc::c_int::try_from(buffer_bytes).unwrap_or(libc::c_int::MAX);
        for (force, plain) in
            [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
        {
            if set_int(socket.as_raw_fd(), force, size).is_err() {
                let _ = set_int(socket.as_raw_fd(), plain, size);
            }
        }
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn set_int(fd: RawFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, option, value)
}

fn set_option(fd: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the option's value is an int that lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            fd,
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Datagrams the kernel dropped at this socket because its buffer was full.
#[must_use]
pub fn receive_drops(socket: &UdpSocket) -> u64 {
    // SO_MEMINFO gives SK_MEMINFO_VARS (9) u32; index 8 is SK_MEMINFO_DROPS.
    const SO_MEMINFO: libc::c_int = 55;
    let mut values = [0_u32; 9];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into `values`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result == 0 { u64::from(values[8]) } else { 0 }
}

/// Buffers for receiving in batches; one per shard, reused for every socket.
pub struct ReceiveBatch {
    buffers: Vec<u8>,
    addresses: [libc::sockaddr_storage; BATCH],
}

impl Default for ReceiveBatch {
    fn default() -> Self {
        // SAFETY: sockaddr_storage is plain data for which all zero bytes are a valid value.
        let addresses = unsafe { std::mem::zeroed() };
        ReceiveBatch { buffers: vec![0; BATCH * DATAGRAM_BYTES_MAX], addresses }
    }
}

impl ReceiveBatch {
    /// Takes up to [`BATCH`] datagrams from a non-blocking socket and hands each to `each`. Returns how many.
    ///
    /// # Errors
    /// Of the system call, but not "would block", which is 0.
    pub fn receive(
        &mut self,
        socket: &UdpSocket,
        mut each: impl FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<usize> {
        let mut vectors: [libc::iovec; BATCH] = std::array::from_fn(|index| libc::iovec {
            iov_base: self.buffers[index * DATAGRAM_BYTES_MAX..].as_mut_ptr().cast(),
            iov_len: DATAGRAM_BYTES_MAX,
        });
        let mut headers: [libc::mmsghdr; BATCH] = std::array::from_fn(|index| {
            // SAFETY: mmsghdr is plain data for which all zero bytes are a valid value.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_name = (&raw mut self.addresses[index]).cast();
            header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            header.msg_hdr.msg_iov = &raw mut vectors[index];
            header.msg_hdr.msg_iovlen = 1;
            header
        });
        // SAFETY: every header points to its own vector, address and buffer, all of which outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ if says_nothing_about_receiving(&error) => Ok(1),
                _ => Err(error),
            };
        }
        let count = count as usize;
        for (index, header) in headers.iter().enumerate().take(count) {
            if let Some(source) = from_storage(&self.addresses[index]) {
                let start = index * DATAGRAM_BYTES_MAX;
                each(source, &mut self.buffers[start..start + header.msg_len as usize]);
            }
        }
        Ok(count)
    }
}

/// Whether an error of receiving is one of an earlier send, which the network (ICMP) has told of since.
fn says_nothing_about_receiving(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
                | libc::EMSGSIZE
                | libc::EPROTO
                | libc::EACCES
        )
    )
}

/// A datagram of ours that did not arrive, as the network (ICMP) says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Undelivered {
    /// To where it was sent.
    pub to: SocketAddr,
    /// Its beginning, as much of it as was quoted; perhaps nothing.
    pub quoted: Bytes,
}

/// Lets [`receive_undelivered`] tell which datagrams sent from a socket did not arrive (IP_RECVERR, ip(7)).
///
/// # Errors
/// As the operating system says.
pub fn tell_undelivered(socket: &UdpSocket) -> io::Result<()> {
    let (level, option) = if socket.local_addr()?.is_ipv4() {
        (libc::SOL_IP, libc::IP_RECVERR)
    } else {
        (libc::SOL_IPV6, libc::IPV6_RECVERR)
    };
    set_option(socket.as_raw_fd(), level, option, 1)
}

/// Takes what the network says of one datagram; `None` when there is nothing more. What it says of others than those
/// that cannot be delivered at all (fragments, hops) is `Some(None)`.
pub fn receive_undelivered(socket: &UdpSocket) -> Option<Option<Undelivered>> {
    // A host quotes 548 bytes of a datagram at most (RFC 1812 §4.3.2.3), over IPv6 some 1,200 (RFC 4443 §2.4).
    let mut quoted = [0_u8; 1280];
    // As u64: aligned as the headers of control messages must be.
    let mut control = [0_u64; 64];
    let mut vector = libc::iovec { iov_base: quoted.as_mut_ptr().cast(), iov_len: quoted.len() };
    // SAFETY: sockaddr_storage and msghdr are plain data for which all zero bytes are a valid value.
    let (mut to, mut header): (libc::sockaddr_storage, libc::msghdr) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    header.msg_name = (&raw mut to).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header points to buffers that outlive the call, with their lengths.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    if length < 0 {
        return None;
    }
    let mut lost = false;
    // SAFETY: the kernel has filled `control` up to msg_controllen with whole control messages; the error that each of
    // these two begins with is read where it lies without being aligned.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while let Some(one) = message.as_ref() {
            let of = (one.cmsg_level, one.cmsg_type);
            if of == (libc::SOL_IP, libc::IP_RECVERR) || of == (libc::SOL_IPV6, libc::IPV6_RECVERR) {
                let error =
                    std::ptr::read_unaligned(libc::CMSG_DATA(message).cast::<libc::sock_extended_err>());
                lost |= is_undeliverable(error.ee_origin, error.ee_type, error.ee_code);
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    let to = from_storage(&to).filter(|_| lost);
    let quoted = &quoted[..usize::try_from(length).unwrap_or(0)];
    Some(to.map(|to| Undelivered { to, quoted: Bytes::copy_from_slice(quoted) }))
}

/// What RFC 3261 §18.4 takes for a failure: host, network, port or protocol unreachable, and parameters that somebody
/// on the way does not like. Datagrams that were too long for a part of the way, or took too long, are lost like others.
fn is_undeliverable(origin: u8, kind: u8, code: u8) -> bool {
    match (origin, kind) {
        (libc::SO_EE_ORIGIN_ICMP, 3) => code != 4,
        (libc::SO_EE_ORIGIN_ICMP, 12) | (libc::SO_EE_ORIGIN_ICMP6, 1 | 4) => true,
        _ => false,
    }
}

/// Takes one datagram from a non-blocking socket.
///
/// # Errors
/// Of the system call, but not "would block", which is `None`.
pub fn receive_one(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
    match socket.recv_from(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => {
                Ok(None)
            }
            _ => Err(error),
        },
    }
}

/// Datagrams thrown away at once by [`discard`], at most: more than a socket's buffer holds.
const DISCARDED_MAX: usize = 1_000;

/// Throws away what waits at a non-blocking socket.
pub fn discard(socket: &UdpSocket) {
    let _ = (0..DISCARDED_MAX).take_while(|_| matches!(receive_one(socket, &mut []), Ok(Some(_)))).count();
}

/// Lets [`receive_directed`] tell to which port a datagram was sent (IP_RECVORIGDSTADDR, ip(7)).
///
/// # Errors
/// As the operating system says.
pub fn tell_destinations(socket: &UdpSocket) -> io::Result<()> {
    let (level, option) = if socket.local_addr()?.is_ipv4() {
        (libc::SOL_IP, libc::IP_RECVORIGDSTADDR)
    } else {
        (libc::SOL_IPV6, libc::IPV6_RECVORIGDSTADDR)
    };
    set_option(socket.as_raw_fd(), level, option, 1)
}

/// Takes one datagram from a non-blocking socket that others' ports are steered to; gives length, source and the port that
/// it was sent to.
///
/// # Errors
/// Of the system call, but not "would block", which is `None`.
pub fn receive_directed(
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, SocketAddr, u16)>> {
    // As u64: aligned as the headers of control messages must be.
    let mut control = [0_u64; 16];
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: sockaddr_storage and msghdr are plain data for which all zero bytes are a valid value.
    let (mut source, mut header): (libc::sockaddr_storage, libc::msghdr) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    header.msg_name = (&raw mut source).cast();
    header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control);
    // SAFETY: the header points to buffers that outlive the call, with their lengths.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    if length < 0 {
        let error = io::Error::last_os_error();
        return match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
            _ => Err(error),
        };
    }
    let mut port = None;
    // SAFETY: the kernel has filled `control` up to msg_controllen with whole control messages; an original address is as
    // long as a sockaddr_storage at most, and is read where it lies without being aligned.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while let Some(one) = message.as_ref() {
            let of = (one.cmsg_level, one.cmsg_type);
            let data = libc::CMSG_DATA(message);
            if of == (libc::SOL_IP, libc::IP_RECVORIGDSTADDR) {
                port = Some(std::ptr::read_unaligned(data.cast::<libc::sockaddr_in>()).sin_port);
            } else if of == (libc::SOL_IPV6, libc::IPV6_RECVORIGDSTADDR) {
                port = Some(std::ptr::read_unaligned(data.cast::<libc::sockaddr_in6>()).sin6_port);
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    let from = from_storage(&source).zip(port);
    // Without either nobody could say whose it is: as if it were empty.
    let (source, port) = from.unwrap_or((SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0), 0));
    Ok(Some((length as usize, source, u16::from_be(port))))
}

/// Sends one datagram from a port that nobody holds open: it is ours for that moment.
///
/// # Errors
/// As the operating system says; the datagram is lost.
pub fn send_from(from: SocketAddr, to: SocketAddr, datagram: &[u8]) -> io::Result<()> {
    bind(from, 0)?.send_to(datagram, to).map(drop)
}

/// Sends datagrams from one socket, many to a system call. What the kernel does not take is lost, as on any
/// network, and counted: returns how many were lost, each of which is told by its place and the reason.
pub fn send_batch(
    socket: &UdpSocket,
    datagrams: &[(SocketAddr, Bytes)],
    mut told: impl FnMut(usize, &io::Error),
) -> u64 {
    let mut lost = 0;
    for (number, chunk) in datagrams.chunks(BATCH).enumerate() {
        let mut addresses: [(libc::sockaddr_storage, libc::socklen_t); BATCH] =
            std::array::from_fn(|index| match chunk.get(index) {
                Some((to, _)) => to_storage(*to),
                // SAFETY: sockaddr_storage is plain data for which all zero bytes are a valid value.
                None => (unsafe { std::mem::zeroed() }, 0),
            });
        let mut vectors: [libc::iovec; BATCH] = std::array::from_fn(|index| match chunk.get(index) {
            Some((_, bytes)) => {
                libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
            }
            None => libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 },
        });
        let mut headers: [libc::mmsghdr; BATCH] = std::array::from_fn(|index| {
            // SAFETY: mmsghdr is plain data for which all zero bytes are a valid value.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_name = (&raw mut addresses[index].0).cast();
            header.msg_hdr.msg_namelen = addresses[index].1;
            header.msg_hdr.msg_iov = &raw mut vectors[index];
            header.msg_hdr.msg_iovlen = 1;
            header
        });
        let (mut sent, mut tries) = (0, 0);
        while sent < chunk.len() {
            // SAFETY: headers sent..chunk.len() point to vectors, addresses and bytes that outlive the call; the
            // kernel only reads through them.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers[sent..].as_mut_ptr(),
                    (chunk.len() - sent) as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            if count > 0 {
                sent += count as usize;
                tries = 0;
                continue;
            }
            let error = io::Error::last_os_error();
            // What the network says of an earlier datagram is told in place of the next one, once.
            if tries < TRIES_MAX && error.kind() != io::ErrorKind::WouldBlock {
                tries += 1;
                continue;
            }
            // The first datagram of the rest was refused (unreachable, buffer full): skip it, go on.
            told(number * BATCH + sent, &error);
            lost += 1;
            sent += 1;
            tries = 0;
        }
    }
    lost
}

fn to_storage(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: sockaddr_storage is plain data for which all zero bytes are a valid value, and it is large and
    // aligned enough to be written as any sockaddr.
    unsafe {
        let mut storage: libc::sockaddr_storage = std::mem::zeroed();
        let length = match address {
            SocketAddr::V4(v4) => {
                let target = &mut *(&raw mut storage).cast::<libc::sockaddr_in>();
                target.sin_family = libc::AF_INET as libc::sa_family_t;
                target.sin_port = v4.port().to_be();
                target.sin_addr.s_addr = u32::from(*v4.ip()).to_be();
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                let target = &mut *(&raw mut storage).cast::<libc::sockaddr_in6>();
                target.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                target.sin6_port = v6.port().to_be();
                target.sin6_addr.s6_addr = v6.ip().octets();
                target.sin6_flowinfo = v6.flowinfo();
                target.sin6_scope_id = v6.scope_id();
                size_of::<libc::sockaddr_in6>()
            }
        };
        (storage, length as libc::socklen_t)
    }
}

fn from_storage(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    // SAFETY: the family says as which sockaddr the kernel filled the storage, which is large and aligned enough.
    unsafe {
        match libc::c_int::from(storage.ss_family) {
            libc::AF_INET => {
                let source = &*(&raw const *storage).cast::<libc::sockaddr_in>();
                let ip = Ipv4Addr::from(u32::from_be(source.sin_addr.s_addr));
                Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(source.sin_port)))
            }
            libc::AF_INET6 => {
                let source = &*(&raw const *storage).cast::<libc::sockaddr_in6>();
                let ip = Ipv6Addr::from(source.sin6_addr.s6_addr);
                Some(SocketAddr::new(IpAddr::V6(ip), u16::from_be(source.sin6_port)))
            }
            _ => None,
        }
    }
}

/// A set of sockets asked for readiness together.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
    failed: Vec<u64>,
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// When the process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the returned descriptor is ours alone.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened and owned by nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Poller { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; 512], failed: Vec::new() })
    }

    /// Watches a socket for datagrams; readiness is told with `mark`. A closed socket leaves by itself.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn add(&self, socket: &impl AsFd, mark: u64) -> io::Result<()> {
        self.watch(socket.as_fd().as_raw_fd(), libc::EPOLLIN, mark)
    }

    /// Watches a bell: each ring is told once.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn add_bell(&self, bell: &Bell, mark: u64) -> io::Result<()> {
        self.watch(bell.as_fd().as_raw_fd(), libc::EPOLLIN | libc::EPOLLET, mark)
    }

    fn watch(&self, fd: RawFd, events: libc::c_int, mark: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: mark };
        // SAFETY: the event is read during the call only.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Watches an alarm: each time it goes off is told once.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn add_alarm(&self, alarm: &Alarm, mark: u64) -> io::Result<()> {
        self.watch(alarm.timer.as_raw_fd(), libc::EPOLLIN | libc::EPOLLET, mark)
    }

    /// Watches anything that becomes readable and stays open as long as the set.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn add_raw(&self, fd: RawFd, mark: u64) -> io::Result<()> {
        self.watch(fd, libc::EPOLLIN, mark)
    }

    /// Waits until something is ready; gives the marks of what is. `patient`: however long it takes; otherwise only
    /// what is ready now.
    pub fn wait(&mut self, marks: &mut Vec<u64>, patient: bool) {
        marks.clear();
        // SAFETY: the kernel writes at most as many events as the buffer holds.
        let count = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as libc::c_int,
                if patient { -1 } else { 0 },
            )
        };
        self.failed.clear();
        for event in self.events.iter().take(usize::try_from(count).unwrap_or(0)) {
            marks.push(event.u64);
            if event.events & libc::EPOLLERR as u32 != 0 {
                self.failed.push(event.u64);
            }
        }
    }

    /// Those of the marks of the last wait whose sockets have an error to tell.
    #[must_use]
    pub fn failed(&self) -> &[u64] {
        &self.failed
    }
}

/// A clock that ends a wait, in nanoseconds, because a millisecond is too coarse for sound.
///
/// To give each wait its longest time costs the programming of a timer when it begins and again when it ends, about
/// a quarter of what it costs to sleep and be woken. A timer of its own is programmed only when a deadline is nearer
/// than the one it is set to; set to one that has been cancelled since, it goes off for nothing, once.
pub struct Alarm {
    timer: OwnedFd,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// When the process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the returned descriptor is ours alone.
        let fd =
            unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened and owned by nobody else.
        Ok(Alarm { timer: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Goes off once, after so long; what it was set to before is forgotten.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn set(&self, after: Duration) -> io::Result<()> {
        // A time of zero would disarm it.
        let after = after.max(Duration::from_nanos(1));
        let value = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec {
                tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: libc::c_long::from(after.subsec_nanos()),
            },
        };
        // SAFETY: the kernel reads the value during the call only.
        let result = unsafe {
            libc::timerfd_settime(self.timer.as_raw_fd(), 0, &raw const value, std::ptr::null_mut())
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// File descriptors the process may have open at once.
#[must_use]
pub fn file_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the struct during the call only.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 { limit.rlim_cur } else { 0 }
}

/// Lets the process open as many files as the hard limit allows. Returns the limit now in force.
#[must_use]
pub fn raise_file_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel reads and writes the struct during the calls only.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 0;
        }
        let wanted = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) == 0 {
            wanted.rlim_cur
        } else {
            limit.rlim_cur
        }
    }
}

/// Pins the calling thread to one core. Best effort: false when the operating system refuses.
#[must_use]
pub fn pin_to_core(core: usize) -> bool {
    // SAFETY: cpu_set_t is plain data; the kernel reads it during the call only.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if core >= libc::CPU_SETSIZE as usize {
            return false;
        }
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        (bind(any, 0).unwrap(), bind(any, 1 << 20).unwrap())
    }

    #[test]
    fn a_batch_arrives_whole_and_in_order() {
        let (from, to) = pair();
        let target = to.local_addr().unwrap();
        let sent: Vec<(SocketAddr, Bytes)> =
            (0..100_u8).map(|n| (target, Bytes::from(vec![n; usize::from(n)]))).collect();
        assert_eq!(send_batch(&from, &sent, |_, _| {}), 0);
        let mut batch = ReceiveBatch::default();
        let mut poller = Poller::new().unwrap();
        poller.add(&to, 7).unwrap();
        let mut marks = Vec::new();
        let mut seen = Vec::new();
        // Loopback delivers within the send call, so nothing here waits.
        loop {
            poller.wait(&mut marks, false);
            if marks.is_empty() {
                break;
            }
            assert_eq!(marks, [7]);
            batch
                .receive(&to, |source, bytes| {
                    assert_eq!(source, from.local_addr().unwrap());
                    seen.push(bytes.to_vec());
                })
                .unwrap();
        }
        assert_eq!(seen.len(), 100);
        assert!(
            seen.iter().enumerate().all(|(n, bytes)| bytes.len() == n && bytes.iter().all(|b| *b == n as u8))
        );
    }

    #[test]
    fn a_refused_destination_costs_only_itself() {
        let (from, to) = pair();
        let good = to.local_addr().unwrap();
        let bad: SocketAddr = "[::1]:9".parse().unwrap();
        let (x, y) = (Bytes::from_static(b"x"), Bytes::from_static(b"y"));
        let mut told = Vec::new();
        let lost = send_batch(&from, &[(bad, x.clone()), (good, y), (bad, x)], |place, _| told.push(place));
        assert_eq!((lost, told), (2, vec![0, 2]));
        // Places are counted through all batches.
        let mut many = vec![(good, Bytes::from_static(b"z")); BATCH];
        many.push((bad, Bytes::from_static(b"x")));
        let mut told = Vec::new();
        assert_eq!(send_batch(&to, &many, |place, _| told.push(place)), 1);
        assert_eq!(told, [BATCH]);
        let mut buffer = [0; 10];
        for _ in 0..BATCH {
            let (length, source) = receive_one(&to, &mut buffer).unwrap().unwrap();
            if source == from.local_addr().unwrap() {
                assert_eq!(&buffer[..length], b"y");
            }
        }
        let mut buffer = [0; 10];
        assert_eq!(receive_one(&to, &mut buffer).unwrap().unwrap().0, 1);
        assert!(receive_one(&to, &mut buffer).unwrap().is_none());
    }

    /// What was sent to a closed port comes back by name, and costs none of those behind it.
    #[test]
    fn what_did_not_arrive_is_told() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let any: SocketAddr = host.parse().unwrap();
            let (from, to, gone) = (bind(any, 0).unwrap(), bind(any, 0).unwrap(), bind(any, 0).unwrap());
            tell_undelivered(&from).unwrap();
            let (good, closed) = (to.local_addr().unwrap(), gone.local_addr().unwrap());
            drop(gone);
            let mut poller = Poller::new().unwrap();
            poller.add(&from, 7).unwrap();
            let text = |text: &'static str| Bytes::from_static(text.as_bytes());
            let sent: Vec<(SocketAddr, Bytes)> = vec![
                (closed, text("one")),
                (good, text("two")),
                (closed, text("three")),
                (good, text("four")),
            ];
            assert_eq!(send_batch(&from, &sent, |place, error| panic!("{place}: {error}")), 0);
            let mut buffer = [0; 10];
            for text in ["two", "four"] {
                let (length, source) = receive_one(&to, &mut buffer).unwrap().unwrap();
                assert_eq!((&buffer[..length], source), (text.as_bytes(), from.local_addr().unwrap()));
            }
            let (mut marks, mut batch, mut told) = (Vec::new(), ReceiveBatch::default(), Vec::new());
            while told.len() < 2 {
                poller.wait(&mut marks, true);
                assert_eq!(poller.failed(), [7]);
                batch.receive(&from, |_, _| panic!("nobody has sent anything")).unwrap();
                told.extend(std::iter::from_fn(|| receive_undelivered(&from)).flatten());
            }
            let quoted = |quoted| Undelivered { to: closed, quoted: text(quoted) };
            assert_eq!(told, [quoted("one"), quoted("three")]);
            while batch.receive(&from, |_, _| panic!("nobody has sent anything")).unwrap() > 0 {}
            poller.wait(&mut marks, false);
            assert!(marks.is_empty() && poller.failed().is_empty());
        }
    }

    #[test]
    fn an_alarm_ends_a_wait_each_time_it_is_set() {
        let mut poller = Poller::new().unwrap();
        let alarm = Alarm::new().unwrap();
        poller.add_alarm(&alarm, 3).unwrap();
        let mut marks = Vec::new();
        for after in [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(2)] {
            alarm.set(Duration::from_secs(3600)).unwrap();
            poller.wait(&mut marks, false);
            assert!(marks.is_empty(), "gone off before its time, or twice");
            alarm.set(after).unwrap();
            poller.wait(&mut marks, true);
            assert_eq!(marks, [3]);
        }
    }

    #[test]
    fn addresses_survive_both_ways() {
        for text in ["127.0.0.1:5060", "[2001:db8::1]:65535"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(from_storage(&to_storage(address).0), Some(address));
        }
    }
}
