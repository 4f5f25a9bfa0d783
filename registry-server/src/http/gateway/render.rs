//! From a message's bytes to JSON, a piece at a time, without decoding it first.
//!
//! A range can be hundreds of megabytes. Decoded and written in one go it would take several times that in memory, and
//! its thread for seconds; here it is read where it lies, and each call writes about one piece.
//!
//! The messages are this server's own, so a repeated field's values stand together and a single one stands once.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use prost::DecodeError;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::shapes::{Field, ShapeId, Shapes, Value};

/// A piece; a value is written whole, so one can be longer by that.
pub(super) const PIECE_BYTES: usize = 32 * 1024;

/// Bytes that are not the message that they were said to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenderError {
    /// No protobuf.
    #[error(transparent)]
    Wire(#[from] DecodeError),
    /// A field of another kind.
    #[error("a field has another kind than its description")]
    Kind,
}

/// A message that is being written.
#[derive(Debug)]
pub(super) struct Render {
    shapes: Arc<Shapes>,
    /// The message, and those in it that are open.
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    shape: ShapeId,
    rest: Bytes,
    /// The repeated field whose values are being written.
    list: Option<u32>,
    is_empty: bool,
}

impl Open {
    fn new(shape: ShapeId, rest: Bytes) -> Self {
        Self { shape, rest, list: None, is_empty: true }
    }
}

impl Render {
    /// Begins to write `message`, and its opening brace into `out`.
    pub(super) fn begin(shapes: Arc<Shapes>, shape: ShapeId, message: Bytes, out: &mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { shapes, open: vec![Open::new(shape, message)] }
    }

    /// Writes until `out` has a piece; true when the message has ended.
    ///
    /// # Errors
    /// When the bytes are no such message, which only a bug of the service can cause.
    pub(super) fn fill(&mut self, out: &mut Vec<u8>) -> Result<bool, RenderError> {
        while let Some(top) = self.open.last_mut() {
            if out.len() >= PIECE_BYTES {
                return Ok(false);
            }
            if top.rest.has_remaining() {
                let inner = step(&self.shapes, top, out)?;
                self.open.extend(inner);
                continue;
            }
            if top.list.is_some() {
                out.push(b']');
            }
            out.push(b'}');
            self.open.pop();
        }
        Ok(true)
    }
}

/// Writes the next field of a message, or opens the message in it.
fn step(shapes: &Shapes, top: &mut Open, out: &mut Vec<u8>) -> Result<Option<Open>, RenderError> {
    let (number, wire_type) = decode_key(&mut top.rest)?;
    let Some(field) = shapes[top.shape].field(number) else {
        skip_field(wire_type, number, &mut top.rest, DecodeContext::default())?;
        return Ok(None);
    };
    if wire_type != WireType::LengthDelimited {
        separate(top, number, field, out);
        return write_number(&field.value, decode_varint(&mut top.rest)?, out).map(|()| None);
    }
    let len = decode_varint(&mut top.rest)?;
    let len = usize::try_from(len).ok().filter(|len| *len <= top.rest.len()).ok_or(RenderError::Kind)?;
    let mut value = top.rest.split_to(len);
    match &field.value {
        Value::Message(shape) => {
            separate(top, number, field, out);
            out.push(b'{');
            return Ok(Some(Open::new(*shape, value)));
        }
        Value::String => {
            separate(top, number, field, out);
            let text = std::str::from_utf8(&value).map_err(|_| RenderError::Kind)?;
            write_text(text, out);
        }
        Value::Bytes => {
            separate(top, number, field, out);
            out.push(b'"');
            write_base64(&value, out);
            out.push(b'"');
        }
        // Numbers of a list, packed.
        packed => {
            while value.has_remaining() {
                separate(top, number, field, out);
                write_number(packed, decode_varint(&mut value)?, out)?;
            }
        }
    }
    Ok(None)
}

/// Writes what stands before a value: a comma, the key, the brackets of lists.
fn separate(top: &mut Open, number: u32, field: &Field, out: &mut Vec<u8>) {
    if top.list == Some(number) {
        out.push(b',');
        return;
    }
    if top.list.take().is_some() {
        out.push(b']');
    }
    if !std::mem::take(&mut top.is_empty) {
        out.push(b',');
    }
    out.extend_from_slice(field.key.as_bytes());
    if field.is_list {
        out.push(b'[');
        top.list = Some(number);
    }
}

fn write_number(value: &Value, raw: u64, out: &mut Vec<u8>) -> Result<(), RenderError> {
    let text = match value {
        Value::Bool => (raw != 0).to_string(),
        // As in protobuf everywhere, what does not fit is cut off.
        Value::Int32 => (raw as i32).to_string(),
        Value::Uint32 => (raw as u32).to_string(),
        Value::Int64 => format!("\"{}\"", raw as i64),
        Value::Uint64 => format!("\"{raw}\""),
        Value::Enum(names) => match names.get_value(raw as i32) {
            Some(value) => format!("\"{}\"", value.name()),
            None => (raw as i32).to_string(),
        },
        Value::String | Value::Bytes | Value::Message(_) => return Err(RenderError::Kind),
    };
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Writes text, quoted.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text can be written to memory");
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    out.resize(begin + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[begin..]).expect("there is room for all of it");
    out.truncate(begin + written);
}
