//! How much memory one run may have, over all its memories and tables together.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use super::budget::{Budget, Growth};
use super::meter::{Meter, Stopped};

/// Bytes that an element of a table takes in the host.
const TABLE_ELEMENT: usize = 8;

/// The limiter in a run's store. Gives back to the budget what the run had when it is dropped.
pub(super) struct Limits {
    limit: u64,
    used: u64,
    /// Growth was refused: a trap that follows is for want of memory.
    refused: bool,
    meter: Arc<Meter>,
    budget: Arc<Budget>,
}

impl Limits {
    pub(super) fn new(limit: u64, meter: Arc<Meter>, budget: Arc<Budget>) -> Limits {
        Limits { limit, used: 0, refused: false, meter, budget }
    }

    /// The most that the run had: memories and tables never shrink.
    pub(super) fn peak(&self) -> u64 {
        self.used
    }

    pub(super) fn refused(&self) -> bool {
        self.refused
    }

    fn grow(&mut self, current: usize, desired: usize, unit: usize) -> wasmtime::Result<bool> {
        let more = (desired.saturating_sub(current) as u64).saturating_mul(unit as u64);
        let to = self.used.saturating_add(more);
        if to > self.limit {
            self.refused = true;
            return Ok(false);
        }
        let from = std::mem::replace(&mut self.used, to);
        match self.budget.grow(&self.meter, from, to) {
            Growth::Granted => Ok(true),
            Growth::Evicted => Err(Stopped::Memory.into()),
        }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = true;
            return Ok(false);
        }
        self.grow(current, desired, 1)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.grow(current, desired, TABLE_ELEMENT)
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.budget.release(&self.meter, self.used);
    }
}
