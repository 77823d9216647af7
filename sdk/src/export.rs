//! The way from the component's export to the function that `handler!` names. Used by that macro only.

pub use crate::bindings::exports::tasq::handler::handler::Guest;
pub use crate::bindings::tasq::handler::types::Failure as WireFailure;
use crate::{Handler, Task};

/// Calls the handler and puts its failure into the contract's form.
pub fn run<Form>(handler: &impl Handler<Form>, payload: Vec<u8>, task: &Task) -> Result<Vec<u8>, WireFailure> {
    handler.call(payload, task).map_err(WireFailure::from)
}
