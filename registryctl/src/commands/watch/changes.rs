//! What a watch prints: the events of an answer, or how far the server is.

use registry_proto::etcdserverpb::ResponseHeader;
use registry_proto::mvccpb::Event;
use registry_proto::mvccpb::event::EventType;

use crate::error::CtlError;
use crate::output::{Answer, Text, json, string_of};

/// One answer of the stream. One without events tells that all events up to its header's revision have come.
pub(super) struct Changes<'a> {
    pub(super) header: Option<ResponseHeader>,
    pub(super) events: &'a [Event],
    pub(super) compact_revision: i64,
}

/// As etcdctl names it.
pub(super) fn kind(event: &Event) -> &'static str {
    match event.r#type() {
        EventType::Put => "PUT",
        EventType::Delete => "DELETE",
    }
}

impl Changes<'_> {
    fn progress(&self) -> Option<String> {
        let revision = self.header.map_or(0, |header| header.revision);
        self.events.is_empty().then(|| format!("progress notify: {revision}"))
    }
}

impl Answer for Changes<'_> {
    fn simple(&self, text: &mut Text) {
        self.progress().into_iter().for_each(|line| text.line(line));
        for event in self.events {
            text.line(kind(event));
            if let Some(before) = &event.prev_kv {
                text.kv(before);
            }
            if let Some(kv) = &event.kv {
                text.kv(kv);
            }
        }
    }

    fn fields(&self, text: &mut Text) {
        self.progress().into_iter().for_each(|line| text.line(line));
        text.header(self.header.as_ref());
        for event in self.events {
            text.line(format!("\"Type\" : {}", string_of(kind(event))));
            if let Some(before) = &event.prev_kv {
                text.kv_fields("Prev", before);
            }
            if let Some(kv) = &event.kv {
                text.kv_fields("", kv);
            }
        }
    }

    /// As etcd's client for Go has it, with its names.
    fn json(&self) -> Result<String, CtlError> {
        let header = json(&self.header.unwrap_or_default(), "etcdserverpb.ResponseHeader")?;
        let events = self.events.iter().map(|event| json(event, "mvccpb.Event"));
        let events = events.collect::<Result<Vec<_>, _>>()?.join(",");
        let compact = self.compact_revision;
        Ok(format!(
            "{{\"Header\":{header},\"Events\":[{events}],\"CompactRevision\":{compact},\"Canceled\":false,\"Created\":false}}"
        ))
    }
}
