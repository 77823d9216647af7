//! How many more runs a worker has room for, in all and by handler.

use std::collections::HashMap;
use std::sync::Arc;

use crate::sandbox::Handler;
use crate::task::Name;

/// Free slots. No handler may hold every slot while the worker has others to serve: an eighth of the slots (at least
/// one) is out of each handler's reach, so that the next task of another one always finds room.
pub(super) struct Room {
    slots: usize,
    taken: usize,
    /// Free runs by handler; shared with the request in flight, copied only if that still holds it.
    by_handler: Arc<HashMap<Name, usize>>,
    limits: HashMap<Name, usize>,
    served: Option<Arc<HashMap<Name, Arc<Handler>>>>,
}

impl Room {
    pub(super) fn new(slots: usize) -> Room {
        Room { slots, taken: 0, by_handler: Arc::default(), limits: HashMap::new(), served: None }
    }

    pub(super) fn free(&self) -> usize {
        self.slots - self.taken
    }

    pub(super) fn is_idle(&self) -> bool {
        self.taken == 0
    }

    pub(super) fn by_handler(&self) -> Arc<HashMap<Name, usize>> {
        self.by_handler.clone()
    }

    /// Takes over what the sandbox serves now. False, at no cost, where that is the same map as before.
    pub(super) fn serve(&mut self, served: &Arc<HashMap<Name, Arc<Handler>>>) -> bool {
        if self.served.as_ref().is_some_and(|before| Arc::ptr_eq(before, served)) {
            return false;
        }
        let limits = served.values().map(|handler| (handler.name.clone(), handler.manifest.concurrency)).collect();
        self.limit(limits);
        self.served = Some(served.clone());
        true
    }

    fn limit(&mut self, concurrency: HashMap<Name, Option<usize>>) {
        let fair = if concurrency.len() > 1 { (self.slots - (self.slots / 8).max(1)).max(1) } else { self.slots };
        let limits: HashMap<Name, usize> =
            concurrency.into_iter().map(|(name, own)| (name, own.map_or(fair, |own| own.min(fair)))).collect();
        let free = limits.iter().map(|(name, &limit)| {
            let before = self.limits.get(name).copied().unwrap_or(limit);
            let running = before - self.by_handler.get(name).copied().unwrap_or(before);
            (name.clone(), limit.saturating_sub(running))
        });
        self.by_handler = Arc::new(free.collect());
        self.limits = limits;
    }

    /// A run of this handler has begun.
    pub(super) fn enter(&mut self, handler: &Name) {
        self.taken += 1;
        if let Some(free) = Arc::make_mut(&mut self.by_handler).get_mut(handler) {
            *free = free.saturating_sub(1);
        }
    }

    /// A run of this handler has ended.
    pub(super) fn leave(&mut self, handler: &Name) {
        self.taken -= 1;
        let limit = self.limits.get(handler).copied().unwrap_or(0);
        if let Some(free) = Arc::make_mut(&mut self.by_handler).get_mut(handler) {
            *free = (*free + 1).min(limit);
        }
    }

    /// Whether this handler has no room (though the worker may have).
    pub(super) fn is_full(&self, handler: &Name) -> bool {
        self.by_handler.get(handler) == Some(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(slots: usize, handlers: &[(&str, Option<usize>)]) -> Room {
        let mut room = Room::new(slots);
        room.limit(handlers.iter().map(|(name, own)| (name.parse().unwrap(), *own)).collect());
        room
    }

    fn free(room: &Room, handler: &str) -> usize {
        room.by_handler()[handler]
    }

    #[test]
    fn no_handler_gets_every_slot_while_there_are_others() {
        assert_eq!(free(&room(32, &[("a", None), ("b", Some(2))]), "a"), 28);
        assert_eq!(free(&room(32, &[("a", None), ("b", Some(2))]), "b"), 2);
        assert_eq!(free(&room(32, &[("a", None)]), "a"), 32);
        assert_eq!(free(&room(1, &[("a", None), ("b", None)]), "a"), 1);
    }

    #[test]
    fn slots_are_counted_by_handler() {
        let mut room = room(4, &[("a", Some(2)), ("b", None)]);
        let (a, gone) = ("a".parse().unwrap(), "gone".parse().unwrap());
        room.enter(&a);
        room.enter(&a);
        room.enter(&gone);
        assert!(room.is_full(&a) && room.free() == 1);
        room.leave(&a);
        room.leave(&gone);
        assert_eq!((free(&room, "a"), room.free()), (1, 3));
    }

    #[test]
    fn a_changed_limit_counts_what_still_runs() {
        let mut room = room(16, &[("a", Some(8))]);
        let a = "a".parse().unwrap();
        for _ in 0..3 {
            room.enter(&a);
        }
        room.limit([("a".parse().unwrap(), Some(2))].into());
        assert_eq!(free(&room, "a"), 0);
    }
}
