//! A body piece by piece, unpacked where it comes packed (`Content-Encoding: gzip`), with bounded memory.

use crate::problem::{Code, Problem};
use axum::body::{Body, BodyDataStream};
use axum::http::header::{CONTENT_ENCODING, HeaderMap};
use bytes::{Buf, Bytes};
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt;
use std::io::Write;

/// Packed bytes that are unpacked at once. RFC 1951 cannot make more than 1032 times as much of them.
const PACKED_BYTES: usize = 4 * 1024;
/// A body may unpack to so many times its size …
const RATIO_MAX: u64 = 200;
/// … and to so many bytes whatever its size.
const RATIO_FREE_BYTES: u64 = 1 << 20;

/// Why no further pieces come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PieceFault {
    /// The client hung up or sent a broken body.
    Broken,
    /// It says gzip and is not, or ends in the middle of it.
    NotGzip,
    /// It unpacks to far more than rows do.
    TooMuch,
}

impl PieceFault {
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            PieceFault::Broken => "the body broke off",
            PieceFault::NotGzip => "the body is not what Content-Encoding says: broken gzip",
            PieceFault::TooMuch => "the body unpacks to more than 200 times its size",
        }
    }

    /// As an answer.
    pub(crate) fn problem(self) -> Problem {
        let code = match self {
            PieceFault::Broken => Code::RequestTimeout,
            PieceFault::NotGzip => Code::InvalidBody,
            PieceFault::TooMuch => Code::PayloadTooLarge,
        };
        Problem::new(code, self.detail())
    }
}

/// The body of a request.
pub(crate) struct Pieces {
    stream: BodyDataStream,
    /// Taken from the stream and not unpacked yet.
    packed: Bytes,
    unpacker: Option<Unpacker>,
}

impl Pieces {
    /// Of a body with these headers.
    ///
    /// # Errors
    /// 415 for another encoding than gzip.
    pub(crate) fn new(headers: &HeaderMap, body: Body) -> Result<Self, Problem> {
        let mut unpacker = None;
        for value in headers.get_all(CONTENT_ENCODING) {
            match value.to_str().unwrap_or("").trim().to_ascii_lowercase().as_str() {
                "identity" => {}
                // RFC 9110 §8.4.1.3: x-gzip means the same.
                "gzip" | "x-gzip" if unpacker.is_none() => unpacker = Some(Unpacker::new()),
                _ => {
                    let detail = "expected Content-Encoding: gzip, or none";
                    return Err(Problem::new(Code::UnsupportedMediaType, detail));
                }
            }
        }
        Ok(Pieces { stream: body.into_data_stream(), packed: Bytes::new(), unpacker })
    }

    /// The next piece; `None` at the end. Safe to be given up while waiting.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, PieceFault>> {
        loop {
            if self.packed.is_empty() {
                match self.stream.next().await {
                    Some(Ok(bytes)) if self.unpacker.is_none() => return Some(Ok(bytes)),
                    Some(Ok(bytes)) => self.packed = bytes,
                    Some(Err(_)) => return Some(Err(PieceFault::Broken)),
                    None => return self.unpacker.take()?.end().transpose(),
                }
            }
            let Some(unpacker) = &mut self.unpacker else { return None };
            let count = PACKED_BYTES.min(self.packed.len());
            let unpacked = unpacker.unpack(&self.packed[..count]);
            self.packed.advance(count);
            match unpacked {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Some(Ok(bytes)),
                Err(fault) => {
                    self.unpacker = None;
                    self.packed.clear();
                    return Some(Err(fault));
                }
            }
        }
    }
}

struct Unpacker {
    decoder: MultiGzDecoder<Vec<u8>>,
    taken: u64,
    given: u64,
}

impl Unpacker {
    fn new() -> Self {
        Unpacker { decoder: MultiGzDecoder::new(Vec::new()), taken: 0, given: 0 }
    }

    fn unpack(&mut self, packed: &[u8]) -> Result<Bytes, PieceFault> {
        self.taken += packed.len() as u64;
        self.decoder.write_all(packed).map_err(|_| PieceFault::NotGzip)?;
        self.given()
    }

    fn given(&mut self) -> Result<Bytes, PieceFault> {
        let unpacked = std::mem::take(self.decoder.get_mut());
        self.given += unpacked.len() as u64;
        if self.given > RATIO_FREE_BYTES.max(self.taken * RATIO_MAX) {
            return Err(PieceFault::TooMuch);
        }
        Ok(Bytes::from(unpacked))
    }

    /// What is left when the body has ended.
    fn end(mut self) -> Result<Option<Bytes>, PieceFault> {
        if self.taken == 0 {
            return Ok(None);
        }
        self.decoder.try_finish().map_err(|_| PieceFault::NotGzip)?;
        let rest = self.given()?;
        Ok((!rest.is_empty()).then_some(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    async fn read(body: Vec<u8>) -> Result<Vec<u8>, PieceFault> {
        let headers = [(CONTENT_ENCODING, "gzip".parse().unwrap())].into_iter().collect();
        let mut pieces = Pieces::new(&headers, Body::from(body)).unwrap();
        let mut all = Vec::new();
        while let Some(piece) = pieces.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn what_is_packed_is_unpacked_and_bombs_are_not() {
        let rows: Vec<u8> =
            (0..50_000_u32).flat_map(|n| format!("{{\"phone\":\"{n}\"}}\n").into_bytes()).collect();
        assert_eq!(read(packed(&rows)).await.as_deref(), Ok(&rows[..]));
        let two = [packed(b"one\n"), packed(b"two\n")].concat();
        assert_eq!(
            read(two).await.as_deref(),
            Ok(&b"one\ntwo\n"[..]),
            "members follow each other (RFC 1952)"
        );
        assert_eq!(read(Vec::new()).await.as_deref(), Ok(&b""[..]));
        let mut torn = packed(&rows);
        torn.truncate(torn.len() / 2);
        assert_eq!(read(torn).await, Err(PieceFault::NotGzip));
        assert_eq!(read(b"phone\n".to_vec()).await, Err(PieceFault::NotGzip));
        assert_eq!(read(packed(&vec![b' '; 64 << 20])).await, Err(PieceFault::TooMuch));
    }
}
