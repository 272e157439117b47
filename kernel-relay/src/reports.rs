//! One socket for the reports (RTCP) of all calls.

use crate::layout::{family, words};
use crate::relay::{NotPossible, chain, not_possible};
use aya::maps::SockMap;
use aya::programs::SkLookup;
use aya::{Ebpf, EbpfLoader};
use std::fmt;
use std::fs::File;
use std::net::{IpAddr, UdpSocket};

#[cfg(has_program)]
const PROGRAM: Option<&[u8]> = Some(aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/reports.bpf.o")));
#[cfg(not(has_program))]
const PROGRAM: Option<&[u8]> = None;

const NAME: &str = "dialerd_reports";

/// What is sent to any port of reports comes to one socket; those ports need not be bound. It ends with this, and with the
/// process.
pub struct Reports {
    /// Holds program and link.
    _ebpf: Ebpf,
}

impl fmt::Debug for Reports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reports")
    }
}

impl Reports {
    /// Loads the program and attaches it to the network namespace of the calling thread.
    ///
    /// * `ports` first and last of the ports of RTP, which has every second one; each one's reports have the next
    /// * `local` the address they belong to
    /// * `socket` where they are to come, bound to a port that is none of these
    ///
    /// # Errors
    /// Without the program, without CAP_BPF and CAP_NET_ADMIN, before Linux 5.9.
    pub fn open(ports: (u16, u16), local: IpAddr, socket: &UdpSocket) -> Result<Self, NotPossible> {
        let program =
            PROGRAM.ok_or_else(|| NotPossible("built without its program, for want of clang".into()))?;
        let loading = |error: &dyn fmt::Display| not_possible("loading the program of reports")(error);
        let [one, two, three, four] = words(local);
        let mut ebpf = EbpfLoader::new()
            .set_global("PORT_FIRST", &u32::from(ports.0), true)
            .set_global("PORT_LAST", &u32::from(ports.1), true)
            .set_global("FAMILY", &u32::from(family(local)), true)
            .set_global("ANY_LOCAL", &u32::from(local.is_unspecified()), true)
            .set_global("LOCAL_0", &one, true)
            .set_global("LOCAL_1", &two, true)
            .set_global("LOCAL_2", &three, true)
            .set_global("LOCAL_3", &four, true)
            .load(program)
            .map_err(|error| loading(&chain(&error)))?;
        program_of(&mut ebpf)?.load().map_err(|error| loading(&chain(&error)))?;
        // Not before: a program is loaded with its map's descriptor, which goes with whoever has taken it.
        let map = ebpf.take_map("reports_socket");
        let map = map.ok_or_else(|| NotPossible("it has no map of sockets".into()))?;
        let mut map = SockMap::try_from(map).map_err(|error| loading(&error))?;
        map.set(0, socket, 0).map_err(|error| loading(&chain(&error)))?;
        let namespace = File::open("/proc/thread-self/ns/net")
            .map_err(|error| not_possible("this network namespace")(&error))?;
        program_of(&mut ebpf)?.attach(namespace).map_err(|error| loading(&chain(&error)))?;
        Ok(Reports { _ebpf: ebpf })
    }
}

fn program_of(ebpf: &mut Ebpf) -> Result<&mut SkLookup, NotPossible> {
    ebpf.program_mut(NAME)
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| NotPossible(format!("it has no program `{NAME}`")))
}
