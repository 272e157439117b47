//! Certificates that are replaced while we run: read anew at SIGHUP, and when a file has changed.

use runtime::stream::tls::TlsContext;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};

/// Files are looked at this often.
const INTERVAL: Duration = Duration::from_secs(30);

/// When the files of one listener were written.
type Written = Vec<Option<SystemTime>>;

/// Never returns. SIGHUP, which would end us otherwise, is heard also when there is nothing to read.
pub async fn watch(secured: Vec<TlsContext>) {
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
        for (tls, known) in secured.iter().zip(&mut known) {
            let written = tls.written();
            if asked || written != *known {
                *known = written;
                read(tls);
            }
        }
    }
}

fn read(tls: &TlsContext) {
    let certificate = tls.certificate().display();
    match tls.reload() {
        Ok(()) => tracing::info!(%certificate, "certificate read anew"),
        Err(fault) => tracing::error!(
            file = %fault.file.display(),
            fault = fault.fault,
            "a certificate cannot be used; the one before stays in use"
        ),
    }
}
