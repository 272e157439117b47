//! Compiles a program of the kernel with clang; shared by the build scripts of all that have one.

use std::path::Path;
use std::process::Command;

/// Compiles `source` (below the crate's folder) to `object`; why not, if not.
pub(crate) fn compile(source: &str, object: &Path) -> Result<(), String> {
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".into());
    // The headers of the kernel's interface lie below the name of the machine on Debian.
    let machine = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let headers = format!("/usr/include/{machine}-linux-gnu");
    let output = Command::new(&clang)
        .args(["-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-idirafter", &headers, "-c"])
        .arg(source)
        .arg("-o")
        .arg(object)
        .output()
        .map_err(|error| format!("{clang}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{clang}: {}", said.lines().next().unwrap_or("failed")))
}
