//! Recordings at rest: sealed with a key of the configuration, so that the disk alone tells nothing.
//!
//! ```text
//!   "DLRSEAL1" · key id (8) · salt (14) · length of the head (2) · sealed head · sealed chunk 0 · chunk 1 · …
//! ```
//!
//! Each file has a key of its own (HKDF-SHA256 of the configured key and the salt). Head and chunks are sealed one by
//! one (AES-256-GCM) with their place as associated data, so that none can be moved, and with a fresh random nonce at
//! each write, because head and last chunk are written again as the recording grows. What a crash tears is at most that
//! last chunk. Any part can be opened without the rest: byte ranges cost what they hold.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const MAGIC: &[u8; 8] = b"DLRSEAL1";
const KEY_ID_BYTES: usize = 8;
const SALT_BYTES: usize = 14;
/// Bytes before the sealed head.
const PRELUDE_BYTES: usize = 32;
/// Plain bytes of a chunk: half a second of two channels at 8 kHz.
pub const CHUNK_BYTES: usize = 16 * 1024;
/// What sealing adds: nonce and tag.
const OVERHEAD: usize = NONCE_LEN + 16;
/// Place of the head, which is no chunk's.
const HEAD: u64 = u64::MAX;

/// A key of the configuration.
#[derive(Clone)]
pub struct SealKey {
    bytes: [u8; 32],
    id: [u8; KEY_ID_BYTES],
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(not shown)")
    }
}

impl SealKey {
    /// From 64 hexadecimal digits; `None`: it is something else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<SealKey> {
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&digest.as_ref()[..KEY_ID_BYTES]);
        Some(SealKey { bytes, id })
    }

    fn of_file(&self, salt: &[u8]) -> io::Result<LessSafeKey> {
        let derived = Salt::new(HKDF_SHA256, salt).extract(&self.bytes);
        let key = derived.expand(&[b"dialerd recording"], &AES_256_GCM).map_err(|_| broken("no key"))?;
        Ok(LessSafeKey::new(UnboundKey::from(key)))
    }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Seals one file as it is written.
pub struct Sealer {
    key: LessSafeKey,
    prelude: Vec<u8>,
    head_bytes: usize,
    /// Plain bytes of the last chunk, as long as it is not whole.
    tail: Vec<u8>,
    /// Its place.
    index: u64,
}

impl Sealer {
    /// For a file with a head of this many bytes.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(key: &SealKey, head_bytes: usize) -> io::Result<Sealer> {
        let length = u16::try_from(head_bytes).map_err(|_| broken("a head has at most 65535 bytes"))?;
        let mut salt = [0; SALT_BYTES];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        let mut prelude = Vec::with_capacity(PRELUDE_BYTES);
        prelude.extend_from_slice(MAGIC);
        prelude.extend_from_slice(&key.id);
        prelude.extend_from_slice(&salt);
        prelude.extend_from_slice(&length.to_le_bytes());
        Ok(Sealer { key: key.of_file(&salt)?, prelude, head_bytes, tail: Vec::new(), index: 0 })
    }

    /// What is to be written at the file's beginning, with this head. Again whenever the head is another.
    ///
    /// # Errors
    /// When the system gives no randomness, or the head has another length.
    pub fn head(&self, head: &[u8]) -> io::Result<Vec<u8>> {
        if head.len() != self.head_bytes {
            return Err(broken("the head has another length than before"));
        }
        let mut bytes = self.prelude.clone();
        self.seal(HEAD, head, &mut bytes)?;
        Ok(bytes)
    }

    /// Takes plain bytes that follow on what is there; gives what is to be written, and where.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn append(&mut self, plain: &[u8]) -> io::Result<(u64, Vec<u8>)> {
        let offset = place(self.head_bytes, self.index);
        let mut bytes = Vec::with_capacity(plain.len() + 4 * OVERHEAD);
        self.tail.extend_from_slice(plain);
        let tail = std::mem::take(&mut self.tail);
        let mut chunks = tail.chunks_exact(CHUNK_BYTES);
        for chunk in &mut chunks {
            self.seal(self.index, chunk, &mut bytes)?;
            self.index += 1;
        }
        if !chunks.remainder().is_empty() {
            self.seal(self.index, chunks.remainder(), &mut bytes)?;
        }
        self.tail = chunks.remainder().to_vec();
        Ok((offset, bytes))
    }

    fn seal(&self, index: u64, plain: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
        seal(&self.key, index, plain, into)
    }
}

fn seal(key: &LessSafeKey, index: u64, plain: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
    let mut nonce = [0; NONCE_LEN];
    getrandom::fill(&mut nonce).map_err(io::Error::other)?;
    let mut sealed = plain.to_vec();
    let place = Aad::from(index.to_le_bytes());
    let nonce_used = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce_used, place, &mut sealed)
        .map_err(|_| broken("it cannot be sealed"))?;
    into.extend_from_slice(&nonce);
    into.extend_from_slice(&sealed);
    Ok(())
}

/// Where a chunk begins in the file.
fn place(head_bytes: usize, index: u64) -> u64 {
    (PRELUDE_BYTES + head_bytes + OVERHEAD) as u64 + index * (CHUNK_BYTES + OVERHEAD) as u64
}

/// Makes a file that a crash left whole again: what was written half is cut off, and the head tells what is there.
/// Gives the plain bytes that follow the head, in whole units of so many bytes; 0: there is nothing in it, and it is as
/// it was. Blocks.
///
/// # Errors
/// When it cannot be read or written; `PermissionDenied` when it is sealed with a key that is not among these.
pub fn mend(
    file: &File,
    keys: &[SealKey],
    head_bytes: usize,
    unit_bytes: u64,
    head_of: &dyn Fn(u64) -> Vec<u8>,
) -> io::Result<u64> {
    let recording = RecordingFile::open(file.try_clone()?, keys)?;
    let Some(opener) = &recording.sealed else {
        let held = recording.length.saturating_sub(head_bytes as u64) / unit_bytes * unit_bytes;
        if held > 0 {
            file.set_len(head_bytes as u64 + held)?;
            file.write_all_at(&head_of(held), 0)?;
        }
        return Ok(held);
    };
    let mut held = recording.length.saturating_sub(opener.head_bytes as u64);
    // The last chunk is written again as it grows: that may have come half.
    let whole = held / CHUNK_BYTES as u64 * CHUNK_BYTES as u64;
    if held > whole && recording.read(opener.head_bytes as u64 + whole, 1).is_err() {
        held = whole;
        file.set_len(place(opener.head_bytes, held / CHUNK_BYTES as u64))?;
    }
    if held > 0 {
        let mut head = Vec::new();
        seal(&opener.key, HEAD, &head_of(held), &mut head)?;
        file.write_all_at(&head, PRELUDE_BYTES as u64)?;
    }
    Ok(held)
}

/// A recording's file, sealed or not, to be read from any place. Blocks.
pub struct RecordingFile {
    file: File,
    sealed: Option<Opener>,
    /// Plain bytes.
    length: u64,
}

struct Opener {
    key: LessSafeKey,
    head_bytes: usize,
}

impl RecordingFile {
    /// Looks at a file.
    ///
    /// # Errors
    /// When it cannot be read; `PermissionDenied` when it is sealed with a key that is not among these.
    pub fn open(file: File, keys: &[SealKey]) -> io::Result<RecordingFile> {
        let size = file.metadata()?.len();
        let mut prelude = [0; PRELUDE_BYTES];
        if size < PRELUDE_BYTES as u64 {
            return Ok(RecordingFile { file, sealed: None, length: size });
        }
        file.read_exact_at(&mut prelude, 0)?;
        let Some(rest) = prelude.strip_prefix(MAGIC) else {
            return Ok(RecordingFile { file, sealed: None, length: size });
        };
        let (id, rest) = rest.split_at(KEY_ID_BYTES);
        let (salt, length) = rest.split_at(SALT_BYTES);
        let key = keys.iter().find(|key| key.id == *id).ok_or_else(|| {
            io::Error::new(io::ErrorKind::PermissionDenied, "sealed with a key that is not configured")
        })?;
        let head_bytes = usize::from(u16::from_le_bytes([length[0], length[1]]));
        let data = size.saturating_sub(place(head_bytes, 0));
        let whole = data / (CHUNK_BYTES + OVERHEAD) as u64;
        let last = (data % (CHUNK_BYTES + OVERHEAD) as u64).saturating_sub(OVERHEAD as u64);
        let length = head_bytes as u64 + whole * CHUNK_BYTES as u64 + last;
        Ok(RecordingFile { file, sealed: Some(Opener { key: key.of_file(salt)?, head_bytes }), length })
    }

    /// Nothing plain of it is on the disk.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.sealed.is_some()
    }

    /// Plain bytes in it.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Some plain bytes from `offset` on, at most `most`; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what was written.
    pub fn read(&self, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let most = most.min(left);
        let Some(opener) = &self.sealed else {
            let mut bytes = vec![0; most];
            self.file.read_exact_at(&mut bytes, offset)?;
            return Ok(bytes);
        };
        if most == 0 {
            return Ok(Vec::new());
        }
        let head = opener.head_bytes as u64;
        let (plain, skip) = if offset < head {
            let sealed = self.sealed_bytes(PRELUDE_BYTES as u64, opener.head_bytes)?;
            (opener.open(HEAD, sealed)?, offset as usize)
        } else {
            let index = (offset - head) / CHUNK_BYTES as u64;
            let start = index * CHUNK_BYTES as u64;
            let length = CHUNK_BYTES.min((self.length - head - start) as usize);
            let sealed = self.sealed_bytes(place(opener.head_bytes, index), length)?;
            (opener.open(index, sealed)?, (offset - head - start) as usize)
        };
        let end = plain.len().min(skip + most);
        Ok(plain[skip..end].to_vec())
    }

    fn sealed_bytes(&self, at: u64, plain_bytes: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; plain_bytes + OVERHEAD];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

impl Opener {
    fn open(&self, index: u64, mut sealed: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&sealed[..NONCE_LEN]);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let place = Aad::from(index.to_le_bytes());
        let plain = self
            .key
            .open_in_place(nonce, place, &mut sealed[NONCE_LEN..])
            .map_err(|_| broken("the file is damaged, or was changed"))?;
        Ok(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: char) -> SealKey {
        SealKey::from_hex(&digit.to_string().repeat(64)).unwrap()
    }

    /// Writes as a recorder does: batches, and the head anew with each.
    fn write(path: &std::path::Path, key: &SealKey, batches: &[&[u8]]) -> Vec<u8> {
        let file = File::create(path).unwrap();
        let mut sealer = Sealer::new(key, 4).unwrap();
        let mut plain: Vec<u8> = Vec::new();
        for batch in batches {
            let (offset, bytes) = sealer.append(batch).unwrap();
            file.write_all_at(&bytes, offset).unwrap();
            plain.extend_from_slice(batch);
            let head = (plain.len() as u32).to_le_bytes();
            file.write_all_at(&sealer.head(&head).unwrap(), 0).unwrap();
        }
        [&(plain.len() as u32).to_le_bytes()[..], &plain].concat()
    }

    fn read(path: &std::path::Path, key: &SealKey, from: u64) -> io::Result<Vec<u8>> {
        let file = RecordingFile::open(File::open(path)?, std::slice::from_ref(key))?;
        let mut all = Vec::new();
        loop {
            let part = file.read(from + all.len() as u64, 5_000)?;
            if part.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(&part);
        }
    }

    #[test]
    fn what_is_sealed_is_opened_from_any_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let sound: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
        let plain = write(&path, &key('1'), &[&sound[..7], &sound[7..40_000], &sound[40_000..], b""]);
        for from in [0, 1, 3, 4, 5, 16_387, 16_388, 16_389, 99_999, 100_003, 100_004, 200_000] {
            let want = plain.get(from as usize..).unwrap_or_default();
            assert_eq!(read(&path, &key('1'), from).unwrap(), want, "{from}");
        }
        let stored = std::fs::read(&path).unwrap();
        assert!(!stored.windows(16).any(|window| sound.windows(16).take(300).any(|part| part == window)));
        let other = RecordingFile::open(File::open(&path).unwrap(), &[key('2')]).err().unwrap();
        assert_eq!(other.kind(), io::ErrorKind::PermissionDenied);
        // The key before last still opens.
        let keys = [key('2'), key('1')];
        assert_eq!(RecordingFile::open(File::open(&path).unwrap(), &keys).unwrap().length(), 100_004);
        std::fs::write(&path, b"RIFF and so on, not sealed at all, just bytes").unwrap();
        assert_eq!(read(&path, &key('1'), 40).unwrap(), b"bytes");
    }

    #[test]
    fn what_was_changed_is_not_opened_and_a_crash_costs_the_last_chunk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let sound = vec![7; 3 * CHUNK_BYTES + 100];
        write(&path, &key('1'), &[&sound]);
        let whole = std::fs::read(&path).unwrap();
        let first = place(4, 0) as usize;
        let step = CHUNK_BYTES + OVERHEAD;
        let mut swapped = whole.clone();
        swapped[first..first + 2 * step].rotate_left(step);
        let mut flipped = whole.clone();
        flipped[first + 20] ^= 1;
        for changed in [swapped, flipped] {
            std::fs::write(&path, changed).unwrap();
            assert_eq!(read(&path, &key('1'), 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        // Torn in the last chunk: all before it is there.
        std::fs::write(&path, &whole[..whole.len() - 50]).unwrap();
        let file = RecordingFile::open(File::open(&path).unwrap(), &[key('1')]).unwrap();
        for chunk in 0..3 {
            assert_eq!(file.read(4 + chunk * CHUNK_BYTES as u64, CHUNK_BYTES).unwrap(), [7; CHUNK_BYTES]);
        }
    }

    #[test]
    fn keys_are_64_hexadecimal_digits_and_are_not_shown() {
        for wrong in ["", "abc", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            assert!(SealKey::from_hex(wrong).is_none(), "{wrong}");
        }
        assert_eq!(format!("{:?}", key('a')), "SealKey(not shown)");
    }
}
