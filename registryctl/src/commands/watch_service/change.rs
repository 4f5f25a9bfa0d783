//! One line of `watch-service`, for people and as JSON.

use registry_client::Instance;
use serde_json::{Value, json};

use crate::commands::registry::{addresses, instance_json, metadata, name_of};
use crate::error::CtlError;
use crate::output::{Answer, Text, plain};

/// What happened, and at which revision.
#[derive(Debug)]
pub(super) enum Change {
    Present {
        revision: i64,
        id: String,
        now: Instance,
    },
    Synced {
        revision: i64,
        instances: usize,
    },
    Added {
        revision: i64,
        id: String,
        now: Instance,
    },
    /// `before` could not be read if there is none.
    Changed {
        revision: i64,
        id: String,
        before: Option<Box<Instance>>,
        now: Instance,
    },
    Replaced {
        revision: i64,
        id: String,
        now: Instance,
    },
    Removed {
        revision: i64,
        id: String,
        before: Option<Box<Instance>>,
    },
    Unreadable {
        revision: i64,
        id: String,
        why: String,
    },
    /// What happened between the two revisions is not known one by one.
    Gap {
        from: i64,
        to: i64,
        why: &'static str,
    },
}

/// A change of that service.
pub(super) struct Line<'a> {
    pub(super) service: &'a str,
    pub(super) change: &'a Change,
}

impl Change {
    /// Its name.
    pub(super) fn event(&self) -> &'static str {
        match self {
            Self::Present { .. } => "present",
            Self::Synced { .. } => "synced",
            Self::Added { .. } => "added",
            Self::Changed { .. } => "changed",
            Self::Replaced { .. } => "replaced",
            Self::Removed { .. } => "removed",
            Self::Unreadable { .. } => "unreadable",
            Self::Gap { .. } => "gap",
        }
    }

    /// The instance's, if it is about one.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Present { id, .. }
            | Self::Added { id, .. }
            | Self::Changed { id, .. }
            | Self::Replaced { id, .. }
            | Self::Removed { id, .. }
            | Self::Unreadable { id, .. } => Some(id),
            Self::Synced { .. } | Self::Gap { .. } => None,
        }
    }

    fn revision(&self) -> i64 {
        match self {
            Self::Present { revision, .. }
            | Self::Synced { revision, .. }
            | Self::Added { revision, .. }
            | Self::Changed { revision, .. }
            | Self::Replaced { revision, .. }
            | Self::Removed { revision, .. }
            | Self::Unreadable { revision, .. } => *revision,
            Self::Gap { to, .. } => *to,
        }
    }

    /// What there is to say beside the instance's name.
    fn details(&self) -> String {
        match self {
            Self::Present { now, .. } | Self::Added { now, .. } | Self::Replaced { now, .. } => whole(now),
            Self::Changed { before: Some(before), now, .. } => differences(before, now),
            Self::Changed { before: None, now, .. } => format!("readable again: {}", whole(now)),
            Self::Removed { before, .. } => {
                before.as_ref().map_or_else(String::new, |before| format!("was {}", name_of(before.status())))
            }
            Self::Unreadable { why, .. } => why.clone(),
            Self::Synced { instances, .. } => format!("{instances} instances"),
            Self::Gap { from, why, .. } => format!("since revision {from}: {why}; what differs follows"),
        }
    }
}

/// What is told of an instance, by name; what is not set is empty.
fn parts(instance: &Instance) -> [(&'static str, String); 7] {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    [
        ("status", name_of(instance.status()).to_owned()),
        ("address", addresses(instance)),
        ("zone", text(instance.zone())),
        ("version", text(instance.version())),
        ("weight", instance.weight().to_string()),
        ("tags", instance.tags().iter().cloned().collect::<Vec<_>>().join(",")),
        ("metadata", metadata(instance)),
    ]
}

fn whole(instance: &Instance) -> String {
    let [status, address, rest @ ..] = parts(instance);
    let rest = rest.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={value}"));
    let told = [status.1, address.1].into_iter().filter(|value| !value.is_empty()).chain(rest);
    told.collect::<Vec<_>>().join(" ")
}

fn differences(before: &Instance, now: &Instance) -> String {
    let pairs = parts(before).into_iter().zip(parts(now)).filter(|((_, before), (_, now))| before != now);
    let or_none = |value: String| if value.is_empty() { "none".to_owned() } else { value };
    let told: Vec<_> =
        pairs.map(|((name, before), (_, now))| format!("{name} {} -> {}", or_none(before), or_none(now))).collect();
    if told.is_empty() { "written anew, with nothing changed that is told here".to_owned() } else { told.join(", ") }
}

impl Answer for Line<'_> {
    fn simple(&self, text: &mut Text) {
        let name = self.change.id().map_or_else(|| self.service.to_owned(), |id| format!("{}/{id}", self.service));
        let (revision, event, details) = (self.change.revision(), self.change.event(), self.change.details());
        let line = format!("{revision} {event} {} {}", plain(&name), plain(&details));
        text.line(line.trim_end());
    }

    fn fields(&self, text: &mut Text) {
        text.quoted("Event", self.change.event().as_bytes());
        text.field("Revision", self.change.revision());
        text.quoted("Service", self.service.as_bytes());
        if let Some(id) = self.change.id() {
            text.quoted("ID", id.as_bytes());
        }
        text.quoted("Details", self.change.details().as_bytes());
    }

    fn json(&self) -> Result<String, CtlError> {
        let change = self.change;
        let mut object = json!({"event": change.event(), "revision": change.revision(), "service": self.service});
        let mut set = |name: &str, value: Value| object[name] = value;
        if let Some(id) = change.id() {
            set("id", id.into());
        }
        match change {
            Change::Present { now, .. } | Change::Added { now, .. } | Change::Replaced { now, .. } => {
                set("instance", instance_json(now));
            }
            Change::Changed { before, now, .. } => {
                set("instance", instance_json(now));
                set("before", before.as_deref().map(instance_json).into());
            }
            Change::Removed { before, .. } => set("before", before.as_deref().map(instance_json).into()),
            Change::Unreadable { why, .. } => set("error", why.as_str().into()),
            Change::Synced { instances, .. } => set("instances", (*instances).into()),
            Change::Gap { from, why, .. } => {
                set("since_revision", (*from).into());
                set("reason", (*why).into());
            }
        }
        Ok(object.to_string())
    }
}

#[cfg(test)]
mod tests {
    use registry_client::Status;

    use super::*;

    #[test]
    fn what_has_changed_is_told_as_it_was_and_as_it_is() {
        let before = Instance::builder("pay").id("7").endpoint("http", "http://h:1").build().unwrap();
        let mut now = before.clone();
        assert!(differences(&before, &now).contains("nothing changed"));
        now.set_status(Status::Draining);
        now.set_zone("a");
        assert_eq!(differences(&before, &now), "status up -> draining, zone none -> a");
        assert_eq!(whole(&now), "draining http://h:1 zone=a weight=100");
    }
}
