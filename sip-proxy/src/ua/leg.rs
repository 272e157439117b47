//! A leg: one of our dialogs.

/// One of our dialogs. Named through its [`super::LegKey`] only.
#[derive(Debug)]
pub struct Leg {}
