//! G.711 (ITU-T 11/88): µ-law and A-law, scaled to 16 bits (µ: 14 bits × 4, A: 13 bits × 8).

/// µ-law byte to linear.
pub static ULAW_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = ulaw_to_linear(byte as u8);
        byte += 1;
    }
    table
};

/// A-law byte to linear.
pub static ALAW_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = alaw_to_linear(byte as u8);
        byte += 1;
    }
    table
};

/// µ-law byte to the A-law byte nearest in value.
pub static ULAW_TO_ALAW: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = linear_to_alaw(ulaw_to_linear(byte as u8));
        byte += 1;
    }
    table
};

/// A-law byte to the µ-law byte nearest in value.
pub static ALAW_TO_ULAW: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = linear_to_ulaw(alaw_to_linear(byte as u8));
        byte += 1;
    }
    table
};

/// Added before the segment is looked up, so that segments are powers of two (G.711 table 2a, scaled by 4).
const ULAW_BIAS: i32 = 33 * 4;
/// The largest magnitude µ-law can hold once the bias is added (8,191 × 4).
const ULAW_CLIP: i32 = 8191 * 4 - ULAW_BIAS;

const fn ulaw_to_linear(byte: u8) -> i16 {
    let code = !byte;
    let segment = (code >> 4) & 0x07;
    let mantissa = (code & 0x0F) as i32;
    let magnitude = (((mantissa << 3) + ULAW_BIAS) << segment) - ULAW_BIAS;
    (if code & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

const fn alaw_to_linear(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let segment = (code >> 4) & 0x07;
    let mantissa = (code & 0x0F) as i32;
    // The middle of the quantising interval: half a step is added.
    let magnitude =
        if segment == 0 { (mantissa << 4) + 8 } else { ((mantissa << 4) + 0x108) << (segment - 1) };
    (if code & 0x80 == 0 { -magnitude } else { magnitude }) as i16
}

/// Linear to the nearest µ-law byte.
#[must_use]
pub const fn linear_to_ulaw(sample: i16) -> u8 {
    let sign: u8 = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (sample as i32).abs();
    let biased = (if magnitude > ULAW_CLIP { ULAW_CLIP } else { magnitude }) + ULAW_BIAS;
    // Biased is 132..=32,764: its highest bit is 7..=14, which is the segment 0..=7.
    let segment = (24 - biased.leading_zeros()) as u8;
    let mantissa = ((biased >> (segment + 3)) & 0x0F) as u8;
    !(sign | (segment << 4) | mantissa)
}

/// Linear to the nearest A-law byte.
#[must_use]
pub const fn linear_to_alaw(sample: i16) -> u8 {
    let (sign, magnitude): (u8, i32) =
        if sample < 0 { (0, -(sample as i32) - 1) } else { (0x80, sample as i32) };
    let code = if magnitude < 256 {
        (magnitude >> 4) as u8
    } else {
        // 256..=32,767: highest bit 8..=14 is segment 1..=7.
        let segment = (24 - magnitude.leading_zeros()) as u8;
        (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F) as u8
    };
    (sign | code) ^ 0x55
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decision values and codes of G.711 table 2a/1a: the known points of both laws.
    #[test]
    fn known_points() {
        assert_eq!(linear_to_ulaw(0), 0xFF);
        assert_eq!(linear_to_ulaw(-1), 0x7F);
        assert_eq!(linear_to_ulaw(i16::MAX), 0x80);
        assert_eq!(linear_to_ulaw(i16::MIN), 0x00);
        assert_eq!(ULAW_TO_LINEAR[0x80], 8031 * 4);
        assert_eq!(ULAW_TO_LINEAR[0x00], -8031 * 4);
        assert_eq!(ULAW_TO_LINEAR[0xFF], 0);
        assert_eq!(linear_to_alaw(0), 0xD5);
        assert_eq!(linear_to_alaw(-1), 0x55);
        assert_eq!(linear_to_alaw(i16::MAX), 0xAA);
        assert_eq!(linear_to_alaw(i16::MIN), 0x2A);
        assert_eq!(ALAW_TO_LINEAR[0xAA], 4032 * 8);
        assert_eq!(ALAW_TO_LINEAR[0xD5], 8);
    }

    /// G.711 table 5: the µ-law codes of a 1 kHz tone at 0 dBm0 have this rms (3.14 dB under a full sine in
    /// A-law, 3.17 in µ-law).
    #[test]
    fn the_digital_milliwatt() {
        let ulaw = [0x1E_u8, 0x0B, 0x0B, 0x1E, 0x9E, 0x8B, 0x8B, 0x9E];
        let power: f64 = ulaw.iter().map(|&b| f64::from(ULAW_TO_LINEAR[usize::from(b)]).powi(2)).sum();
        let rms = (power / 8.0).sqrt();
        let full_sine = 8159.0 * 4.0 / 2_f64.sqrt();
        assert!((20.0 * (rms / full_sine).log10() + 3.17).abs() < 0.05, "{rms}");
        let alaw = [0x34_u8, 0x21, 0x21, 0x34, 0xB4, 0xA1, 0xA1, 0xB4];
        let power: f64 = alaw.iter().map(|&b| f64::from(ALAW_TO_LINEAR[usize::from(b)]).powi(2)).sum();
        let rms = (power / 8.0).sqrt();
        let full_sine = 4096.0 * 8.0 / 2_f64.sqrt();
        assert!((20.0 * (rms / full_sine).log10() + 3.139).abs() < 0.05, "{rms}");
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for byte in 0..=255_u8 {
            let expected = if byte == 0x7F { 0xFF } else { byte }; // µ-law has two zeros
            assert_eq!(linear_to_ulaw(ULAW_TO_LINEAR[usize::from(byte)]), expected);
            assert_eq!(linear_to_alaw(ALAW_TO_LINEAR[usize::from(byte)]), byte);
        }
    }

    /// The laws' decision values lie in the middle between codes, except at segment borders, where they lie at
    /// the border itself: no code may be nearer by more than the difference.
    #[test]
    fn encoding_finds_the_nearest_code() {
        for sample in (i16::MIN..=i16::MAX).step_by(3) {
            let near = |table: &[i16; 256], code: u8| {
                (i32::from(table[usize::from(code)]) - i32::from(sample)).abs()
            };
            let best = |table: &[i16; 256]| (0..=255).map(|code| near(table, code)).min().unwrap();
            let slack = 8 + i32::from(sample).abs() / 64;
            assert!(
                near(&ULAW_TO_LINEAR, linear_to_ulaw(sample)) <= best(&ULAW_TO_LINEAR) + slack,
                "{sample}"
            );
            assert!(
                near(&ALAW_TO_LINEAR, linear_to_alaw(sample)) <= best(&ALAW_TO_LINEAR) + slack,
                "{sample}"
            );
        }
    }

    #[test]
    fn law_to_law_keeps_value_within_a_step() {
        for byte in 0..=255_u8 {
            let linear = i32::from(ULAW_TO_LINEAR[usize::from(byte)]);
            let through = i32::from(ALAW_TO_LINEAR[usize::from(ULAW_TO_ALAW[usize::from(byte)])]);
            assert!((linear - through).abs() <= 8 + linear.abs() / 16, "{byte}: {linear} {through}");
            let linear = i32::from(ALAW_TO_LINEAR[usize::from(byte)]);
            let through = i32::from(ULAW_TO_LINEAR[usize::from(ALAW_TO_ULAW[usize::from(byte)])]);
            assert!((linear - through).abs() <= 8 + linear.abs() / 16, "{byte}: {linear} {through}");
        }
    }
}
