//! Callers and callees on one thread, around a B2BUA: caller → system under test → callee.
//!
//! Calls are started by the clock, whatever the system does (open loop, as RFC 7502 wants a rate to be offered).
//! Both ends are ours, so that a call that fails is known from both sides. Retransmissions come at a fixed 500 ms
//! and are counted: in a clean run there are none.

use super::daemon::OnWire;
use super::message::{Message, address, number, uri};
use super::meter::{Meter, Spent};
use super::port::Port;
use super::process::{Used, open_files, resident_kib};
use super::sound::{Sound, SoundFigures};
use super::wait;
use bytes::{BufMut, Bytes, BytesMut};
use runtime::udp::ReceiveBatch;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// First and following waits for an answer or an ACK.
const RESEND: Duration = Duration::from_millis(500);
/// A request or a 200 that nobody has answered for so long has failed.
const GIVE_UP: Duration = Duration::from_secs(10);
/// After the last call should have ended, stragglers get so long.
const STRAGGLERS: Duration = Duration::from_secs(18);
/// What is under way when the sound ends gets at most so long to arrive.
const DRAIN: Duration = Duration::from_secs(5);
/// Calls started in one turn at most, so that answers are read in between.
const STARTS_PER_TURN: usize = 32;

/// What to generate.
#[derive(Clone)]
pub struct Plan {
    /// The system under test.
    pub target: SocketAddr,
    /// Where calls come from.
    pub caller: SocketAddr,
    /// Where the system under test must send them on to.
    pub callee: SocketAddr,
    /// Processes whose time and memory are measured together.
    pub processes: Vec<u32>,
    /// Calls started per second.
    pub rate: f64,
    /// Calls in all.
    pub calls: usize,
    /// What happens between answer and BYE.
    pub shape: Shape,
    /// Beginning of every dialled number.
    pub prefix: String,
    /// Sleep while nothing is to be done. Else the core is kept awake, so that no wake-up is paid for by the system
    /// under test; but whoever never sleeps is made to, for milliseconds, where others want the core too. While sound is
    /// measured with a meter it does not sleep in any case.
    pub sleeps: bool,
    /// More header lines for INVITEs and their 200s, each with its line end.
    pub headers: &'static str,
    /// Takes what is left of the core of the system under test (held).
    pub meter: Option<Arc<Meter>>,
    /// Sound goes out on this wire, past our own network stack (held, IPv4).
    pub wire: Option<OnWire>,
    /// So many calls come first and settle, and their memory is noted before the others come (held).
    pub plateau: Option<usize>,
}

/// What happens between answer and BYE.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Each call ends by itself after this long.
    Flow(Duration),
    /// All calls are held together; time and memory are measured while they are.
    Held {
        /// Quiet time before measuring.
        settle: Duration,
        /// Time of measuring.
        window: Duration,
        /// RTP both ways, 50 packets a second each, during the window.
        sound: bool,
    },
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Calls started.
    pub calls: usize,
    /// Calls that were set up, held and ended as they should.
    pub good: usize,
    /// All others.
    pub failed: usize,
    /// Final responses other than 2xx; 1 stands for none at all, 2 for a BYE without answer.
    pub codes: BTreeMap<u16, u64>,
    /// Requests and 200s we had to repeat.
    pub resent: u64,
    /// Messages that came again.
    pub repeated: u64,
    /// Messages that fit nothing.
    pub unexpected: u64,
    /// UPDATEs answered: sessions refreshed (RFC 4028).
    pub refreshes: u64,
    /// Rate asked for.
    pub offered: f64,
    /// Calls answered per second of the time in which they were started.
    pub sustained: f64,
    /// Most calls up at once.
    pub held_max: usize,
    /// INVITE → 200, sorted, microseconds.
    pub setup_us: Vec<u32>,
    /// INVITE sent to the system under test → INVITE at the callee, sorted, microseconds.
    pub passed_us: Vec<u32>,
    /// Processor time of the process during the run (flow) or the window (held).
    pub used: Used,
    /// The same to the microsecond, with the kernel's share in receiving (held, with a meter).
    pub spent: Spent,
    /// The same while all calls were up and silent.
    pub idle: Spent,
    /// Time that covers, seconds.
    pub used_over_s: f64,
    /// Resident before the first call, KiB.
    pub rest_kib: u64,
    /// Resident with all calls held (held), or at the end (flow), KiB.
    pub held_kib: u64,
    /// Files open with all calls held (held).
    pub held_files: u64,
    /// Resident, KiB, and files open with the first calls held (held, with a plateau).
    pub plateau: Option<(u64, u64)>,
    /// Sound, when there was any.
    pub sound: Option<SoundFigures>,
}

impl Figures {
    /// A share of the set-up times, 0..=1, milliseconds.
    #[must_use]
    pub fn setup_ms(&self, share: f64) -> f64 {
        quantile(&self.setup_us, share).map_or(f64::NAN, |us| f64::from(us) / 1000.0)
    }

    /// A share of the times an INVITE took through the system under test, 0..=1, microseconds; `None` when none came.
    #[must_use]
    pub fn passed_us(&self, share: f64) -> Option<u32> {
        quantile(&self.passed_us, share)
    }

    /// Processor time per good call, microseconds (flow).
    #[must_use]
    pub fn us_per_call(&self) -> f64 {
        self.used.us() / self.good.max(1) as f64
    }

    /// Memory that grew per held call, KiB.
    #[must_use]
    pub fn kib_per_call(&self) -> f64 {
        (self.held_kib as f64 - self.rest_kib as f64) / self.held_max.max(1) as f64
    }
}

/// The value that this share of `sorted` does not pass.
pub(super) fn quantile(sorted: &[u32], share: f64) -> Option<u32> {
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Inviting,
    Up,
    Leaving,
    Done,
    Failed,
}

/// The caller's side of a call.
struct Call {
    state: State,
    started: Instant,
    left: Instant,
    provisional: bool,
    /// To as answered, the peer's Contact, Route headers, and where requests of the dialog go.
    to: Bytes,
    target: Bytes,
    routes: Bytes,
    next: SocketAddr,
    /// The last request sent.
    request: Bytes,
}

/// The callee's side.
struct Answered {
    number: u32,
    acked: bool,
    since: Instant,
    ok: Bytes,
    peer: SocketAddr,
    sound: Option<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    /// The first calls are up.
    Plateau(Instant),
    Settling(Instant),
    Measuring(Instant),
    Draining(Instant),
    Leaving(Instant),
}

/// Callers and callees.
pub struct Generator {
    plan: Plan,
    run: u32,
    caller: Port,
    callee: Port,
    calls: Vec<Call>,
    answered: HashMap<Bytes, Answered>,
    answered_count: u32,
    to_end: VecDeque<(Instant, usize)>,
    to_repeat: VecDeque<(Instant, usize)>,
    to_repeat_ok: VecDeque<(Instant, Bytes)>,
    sound: Option<Sound>,
    up: usize,
    done: usize,
    /// Calls that may be started now, and how long none was.
    starts_max: usize,
    paused: Duration,
    leaving_next: usize,
    used_before: Used,
    spent_before: Spent,
    figures: Figures,
    started: Instant,
}

/// Runs a plan to its end. Blocks; belongs on a thread of its own, pinned beside the system under test.
///
/// # Errors
/// When ports cannot be had or the process is gone. Failed calls are figures, not errors.
pub fn run(plan: Plan) -> anyhow::Result<Figures> {
    let mut generator = Generator::new(plan)?;
    generator.work()?;
    generator.finish()
}

impl Generator {
    fn new(plan: Plan) -> anyhow::Result<Self> {
        let sound = match plan.shape {
            Shape::Held { sound: true, .. } => {
                let sound = Sound::new(plan.caller.ip(), plan.callee.ip())?;
                Some(match &plan.wire {
                    Some(wire) => sound.through(wire)?,
                    None => sound,
                })
            }
            _ => None,
        };
        let figures =
            Figures { offered: plan.rate, rest_kib: resident_kib(&plan.processes)?, ..Figures::default() };
        Ok(Generator {
            run: next_run(),
            caller: Port::new(plan.caller)?,
            callee: Port::new(plan.callee)?,
            calls: Vec::with_capacity(plan.calls),
            answered: HashMap::new(),
            answered_count: 0,
            to_end: VecDeque::new(),
            to_repeat: VecDeque::new(),
            to_repeat_ok: VecDeque::new(),
            sound,
            up: 0,
            done: 0,
            starts_max: plan.plateau.unwrap_or(plan.calls).min(plan.calls),
            paused: Duration::ZERO,
            leaving_next: 0,
            used_before: Used::of_all(&plan.processes)?,
            spent_before: Spent::default(),
            figures,
            started: Instant::now(),
            plan,
        })
    }

    fn work(&mut self) -> anyhow::Result<()> {
        let mut batch = ReceiveBatch::default();
        let mut phase = Phase::Starting;
        self.started = Instant::now();
        let starting = Duration::from_secs_f64(self.plan.calls as f64 / self.plan.rate);
        let hold = match self.plan.shape {
            Shape::Flow(hold) => hold,
            Shape::Held { settle, window, .. } if self.plan.plateau.is_some() => {
                2 * settle + window + starting
            }
            Shape::Held { settle, window, .. } => settle + window + starting,
        };
        let deadline = self.started + starting + hold + STRAGGLERS;
        loop {
            let mut worked = self.start_due();
            worked |= self.callers_turn(&mut batch)?;
            worked |= self.callees_turn(&mut batch)?;
            let now = Instant::now();
            self.timers(now);
            if let Some(sound) = &mut self.sound {
                worked |= sound.turn(now, &mut batch)?;
            }
            self.caller.flush();
            self.callee.flush();
            phase = self.next_phase(phase, now)?;
            if self.done == self.plan.calls || now > deadline {
                return Ok(());
            }
            let measuring =
                self.plan.meter.is_some() && matches!(phase, Phase::Measuring(_) | Phase::Draining(_));
            if measuring {
                std::hint::spin_loop();
            } else if !worked && self.sound.is_none() && !self.plan.sleeps {
                // Not asleep: whoever wakes a sleeping core pays for it, and that would be the system under test.
                std::thread::yield_now();
            } else if !worked {
                let mut sockets = vec![&*self.caller.socket, &*self.callee.socket];
                sockets.extend(self.sound.iter().flat_map(Sound::sockets));
                wait::readable(&sockets, Duration::from_micros(200));
            }
        }
    }

    fn next_phase(&mut self, phase: Phase, now: Instant) -> anyhow::Result<Phase> {
        let Shape::Held { settle, window, .. } = self.plan.shape else { return Ok(phase) };
        let all_up = self.calls.len() == self.starts_max && self.up + self.done >= self.starts_max;
        Ok(match phase {
            Phase::Starting if all_up && self.starts_max < self.plan.calls => Phase::Plateau(now + settle),
            Phase::Plateau(until) if now >= until => {
                self.figures.plateau =
                    Some((resident_kib(&self.plan.processes)?, open_files(&self.plan.processes)?));
                self.starts_max = self.plan.calls;
                self.paused = settle;
                Phase::Starting
            }
            Phase::Starting if all_up => {
                self.spent_before = self.spent()?;
                Phase::Settling(now + settle)
            }
            Phase::Settling(until) if now >= until => {
                self.used_before = Used::of_all(&self.plan.processes)?;
                let idle = self.spent()?;
                self.figures.idle = idle.since(self.spent_before);
                self.spent_before = idle;
                if let Some(sound) = &mut self.sound {
                    sound.begin(now)?;
                }
                Phase::Measuring(now + window)
            }
            Phase::Measuring(until) if now >= until => {
                if let Some(sound) = &mut self.sound {
                    sound.end(now);
                }
                Phase::Draining(now + DRAIN)
            }
            Phase::Draining(until)
                if now >= until || self.sound.as_ref().is_none_or(|sound| sound.quiet(now)) =>
            {
                self.figures.used = Used::of_all(&self.plan.processes)?.since(self.used_before);
                self.figures.spent = self.spent()?.since(self.spent_before);
                self.figures.used_over_s = window.as_secs_f64();
                self.figures.held_kib = resident_kib(&self.plan.processes)?;
                self.figures.held_files = open_files(&self.plan.processes)?;
                Phase::Leaving(now)
            }
            Phase::Leaving(since) => {
                let due = (now.duration_since(since).as_secs_f64() * self.plan.rate) as usize;
                while self.leaving_next < self.calls.len().min(due + 1) {
                    self.leave(self.leaving_next, now);
                    self.leaving_next += 1;
                }
                phase
            }
            _ => phase,
        })
    }

    fn spent(&self) -> anyhow::Result<Spent> {
        let meter = self.plan.meter.as_ref();
        meter.map_or(Ok(Spent::default()), |meter| meter.read(&self.plan.processes))
    }

    fn start_due(&mut self) -> bool {
        let now = Instant::now();
        let passed = now.duration_since(self.started).saturating_sub(self.paused);
        let due = (passed.as_secs_f64() * self.plan.rate) as usize + 1;
        let until = due.min(self.starts_max).min(self.calls.len() + STARTS_PER_TURN);
        let any = self.calls.len() < until;
        while self.calls.len() < until {
            let index = self.calls.len();
            let request = self.invite(index);
            self.calls.push(Call {
                state: State::Inviting,
                started: now,
                left: now,
                provisional: false,
                to: Bytes::new(),
                target: Bytes::new(),
                routes: Bytes::new(),
                next: self.plan.target,
                request,
            });
            self.to_repeat.push_back((now + RESEND, index));
        }
        self.caller.flush();
        any
    }

    fn invite(&mut self, index: usize) -> Bytes {
        let (own, target, run, prefix) = (self.caller.address, self.plan.target, self.run, &self.plan.prefix);
        let sdp = session(own.ip(), self.sound.as_ref().map_or(6000, |sound| sound.caller_port()));
        self.caller.send(target, |to| {
            put(
                to,
                format_args!(
                    "INVITE sip:{prefix}{index:07}@{target} SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {own};branch=z9hG4bK-{run}-{index}-1\r\n\
                 From: <sip:1{index:07}@{own}>;tag={run}T{index}\r\n\
                 To: <sip:{prefix}{index:07}@{target}>\r\n\
                 Call-ID: {index}-{run}@{ip}\r\nCSeq: 1 INVITE\r\nContact: <sip:load@{own}>\r\n\
                 Max-Forwards: 70\r\n{headers}Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}",
                    ip = own.ip(),
                    headers = self.plan.headers,
                    length = sdp.len(),
                ),
            );
        })
    }

    /// Sends a request of a dialog (ACK or BYE).
    fn in_dialog(&mut self, index: usize, method: &str, cseq: u32, branch: u32) -> Bytes {
        let (own, run) = (self.caller.address, self.run);
        let call = &self.calls[index];
        self.caller.send(call.next, |to| {
            put(to, format_args!("{method} "));
            to.put_slice(&call.target);
            put(
                to,
                format_args!(" SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-{run}-{index}-{branch}\r\n"),
            );
            to.put_slice(&call.routes);
            put(to, format_args!("From: <sip:1{index:07}@{own}>;tag={run}T{index}\r\nTo: "));
            to.put_slice(&call.to);
            put(
                to,
                format_args!(
                    "\r\nCall-ID: {index}-{run}@{ip}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
                 Content-Length: 0\r\n\r\n",
                    ip = own.ip(),
                ),
            );
        })
    }

    fn callers_turn(&mut self, batch: &mut ReceiveBatch) -> anyhow::Result<bool> {
        let socket = Rc::clone(&self.caller.socket);
        let count = batch.receive(&socket, |source, bytes| self.caller_hears(source, bytes))?;
        self.caller.flush();
        Ok(count > 0)
    }

    fn caller_hears(&mut self, source: SocketAddr, datagram: &[u8]) {
        let Some(message) = Message::read(datagram) else {
            self.figures.unexpected += 1;
            return;
        };
        if let Some(method) = message.method {
            // Requests towards the caller: but for refreshes nothing asks for one; answer so that it is not repeated.
            let refresh = method == b"UPDATE";
            self.figures.refreshes += u64::from(refresh);
            self.figures.unexpected += u64::from(!refresh);
            if method != b"ACK" {
                respond(&mut self.caller, &message, source, "200 OK", "", "", "");
            }
            return;
        }
        let index = message.call_id.split(|byte| *byte == b'-').next().and_then(number::<usize>);
        let Some(index) = index.filter(|index| *index < self.calls.len()) else {
            self.figures.unexpected += 1;
            return;
        };
        match (message.cseq_method(), message.code) {
            (b"INVITE", ..200) => self.calls[index].provisional = true,
            (b"INVITE", 200..300) => self.caller_answered(index, &message),
            (b"INVITE", _) => self.caller_refused(index, &message),
            (b"BYE", 200..) => self.caller_left(index, message.code),
            _ => {}
        }
    }

    fn caller_answered(&mut self, index: usize, message: &Message<'_>) {
        let now = Instant::now();
        if self.calls[index].state == State::Inviting {
            let call = &mut self.calls[index];
            call.state = State::Up;
            call.to = Bytes::copy_from_slice(message.to);
            call.target = Bytes::copy_from_slice(uri(message.contact));
            let mut routes = BytesMut::new();
            for route in message.record_routes.iter().rev() {
                routes.put_slice(b"Route: ");
                routes.put_slice(route);
                routes.put_slice(b"\r\n");
            }
            call.routes = routes.freeze();
            let first = message.record_routes.last().map_or(&call.target[..], |route| uri(route));
            call.next = address(first).unwrap_or(self.plan.target);
            self.figures.setup_us.push(now.duration_since(call.started).as_micros() as u32);
            self.up += 1;
            self.figures.held_max = self.figures.held_max.max(self.up);
            if let Shape::Flow(hold) = self.plan.shape {
                self.to_end.push_back((now + hold, index));
            }
            if let Some(sound) = &mut self.sound {
                sound.caller_speaks(index as u32, message.sound());
            }
        } else {
            self.figures.repeated += 1;
        }
        self.in_dialog(index, "ACK", 1, 2);
    }

    fn caller_refused(&mut self, index: usize, message: &Message<'_>) {
        let (own, run, target, prefix) = (self.caller.address, self.run, self.plan.target, &self.plan.prefix);
        // RFC 3261 §17.1.1.3: the ACK of a refusal belongs to the INVITE's transaction.
        self.caller.send(target, |to| {
            put(
                to,
                format_args!(
                    "ACK sip:{prefix}{index:07}@{target} SIP/2.0\r\n\
                     Via: SIP/2.0/UDP {own};branch=z9hG4bK-{run}-{index}-1\r\n\
                     From: <sip:1{index:07}@{own}>;tag={run}T{index}\r\nTo: "
                ),
            );
            to.put_slice(message.to);
            put(
                to,
                format_args!(
                    "\r\nCall-ID: {index}-{run}@{ip}\r\nCSeq: 1 ACK\r\nMax-Forwards: 70\r\n\
                     Content-Length: 0\r\n\r\n",
                    ip = own.ip(),
                ),
            );
        });
        if self.calls[index].state == State::Inviting {
            self.fail(index, message.code);
        }
    }

    fn leave(&mut self, index: usize, now: Instant) {
        if self.calls[index].state != State::Up {
            return;
        }
        let request = self.in_dialog(index, "BYE", 2, 3);
        let call = &mut self.calls[index];
        call.state = State::Leaving;
        call.left = now;
        call.request = request;
        self.to_repeat.push_back((now + RESEND, index));
    }

    fn caller_left(&mut self, index: usize, code: u16) {
        if self.calls[index].state != State::Leaving {
            return;
        }
        self.up -= 1;
        if code < 300 {
            self.calls[index].state = State::Done;
            self.figures.good += 1;
            self.done += 1;
        } else {
            self.fail(index, code);
        }
    }

    fn fail(&mut self, index: usize, code: u16) {
        self.calls[index].state = State::Failed;
        *self.figures.codes.entry(code).or_default() += 1;
        self.done += 1;
    }

    fn callees_turn(&mut self, batch: &mut ReceiveBatch) -> anyhow::Result<bool> {
        let socket = Rc::clone(&self.callee.socket);
        let count = batch.receive(&socket, |source, bytes| self.callee_hears(source, bytes))?;
        self.callee.flush();
        Ok(count > 0)
    }

    fn callee_hears(&mut self, source: SocketAddr, datagram: &[u8]) {
        let Some(message) = Message::read(datagram) else {
            self.figures.unexpected += 1;
            return;
        };
        match message.method {
            None => {}
            Some(b"INVITE") => self.callee_invited(source, &message),
            Some(b"ACK") => {
                if let Some(call) = self.answered.get_mut(message.call_id)
                    && !call.acked
                {
                    call.acked = true;
                    let to = message.sound().or(call.sound);
                    if let Some(sound) = &mut self.sound {
                        sound.callee_speaks(call.number, to);
                    }
                }
            }
            Some(b"BYE") => {
                respond(&mut self.callee, &message, source, "200 OK", "", "", "");
                self.answered.remove(message.call_id);
            }
            // OPTIONS asks whether we are there.
            Some(method) => {
                self.figures.refreshes += u64::from(method == b"UPDATE");
                self.figures.unexpected += u64::from(method != b"OPTIONS" && method != b"UPDATE");
                respond(&mut self.callee, &message, source, "200 OK", "", "", "");
            }
        }
    }

    fn callee_invited(&mut self, source: SocketAddr, message: &Message<'_>) {
        if let Some(call) = self.answered.get(message.call_id) {
            self.figures.repeated += 1;
            let ok = call.ok.clone();
            self.callee.resend(source, ok);
            return;
        }
        let arrived = Instant::now();
        let number = self.answered_count;
        self.answered_count += 1;
        let tag = format!(";tag={}U{number}", self.run);
        let port = self.sound.as_ref().map_or(6002, |sound| sound.callee_port());
        let sdp = session(self.callee.address.ip(), port);
        respond(&mut self.callee, message, source, "180 Ringing", &tag, "", "");
        let more = self.plan.headers;
        let ok = respond(&mut self.callee, message, source, "200 OK", &tag, more, &sdp);
        let now = Instant::now();
        if let Some(call) = self.dialled(message.to).and_then(|index| self.calls.get(index)) {
            self.figures.passed_us.push(arrived.duration_since(call.started).as_micros() as u32);
        }
        let id = Bytes::copy_from_slice(message.call_id);
        self.to_repeat_ok.push_back((now + RESEND, id.clone()));
        let sound = message.sound();
        self.answered.insert(id, Answered { number, acked: false, since: now, ok, peer: source, sound });
    }

    /// Which call dialled the number in this To.
    fn dialled(&self, to: &[u8]) -> Option<usize> {
        let number_text = uri(to).strip_prefix(b"sip:")?.strip_prefix(self.plan.prefix.as_bytes())?;
        number(number_text.split(|byte| *byte == b'@').next()?)
    }

    fn timers(&mut self, now: Instant) {
        while let Some((_, index)) = self.to_end.pop_front_if(|(at, _)| *at <= now) {
            self.leave(index, now);
        }
        while let Some((_, index)) = self.to_repeat.pop_front_if(|(at, _)| *at <= now) {
            let call = &self.calls[index];
            let (since, no_answer, silent) = match call.state {
                State::Inviting => (call.started, 1, !call.provisional),
                State::Leaving => (call.left, 2, true),
                State::Up | State::Done | State::Failed => continue,
            };
            if now.duration_since(since) > GIVE_UP {
                self.up -= usize::from(call.state == State::Leaving);
                self.fail(index, no_answer);
                continue;
            }
            if silent {
                self.figures.resent += 1;
                let (to, request) = (call.next, call.request.clone());
                self.caller.resend(to, request);
            }
            self.to_repeat.push_back((now + RESEND, index));
        }
        while let Some((_, id)) = self.to_repeat_ok.pop_front_if(|(at, _)| *at <= now) {
            let Some(call) = self.answered.get(&id).filter(|call| !call.acked) else { continue };
            if now.duration_since(call.since) > GIVE_UP {
                continue;
            }
            self.figures.resent += 1;
            let (peer, ok) = (call.peer, call.ok.clone());
            self.callee.resend(peer, ok);
            self.to_repeat_ok.push_back((now + RESEND, id));
        }
    }

    fn finish(mut self) -> anyhow::Result<Figures> {
        let elapsed = self.started.elapsed().as_secs_f64();
        if let Shape::Flow(hold) = self.plan.shape {
            self.figures.used = Used::of_all(&self.plan.processes)?.since(self.used_before);
            self.figures.used_over_s = elapsed;
            self.figures.held_kib = resident_kib(&self.plan.processes)?;
            self.figures.sustained = self.figures.good as f64 / (elapsed - hold.as_secs_f64()).max(0.001);
        }
        self.figures.calls = self.calls.len();
        self.figures.failed = self.plan.calls - self.figures.good;
        self.figures.setup_us.sort_unstable();
        self.figures.passed_us.sort_unstable();
        self.figures.sound = self.sound.map(Sound::figures);
        Ok(self.figures)
    }
}

/// Tells apart the calls of several runs, of this process and of others.
fn next_run() -> u32 {
    static RUNS: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    std::process::id().wrapping_mul(64) + RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn put(to: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // Writing to memory that grows does not fail.
    let _ = to.writer().write_fmt(text);
}

/// An offer or answer of G.711 µ-law.
fn session(ip: IpAddr, port: u16) -> String {
    format!(
        "v=0\r\no=load 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
         a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\n"
    )
}

/// Answers a request; gives what was sent.
fn respond(
    port: &mut Port,
    request: &Message<'_>,
    to: SocketAddr,
    status: &str,
    tag: &str,
    headers: &str,
    body: &str,
) -> Bytes {
    let own = port.address;
    port.send(to, |out| {
        put(out, format_args!("SIP/2.0 {status}\r\n"));
        let lines = request.vias.iter().map(|via| (&b"Via: "[..], *via));
        let routes = request.record_routes.iter().map(|route| (&b"Record-Route: "[..], *route));
        for (name, value) in lines.chain(routes).chain([(&b"From: "[..], request.from)]) {
            out.put_slice(name);
            out.put_slice(value);
            out.put_slice(b"\r\n");
        }
        out.put_slice(b"To: ");
        out.put_slice(request.to);
        put(out, format_args!("{tag}\r\nCall-ID: "));
        out.put_slice(request.call_id);
        out.put_slice(b"\r\nCSeq: ");
        out.put_slice(request.cseq);
        put(out, format_args!("\r\nContact: <sip:{own}>\r\n{headers}"));
        if !body.is_empty() {
            out.put_slice(b"Content-Type: application/sdp\r\n");
        }
        put(out, format_args!("Content-Length: {}\r\n\r\n{body}", body.len()));
    })
}
