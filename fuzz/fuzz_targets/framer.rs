//! Any stream, cut into any pieces: the same messages however it is split, bounded memory, and each message is one that
//! the parser reads to its last byte or refuses, but never reads as another length.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sip_proxy::transport::{Frame, FrameFault, Framer, is_framed};
use sip_proxy::wire::{Limits, ParseErrorKind, parse};

// The first byte says how the rest is split.
fuzz_target!(|data: &[u8]| {
    let Some((split, stream)) = data.split_first() else { return };
    let whole = frames(stream, usize::MAX);
    assert_eq!(whole, frames(stream, usize::from(*split).max(1)), "in pieces as in one");
    assert_eq!(whole, frames(stream, 1), "byte by byte as in one piece");
    for frame in whole.0 {
        let Frame::Message(bytes) = frame else { continue };
        match parse(bytes, &Limits::default()) {
            Ok(message) => assert!(is_framed(&message)),
            Err(error) => assert_ne!(error.kind, ParseErrorKind::BodyTruncated),
        }
    }
    // Where it is for is said without looking at more than there is.
    assert!(sip_proxy::shard_for(stream, 4) < 4);
});

fn frames(stream: &[u8], piece: usize) -> (Vec<Frame>, Option<FrameFault>) {
    let mut framer = Framer::new(Limits::default());
    let mut found = Vec::new();
    for part in stream.chunks(piece.min(stream.len().max(1))) {
        framer.push(part);
        loop {
            match framer.next_frame() {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(framer.next_frame(), Err(fault), "a fault stays");
                    assert!(framer.broken_head().len() <= stream.len());
                    return (found, Some(fault));
                }
            }
        }
        assert!(framer.buffered() <= 65_535 + part.len());
    }
    (found, None)
}
