//! SDP ↔ what a media stream has to know.
//!
//! We speak G.711 (both laws), G.722, Opus and telephone-event, 20 ms a packet, one audio section; G.729 and comfort
//! noise go through where both sides have them. Anything else in an offer is refused section by section (RFC 3264 §6). Whether sound is encrypted each leg says for itself ([`LocalSecurity`]).

use super::browser::{self, LocalDtls};
use super::crypto::{Chosen, OurKeys};
use super::format::{self, CODECS, Format, Wish};
use bytes::{Bytes, BytesMut};
use media::{Remote, Security};
use sip_proxy::wire::sdp::{self, Direction, Media, MediaKind, SdpWriter, Session};
use std::net::{IpAddr, SocketAddr};

/// Payload type of telephone-event in our own offers.
const DTMF_PAYLOAD_TYPE: u8 = 101;
/// Milliseconds of sound in a packet of ours.
const PTIME_MS: u16 = 20;
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
    /// What we have for encryption.
    pub(crate) security: LocalSecurity,
}

/// How the packets of a leg may be protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LocalSecurity {
    /// Not at all.
    Plain,
    /// By keys in the descriptions, where the other side has some too (RFC 8643) or else not at all: `required`.
    Sdes { required: bool, keys: OurKeys },
    /// By keys of a handshake: a browser.
    Dtls(LocalDtls),
}

impl LocalSecurity {
    /// The profile of our offers.
    const fn profile(&self) -> &'static str {
        match self {
            LocalSecurity::Plain | LocalSecurity::Sdes { required: false, .. } => PLAIN,
            LocalSecurity::Sdes { required: true, .. } => SECURE,
            LocalSecurity::Dtls(_) => browser::PROFILE,
        }
    }
}

/// The profile of sound that is not encrypted, or that may be (RFC 8643).
const PLAIN: &str = "RTP/AVP";
/// That of sound that is (RFC 3711).
const SECURE: &str = "RTP/SAVP";

/// How a section's sound is to be protected.
#[derive(Clone, Copy)]
enum Agreed {
    Plain,
    Srtp(Chosen),
    Dtls(media::Dtls),
}

impl Agreed {
    fn security(&self) -> Security {
        match self {
            Agreed::Plain => Security::Plain,
            Agreed::Srtp(chosen) => Security::Srtp(chosen.keys),
            Agreed::Dtls(dtls) => Security::Dtls(*dtls),
        }
    }
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

impl StreamPlan {
    /// What was agreed on.
    pub(crate) fn codec(&self) -> Format {
        Format::of(self.remote.codec, self.remote.coded)
    }
}

/// Why a description is of no use to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SdpFault {
    /// It is not SDP.
    Malformed,
    /// No audio section, none protected as we want it, no address, or no codec of ours.
    Incompatible,
}

/// Writes an offer of these codecs.
pub(crate) fn offer(local: &LocalSide, codecs: &[Format]) -> Bytes {
    offer_with(local, codecs, false)
}

/// The same, with comfort noise if wished.
pub(crate) fn offer_with(local: &LocalSide, codecs: &[Format], comfort_noise: bool) -> Bytes {
    let mut buffer = BytesMut::with_capacity(800);
    let mut types: Vec<u8> = codecs.iter().map(|codec| codec.payload_type()).collect();
    types.extend(comfort_noise.then_some(format::COMFORT_NOISE));
    types.push(DTMF_PAYLOAD_TYPE);
    let mut writer = SdpWriter::session(&mut buffer, local.session_id, local.version, local.address);
    if let LocalSecurity::Dtls(_) = &local.security {
        browser::session_lines(&mut writer, Some(browser::OUR_MID));
    }
    writer.media("audio", local.rtp_port, local.security.profile(), &types);
    for codec in codecs {
        codec.lines(&mut writer, codec.payload_type());
    }
    if comfort_noise {
        writer.rtpmap(format::COMFORT_NOISE, "CN", 8000);
    }
    dtmf_lines(&mut writer, DTMF_PAYLOAD_TYPE);
    if let LocalSecurity::Sdes { keys, .. } = &local.security {
        keys.offer(&mut writer);
    }
    if let LocalSecurity::Dtls(dtls) = &local.security {
        browser::lines(&mut writer, local, dtls, Some(browser::OUR_MID), browser::Setup::Either);
    }
    // RFC 5761 §5.1.1: who does not know it uses the port above, where we listen too.
    writer.attribute("rtcp-mux", None).ptime(PTIME_MS).direction(Direction::SendRecv);
    buffer.freeze()
}

/// What an answer to an offer of [`CODECS`] means.
pub(crate) fn read_answer(local: &LocalSide, body: &[u8]) -> Result<StreamPlan, SdpFault> {
    read_answer_to(local, body, &CODECS)
}

/// What an answer to an offer of these codecs means.
pub(crate) fn read_answer_to(
    local: &LocalSide,
    body: &[u8],
    offered: &[Format],
) -> Result<StreamPlan, SdpFault> {
    let session = sdp::parse(body).map_err(|_| SdpFault::Malformed)?;
    let (audio, agreed) = usable_audio(&session, &local.security, OurKeys::chosen)?;
    let chosen = format::named(audio).find(|(_, codec)| offered.contains(codec));
    let mut plan = plan(audio, &agreed, chosen.ok_or(SdpFault::Incompatible)?)?;
    plan.remote.dtmf_payload_type_local = Some(DTMF_PAYLOAD_TYPE);
    Ok(plan)
}

/// Which codecs of ours an offer names, in its order, and whether comfort noise.
pub(crate) fn read_offer(security: &LocalSecurity, body: &[u8]) -> Result<(Vec<Format>, bool), SdpFault> {
    let session = sdp::parse(body).map_err(|_| SdpFault::Malformed)?;
    let (audio, agreed) = usable_audio(&session, security, OurKeys::choose)?;
    // Nobody is to be called for whom could not be answered.
    address_of(audio, &agreed)?;
    let mut offered: Vec<Format> = Vec::with_capacity(format::ALL.len());
    for (_, codec) in format::named(audio) {
        if !offered.contains(&codec) {
            offered.push(codec);
        }
    }
    if offered.is_empty() { Err(SdpFault::Incompatible) } else { Ok((offered, format::has_noise(audio))) }
}

/// Answers an offer: what it means for the stream, and our description.
///
/// * `wish.codec` is taken if offered (so that both sides of a call speak the same one), else what [`format::choose`] says
pub(crate) fn answer(body: &[u8], local: &LocalSide, wish: Wish) -> Result<(StreamPlan, Bytes), SdpFault> {
    let session = sdp::parse(body).map_err(|_| SdpFault::Malformed)?;
    let (audio, agreed) = usable_audio(&session, &local.security, OurKeys::choose)?;
    let chosen = format::choose(audio, wish.codec).ok_or(SdpFault::Incompatible)?;
    let mut plan = plan(audio, &agreed, chosen)?;
    plan.remote.comfort_noise &= wish.comfort_noise;
    let mut buffer = BytesMut::with_capacity(400);
    let mut writer = SdpWriter::session(&mut buffer, local.session_id, local.version, local.address);
    let mid = audio.attribute("mid").and_then(|mid| std::str::from_utf8(mid).ok());
    if let Agreed::Dtls(_) = &agreed {
        let bundled = session.attribute("group").is_some_and(|group| group.starts_with(b"BUNDLE"));
        browser::session_lines(&mut writer, mid.filter(|_| bundled));
    }
    for media in session.medias() {
        if !std::ptr::eq(media, audio) {
            writer.reject(media);
            continue;
        }
        let mut types = vec![plan.remote.payload_type];
        types.extend(plan.remote.comfort_noise.then_some(format::COMFORT_NOISE));
        types.extend(plan.remote.dtmf_payload_type);
        let known = [PLAIN, SECURE, browser::PROFILE, browser::PROFILE_WITHOUT_FEEDBACK];
        let profile = known.into_iter().find(|profile| audio.proto.eq_ignore_ascii_case(profile.as_bytes()));
        let profile = profile.unwrap_or(PLAIN);
        writer.media("audio", local.rtp_port, profile, &types);
        plan.codec().lines(&mut writer, plan.remote.payload_type);
        if plan.remote.comfort_noise {
            writer.rtpmap(format::COMFORT_NOISE, "CN", 8000);
        }
        if let Some(dtmf) = plan.remote.dtmf_payload_type {
            dtmf_lines(&mut writer, dtmf);
        }
        if let Agreed::Srtp(chosen) = &agreed {
            chosen.answer(&mut writer);
        }
        if let (Agreed::Dtls(agreed), LocalSecurity::Dtls(ours)) = (&agreed, &local.security) {
            let setup = if agreed.active { browser::Setup::Active } else { browser::Setup::Passive };
            browser::lines(&mut writer, local, ours, mid, setup);
        }
        if plan.remote.rtcp_mux {
            writer.attribute("rtcp-mux", None);
        }
        writer.ptime(PTIME_MS).direction(plan.direction.answer());
    }
    Ok((plan, buffer.freeze()))
}

/// The audio section to go by: the first that is encrypted if that may be, else the first that is not if that may be.
fn usable_audio<'s, 'a>(
    session: &'s Session<'a>,
    security: &LocalSecurity,
    choose: impl Fn(&OurKeys, &Media<'a>) -> Option<Chosen>,
) -> Result<(&'s Media<'a>, Agreed), SdpFault> {
    let audio = || session.medias().filter(|media| media.kind == MediaKind::Audio && media.port != 0);
    let speaks = |media: &Media<'_>, profile: &str| media.proto.eq_ignore_ascii_case(profile.as_bytes());
    if let LocalSecurity::Dtls(ours) = security {
        let found =
            audio().find_map(|media| Some((media, Agreed::Dtls(browser::read(session, media, ours)?))));
        return found.ok_or(SdpFault::Incompatible);
    }
    if let LocalSecurity::Sdes { keys, .. } = security {
        let mut rtp = audio().filter(|media| speaks(media, SECURE) || speaks(media, PLAIN));
        if let Some(found) = rtp.find_map(|media| Some((media, Agreed::Srtp(choose(keys, media)?)))) {
            return Ok(found);
        }
    }
    if matches!(security, LocalSecurity::Sdes { required: true, .. }) {
        return Err(SdpFault::Incompatible);
    }
    let plain = audio().find(|media| speaks(media, PLAIN)).ok_or(SdpFault::Incompatible)?;
    Ok((plain, Agreed::Plain))
}

/// Where a section says that its side is; host names are not looked up.
fn address_of(audio: &Media<'_>, agreed: &Agreed) -> Result<IpAddr, SdpFault> {
    let named = audio.connection.and_then(|connection| connection.address);
    match named {
        // A browser's address comes out when it checks the way; what it writes down may be none.
        None if matches!(agreed, Agreed::Dtls(_)) => Ok(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
        named => named.ok_or(SdpFault::Incompatible),
    }
}

fn plan(
    audio: &Media<'_>,
    agreed: &Agreed,
    (payload_type, codec): (u8, Format),
) -> Result<StreamPlan, SdpFault> {
    let is_browser = matches!(agreed, Agreed::Dtls(_));
    let address = address_of(audio, agreed)?;
    let direction = audio.direction;
    // RFC 3264 §8.4: 0.0.0.0 was the sign of hold before directions were; nothing can be sent there.
    let reachable = is_browser || !address.is_unspecified();
    let remote = Remote {
        rtp: SocketAddr::new(address, audio.port),
        rtcp: audio.rtcp_port().filter(|_| !is_browser).map(|port| SocketAddr::new(address, port)),
        codec: codec.inside(),
        coded: codec.coded(),
        payload_type,
        comfort_noise: format::has_noise(audio),
        dtmf_payload_type: audio.telephone_event(8000),
        dtmf_payload_type_local: None,
        rtcp_mux: audio.rtcp_mux(),
        sends: matches!(direction, Direction::SendRecv | Direction::SendOnly),
        receives: reachable && matches!(direction, Direction::SendRecv | Direction::RecvOnly),
        security: agreed.security(),
    };
    let held = if is_browser { !remote.receives } else { audio.is_hold() };
    Ok(StreamPlan { remote, held, direction })
}

fn dtmf_lines(writer: &mut SdpWriter<'_>, payload_type: u8) {
    writer.rtpmap(payload_type, "telephone-event", 8000).fmtp(payload_type, "0-15");
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::srtp::{KeySource, Secret, Suite};
    use media::{Codec, Coded};

    fn local() -> LocalSide {
        LocalSide {
            address: "192.0.2.1".parse().unwrap(),
            rtp_port: 4000,
            session_id: 7,
            version: 1,
            security: LocalSecurity::Plain,
        }
    }

    fn secure(required: bool, seed: u8) -> LocalSide {
        let keys = OurKeys::draw(&mut KeySource::new(&Secret([seed; 32])));
        LocalSide { security: LocalSecurity::Sdes { required, keys }, ..local() }
    }

    fn description(rest: &str) -> Vec<u8> {
        format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{rest}")
            .into_bytes()
    }

    #[test]
    fn our_offer_answered_by_ourselves() {
        let offer = offer(&local(), &CODECS);
        assert_eq!(read_offer(&LocalSecurity::Plain, &offer).unwrap(), (CODECS.to_vec(), false));
        let peer = LocalSide { address: "192.0.2.9".parse().unwrap(), rtp_port: 6000, ..local() };
        let (their_plan, answer) =
            answer(&offer, &peer, Wish { codec: Some(Format::G711(Codec::Pcma)), ..Wish::default() })
                .unwrap();
        assert_eq!(their_plan.remote.rtp, "192.0.2.1:4000".parse().unwrap());
        let plan = read_answer(&local(), &answer).unwrap();
        assert_eq!(plan.remote.rtp, "192.0.2.9:6000".parse().unwrap());
        assert_eq!((plan.remote.codec, plan.remote.payload_type), (Codec::Pcma, 8));
        assert_eq!(plan.remote.dtmf_payload_type, Some(101));
        assert!(plan.remote.sends && plan.remote.receives && !plan.held);
        assert!(plan.remote.rtcp_mux && their_plan.remote.rtcp_mux);
    }

    #[test]
    fn hold_in_its_three_forms() {
        let held = |rest: &str| answer(&description(rest), &local(), Wish::default()).unwrap();
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
        let (plan, text) = answer(&offer, &local(), Wish::default()).unwrap();
        assert!(!plan.remote.rtcp_mux && !text.windows(10).any(|w| w == b"a=rtcp-mux"), "not offered");
        assert_eq!((plan.remote.codec, plan.remote.payload_type), (Codec::Pcma, 97));
        assert_eq!(plan.remote.dtmf_payload_type, Some(96));
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("m=video 0 RTP/AVP 96\r\nm=audio 4000 RTP/AVP 97 96\r\n"), "{text}");
    }

    #[test]
    fn what_cannot_be_spoken_is_refused() {
        let fault = |rest: &str| answer(&description(rest), &local(), Wish::default()).unwrap_err();
        assert_eq!(fault("m=audio 5000 RTP/AVP 3\r\n"), SdpFault::Incompatible);
        assert_eq!(fault("m=audio 5000 RTP/AVP 18\r\n"), SdpFault::Incompatible, "nobody to relay it to");
        assert_eq!(fault("m=audio 5000 RTP/SAVP 0\r\n"), SdpFault::Incompatible);
        assert_eq!(fault("m=audio 0 RTP/AVP 0\r\n"), SdpFault::Incompatible);
        assert_eq!(fault("m=video 5000 RTP/AVP 0\r\n"), SdpFault::Incompatible);
        assert_eq!(fault(""), SdpFault::Incompatible);
        assert_eq!(read_answer(&local(), b"hello"), Err(SdpFault::Malformed));
        let gsm = description("m=audio 5000 RTP/AVP 3\r\n");
        assert_eq!(read_offer(&LocalSecurity::Plain, &gsm), Err(SdpFault::Incompatible));
        let g729 = description("m=audio 5000 RTP/AVP 18\r\n");
        assert_eq!(read_answer(&local(), &g729), Err(SdpFault::Incompatible), "not offered");
    }

    /// Who offers what, who answers it, and whether they then agree on encryption; `None`: they do not agree at all.
    #[test]
    fn encryption_is_what_both_want() {
        let (optional, required) = ((secure(false, 1), secure(false, 2)), (secure(true, 1), secure(true, 2)));
        let plain = (local(), local());
        for (offerer, answerer, encrypted) in [
            (plain.0, plain.1, Some(false)),
            (plain.0, optional.1, Some(false)),
            (plain.0, required.1, None),
            (optional.0, plain.1, Some(false)),
            (optional.0, optional.1, Some(true)),
            (optional.0, required.1, Some(true)),
            (required.0, plain.1, None),
            (required.0, optional.1, Some(true)),
            (required.0, required.1, Some(true)),
        ] {
            let text = offer(&offerer, &CODECS);
            let answered = answer(&text, &answerer, Wish::default());
            assert_eq!(answered.is_ok(), read_offer(&answerer.security, &text).is_ok());
            let Some((theirs, answer)) = answered.ok() else {
                assert_eq!(encrypted, None);
                continue;
            };
            let ours = read_answer(&offerer, &answer).unwrap();
            match (ours.remote.security, theirs.remote.security) {
                (Security::Plain, Security::Plain) => assert_eq!(encrypted, Some(false)),
                (Security::Srtp(ours), Security::Srtp(theirs)) => {
                    assert_eq!(encrypted, Some(true));
                    assert_eq!((ours.inbound, ours.outbound), (theirs.outbound, theirs.inbound));
                    assert_ne!(ours.inbound, ours.outbound);
                    assert_eq!(ours.inbound.suite(), Suite::AesCm128Sha1_80);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn offers_of_both_kinds_are_answered_with_the_better_one() {
        let key = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        let both = description(&format!(
            "m=audio 5000 RTP/AVP 0\r\nm=audio 5002 RTP/SAVP 0\r\na=crypto:1 F8_128_HMAC_SHA1_80 {key}\r\n\
             a=crypto:5 AES_CM_128_HMAC_SHA1_32 {key}\r\na=crypto:6 AES_CM_128_HMAC_SHA1_80 {key}\r\n"
        ));
        let (plan, text) = answer(&both, &secure(false, 1), Wish::default()).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("m=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/SAVP 0\r\n"), "{text}");
        assert!(text.contains("a=crypto:5 AES_CM_128_HMAC_SHA1_32 inline:"), "{text}");
        assert_eq!(text.matches("a=crypto").count(), 1);
        assert_eq!(plan.remote.rtp.port(), 5002);
        assert!(matches!(plan.remote.security, Security::Srtp(_)));
        let (plan, text) = answer(&both, &local(), Wish::default()).unwrap();
        assert_eq!((plan.remote.rtp.port(), plan.remote.security), (5000, Security::Plain));
        assert!(!String::from_utf8_lossy(&text).contains("crypto"));
    }

    #[test]
    fn an_answer_may_only_choose_what_was_offered() {
        let ours = secure(true, 1);
        let key = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
        let chosen = |line: &str| {
            let text = format!("m=audio 5000 RTP/SAVP 0\r\na=crypto:{line} {key}\r\n");
            read_answer(&ours, &description(&text)).map(|plan| plan.remote.security)
        };
        assert!(matches!(chosen("1 AES_CM_128_HMAC_SHA1_80"), Ok(Security::Srtp(_))));
        assert!(matches!(chosen("3 AES_CM_128_HMAC_SHA1_32"), Ok(Security::Srtp(_))));
        for line in ["2 AES_CM_128_HMAC_SHA1_80", "4 AES_CM_128_HMAC_SHA1_80", "1 AES_CM_128_HMAC_SHA1_32"] {
            assert_eq!(chosen(line), Err(SdpFault::Incompatible), "{line}");
        }
        assert_eq!(
            read_answer(&ours, &description("m=audio 5000 RTP/AVP 0\r\n")),
            Err(SdpFault::Incompatible),
            "required is required"
        );
    }

    #[test]
    fn codecs_are_chosen_so_that_nothing_has_to_be_translated() {
        let offer = description(
            "m=audio 5000 RTP/AVP 96 18 9 0 13 97\r\na=rtpmap:96 opus/48000/2\r\n\
             a=rtpmap:97 telephone-event/8000\r\n",
        );
        let (offered, noise) = read_offer(&LocalSecurity::Plain, &offer).unwrap();
        let [opus, g729, g722] = [Coded::Opus, Coded::G729, Coded::G722].map(Format::Coded);
        let pcmu = Format::G711(Codec::Pcmu);
        assert_eq!((offered, noise), (vec![opus, g729, g722, pcmu], true));
        for (wish, number, line) in [
            (None, 0, "a=rtpmap:0 PCMU/8000\r\n"),
            (Some(opus), 96, "a=rtpmap:96 opus/48000/2\r\n"),
            (Some(g729), 18, "a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\n"),
            (Some(g722), 9, "a=rtpmap:9 G722/8000\r\n"),
            (Some(Format::G711(Codec::Pcma)), 0, "a=rtpmap:0 PCMU/8000\r\n"),
        ] {
            let wish = Wish { codec: wish, comfort_noise: number == 9 };
            let (plan, text) = answer(&offer, &local(), wish).unwrap();
            assert_eq!(plan.remote.payload_type, number);
            let text = String::from_utf8_lossy(&text);
            assert!(text.contains(line), "{text}");
            assert_eq!(text.contains("a=rtpmap:13 CN/8000\r\n"), number == 9);
        }
        let only = description("m=audio 5000 RTP/AVP 9\r\n");
        assert_eq!(answer(&only, &local(), Wish::default()).unwrap().0.codec(), g722);
    }
}
