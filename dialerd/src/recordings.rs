//! Recordings that the last run left behind: what a crash cut off is mended, so that it can be played and listed.
//!
//! ```text
//!   NAME.part  was being written: its header is made to say what is there, then it is named
//!   NAME       was complete, and the node went down before that was written down
//!   neither    there is nothing
//! ```

use dialer_core::record::{CutFile, CutRecording};
use dialer_core::recording::RecordedFile;
use media::wav;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use store::sealed::{self, SealKey};

/// Looks for the file of each recording and mends it. Blocks. What cannot be mended now (sealed with a key that is not
/// configured, say) is told and stays for the next start.
pub fn mend_all(folder: &Path, keys: &[SealKey], cut: &mut [CutRecording]) {
    for recording in cut {
        let id = recording.start.id;
        match mend(folder, &recording.start.file, keys) {
            Ok(found) => {
                if let CutFile::Mended(sound) = &found {
                    let (duration_ms, cut_off) = (sound.duration_ms, sound.cut_off);
                    tracing::info!(recording = %id, duration_ms, cut_off, "a recording of the last run is kept");
                }
                recording.found = found;
            }
            Err(error) => {
                tracing::warn!(recording = %id, %error, "a recording that was cut off cannot be mended now");
            }
        }
    }
}

fn mend(folder: &Path, name: &str, keys: &[SealKey]) -> io::Result<CutFile> {
    let whole = folder.join(name);
    let part = folder.join(format!("{name}.part"));
    let open = |path: &Path| match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    };
    let (file, cut_off) = match open(&whole)? {
        Some(file) => (file, false),
        None => match open(&part)? {
            Some(file) => (file, true),
            None => return Ok(CutFile::Gone),
        },
    };
    let header = |data_bytes: u64| wav::header(data_bytes / wav::FRAME_BYTES).to_vec();
    let data_bytes = sealed::mend(&file, keys, wav::HEADER_BYTES, wav::FRAME_BYTES, &header)?;
    if data_bytes == 0 {
        std::fs::remove_file(if cut_off { &part } else { &whole })?;
        return Ok(CutFile::Gone);
    }
    file.sync_all()?;
    if cut_off {
        std::fs::rename(&part, &whole)?;
        if let Some(folder) = whole.parent() {
            File::open(folder)?.sync_all()?;
        }
    }
    Ok(CutFile::Mended(RecordedFile {
        file: name.to_owned(),
        duration_ms: data_bytes / wav::FRAME_BYTES / u64::from(wav::RATE_HZ / 1_000),
        bytes: wav::HEADER_BYTES as u64 + data_bytes,
        cut_off,
        ..RecordedFile::default()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialer_core::record::RecordingStartRow;
    use dialer_core::{CallId, RecordingId};
    use sansio::WallTime;
    use std::os::unix::fs::FileExt;
    use store::sealed::{RecordingFile, Sealer};

    fn cut(name: &str) -> CutRecording {
        let start = RecordingStartRow {
            id: RecordingId::from_bits(1),
            call: CallId::from_bits(2),
            campaign: None,
            agent: None,
            file: name.into(),
            at: WallTime::from_unix_millis(0),
        };
        CutRecording { start, found: CutFile::Unknown }
    }

    fn mended(folder: &Path, keys: &[SealKey]) -> CutFile {
        let mut all = [cut("day/a.wav")];
        mend_all(folder, keys, &mut all);
        all[0].found.clone()
    }

    /// A second of sound, of which the header does not tell yet, and a frame of which a part was written.
    #[test]
    fn what_a_crash_left_can_be_played_and_has_its_real_length() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(mended(folder.path(), &[]), CutFile::Gone);
        std::fs::create_dir(folder.path().join("day")).unwrap();
        let sound: Vec<u8> = (0..32_000_u32).map(|n| (n % 251) as u8).collect();
        let part = folder.path().join("day/a.wav.part");
        std::fs::write(&part, [&wav::header(0)[..], &sound, &[1, 2, 3]].concat()).unwrap();
        let CutFile::Mended(found) = mended(folder.path(), &[]) else { panic!("mended") };
        assert_eq!((found.duration_ms, found.bytes, found.cut_off), (1_000, 32_044, true));
        assert!(!part.exists());
        let file = std::fs::read(folder.path().join("day/a.wav")).unwrap();
        assert_eq!(file, [&wav::header(8_000)[..], &sound].concat());
        // Once more: it was complete when the node went down again.
        let CutFile::Mended(found) = mended(folder.path(), &[]) else { panic!("found") };
        assert_eq!((found.duration_ms, found.bytes, found.cut_off), (1_000, 32_044, false));
    }

    #[test]
    fn a_file_without_sound_goes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("day")).unwrap();
        for left in [0, 20, 44, 47] {
            let part = folder.path().join("day/a.wav.part");
            std::fs::write(&part, vec![0; left]).unwrap();
            assert_eq!(mended(folder.path(), &[]), CutFile::Gone, "{left}");
            assert!(!part.exists());
        }
    }

    #[test]
    fn a_sealed_one_is_mended_with_its_key_and_waits_without() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("day")).unwrap();
        let [key, other] = ["1", "2"].map(|digit| SealKey::from_hex(&digit.repeat(64)).unwrap());
        let part = folder.path().join("day/a.wav.part");
        let file = File::create(&part).unwrap();
        let mut sealer = Sealer::new(&key, wav::HEADER_BYTES).unwrap();
        file.write_all_at(&sealer.head(&wav::header(0)).unwrap(), 0).unwrap();
        let sound: Vec<u8> = (0..40_000_u32).map(|n| (n % 251) as u8).collect();
        for batch in [&sound[..20_000], &sound[20_000..]] {
            let (offset, bytes) = sealer.append(batch).unwrap();
            file.write_all_at(&bytes, offset).unwrap();
        }
        assert_eq!(mended(folder.path(), &[]), CutFile::Unknown);
        assert_eq!(mended(folder.path(), std::slice::from_ref(&other)), CutFile::Unknown);
        // The last write came half: the chunk that it broke is given up.
        let size = file.metadata().unwrap().len();
        file.set_len(size - 5).unwrap();
        let keys = [other, key];
        let CutFile::Mended(found) = mended(folder.path(), &keys) else { panic!("mended") };
        let kept = 2 * sealed::CHUNK_BYTES;
        assert_eq!((found.bytes, found.cut_off), (44 + kept as u64, true));
        let file = RecordingFile::open(File::open(folder.path().join("day/a.wav")).unwrap(), &keys).unwrap();
        let mut plain = Vec::new();
        while plain.len() < wav::HEADER_BYTES + kept {
            plain.extend(file.read(plain.len() as u64, 100_000).unwrap());
        }
        assert_eq!(plain, [&wav::header(kept as u64 / 4)[..], &sound[..kept]].concat());
    }
}
