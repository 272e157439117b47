//! The files of the database are where they were. One that is moved away or deleted under a running store takes with it
//! what is written from then on, and SQLite does not notice: it goes on writing to a file that nobody will find.

use super::open::beside;
use crate::error::{Fault, StoreError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Device and number of a file.
type FileId = (u64, u64);

/// The database and its log.
#[derive(Debug)]
pub(super) struct Place {
    files: [(PathBuf, Option<FileId>); 2],
}

impl Place {
    /// Of a database that is open. (Its log comes with the first commit.)
    pub(super) fn of(path: &Path) -> Place {
        let log = beside(path, "-wal");
        Place { files: [(path.to_owned(), id_of(path)), (log.clone(), id_of(&log))] }
    }

    /// An error names the file that is not there any more, or is another one.
    pub(super) fn check(&mut self) -> Result<(), StoreError> {
        for (path, known) in &mut self.files {
            let found = id_of(path);
            match known {
                None => *known = found,
                Some(_) if *known == found => {}
                Some(_) => {
                    let what = if found.is_some() { "is another file now" } else { "is gone" };
                    let detail = format!(
                        "{} {what}: put the one back that was there; what waits is written then",
                        path.display()
                    );
                    return Err(StoreError::Database { fault: Fault::Io, detail });
                }
            }
        }
        Ok(())
    }
}

fn id_of(path: &Path) -> Option<FileId> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
