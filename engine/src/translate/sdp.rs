//! SDP ↔ what a media stream has to know.
//!
//! We speak G.711 (both laws) and telephone-event, 20 ms a packet, one audio section. Anything else in an offer is
//! refused section by section (RFC 3264 §6).

use bytes::{Bytes, BytesMut};
use media::{Codec, Remote};
use sip_proxy::wire::sdp::{self, Direction, Media, SdpWriter, Session};
use std::net::{IpAddr, SocketAddr};

/// Payload type of telephone-event in our own offers.
const DTMF_PAYLOAD_TYPE: u8 = 101;
/// Milliseconds of sound in a packet of ours.
const PTIME_MS: u16 = 20;
/// What we offer when nothing else is wished.
pub(crate) const CODECS: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

/// Our side of a leg's session description.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalSide {
    /// The address written into `c=` and `o=`.
    pub(crate) address: IpAddr,
    /// Where we hear RTP.
    pub(crate) rtp_port: u16,
    /// `o=` session id, the same for the whole dialog.
    pub(crate) session_id: u64,
    /// `o=` version, one more for each description sent (RFC 3264 §8).
    pub(crate) version: u64,
}

/// What a peer's description means for its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StreamPlan {
    /// For the media plane.
    pub(crate) remote: Remote,
    /// The peer put us on hold.
    pub(crate) held: bool,
    direction: Direction,
}

/// Why a description is of no use to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SdpFault {
    /// It is not SDP.
    Malformed,
    /// No audio section, no plain RTP, no address, or no codec of ours.
    Incompatible,
}

/// The codecs of ours that an offer names, in its order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Offered {
    codecs: [Codec; 2],
    count: usize,
}

impl Offered {
    pub(crate) fn codecs(&self) -> &[Codec] {
        &self.codecs[..self.count]
    }
}

/// Writes an offer of these codecs.
pub(crate) fn offer(local: &LocalSide, codecs: &[Codec]) -> Bytes {
    let mut buffer = BytesMut::with_capacity(320);
    let mut types = [0; CODECS.len() + 1];
    let count = codecs.len().min(CODECS.len());
    for (place, codec) in types.iter_mut().zip(codecs) {
        *place = codec.payload_type();
    }
    types[count] = DTMF_PAYLOAD_TYPE;
    let mut writer = SdpWriter::session(&mut buffer, local.session_id, local.version, local.address);
    writer.media("audio", local.rtp_port, "RTP/AVP", &types[..=count]);
    for codec in &codecs[..count] {
        writer.rtpmap(codec.payload_type(), encoding(*codec), 8000);
    }
    dtmf_lines(&mut writer, DTMF_PAYLOAD_TYPE);
    // RFC 5761 §5.1.1: who does not know it uses the port above, where we listen too.
    writer.attribute("rtcp-mux", None).ptime(PTIME_MS).direction(Direction::SendRecv);
    buffer.freeze()
}

/// What an answer to an offer of ours means.
pub(crate) fn read_answer(body: &[u8]) -> Result<StreamPlan, SdpFault> {
    let session = sdp::parse(body).map_err(|_| SdpFault::Malformed)?;
    let mut plan = plan(usable_audio(&session)?, None)?;
    plan.remote.dtmf_payload_type_local = Some(DTMF_PAYLOAD_TYPE);
    Ok(plan)
}

/// Which codecs of ours an offer names.
pub(crate) fn read_offer(body: &[u8]) -> Result<Offered, SdpFault> {
    let session = sdp::parse(body).map_err(|_| SdpFault::Malformed)?;
    let audio = usable_audio(&session)?;
    let mut offered = Offered { codecs: CODECS, count: 0 };
    for (_, codec) in known_codecs(audio) {
        if offered.count < CODECS.len() && !offered.codecs().contains(&codec) {
            offered.codecs[offered.count] = codec;
            offered.count += 1;
        }
    }
    if offered.count == 0 { Err(SdpFault::Incompatible) } else { Ok(offered) }
}

/// Answers an offer: what it means for the stream, and our description.
///
/// * `prefer` is taken if offered (so that both sides of a call speak the same codec), else the offer's first
pub(crate) fn answer(
    body: &[u8],
    local: &LocalSide,
    prefer: Option<Codec>,
) -> Result<(StreamPlan, Bytes), SdpFault> {
    let session = sdp::parse(body).map_err(|_| SdpFault::Malformed)?;
    let audio = usable_audio(&session)?;
    let plan = plan(audio, prefer)?;
    let mut buffer = BytesMut::with_capacity(320);
    let mut writer = SdpWriter::session(&mut buffer, local.session_id, local.version, local.address);
    for media in session.medias() {
        if !std::ptr::eq(media, audio) {
            writer.reject(media);
            continue;
        }
        let mut types = vec![plan.remote.payload_type];
        types.extend(plan.remote.dtmf_payload_type);
        writer.media("audio", local.rtp_port, "RTP/AVP", &types);
        writer.rtpmap(plan.remote.payload_type, encoding(plan.remote.codec), 8000);
        if let Some(dtmf) = plan.remote.dtmf_payload_type {
            dtmf_lines(&mut writer, dtmf);
        }
        if plan.remote.rtcp_mux {
            writer.attribute("rtcp-mux", None);
        }
        writer.ptime(PTIME_MS).direction(plan.direction.answer());
    }
    Ok((plan, buffer.freeze()))
}

fn usable_audio<'s, 'a>(session: &'s Session<'a>) -> Result<&'s Media<'a>, SdpFault> {
    let audio = session.audio().ok_or(SdpFault::Incompatible)?;
    if audio.proto.eq_ignore_ascii_case(b"RTP/AVP") { Ok(audio) } else { Err(SdpFault::Incompatible) }
}

fn plan(audio: &Media<'_>, prefer: Option<Codec>) -> Result<StreamPlan, SdpFault> {
    let address = audio.connection.and_then(|connection| connection.address).ok_or(SdpFault::Incompatible)?;
    let first = known_codecs(audio).next();
    let preferred = known_codecs(audio).find(|(_, codec)| Some(*codec) == prefer);
    let (payload_type, codec) = preferred.or(first).ok_or(SdpFault::Incompatible)?;
    let direction = audio.direction;
    // RFC 3264 §8.4: 0.0.0.0 was the sign of hold before directions were; nothing can be sent there.
    let reachable = !address.is_unspecified();
    let remote = Remote {
        rtp: SocketAddr::new(address, audio.port),
        rtcp: audio.rtcp_port().map(|port| SocketAddr::new(address, port)),
        codec,
        payload_type,
        dtmf_payload_type: audio.telephone_event(8000),
        dtmf_payload_type_local: None,
        rtcp_mux: audio.rtcp_mux(),
        sends: matches!(direction, Direction::SendRecv | Direction::SendOnly),
        receives: reachable && matches!(direction, Direction::SendRecv | Direction::RecvOnly),
    };
    Ok(StreamPlan { remote, held: audio.is_hold(), direction })
}

/// Payload types of codecs we speak, in the description's order.
fn known_codecs<'m>(audio: &'m Media<'_>) -> impl Iterator<Item = (u8, Codec)> + 'm {
    audio.payload_types().filter_map(|payload_type| {
        let map = audio.rtpmap(payload_type)?;
        if map.clock_rate != 8000 || map.channels != 1 {
            return None;
        }
        let codec = CODECS
            .into_iter()
            .find(|codec| map.encoding.eq_ignore_ascii_case(encoding(*codec).as_bytes()))?;
        Some((payload_type, codec))
    })
}

pub(crate) fn encoding(codec: Codec) -> &'static str {
    match codec {
        Codec::Pcmu => "PCMU",
        Codec::Pcma => "PCMA",
    }
}

fn dtmf_lines(writer: &mut SdpWriter<'_>, payload_type: u8) {
    writer.rtpmap(payload_type, "telephone-event", 8000).fmtp(payload_type, "0-15");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local() -> LocalSide {
        LocalSide { address: "192.0.2.1".parse().unwrap(), rtp_port: 4000, session_id: 7, version: 1 }
    }

    fn description(rest: &str) -> Vec<u8> {
        format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{rest}")
            .into_bytes()
    }

    #[test]
    fn our_offer_answered_by_ourselves() {
        let offer = offer(&local(), &CODECS);
        assert_eq!(read_offer(&offer).unwrap().codecs(), [Codec::Pcmu, Codec::Pcma]);
        let peer = LocalSide { address: "192.0.2.9".parse().unwrap(), rtp_port: 6000, ..local() };
        let (their_plan, answer) = answer(&offer, &peer, Some(Codec::Pcma)).unwrap();
        assert_eq!(their_plan.remote.rtp, "192.0.2.1:4000".parse().unwrap());
        let plan = read_answer(&answer).unwrap();
        assert_eq!(plan.remote.rtp, "192.0.2.9:6000".parse().unwrap());
        assert_eq!((plan.remote.codec, plan.remote.payload_type), (Codec::Pcma, 8));
        assert_eq!(plan.remote.dtmf_payload_type, Some(101));
        assert!(plan.remote.sends && plan.remote.receives && !plan.held);
        assert!(plan.remote.rtcp_mux && their_plan.remote.rtcp_mux);
    }

    #[test]
    fn hold_in_its_three_forms() {
        let held = |rest: &str| answer(&description(rest), &local(), None).unwrap();
        let (plan, text) = held("m=audio 5000 RTP/AVP 0\r\na=sendonly\r\n");
        assert!(plan.held && plan.remote.sends && !plan.remote.receives);
        assert!(text.windows(10).any(|w| w == b"a=recvonly"));
        let (plan, text) = held("m=audio 5000 RTP/AVP 0\r\na=inactive\r\n");
        assert!(plan.held && !plan.remote.sends && !plan.remote.receives);
        assert!(text.windows(10).any(|w| w == b"a=inactive"));
        let (plan, _) = held("m=audio 5000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n");
        assert!(plan.held && !plan.remote.receives);
    }

    #[test]
    fn other_sections_are_refused_one_by_one() {
        let offer = description(
            "m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=audio 5000 RTP/AVP 9 97 96\r\n\
             a=rtpmap:97 pcma/8000\r\na=rtpmap:96 telephone-event/8000\r\n",
        );
        let (plan, text) = answer(&offer, &local(), None).unwrap();
        assert!(!plan.remote.rtcp_mux && !text.windows(10).any(|w| w == b"a=rtcp-mux"), "not offered");
        assert_eq!((plan.remote.codec, plan.remote.payload_type), (Codec::Pcma, 97));
        assert_eq!(plan.remote.dtmf_payload_type, Some(96));
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("m=video 0 RTP/AVP 96\r\nm=audio 4000 RTP/AVP 97 96\r\n"), "{text}");
    }

    #[test]
    fn what_cannot_be_spoken_is_refused() {
        let fault = |rest: &str| answer(&description(rest), &local(), None).unwrap_err();
        assert_eq!(fault("m=audio 5000 RTP/AVP 9\r\n"), SdpFault::Incompatible);
        assert_eq!(fault("m=audio 5000 RTP/SAVP 0\r\n"), SdpFault::Incompatible);
        assert_eq!(fault("m=audio 0 RTP/AVP 0\r\n"), SdpFault::Incompatible);
        assert_eq!(fault("m=video 5000 RTP/AVP 0\r\n"), SdpFault::Incompatible);
        assert_eq!(fault(""), SdpFault::Incompatible);
        assert_eq!(read_answer(b"hello"), Err(SdpFault::Malformed));
        assert_eq!(read_offer(&description("m=audio 5000 RTP/AVP 18\r\n")), Err(SdpFault::Incompatible));
    }
}
