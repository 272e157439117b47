//! Compiles the programs at the generator's end of the wire with clang. Without clang the relay's measurements say so.

#[path = "../kernel-relay/build/clang.rs"]
mod clang;

use std::path::PathBuf;

const SOURCE: &str = "src/load/wire.bpf.c";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rustc-check-cfg=cfg(has_program)");
    let Ok(folder) = std::env::var("OUT_DIR").map(PathBuf::from) else { return };
    match clang::compile(SOURCE, &folder.join("wire.bpf.o")) {
        Ok(()) => println!("cargo::rustc-cfg=has_program"),
        Err(reason) => {
            println!("cargo::warning=built without the wire that relays are measured on: {reason}")
        }
    }
}
