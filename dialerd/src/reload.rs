//! Certificates that are replaced while we run: read anew at SIGHUP, and when a file has changed.

use runtime::Clock;
use runtime::stream::tls::TlsContext;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};

/// Files are looked at this often.
const INTERVAL: Duration = Duration::from_secs(30);

/// When the files of one listener were written.
type Written = Vec<Option<SystemTime>>;

/// Never returns. SIGHUP, which would end us otherwise, is heard also when there is nothing to read. `read_at`: when all that
/// was to be read could be read last, seconds since 1970.
pub async fn watch(secured: Vec<TlsContext>, clock: Clock, read_at: Arc<AtomicU64>) {
    let mut hangups = match signal(SignalKind::hangup()) {
        Ok(hangups) => hangups,
        Err(error) => {
            tracing::error!(%error, "SIGHUP cannot be heard");
            return;
        }
    };
    let mut known: Vec<Written> = secured.iter().map(TlsContext::written).collect();
    let mut looks = tokio::time::interval(INTERVAL);
    loop {
        let asked = tokio::select! {
            _ = hangups.recv() => true,
            _ = looks.tick() => false,
        };
        let (mut any, mut all) = (asked, true);
        for (tls, known) in secured.iter().zip(&mut known) {
            let written = tls.written();
            if asked || written != *known {
                *known = written;
                any = true;
                all &= read(tls);
            }
        }
        if any && all {
            read_at.store(unix_seconds(clock), Ordering::Relaxed);
        }
    }
}

/// Now, seconds since 1970.
pub fn unix_seconds(clock: Clock) -> u64 {
    u64::try_from(clock.wall().unix_millis() / 1000).unwrap_or(0)
}

/// False: the one before stays in use.
fn read(tls: &TlsContext) -> bool {
    let certificate = tls.certificate().display();
    match tls.reload() {
        Ok(()) => {
            tracing::info!(%certificate, "certificate read anew");
            true
        }
        Err(fault) => {
            tracing::error!(
                file = %fault.file.display(),
                fault = fault.fault,
                "a certificate cannot be used; the one before stays in use"
            );
            false
        }
    }
}
