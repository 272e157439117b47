//! Recordings on disk, written through io_uring off the media path.
//!
//! Each recording is one local task of the shard's thread with its own queue, so a slow disk delays writing, never
//! sound. What waits is bounded in bytes over all recordings; beyond the bound a recording fails with a clear
//! reason instead of eating memory. A file is `NAME.part` until it is complete; its header is renewed now and then, so
//! that what a crash leaves behind can be played as it lies there. The next start makes it tell all that is there.

use bytes::Bytes;
use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_uring::fs::File;

/// The header is renewed with the first batch and each so many: to write it costs as much as to write a batch.
const HEAD_EVERY: u32 = 16;

/// Makes the file's header for so many bytes of samples.
pub type HeaderOf = fn(data_bytes: u64) -> Vec<u8>;

/// Seals what is written into a file.
pub trait FileSeal {
    /// The file's beginning with this head.
    ///
    /// # Errors
    /// When it cannot be sealed.
    fn head(&self, head: &[u8]) -> io::Result<Vec<u8>>;

    /// Plain bytes that follow on what is there: what is to be written, and where. What was written last may be
    /// written over.
    ///
    /// # Errors
    /// When it cannot be sealed.
    fn append(&mut self, plain: &[u8]) -> io::Result<(u64, Vec<u8>)>;
}

/// Turns samples into what is written, for formats that are more than samples behind a header. It may take its time: it is
/// asked off the shard's thread.
pub trait FileEncoder: Send {
    /// What follows in the file when these samples do.
    ///
    /// # Errors
    /// When they cannot be encoded.
    fn append(&mut self, samples: &[u8]) -> io::Result<Vec<u8>>;

    /// The end of the file.
    ///
    /// # Errors
    /// When it cannot be made.
    fn finish(&mut self) -> io::Result<Vec<u8>>;
}

/// Makes a file's encoder.
pub type NewEncoder = Arc<dyn Fn() -> io::Result<Box<dyn FileEncoder>> + Send + Sync>;

/// Mends a file that could not be written to its end (the folder, its name below that without `.part`) and names it; gives its
/// plain size and its milliseconds, or `None` when there is nothing in it. It may take its time: it is asked off the shard's
/// thread.
pub type Mend = Arc<dyn Fn(&Path, &str) -> io::Result<Option<(u64, u64)>> + Send + Sync>;

/// What a file is made of.
#[derive(Clone)]
pub struct FileFormat {
    /// Its header.
    pub header_of: HeaderOf,
    /// What follows; `None`: the samples as they are.
    pub encoder: Option<NewEncoder>,
    /// How what was written is kept when no more can be; `None`: it lies there as `NAME.part`.
    pub mend: Option<Mend>,
}

/// Makes the seal of a file with a head of so many bytes.
pub type NewSeal = Arc<dyn Fn(usize) -> io::Result<Box<dyn FileSeal>> + Send + Sync>;

/// One order about a recording.
#[derive(Clone, Debug)]
pub enum RecordOrder {
    /// A recording begins.
    Open {
        /// Its mark.
        id: u128,
        /// File name below the recordings folder.
        file: String,
    },
    /// Samples follow on what is there.
    Append {
        /// Its mark.
        id: u128,
        /// Bytes as they go into the file.
        samples: Bytes,
    },
    /// It is complete.
    Finish {
        /// Its mark.
        id: u128,
    },
}

/// How a recording ended. Exactly one per `Open`.
#[derive(Clone, Debug)]
pub struct RecordResult {
    /// Its mark.
    pub id: u128,
    /// What there is, or why it was lost.
    pub result: Result<Written, String>,
}

/// A recording's file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Written {
    /// File name below the recordings folder.
    pub file: String,
    /// Its size, not counting what a seal adds.
    pub bytes: u64,
    /// It could not be written to its end.
    pub cut: Option<Cut>,
}

/// The end of a recording that has lost the rest of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// How long what is kept is.
    pub duration_ms: u64,
    /// What happened.
    pub reason: String,
}

/// The recordings of one shard.
pub struct Recorder {
    folder: PathBuf,
    format: FileFormat,
    seal: Option<NewSeal>,
    queues: HashMap<u128, mpsc::UnboundedSender<Step>>,
    waiting_bytes: Rc<Cell<usize>>,
    waiting_bytes_max: usize,
    /// Steps ordered and not done.
    busy: Rc<Cell<usize>>,
    results: mpsc::UnboundedSender<RecordResult>,
}

enum Step {
    Append(Bytes, Busy),
    Finish(Busy),
    Overrun(Busy),
}

/// Something a recording has yet to do; the count falls when it is dropped.
struct Busy(Rc<Cell<usize>>);

impl Busy {
    fn new(count: &Rc<Cell<usize>>) -> Self {
        count.set(count.get() + 1);
        Busy(Rc::clone(count))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Recorder {
    /// A recorder below `folder`, and where its results come out. With `seal` nothing plain reaches the disk.
    #[must_use]
    pub fn new(
        folder: &Path,
        format: FileFormat,
        seal: Option<NewSeal>,
        waiting_bytes_max: usize,
    ) -> (Self, mpsc::UnboundedReceiver<RecordResult>) {
        let (results, receiver) = mpsc::unbounded_channel();
        let recorder = Recorder {
            folder: folder.to_owned(),
            format,
            seal,
            queues: HashMap::new(),
            waiting_bytes: Rc::new(Cell::new(0)),
            waiting_bytes_max,
            busy: Rc::new(Cell::new(0)),
            results,
        };
        (recorder, receiver)
    }

    /// Carries out an order. Must be called on the shard's own thread.
    pub fn order(&mut self, order: RecordOrder) {
        match order {
            RecordOrder::Open { id, file } => {
                let (queue, steps) = mpsc::unbounded_channel();
                self.queues.insert(id, queue);
                let writer = Writer {
                    folder: self.folder.clone(),
                    file,
                    format: self.format.clone(),
                    seal: self.seal.clone(),
                    waiting_bytes: Rc::clone(&self.waiting_bytes),
                };
                let results = self.results.clone();
                let opening = Busy::new(&self.busy);
                tokio_uring::spawn(async move {
                    let (result, _ending) = writer.run(steps, opening).await;
                    // The shard ends before its recordings only when the process does.
                    let _ = results.send(RecordResult { id, result });
                });
            }
            RecordOrder::Append { id, samples } => {
                let Some(queue) = self.queues.get(&id) else { return };
                if self.waiting_bytes.get() + samples.len() > self.waiting_bytes_max {
                    let _ = queue.send(Step::Overrun(Busy::new(&self.busy)));
                    self.queues.remove(&id);
                    return;
                }
                self.waiting_bytes.set(self.waiting_bytes.get() + samples.len());
                if let Err(refused) = queue.send(Step::Append(samples, Busy::new(&self.busy))) {
                    // The writer has failed and told so; this batch does not wait any more.
                    if let Step::Append(samples, _) = refused.0 {
                        self.waiting_bytes.set(self.waiting_bytes.get() - samples.len());
                    }
                    self.queues.remove(&id);
                }
            }
            RecordOrder::Finish { id } => {
                if let Some(queue) = self.queues.remove(&id) {
                    let _ = queue.send(Step::Finish(Busy::new(&self.busy)));
                }
            }
        }
    }

    /// True while something has been ordered that is not done: the runtime has to be turned then.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.get() > 0
    }

    /// Recordings that still take samples.
    #[must_use]
    pub fn active(&self) -> usize {
        self.queues.len()
    }
}

struct Writer {
    folder: PathBuf,
    file: String,
    format: FileFormat,
    seal: Option<NewSeal>,
    waiting_bytes: Rc<Cell<usize>>,
}

impl Writer {
    async fn run(
        self,
        mut steps: mpsc::UnboundedReceiver<Step>,
        opening: Busy,
    ) -> (Result<Written, String>, Busy) {
        let busy = Rc::clone(&opening.0);
        let part = self.folder.join(format!("{}.part", self.file));
        let result = self.write(&part, &mut steps, opening).await;
        // No other task runs between the last step's end and this.
        let ending = Busy::new(&busy);
        // Whatever still waits is given up.
        steps.close();
        while let Some(step) = steps.recv().await {
            if let Step::Append(samples, _) = step {
                self.release(samples.len());
            }
        }
        let result = match result {
            Ok(bytes) => Ok(Written { file: self.file, bytes, cut: None }),
            Err(error) => {
                let reason = format!("{}: {error}", part.display());
                match self.mended().await {
                    Some((bytes, duration_ms)) => {
                        Ok(Written { file: self.file, bytes, cut: Some(Cut { duration_ms, reason }) })
                    }
                    None => Err(reason),
                }
            }
        };
        (result, ending)
    }

    /// Keeps what was written when no more can be.
    async fn mended(&self) -> Option<(u64, u64)> {
        let mend = self.format.mend.clone()?;
        let (folder, file) = (self.folder.clone(), self.file.clone());
        let mended = tokio::task::spawn_blocking(move || mend(&folder, &file)).await;
        match mended.map_err(io::Error::other).flatten() {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, file = self.file, "what was written of a recording stays as it is");
                None
            }
        }
    }

    async fn write_head(&self, file: &File, seal: Option<&dyn FileSeal>, data_bytes: u64) -> io::Result<()> {
        let head = (self.format.header_of)(data_bytes);
        if head.is_empty() && seal.is_none() {
            return Ok(());
        }
        let bytes = match seal {
            Some(seal) => seal.head(&head)?,
            None => head,
        };
        file.write_all_at(bytes, 0).await.0
    }

    fn release(&self, bytes: usize) {
        self.waiting_bytes.set(self.waiting_bytes.get() - bytes);
    }

    async fn write(
        &self,
        part: &Path,
        steps: &mut mpsc::UnboundedReceiver<Step>,
        opening: Busy,
    ) -> io::Result<u64> {
        if let Some(folder) = part.parent() {
            tokio_uring::fs::create_dir_all(folder).await?;
        }
        let file = File::create(part).await?;
        let header_bytes = (self.format.header_of)(0).len();
        let mut seal = self.seal.as_ref().map(|new| new(header_bytes)).transpose()?;
        let header_bytes = header_bytes as u64;
        let mut encoder = self.format.encoder.as_ref().map(|new| new()).transpose()?;
        let mut data_bytes = 0_u64;
        let mut batches = 0_u32;
        drop(opening);
        let finishing = loop {
            match steps.recv().await {
                Some(Step::Append(samples, _busy)) => {
                    let length = samples.len();
                    let at = header_bytes + data_bytes;
                    let written = match encoded(&mut encoder, Some(samples)).await {
                        Ok(bytes) => put(&file, &mut seal, bytes, at).await,
                        Err(error) => Err(error),
                    };
                    self.release(length);
                    data_bytes += written?;
                    if batches.is_multiple_of(HEAD_EVERY) {
                        self.write_head(&file, seal.as_deref(), data_bytes).await?;
                    }
                    batches += 1;
                }
                Some(Step::Finish(busy)) => break busy,
                Some(Step::Overrun(_busy)) => {
                    return Err(io::Error::other("the disk is too slow: too much waits to be written"));
                }
                None => return Err(io::Error::other("the shard stopped before the recording was complete")),
            }
        };
        let end = encoded(&mut encoder, None).await?;
        data_bytes += put(&file, &mut seal, end, header_bytes + data_bytes).await?;
        self.write_head(&file, seal.as_deref(), data_bytes).await?;
        file.sync_data().await?;
        file.close().await?;
        tokio_uring::fs::rename(part, self.folder.join(&self.file)).await?;
        drop(finishing);
        Ok(header_bytes + data_bytes)
    }
}

/// What is to be written for samples, or at the end. The encoder is lent to a thread that may take its time.
async fn encoded(encoder: &mut Option<Box<dyn FileEncoder>>, samples: Option<Bytes>) -> io::Result<Bytes> {
    let Some(mut lent) = encoder.take() else { return Ok(samples.unwrap_or_default()) };
    let encoding = tokio::task::spawn_blocking(move || {
        let bytes = match &samples {
            Some(samples) => lent.append(samples),
            None => lent.finish(),
        };
        (lent, bytes)
    });
    let (back, bytes) = encoding.await.map_err(io::Error::other)?;
    *encoder = Some(back);
    Ok(Bytes::from(bytes?))
}

/// Writes what follows in the file; gives its plain length.
async fn put(file: &File, seal: &mut Option<Box<dyn FileSeal>>, bytes: Bytes, at: u64) -> io::Result<u64> {
    let length = bytes.len() as u64;
    if length == 0 {
        return Ok(0);
    }
    match seal {
        None => file.write_all_at(bytes, at).await.0?,
        Some(seal) => {
            let (offset, sealed) = seal.append(&bytes)?;
            file.write_all_at(sealed, offset).await.0?;
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: FileFormat = FileFormat { header_of: header, encoder: None, mend: None };

    fn whole(file: &str, bytes: u64) -> Result<Written, String> {
        Ok(Written { file: file.into(), bytes, cut: None })
    }

    fn header(data_bytes: u64) -> Vec<u8> {
        data_bytes.to_le_bytes().to_vec()
    }

    /// Says each letter twice, and says goodbye.
    struct Twice;

    impl FileEncoder for Twice {
        fn append(&mut self, samples: &[u8]) -> io::Result<Vec<u8>> {
            if samples == b"?" {
                return Err(io::Error::other("not a letter"));
            }
            Ok(samples.iter().flat_map(|byte| [*byte, *byte]).collect())
        }

        fn finish(&mut self) -> io::Result<Vec<u8>> {
            Ok(b"bye".to_vec())
        }
    }

    #[test]
    fn an_encoder_says_what_is_written_and_its_fault_is_the_recordings() {
        let folder = tempfile::tempdir().unwrap();
        tokio_uring::start(async {
            let encoder: NewEncoder = Arc::new(|| Ok(Box::new(Twice) as Box<dyn FileEncoder>));
            let format = FileFormat { header_of: |_| Vec::new(), encoder: Some(encoder), mend: None };
            let (mut recorder, mut results) = Recorder::new(folder.path(), format, None, 1 << 20);
            for (id, last) in [(1, "b"), (2, "?")] {
                recorder.order(RecordOrder::Open { id, file: format!("{id}.ogg") });
                recorder.order(RecordOrder::Append { id, samples: Bytes::from_static(b"a") });
                recorder.order(RecordOrder::Append { id, samples: Bytes::from(last) });
                recorder.order(RecordOrder::Finish { id });
                let result = results.recv().await.unwrap().result;
                match id {
                    1 => assert_eq!(result, whole("1.ogg", 7)),
                    _ => assert!(result.unwrap_err().contains("not a letter")),
                }
                assert_eq!((recorder.waiting_bytes.get(), recorder.is_busy()), (0, false));
            }
        });
        assert_eq!(std::fs::read(folder.path().join("1.ogg")).unwrap(), b"aabbbye");
        assert_eq!(std::fs::read(folder.path().join("2.ogg.part")).unwrap(), b"aa");
    }

    /// Every write to it says that no space is left.
    #[test]
    fn a_full_disk_is_told_and_holds_nothing_up() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/full", folder.path().join("a.wav.part")).unwrap();
        tokio_uring::start(async {
            let (mut recorder, mut results) = Recorder::new(folder.path(), PLAIN, None, 1 << 20);
            recorder.order(RecordOrder::Open { id: 1, file: "a.wav".into() });
            for _ in 0..3 {
                recorder.order(RecordOrder::Append { id: 1, samples: Bytes::from_static(b"abcd") });
            }
            recorder.order(RecordOrder::Finish { id: 1 });
            let reason = results.recv().await.unwrap().result.unwrap_err();
            assert!(reason.contains("No space left"), "{reason}");
            assert_eq!((recorder.waiting_bytes.get(), recorder.is_busy()), (0, false));
        });
    }

    /// What was written before is kept, once, with its length and the reason; what cannot be mended is lost as before.
    #[test]
    fn what_a_full_disk_left_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        for (name, found) in [("a.wav", Some((12, 5))), ("b.wav", None)] {
            std::os::unix::fs::symlink("/dev/full", folder.path().join(format!("{name}.part"))).unwrap();
            let there = folder.path().to_owned();
            let mend: Mend = Arc::new(move |folder: &Path, file: &str| {
                assert_eq!((folder, file), (there.as_path(), name));
                Ok(found)
            });
            tokio_uring::start(async {
                let format = FileFormat { mend: Some(mend), ..PLAIN };
                let (mut recorder, mut results) = Recorder::new(folder.path(), format, None, 1 << 20);
                recorder.order(RecordOrder::Open { id: 1, file: name.into() });
                recorder.order(RecordOrder::Append { id: 1, samples: Bytes::from_static(b"abcd") });
                recorder.order(RecordOrder::Finish { id: 1 });
                match results.recv().await.unwrap().result {
                    Ok(Written { file, bytes: 12, cut: Some(Cut { duration_ms: 5, reason }) }) => {
                        assert!(file == "a.wav" && reason.contains("No space left"), "{reason}");
                    }
                    Err(reason) => assert!(name == "b.wav" && reason.contains("No space left"), "{reason}"),
                    Ok(other) => panic!("{other:?}"),
                }
                assert_eq!((recorder.waiting_bytes.get(), recorder.is_busy()), (0, false));
            });
        }
    }

    #[test]
    fn a_recording_is_named_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        tokio_uring::start(async {
            let (mut recorder, mut results) = Recorder::new(folder.path(), PLAIN, None, 1 << 20);
            recorder.order(RecordOrder::Open { id: 1, file: "day/a.wav".into() });
            recorder.order(RecordOrder::Append { id: 1, samples: Bytes::from_static(b"hello ") });
            recorder.order(RecordOrder::Append { id: 1, samples: Bytes::from_static(b"world") });
            assert!(!folder.path().join("day/a.wav").exists());
            recorder.order(RecordOrder::Finish { id: 1 });
            let result = results.recv().await.unwrap();
            assert_eq!(result.result, whole("day/a.wav", 19));
            assert_eq!(recorder.active(), 0);
        });
        let bytes = std::fs::read(folder.path().join("day/a.wav")).unwrap();
        assert_eq!(bytes, [&11_u64.to_le_bytes()[..], b"hello world"].concat());
        assert!(!folder.path().join("day/a.wav.part").exists());
    }

    /// Turns bytes over and puts a letter before head and samples.
    struct Turned {
        at: u64,
    }

    impl FileSeal for Turned {
        fn head(&self, head: &[u8]) -> io::Result<Vec<u8>> {
            Ok(std::iter::once(b'H').chain(head.iter().map(|byte| !byte)).collect())
        }

        fn append(&mut self, plain: &[u8]) -> io::Result<(u64, Vec<u8>)> {
            let at = self.at;
            self.at += plain.len() as u64;
            Ok((at, plain.iter().map(|byte| !byte).collect()))
        }
    }

    #[test]
    fn with_a_seal_nothing_plain_is_written() {
        let folder = tempfile::tempdir().unwrap();
        tokio_uring::start(async {
            let seal: NewSeal =
                Arc::new(
                    |head_bytes| Ok(Box::new(Turned { at: 1 + head_bytes as u64 }) as Box<dyn FileSeal>),
                );
            let (mut recorder, mut results) = Recorder::new(folder.path(), PLAIN, Some(seal), 1 << 20);
            recorder.order(RecordOrder::Open { id: 1, file: "a.wav".into() });
            recorder.order(RecordOrder::Append { id: 1, samples: Bytes::from_static(b"hello ") });
            recorder.order(RecordOrder::Append { id: 1, samples: Bytes::from_static(b"world") });
            recorder.order(RecordOrder::Finish { id: 1 });
            assert_eq!(results.recv().await.unwrap().result, whole("a.wav", 19));
        });
        let bytes = std::fs::read(folder.path().join("a.wav")).unwrap();
        let plain = [&11_u64.to_le_bytes()[..], b"hello world"].concat();
        assert_eq!(bytes[0], b'H');
        assert_eq!(bytes[1..].iter().map(|byte| !byte).collect::<Vec<u8>>(), plain);
    }

    #[test]
    fn what_waits_is_bounded_and_a_missing_folder_is_told() {
        let folder = tempfile::tempdir().unwrap();
        tokio_uring::start(async {
            let (mut recorder, mut results) = Recorder::new(folder.path(), PLAIN, None, 10);
            recorder.order(RecordOrder::Open { id: 1, file: "a.wav".into() });
            recorder.order(RecordOrder::Append { id: 1, samples: Bytes::from_static(b"0123456789AB") });
            let reason = results.recv().await.unwrap().result.unwrap_err();
            assert!(reason.contains("too slow"), "{reason}");
            assert_eq!(recorder.waiting_bytes.get(), 0);

            // A file where the folder should be.
            std::fs::write(folder.path().join("none"), b"").unwrap();
            let (mut recorder, mut results) = Recorder::new(&folder.path().join("none"), PLAIN, None, 10);
            recorder.order(RecordOrder::Open { id: 2, file: "b.wav".into() });
            let result = results.recv().await.unwrap();
            assert!(result.result.unwrap_err().contains("b.wav.part"));
        });
    }
}
