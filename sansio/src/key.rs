//! Generational keys: a handle that knows when its thing has gone.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

/// A handle into a [`Slab`]. A slot that is filled again has another generation, so an old handle finds nothing.
pub struct Key<T> {
    index: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The slot's number; unique among the living only.
    #[must_use]
    pub const fn index(self) -> u32 {
        self.index
    }

    /// The key as one number, for marks on the wire and in logs.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    /// The inverse of [`Key::to_bits`]; a number from outside may name nothing.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Key { index: bits as u32, generation: (bits >> 32) as u32, of: PhantomData }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Key<T> {}
impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.to_bits() == other.to_bits()
    }
}
impl<T> Eq for Key<T> {}
impl<T> PartialOrd for Key<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Key<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.index, self.generation).cmp(&(other.index, other.generation))
    }
}
impl<T> Hash for Key<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.to_bits());
    }
}
impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}v{}", self.index, self.generation)
    }
}

/// Slots that are allocated together.
const CHUNK: usize = 256;

/// A table of living things with handles that go stale when the thing ends.
///
/// It grows by chunks: what lives stays where it is, so that a table of many thousands grows without a pause in which
/// all of it is copied.
#[derive(Debug)]
pub struct Slab<T> {
    /// All of [`CHUNK`] slots but the last.
    chunks: Vec<Vec<Slot<T>>>,
    free: Vec<u32>,
    limit: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slab<T> {
    /// An empty table for at most `limit` things at once.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Slab { chunks: Vec::new(), free: Vec::new(), limit: limit.min(u32::MAX as usize) }
    }

    /// Slots there are, taken and free: indices are below it. It never falls.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)
    }

    /// One slot more; its number.
    fn grow(&mut self) -> u32 {
        let index = self.slots() as u32;
        if index as usize == self.chunks.len() * CHUNK {
            // A small table stays small: only the first chunk grows into its size.
            self.chunks.push(if index == 0 { Vec::new() } else { Vec::with_capacity(CHUNK) });
        }
        if let Some(last) = self.chunks.last_mut() {
            last.push(Slot { generation: 0, value: None });
        }
        index
    }

    /// Adds a thing.
    ///
    /// # Errors
    /// Gives the thing back when the table is full.
    pub fn insert(&mut self, value: T) -> Result<Key<T>, T> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.slots() < self.limit => self.grow(),
            None => return Err(value),
        };
        let slot = self.slot_mut(index).expect("free slots are of this table");
        slot.generation = slot.generation.wrapping_add(1);
        slot.value = Some(value);
        Ok(Key { index, generation: slot.generation, of: PhantomData })
    }

    /// The thing, if it still lives.
    #[must_use]
    pub fn get(&self, key: Key<T>) -> Option<&T> {
        let slot = self.slot(key.index)?;
        if slot.generation == key.generation { slot.value.as_ref() } else { None }
    }

    /// The thing, if it still lives.
    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        let slot = self.slot_mut(key.index)?;
        if slot.generation == key.generation { slot.value.as_mut() } else { None }
    }

    /// What lives in the slot of that number, for going through a part of the table.
    pub fn at_mut(&mut self, index: u32) -> Option<(Key<T>, &mut T)> {
        let slot = self.slot_mut(index)?;
        let key = Key { index, generation: slot.generation, of: PhantomData };
        slot.value.as_mut().map(|value| (key, value))
    }

    /// Ends the thing; every handle to it is stale from now on.
    pub fn remove(&mut self, key: Key<T>) -> Option<T> {
        let slot = self.slot_mut(key.index)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        self.free.push(key.index);
        Some(value)
    }

    /// True while the thing lives.
    #[must_use]
    pub fn contains(&self, key: Key<T>) -> bool {
        self.get(key).is_some()
    }

    /// How many live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots() - self.free.len()
    }

    /// True when none lives.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that live, in the order of their slots (the same on every run).
    pub fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        self.chunks.iter().flatten().enumerate().filter_map(|(index, slot)| {
            let key = Key { index: index as u32, generation: slot.generation, of: PhantomData };
            slot.value.as_ref().map(|value| (key, value))
        })
    }

    /// All that live, in the order of their slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Key<T>, &mut T)> {
        self.chunks.iter_mut().flatten().enumerate().filter_map(|(index, slot)| {
            let key = Key { index: index as u32, generation: slot.generation, of: PhantomData };
            slot.value.as_mut().map(|value| (key, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_handle_finds_nothing() {
        let mut slab = Slab::with_limit(2);
        let a = slab.insert("a").unwrap();
        assert_eq!(slab.remove(a), Some("a"));
        assert_eq!(slab.remove(a), None);
        let b = slab.insert("b").unwrap();
        assert_eq!(a.index(), b.index());
        assert_eq!(slab.get(a), None);
        assert_eq!(slab.get(Key::from_bits(b.to_bits())), Some(&"b"));
    }

    #[test]
    fn a_full_table_gives_the_thing_back() {
        let mut slab = Slab::with_limit(1);
        slab.insert(1).unwrap();
        assert_eq!(slab.insert(2), Err(2));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn a_table_of_several_chunks_finds_and_counts_all() {
        let mut slab = Slab::with_limit(3 * CHUNK);
        let keys: Vec<Key<usize>> = (0..3 * CHUNK).map(|n| slab.insert(n).unwrap()).collect();
        assert_eq!(slab.insert(0), Err(0));
        assert!(slab.iter().map(|(key, n)| (key, *n)).eq(keys.iter().copied().zip(0..)));
        for key in keys.iter().step_by(2) {
            assert_eq!(slab.remove(*key), Some(key.index() as usize));
        }
        assert_eq!(slab.len(), 3 * CHUNK / 2);
        let again = slab.insert(9).unwrap();
        assert_eq!(again.index() as usize, 3 * CHUNK - 2, "the slot that was freed last");
        slab.iter_mut().for_each(|(_, n)| *n += 1);
        assert_eq!(slab.get(again), Some(&10));
        assert_eq!(slab.at_mut(again.index()), Some((again, &mut 10)));
        assert_eq!(slab.at_mut(0), None, "an empty slot");
        assert_eq!(slab.slots(), 3 * CHUNK);
        assert_eq!(slab.at_mut(3 * CHUNK as u32), None);
        assert_eq!(slab.get(Key::from_bits(u64::from(u32::MAX))), None);
    }
}
