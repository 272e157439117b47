//! The generator's end of a wire: packets of many streams out at once, and most that come back counted and not read, both by
//! programs in the kernel. One core can load a relay so with more than it could send and read through sockets.
//!
//! Unsafe code for one system call that runs a program, for one clock, and to say that a stream's packet is plain bytes.
#![allow(unsafe_code, reason = "running a kernel's program on demand has no safe wrapper")]

use super::daemon::OnWire;
use anyhow::Context;
use aya::maps::{Array, MapData};
use aya::programs::{SchedClassifier, TcAttachType, tc};
use aya::{Ebpf, EbpfLoader};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Instant;

#[cfg(has_program)]
const PROGRAM: Option<&[u8]> = Some(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/wire.bpf.o")));
#[cfg(not(has_program))]
const PROGRAM: Option<&[u8]> = None;

/// Packets sent by one run of the program at most.
pub const TOGETHER_MAX: usize = 64;
const ETHERNET_BYTES: usize = 14;
const IP_BYTES: usize = 20;
const UDP_BYTES: usize = 8;
/// Ethernet, IP and UDP, and of the payload what is written for each packet anew or once.
const WRITTEN_BYTES: usize = ETHERNET_BYTES + IP_BYTES + UDP_BYTES + 25;

/// `struct stream`: the next packet of a stream.
#[repr(C)]
#[derive(Clone, Copy)]
struct StreamPacket {
    packet: [u8; WRITTEN_BYTES],
    pad: u8,
    sequence: u32,
}

const _: () = assert!(size_of::<StreamPacket>() == 72);
// SAFETY: `repr(C)`, only integers, and no byte of padding (the size is checked above): any bytes are a value.
unsafe impl aya::Pod for StreamPacket {}

/// One end of a wire.
pub struct Wire {
    send: RawFd,
    packets: Array<MapData, StreamPacket>,
    counted: Array<MapData, u64>,
    /// A packet to run the program on.
    any: Vec<u8>,
    /// Destination, source, IPv4.
    ethernet: [u8; ETHERNET_BYTES],
    /// Holds programs and link.
    _ebpf: Ebpf,
}

/// Between the generator's ends.
#[derive(Clone, Copy)]
pub struct Way {
    /// From here …
    pub from: SocketAddrV4,
    /// … to here.
    pub to: SocketAddrV4,
}

impl Wire {
    /// * `ports` those that callers' packets are to come to, and callees'
    /// * `sequence_mask` packets whose sequence number has none of these bits go on to the sockets
    /// * `payload` bytes of each packet
    /// * `epoch` packets tell the nanoseconds since
    ///
    /// # Errors
    /// Without clang at build time, without CAP_BPF and CAP_NET_ADMIN.
    pub fn open(
        on: &OnWire,
        (callers, callees): (u16, u16),
        sequence_mask: u16,
        payload: usize,
        epoch: Instant,
    ) -> anyhow::Result<Self> {
        let program = PROGRAM.context("built without the wire's programs, for want of clang")?;
        let index: u32 =
            std::fs::read_to_string(format!("/sys/class/net/{}/ifindex", on.interface))?.trim().parse()?;
        let offset = monotonic_ns() - epoch.elapsed().as_nanos() as u64;
        let mut ebpf = EbpfLoader::new()
            .set_global("INTERFACE", &index, true)
            .set_global("PORT_OF_CALLERS", &u32::from(callers), true)
            .set_global("PORT_OF_CALLEES", &u32::from(callees), true)
            .set_global("SEQUENCE_MASK", &u32::from(sequence_mask), true)
            .set_global("CLOCK_OFFSET_NS", &offset, true)
            .load(program)
            .context("loading the wire's programs")?;
        let sink = program_of(&mut ebpf, "dialerd_load_sink")?;
        // Kernels before 6.6 have no links for it.
        let _ = tc::qdisc_add_clsact(&on.interface);
        sink.attach(&on.interface, TcAttachType::Ingress).context("attaching to the wire")?;
        let send = program_of(&mut ebpf, "dialerd_load_send")?.fd()?.as_fd().as_raw_fd();
        let packets = Array::try_from(ebpf.take_map("streams").context("a map")?)?;
        let counted = Array::try_from(ebpf.take_map("counted").context("a map")?)?;
        let mut ethernet = [0; ETHERNET_BYTES];
        ethernet[..6].copy_from_slice(&on.theirs);
        ethernet[6..12].copy_from_slice(&on.ours);
        ethernet[12..].copy_from_slice(&0x0800_u16.to_be_bytes());
        let mut any = vec![0xff; ETHERNET_BYTES + IP_BYTES + UDP_BYTES + payload];
        any[..ETHERNET_BYTES].copy_from_slice(&ethernet);
        Ok(Wire { send, packets, counted, any, ethernet, _ebpf: ebpf })
    }

    /// Says what a stream's next packet is like: what is written of its payload, and its sequence number, which is in there,
    /// too. The UDP checksum is left out (RFC 768).
    ///
    /// # Errors
    /// When there are too many streams.
    pub fn put(&mut self, index: u32, way: Way, written: &[u8; 25], sequence: u32) -> anyhow::Result<()> {
        let mut packet = [0; WRITTEN_BYTES];
        let datagram = self.any.len() - ETHERNET_BYTES - IP_BYTES;
        let (ethernet, rest) = packet.split_at_mut(ETHERNET_BYTES);
        ethernet.copy_from_slice(&self.ethernet);
        let (ip, rest) = rest.split_at_mut(IP_BYTES);
        ip.copy_from_slice(&ip_header(*way.from.ip(), *way.to.ip(), datagram));
        let (udp, payload) = rest.split_at_mut(UDP_BYTES);
        udp[..2].copy_from_slice(&way.from.port().to_be_bytes());
        udp[2..4].copy_from_slice(&way.to.port().to_be_bytes());
        udp[4..6].copy_from_slice(&(datagram as u16).to_be_bytes());
        payload.copy_from_slice(written);
        Ok(self.packets.set(index, StreamPacket { packet, pad: 0, sequence }, 0)?)
    }

    /// Sends the next packet of each of so many streams, [`TOGETHER_MAX`] at most. What the kernel does not take is lost: gives
    /// how many.
    #[must_use]
    pub fn send(&self, first: u32, count: usize) -> u64 {
        /// `struct __sk_buff`, as far as it is read: `cb` lies at its twelfth word.
        const CONTEXT_WORDS: usize = 48;
        const CB: usize = 12;
        /// `bpf(2)`, BPF_PROG_TEST_RUN.
        const RUN: libc::c_int = 10;
        #[repr(C)]
        #[derive(Default)]
        struct Attributes {
            program: u32,
            result: u32,
            data_bytes: u32,
            data_out_bytes: u32,
            data: u64,
            data_out: u64,
            repeat: u32,
            duration: u32,
            context_bytes: u32,
            context_out_bytes: u32,
            context: u64,
            context_out: u64,
            flags: u32,
            cpu: u32,
            batch: u32,
            pad: u32,
        }
        let mut context = [0_u32; CONTEXT_WORDS];
        (context[CB], context[CB + 1]) = (first, count as u32);
        let mut attributes = Attributes {
            program: self.send as u32,
            data_bytes: self.any.len() as u32,
            data: self.any.as_ptr() as u64,
            context_bytes: size_of_val(&context) as u32,
            context: context.as_ptr() as u64,
            ..Attributes::default()
        };
        // SAFETY: the kernel reads packet and context, whose lengths are told, and writes into the attributes, all of which
        // outlive the call.
        let done = unsafe { libc::syscall(libc::SYS_bpf, RUN, &raw mut attributes, size_of::<Attributes>()) };
        if done < 0 { count as u64 } else { u64::from(attributes.result) }
    }

    /// Packets that came where they were to come and were not read, and those that came elsewhere.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn counted(&self) -> anyhow::Result<(u64, u64)> {
        Ok((self.counted.get(&0, 0)?, self.counted.get(&1, 0)?))
    }
}

fn program_of<'a>(ebpf: &'a mut Ebpf, name: &str) -> anyhow::Result<&'a mut SchedClassifier> {
    let program: &mut SchedClassifier =
        ebpf.program_mut(name).with_context(|| name.to_owned())?.try_into()?;
    program.load().with_context(|| format!("loading {name}"))?;
    Ok(program)
}

/// The clock that the kernel's programs read.
fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which lives until the call returns. This clock always exists.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    debug_assert_eq!(done, 0, "{}", io::Error::last_os_error());
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
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
}
