//! Legs that we make.

use expect_test::expect;

use super::*;

const CONTACT: &str = "Contact: <sip:b@192.0.2.9:5060>\r\n";

#[test]
fn a_plain_call() {
    check(
        |bench| {
            let leg = bench.call();
            bench.pass_ms(20).respond(Method::Invite, 100, "", "", "");
            bench.pass_ms(1000).respond(Method::Invite, 180, "them", CONTACT, "");
            bench.pass_ms(3000).respond(Method::Invite, 200, "them", CONTACT, ANSWER);
            bench.pass_ms(5000).hangup(leg);
            bench.pass_ms(20).respond(Method::Bye, 200, "", "", "");
            let (to, invite) = bench.sent[0].clone();
            assert_eq!(to, bench.peer);
            assert_eq!(invite.request_uri(), b"sip:13800138000@192.0.2.9");
            assert_eq!(invite.body(), OFFER.as_bytes());
            let ack = bench.last(Method::Ack);
            assert_eq!(ack.request_uri(), b"sip:b@192.0.2.9:5060");
            assert_eq!((ack.cseq().0, ack.to_tag()), (1, Some(&b"them"[..])));
            assert_ne!(ack.top_via().branch, invite.top_via().branch);
            assert_eq!(bench.last(Method::Bye).cseq().0, 2);
        },
        &expect![[r#"
               0.000  us > INVITE
               0.020  us < 100
               1.020  us < 180
               1.020  progress 180
               4.020  us < 200
               4.020  us > ACK
               4.020  answered sdp
               9.020  ended by Local, answered
               9.020  us > BYE
               9.040  us < 200
        "#]],
    );
}
