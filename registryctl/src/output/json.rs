//! A message as Go's `encoding/json` writes etcd's: names of the `.proto`, numbers as numbers, bytes in base64, what is
//! empty left out; a oneof is an object in an object, both with Go's names.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use prost::Message;
use prost_reflect::{Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, ReflectMessage, Value};

use crate::error::CtlError;

/// What is known of all messages.
static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(registry_proto::DESCRIPTORS).ok());

/// The message of that full name, as one line.
pub(crate) fn json(message: &impl Message, name: &str) -> Result<String, CtlError> {
    let unknown = || CtlError::Answer(format!("nothing describes a {name}"));
    let descriptor = POOL.as_ref().and_then(|pool| pool.get_message_by_name(name)).ok_or_else(unknown)?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice());
    let mut text = String::new();
    write_message(&message.map_err(|error| CtlError::Answer(error.to_string()))?, &mut text);
    Ok(text)
}

fn write_message(message: &DynamicMessage, text: &mut String) {
    text.push('{');
    let mut is_first = true;
    for field in message.descriptor().fields().filter(|field| message.has_field(field)) {
        if !std::mem::take(&mut is_first) {
            text.push(',');
        }
        let value = message.get_field(&field);
        match field.containing_oneof() {
            Some(oneof) => {
                text.push_str(&format!("\"{}\":{{\"{}\":", camel(oneof.name()), camel(field.name())));
                write_value(&field, &value, text);
                text.push('}');
            }
            None => {
                text.push_str(&format!("\"{}\":", field.name()));
                write_value(&field, &value, text);
            }
        }
    }
    text.push('}');
}

fn write_value(field: &FieldDescriptor, value: &Value, text: &mut String) {
    match value {
        Value::List(values) if field.cardinality() == Cardinality::Repeated => {
            text.push('[');
            for (number, value) in values.iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                write_value(field, value, text);
            }
            text.push(']');
        }
        Value::Message(message) => write_message(message, text),
        Value::Bytes(bytes) => text.push_str(&format!("\"{}\"", BASE64_STANDARD.encode(bytes))),
        Value::String(string) => text.push_str(&string_of(string)),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::I32(value) | Value::EnumNumber(value) => text.push_str(&value.to_string()),
        Value::I64(value) => text.push_str(&value.to_string()),
        Value::U32(value) => text.push_str(&value.to_string()),
        Value::U64(value) => text.push_str(&value.to_string()),
        Value::F32(value) => text.push_str(&value.to_string()),
        Value::F64(value) => text.push_str(&value.to_string()),
        // etcd's messages have no maps.
        Value::List(_) | Value::Map(_) => text.push_str("null"),
    }
}

/// A string in its quotes.
pub(crate) fn string_of(string: &str) -> String {
    serde_json::Value::from(string).to_string()
}

/// `response_put` as Go names it.
fn camel(name: &str) -> String {
    let parts = name.split('_').map(|part| {
        let mut letters = part.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use registry_proto::etcdserverpb::response_op::Response;
    use registry_proto::etcdserverpb::{PutResponse, ResponseHeader, ResponseOp, TxnResponse};
    use registry_proto::mvccpb::KeyValue;

    use super::*;

    #[test]
    fn a_message_is_written_as_gos_clients_write_it() {
        let header = ResponseHeader { cluster_id: u64::MAX, member_id: 1, revision: 7, raft_term: 0 };
        let prev_kv = KeyValue { key: "foo".into(), mod_revision: -2, ..KeyValue::default() };
        let put = PutResponse { header: Some(header), prev_kv: Some(prev_kv) };
        let expected = r#"{"header":{"cluster_id":18446744073709551615,"member_id":1,"revision":7},"prev_kv":{"key":"Zm9v","mod_revision":-2}}"#;
        assert_eq!(json(&put, "etcdserverpb.PutResponse").unwrap(), expected);
        let put = ResponseOp { response: Some(Response::ResponsePut(PutResponse::default())) };
        let txn = TxnResponse { succeeded: true, responses: vec![put], ..TxnResponse::default() };
        let expected = r#"{"succeeded":true,"responses":[{"Response":{"ResponsePut":{}}}]}"#;
        assert_eq!(json(&txn, "etcdserverpb.TxnResponse").unwrap(), expected);
    }

    #[test]
    fn what_is_not_described_is_an_error() {
        assert!(json(&PutResponse::default(), "etcdserverpb.NoSuch").is_err());
    }
}
