//! The published vectors, and what must not be taken.

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn key(suite: Suite) -> MasterKey {
    KeySource::new(&Secret([7; 32])).master_key(suite)
}

fn packet(sequence: u16, payload: &[u8]) -> BytesMut {
    let mut packet = BytesMut::from(&crate::rtp::header(false, 0, sequence, 160, 0xCAFE_BABE)[..]);
    packet.extend_from_slice(payload);
    packet
}

fn protected(outbound: &mut Outbound, sequence: u16) -> BytesMut {
    let mut packet = packet(sequence, &[0x5A; 160]);
    outbound.protect(&mut packet, 0).unwrap();
    packet
}

/// RFC 3711 appendix B.3: session keys of a master key.
#[test]
fn session_keys_as_published() {
    let master = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let master = MasterKey::new(Suite::AesCm128Sha1_80, &master).unwrap();
    let derived = |label, length: usize| {
        let mut bytes = vec![0; length];
        cipher::derive(&master, label, &mut bytes);
        bytes
    };
    assert_eq!(derived(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(derived(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(derived(1, 20), hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
}

/// The packet that libsrtp's own test protects and opens (test/srtp_driver.c, "srtp_validate").
#[test]
fn a_packet_as_others_protect_it() {
    let master = hex("e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6");
    let master = MasterKey::new(Suite::AesCm128Sha1_80, &master).unwrap();
    let plain = hex("800f1234decafbadcafebabe abababababababababababababababab");
    let sealed = hex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb");
    let mut packet = BytesMut::from(&plain[..]);
    Outbound::new(master).protect(&mut packet, 0).unwrap();
    assert_eq!(packet, sealed);
    assert_eq!(Inbound::new(master).open(&mut packet).unwrap(), plain);
}

#[test]
fn reports_and_sound_go_there_and_back_in_every_suite() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = (Outbound::new(key(suite)), Inbound::new(key(suite)));
        for sequence in [65_533, 65_534, 65_535, 0, 1, 2] {
            let mut sealed = protected(&mut outbound, sequence);
            assert_ne!(sealed[12..172], [0x5A; 160]);
            assert_eq!(inbound.open(&mut sealed).unwrap(), &packet(sequence, &[0x5A; 160])[..], "{suite:?}");
        }
        let report = hex("81c8000b deadbeef 4e747031 4e747032 52545020 0000042a 0000eb98 feedface");
        for _ in 0..3 {
            let mut sealed = BytesMut::from(&report[..]);
            outbound.protect_rtcp(&mut sealed, 0).unwrap();
            assert!(sealed.len() <= report.len() + OVERHEAD_BYTES_MAX);
            let mut again = sealed.clone();
            assert_eq!(inbound.open_rtcp(&mut sealed).unwrap(), report);
            assert_eq!(inbound.open_rtcp(&mut again), Err(Refusal::Replayed));
        }
    }
}

/// A padded packet with two CSRCs and an extension: what is not header is encrypted.
#[test]
fn all_of_the_header_stays_readable() {
    let plain = hex("b2000001000000a0cafebabe 11111111 22222222 bede0001 01020304 aabbccdd 00000004");
    for suite in Suite::ALL {
        let mut sealed = BytesMut::from(&plain[..]);
        Outbound::new(key(suite)).protect(&mut sealed, 0).unwrap();
        assert_eq!(sealed[..28], plain[..28]);
        assert_ne!(sealed[28..36], plain[28..]);
        assert_eq!(Inbound::new(key(suite)).open(&mut sealed).unwrap(), plain);
    }
}

#[test]
fn replayed_changed_truncated_and_foreign_packets_are_refused() {
    for suite in Suite::ALL {
        let (mut outbound, mut inbound) = (Outbound::new(key(suite)), Inbound::new(key(suite)));
        let sealed: Vec<BytesMut> = (10..400).map(|n| protected(&mut outbound, n)).collect();
        let mut open = |packet: &BytesMut| inbound.open(&mut packet.clone()).map(|_| ());
        assert_eq!(open(&sealed[0]), Ok(()));
        assert_eq!(open(&sealed[0]), Err(Refusal::Replayed));
        assert_eq!(open(&sealed[2]), Ok(()));
        assert_eq!(open(&sealed[1]), Ok(()), "out of order is no replay");
        for bit in 0..sealed[3].len() * 8 {
            let mut changed = sealed[3].clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&changed).is_err(), "{suite:?}: bit {bit}");
        }
        for length in 0..sealed[3].len() {
            assert!(open(&BytesMut::from(&sealed[3][..length])).is_err(), "{suite:?}: {length} bytes");
        }
        assert_eq!(open(&sealed[3]), Ok(()), "what was refused has changed nothing");
        assert_eq!(open(&sealed[389]), Ok(()));
        assert_eq!(open(&sealed[261]), Err(Refusal::Replayed), "128 back: nobody can tell");
        assert_eq!(open(&sealed[262]), Ok(()), "127 back");
        let other = KeySource::new(&Secret([8; 32])).master_key(suite);
        let mut foreign = sealed[4].clone();
        assert_eq!(Inbound::new(other).open(&mut foreign).map(|_| ()), Err(Refusal::Forged));
    }
}

#[test]
fn a_number_is_not_used_twice() {
    let mut outbound = Outbound::new(key(Suite::AesCm128Sha1_80));
    protected(&mut outbound, 5);
    assert_eq!(outbound.protect(&mut packet(5, b"other"), 0), Err(Refusal::Replayed));
    let mut other_source = packet(6, b"x");
    other_source[11] ^= 1;
    assert_eq!(outbound.protect(&mut other_source, 0), Err(Refusal::Exhausted));
}

#[test]
fn sequence_numbers_go_round_and_losses_there_do_no_harm() {
    let (mut outbound, mut inbound) =
        (Outbound::new(key(Suite::AeadAes128Gcm)), Inbound::new(key(Suite::AeadAes128Gcm)));
    let mut sequence = 30_000_u16;
    // More than four times round in steps; every seventh packet is lost, and always those around the turn.
    for n in 0..8_000_u32 {
        let mut sealed = protected(&mut outbound, sequence);
        let lost = n % 7 == 0 || !(100..65_400).contains(&sequence);
        if !lost {
            assert!(inbound.open(&mut sealed).is_ok(), "packet {n}, sequence {sequence}");
        }
        sequence = sequence.wrapping_add(37);
    }
    assert!(inbound.rtp[0].window.highest() > Some(4 << 16));
}

#[test]
fn strangers_are_not_remembered() {
    let suite = Suite::AesCm128Sha1_80;
    let (mut outbound, mut inbound) = (Outbound::new(key(suite)), Inbound::new(key(suite)));
    let sealed = protected(&mut outbound, 1);
    for n in 0..1000_u32 {
        let mut stranger = sealed.clone();
        stranger[8..12].copy_from_slice(&n.to_be_bytes());
        assert_eq!(inbound.open(&mut stranger).map(|_| ()), Err(Refusal::Forged));
    }
    assert!(inbound.rtp.is_empty());
    // One who has the key may have many sources, but not any number.
    for n in 0..=SOURCES_MAX {
        let mut source = packet(1, b"x");
        source[8..12].copy_from_slice(&(n as u32).to_be_bytes());
        Outbound::new(key(suite)).protect(&mut source, 0).unwrap();
        let taken = inbound.open(&mut source).map(|_| ());
        assert_eq!(taken, if n < SOURCES_MAX { Ok(()) } else { Err(Refusal::Exhausted) });
    }
}

#[test]
fn keys_are_not_shown() {
    let key = key(Suite::AeadAes128Gcm);
    let shown = format!("{key:?} {:?} {:?}", Secret([7; 32]), Outbound::new(key));
    assert!(shown.contains("***") && !shown.contains("[7"), "{shown}");
    assert!(!shown.contains(&format!("{:?}", key.bytes()[..4].to_vec())[1..8]), "{shown}");
}
