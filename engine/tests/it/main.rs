//! The engine against carriers and phones that speak real SIP and RTP, in virtual time.

mod codecs;
mod conduct;
mod counts;
mod devices;
mod dialled;
mod dialogs;
mod forks;
mod fuzz;
mod groups;
mod handover;
mod house;
mod pick_up;
mod policies;
mod ring_all;
mod sessions;
mod srtp;
mod stir;
mod transfers;
mod transit;
mod waiting;
mod world;
