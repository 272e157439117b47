//! The call flows of RFC 3665, RFC 5407 and RFC 5359 that concern a user agent, as data: see
//! `tests/data/flows/ORIGIN.md` for where they come from and for the form of the files.
//!
//! A file is its own ladder. What the peer sends and what our user does is taken from it and played; what we send and
//! tell is written down between, and the result must be the file again (`UPDATE_EXPECT=1` writes it).

use core::fmt::Write as _;

use super::calls::CHALLENGE;
use super::registering::credentials;
use super::*;
use crate::wire::Transport;

/// Plays one file.
#[track_caller]
fn play(text: &str, file: &expect_test::ExpectFile) {
    let mut flow = Flow::new();
    for line in text.lines() {
        flow.line(line);
    }
    flow.tell();
    file.assert_eq(&flow.told);
    flow.bench.is_clean();
}

macro_rules! flows {
    ($($test:ident $file:literal;)*) => {
        $(
            #[test]
            fn $test() {
                play(
                    include_str!(concat!("../../../tests/data/flows/", $file)),
                    &expect_test::expect_file![concat!("../../../tests/data/flows/", $file)],
                );
            }
        )*
    };
}

struct Flow {
    bench: Bench,
    leg: Option<LegKey>,
    /// The file as it turns out.
    told: String,
    /// How much of the bench's ladder is in it.
    ladder_read: usize,
    /// The peer's side of the dialog when it called us.
    called: bool,
    cseq: u32,
    /// Number and branch of the peer's last INVITE.
    invite: (u32, String),
    /// What the peer sent last, by method or status.
    sent: Vec<(String, String)>,
    /// We have called a name: the peer is whoever our INVITE went to.
    named: bool,
}

/// `us < 183 INVITE | tag=one sdp`: what is sent, and how.
struct Step<'a> {
    words: Vec<&'a str>,
    options: Vec<&'a str>,
}

impl<'a> Step<'a> {
    fn of(text: &'a str) -> Self {
        let (what, how) = text.split_once(" | ").unwrap_or((text, ""));
        Step { words: what.split_whitespace().collect(), options: how.split_whitespace().collect() }
    }

    fn has(&self, option: &str) -> bool {
        self.options.contains(&option)
    }

    fn value(&self, option: &str) -> Option<&'a str> {
        self.options.iter().find_map(|given| given.strip_prefix(option)?.strip_prefix('='))
    }

    fn body(&self, sdp: &'static str) -> &'static str {
        if self.has("sdp") { sdp } else { "" }
    }
}

impl Flow {
    fn new() -> Self {
        Flow {
            bench: Bench::new(),
            leg: None,
            told: String::new(),
            ladder_read: 0,
            called: false,
            cseq: 0,
            invite: (0, String::new()),
            sent: Vec::new(),
            named: false,
        }
    }

    /// A comment stays, a step is played, everything else is written anew.
    fn line(&mut self, line: &str) {
        if line.is_empty() || line.starts_with('#') {
            self.told.push_str(line);
            self.told.push('\n');
            return;
        }
        let (time, what) = line.trim_start().split_once(' ').expect("a time and what happens");
        let what = what.trim_start();
        let peer = what.strip_prefix("us < ");
        let user = what.strip_prefix("we ");
        if peer.is_none() && user.is_none() {
            return;
        }
        let at = Duration::from_secs_f64(time.parse().expect("a time in seconds"));
        let at = Instant::ZERO + Duration::from_millis(at.as_secs_f64().mul_add(1000.0, 0.5) as u64);
        self.bench.pass(at.since(self.bench.now));
        self.tell();
        let _ = writeln!(self.told, "{line}");
        match (peer, user) {
            (Some(step), _) => {
                self.peer(&Step::of(step));
                // The line that the bench writes about it stands in the file already.
                let written = self.bench.ladder[self.ladder_read..].find('\n').expect("a line about it");
                self.ladder_read += written + 1;
            }
            (_, Some(step)) => self.user(&Step::of(step)),
            (None, None) => {}
        }
        self.tell();
    }

    fn tell(&mut self) {
        self.told.push_str(&self.bench.ladder[self.ladder_read..]);
        self.ladder_read = self.bench.ladder.len();
    }

    /// The one the story began with.
    fn leg(&self) -> LegKey {
        self.leg.or(self.bench.incoming.first().copied()).expect("a leg")
    }

    fn user(&mut self, step: &Step<'_>) {
        let (now, number) = (self.bench.now, step.words.get(1).and_then(|text| text.parse().ok()));
        let [verb, ..] = step.words[..] else { panic!("what we do is not said") };
        if verb == "call" {
            self.leg = Some(self.bench.call());
            return;
        }
        if verb == "call-by-name" {
            self.named = true;
            super::named::named(&mut self.bench, Some(Transport::Udp), |_| {});
            super::named::answer(&mut self.bench);
            self.leg = Some(super::named::call(&mut self.bench));
            return;
        }
        if verb == "wait" {
            return;
        }
        let leg = match &self.bench.incoming[..] {
            [.., last] if step.has("new") => *last,
            [.., before, _] if step.has("before") => *before,
            _ => self.leg(),
        };
        let bench = &mut self.bench;
        match verb {
            "ring" => bench.ua.provisional(now, leg, 180, None, &mut bench.out).expect("it can ring"),
            "answer" => bench.ua.answer(now, leg, ANSWER.as_bytes(), &mut bench.out).expect("it rings"),
            "reject" => {
                let code = number.expect("a code");
                bench.ua.reject(now, leg, code, Reason::default(), &mut bench.out).expect("it rings");
            }
            "hangup" => bench.ua.hangup(now, leg, Reason::default(), &mut bench.out),
            "offer" => bench.ua.reinvite(now, leg, OFFER.as_bytes(), &mut bench.out).expect("it stands"),
            "answer-offer" => {
                bench.ua.answer_reinvite(now, leg, ANSWER.as_bytes(), &mut bench.out).expect("an offer");
            }
            "accept-refer" => bench.ua.accept_refer(now, leg, &mut bench.out).expect("a transfer"),
            "notify" => {
                bench.ua.notify_refer(now, leg, number.expect("a code"), &mut bench.out).expect("a transfer");
            }
            "refer" => {
                bench.ua.refer(now, leg, b"sip:4000@192.0.2.7", None, &mut bench.out).expect("it stands");
            }
            other => panic!("we do not know how to {other}"),
        }
        bench.note();
    }

    fn peer(&mut self, step: &Step<'_>) {
        let first = step.words[0];
        let key = step.words.join(" ");
        let text = if step.has("resent") {
            let found = self.sent.iter().rev().find(|(sent, _)| *sent == key);
            found.unwrap_or_else(|| panic!("{key} was not sent before")).1.clone()
        } else if let Ok(status) = first.parse() {
            self.response(status, step)
        } else if first == "REGISTER" {
            self.register(step)
        } else {
            self.request(first, step)
        };
        let source = match first {
            "REGISTER" => address("192.0.2.50:1024"),
            _ if self.named => address(&super::named::last_to(&self.bench)),
            _ => self.bench.peer,
        };
        self.sent.push((key, text.clone()));
        self.bench.receive_from(source, &text);
    }

    fn response(&self, status: u16, step: &Step<'_>) -> String {
        let method = step.words.get(1).map_or(Method::Invite, |method| Method::from_bytes(method.as_bytes()));
        let tag = step.value("tag").unwrap_or(if status == 100 { "" } else { "them" });
        let mut more = String::new();
        if method == Method::Invite && status > 100 {
            let contact = step.value("contact").unwrap_or("<sip:b@192.0.2.9:5060>");
            let _ = write!(more, "Contact: {contact}\r\n");
        }
        if let Some(route) = step.value("record-route") {
            let _ = write!(more, "Record-Route: {route}\r\n");
        }
        if let Some(rseq) = step.value("rseq") {
            let _ = write!(more, "Require: 100rel\r\nRSeq: {rseq}\r\n");
        }
        if let Some(nonce) = step.value("nonce") {
            let realm = format!("realm=\"{}\"", step.value("realm").unwrap_or("r"));
            more.push_str(&CHALLENGE.replace("n1", nonce).replace("realm=\"r\"", &realm));
        }
        let requests = self.bench.sent.iter().rev().map(|(_, message)| message);
        let request = requests.into_iter().find(|message| message.is_request() && message.method() == method);
        response_text(request.expect("a request of ours"), status, tag, &more, step.body(ANSWER))
    }

    fn register(&mut self, step: &Step<'_>) -> String {
        self.cseq += 1;
        let mut more = match step.value("contact") {
            Some(contact) => format!("Contact: {contact}\r\n"),
            None => String::new(),
        };
        if let Some(expires) = step.value("expires") {
            let _ = write!(more, "Expires: {expires}\r\n");
        }
        if let Some(password) = step.value("password") {
            more.push_str(&credentials(&self.bench, "REGISTER", "sip:192.0.2.1", "1001", password));
        }
        super::registering::register_text(self.cseq, &more)
    }

    /// From, To and Call-ID of what somebody else sends, who has a dialog of his own with us or wants one.
    fn dialog_of(&self, who: &str) -> [String; 3] {
        let call_id = format!("flow-{who}");
        let ours = |message: &&Message| !message.is_request() && message.call_id() == call_id.as_bytes();
        let last = self.bench.sent.iter().rev().map(|(_, message)| message).find(ours);
        let to = last.and_then(|message| message.to_tag());
        let to = to.map(|tag| format!(";tag={}", text(Some(tag)))).unwrap_or_default();
        [format!("<sip:{who}@192.0.2.9>;tag={who}"), format!("<sip:4000@192.0.2.1>{to}"), call_id]
    }

    /// Replaces with the dialog of the story's beginning, or of somebody else.
    fn replaces(&self, whose: &str) -> String {
        let [from, to, call_id] = if whose.is_empty() { self.dialog("them") } else { self.dialog_of(whose) };
        let tag = |address: &str| address.rsplit_once(";tag=").expect("a tag").1.to_owned();
        format!("Replaces: {call_id};to-tag={};from-tag={}", tag(&to), tag(&from))
    }

    /// From, To and Call-ID of what the peer sends within the dialog, or to make one.
    fn dialog(&self, tag: &str) -> [String; 3] {
        if self.called {
            let mut responses = self.bench.sent.iter().rev().map(|(_, message)| message);
            let ours = responses.find_map(|message| {
                let to_invite = !message.is_request()
                    && message.method() == Method::Invite
                    && message.call_id() == b"flow";
                message.to_tag().filter(|_| to_invite)
            });
            let to = ours.map(|tag| format!(";tag={}", text(Some(tag)))).unwrap_or_default();
            return [
                "<sip:13800138000@192.0.2.9>;tag=them".into(),
                format!("<sip:4000@192.0.2.1>{to}"),
                "flow".into(),
            ];
        }
        let invite = self.bench.last(Method::Invite);
        [
            format!("{};tag={tag}", text(invite.header(HeaderName::To))),
            text(invite.header(HeaderName::From)),
            text(Some(invite.call_id())),
        ]
    }

    fn request(&mut self, method: &str, step: &Step<'_>) -> String {
        let initial = method == "INVITE" && self.leg.is_none() && self.invite.0 == 0;
        self.called |= initial;
        let [from, to, call_id] = match step.value("from") {
            Some(who) => self.dialog_of(who),
            None => self.dialog(step.value("tag").unwrap_or("them")),
        };
        let refused = self.bench.sent.iter().rev().map(|(_, message)| message).find(|message| {
            !message.is_request() && message.method() == Method::Invite && message.status() >= 200
        });
        let refused = refused.is_some_and(|message| message.status() >= 300);
        let (number, branch) = match method {
            "CANCEL" => self.invite.clone(),
            "ACK" if step.has("of-the-first") => (1, "z9hG4bKack1".into()),
            "ACK" if refused => self.invite.clone(),
            "ACK" => (self.invite.0, format!("z9hG4bKack{}", self.invite.0)),
            _ => {
                self.cseq += 1;
                (self.cseq, format!("z9hG4bK{method}{}", self.cseq))
            }
        };
        if method == "INVITE" {
            self.invite = (number, branch.clone());
        }
        // A CANCEL is what its INVITE was, the ACK to a refusal has the tag of the refusal.
        let to = if method == "CANCEL" && self.invite.0 == 1 { "<sip:4000@192.0.2.1>".into() } else { to };
        let mut more = String::new();
        if matches!(method, "INVITE" | "UPDATE" | "REFER" | "SUBSCRIBE") {
            let contact = step.value("contact").unwrap_or("<sip:b@192.0.2.9:5060>");
            let _ = write!(more, "Contact: {contact}\r\n");
        }
        for (option, header) in [
            ("refer-to", "Refer-To"),
            ("rack", "RAck"),
            ("event", "Event"),
            ("state", "Subscription-State"),
            ("record-route", "Record-Route"),
            ("require", "Require"),
            ("join", "Join"),
        ] {
            if let Some(value) = step.value(option) {
                let _ = write!(more, "{header}: {}\r\n", value.replace('_', " "));
            }
        }
        if step.has("replaces") || step.value("replaces").is_some() {
            let early = if step.has("early-only") { ";early-only" } else { "" };
            let _ = write!(more, "{}{early}\r\n", self.replaces(step.value("replaces").unwrap_or_default()));
        }
        let body = match step.value("fragment") {
            Some(code) => format!("SIP/2.0 {code} x\r\n"),
            None => step.body(if method == "ACK" || step.has("answer") { ANSWER } else { OFFER }).to_owned(),
        };
        format!(
            "{method} sip:4000@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch={branch}\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {number} {method}\r\n{more}{}",
            body_text(&body)
        )
    }
}

flows! {
    rfc3665_2_1_new_registration "rfc3665-2.1-new-registration.txt";
    rfc3665_2_2_update_of_contact_list "rfc3665-2.2-update-of-contact-list.txt";
    rfc3665_2_3_request_for_current_contact_list "rfc3665-2.3-request-for-current-contact-list.txt";
    rfc3665_2_4_cancellation_of_registration "rfc3665-2.4-cancellation-of-registration.txt";
    rfc3665_2_5_unsuccessful_registration "rfc3665-2.5-unsuccessful-registration.txt";
    rfc3665_3_1_session_as_callee "rfc3665-3.1-session-as-callee.txt";
    rfc3665_3_1_session_as_caller "rfc3665-3.1-session-as-caller.txt";
    rfc3665_3_10_no_response "rfc3665-3.10-no-response.txt";
    rfc3665_3_10_silence "rfc3665-3.10-silence.txt";
    rfc3665_3_11_temporarily_unavailable "rfc3665-3.11-temporarily-unavailable.txt";
    rfc3665_3_2_through_two_proxies "rfc3665-3.2-through-two-proxies.txt";
    rfc3665_3_3_proxy_authentication "rfc3665-3.3-proxy-authentication.txt";
    rfc3665_3_4_proxy_failure "rfc3665-3.4-proxy-failure.txt";
    rfc3665_3_5_through_an_alg "rfc3665-3.5-through-an-alg.txt";
    rfc3665_3_5_through_an_alg_as_callee "rfc3665-3.5-through-an-alg-as-callee.txt";
    rfc3665_3_6_redirect "rfc3665-3.6-redirect.txt";
    rfc3665_3_6_redirect_with_sdp_in_ack "rfc3665-3.6-redirect-with-sdp-in-ack.txt";
    rfc3665_3_7_reinvite_with_new_address "rfc3665-3.7-reinvite-with-new-address.txt";
    rfc3665_3_8_no_answer "rfc3665-3.8-no-answer.txt";
    rfc3665_3_8_no_answer_as_callee "rfc3665-3.8-no-answer-as-callee.txt";
    rfc3665_3_9_busy "rfc3665-3.9-busy.txt";
    rfc3665_3_9_busy_as_callee "rfc3665-3.9-busy-as-callee.txt";
    rfc5359_2_1_call_hold "rfc5359-2.1-call-hold.txt";
    rfc5359_2_10_third_party_is_added "rfc5359-2.10-third-party-is-added.txt";
    rfc5359_2_11_third_party_joins "rfc5359-2.11-third-party-joins.txt";
    rfc5359_2_12_find_me_forks "rfc5359-2.12-find-me-forks.txt";
    rfc5359_2_13_call_screening "rfc5359-2.13-call-screening.txt";
    rfc5359_2_15_call_park "rfc5359-2.15-call-park.txt";
    rfc5359_2_16_call_pickup "rfc5359-2.16-call-pickup.txt";
    rfc5359_2_17_automatic_redial "rfc5359-2.17-automatic-redial.txt";
    rfc5359_2_18_click_to_dial "rfc5359-2.18-click-to-dial.txt";
    rfc5359_2_2_consultation_hold "rfc5359-2.2-consultation-hold.txt";
    rfc5359_2_3_music_on_hold "rfc5359-2.3-music-on-hold.txt";
    rfc5359_2_4_transfer_unattended "rfc5359-2.4-transfer-unattended.txt";
    rfc5359_2_4_transfer_unattended_as_transferor "rfc5359-2.4-transfer-unattended-as-transferor.txt";
    rfc5359_2_5_transfer_attended "rfc5359-2.5-transfer-attended.txt";
    rfc5359_2_5_transfer_attended_as_target "rfc5359-2.5-transfer-attended-as-target.txt";
    rfc5359_2_7_call_forwarding_unconditional "rfc5359-2.7-call-forwarding-unconditional.txt";
    rfc5359_2_8_call_forwarding_busy "rfc5359-2.8-call-forwarding-busy.txt";
    rfc5359_2_8_call_forwarding_busy_by_302 "rfc5359-2.8-call-forwarding-busy-by-302.txt";
    rfc5359_2_9_call_forwarding_no_answer "rfc5359-2.9-call-forwarding-no-answer.txt";
    rfc5359_2_9_call_forwarding_no_answer_by_302 "rfc5359-2.9-call-forwarding-no-answer-by-302.txt";
    rfc5407_3_1_1_invite_repeated_when_answered "rfc5407-3.1.1-invite-repeated-when-answered.txt";
    rfc5407_3_1_2_cancel_meets_200_as_caller "rfc5407-3.1.2-cancel-meets-200-as-caller.txt";
    rfc5407_3_1_2_cancel_when_answered "rfc5407-3.1.2-cancel-when-answered.txt";
    rfc5407_3_1_3_bye_in_early_state_when_answered "rfc5407-3.1.3-bye-in-early-state-when-answered.txt";
    rfc5407_3_1_4_reinvite_before_ack "rfc5407-3.1.4-reinvite-before-ack.txt";
    rfc5407_3_1_5_reinvite_before_ack_with_answer "rfc5407-3.1.5-reinvite-before-ack-with-answer.txt";
    rfc5407_3_1_6_bye_before_ack "rfc5407-3.1.6-bye-before-ack.txt";
    rfc5407_3_2_1_bye_meets_bye "rfc5407-3.2.1-bye-meets-bye.txt";
    rfc5407_3_2_1_bye_meets_bye_as_caller "rfc5407-3.2.1-bye-meets-bye-as-caller.txt";
    rfc5407_3_2_2_reinvite_meets_bye "rfc5407-3.2.2-reinvite-meets-bye.txt";
    rfc5407_3_2_3_200_to_reinvite_meets_bye "rfc5407-3.2.3-200-to-reinvite-meets-bye.txt";
    rfc5407_3_2_4_ack_meets_bye "rfc5407-3.2.4-ack-meets-bye.txt";
    rfc5407_3_3_1_bye_in_an_open_reinvite "rfc5407-3.3.1-bye-in-an-open-reinvite.txt";
    rfc5407_3_3_2_glare_as_callee "rfc5407-3.3.2-glare-as-callee.txt";
    rfc5407_3_3_2_glare_as_caller "rfc5407-3.3.2-glare-as-caller.txt";
    rfc5407_3_3_3_reinvite_and_update "rfc5407-3.3.3-reinvite-and-update.txt";
    rfc5407_3_3_4_refer_meets_bye "rfc5407-3.3.4-refer-meets-bye.txt";
    rfc5407_a_bye_overtakes_200 "rfc5407-a-bye-overtakes-200.txt";
    rfc5407_b_cancel_before_provisional "rfc5407-b-cancel-before-provisional.txt";
    rfc5407_e_forks_with_new_tags "rfc5407-e-forks-with-new-tags.txt";
}
