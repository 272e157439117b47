//! Compiles the kernel's parts with clang. Without clang the crate builds all the same, and says at start that it has no
//! program.

use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAMS: [&str; 2] = ["relay", "reports"];

fn main() {
    for name in PROGRAMS {
        println!("cargo::rerun-if-changed=src/{name}.bpf.c");
    }
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rustc-check-cfg=cfg(has_program)");
    let Ok(folder) = std::env::var("OUT_DIR").map(PathBuf::from) else { return };
    match PROGRAMS.iter().try_for_each(|name| compile(name, &folder)) {
        Ok(()) => println!("cargo::rustc-cfg=has_program"),
        Err(reason) => {
            println!(
                "cargo::warning=built without the relay in the kernel, sound goes through sockets: {reason}"
            );
        }
    }
}

fn compile(name: &str, folder: &Path) -> Result<(), String> {
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".into());
    // The headers of the kernel's interface lie below the name of the machine on Debian.
    let machine = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let headers = format!("/usr/include/{machine}-linux-gnu");
    let output = Command::new(&clang)
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-idirafter", &headers, "-c"])
        .arg(format!("src/{name}.bpf.c"))
        .arg("-o")
        .arg(folder.join(format!("{name}.bpf.o")))
        .output()
        .map_err(|error| format!("{clang}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{clang}: {}", said.lines().next().unwrap_or("failed")))
}
