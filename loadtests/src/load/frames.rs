//! Packets past the sender's network stack: whole Ethernet frames, many to a system call, and a socket that has most of what
//! comes to it counted by the kernel and not delivered. One core can load a relay so with more than it could send and read
//! through sockets.
#![allow(
    unsafe_code,
    reason = "packet sockets and socket filters have no safe wrapper in the standard library"
)]

use anyhow::{Context, ensure};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Frames handed to the kernel by one system call.
const BATCH: usize = 32;
const ETHERNET_BYTES: usize = 14;
const IP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
/// Bytes before the UDP payload.
pub const HEADERS_BYTES: usize = ETHERNET_BYTES + IP_BYTES + UDP_BYTES;

/// One end of a wire.
pub struct Wire {
    socket: OwnedFd,
    /// Destination, source, IPv4.
    ethernet: [u8; ETHERNET_BYTES],
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

impl Wire {
    /// * `interface` ours; `ours` and `theirs` the addresses of both ends
    ///
    /// # Errors
    /// Without CAP_NET_RAW, or when there is no such interface.
    pub fn open(interface: &str, ours: [u8; 6], theirs: [u8; 6]) -> anyhow::Result<Self> {
        let index: i32 = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))
            .with_context(|| format!("interface {interface}"))?
            .trim()
            .parse()?;
        // SAFETY: no pointers. Protocol 0: it receives nothing.
        let fd = check(unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) })?;
        // SAFETY: just opened and owned by nobody else.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: plain data for which all zero bytes are a valid value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = index;
        let length = size_of_val(&address) as libc::socklen_t;
        // SAFETY: the kernel reads `length` bytes of the address during the call only.
        check(unsafe { libc::bind(fd, (&raw const address).cast(), length) })?;
        let yes: libc::c_int = 1;
        let length = size_of_val(&yes) as libc::socklen_t;
        // SAFETY: the option's value is an int that lives until the call returns.
        check(unsafe {
            libc::setsockopt(fd, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, (&raw const yes).cast(), length)
        })?;
        let mut ethernet = [0; ETHERNET_BYTES];
        ethernet[..6].copy_from_slice(&theirs);
        ethernet[6..12].copy_from_slice(&ours);
        ethernet[12..].copy_from_slice(&0x0800_u16.to_be_bytes());
        Ok(Wire { socket, ethernet })
    }

    /// Everything of a frame before a UDP payload of so many bytes. The UDP checksum is left out (RFC 768).
    #[must_use]
    pub fn headers(&self, from: SocketAddrV4, to: SocketAddrV4, payload: usize) -> [u8; HEADERS_BYTES] {
        let mut bytes = [0; HEADERS_BYTES];
        let (ethernet, rest) = bytes.split_at_mut(ETHERNET_BYTES);
        ethernet.copy_from_slice(&self.ethernet);
        let (ip, udp) = rest.split_at_mut(IP_BYTES);
        ip.copy_from_slice(&ip_header(*from.ip(), *to.ip(), UDP_BYTES + payload));
        udp[..2].copy_from_slice(&from.port().to_be_bytes());
        udp[2..4].copy_from_slice(&to.port().to_be_bytes());
        udp[4..6].copy_from_slice(&((UDP_BYTES + payload) as u16).to_be_bytes());
        bytes
    }

    /// Sends frames of one length that lie behind each other. What the kernel does not take is lost: gives how many.
    #[must_use]
    pub fn send(&self, frames: &[u8], length: usize) -> u64 {
        let mut lost = 0;
        for chunk in frames.chunks(BATCH * length) {
            let count = chunk.len() / length;
            let mut vectors: [libc::iovec; BATCH] = std::array::from_fn(|index| libc::iovec {
                iov_base: chunk[length * index.min(count.saturating_sub(1))..].as_ptr().cast_mut().cast(),
                iov_len: length,
            });
            let mut headers: [libc::mmsghdr; BATCH] = std::array::from_fn(|index| {
                // SAFETY: plain data for which all zero bytes are a valid value.
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = &raw mut vectors[index];
                header.msg_hdr.msg_iovlen = 1;
                header
            });
            let mut sent = 0;
            while sent < count {
                // SAFETY: headers sent..count point to vectors and bytes that outlive the call; the kernel only reads them.
                let taken = unsafe {
                    libc::sendmmsg(
                        self.socket.as_raw_fd(),
                        headers[sent..].as_mut_ptr(),
                        (count - sent) as libc::c_uint,
                        0,
                    )
                };
                if taken > 0 {
                    sent += taken as usize;
                } else {
                    lost += 1;
                    sent += 1;
                }
            }
        }
        lost
    }
}

/// RFC 791 §3.1.
fn ip_header(from: Ipv4Addr, to: Ipv4Addr, payload: usize) -> [u8; IP_BYTES] {
    let mut bytes = [0; IP_BYTES];
    bytes[0] = 0x45;
    bytes[2..4].copy_from_slice(&((IP_BYTES + payload) as u16).to_be_bytes());
    bytes[8] = 64;
    bytes[9] = 17;
    bytes[12..16].copy_from_slice(&from.octets());
    bytes[16..].copy_from_slice(&to.octets());
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xFFFF {
        sum = (sum >> 16) + (sum & 0xFFFF);
    }
    bytes[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    bytes
}

/// Of RTP, only packets whose sequence number has none of these bits are delivered; all others are counted among the socket's
/// drops ([`runtime::udp::receive_drops`]).
///
/// # Errors
/// As the operating system says.
pub fn deliver_only(socket: &UdpSocket, sequence_mask: u16) -> anyhow::Result<()> {
    ensure!(sequence_mask > 0, "nothing would be left out");
    let code = |code: u32, jump: (u8, u8), k: u32| libc::sock_filter {
        code: code as u16,
        jt: jump.0,
        jf: jump.1,
        k,
    };
    // A UDP socket's filter sees the UDP header first; the sequence number lies two bytes into the payload.
    let mut program = [
        code(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, (0, 0), UDP_BYTES as u32 + 2),
        code(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, (0, 1), u32::from(sequence_mask)),
        code(libc::BPF_RET | libc::BPF_K, (0, 0), 0),
        code(libc::BPF_RET | libc::BPF_K, (0, 0), u32::MAX),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let length = size_of_val(&filter) as libc::socklen_t;
    // SAFETY: the kernel copies the program during the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            length,
        )
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_that_of_rfc_791() {
        let header = ip_header(Ipv4Addr::new(10, 98, 1, 2), Ipv4Addr::new(10, 98, 1, 1), 180);
        let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
        assert_eq!((sum >> 16) + (sum & 0xFFFF), 0xFFFF, "the sum with its checksum is all ones");
        assert_eq!((header[2], header[3]), (0, 200));
    }

    #[test]
    fn what_is_not_delivered_is_counted() {
        let (from, to) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        to.set_nonblocking(true).unwrap();
        deliver_only(&to, 15).unwrap();
        for sequence in 0..64_u16 {
            let packet = [&[0x80, 0][..], &sequence.to_be_bytes(), &[0; 100]].concat();
            from.send_to(&packet, to.local_addr().unwrap()).unwrap();
        }
        // Loopback delivers within the send call.
        let delivered = (0..64).filter(|_| to.recv(&mut [0; 200]).is_ok()).count();
        assert_eq!((delivered, runtime::udp::receive_drops(&to)), (4, 60));
    }
}
