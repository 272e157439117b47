//! Legs that others make.

use expect_test::expect;

use super::*;

/// An INVITE of the peer.
pub(super) fn invite_text(from: &str, branch: &str, more: &str, body: &str) -> String {
    format!(
        "INVITE sip:4000@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{branch}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:{from}@192.0.2.9>;tag=them\r\nTo: <sip:4000@192.0.2.1>\r\nCall-ID: in1\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:{from}@192.0.2.9:5060>\r\n{more}{}",
        body_text(body)
    )
}

#[test]
fn a_plain_call() {
    check(
        |bench| {
            bench.receive(&invite_text("13800138000", "1", "", OFFER));
            let leg = bench.incoming[0];
            bench.pass_ms(100);
            bench.ua.provisional(bench.now, leg, 180, None, &mut bench.out).expect("ringing");
            bench.note();
            bench.pass_ms(1000);
            bench.ua.answer(bench.now, leg, ANSWER.as_bytes(), &mut bench.out).expect("answered");
            bench.note();
        },
        &expect![[r#"
               0.000  us < INVITE
               0.000  us > 100
               0.000  incoming from Trunk(1)
               0.100  us > 180
               1.100  us > 200
        "#]],
    );
}
