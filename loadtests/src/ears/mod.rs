//! How well the ears hear: machine detection, beeps, tones and digits on a corpus that is made here.
//!
//! Voices are those of espeak-ng, flite and festival, text-to-speech programs that are called as commands; rooms, lines and machines are made from
//! them: levels, noise, a crowd in the background, both laws of G.711, Opus, lost packets. Settings may be looked for on the
//! training voices only; what is published is measured on the others. It proves that the machinery works and where it
//! fails; it proves nothing about real callers.

mod announcements;
mod assistants;
mod clips;
mod corpus;
mod fit;
mod measure;
mod report;
mod texts;
mod tones;

pub use announcements::{Announcements, announcements};
pub use assistants::Assistants;
pub use corpus::Corpus;
pub use fit::fit;
pub use measure::{Figures, measure, print_settings};
pub use report::{Rate, announcements as document_announcements, document};
