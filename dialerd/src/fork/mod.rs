//! Forks of calls: each a connection of its own, kept on the edge's threads. The shard only puts sound into a queue that
//! is bounded and never waits: when the other side is slow the oldest sound is dropped and counted.

mod client;
mod rate;
mod words;

use crate::metrics::Families;
use crate::shard_thread::ShardOrder;
use engine::{ForkId64, ForkOp};
use runtime::mailbox;
use runtime::websocket::Trust;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;
use words::Frame;

/// Sound that may wait for the other side: 5 s.
const FRAMES_WAITING_MAX: usize = 250;
/// Digits and marks that may.
const OTHERS_WAITING_MAX: usize = 512;

/// What was counted.
#[derive(Debug, Default)]
pub struct ForkCounters {
    pub connected: AtomicU64,
    pub failed: AtomicU64,
    pub frames_sent: AtomicU64,
    pub frames_dropped: AtomicU64,
}

impl ForkCounters {
    /// Shows them.
    pub fn export(&self, families: &mut Families) {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let help = "Connections of forks.";
        for (result, counter) in [("connected", &self.connected), ("failed", &self.failed)] {
            families.counter("fork_connections_total", help, &[("result", result)], value(counter));
        }
        let help = "Frames of 20 ms for who is outside at the end of a fork.";
        for (result, counter) in [("sent", &self.frames_sent), ("dropped", &self.frames_dropped)] {
            families.counter("fork_frames_total", help, &[("result", result)], value(counter));
        }
    }
}

/// Something for the other side.
enum Item {
    Sound(Frame),
    Mark(String),
    Digit(char),
}

/// What waits for the other side, between a shard and a connection.
#[derive(Default)]
struct Link {
    queue: Mutex<Queue>,
    changed: Notify,
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    frames: usize,
    closed: bool,
}

impl Link {
    /// Puts something in. Gives the frames that were dropped for it.
    fn put(&self, item: Item) -> u64 {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = 0;
        if matches!(item, Item::Sound(_)) {
            if queue.frames >= FRAMES_WAITING_MAX
                && let Some(oldest) = queue.items.iter().position(|item| matches!(item, Item::Sound(_)))
            {
                queue.items.remove(oldest);
                queue.frames -= 1;
                dropped = 1;
            }
            queue.frames += 1;
            queue.items.push_back(item);
        } else if queue.items.len() - queue.frames < OTHERS_WAITING_MAX {
            queue.items.push_back(item);
        }
        drop(queue);
        self.changed.notify_one();
        dropped
    }

    fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.changed.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    /// The next item; `None`: it is over, and all was taken out.
    async fn next(&self) -> Option<Item> {
        loop {
            {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(item) = queue.items.pop_front() {
                    queue.frames -= usize::from(matches!(item, Item::Sound(_)));
                    return Some(item);
                }
                if queue.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Waits until it is over.
    async fn closed(&self) {
        while !self.is_closed() {
            self.changed.notified().await;
        }
    }
}

/// The forks of one shard.
pub struct Forks {
    links: HashMap<ForkId64, Arc<Link>>,
    back: mailbox::Sender<ShardOrder>,
    handle: tokio::runtime::Handle,
    ways: ForkWays,
}

/// What all forks share.
#[derive(Clone)]
pub struct ForkWays {
    pub trust: Trust,
    pub counters: Arc<ForkCounters>,
}

impl Forks {
    /// None yet. What comes from outside goes `back` to the shard.
    pub fn new(back: mailbox::Sender<ShardOrder>, handle: tokio::runtime::Handle, ways: ForkWays) -> Self {
        Forks { links: HashMap::new(), back, handle, ways }
    }

    /// Carries out an order; never waits.
    pub fn order(&mut self, op: ForkOp) {
        let (fork, item) = match op {
            ForkOp::Open { fork, call, order } => {
                let link = Arc::new(Link::default());
                self.links.insert(fork, Arc::clone(&link));
                let way = client::Way { fork, link, back: self.back.clone(), ways: self.ways.clone() };
                self.handle.spawn(client::keep(way, call, *order));
                return;
            }
            ForkOp::Close { fork } => {
                if let Some(link) = self.links.remove(&fork) {
                    link.close();
                }
                return;
            }
            ForkOp::Sound { fork, frame: number, inbound, outbound } => {
                (fork, Item::Sound(Frame { number, inbound, outbound }))
            }
            ForkOp::Mark { fork, name } => (fork, Item::Mark(name)),
            ForkOp::Digit { fork, digit } => (fork, Item::Digit(digit)),
        };
        if let Some(link) = self.links.get(&fork) {
            let dropped = link.put(item);
            self.ways.counters.frames_dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }
}

impl Drop for Forks {
    fn drop(&mut self) {
        self.links.values().for_each(|link| link.close());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_sound_makes_room_and_marks_stay() {
        let link = Link::default();
        assert_eq!(link.put(Item::Mark("first".into())), 0);
        let frame = |number| Item::Sound(Frame { number, inbound: None, outbound: None });
        let dropped: u64 = (0..FRAMES_WAITING_MAX as u64 + 7).map(|number| link.put(frame(number))).sum();
        assert_eq!(dropped, 7);
        (0..2 * OTHERS_WAITING_MAX).for_each(|_| {
            link.put(Item::Digit('1'));
        });
        link.close();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let all = runtime.block_on(async {
            let mut all = Vec::new();
            while let Some(item) = link.next().await {
                all.push(item);
            }
            all
        });
        assert!(matches!(&all[0], Item::Mark(name) if name == "first"));
        assert!(matches!(&all[1], Item::Sound(frame) if frame.number == 7));
        assert_eq!(all.len(), FRAMES_WAITING_MAX + OTHERS_WAITING_MAX);
    }
}
