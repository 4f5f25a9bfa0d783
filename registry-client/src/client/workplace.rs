//! Where a client's tasks run: on a thread of its own, or where a simulation puts them.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

use super::thread::Thread;
use crate::channel::Channel;
use crate::clock::Clock;
use crate::error::Error;
use crate::registration::driver::Tools;
use crate::registration::keepalive::KeepAlives;
use crate::registration::outstanding::Outstanding;
#[cfg(feature = "simulation")]
use crate::simulation::Spawn;
use crate::watch::hub::WatchHub;

/// A task whose end nobody waits for.
pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What all tasks of a client share, and where they run.
pub(super) struct Workplace {
    pub(super) tools: Tools,
    place: Place,
}

enum Place {
    Thread(Thread),
    #[cfg(feature = "simulation")]
    Given(Spawn),
}

impl Workplace {
    /// On a thread of its own.
    pub(super) fn on_thread(channel: Channel, outstanding: Arc<Outstanding>) -> Result<Self, Error> {
        let (resumes, resumed) = watch::channel(0);
        let (tools, streams) = tools(channel, Clock::Machine, resumed);
        let thread = Thread::start(streams, resumes, outstanding)?;
        Ok(Self { tools, place: Place::Thread(thread) })
    }

    /// Wherever `spawn` puts tasks, by the clock of the runtime that this is called on.
    #[cfg(feature = "simulation")]
    pub(super) fn given(channel: Channel, spawn: Spawn) -> Self {
        // Without its sender it never says that the machine was asleep: paused tasks find out by the clock.
        let (_, resumed) = watch::channel(0);
        let (tools, streams) = tools(channel, Clock::of_runtime(), resumed);
        streams.into_iter().for_each(|stream| spawn(stream));
        Self { tools, place: Place::Given(spawn) }
    }

    /// Runs something there. It is dropped unfinished when the place ends before.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match &self.place {
            Place::Thread(thread) => thread.spawn(task),
            #[cfg(feature = "simulation")]
            Place::Given(spawn) => spawn(Box::pin(task)),
        }
    }

    /// How many there are that have not ended; 0 where the place is another's.
    pub(super) fn tasks(&self) -> usize {
        match &self.place {
            Place::Thread(thread) => thread.tasks(),
            #[cfg(feature = "simulation")]
            Place::Given(_) => 0,
        }
    }
}

fn tools(channel: Channel, clock: Clock, resumed: watch::Receiver<u64>) -> (Tools, Vec<Task>) {
    let (keepalives, keepalive_stream) = KeepAlives::new(channel.clone());
    let (watches, watch_stream) = WatchHub::new(channel.clone());
    let mut streams: Vec<Task> = vec![Box::pin(keepalive_stream), Box::pin(watch_stream)];
    streams.extend(channel.log_in().map(|login| Box::pin(login) as Task));
    streams.extend(channel.follow_members().map(|members| Box::pin(members) as Task));
    (Tools { clock, channel, keepalives, watches, resumed }, streams)
}
