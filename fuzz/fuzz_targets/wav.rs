//! Prompt files: whatever the header says, what is read is no longer than the file, and it is an error or sound.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // The chunks behind the head are the interesting part: with and without one put before them.
    for file in [data.to_vec(), [b"RIFF\xFF\xFF\xFF\xFFWAVE".as_slice(), data].concat()] {
        if let Ok(samples) = media::wav::read_prompt(&file) {
            // The tightest format holds one sample a byte.
            assert!(samples.len() <= file.len());
        }
    }
});
