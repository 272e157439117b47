//! How well the ears hear: machine detection, beeps, tones and digits on a corpus that is made here.
//!
//! Voices are espeak-ng's, a text-to-speech program that is called as a command; rooms, lines and machines are made from
//! them: levels, noise, a crowd in the background, both laws of G.711, lost packets. Settings may be looked for on the
//! training voices only; what is published is measured on the others. It proves that the machinery works and where it
//! fails; it proves nothing about real callers.

mod clips;
mod corpus;
mod measure;
mod fit;
mod report;
mod texts;
mod tones;

pub use corpus::Corpus;
pub use fit::fit;
pub use measure::{Figures, measure, print_settings};
pub use report::{Rate, document};
