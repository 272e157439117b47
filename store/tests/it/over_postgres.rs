//! What holds for every store, over PostgreSQL.

pub(crate) mod support {
    pub(crate) use crate::support::*;

    pub(crate) type House = crate::support::HouseOf<crate::support::Schema>;
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
