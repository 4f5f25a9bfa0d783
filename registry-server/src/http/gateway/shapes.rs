//! What messages look like in JSON, compiled once from their descriptors so that rendering looks nothing up by name.

use std::collections::HashMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

/// Where a message's shape stands in [`Shapes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShapeId(usize);

/// All messages that can be answered.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    shapes: Vec<Shape>,
    by_name: HashMap<String, ShapeId>,
}

/// A message: its fields by number.
#[derive(Debug, Default)]
pub(super) struct Shape(HashMap<u32, Field>);

/// A field.
#[derive(Debug)]
pub(super) struct Field {
    /// The name as the .proto file has it, quoted, with a colon.
    pub(super) key: String,
    pub(super) is_list: bool,
    pub(super) value: Value,
}

/// How a value is written. etcd's answers have no other kinds.
#[derive(Debug)]
pub(super) enum Value {
    Bool,
    /// As a number.
    Int32,
    Uint32,
    /// As text, because JavaScript's numbers end at 2^53.
    Int64,
    Uint64,
    String,
    /// In base64.
    Bytes,
    /// By name; a number where this program does not know the name.
    Enum(EnumDescriptor),
    Message(ShapeId),
}

impl Shapes {
    /// Takes a message in, and all that it can hold.
    ///
    /// # Panics
    /// When it can hold something that etcd's answers do not have: maps, fractions, or numbers that are not varints.
    pub(super) fn add(&mut self, message: &MessageDescriptor) -> ShapeId {
        if let Some(id) = self.by_name.get(message.full_name()) {
            return *id;
        }
        // Known before its fields are, because messages hold each other.
        let id = ShapeId(self.shapes.len());
        self.shapes.push(Shape::default());
        self.by_name.insert(message.full_name().to_owned(), id);
        let fields = message.fields().map(|field| (field.number(), self.field(&field))).collect();
        self.shapes[id.0] = Shape(fields);
        id
    }

    fn field(&mut self, field: &FieldDescriptor) -> Field {
        let value = match field.kind() {
            Kind::Bool => Value::Bool,
            Kind::Int32 => Value::Int32,
            Kind::Uint32 => Value::Uint32,
            Kind::Int64 => Value::Int64,
            Kind::Uint64 => Value::Uint64,
            Kind::String => Value::String,
            Kind::Bytes => Value::Bytes,
            Kind::Enum(names) => Value::Enum(names),
            Kind::Message(message) if !field.is_map() => Value::Message(self.add(&message)),
            other => panic!("{} is of a kind that is not rendered: {other:?}", field.full_name()),
        };
        Field { key: format!("\"{}\":", field.name()), is_list: field.is_list(), value }
    }
}

impl std::ops::Index<ShapeId> for Shapes {
    type Output = Shape;

    fn index(&self, id: ShapeId) -> &Shape {
        &self.shapes[id.0]
    }
}

impl Shape {
    /// The field with this number.
    pub(super) fn field(&self, number: u32) -> Option<&Field> {
        self.0.get(&number)
    }
}
