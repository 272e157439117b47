//! Recordings that were cut off, by a crash of the last run or by a full disk: they are mended, so that they can be played and
//! listed.
//!
//! ```text
//!   NAME.part  was being written: its header is made to say what is there, then it is named
//!   NAME       was complete, and the node went down before that was written down
//!   neither    there is nothing
//! ```

use dialer_core::record::{CutFile, CutRecording};
use dialer_core::recording::RecordedFile;
use media::{ogg, wav};
use runtime::recorder::Mend;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use store::sealed::{self, RecordingFile, SealKey};

/// Bytes read at once.
const PIECE_BYTES: usize = 64 * 1024;

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

/// Mends a recording of this run that could not be written to its end.
pub fn mending(keys: Vec<SealKey>) -> Mend {
    Arc::new(move |folder: &Path, name: &str| match mend(folder, name, &keys)? {
        CutFile::Mended(sound) => Ok(Some((sound.bytes, sound.duration_ms))),
        CutFile::Gone | CutFile::Unknown => Ok(None),
    })
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
    let is_ogg = Path::new(name).extension().is_some_and(|extension| extension == "ogg");
    let (bytes, duration_ms) = if is_ogg { mend_ogg(&file, keys)? } else { mend_wav(&file, keys)? };
    if duration_ms == 0 {
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
        duration_ms,
        bytes,
        cut_off,
        ..RecordedFile::default()
    }))
}

/// Its header tells what is there. Gives its plain size and its milliseconds.
fn mend_wav(file: &File, keys: &[SealKey]) -> io::Result<(u64, u64)> {
    let header = |data_bytes: u64| wav::header(data_bytes / wav::FRAME_BYTES).to_vec();
    let data_bytes = sealed::mend(file, keys, wav::HEADER_BYTES, wav::FRAME_BYTES, &header)?;
    let ms = data_bytes / wav::FRAME_BYTES / u64::from(wav::RATE_HZ / 1_000);
    Ok((wav::HEADER_BYTES as u64 + data_bytes, ms))
}

/// It has no header to mend; half a page at its end is passed over by players, and cut off where that can be done.
fn mend_ogg(file: &File, keys: &[SealKey]) -> io::Result<(u64, u64)> {
    let held = sealed::mend(file, keys, 0, 1, &|_| Vec::new())?;
    let sound = RecordingFile::open(file.try_clone()?, keys)?;
    let mut plain = Vec::new();
    while (plain.len() as u64) < held {
        let more = sound.read(plain.len() as u64, PIECE_BYTES)?;
        if more.is_empty() {
            break;
        }
        plain.extend(more);
    }
    let (pages, ms) = ogg::measure(&plain);
    if sound.is_sealed() {
        return Ok((held, ms));
    }
    file.set_len(pages as u64)?;
    Ok((pages as u64, ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dialer_core::record::RecordingStartRow;
    use dialer_core::recording::Pauses;
    use dialer_core::{CallId, RecordingId};
    use sansio::WallTime;
    use std::os::unix::fs::FileExt;
    use store::sealed::Sealer;

    fn cut(name: &str) -> CutRecording {
        let start = RecordingStartRow {
            id: RecordingId::from_bits(1),
            call: CallId::from_bits(2),
            campaign: None,
            agent: None,
            file: name.into(),
            at: WallTime::from_unix_millis(0),
            pauses: Pauses::default(),
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
    fn what_a_full_disk_left_is_kept_and_what_holds_nothing_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let mend = mending(Vec::new());
        assert_eq!(mend(folder.path(), "a.wav").unwrap(), None);
        std::fs::write(folder.path().join("a.wav.part"), [&wav::header(0)[..], &[7; 3_203]].concat())
            .unwrap();
        assert_eq!(mend(folder.path(), "a.wav").unwrap(), Some((3_244, 100)));
        assert!(folder.path().join("a.wav").exists() && !folder.path().join("a.wav.part").exists());
    }

    #[test]
    fn opus_is_kept_to_its_last_whole_page() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("day")).unwrap();
        let mut writer = ogg::RecordingWriter::new(1).unwrap();
        let mut file = writer.append(&[1; 4 * 8_000]).unwrap();
        let whole = file.len();
        file.extend(writer.append(&[1; 4 * 8_000]).unwrap());
        for sealed_with in [None, SealKey::from_hex(&"1".repeat(64))] {
            let part = folder.path().join("day/a.ogg.part");
            let cut_file = &file[..file.len() - 3];
            match &sealed_with {
                None => std::fs::write(&part, cut_file).unwrap(),
                Some(key) => {
                    let made = File::create(&part).unwrap();
                    let mut sealer = Sealer::new(key, 0).unwrap();
                    made.write_all_at(&sealer.head(&[]).unwrap(), 0).unwrap();
                    let (offset, bytes) = sealer.append(cut_file).unwrap();
                    made.write_all_at(&bytes, offset).unwrap();
                }
            }
            let keys: Vec<SealKey> = sealed_with.into_iter().collect();
            let mut all = [cut("day/a.ogg")];
            mend_all(folder.path(), &keys, &mut all);
            let CutFile::Mended(found) = &all[0].found else { panic!("mended") };
            assert!((980..=1_000).contains(&found.duration_ms), "{found:?}");
            assert_eq!(found.bytes as usize, if keys.is_empty() { whole } else { cut_file.len() });
            std::fs::remove_file(folder.path().join("day/a.ogg")).unwrap();
        }
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
