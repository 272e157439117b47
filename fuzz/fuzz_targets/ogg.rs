//! Prompts in Ogg, and recordings that a crash cut off: whatever the pages say, what is read is an error or sound of at most
//! ten minutes, and what is measured lies within the file.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // As it is; and behind the head and tags of a real file, where the packets are the interesting part.
    let mut writer = media::ogg::RecordingWriter::new(1).expect("Opus at 8,000 Hz");
    let head = writer.append(&[]).expect("nothing is encoded");
    for file in [data.to_vec(), [&head, data].concat()] {
        if let Ok(samples) = media::ogg::read_prompt(&file) {
            assert!(!samples.is_empty() && samples.len() <= media::wav::PROMPT_SAMPLES_MAX);
        }
        let (bytes, _) = media::ogg::measure(&file);
        assert!(bytes <= file.len());
    }
});
