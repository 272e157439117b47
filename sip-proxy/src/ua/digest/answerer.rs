//! The client's side: answers to challenges of trunks.

use sansio::Rng;

use super::{Hash, Parts, Protection};
use crate::mark::base32;
use crate::ua::Login;
use crate::wire::{Algorithm, Challenge, HeaderName, Message, Writer};

/// Realms answered in one dialog; more come from no honest chain of proxies.
const REALMS_MAX: usize = 8;

/// One challenge and how often it was answered.
#[derive(Debug, Clone)]
pub(crate) struct Answerer {
    /// 407 instead of 401.
    proxy: bool,
    realm: Box<[u8]>,
    nonce: Box<[u8]>,
    opaque: Option<Box<[u8]>>,
    algorithm: Algorithm,
    hash: Hash,
    session: bool,
    protection: Option<Protection>,
    stale: bool,
    count: u32,
    /// It was answered in the request that is under way.
    answered: bool,
}

impl Answerer {
    /// Another request begins: its first challenge is no verdict on the password.
    pub(crate) fn begin(&mut self) {
        self.answered = false;
    }

    /// What can be answered of the challenges in a 401 or 407: of each realm the one with the strongest hash, so
    /// that nobody on the way wins anything by adding a weaker one beside it (RFC 8760 §2.4 lets a client choose).
    fn of(response: &Message) -> Vec<Answerer> {
        let proxy = response.status() == 407;
        let name = if proxy { HeaderName::ProxyAuthenticate } else { HeaderName::WwwAuthenticate };
        let mut found: Vec<Answerer> = Vec::new();
        for value in response.headers(name) {
            let Some(answerer) = Challenge::parse(value).ok().and_then(|it| Answerer::to(&it, proxy)) else {
                continue;
            };
            match found.iter().position(|other| other.realm == answerer.realm) {
                Some(at) if found[at].hash < answerer.hash => found[at] = answerer,
                Some(_) => {}
                None if found.len() < REALMS_MAX => found.push(answerer),
                None => {}
            }
        }
        found
    }

    fn to(challenge: &Challenge<'_>, proxy: bool) -> Option<Answerer> {
        let (hash, session) = Hash::of(challenge.algorithm)?;
        // `auth` before `auth-int`: gateways on the way change the addresses in an SDP body.
        let protection = [Protection::Auth, Protection::Integrity].into_iter().find(|protection| {
            core::str::from_utf8(protection.as_bytes()).is_ok_and(|name| challenge.offers_qop(name))
        });
        if !challenge.is_digest() || (challenge.qop.is_some() && protection.is_none()) {
            return None;
        }
        Some(Answerer {
            proxy,
            realm: challenge.realm.into(),
            nonce: challenge.nonce.into(),
            opaque: challenge.opaque.map(Into::into),
            algorithm: challenge.algorithm,
            hash,
            session,
            protection,
            stale: challenge.stale,
            count: 0,
            answered: true,
        })
    }

    /// Adds the challenges of a 401 or 407 to those of a dialog. False when answering makes no sense: there is none
    /// we can answer, or every realm in it has refused what we gave and does not say that only the nonce was old.
    pub(crate) fn take(response: &Message, known: &mut Vec<Answerer>) -> bool {
        let mut again = false;
        for answerer in Answerer::of(response) {
            again |= answerer.note(known);
        }
        again
    }

    fn note(self, known: &mut Vec<Answerer>) -> bool {
        match known.iter().position(|other| other.proxy == self.proxy && other.realm == self.realm) {
            Some(at) => {
                let again = self.stale || !known[at].answered;
                known[at] = self;
                again
            }
            None if known.len() >= REALMS_MAX => false,
            None => {
                known.push(self);
                true
            }
        }
    }

    /// Writes the answer into a request.
    pub(crate) fn write(
        &mut self,
        login: &Login,
        method: &[u8],
        uri: &[u8],
        body: &[u8],
        rng: &mut Rng,
        writer: &mut Writer<'_>,
    ) {
        self.count += 1;
        let count = format!("{:08x}", self.count);
        let mut cnonce = [0; 13];
        base32(&mut cnonce, rng.next_u64());
        let response = Parts {
            hash: self.hash,
            session: self.session,
            username: login.username.as_bytes(),
            realm: &self.realm,
            password: login.password.as_bytes(),
            method,
            uri,
            body,
            nonce: &self.nonce,
            cnonce: &cnonce,
            counted: self.protection.map(|protection| (count.as_bytes(), protection)),
        }
        .response();
        let name = if self.proxy { HeaderName::ProxyAuthorization } else { HeaderName::Authorization };
        let mut value = Vec::with_capacity(384);
        let mut add = |parts: &[&[u8]]| parts.iter().for_each(|part| value.extend_from_slice(part));
        add(&[b"Digest username=\"", login.username.as_bytes(), b"\",realm=\"", &self.realm]);
        add(&[b"\",nonce=\"", &self.nonce, b"\",uri=\"", uri, b"\",response=\"", response.as_bytes()]);
        add(&[b"\",algorithm=", self.algorithm.as_str().as_bytes()]);
        // A hash bound to a session needs a client's nonce even where there is no qop (RFC 2617 §3.2.2.2).
        if self.protection.is_some() || self.session {
            add(&[b",cnonce=\"", &cnonce, b"\""]);
        }
        if let Some(protection) = self.protection {
            add(&[b",qop=", protection.as_bytes(), b",nc=", count.as_bytes()]);
        }
        if let Some(opaque) = &self.opaque {
            add(&[b",opaque=\"", opaque, b"\""]);
        }
        writer.header(name, &value);
    }
}
