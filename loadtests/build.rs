//! Compiles the programs at the generator's end of the wire with clang. Without clang the relay's measurements say so.

use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/load/wire.bpf.c");
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rustc-check-cfg=cfg(has_program)");
    let Ok(folder) = std::env::var("OUT_DIR").map(PathBuf::from) else { return };
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".into());
    // The headers of the kernel's interface lie below the name of the machine on Debian.
    let machine = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let output = Command::new(clang)
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-idirafter"])
        .arg(format!("/usr/include/{machine}-linux-gnu"))
        .args(["-c", "src/load/wire.bpf.c", "-o"])
        .arg(folder.join("wire.bpf.o"))
        .output();
    match output {
        Ok(output) if output.status.success() => println!("cargo::rustc-cfg=has_program"),
        Ok(output) => {
            println!("cargo::warning={}", String::from_utf8_lossy(&output.stderr).replace('\n', " "))
        }
        Err(_) => {}
    }
}
