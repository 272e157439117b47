//! What holds for every store, over SQLite.

pub(crate) mod support {
    pub(crate) use crate::support::*;
}

#[path = "calls.rs"]
mod calls;
#[path = "fold.rs"]
mod fold;
#[path = "leads.rs"]
mod leads;
#[path = "person.rs"]
mod person;
#[path = "queue.rs"]
mod queue;
