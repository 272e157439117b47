//! `dialerd pace --stdio` as another dialler starts it.

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn pace(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dialerd"))
        .arg("pace")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended at the first bad line, and then reads no further.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

const SNAPSHOT: &str = "E 0 day 0 1 1\nE 1 idle 0\nS 1 0 1 0 0 0 0 0 0 9 1 100\nA I 1 -1 1 0\nD\n";

#[test]
fn it_answers_and_ends_with_its_input() {
    let output = pace(&["--stdio", "--cap", "0.03"], SNAPSHOT);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &b"1\n"[..]));
    assert!(output.stderr.is_empty());
}

#[test]
fn a_malformed_line_is_named_with_exit_code_2_and_nothing_more_is_decided() {
    for line in
        ["E 2 oops", "E 2 resolved 1 0 Maybe 3", "S 2 0", "X", "A I 0 0 1 0", "D", "E 2 idle \u{fffd}"]
    {
        let output = pace(&["--stdio"], &format!("{SNAPSHOT}{line}\n{SNAPSHOT}"));
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(2), &b"1\n"[..]),
            "{line}: {error}"
        );
        assert!(error.starts_with("error: line 6: ") && error.contains(line), "{line}: {error}");
    }
}

#[test]
fn a_cap_that_is_none_is_refused() {
    for cap in ["NaN", "-0.1", "3", "x"] {
        let output = pace(&["--stdio", &format!("--cap={cap}")], "");
        assert_eq!(output.status.code(), Some(2), "{cap}");
    }
}
