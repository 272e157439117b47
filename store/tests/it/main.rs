//! The store through its door.
#![allow(clippy::duplicate_mod, reason = "the same tests over both stores")]

mod backup;
mod crash;
mod limits;
mod opening;
mod over_postgres;
mod over_sqlite;
mod postgres;
mod support;
