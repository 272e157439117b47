//! A PostgreSQL server of one's own, for tests and measurements: Debian's package, a new cluster in a temporary folder, reached
//! over a socket in that folder only. It ends, and the folder goes, with the process that started it, however that ends.

use super::place::Place;
use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The oldest that serves.
const VERSION_MIN: u32 = 15;

/// Whom the server runs as when this process is root, which it refuses.
const USER: &str = "postgres";

/// A running server.
pub struct Server {
    folder: PathBuf,
    programs: PathBuf,
    /// Waits for the end of this process to end the server.
    watcher: Child,
}

/// The folder with the newest server's programs.
fn programs() -> Result<PathBuf, String> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let version = |folder: &Path| folder.file_name()?.to_str()?.parse::<u32>().ok();
    versions
        .filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin"))))
        .filter(|(version, folder)| *version >= VERSION_MIN && folder.join("initdb").exists())
        .max()
        .map(|(_, folder)| folder)
        .ok_or_else(|| {
            format!(
                "PostgreSQL {VERSION_MIN} or newer is not installed (Debian's package `postgresql`): run `scripts/setup test`"
            )
        })
}

fn is_root() -> bool {
    // The folder of this process belongs to its user.
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// A command as a user that the server accepts.
fn as_user(program: &Path, folder: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", USER, "--regid", USER, "--init-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(folder).env("HOME", folder).stdin(Stdio::null());
    command
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{command:?}: {} {}", text(&output.stdout), text(&output.stderr))),
    }
}

impl Server {
    /// Makes a cluster and starts it with these settings (`name=value`).
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start; in words.
    pub fn start(settings: &[&str]) -> Result<Server, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let programs = programs()?;
        let name =
            format!("dialerd-postgres-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        let said = |error: std::io::Error| format!("{}: {error}", folder.display());
        std::fs::create_dir(&folder).map_err(said)?;
        if is_root() {
            run(Command::new("chown").arg(format!("{USER}:")).arg(&folder))?;
        }
        let end =
            "cat >/dev/null; \"$1/pg_ctl\" -D \"$2/data\" -m immediate stop >/dev/null 2>&1; rm -rf \"$2\"";
        let watcher = as_user(Path::new("sh"), Path::new("/"))
            .args(["-c", end, "sh"])
            .args([&programs, &folder])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(said)?;
        let server = Server { folder, programs, watcher };
        run(server
            .program("initdb")
            .args(["--no-sync", "--auth=trust", "--username=dialerd", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--pgdata=data"]))?;
        let mut text = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nmax_connections = 300\n",
            server.folder.display()
        );
        for setting in settings {
            let _ = writeln!(text, "{setting}");
        }
        server.configure(&text)?;
        server.resume()?;
        Ok(server)
    }

    fn program(&self, name: &str) -> Command {
        as_user(&self.programs.join(name), &self.folder)
    }

    /// Appends settings; they count from the next start.
    fn configure(&self, settings: &str) -> Result<(), String> {
        let path = self.folder.join("data/postgresql.conf");
        let all = std::fs::read_to_string(&path).map(|before| before + settings);
        all.and_then(|text| std::fs::write(&path, text))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Starts it again after [`Server::stop`].
    ///
    /// # Errors
    /// When it does not start; in words.
    pub fn resume(&self) -> Result<(), String> {
        let log = self.folder.join("log");
        // It must not hold our pipes open.
        let mut start = self.program("pg_ctl");
        start
            .args(["-D", "data", "-w", "-t", "60", "-l"])
            .arg(&log)
            .arg("start")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match start.status() {
            Ok(status) if status.success() => Ok(()),
            _ => Err(format!(
                "PostgreSQL does not start: {}",
                std::fs::read_to_string(&log).unwrap_or_default()
            )),
        }
    }

    /// Ends it as a loss of power would: nothing is finished, clients are told nothing good.
    ///
    /// # Errors
    /// When it does not run; in words.
    pub fn stop(&self) -> Result<(), String> {
        run(self.program("pg_ctl").args(["-D", "data", "-m", "immediate", "stop"])).map(drop)
    }

    /// A database on it.
    #[must_use]
    pub fn url(&self) -> String {
        let folder = self.folder.display().to_string().replace('/', "%2F");
        format!("postgresql://dialerd@{folder}/postgres")
    }

    /// A place on it.
    ///
    /// # Panics
    /// When the schema's name is none.
    #[must_use]
    pub fn place(&self, schema: &str) -> Place {
        Place::new(&self.url(), None, Some(schema), None).expect("a schema's name")
    }

    /// Runs SQL in a schema and tells what it gives: rows by line, columns by `|`.
    ///
    /// # Errors
    /// What the server says.
    pub fn sql(&self, schema: &str, sql: &str) -> Result<String, String> {
        let mut psql = self.program("psql");
        psql.env("PGOPTIONS", format!("-c search_path={schema}"));
        psql.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-U", "dialerd", "-d", "postgres", "-h"]);
        run(psql.arg(&self.folder).args(["-c", sql])).map(|text| text.trim_end().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        // It has said what it could.
        let _ = self.watcher.wait();
    }
}
