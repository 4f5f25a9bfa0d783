//! One watcher: what it was told, and the revision from which another would carry on without a gap.

use registry_proto::etcdserverpb::{WatchCreateRequest, WatchResponse};

/// A watcher as its client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Watcher {
    /// Its number in the record.
    pub(crate) number: usize,
    pub(crate) request: WatchCreateRequest,
    /// The server's name for it, once it was created.
    pub(crate) id: Option<i64>,
    /// Everything below has been seen; 0 as long as the server has not said where it starts.
    pub(crate) next: i64,
    pub(crate) is_open: bool,
}

impl Watcher {
    pub(crate) fn new(number: usize, request: WatchCreateRequest) -> Self {
        let next = request.start_revision;
        Self { number, request, id: None, next, is_open: true }
    }

    /// Takes an answer in.
    pub(crate) fn learn(&mut self, answer: &WatchResponse) {
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        if answer.canceled {
            self.is_open = false;
            return;
        }
        if answer.created {
            self.id = Some(answer.watch_id);
            if self.next == 0 {
                self.next = revision + 1;
            }
            return;
        }
        let events = answer.events.clone().into_messages().unwrap_or_default();
        let revisions: Vec<_> = events.iter().filter_map(|event| event.kv.as_ref()).map(|kv| kv.mod_revision).collect();
        let seen = match revisions.last() {
            // The rest of the last revision is still to come; what came before it is whole.
            Some(last) if answer.fragment => revisions.iter().rev().find(|revision| *revision < last).copied(),
            Some(last) => Some(*last),
            None => Some(revision),
        };
        self.next = self.next.max(seen.map_or(0, |seen| seen + 1));
    }

    /// What to ask for so that nothing is missed.
    pub(crate) fn resumed(&self) -> WatchCreateRequest {
        WatchCreateRequest { start_revision: self.next, ..self.request.clone() }
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::etcdserverpb::ResponseHeader;
    use registry_proto::mvccpb::{Event, KeyValue};

    use super::*;

    fn told(revision: i64, events: &[i64]) -> WatchResponse {
        let event = |revision: &i64| {
            let kv = KeyValue { mod_revision: *revision, ..KeyValue::default() };
            Event { kv: Some(kv), ..Event::default() }
        };
        let header = Some(ResponseHeader { revision, ..ResponseHeader::default() });
        let events = registry_proto::stored::Events::Decoded(events.iter().map(event).collect());
        WatchResponse { header, events, ..WatchResponse::default() }
    }

    #[test]
    fn a_watcher_is_carried_on_after_what_was_whole() {
        let mut watcher = Watcher::new(0, WatchCreateRequest::default());
        watcher.learn(&WatchResponse { created: true, ..told(5, &[]) });
        assert_eq!(watcher.resumed().start_revision, 6, "from now on is from the next revision on");
        watcher.learn(&told(9, &[6, 7]));
        assert_eq!(watcher.next, 8, "what stands behind the last event is not known");
        watcher.learn(&WatchResponse { fragment: true, ..told(9, &[8, 9]) });
        assert_eq!(watcher.next, 9, "the rest of the last revision is to come");
        watcher.learn(&told(9, &[9]));
        assert_eq!(watcher.next, 10);
        watcher.learn(&told(12, &[]));
        assert_eq!(watcher.next, 13, "progress says that all before was told");
    }

    #[test]
    fn a_watcher_of_the_future_does_not_go_back() {
        let mut watcher = Watcher::new(0, WatchCreateRequest { start_revision: 20, ..WatchCreateRequest::default() });
        watcher.learn(&WatchResponse { created: true, ..told(5, &[]) });
        watcher.learn(&told(12, &[]));
        assert_eq!(watcher.next, 20);
    }
}
