//! The plane from outside: commands and packets in, outputs out.

mod world;

mod coded;
mod dtmf;
mod ears;
mod latching;
mod mixing;
mod offload;
mod ports;
mod quality;
mod recording;
mod relay;
mod robustness;
mod srtp;
mod synth;
mod voice;
mod webrtc;
