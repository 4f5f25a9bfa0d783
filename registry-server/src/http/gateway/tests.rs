//! Answers in JSON, whatever is in them.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions, Value};

use super::render::{PIECE_BYTES, Render};
use super::routes::{PATHS, Route};
use super::*;

fn pool() -> DescriptorPool {
    DescriptorPool::decode(registry_proto::DESCRIPTORS).unwrap()
}

/// A message with anything in it.
fn anything(descriptor: &MessageDescriptor, rng: &mut fastrand::Rng, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let is_deep = matches!(field.kind(), Kind::Message(_)) && depth == 0;
        if rng.bool() || is_deep {
            continue;
        }
        let value = if field.is_list() {
            Value::List((0..rng.usize(0..4)).map(|_| any_value(&field, rng, depth)).collect())
        } else {
            any_value(&field, rng, depth)
        };
        message.set_field(&field, value);
    }
    message
}

fn any_value(field: &FieldDescriptor, rng: &mut fastrand::Rng, depth: usize) -> Value {
    match field.kind() {
        Kind::Bool => Value::Bool(rng.bool()),
        Kind::Int32 => Value::I32(rng.i32(..)),
        Kind::Uint32 => Value::U32(rng.u32(..)),
        Kind::Int64 => Value::I64(rng.i64(..)),
        Kind::Uint64 => Value::U64(rng.u64(..)),
        Kind::String => Value::String(std::iter::repeat_with(|| rng.char(..)).take(5).collect()),
        Kind::Bytes => Value::Bytes(std::iter::repeat_with(|| rng.u8(..)).take(7).collect::<Vec<_>>().into()),
        Kind::Enum(_) => Value::EnumNumber(rng.i32(0..7)),
        Kind::Message(inner) => Value::Message(anything(&inner, rng, depth - 1)),
        other => panic!("etcd's answers have no {other:?}"),
    }
}

/// The JSON of a message, and the longest piece of it.
fn rendered(route: &Route, message: Bytes) -> (Vec<u8>, usize) {
    let mut out = Vec::new();
    let mut render = Render::begin(TABLE.shapes.clone(), route.response, message, &mut out);
    let (mut json, mut longest) = (Vec::new(), 0);
    loop {
        let has_ended = render.fill(&mut out).unwrap();
        longest = longest.max(out.len());
        json.append(&mut out);
        if has_ended {
            return (json, longest);
        }
    }
}

#[test]
fn every_answer_is_written_as_protobufs_json_says() {
    let (pool, mut rng) = (pool(), fastrand::Rng::with_seed(7));
    let options = SerializeOptions::new().use_proto_field_name(true);
    for (path, method) in PATHS {
        let (service, name) = method[1..].split_once('/').unwrap();
        let service = pool.get_service_by_name(service).unwrap();
        let output = service.methods().find(|method| method.name() == name).unwrap().output();
        for _ in 0..20 {
            let message = anything(&output, &mut rng, 4);
            let expected = message.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
            let (json, _) = rendered(TABLE.routes.find(path).unwrap(), message.encode_to_vec().into());
            let found: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(found, expected, "{path}");
        }
    }
}

#[test]
fn a_large_answer_is_written_in_pieces() {
    let kv = registry_proto::mvccpb::KeyValue { key: "k".into(), value: vec![7; 1000].into(), ..Default::default() };
    let kvs = registry_proto::stored::KeyValues::Decoded(vec![kv; 1000]);
    let answer = registry_proto::etcdserverpb::RangeResponse { kvs, count: 1000, ..Default::default() };
    let route = TABLE.routes.find("/v3/kv/range").unwrap();
    let (json, longest) = rendered(route, answer.encode_to_vec().into());
    assert!(json.len() > 1_300_000 && longest < PIECE_BYTES + 2000, "{} {longest}", json.len());
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!((json["kvs"].as_array().unwrap().len(), json["count"].as_str()), (1000, Some("1000")));
}

#[test]
fn bytes_that_are_no_answer_are_refused() {
    let mut rng = fastrand::Rng::with_seed(8);
    let route = TABLE.routes.find("/v3/kv/txn").unwrap();
    for _ in 0..10_000 {
        let len = rng.usize(0..60);
        let noise: Bytes = std::iter::repeat_with(|| rng.u8(..)).take(len).collect::<Vec<_>>().into();
        let mut out = Vec::new();
        let mut render = Render::begin(TABLE.shapes.clone(), route.response, noise, &mut out);
        // Either outcome is right; a panic is not.
        drop(render.fill(&mut out));
    }
}
