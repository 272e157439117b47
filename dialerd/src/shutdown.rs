//! Ending as we are told: the first signal drains, the second ends at once.

use control_api::CommandRequest;
use dialer_core::Command;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

/// After everything was told to end, BYEs and records get so long.
const GRACE: Duration = Duration::from_secs(8);

/// Waits for SIGTERM or SIGINT, then for the end of the last call, the deadline, or a second signal.
pub async fn wait_and_drain(
    commands: &mpsc::Sender<CommandRequest>,
    mut drained: watch::Receiver<bool>,
    deadline: Duration,
) {
    let mut signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be heard");
            return;
        }
    };
    signals.next().await;
    tracing::info!(?deadline, "draining: no new calls, live calls may finish; a second signal ends at once");
    order(commands, Command::Drain { deadline }).await;
    tokio::select! {
        () = all_over(&mut drained) => return,
        // The dialer hangs up at the deadline by itself; this is the net below it.
        () = tokio::time::sleep(deadline + GRACE) => tracing::warn!("the deadline has passed"),
        () = signals.next() => tracing::info!("ending at once"),
    }
    order(commands, Command::StopNow).await;
    if tokio::time::timeout(GRACE, all_over(&mut drained)).await.is_err() {
        tracing::warn!("calls are left; their records will say node_restart at the next start");
    }
}

async fn all_over(drained: &mut watch::Receiver<bool>) {
    if drained.wait_for(|drained| *drained).await.is_err() {
        tracing::error!("the control thread is gone");
    }
}

async fn order(commands: &mpsc::Sender<CommandRequest>, command: Command) {
    let (reply, answer) = oneshot::channel();
    let ask = async {
        commands.send(CommandRequest { command, reply }).await.ok()?;
        answer.await.ok()
    };
    match tokio::time::timeout(GRACE, ask).await {
        Ok(Some(Ok(_))) => {}
        other => tracing::error!(?other, "the order to end was not taken"),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
