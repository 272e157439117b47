//! A dialog's identity and where its requests go (RFC 3261 §12).

use bytes::BytesMut;

use crate::wire::{HeaderName, Message, Method, NameAddr, Transport, Writer};

/// Record-Route values of one dialog; a route set that is longer is cut, which no working network has.
const ROUTES_MAX: usize = 32;

/// A stretch of [`Dialog::text`].
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    start: u32,
    end: u32,
}

/// What all requests in one dialog share. One allocation holds all its text (a second one the route set, where
/// there is one), so that a held call does not keep its old datagrams alive.
#[derive(Debug)]
pub(crate) struct Dialog {
    text: Box<[u8]>,
    call_id: Part,
    /// From of our requests, with our tag.
    local: Part,
    /// To of our requests, with the peer's tag.
    remote: Part,
    remote_tag: Part,
    /// Remote target: the URI in the peer's Contact.
    target: Part,
    /// Values for Route, in the order to write them.
    routes: Vec<Part>,
    /// CSeq of our last request.
    pub(crate) local_cseq: u32,
    /// CSeq of the peer's last request, once it has sent one.
    pub(crate) remote_cseq: Option<u32>,
    /// The peer is told that we heed its overload (RFC 7339).
    pub(crate) overload_control: bool,
}

impl Dialog {
    /// Of a caller: from the 2xx to its INVITE (RFC 3261 §12.1.2). `fallback` is the target of a peer that gives
    /// no Contact.
    pub(crate) fn of_caller(response: &Message, fallback: &[u8]) -> Dialog {
        let mut text = Text::default();
        let mut routes: Vec<Part> =
            response.values(HeaderName::RecordRoute).take(ROUTES_MAX).map(|value| text.add(value)).collect();
        // The caller's route set is the Record-Route in reverse.
        routes.reverse();
        let target = response.contact().map_or(fallback, |contact| contact.uri_text);
        Dialog {
            call_id: text.add(response.call_id()),
            local: text.add(response.header(HeaderName::From).unwrap_or_default()),
            remote: text.add(response.header(HeaderName::To).unwrap_or_default()),
            remote_tag: text.add(response.to_tag().unwrap_or_default()),
            target: text.add(target),
            routes,
            local_cseq: response.cseq().0,
            remote_cseq: None,
            overload_control: false,
            text: text.0.into_boxed_slice(),
        }
    }

    /// Of a callee: from the INVITE (RFC 3261 §12.1.1).
    pub(crate) fn of_callee(request: &Message, local_tag: &[u8], first_cseq: u32) -> Dialog {
        let mut text = Text::default();
        let routes =
            request.values(HeaderName::RecordRoute).take(ROUTES_MAX).map(|value| text.add(value)).collect();
        let from = request.header(HeaderName::From).unwrap_or_default();
        let target = match request.contact() {
            Some(contact) => contact.uri_text,
            None => NameAddr::parse(from).map_or(&[][..], |address| address.uri_text),
        };
        let mut local = text.add(request.header(HeaderName::To).unwrap_or_default());
        text.add(b";tag=");
        local.end = text.add(local_tag).end;
        Dialog {
            call_id: text.add(request.call_id()),
            local,
            remote: text.add(from),
            remote_tag: text.add(request.from_tag().unwrap_or_default()),
            target: text.add(target),
            routes,
            local_cseq: first_cseq,
            remote_cseq: Some(request.cseq().0),
            overload_control: false,
            text: text.0.into_boxed_slice(),
        }
    }

    fn get(&self, part: Part) -> &[u8] {
        self.text.get(part.start as usize..part.end as usize).unwrap_or_default()
    }

    /// Call-ID.
    pub(crate) fn call_id(&self) -> &[u8] {
        self.get(self.call_id)
    }

    /// The peer's tag; empty for one of RFC 2543.
    pub(crate) fn remote_tag(&self) -> &[u8] {
        self.get(self.remote_tag)
    }

    /// Whether a request of the peer belongs to this dialog; our own tag has been compared before.
    pub(crate) fn is_of(&self, request: &Message) -> bool {
        request.call_id() == self.call_id()
            && request.from_tag().unwrap_or_default().eq_ignore_ascii_case(self.remote_tag())
    }

    /// The URI the next request is sent to: the first route or the remote target.
    pub(crate) fn next_hop(&self) -> &[u8] {
        match self.routes.first() {
            Some(route) => NameAddr::parse(self.get(*route)).map_or(&[][..], |address| address.uri_text),
            None => self.get(self.target),
        }
    }

    /// Of a callee: our tag is this one from now on, as long as the one before.
    pub(crate) fn set_local_tag(&mut self, tag: &[u8]) {
        let end = self.local.end as usize;
        let place = end.checked_sub(tag.len()).and_then(|start| self.text.get_mut(start..end));
        if let Some(place) = place {
            place.copy_from_slice(tag);
        }
    }

    /// Target refresh (RFC 3261 §12.2.1.2, §12.2.2). The route set never changes.
    pub(crate) fn set_target(&mut self, uri: &[u8]) {
        if uri == self.get(self.target) {
            return;
        }
        // The target is the last text, so it can be cut off and written anew.
        let mut text = Vec::with_capacity(self.target.start as usize + uri.len());
        text.extend_from_slice(&self.text[..self.target.start as usize]);
        text.extend_from_slice(uri);
        self.target.end = text.len() as u32;
        self.text = text.into_boxed_slice();
    }

    /// The Request-URI of requests in the dialog.
    pub(crate) fn request_uri(&self) -> &[u8] {
        if self.strict() { self.next_hop() } else { self.get(self.target) }
    }

    /// Whether the first hop is a strict router of RFC 2543.
    fn strict(&self) -> bool {
        self.routes.first().is_some_and(|route| {
            NameAddr::parse(self.get(*route))
                .and_then(|address| address.uri())
                .is_ok_and(|uri| !uri.loose_router())
        })
    }

    /// Begins a request in the dialog (RFC 3261 §12.2.1.1) in an emptied buffer; Contact, credentials and a body
    /// are added by the caller.
    pub(crate) fn request<'b>(
        &self,
        buf: &'b mut BytesMut,
        method: Method,
        cseq: u32,
        sent_by: &[u8],
        branch: &[u8],
    ) -> Writer<'b> {
        self.request_text(buf, method.as_str().as_bytes(), cseq, sent_by, branch)
    }

    /// The same with a method in text.
    pub(crate) fn request_text<'b>(
        &self,
        buf: &'b mut BytesMut,
        method: &[u8],
        cseq: u32,
        sent_by: &[u8],
        branch: &[u8],
    ) -> Writer<'b> {
        buf.clear();
        let strict = self.strict();
        let mut writer = Writer::request_text(buf, method, self.request_uri());
        writer.own_via(Transport::Udp, sent_by, branch, self.overload_control).max_forwards(70);
        for route in &self.routes[usize::from(strict)..] {
            writer.header_verbatim(HeaderName::Route, self.get(*route));
        }
        if strict {
            writer.header_parts(HeaderName::Route, &[b"<", self.get(self.target), b">"]);
        }
        writer
            .header_verbatim(HeaderName::From, self.get(self.local))
            .header_verbatim(HeaderName::To, self.get(self.remote))
            .header_verbatim(HeaderName::CallId, self.call_id())
            .cseq_text(cseq, method);
        writer
    }

    /// Heap bytes held.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.text.len() + self.routes.capacity() * size_of::<Part>()
    }
}

#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn add(&mut self, bytes: &[u8]) -> Part {
        let start = self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        Part { start, end: self.0.len() as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Limits, parse};
    use bytes::Bytes;

    fn message(text: &str) -> Message {
        parse(Bytes::from(text.replace('\n', "\r\n")), &Limits::default()).expect("sound")
    }

    fn ok(extra: &str) -> Message {
        message(&format!(
            "SIP/2.0 200 OK\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\nFrom: \"A\" <sip:a@h>;tag=us\nTo: <sip:b@h>;tag=them\n\
             Call-ID: c\nCSeq: 7 INVITE\n{extra}Content-Length: 0\n\n"
        ))
    }

    fn bye(dialog: &Dialog) -> String {
        let mut buf = BytesMut::new();
        dialog.request(&mut buf, Method::Bye, 8, b"192.0.2.1:5060", b"z9hG4bKy").no_body();
        String::from_utf8(buf.to_vec()).expect("text").replace("\r\n", "\n")
    }

    #[test]
    fn a_loose_route_set_is_reversed_for_the_caller() {
        let dialog = Dialog::of_caller(
            &ok(
                "Record-Route: <sip:p2;lr>, <sip:p1;lr>\nRecord-Route: <sip:p0;lr>\nContact: <sip:b@phone:5070>\n",
            ),
            b"sip:x@y",
        );
        assert_eq!(dialog.next_hop(), b"sip:p0;lr");
        assert_eq!(
            bye(&dialog),
            "BYE sip:b@phone:5070 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.1:5060;rport;branch=z9hG4bKy\nMax-Forwards: 70\n\
             Route: <sip:p0;lr>\nRoute: <sip:p1;lr>\nRoute: <sip:p2;lr>\n\
             From: \"A\" <sip:a@h>;tag=us\nTo: <sip:b@h>;tag=them\nCall-ID: c\nCSeq: 8 BYE\nContent-Length: 0\n\n"
        );
    }

    #[test]
    fn a_strict_router_gets_the_target_at_the_end() {
        let dialog = Dialog::of_caller(
            &ok("Record-Route: <sip:p1;lr>\nRecord-Route: <sip:strict>\nContact: <sip:b@phone>\n"),
            b"sip:x@y",
        );
        let text = bye(&dialog);
        assert!(text.starts_with("BYE sip:strict SIP/2.0\n"), "{text}");
        assert!(text.contains("Route: <sip:p1;lr>\nRoute: <sip:b@phone>\nFrom"), "{text}");
    }

    #[test]
    fn a_callee_keeps_the_order_and_adds_its_tag() {
        let invite = message(
            "INVITE sip:b@h SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\nFrom: <sip:a@h>;tag=them\nTo: <sip:b@h>\n\
             Call-ID: c\nCSeq: 7 INVITE\nRecord-Route: <sip:p1;lr>\nRecord-Route: <sip:p2;lr>\nContact: <sip:a@phone>\n\n",
        );
        let mut dialog = Dialog::of_callee(&invite, b"us", 100);
        let text = bye(&dialog);
        assert!(
            text.contains(
                "Route: <sip:p1;lr>\nRoute: <sip:p2;lr>\nFrom: <sip:b@h>;tag=us\nTo: <sip:a@h>;tag=them"
            ),
            "{text}"
        );
        dialog.set_target(b"sip:moved@elsewhere:5080");
        dialog.set_target(b"sip:a@p");
        assert!(bye(&dialog).starts_with("BYE sip:a@p SIP/2.0\n"));
        assert_eq!((dialog.call_id(), dialog.remote_tag()), (&b"c"[..], &b"them"[..]));
        assert!(dialog.heap_bytes() < 400);
    }
}
