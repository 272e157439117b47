//! The store through its door.

mod backup;
mod calls;
mod crash;
mod fold;
mod leads;
mod limits;
mod opening;
mod person;
mod support;
