//! Which source the daemon is built from, and by which compiler: `build_info` tells.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=DIALERD_COMMIT");
    // Whoever builds from an archive may say what it was made of.
    let commit = std::env::var("DIALERD_COMMIT").ok().or_else(|| {
        // Grows with each commit and checkout; a path that is not there would have this run at every build.
        if let Some(log) = said("git", &["rev-parse", "--git-path", "logs/HEAD"])
            && Path::new(&log).exists()
        {
            println!("cargo::rerun-if-changed={log}");
        }
        said("git", &["rev-parse", "--short=12", "HEAD"])
    });
    println!("cargo::rustc-env=DIALERD_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    let compiler = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    // `rustc 1.95.0 (abc 2026-01-01)`
    let version = said(&compiler, &["--version"]).and_then(|said| Some(said.split(' ').nth(1)?.to_owned()));
    println!("cargo::rustc-env=DIALERD_RUSTC={}", version.as_deref().unwrap_or("unknown"));
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|said| !said.is_empty())
}
