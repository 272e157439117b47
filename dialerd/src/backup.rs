//! `dialerd backup` and `dialerd restore`: the embedded store, whole and consistent, while the daemon runs.

use crate::config::store::StorePlace;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub struct BackupArguments {
    /// The daemon's configuration file, which says where the store is.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Where the copy goes; it must not be there yet.
    #[arg(value_name = "COPY")]
    pub copy: PathBuf,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub struct RestoreArguments {
    /// The daemon's configuration file, which says where the store is. The daemon must not run.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// A copy that `dialerd backup` made.
    #[arg(value_name = "COPY")]
    pub copy: PathBuf,
    /// Take the place of the store that is there; it is kept beside, with `.before-restore` added to its name.
    #[arg(long)]
    pub force: bool,
}

/// Copies the store.
pub fn backup(arguments: &BackupArguments) -> ExitCode {
    told(&arguments.config, |store| {
        let pages = store::backup(store, &arguments.copy).map_err(|error| error.to_string())?;
        Ok(format!("{}: {} bytes, checked", arguments.copy.display(), pages))
    })
}

/// Puts a copy in the place of the store.
pub fn restore(arguments: &RestoreArguments) -> ExitCode {
    told(&arguments.config, |store| {
        if store.exists() && !arguments.force {
            let place = store.display();
            return Err(format!("there is a store at {place} already: --force puts the copy in its place"));
        }
        let schema =
            store::restore(&arguments.copy, store, arguments.force).map_err(|error| error.to_string())?;
        Ok(format!("{}: restored (schema {schema})", store.display()))
    })
}

fn told(config: &Path, act: impl FnOnce(&Path) -> Result<String, String>) -> ExitCode {
    let config = match crate::config::load(config) {
        Ok(config) => config,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("{error}"));
            return ExitCode::from(2);
        }
    };
    let file = match &config.store {
        StorePlace::File(file) => file,
        StorePlace::Postgres(place) => {
            eprintln!(
                "dialerd: the store is {}: a database is copied and put back with PostgreSQL's own pg_dump and pg_restore \
                 (or by a base backup of its server)",
                place.name()
            );
            return ExitCode::FAILURE;
        }
    };
    match act(file) {
        Ok(words) => {
            println!("{words}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("dialerd: {error}");
            ExitCode::FAILURE
        }
    }
}
