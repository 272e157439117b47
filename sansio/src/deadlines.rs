//! One index of deadlines per shard; each deadline carries its why.

use crate::Instant;
use core::ops::{Index, IndexMut};

const LEVEL_BITS: u32 = 8;
const SLOTS: usize = 1 << LEVEL_BITS;
const LEVELS: usize = 5;
const NONE: u32 = u32::MAX;

/// A handle to an armed deadline. Stale once it has fired or was cancelled; cancelling a stale one does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct TimerKey {
    index: u32,
    generation: u32,
}

/// A hierarchical timing wheel (Varghese and Lauck, 1987) with slots of one millisecond.
///
/// A deadline is rounded **up** to a whole millisecond, so nothing fires early. Deadlines of the same millisecond
/// fire in the order in which they were armed.
#[derive(Debug)]
pub struct Deadlines<W> {
    nodes: Nodes<W>,
    free: u32,
    /// Heads of the slots' doubly linked lists, level by level.
    heads: Vec<u32>,
    /// One bit per slot that is not empty.
    occupied: [[u64; SLOTS / 64]; LEVELS],
    /// The millisecond up to which (inclusive) everything has been moved to `due`.
    current_ms: u64,
    /// Deadlines past, sorted by (millisecond, order of arming), from `due_at` on.
    due: Vec<(u64, u64, TimerKey)>,
    due_at: usize,
    sequence: u64,
    len: usize,
}

#[derive(Debug)]
struct Node<W> {
    generation: u32,
    at_ms: u64,
    sequence: u64,
    /// Slot index over all levels, or NONE when in `due` or free.
    slot: u32,
    previous: u32,
    next: u32,
    why: Option<W>,
}

/// Nodes that are allocated together.
const CHUNK: usize = 1024;

/// The nodes by number. They grow by chunks: a hundred thousand deadlines are never copied at once, which would be a
/// pause of milliseconds for whoever armed the next.
#[derive(Debug)]
struct Nodes<W> {
    /// All of [`CHUNK`] nodes but the last.
    chunks: Vec<Vec<Node<W>>>,
}

impl<W> Nodes<W> {
    fn get_mut(&mut self, index: u32) -> Option<&mut Node<W>> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)
    }

    /// Adds a node; its number.
    fn push(&mut self, node: Node<W>) -> u32 {
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            // A small index stays small: only the first chunk grows into its size.
            self.chunks.push(if self.chunks.is_empty() { Vec::new() } else { Vec::with_capacity(CHUNK) });
        }
        let chunk = self.chunks.len() - 1;
        self.chunks[chunk].push(node);
        (chunk * CHUNK + self.chunks[chunk].len() - 1) as u32
    }
}

impl<W> Index<u32> for Nodes<W> {
    type Output = Node<W>;

    fn index(&self, index: u32) -> &Node<W> {
        &self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

impl<W> IndexMut<u32> for Nodes<W> {
    fn index_mut(&mut self, index: u32) -> &mut Node<W> {
        &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK]
    }
}

impl<W> Default for Deadlines<W> {
    fn default() -> Self {
        Deadlines {
            nodes: Nodes { chunks: Vec::new() },
            free: NONE,
            heads: vec![NONE; SLOTS * LEVELS],
            occupied: [[0; SLOTS / 64]; LEVELS],
            current_ms: 0,
            due: Vec::new(),
            due_at: 0,
            sequence: 0,
            len: 0,
        }
    }
}

impl<W> Deadlines<W> {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Arms a deadline. One that is already past fires at the next [`Deadlines::pop_due`].
    pub fn arm(&mut self, at: Instant, why: W) -> TimerKey {
        let at_ms = at.as_nanos().div_ceil(1_000_000);
        let index = self.allocate();
        self.sequence += 1;
        let sequence = self.sequence;
        let node = &mut self.nodes[index];
        node.at_ms = at_ms;
        node.sequence = sequence;
        node.why = Some(why);
        let key = TimerKey { index, generation: node.generation };
        self.len += 1;
        self.place(index);
        key
    }

    /// Disarms a deadline; its why is given back if it had not fired.
    pub fn cancel(&mut self, key: TimerKey) -> Option<W> {
        let node = self.nodes.get_mut(key.index)?;
        if node.generation != key.generation {
            return None;
        }
        let why = node.why.take()?;
        if node.slot != NONE {
            self.unlink(key.index);
        }
        self.release(key.index);
        Some(why)
    }

    /// A time no later than the next deadline: exact when it is within 256 ms of the wheel's hand, else the
    /// start of the slot that holds it (waking then only moves it closer).
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        for (at_ms, _, key) in &self.due[self.due_at..] {
            if self.nodes[key.index].generation == key.generation {
                return Some(Instant::from_millis(*at_ms));
            }
        }
        self.next_tick().map(Instant::from_millis)
    }

    /// The next deadline that has passed at `now`, if any. Call until it gives `None`.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, W)> {
        self.advance(now.as_millis());
        while let Some(&(at_ms, _, key)) = self.due.get(self.due_at) {
            self.due_at += 1;
            if self.due_at == self.due.len() {
                self.due.clear();
                self.due_at = 0;
            }
            let node = &mut self.nodes[key.index];
            if node.generation == key.generation
                && let Some(why) = node.why.take()
            {
                self.release(key.index);
                return Some((Instant::from_millis(at_ms), why));
            }
        }
        None
    }

    /// How many are armed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when none is armed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn allocate(&mut self) -> u32 {
        if self.free == NONE {
            self.nodes.push(Node {
                generation: 1,
                at_ms: 0,
                sequence: 0,
                slot: NONE,
                previous: NONE,
                next: NONE,
                why: None,
            })
        } else {
            let index = self.free;
            self.free = self.nodes[index].next;
            index
        }
    }

    fn release(&mut self, index: u32) {
        let node = &mut self.nodes[index];
        node.generation = node.generation.wrapping_add(1);
        node.slot = NONE;
        node.next = self.free;
        self.free = index;
        self.len -= 1;
    }

    fn place(&mut self, index: u32) {
        let (at_ms, sequence, generation) = {
            let node = &self.nodes[index];
            (node.at_ms, node.sequence, node.generation)
        };
        if at_ms <= self.current_ms {
            let entry = (at_ms, sequence, TimerKey { index, generation });
            let from = self.due_at;
            let position = self.due[from..].partition_point(|other| (other.0, other.1) < (at_ms, sequence));
            self.due.insert(from + position, entry);
            self.nodes[index].slot = NONE;
            return;
        }
        // The level is that of the highest bit in which the deadline differs from the hand.
        let differing = at_ms ^ self.current_ms;
        let level = ((63 - differing.leading_zeros()) / LEVEL_BITS).min(LEVELS as u32 - 1) as usize;
        // Beyond the wheel's span (2^40 ms, 34 years) a deadline waits in the last slot and is placed again.
        let slot_in_level = if differing >> (LEVEL_BITS * LEVELS as u32) != 0 {
            SLOTS - 1
        } else {
            ((at_ms >> (LEVEL_BITS * level as u32)) as usize) & (SLOTS - 1)
        };
        let slot = level * SLOTS + slot_in_level;
        let head = self.heads[slot];
        let node = &mut self.nodes[index];
        node.slot = slot as u32;
        node.previous = NONE;
        node.next = head;
        if head != NONE {
            self.nodes[head].previous = index;
        }
        self.heads[slot] = index;
        self.occupied[level][slot_in_level / 64] |= 1 << (slot_in_level % 64);
    }

    fn unlink(&mut self, index: u32) {
        let (slot, previous, next) = {
            let node = &self.nodes[index];
            (node.slot as usize, node.previous, node.next)
        };
        if previous == NONE {
            self.heads[slot] = next;
            if next == NONE {
                let (level, slot_in_level) = (slot / SLOTS, slot % SLOTS);
                self.occupied[level][slot_in_level / 64] &= !(1 << (slot_in_level % 64));
            }
        } else {
            self.nodes[previous].next = next;
        }
        if next != NONE {
            self.nodes[next].previous = previous;
        }
    }

    /// The next millisecond at which a slot must be opened.
    fn next_tick(&self) -> Option<u64> {
        for level in 0..LEVELS {
            let shift = LEVEL_BITS * level as u32;
            let hand = ((self.current_ms >> shift) as usize) & (SLOTS - 1);
            if let Some(slot) = self.first_occupied(level, hand + 1) {
                let base = (self.current_ms >> (shift + LEVEL_BITS)) << (shift + LEVEL_BITS);
                return Some(base + ((slot as u64) << shift));
            }
        }
        None
    }

    fn first_occupied(&self, level: usize, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut mask = u64::MAX.checked_shl((from % 64) as u32).unwrap_or(0);
        while word < SLOTS / 64 {
            let bits = self.occupied[level][word] & mask;
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
            word += 1;
            mask = u64::MAX;
        }
        None
    }

    fn advance(&mut self, to_ms: u64) {
        while self.current_ms < to_ms {
            match self.next_tick() {
                Some(tick) if tick <= to_ms => {
                    self.current_ms = tick;
                    self.open_slots_at(tick);
                }
                _ => self.current_ms = to_ms,
            }
        }
    }

    /// Empties every slot whose span starts at `tick`, highest level first, so that all find their place again.
    fn open_slots_at(&mut self, tick: u64) {
        for level in (0..LEVELS).rev() {
            let shift = LEVEL_BITS * level as u32;
            if tick & ((1_u64 << shift) - 1) != 0 {
                continue;
            }
            let slot_in_level = ((tick >> shift) as usize) & (SLOTS - 1);
            let slot = level * SLOTS + slot_in_level;
            let mut index = std::mem::replace(&mut self.heads[slot], NONE);
            self.occupied[level][slot_in_level / 64] &= !(1 << (slot_in_level % 64));
            if level == 0 {
                while index != NONE {
                    let node = &mut self.nodes[index];
                    self.due.push((
                        node.at_ms,
                        node.sequence,
                        TimerKey { index, generation: node.generation },
                    ));
                    node.slot = NONE;
                    index = node.next;
                }
                let from = self.due_at;
                self.due[from..].sort_unstable_by_key(|entry| (entry.0, entry.1));
            } else {
                while index != NONE {
                    let next = self.nodes[index].next;
                    self.place(index);
                    index = next;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use core::time::Duration;
    use std::collections::BTreeMap;

    #[test]
    fn fires_at_its_time_and_not_before() {
        let mut deadlines = Deadlines::new();
        deadlines.arm(Instant::from_millis(32_000), "64*T1");
        assert_eq!(deadlines.pop_due(Instant::from_millis(31_999)), None);
        assert_eq!(
            deadlines.pop_due(Instant::from_millis(32_000)),
            Some((Instant::from_millis(32_000), "64*T1"))
        );
        assert!(deadlines.is_empty());
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn equal_deadlines_fire_in_order_of_arming_even_across_levels() {
        let mut deadlines = Deadlines::new();
        let at = Instant::from_millis(1000);
        deadlines.arm(at, 1);
        deadlines.pop_due(Instant::from_millis(990));
        deadlines.arm(at, 2);
        deadlines.pop_due(Instant::from_millis(999));
        deadlines.arm(at, 3);
        let fired: Vec<i32> = std::iter::from_fn(|| deadlines.pop_due(at)).map(|(_, why)| why).collect();
        assert_eq!(fired, [1, 2, 3]);
    }

    /// Against a plain map: same firings, same order, `next` never late.
    #[test]
    fn agrees_with_a_sorted_map() {
        for seed in 0..30 {
            let mut rng = Rng::from_seed(seed);
            let mut wheel = Deadlines::new();
            let mut model: BTreeMap<(u64, u64), TimerKey> = BTreeMap::new();
            let mut keys: Vec<((u64, u64), TimerKey)> = Vec::new();
            let mut now_ms = 0;
            let mut id = 0;
            for _ in 0..2000 {
                match rng.below(10) {
                    0..=5 => {
                        let span = [3, 300, 40_000, 20_000_000][rng.below(4) as usize];
                        let at_ms = now_ms + rng.below(span);
                        id += 1;
                        let key = wheel.arm(Instant::from_millis(at_ms), (at_ms, id));
                        model.insert((at_ms, id), key);
                        keys.push(((at_ms, id), key));
                    }
                    6 | 7 if !keys.is_empty() => {
                        let (why, key) = keys.swap_remove(rng.below(keys.len() as u64) as usize);
                        assert_eq!(wheel.cancel(key), model.remove(&why).map(|_| why));
                    }
                    _ => {
                        let next = wheel.next();
                        if let Some((&(at_ms, _), _)) = model.first_key_value() {
                            assert!(next.expect("armed") <= Instant::from_millis(at_ms));
                        } else {
                            assert_eq!(next, None);
                        }
                        let step = [2, 500, 100_000][rng.below(3) as usize];
                        now_ms += rng.below(step);
                        let now = Instant::from_millis(now_ms) + Duration::from_nanos(rng.below(999_999));
                        let mut fired = Vec::new();
                        while let Some((at, why)) = wheel.pop_due(now) {
                            assert_eq!(at.as_millis(), why.0);
                            fired.push(why);
                        }
                        let later = model.split_off(&(now_ms + 1, 0));
                        let expected: Vec<_> = std::mem::replace(&mut model, later).into_keys().collect();
                        assert_eq!(fired, expected, "seed {seed}");
                    }
                }
                assert_eq!(wheel.len(), model.len());
            }
        }
    }
}
