//! An answer that says nothing but that something was done.

use prost::Message;
use registry_proto::etcdserverpb::ResponseHeader;

use super::{Answer, Text, encoded, json};
use crate::error::CtlError;

/// What was done, in a line.
pub(crate) struct Acknowledged {
    line: String,
    header: Option<ResponseHeader>,
    json: String,
    message: Option<Vec<u8>>,
}

impl Acknowledged {
    /// `name` is the message's, within etcd's package.
    pub(crate) fn new(
        line: String,
        name: &str,
        header: Option<ResponseHeader>,
        answer: &impl Message,
    ) -> Result<Self, CtlError> {
        Ok(Self { line, header, json: json(answer, &format!("etcdserverpb.{name}"))?, message: encoded(answer) })
    }
}

impl Answer for Acknowledged {
    fn simple(&self, text: &mut Text) {
        text.line(&self.line);
    }

    fn fields(&self, text: &mut Text) {
        text.header(self.header.as_ref());
    }

    fn json(&self) -> Result<String, CtlError> {
        Ok(self.json.clone())
    }

    fn protobuf(&self) -> Option<Vec<u8>> {
        self.message.clone()
    }
}
