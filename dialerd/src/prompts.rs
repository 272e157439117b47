//! Prompts: WAV files, decoded once at start.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Spoken when a campaign's safe-harbour prompt has no file of its own.
const SAFE_HARBOUR: &[u8] = include_bytes!("../../config/prompts/safe_harbour.wav");

/// All prompts of a folder by name, the built-in one included. A file that cannot be used is told and left out.
pub fn load(folder: &Path) -> BTreeMap<String, Arc<[i16]>> {
    let mut prompts = BTreeMap::new();
    add(&mut prompts, "safe_harbour", SAFE_HARBOUR, "built-in safe_harbour");
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "prompts cannot be read");
            return prompts;
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("wav")) {
            continue;
        }
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        match std::fs::read(&path) {
            Ok(bytes) => add(&mut prompts, name, &bytes, &path.display().to_string()),
            Err(error) => tracing::warn!(%error, file = %path.display(), "a prompt cannot be read"),
        }
    }
    prompts
}

fn add(prompts: &mut BTreeMap<String, Arc<[i16]>>, name: &str, bytes: &[u8], place: &str) {
    match media::wav::read_prompt(bytes) {
        Ok(samples) => {
            prompts.insert(name.to_owned(), samples.into());
        }
        Err(error) => tracing::warn!(%error, place, "a prompt cannot be used"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_message_can_be_played_and_bad_files_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("broken.wav"), b"RIFF").unwrap();
        std::fs::write(folder.path().join("good.WAV"), SAFE_HARBOUR).unwrap();
        let prompts = load(folder.path());
        assert_eq!(prompts.keys().collect::<Vec<_>>(), ["good", "safe_harbour"]);
        let samples = &prompts["safe_harbour"];
        assert!(samples.len() > 8000 && samples.iter().any(|sample| sample.unsigned_abs() > 5000));
    }
}
