//! The forms of what is printed.
//!
//! [`acknowledged`] is of answers without contents. [`json()`] and the protobuf form are made of any message by its descriptor; `fields` and the simple form each
//! command writes itself, with [`Text`]; [`table()`] rules a table, and [`List`] has all forms of a list. [`color`] is for
//! terminals only.

mod acknowledged;
mod color;
mod json;
mod list;
mod outlet;
pub(crate) mod progress;
mod table;

use std::io::Write as _;

use bytes::Bytes;
use prost::Message;
use registry_proto::etcdserverpb::ResponseHeader;
use registry_proto::mvccpb::KeyValue;

pub(crate) use self::acknowledged::Acknowledged;
pub(crate) use self::json::{json, string_of};
pub(crate) use self::list::{List, plain};
pub(crate) use self::outlet::Outlet;
pub(crate) use self::table::table;
use crate::error::{CtlError, STDOUT};
use crate::global::{Format, Global};

/// Prints a line.
pub(crate) fn say(line: &str) -> Result<(), CtlError> {
    written(format!("{line}\n").as_bytes())
}

/// A line for whoever watches the program at work. Nobody may be there: it is no reason to fail.
pub(crate) fn tell(line: &str) {
    writeln!(std::io::stderr().lock(), "{line}").ok();
}

/// To standard output, at once: whoever reads it may wait for a line.
fn written(bytes: &[u8]) -> Result<(), CtlError> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(CtlError::io(STDOUT))
}

/// What a command has to print.
pub(crate) trait Answer {
    /// For people.
    fn simple(&self, text: &mut Text);

    /// A field a line.
    fn fields(&self, text: &mut Text);

    /// One line, as etcdctl has it.
    fn json(&self) -> Result<String, CtlError>;

    /// The message; none if there is no single one.
    fn protobuf(&self) -> Option<Vec<u8>> {
        None
    }

    /// Head and rows; none if it is no list.
    fn rows(&self) -> Option<(Vec<&'static str>, Vec<Vec<String>>)> {
        None
    }
}

/// Prints an answer in the form that was asked for.
pub(crate) fn print(global: &Global, answer: &impl Answer) -> Result<(), CtlError> {
    print_to(&Outlet::Stdout, global, answer)
}

/// Prints an answer in the form that was asked for, where somebody may be typing.
pub(crate) fn print_to(outlet: &Outlet, global: &Global, answer: &impl Answer) -> Result<(), CtlError> {
    let mut text =
        Text { colors: color::is_wanted(global.color, &|name| std::env::var_os(name)), ..Text::new(global.hex) };
    let not_so = |form: &str| CtlError::Arguments(format!("-w {form} is not possible for this command: try -w json"));
    match global.write_out {
        Format::Simple => answer.simple(&mut text),
        Format::Fields => answer.fields(&mut text),
        Format::Json => text.line(answer.json()?),
        Format::Protobuf => return outlet.put(&answer.protobuf().ok_or_else(|| not_so("protobuf"))?),
        Format::Table => {
            let (head, rows) = answer.rows().ok_or_else(|| not_so("table"))?;
            let ruled = table(&head, &rows);
            text.raw(if text.colors { color::table(&ruled) } else { ruled }.as_bytes());
        }
    }
    outlet.put(&text.bytes)
}

/// Text in the making: bytes, as keys and values need not be text.
pub(crate) struct Text {
    bytes: Vec<u8>,
    hex: bool,
    colors: bool,
}

impl Text {
    fn new(hex: bool) -> Self {
        Self { bytes: Vec::new(), hex, colors: false }
    }

    /// A line.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) {
        self.raw(line.as_ref().as_bytes());
        self.bytes.push(b'\n');
    }

    /// The head of a list.
    pub(crate) fn head(&mut self, line: &str) {
        self.line(if self.colors { color::head(line) } else { line.to_owned() });
    }

    /// A line of a list, or another in which words say how something is.
    pub(crate) fn row(&mut self, line: &str) {
        self.line(if self.colors { color::words(line) } else { line.to_owned() });
    }

    /// A key or value, and the end of the line.
    pub(crate) fn data(&mut self, data: &[u8]) {
        if self.hex {
            data.iter().for_each(|byte| self.raw(format!("\\x{byte:02x}").as_bytes()));
        } else {
            self.raw(data);
        }
        self.bytes.push(b'\n');
    }

    /// Key and value, a line each.
    pub(crate) fn kv(&mut self, kv: &KeyValue) {
        self.data(&kv.key);
        self.data(&kv.value);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// `"Name" : value`.
    pub(crate) fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line(format!("\"{name}\" : {value}"));
    }

    /// `"Name" : "data"`, quoted as Go does it.
    pub(crate) fn quoted(&mut self, name: &str, data: &[u8]) {
        self.line(format!("\"{name}\" : {}", go_quoted(data)));
    }

    /// The fields of an answer's header.
    pub(crate) fn header(&mut self, header: Option<&ResponseHeader>) {
        let header = header.copied().unwrap_or_default();
        self.field("ClusterID", header.cluster_id);
        self.field("MemberID", header.member_id);
        self.field("Revision", header.revision);
        self.field("RaftTerm", header.raft_term);
    }

    /// The fields of a key-value.
    pub(crate) fn kv_fields(&mut self, prefix: &str, kv: &KeyValue) {
        self.quoted(&format!("{prefix}Key"), &kv.key);
        self.field(&format!("{prefix}CreateRevision"), kv.create_revision);
        self.field(&format!("{prefix}ModRevision"), kv.mod_revision);
        self.field(&format!("{prefix}Version"), kv.version);
        self.quoted(&format!("{prefix}Value"), &kv.value);
        self.field(&format!("{prefix}Lease"), kv.lease);
    }
}

/// As `%q` of Go's fmt.
fn go_quoted(data: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in data.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '"' | '\\' => text.extend(['\\', letter]),
                '\u{7}' => text.push_str("\\a"),
                '\u{8}' => text.push_str("\\b"),
                '\u{c}' => text.push_str("\\f"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\u{b}' => text.push_str("\\v"),
                letter if letter.is_ascii_control() => text.push_str(&format!("\\x{:02x}", u32::from(letter))),
                letter if letter.is_control() => text.push_str(&format!("\\u{:04x}", u32::from(letter))),
                letter => text.push(letter),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text.push('"');
    text
}

/// The message, encoded.
pub(crate) fn encoded(message: &impl Message) -> Option<Vec<u8>> {
    Some(message.encode_to_vec())
}

/// An argument as key or value.
pub(crate) fn data(argument: &str) -> Bytes {
    Bytes::copy_from_slice(argument.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_those_of_go() {
        assert_eq!(go_quoted("a\"\\\n\u{1}ключ✓".as_bytes()), r#""a\"\\\n\x01ключ✓""#);
        assert_eq!(go_quoted(b"\xff\x00x"), r#""\xff\x00x""#);
    }

    #[test]
    fn hexadecimal_has_a_prefix_for_each_byte() {
        let mut text = Text::new(true);
        text.data(b"12");
        assert_eq!(text.bytes, b"\\x31\\x32\n");
    }
}
