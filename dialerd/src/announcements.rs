//! Networks' announcements that an operator has taught: `CLASS/NAME.wav` in a folder.

use crate::control_thread::ControlMessage;
use crate::prompts::read_sound;
use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;
use engine::{Announcements, ShardCommand};
use media::announcement::{AnnouncementClass, Book};
use runtime::mailbox;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `teach-announcement`.
#[derive(Debug, Args)]
pub struct TeachArguments {
    /// The sound: WAV, or G.711 without a header (.ulaw, .alaw).
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What it means.
    #[arg(value_name = "CLASS", value_parser = PossibleValuesParser::new(AnnouncementClass::ALL.map(AnnouncementClass::as_str)))]
    pub class: String,
    /// The daemon's configuration, which says where announcements are.
    #[arg(long, short, value_name = "FILE", required_unless_present = "folder")]
    pub config: Option<PathBuf>,
    /// The folder of announcements, instead of the configuration's.
    #[arg(long, value_name = "FOLDER", conflicts_with = "config")]
    pub folder: Option<PathBuf>,
    /// What it is called in events and records; the file's name if not given.
    #[arg(long, value_name = "NAME", value_parser = name_of)]
    pub name: Option<String>,
    /// Take the place of one of this name, and keep it even if it sounds like one of another class.
    #[arg(long)]
    pub force: bool,
}

/// Small letters, digits, `-` and `_`: it becomes a file's name.
fn name_of(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    if (1..=64).contains(&text.len()) && text.bytes().all(good) {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 small letters, digits, - and _ are expected".into())
    }
}

/// All announcements of a folder. What cannot be used is told and left out; no folder, no announcements.
pub fn load(folder: &Path) -> Book {
    let mut book = Book::default();
    for class in AnnouncementClass::ALL {
        for path in files(&folder.join(class.as_str())) {
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let name = format!("{}/{name}", class.as_str());
            let taught = read_sound(&path)
                .and_then(|samples| book.teach(name, class, &samples).map_err(|error| error.to_string()));
            if let Err(error) = taught {
                tracing::warn!(error, file = %path.display(), "an announcement cannot be used");
            }
        }
    }
    book
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!(%error, folder = %folder.display(), "announcements cannot be read");
            return Vec::new();
        }
    };
    let hidden =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file() && !hidden(path)).collect();
    files.sort();
    files
}

/// The announcements of a folder, as shards are told them.
pub async fn of_folder(folder: PathBuf) -> anyhow::Result<ShardCommand> {
    let read = move || load(&folder);
    let book = tokio::task::spawn_blocking(read).await.context("loading announcements")?;
    if !book.is_empty() {
        tracing::info!(count = book.len(), "announcements known by their sound");
    }
    Ok(ShardCommand::SetAnnouncements(Announcements(Arc::new(book))))
}

/// Reads them anew at SIGHUP. Ends with the control thread.
pub async fn watch(folder: PathBuf, to_control: mailbox::Sender<ControlMessage>) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else { return };
    while hangups.recv().await.is_some() {
        match of_folder(folder.clone()).await {
            Ok(command) => {
                if to_control.send(ControlMessage::ShardSetup(command)).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::error!("{error:#}"),
        }
    }
}

/// Teaches one.
pub fn teach(arguments: &TeachArguments) -> ExitCode {
    let folder = match (&arguments.folder, &arguments.config) {
        (Some(folder), _) => folder.clone(),
        (None, Some(file)) => match crate::config::load(file) {
            Ok(config) => config.announcements_dir,
            Err(errors) => {
                errors.iter().for_each(|error| eprintln!("{error}"));
                return ExitCode::from(2);
            }
        },
        (None, None) => return ExitCode::from(2),
    };
    match teach_into(&folder, arguments) {
        Ok(told) => {
            println!("{told}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", arguments.file.display());
            ExitCode::FAILURE
        }
    }
}

fn teach_into(folder: &Path, arguments: &TeachArguments) -> Result<String, String> {
    let class = AnnouncementClass::from_name(&arguments.class).ok_or("no such class")?;
    let name = match &arguments.name {
        Some(name) => name.clone(),
        None => {
            let stem = arguments.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            name_of(&stem.to_lowercase().replace([' ', '.'], "_"))
                .map_err(|error| format!("its name cannot be used ({error}); give one with --name"))?
        }
    };
    let samples = read_sound(&arguments.file)?;
    let book = Arc::new(load(folder));
    let key = format!("{}/{name}", class.as_str());
    // Alone first: what cannot be taught is told before anything it may sound like.
    let mut with = Book::clone(&book);
    with.teach(key.clone(), class, &samples).map_err(|error| error.to_string())?;
    if let Some(found) = book.find(&samples).filter(|_| !arguments.force) {
        let known = &book.announcements()[found.announcement].name;
        if found.class == class {
            return Ok(format!("known already: it sounds like {known}; nothing was changed"));
        }
        return Err(format!(
            "it sounds like {known}, which means something else; one of the two is wrong (--force keeps both, and then \
             neither is believed where they sound the same)"
        ));
    }
    let extension = arguments.file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let into = folder.join(class.as_str());
    let to = into.join(format!("{name}.{}", extension.to_ascii_lowercase()));
    if to.exists() && !arguments.force {
        return Err(format!("{} is there already; --force takes its place", to.display()));
    }
    let failed = |error: std::io::Error| format!("writing {}: {error}", to.display());
    std::fs::create_dir_all(&into).map_err(failed)?;
    // A daemon that reads the folder meanwhile finds all of it or nothing.
    let hidden = into.join(format!(".{name}.part"));
    std::fs::copy(&arguments.file, &hidden).and_then(|_| std::fs::rename(&hidden, &to)).map_err(failed)?;
    let seconds = samples.len() as f64 / 8_000.0;
    Ok(format!("taught {key}, {seconds:.1} s, into {}; {} known now", to.display(), load(folder).len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tune that no other seed has, as raw µ-law.
    fn tune(folder: &Path, file: &str, seed: u32, tones: u32) -> PathBuf {
        let mut state = seed;
        let mut sound = Vec::new();
        for _ in 0..tones {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let hz = 400.0 + f64::from(state >> 22);
            for n in 0..1_600 {
                let wave = |hz: f64| (std::f64::consts::TAU * hz * f64::from(n) / 8_000.0).sin();
                let sample = 6_000.0 * (wave(hz) + wave(hz * 1.7));
                sound.push(media::codec::g711::linear_to_ulaw(sample as i16));
            }
        }
        let path = folder.join(file);
        std::fs::write(&path, sound).unwrap();
        path
    }

    fn arguments(file: PathBuf, class: &str) -> TeachArguments {
        TeachArguments { file, class: class.into(), config: None, folder: None, name: None, force: false }
    }

    #[test]
    fn what_is_taught_is_loaded_and_what_contradicts_it_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("announcements");
        assert!(load(&folder).is_empty());
        let off = tune(place.path(), "Phone Off.ulaw", 1, 25);
        let told = teach_into(&folder, &arguments(off.clone(), "power_off")).unwrap();
        assert!(
            told.starts_with("taught power_off/phone_off, 5.0 s") && told.ends_with("1 known now"),
            "{told}"
        );
        let book = load(&folder);
        assert_eq!(&*book.announcements()[0].name, "power_off/phone_off");

        let again = teach_into(&folder, &arguments(off.clone(), "power_off")).unwrap();
        assert!(again.contains("known already"), "{again}");
        let other = teach_into(&folder, &arguments(off.clone(), "busy")).unwrap_err();
        assert!(other.contains("sounds like power_off/phone_off"), "{other}");
        let forced = TeachArguments { force: true, ..arguments(off, "busy") };
        assert!(teach_into(&folder, &forced).unwrap().ends_with("2 known now"));

        let short = tune(place.path(), "short.alaw", 2, 9);
        assert!(
            teach_into(&folder, &arguments(short, "busy")).unwrap_err().contains("shorter than 2 seconds")
        );
        let unnamed = tune(place.path(), "关机.ulaw", 3, 20);
        assert!(teach_into(&folder, &arguments(unnamed.clone(), "busy")).unwrap_err().contains("--name"));
        let named = TeachArguments { name: Some("gj".into()), ..arguments(unnamed, "busy") };
        assert!(teach_into(&folder, &named).unwrap().ends_with("3 known now"));
        std::fs::write(folder.join("busy/broken.wav"), b"RIFF").unwrap();
        assert_eq!(load(&folder).len(), 3);
    }
}
