//! Verdicts of an import on their way to the client.
//!
//! Many clients send their whole body before they read anything. If the verdicts waited in the connection, it
//! would be full both ways and neither side would go on; if they waited in memory, a long import would take much of
//! it. So they go through an unnamed file: writing never waits for reading, and reading begins at once.

use bytes::Bytes;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Progress {
    written: u64,
    done: bool,
}

/// The writing end.
#[derive(Debug)]
pub(crate) struct SpoolWriter {
    file: Arc<File>,
    progress: watch::Sender<Progress>,
}

/// The reading end.
#[derive(Debug)]
pub(crate) struct SpoolReader {
    file: Arc<File>,
    progress: watch::Receiver<Progress>,
    offset: u64,
}

/// Makes a spool in a folder. Its file has no name, so nothing is left behind whatever happens. Blocks.
pub(crate) fn spool(folder: &Path, name: &str) -> io::Result<(SpoolWriter, SpoolReader)> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!(".{name}.spool"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    let file = Arc::new(file);
    let (sender, receiver) = watch::channel(Progress::default());
    Ok((
        SpoolWriter { file: Arc::clone(&file), progress: sender },
        SpoolReader { file, progress: receiver, offset: 0 },
    ))
}

/// Makes a spool whose file stays, under this name. Blocks.
pub(crate) fn spool_at(path: &Path) -> io::Result<SpoolWriter> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    Ok(SpoolWriter { file: Arc::new(file), progress: watch::channel(Progress::default()).0 })
}

impl SpoolWriter {
    /// Appends. Blocks for as long as the file system takes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = self.progress.borrow().written;
        self.file.write_all_at(bytes, at)?;
        self.progress.send_modify(|progress| progress.written = at + bytes.len() as u64);
        Ok(())
    }

    /// Nothing more will come.
    pub(crate) fn finish(self) {
        self.progress.send_modify(|progress| progress.done = true);
    }
}

impl SpoolReader {
    /// Reads a file that is complete. Blocks.
    pub(crate) fn of_file(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let written = file.metadata()?.len();
        let (_, progress) = watch::channel(Progress { written, done: true });
        Ok(SpoolReader { file: Arc::new(file), progress, offset: 0 })
    }

    /// The next bytes; `None` at the end. A writer that went away without finishing is an error.
    pub(crate) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            let progress = *self.progress.borrow_and_update();
            if self.offset < progress.written {
                let count = READ_BYTES.min((progress.written - self.offset) as usize);
                let (file, at) = (Arc::clone(&self.file), self.offset);
                let read = tokio::task::spawn_blocking(move || {
                    let mut bytes = vec![0; count];
                    file.read_exact_at(&mut bytes, at).map(|()| Bytes::from(bytes))
                });
                self.offset += count as u64;
                return Some(read.await.unwrap_or_else(|_| Err(io::Error::other("the read broke off"))));
            }
            if progress.done {
                return None;
            }
            if self.progress.changed().await.is_err() {
                return Some(Err(io::Error::other("the import broke off")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, mut reader) = spool(folder.path(), "x").unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        writer.write(b"one").unwrap();
        assert_eq!(reader.next().await.unwrap().unwrap(), "one");
        writer.write(&[7; READ_BYTES + 1]).unwrap();
        writer.finish();
        assert_eq!(reader.next().await.unwrap().unwrap().len(), READ_BYTES);
        assert_eq!(reader.next().await.unwrap().unwrap().len(), 1);
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn a_writer_that_vanishes_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, mut reader) = spool(folder.path(), "x").unwrap();
        drop(writer);
        assert!(reader.next().await.unwrap().is_err());
    }
}
