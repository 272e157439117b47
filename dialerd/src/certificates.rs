//! Certificates of those who sign calls (STIR/SHAKEN): from files, else over https.

use anyhow::{Context, anyhow};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Longest wait for one file; a caller waits meanwhile.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of one file.
const FILE_BYTES_MAX: usize = 65_536;
/// Files fetched at once.
const FETCHES_MAX: usize = 16;

/// A file, or why there is none.
type Answer<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Vec<u8>>> + Send + 'a>>;

/// Where certificates are.
pub trait Repository: Send + Sync {
    /// The file at an address.
    fn fetch<'a>(&'a self, url: &'a str) -> Answer<'a>;
}

/// Files in a folder, each named by its address: all before `://` left out, and everything but letters, digits, dots
/// and dashes written as `_`.
pub struct Folder(pub PathBuf);

impl Folder {
    fn file_of(&self, url: &str) -> PathBuf {
        let name = url.split_once("://").map_or(url, |(_, rest)| rest);
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
        let name: String = name.chars().map(safe).take(200).collect();
        // Never a name such as `..`.
        self.0.join(format!("{}.pem", name.trim_start_matches('.').trim_end_matches(".pem")))
    }
}

impl Repository for Folder {
    fn fetch<'a>(&'a self, url: &'a str) -> Answer<'a> {
        let file = self.file_of(url);
        Box::pin(async move {
            let length = tokio::fs::metadata(&file).await.with_context(|| file.display().to_string())?.len();
            if length > FILE_BYTES_MAX as u64 {
                return Err(anyhow!("{} is too long", file.display()));
            }
            Ok(tokio::fs::read(&file).await?)
        })
    }
}

/// Whatever an https address answers.
pub struct Https(reqwest::Client);

impl Https {
    /// A client that follows no redirections and speaks TLS only.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(FETCH_TIMEOUT)
            .build()
            .context("setting up TLS for certificates")?;
        Ok(Https(client))
    }
}

impl Repository for Https {
    fn fetch<'a>(&'a self, url: &'a str) -> Answer<'a> {
        Box::pin(async move {
            let mut answer = self.0.get(url).send().await?.error_for_status()?;
            let mut file = Vec::new();
            while let Some(part) = answer.chunk().await? {
                file.extend_from_slice(&part);
                if file.len() > FILE_BYTES_MAX {
                    return Err(anyhow!("longer than {FILE_BYTES_MAX} bytes"));
                }
            }
            Ok(file)
        })
    }
}

/// Several repositories, asked one after the other.
#[derive(Clone)]
pub struct Certificates {
    repositories: Arc<Vec<Box<dyn Repository>>>,
    places: Arc<Semaphore>,
}

impl Certificates {
    /// As configured.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(folder: Option<&Path>, fetch: bool) -> anyhow::Result<Self> {
        let mut repositories: Vec<Box<dyn Repository>> = Vec::new();
        if let Some(folder) = folder {
            repositories.push(Box::new(Folder(folder.to_owned())));
        }
        if fetch {
            repositories.push(Box::new(Https::new()?));
        }
        Ok(Certificates {
            repositories: Arc::new(repositories),
            places: Arc::new(Semaphore::new(FETCHES_MAX)),
        })
    }

    /// The file at an address; `None`, within a few seconds, when it cannot be had.
    pub async fn get(&self, url: &str) -> Option<Vec<u8>> {
        let look = async {
            let _place = self.places.acquire().await.ok()?;
            for repository in self.repositories.iter() {
                match repository.fetch(url).await {
                    Ok(file) => return Some(file),
                    Err(error) => tracing::debug!(url, error = %format!("{error:#}"), "no certificate there"),
                }
            }
            None
        };
        tokio::time::timeout(FETCH_TIMEOUT, look).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_answers_by_address_and_leads_nowhere_else() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder(place.path().to_owned());
        std::fs::write(place.path().join("a.example.org_x_y.pem"), "one").unwrap();
        assert_eq!(folder.fetch("https://a.example.org/x/y.pem").await.unwrap(), b"one");
        assert_eq!(folder.fetch("https://a.example.org/x/y").await.unwrap(), b"one");
        for url in ["https://../../etc/passwd", "https:///etc/passwd", "https://..", "..", "", "https://b/"] {
            assert_eq!(folder.file_of(url).parent(), Some(place.path()), "{url}");
            assert!(folder.fetch(url).await.is_err(), "{url}");
        }
        std::fs::write(place.path().join("long.pem"), vec![b'x'; FILE_BYTES_MAX + 1]).unwrap();
        assert!(folder.fetch("https://long").await.is_err());
    }

    #[tokio::test]
    async fn nothing_but_https_is_fetched_and_nothing_hangs() {
        let certificates = Certificates::new(None, true).unwrap();
        assert_eq!(certificates.get("http://127.0.0.1:1/x.pem").await, None);
        assert_eq!(certificates.get("https://127.0.0.1:1/x.pem").await, None);
        assert_eq!(certificates.get("no address").await, None);
    }
}
