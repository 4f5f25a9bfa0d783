//! An answer of the registry that comes in several pieces.
//!
//! Nothing of it counts before the last piece is there: what came of a revision that breaks off would otherwise be
//! shown under the revision before it, and be undone when the watch goes on from there.

use std::mem;

use registry_proto::mvccpb::Event;

/// What the pieces of one answer may hold together.
const LIMIT_BYTES: usize = 64 << 20;

/// The pieces so far.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    events: Vec<Event>,
    bytes: usize,
}

/// The answer is larger than what is kept of one: a list costs less.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

impl Fragments {
    pub(super) fn add(&mut self, events: Vec<Event>) -> Result<(), TooLarge> {
        let bytes = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.key.len() + kv.value.len());
        self.bytes += events.iter().map(|event| size_of::<Event>() + bytes(event)).sum::<usize>();
        if self.events.is_empty() {
            self.events = events;
        } else {
            self.events.extend(events);
        }
        if self.bytes > LIMIT_BYTES { Err(TooLarge) } else { Ok(()) }
    }

    /// The answer, once it is whole.
    pub(super) fn take(&mut self) -> Vec<Event> {
        self.bytes = 0;
        mem::take(&mut self.events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry_proto::mvccpb::KeyValue;

    fn event(bytes: usize) -> Event {
        let kv = KeyValue { value: vec![0; bytes].into(), ..KeyValue::default() };
        Event { kv: Some(kv), ..Event::default() }
    }

    #[test]
    fn g11_pieces_add_up_to_their_answer_within_a_bound() {
        let mut fragments = Fragments::default();
        assert_eq!(fragments.add(vec![event(1), event(2)]), Ok(()));
        assert_eq!(fragments.add(vec![event(3)]), Ok(()));
        assert_eq!(fragments.take().len(), 3);
        assert_eq!(fragments.add(vec![event(LIMIT_BYTES / 2)]), Ok(()));
        assert_eq!(fragments.add(vec![event(LIMIT_BYTES / 2)]), Err(TooLarge));
    }
}
