//! Bounded ways between threads.
//!
//! A sender never blocks and never grows memory without bound by itself: what the ring does not take waits in
//! the sender's own backlog, in order, up to a limit; beyond that the item is given back.

use crate::bell::Bell;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Makes a way of `capacity` items.
#[must_use]
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = mpsc::channel(capacity);
    (Sender { ring: sender, bell: None }, Receiver { ring: receiver })
}

/// Makes a way of `capacity` items to a thread that sleeps on a bell.
///
/// # Errors
/// When the process has no file descriptors left.
pub fn belled<T>(capacity: usize) -> io::Result<(Sender<T>, BelledReceiver<T>)> {
    let (sender, receiver) = mpsc::channel(capacity);
    let bell = Arc::new(Bell::new()?);
    let sender = Sender { ring: sender, bell: Some(Arc::clone(&bell)) };
    Ok((sender, BelledReceiver { ring: receiver, bell }))
}

/// The sending end; cheap to clone. See [`Mailbox`] for one that keeps a backlog.
#[derive(Debug)]
pub struct Sender<T> {
    ring: mpsc::Sender<T>,
    bell: Option<Arc<Bell>>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender { ring: self.ring.clone(), bell: self.bell.clone() }
    }
}

impl<T> Sender<T> {
    /// Sends without waiting.
    ///
    /// # Errors
    /// Gives the item back when the ring is full or the receiver is gone.
    pub fn try_send(&self, item: T) -> Result<(), T> {
        let sent = self.ring.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(item) | mpsc::error::TrySendError::Closed(item) => item,
        });
        self.ring_bell();
        sent
    }

    /// Sends, waiting for room. For threads that may wait (not a shard, not the control thread).
    ///
    /// # Errors
    /// Gives the item back when the receiver is gone.
    pub async fn send(&self, item: T) -> Result<(), T> {
        let sent = self.ring.send(item).await.map_err(|error| error.0);
        self.ring_bell();
        sent
    }

    /// Sends from a thread without an async runtime, waiting for room.
    ///
    /// # Errors
    /// Gives the item back when the receiver is gone.
    pub fn blocking_send(&self, item: T) -> Result<(), T> {
        let sent = self.ring.blocking_send(item).map_err(|error| error.0);
        self.ring_bell();
        sent
    }

    fn ring_bell(&self) {
        if let Some(bell) = &self.bell {
            bell.ring_if_waited_for();
        }
    }

    /// True when nobody receives any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// Items in the ring.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ring.max_capacity() - self.ring.capacity()
    }

    /// True when the ring is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct Receiver<T> {
    ring: mpsc::Receiver<T>,
}

impl<T> Receiver<T> {
    /// The next item; `None` when all senders are gone.
    pub async fn recv(&mut self) -> Option<T> {
        self.ring.recv().await
    }

    /// The next item, if one is there.
    pub fn try_recv(&mut self) -> Option<T> {
        self.ring.try_recv().ok()
    }
}

/// The receiving end of a thread that sleeps on its bell.
#[derive(Debug)]
pub struct BelledReceiver<T> {
    ring: mpsc::Receiver<T>,
    bell: Arc<Bell>,
}

impl<T> BelledReceiver<T> {
    /// The next item, if one is there.
    pub fn try_recv(&mut self) -> Option<T> {
        self.ring.try_recv().ok()
    }

    /// True when all senders are gone and everything they sent has been received.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.ring.is_closed() && self.ring.is_empty()
    }

    /// To be called before sleeping: from now on senders ring. True when something is there already.
    #[must_use]
    pub fn wait_for(&self) -> bool {
        self.bell.wait_for();
        !self.ring.is_empty()
    }

    /// The bell.
    #[must_use]
    pub fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }
}

/// A sender with a backlog, for a thread that must neither wait nor lose: call [`Mailbox::flush`] on each turn.
#[derive(Debug)]
pub struct Mailbox<T> {
    sender: Sender<T>,
    backlog: VecDeque<T>,
    backlog_max: usize,
    refused: u64,
}

impl<T> Mailbox<T> {
    /// A mailbox whose backlog holds at most `backlog_max` items.
    #[must_use]
    pub fn new(sender: Sender<T>, backlog_max: usize) -> Self {
        Mailbox { sender, backlog: VecDeque::new(), backlog_max, refused: 0 }
    }

    /// Sends in order. Beyond the backlog's limit the item is dropped and counted: the other side has then been
    /// dead for longer than its watchdog allows.
    pub fn send(&mut self, item: T) {
        self.flush();
        if self.backlog.is_empty() {
            match self.sender.try_send(item) {
                Ok(()) => {}
                Err(item) => self.backlog.push_back(item),
            }
        } else if self.backlog.len() < self.backlog_max {
            self.backlog.push_back(item);
        } else {
            self.refused += 1;
        }
    }

    /// Moves the backlog into the ring as far as it takes it.
    pub fn flush(&mut self) {
        while let Some(item) = self.backlog.pop_front() {
            if let Err(item) = self.sender.try_send(item) {
                self.backlog.push_front(item);
                return;
            }
        }
    }

    /// Items that wait for room.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// Items lost at the limit; must stay 0.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_keeps_order_over_a_full_ring() {
        let (sender, mut receiver) = bounded(2);
        let mut mailbox = Mailbox::new(sender, 3);
        for item in 0..6 {
            mailbox.send(item);
        }
        assert_eq!((mailbox.backlog(), mailbox.refused()), (3, 1));
        let mut seen = Vec::new();
        for _ in 0..3 {
            while let Some(item) = receiver.try_recv() {
                seen.push(item);
            }
            mailbox.flush();
        }
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }
}
