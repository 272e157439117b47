//! The kernel's side of the data: what lies in its maps, as `relay.bpf.c` declares it.
//!
//! Unsafe code only to say that these are plain bytes, and to read one clock.
#![allow(unsafe_code, reason = "declares plain data as such, and reads the clock the kernel's program reads")]

use std::net::IpAddr;

/// The rule is in force for packets to any address of this machine.
pub(crate) const ANY_LOCAL: u32 = 1;
/// Copy every packet.
pub(crate) const TAP: u32 = 2;

/// `struct rule`.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct KernelRule {
    pub(crate) stream: u64,
    pub(crate) generation: u32,
    pub(crate) flags: u32,
    pub(crate) source: [u32; 4],
    pub(crate) local: [u32; 4],
    pub(crate) out_source: [u32; 4],
    pub(crate) out_destination: [u32; 4],
    pub(crate) next_hop: [u32; 4],
    pub(crate) source_port: u16,
    pub(crate) out_source_port: u16,
    pub(crate) out_destination_port: u16,
    pub(crate) sequence_delta: u16,
    pub(crate) ssrc: u32,
    pub(crate) out_ssrc: u32,
    pub(crate) timestamp_delta: u32,
    pub(crate) egress: u32,
    pub(crate) family: u8,
    pub(crate) next_hop_family: u8,
    pub(crate) payload_type: u8,
    pub(crate) out_payload_type: u8,
    pub(crate) sound_mask: u8,
    pub(crate) sound_min: u8,
    pub(crate) pad: [u8; 2],
}

/// `struct counts`.
#[repr(C)]
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct KernelCounts {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
    pub(crate) octets: u64,
    pub(crate) last_ns: u64,
    pub(crate) sound_ns: u64,
    pub(crate) highest: u32,
    pub(crate) transit: u32,
    pub(crate) jitter: u32,
    pub(crate) timestamp: u32,
    pub(crate) samples: u32,
    pub(crate) taps_full: u32,
}

// SAFETY: `repr(C)`, only integers, and no byte of padding (the sizes are checked below): any bytes are a value.
unsafe impl aya::Pod for KernelRule {}
// SAFETY: as above.
unsafe impl aya::Pod for KernelCounts {}

const _: () = assert!(size_of::<KernelRule>() == 128);
const _: () = assert!(size_of::<KernelCounts>() == 64);

/// Bytes of a tap record before its packet: stream, time, length, padding.
pub(crate) const TAP_HEADER_BYTES: usize = 24;

/// An address as it lies in a packet; IPv4 in the first word.
pub(crate) fn words(address: IpAddr) -> [u32; 4] {
    let mut words = [0; 4];
    match address {
        IpAddr::V4(v4) => words[0] = u32::from_ne_bytes(v4.octets()),
        IpAddr::V6(v6) => {
            for (word, bytes) in words.iter_mut().zip(v6.octets().chunks_exact(4)) {
                *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
    }
    words
}

/// `AF_INET` or `AF_INET6`.
pub(crate) const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

/// The monotonic clock, which is the one the kernel's program reads, nanoseconds.
#[must_use]
pub fn clock_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which lives until the call returns. This clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
