//! Whose a leg or a stream is, as one number.

use crate::call::{Call, Participant, Session, Transit};
use sansio::Key;

/// The part of the engine a leg or stream belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// The customer's side of a call.
    Customer(Key<Call>),
    /// The agent's own leg of a call.
    Agent(Key<Call>),
    /// An agent's nailed-up session.
    Session(Key<Session>),
    /// The caller's side of a transit call.
    TransitIn(Key<Transit>),
    /// The called side of a transit call.
    TransitOut(Key<Transit>),
    /// Who is called to take the place of one side of a transit call.
    TransitThird(Key<Transit>),
    /// Who is called to take the agent's place in a call.
    Guest(Key<Call>),
    /// A supervisor or third party of a call.
    Participant(Key<Participant>),
}

/// Most things of one sort at once: what an index has room for.
pub(crate) const OWNERS_MAX: usize = 1 << 24;

impl Owner {
    /// Eight bits of sort, 32 of generation, 24 of index; never 0.
    pub(crate) fn to_bits(self) -> u64 {
        let (sort, key) = match self {
            Owner::Customer(key) => (1, key.to_bits()),
            Owner::Agent(key) => (2, key.to_bits()),
            Owner::Session(key) => (3, key.to_bits()),
            Owner::TransitIn(key) => (4, key.to_bits()),
            Owner::TransitOut(key) => (5, key.to_bits()),
            Owner::TransitThird(key) => (6, key.to_bits()),
            Owner::Guest(key) => (7, key.to_bits()),
            Owner::Participant(key) => (8, key.to_bits()),
        };
        let (generation, index) = (key >> 32, key & 0xFFFF_FFFF);
        assert!(index < OWNERS_MAX as u64, "tables are no larger than OWNERS_MAX");
        sort << 56 | generation << 24 | index
    }

    pub(crate) fn from_bits(bits: u64) -> Option<Owner> {
        let key = (bits >> 24 & 0xFFFF_FFFF) << 32 | bits & 0x00FF_FFFF;
        match bits >> 56 {
            1 => Some(Owner::Customer(Key::from_bits(key))),
            2 => Some(Owner::Agent(Key::from_bits(key))),
            3 => Some(Owner::Session(Key::from_bits(key))),
            4 => Some(Owner::TransitIn(Key::from_bits(key))),
            5 => Some(Owner::TransitOut(Key::from_bits(key))),
            6 => Some(Owner::TransitThird(Key::from_bits(key))),
            7 => Some(Owner::Guest(Key::from_bits(key))),
            8 => Some(Owner::Participant(Key::from_bits(key))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let key = 0xFFFF_FFFE_00FF_FFFF;
        for owner in [
            Owner::Customer(Key::from_bits(key)),
            Owner::Agent(Key::from_bits(1 << 32)),
            Owner::Session(Key::from_bits(key)),
            Owner::TransitIn(Key::from_bits(key)),
            Owner::TransitOut(Key::from_bits(7 << 32 | 5)),
            Owner::TransitThird(Key::from_bits(7 << 32 | 6)),
            Owner::Guest(Key::from_bits(8 << 32 | 7)),
            Owner::Participant(Key::from_bits(9 << 32 | 8)),
        ] {
            assert_eq!(Owner::from_bits(owner.to_bits()), Some(owner));
        }
        assert_eq!(Owner::from_bits(0), None);
    }
}
