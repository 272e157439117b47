//! Trunks: registration there and health by OPTIONS.

use expect_test::expect;

use super::*;

pub(super) fn trunk(change: impl FnOnce(&mut Trunk)) -> Trunk {
    let mut trunk = Trunk {
        key: 1,
        listener: 0,
        address: address("192.0.2.9:5060"),
        wanted: None,
        domain: "carrier.example".into(),
        sources: vec![("192.0.2.9".parse().expect("an address"), None)],
        networks: Vec::new(),
        certificate_names: Vec::new(),
        login: Some(Login { username: "us".into(), password: "secret".into() }),
        register: None,
        options_interval: None,
        cps_max: 100_000.0,
        overload_control: false,
        pace: sansio::SharedPace::new(1e5),
    };
    change(&mut trunk);
    trunk
}

impl Bench {
    fn set(&mut self, change: impl FnOnce(&mut Trunk)) -> &mut Self {
        self.ua.set_trunk(self.now, trunk(change), &mut self.out);
        self.note();
        self
    }

    fn drop_trunk(&mut self) -> &mut Self {
        self.ua.remove_trunk(self.now, 1, &mut self.out);
        self.note();
        self
    }

    /// Passes time until another request of this method goes out; gives how long that took.
    fn until(&mut self, method: Method) -> Duration {
        let before = self
            .sent
            .iter()
            .filter(|(_, message)| message.method() == method && message.is_request())
            .count();
        let start = self.now;
        while self
            .sent
            .iter()
            .filter(|(_, message)| message.method() == method && message.is_request())
            .count()
            == before
        {
            assert!(self.now.since(start) < Duration::from_secs(4000), "never:\n{}", self.ladder);
            self.pass_ms(1);
        }
        self.now.since(start)
    }
}

#[test]
fn a_registration() {
    check(
        |bench| {
            bench.set(|trunk| trunk.register = Some(Duration::from_secs(600)));
            assert!(bench.until(Method::Register) <= Duration::from_secs(1));
            let register = bench.last(Method::Register);
            assert_eq!(register.request_uri(), b"sip:carrier.example");
            assert_eq!(text(register.header(HeaderName::Contact)), "<sip:us@192.0.2.1:5060>");
            assert_eq!(register.expires(), Some(600));
            let challenge = "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\r\n";
            bench.respond(Method::Register, 401, "x", challenge, "");
            assert!(bench.last(Method::Register).has(HeaderName::Authorization));
            bench.respond(
                Method::Register,
                200,
                "x",
                "Contact: <sip:other@h>;expires=7\r\nContact: <sip:us@192.0.2.1:5060>;expires=100\r\n",
                "",
            );
            assert_eq!(bench.until(Method::Register), Duration::from_secs(80));
            assert_eq!(bench.last(Method::Register).cseq().0, 3);
            // The refresh carries credentials at once.
            assert!(bench.last(Method::Register).has(HeaderName::Authorization));
            bench.respond(Method::Register, 200, "x", "Expires: 50\r\n", "");
            assert_eq!(bench.until(Method::Register), Duration::from_secs(40));
            bench.respond(Method::Register, 423, "x", "Min-Expires: 900\r\n", "");
            assert_eq!(bench.last(Method::Register).expires(), Some(900));
            bench.respond(Method::Register, 200, "x", "", "");
            bench.drop_trunk();
            assert_eq!(bench.last(Method::Register).expires(), Some(0));
            bench.respond(Method::Register, 200, "x", "", "");
        },
        &expect![[r#"
            0.184  us > REGISTER
            0.184  us < 401
            0.184  us > REGISTER
            0.184  us < 200
            0.184  trunk 1 registered true Some(200)
            80.184  us > REGISTER
            80.184  us < 200
            120.184  us > REGISTER
            120.184  us < 423
            120.184  us > REGISTER
            120.184  us < 200
            120.184  us > REGISTER
            120.184  us < 200
        "#]],
    );
}

/// Refused, silent, refused with Retry-After: each wait is longer; what was granted holds until it lapses.
#[test]
fn a_registration_that_fails() {
    let mut bench = Bench::new();
    bench.set(|trunk| trunk.register = Some(Duration::from_secs(100)));
    bench.until(Method::Register);
    bench.respond(Method::Register, 200, "x", "", "");
    assert_eq!(bench.until(Method::Register), Duration::from_secs(80));
    let mut expected = 5.0;
    for _ in 0..4 {
        bench.respond(Method::Register, 503, "x", "", "");
        let wait = bench.until(Method::Register).as_secs_f64();
        assert!((0.89 * expected..1.11 * expected).contains(&wait), "{wait}");
        expected *= 2.0;
    }
    bench.respond(Method::Register, 503, "x", "Retry-After: 100\r\n", "");
    assert_eq!(bench.until(Method::Register), Duration::from_secs(100));
    bench.pass_ms(32_000);
    bench.until(Method::Register);
    bench.respond(Method::Register, 200, "x", "", "");
    bench.drop_trunk();
    bench.respond(Method::Register, 200, "x", "", "");
    bench.is_clean();
    let told: Vec<&str> = bench.ladder.lines().filter(|line| line.contains("trunk 1 registered")).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1].contains("registered false None") && told[2].contains("registered true"), "{told:?}");
}

#[test]
fn a_wrong_password_at_the_carrier_is_not_tried_at_once_again() {
    let mut bench = Bench::new();
    bench.set(|trunk| trunk.register = Some(Duration::from_secs(100)));
    bench.until(Method::Register);
    let challenge = "WWW-Authenticate: Digest realm=\"r\",nonce=\"n\",qop=\"auth\"\r\n";
    bench.respond(Method::Register, 401, "x", challenge, "");
    bench.respond(Method::Register, 401, "x", challenge, "");
    assert!(bench.ladder.contains("trunk 1 registered false Some(401)"), "{}", bench.ladder);
    assert!(bench.until(Method::Register) > Duration::from_secs(4));
    bench.drop_trunk().is_clean();
}

#[test]
fn health() {
    let mut bench = Bench::new();
    bench.set(|trunk| trunk.options_interval = Some(Duration::from_secs(10)));
    assert!(bench.until(Method::Options) <= Duration::from_secs(1));
    bench.pass_ms(15).respond(Method::Options, 404, "x", "", "");
    assert!(bench.ladder.contains("trunk 1 up true Some(15ms) Some(404)"), "{}", bench.ladder);
    for status in [503, 408] {
        bench.until(Method::Options);
        bench.respond(Method::Options, status, "x", "", "");
    }
    assert!(!bench.ladder.contains("up false"));
    // The third miss is silence.
    bench.until(Method::Options);
    bench.pass_ms(9_999);
    assert!(!bench.ladder.contains("up false"), "{}", bench.ladder);
    bench.pass_ms(1);
    assert!(bench.ladder.contains("trunk 1 up false None None"), "{}", bench.ladder);
    bench.pass_ms(1).respond(Method::Options, 200, "x", "", "");
    assert!(bench.ladder.ends_with("trunk 1 up true Some(1ms) Some(200)\n"), "{}", bench.ladder);
    bench.drop_trunk().is_clean();
}

/// A source with a port goes before one without; removing one trunk leaves a shared address to the other.
#[test]
fn who_calls() {
    let mut bench = Bench::new();
    bench.set(|_| {});
    let other = Trunk {
        key: 2,
        sources: vec![
            ("192.0.2.9".parse().expect("an address"), Some(5070)),
            ("192.0.2.9".parse().expect("an address"), None),
        ],
        ..trunk(|_| {})
    };
    bench.ua.set_trunk(bench.now, other, &mut bench.out);
    assert_eq!(
        bench.ua.trunk_of(Arrival {
            listener: 0,
            source: address("192.0.2.9:5060"),
            standing: Standing::Stranger,
            overload: None,
        }),
        Some(1)
    );
    assert_eq!(
        bench.ua.trunk_of(Arrival {
            listener: 0,
            source: address("192.0.2.9:5070"),
            standing: Standing::Stranger,
            overload: None,
        }),
        Some(2)
    );
    assert_eq!(
        bench.ua.trunk_of(Arrival {
            listener: 0,
            source: address("[::ffff:192.0.2.9]:5070"),
            standing: Standing::Stranger,
            overload: None,
        }),
        Some(2)
    );
    bench.drop_trunk();
    assert_eq!(
        bench.ua.trunk_of(Arrival {
            listener: 0,
            source: address("192.0.2.9:5060"),
            standing: Standing::Stranger,
            overload: None,
        }),
        Some(2)
    );
    assert_eq!(
        bench.ua.trunk_of(Arrival {
            listener: 0,
            source: address("192.0.2.8:5060"),
            standing: Standing::Stranger,
            overload: None,
        }),
        None
    );
}
