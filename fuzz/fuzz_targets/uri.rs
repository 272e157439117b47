//! URIs, alone and in addresses, in Via and in lists: whatever is read is within the bytes, and means the same when it is
//! written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sip_proxy::wire::{Contact, NameAddr, Scheme, Uri, Via, comma_split};

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 3 {
        0 => uri(data),
        1 => address(data),
        _ => {
            let _ = Via::parse(data);
            for part in comma_split(data) {
                uri(part);
            }
        }
    }
});

fn uri(text: &[u8]) {
    let Ok(uri) = Uri::parse(text) else { return };
    assert!(uri.equivalent(&uri), "a URI is itself");
    for part in [uri.user, uri.password, uri.headers].into_iter().flatten().chain([uri.host, uri.scheme_text])
    {
        assert!(part.len() <= text.len());
    }
    if matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        // Written anew from its parts it is the same URI.
        let mut again = uri.scheme_text.to_vec();
        again.push(b':');
        if let Some(user) = uri.user {
            again.extend_from_slice(user);
            if let Some(password) = uri.password {
                again.push(b':');
                again.extend_from_slice(password);
            }
            again.push(b'@');
        }
        again.extend_from_slice(uri.host);
        if let Some(port) = uri.port {
            again.extend_from_slice(format!(":{port}").as_bytes());
        }
        for (name, value) in uri.params.iter() {
            again.push(b';');
            again.extend_from_slice(name);
            if let Some(value) = value {
                again.push(b'=');
                again.extend_from_slice(value);
            }
        }
        if let Some(headers) = uri.headers {
            again.push(b'?');
            again.extend_from_slice(headers);
        }
        let other = Uri::parse(&again).expect("its parts are those of a URI");
        assert_eq!((other.user, other.host, other.port), (uri.user, uri.host, uri.port));
        assert_eq!(other.params.iter().count(), uri.params.iter().count());
    }
}

fn address(text: &[u8]) {
    if let Ok(address) = NameAddr::parse(text) {
        assert!(address.uri_text.len() + address.display.len() <= text.len());
        let _ = (address.tag(), address.params.value("q"));
        uri(address.uri_text);
    }
    let _ = Contact::parse(text);
}
