//! The contract of the tops of the house.

use crate::{Instant, Outbox};

/// What the engine's two tops (control core and call shard) promise to the ground they stand on.
///
/// * `now` never goes back.
/// * Everything a call wants done is in `out`, in order, when it returns.
/// * [`Machine::poll_timeout`] says when to call [`Machine::handle_timeout`] next; calling early does nothing.
/// * Same inputs, same outputs, byte for byte.
pub trait Machine {
    /// What comes in.
    type Input<'a>;
    /// What goes out.
    type Effect;

    /// Feeds one input.
    fn handle_input(&mut self, now: Instant, input: Self::Input<'_>, out: &mut Outbox<Self::Effect>);

    /// When the machine wants to be woken; `None` when only an input can change anything.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Does everything that is due at `now`.
    fn handle_timeout(&mut self, now: Instant, out: &mut Outbox<Self::Effect>);
}
