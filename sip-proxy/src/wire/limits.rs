//! What one message may cost us.

/// Limits of one SIP message. A message beyond one of them is refused with the error that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message; values above 65,535 (all a datagram can hold) act as 65,535.
    pub message_bytes_max: usize,
    /// Header lines; values above 254 act as 254.
    pub headers_max: usize,
    /// Bytes of one header line with its folds, name included.
    pub header_bytes_max: usize,
    /// Via header lines. 70 hops is where Max-Forwards ends a request that goes in circles.
    pub vias_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: 65_535, headers_max: 254, header_bytes_max: 16_384, vias_max: 72 }
    }
}
