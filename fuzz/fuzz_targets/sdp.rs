//! Any session description: no panic, limits hold, and an answer made from it is sound.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sip_proxy::wire::sdp::{Direction, SdpLimits, SdpWriter, parse};

fuzz_target!(|data: &[u8]| {
    let limits = SdpLimits::default();
    let session = match parse(data) {
        Ok(session) => session,
        Err(error) => {
            assert!(error.line >= 1 && error.line <= data.len() + 1);
            return;
        }
    };
    let _ = (session.origin, session.connection, session.direction, session.attribute("group"));
    let mut answer = BytesMut::new();
    let mut writer = SdpWriter::session(&mut answer, 1, 2, [192, 0, 2, 1].into());
    let mut count = 0;
    for media in session.medias() {
        count += 1;
        assert!(media.formats().count() <= limits.formats_max);
        for payload_type in media.payload_types() {
            let _ = (media.rtpmap(payload_type), media.fmtp(payload_type));
        }
        let _ = (media.telephone_event(8000), media.ptime(), media.maxptime(), media.rtcp_port());
        let _ = (media.rtcp_mux(), media.is_hold(), media.attributes().count());
        if media.port == 0 || media.payload_types().next().is_none() {
            writer.reject(media);
        } else {
            let kind = String::from_utf8_lossy(media.kind_text);
            let proto = String::from_utf8_lossy(media.proto);
            let payload_types: Vec<u8> = media.payload_types().collect();
            writer.media(&kind, media.port, &proto, &payload_types).direction(media.direction.answer());
        }
    }
    assert!(count <= limits.medias_max);
    drop(writer);
    if answer.len() > limits.bytes_max {
        return;
    }
    let again =
        parse(&answer).unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&answer)));
    assert_eq!(again.medias().count(), count);
    for (offered, answered) in session.medias().zip(again.medias()) {
        assert_eq!(offered.kind, answered.kind);
        if answered.port != 0 {
            assert_eq!(offered.port, answered.port);
            assert!(offered.payload_types().eq(answered.payload_types()));
            assert_ne!((offered.direction, answered.direction), (Direction::SendOnly, Direction::SendRecv));
        }
    }
});
