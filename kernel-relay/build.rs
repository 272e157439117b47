//! Compiles the kernel's parts with clang. Without clang the crate builds all the same, and says at start that it has no
//! program.

#[path = "build/clang.rs"]
mod clang;

use std::path::PathBuf;

const PROGRAMS: [&str; 2] = ["relay", "reports"];

fn main() {
    for name in PROGRAMS {
        println!("cargo::rerun-if-changed=src/{name}.bpf.c");
    }
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rustc-check-cfg=cfg(has_program)");
    let Ok(folder) = std::env::var("OUT_DIR").map(PathBuf::from) else { return };
    let compile =
        |name: &&str| clang::compile(&format!("src/{name}.bpf.c"), &folder.join(format!("{name}.bpf.o")));
    match PROGRAMS.iter().try_for_each(compile) {
        Ok(()) => println!("cargo::rustc-cfg=has_program"),
        Err(reason) => {
            println!(
                "cargo::warning=built without the relay in the kernel, sound goes through sockets: {reason}"
            );
        }
    }
}
