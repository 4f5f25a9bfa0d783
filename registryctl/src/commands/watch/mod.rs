//! `watch`: each event as it comes, from where a broken connection left off.
//!
//! [`stream`] follows one watch, [`interactive`] reads from lines what to watch, [`changes`] prints.

mod changes;
mod interactive;
mod stream;

use clap::Args as ClapArgs;
use tokio::sync::Notify;
use tokio::time::Duration;
use tonic::{Code, Status};

use crate::error::CtlError;
use crate::global::Global;
use crate::output::Outlet;

const EXAMPLES: &str = "\
Examples:
  registryctl watch greeting
  registryctl watch --prefix /services/pay/ --prev-kv
  registryctl watch --rev 1234 greeting -w json
  registryctl watch greeting -- sh -c 'echo $ETCD_WATCH_KEY is now $ETCD_WATCH_VALUE'
  ETCDCTL_WATCH_KEY=a ETCDCTL_WATCH_RANGE_END=m registryctl watch
  registryctl watch -i

Lines of watch -i:
  watch [FLAGS] KEY [RANGE_END] [-- COMMAND...]     starts another watch
  progress                                          asks how far the server has told all";

/// Between a connection that broke and the next attempt.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// Prints changes as they happen, until it is stopped.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Watch {
    /// Key to watch, or first key of the range; ETCDCTL_WATCH_KEY if it is not given.
    key: Option<String>,
    /// End of the range: the first key that is not in it.
    range_end: Option<String>,
    /// Read what to watch from standard input, one watch a line, as many as wanted.
    #[arg(short, long)]
    interactive: bool,
    /// Watch all keys that begin with KEY; an empty KEY is all keys.
    #[arg(long)]
    prefix: bool,
    /// Begin with the changes of this revision; 0 is from now on.
    #[arg(long, default_value_t = 0)]
    rev: i64,
    /// Print also what was there before each change.
    #[arg(long)]
    prev_kv: bool,
    /// Have the server tell its revision from time to time while nothing changes.
    #[arg(long)]
    progress_notify: bool,
    /// Program to run for each change, which is in ETCD_WATCH_KEY, _VALUE, _EVENT_TYPE and _REVISION of its environment.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Watch {
    pub(crate) async fn run(&self, global: &Global) -> Result<(), CtlError> {
        let environment = |name: &str| {
            let look = |prefix: &str| std::env::var(format!("{prefix}_WATCH_{name}")).ok();
            look("REGISTRYCTL").or_else(|| look("ETCDCTL")).filter(|value| !value.is_empty())
        };
        if self.interactive {
            return interactive::interactive(global, &environment).await;
        }
        self.clone().with_keys_of(&environment)?.follow(global, &Outlet::Stdout, &Notify::new()).await
    }

    /// With the keys that the environment has, unless they are given.
    fn with_keys_of(mut self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, CtlError> {
        let (key, range_end) = (environment("KEY"), environment("RANGE_END"));
        let wrong = |text: &str| Err(CtlError::Arguments(text.to_owned()));
        match (&self.key, key) {
            (Some(_), None) => Ok(self),
            (Some(_), Some(_)) => wrong("KEY and ETCDCTL_WATCH_KEY are both given: leave one of them away"),
            (None, None) if range_end.is_some() => {
                wrong("ETCDCTL_WATCH_RANGE_END is of no use without ETCDCTL_WATCH_KEY")
            }
            (None, None) => wrong("nothing to watch: give KEY, or set ETCDCTL_WATCH_KEY"),
            (None, key) => {
                (self.key, self.range_end) = (key, range_end);
                Ok(self)
            }
        }
    }
}

/// The server, or the way to it, is gone: it may come back.
pub(super) fn is_lost(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::interactive::{Entered, entered};
    use super::*;

    fn watch(line: &str) -> Watch {
        match entered(line).unwrap() {
            Entered::Watch(watch) => *watch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_come_from_the_line_or_from_the_environment() {
        let set = |name: &str| (name == "KEY").then(|| "a".to_owned());
        let ends = |name: &str| Some(if name == "KEY" { "a" } else { "m" }.to_owned());
        let none = |_: &str| None;
        let keys = |watch: Watch| (watch.key.unwrap(), watch.range_end);
        assert_eq!(keys(watch("watch x y").with_keys_of(&none).unwrap()), ("x".to_owned(), Some("y".to_owned())));
        assert_eq!(keys(watch("watch --prefix=true").with_keys_of(&set).unwrap()), ("a".to_owned(), None));
        assert_eq!(keys(watch("watch -- echo x").with_keys_of(&ends).unwrap()), ("a".to_owned(), Some("m".to_owned())));
        assert!(watch("watch x").with_keys_of(&set).unwrap_err().to_string().contains("both given"));
        assert!(watch("watch").with_keys_of(&none).unwrap_err().to_string().contains("nothing to watch"));
        let only_end = |name: &str| (name == "RANGE_END").then(|| "m".to_owned());
        assert!(watch("watch").with_keys_of(&only_end).unwrap_err().to_string().contains("ETCDCTL_WATCH_KEY"));
    }
}
