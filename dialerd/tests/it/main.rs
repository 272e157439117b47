//! The daemon as a process: started, used, stopped and killed.

#![allow(unreachable_pub, reason = "a test program has no outside")]

mod api;
mod blocked;
mod browser;
mod callbacks;
mod campaign_life;
mod conduct;
mod crash;
mod ctl;
mod dashboards;
mod devices;
mod ears;
mod features;
mod forks;
mod harness;
mod hep;
mod https;
mod life;
mod metrics;
mod moving;
mod names;
mod pace;
mod prometheus;
mod raw;
mod readme;
mod recordings;
mod relay;
mod schemathesis;
mod sockets;
mod store_trouble;
mod streams;
mod talkers;
mod tls_calls;
mod transit;
mod transit_media;
