//! The first API token.

use anyhow::{Context, bail};
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The file in the data folder that holds the token made at the first start.
pub const FILE: &str = "admin.token";
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The token of the configuration, else the one made at the first start.
///
/// # Errors
/// When the file cannot be read or written, or holds something else.
pub fn first_token(configured: Option<&str>, data_dir: &Path) -> anyhow::Result<String> {
    if let Some(token) = configured {
        return Ok(token.to_owned());
    }
    let file = data_dir.join(FILE);
    match fs::read_to_string(&file) {
        Ok(text) => {
            let token = text.trim().to_owned();
            if !token.starts_with("dlr_") || token.len() < 24 {
                bail!("{} does not hold a token (dlr_ and at least 20 characters)", file.display());
            }
            Ok(token)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(&file),
        Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
    }
}

fn make(file: &Path) -> anyhow::Result<String> {
    let mut secret = [0_u8; 32];
    runtime::entropy::fill(&mut secret).context("no randomness for the first token")?;
    let mut token = String::from("dlr_");
    token.extend(secret.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 31)])));
    let mut handle = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| format!("making {}", file.display()))?;
    handle.write_all(format!("{token}\n").as_bytes())?;
    handle.sync_all()?;
    tracing::info!(file = %file.display(), "made the first API token");
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_first_token_is_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let token = first_token(None, folder.path()).unwrap();
        assert_eq!(token.len(), 36);
        assert_eq!(first_token(None, folder.path()).unwrap(), token);
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(first_token(Some("dlr_x"), folder.path()).unwrap(), "dlr_x");
        fs::write(folder.path().join(FILE), "junk").unwrap();
        assert!(first_token(None, folder.path()).is_err());
    }
}
