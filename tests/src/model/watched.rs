//! Watchers that are compared with the model: each event once, in order, whole revisions, and what was before.

use registry_proto::etcdserverpb::WatchCreateRequest;
use registry_proto::mvccpb::Event;

use super::Model;
use super::subject::{Feed, Subject};

/// A watcher from now on.
#[derive(Debug)]
pub struct Watched<F> {
    request: WatchCreateRequest,
    feed: F,
}

impl<F: Feed> Watched<F> {
    /// Watches from the model's next revision on; returns once the server watches.
    ///
    /// # Errors
    /// What the server answered instead.
    pub async fn from_now(
        subject: &impl Subject<Feed = F>,
        request: WatchCreateRequest,
        model: &Model,
    ) -> Result<Self, String> {
        let request = WatchCreateRequest { start_revision: model.revision() + 1, ..request };
        let mut feed = subject.watch(request.clone()).await;
        created(&mut feed).await?;
        Ok(Self { request, feed })
    }

    /// Reads all that has happened in the model since the last call.
    ///
    /// # Errors
    /// How the events differ from the model's.
    pub async fn catch_up(&mut self, model: &Model) -> Result<(), String> {
        let expected = model.events(&self.request, true);
        self.request.start_revision = model.revision() + 1;
        read(&mut self.feed, &expected).await
    }
}

/// Creates a watcher that starts wherever its request says and reads what it must get by now.
///
/// # Errors
/// How the answers differ from the model's.
pub(super) async fn look_back(
    subject: &impl Subject,
    request: &WatchCreateRequest,
    model: &Model,
) -> Result<(), String> {
    let mut feed = subject.watch(request.clone()).await;
    if is_empty_range(request) {
        return refused(&mut feed).await;
    }
    created(&mut feed).await?;
    let compacted = model.compacted();
    if request.start_revision >= compacted {
        return read(&mut feed, &model.events(request, false)).await;
    }
    let answer = next(&mut feed).await?;
    if !answer.canceled || answer.compact_revision != compacted || !answer.events.is_empty() {
        return Err(format!("a watcher below the compacted revision {compacted} got {answer:?}"));
    }
    Ok(())
}

async fn created(feed: &mut impl Feed) -> Result<(), String> {
    let answer = next(feed).await?;
    let is_created = answer.created && !answer.canceled && answer.events.is_empty();
    if is_created { Ok(()) } else { Err(format!("the answer to a create request was {answer:?}")) }
}

/// An end that comes before the beginning; `\0` alone stands for no end.
fn is_empty_range(request: &WatchCreateRequest) -> bool {
    let end = &request.range_end[..];
    !end.is_empty() && end != b"\0" && end <= &request.key[..]
}

async fn refused(feed: &mut impl Feed) -> Result<(), String> {
    let answer = next(feed).await?;
    let says = (answer.created, answer.canceled, answer.watch_id, answer.cancel_reason.as_str());
    let is_refused = says == (true, true, -1, "mvcc: watcher range is empty");
    if is_refused { Ok(()) } else { Err(format!("a watcher of an empty range got {answer:?}")) }
}

/// Reads as many events as are expected.
async fn read(feed: &mut impl Feed, mut expected: &[Event]) -> Result<(), String> {
    let mut last = 0;
    while !expected.is_empty() {
        let answer = next(feed).await?;
        if answer.canceled || answer.created || answer.fragment {
            return Err(format!("instead of events the watcher got {answer:?}"));
        }
        let current = answer.header.as_ref().map_or(0, |header| header.revision);
        let events = answer.events.into_messages().map_err(|error| error.to_string())?;
        let (now, later) = expected.split_at(events.len().min(expected.len()));
        if events != now {
            return Err(first_difference(&events, now));
        }
        let revision = |event: Option<&Event>| event.and_then(|event| event.kv.as_ref()).map(|kv| kv.mod_revision);
        if revision(later.first()).is_some_and(|next| Some(next) == revision(now.last())) {
            return Err(format!("revision {:?} was split: {now:?} | {later:?}", revision(now.last())));
        }
        if revision(now.last()).is_some_and(|newest| newest > current) || current < last {
            return Err(format!("the header says revision {current} after {last}, with {now:?}"));
        }
        last = current;
        expected = later;
    }
    Ok(())
}

async fn next(feed: &mut impl Feed) -> Result<registry_proto::etcdserverpb::WatchResponse, String> {
    let answer = feed.next().await.map_err(|status| format!("the watch stream ended with {status:?}"))?;
    answer.ok_or_else(|| "the watch stream ended".to_owned())
}

/// What differs first, with all that belongs to its revision.
fn first_difference(got: &[Event], expected: &[Event]) -> String {
    let revision = |event: &Event| event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
    let differs = got.iter().zip(expected).find(|(got, expected)| got != expected);
    let at = differs.map_or(0, |(got, expected)| revision(got).min(revision(expected)));
    let of_revision = |events: &[Event]| -> String {
        let events = events.iter().filter(|event| at == 0 || revision(event) == at);
        events.map(|event| format!("\n  {event:?}")).collect()
    };
    format!("the events of revision {at} differ; got:{}\nexpected:{}", of_revision(got), of_revision(expected))
}
