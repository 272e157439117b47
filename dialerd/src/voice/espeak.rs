//! espeak-ng as a child process. It is never linked: its licence is the GPL, and its faults stay its own.

use super::{SOUND_BYTES_MAX, SpeechEngine, SpeechError};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

/// The program, and how long it may take for one text.
pub struct Espeak {
    command: String,
    timeout: Duration,
}

impl Espeak {
    pub fn new(command: &str, timeout: Duration) -> Self {
        Espeak { command: command.to_owned(), timeout }
    }

    async fn run(&self, text: &str, voice: &str) -> Result<Vec<u8>, SpeechError> {
        let unavailable = |error: std::io::Error| {
            SpeechError::Absent(format!(
                "{}: {error}; install espeak-ng, or set voice.command or voice.engine",
                self.command
            ))
        };
        // The text goes through a pipe: as an argument it could be taken for an option, and be seen by all users.
        let mut child = Command::new(&self.command)
            .args(["--stdin", "--stdout", "-b", "1", "-v", voice])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(unavailable)?;
        let (mut stdin, stdout, stderr) = match (child.stdin.take(), child.stdout.take(), child.stderr.take())
        {
            (Some(stdin), Some(stdout), Some(stderr)) => (stdin, stdout, stderr),
            _ => unreachable!("all three were asked for"),
        };
        let (mut sound, mut complaint) = (Vec::new(), Vec::new());
        let write = async {
            // A program that does not want the text says why with its status.
            let _ = stdin.write_all(text.as_bytes()).await;
            drop(stdin);
        };
        let mut stdout = stdout.take(SOUND_BYTES_MAX as u64);
        let mut stderr = stderr.take(4_096);
        let (_, heard, _) =
            tokio::join!(write, stdout.read_to_end(&mut sound), stderr.read_to_end(&mut complaint));
        heard.map_err(unavailable)?;
        // Closed first: a program with more to say must not wait for a reader.
        drop((stdout, stderr));
        let status = child.wait().await.map_err(unavailable)?;
        if status.success() {
            return Ok(sound);
        }
        let complaint = String::from_utf8_lossy(&complaint);
        Err(SpeechError::Refused(format!(
            "{} with voice {voice}: {status}: {}",
            self.command,
            complaint.trim()
        )))
    }
}

impl SpeechEngine for Espeak {
    fn identity(&self) -> String {
        format!("command {}", self.command)
    }

    fn render(&self, text: &str, voice: &str) -> Result<Vec<u8>, SpeechError> {
        let run = async { tokio::time::timeout(self.timeout, self.run(text, voice)).await };
        tokio::runtime::Handle::current().block_on(run).unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs();
            Err(SpeechError::Unavailable(format!("{} did not end within {seconds} s", self.command)))
        })
    }
}
