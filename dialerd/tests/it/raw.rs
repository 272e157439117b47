//! The two ends of a call that passes through, their SIP said word by word and their sound packet by packet: what no phone
//! does by itself.

use crate::harness::Place;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// Far longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);
/// 20 ms of G.711.
pub const SAMPLES: usize = 160;

/// Trunks and routes: 7 goes from callers to callees, through us.
pub fn configure(place: &Place, media: &str) {
    place.configure(&format!(
        "[[trunk]]\nname = \"callers\"\naddress = \"{0}:5061\"\nsources = [\"{0}\"]\noptions_interval_ms = 0\n\
         [[trunk]]\nname = \"callees\"\naddress = \"{1}:5070\"\nsources = [\"{1}\"]\noptions_interval_ms = 0\n\
         [[route]]\nfrom = \"callers\"\nprefix = \"7\"\nto = \"callees\"\nmedia = \"relay\"\n",
        place.phones, place.carrier
    ));
    let file = place.config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, text.replacen("[media]\n", &format!("[media]\n{media}"), 1)).unwrap();
}

/// What comes to a socket, read with patience.
pub fn bound(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

/// The values of a header, in order, as they stand.
fn headers<'a>(message: &'a str, name: &str) -> Vec<&'a str> {
    let lines = message.split("\r\n\r\n").next().unwrap().split("\r\n").skip(1);
    let of_name = lines.filter_map(|line| line.split_once(':'));
    of_name.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where a description wants its sound.
fn described(message: &str) -> SocketAddr {
    let value = |start: &str| {
        let line = message.lines().find_map(|line| line.strip_prefix(start));
        line.unwrap_or_else(|| panic!("no {start} in {message}")).to_owned()
    };
    let host = value("c=IN IP4 ");
    let port = value("m=audio ").split(' ').next().unwrap().to_owned();
    format!("{host}:{port}").parse().unwrap()
}

fn description(sound: &UdpSocket, payload_type: u8) -> String {
    let at = sound.local_addr().unwrap();
    format!(
        "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/AVP {payload_type}\r\n",
        at.ip(),
        at.port()
    )
}

/// One end: its signalling, its sound, and where we want the sound.
pub struct End {
    pub signalling: UdpSocket,
    pub sound: UdpSocket,
    pub ours: SocketAddr,
    pub payload_type: u8,
    /// The first byte of its sound, which nobody else's begins with.
    pub mark: u8,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl End {
    /// The next 20 ms of its sound, as a packet; it is not sent.
    pub fn next(&mut self) -> Vec<u8> {
        let mut packet = vec![0x80, self.payload_type];
        packet.extend(self.sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(self.ssrc.to_be_bytes());
        // Loud in both laws.
        packet.extend((0..SAMPLES).map(|i| if i / 8 % 2 == 0 { self.mark } else { self.mark | 0x80 }));
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES as u32);
        packet
    }

    /// A stranger who speaks to the same port of ours; `knowing`: with its names and numbers.
    pub fn stranger(&self, sound: UdpSocket, knowing: bool) -> End {
        let (ssrc, sequence, timestamp) = match knowing {
            true => (self.ssrc, self.sequence, self.timestamp),
            false => (self.ssrc ^ 0x5555, 9_000, 77_000),
        };
        let signalling = self.signalling.try_clone().unwrap();
        let (ours, payload_type, mark) = (self.ours, self.payload_type, self.mark + 1);
        End { signalling, sound, ours, payload_type, mark, ssrc, sequence, timestamp }
    }

    pub fn say(&mut self) {
        let packet = self.next();
        self.sound.send_to(&packet, self.ours).unwrap();
    }

    /// Waits for the next RTP packet that comes to a socket of its.
    pub fn hear_at(socket: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 2_000];
        loop {
            let (length, _) = socket.recv_from(&mut buffer).expect("sound comes");
            // Reports have sockets of their own, or types from 64 on.
            if length >= 12 && buffer[1] & 0x7F < 64 {
                return buffer[..length].to_vec();
            }
        }
    }

    pub fn hear(&self) -> Vec<u8> {
        Self::hear_at(&self.sound)
    }

    /// What has come to a socket of its by now: the first bytes of the sound.
    pub fn take(socket: &UdpSocket) -> Vec<u8> {
        let mut buffer = [0; 2_000];
        let mut marks = Vec::new();
        socket.set_nonblocking(true).unwrap();
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            if length > 12 && buffer[1] & 0x7F < 64 {
                marks.push(buffer[12]);
            }
        }
        socket.set_nonblocking(false).unwrap();
        marks
    }
}

/// A call that is up.
pub struct Pair {
    pub caller: End,
    pub callee: End,
    /// The caller's dialog.
    request: String,
    to: String,
    contact: String,
}

impl Pair {
    /// A call from the one trunk to the other, answered. `payload_types`: the codec of either side.
    pub fn up(place: &Place, payload_types: [u8; 2]) -> Pair {
        let caller_signalling = bound(&format!("{}:5061", place.phones));
        let callee_signalling = bound(&format!("{}:5070", place.carrier));
        let (caller_sound, callee_sound) =
            (bound(&format!("{}:0", place.phones)), bound(&format!("{}:0", place.carrier)));
        let server: SocketAddr = format!("{}:5060", place.daemon).parse().unwrap();
        let request = format!(
            "Via: SIP/2.0/UDP {0}:5061;branch=z9hG4bK-BRANCH\r\nMax-Forwards: 70\r\nFrom: <sip:1000@{0}>;tag=caller\r\n\
             Call-ID: raw-{1}\r\nContact: <sip:1000@{0}:5061>\r\n",
            place.phones,
            caller_sound.local_addr().unwrap().port()
        );
        let offer = description(&caller_sound, payload_types[0]);
        let invite = format!(
            "INVITE sip:7100@{server} SIP/2.0\r\n{}To: <sip:7100@{server}>\r\nCSeq: 1 INVITE\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
            request.replace("BRANCH", "invite"),
            offer.len()
        );
        caller_signalling.send_to(invite.as_bytes(), server).unwrap();
        let invited = receive(&callee_signalling, |message| message.starts_with("INVITE "));
        let answer = description(&callee_sound, payload_types[1]);
        let ok = response(
            &invited,
            &format!(
                "Contact: <sip:7100@{}:5070>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{answer}",
                place.carrier,
                answer.len()
            ),
        );
        callee_signalling.send_to(ok.as_bytes(), server).unwrap();
        let answered = receive(&caller_signalling, |message| message.starts_with("SIP/2.0 200 "));
        let (to, contact) = (headers(&answered, "To")[0].to_owned(), headers(&answered, "Contact")[0]);
        let contact = contact.trim_start_matches('<').split('>').next().unwrap().to_owned();
        let pair = Pair {
            caller: End {
                ours: described(&answered),
                signalling: caller_signalling,
                sound: caller_sound,
                payload_type: payload_types[0],
                mark: 0x10,
                ssrc: 0x1111_0000,
                sequence: 100,
                timestamp: 5_000,
            },
            callee: End {
                ours: described(&invited),
                signalling: callee_signalling,
                sound: callee_sound,
                payload_type: payload_types[1],
                mark: 0x18,
                ssrc: 0x2222_0000,
                sequence: 200,
                timestamp: 9_000,
            },
            request,
            to,
            contact,
        };
        pair.send("ACK", 1, server);
        receive(&pair.callee.signalling, |message| message.starts_with("ACK "));
        pair
    }

    fn send(&self, method: &str, number: u32, server: SocketAddr) {
        let message = format!(
            "{method} {} SIP/2.0\r\n{}To: {}\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n",
            self.contact,
            self.request.replace("BRANCH", &method.to_lowercase()),
            self.to
        );
        self.caller.signalling.send_to(message.as_bytes(), server).unwrap();
    }

    /// The caller hangs up; both sides are done.
    pub fn hang_up(&self, place: &Place) {
        self.send("BYE", 2, format!("{}:5060", place.daemon).parse().unwrap());
        let bye = receive(&self.callee.signalling, |message| message.starts_with("BYE "));
        let server: SocketAddr = format!("{}:5060", place.daemon).parse().unwrap();
        let ok = response(&bye, "Content-Length: 0\r\n\r\n");
        self.callee.signalling.send_to(ok.as_bytes(), server).unwrap();
        receive(&self.caller.signalling, |message| {
            message.starts_with("SIP/2.0 200 ") && headers(message, "CSeq")[0].ends_with("BYE")
        });
    }
}

/// Waits for a message of a sort; others are repetitions, or of no interest.
fn receive(socket: &UdpSocket, is_it: impl Fn(&str) -> bool) -> String {
    let mut buffer = [0; 10_000];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).expect("a message comes");
        let message = text(&buffer[..length]);
        if is_it(&message) {
            return message;
        }
    }
}

/// 200 to a request.
fn response(request: &str, rest: &str) -> String {
    let mut response = String::from("SIP/2.0 200 OK\r\n");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        for value in headers(request, name) {
            response.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    let to = headers(request, "To")[0];
    let tag = if to.contains(";tag=") { "" } else { ";tag=callee" };
    response.push_str(&format!("To: {to}{tag}\r\n"));
    response + rest
}
