//! The JSON that stands in the registry under an instance's key.
//!
//! The format has a version of its own; fields that this SDK does not know are kept and written back, so
//! that an older program does not strip what a newer tool added.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::builder::{InstanceError, check_name};
use super::{DEFAULT_WEIGHT, Endpoint, EndpointError, Instance, Status};

/// The only format there is; a record with a higher one is not read, as its meaning may have changed.
const FORMAT_VERSION: u32 = 1;

/// Why a value is not an instance.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not JSON, or not of the record's shape.
    #[error("not an instance record")]
    Json(#[from] serde_json::Error),
    /// Written in a format that this SDK does not know.
    #[error("format {0} is newer than this SDK")]
    Format(u32),
    /// The key is no instance's.
    #[error("the key")]
    Name(#[from] InstanceError),
    /// The key is no text.
    #[error("the key is not UTF-8")]
    Utf8(#[from] std::str::Utf8Error),
    /// An endpoint that cannot be dialled.
    #[error("an endpoint of the record")]
    Endpoint(#[from] EndpointError),
}

#[derive(Serialize, Deserialize)]
struct Record {
    /// The format, not the program.
    version: u32,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    endpoints: IndexMap<String, Address>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    app_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(default = "default_weight")]
    weight: u32,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    tags: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    extra: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct Address {
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
}

/// Fields of a record that this SDK does not know.
pub(crate) type Fields = serde_json::Map<String, serde_json::Value>;

fn default_weight() -> u32 {
    DEFAULT_WEIGHT
}

impl Instance {
    /// The value that stands under the instance's key, which is `<namespace>/services/<service>/<id>`: for tools that change what others
    /// have registered. A process's own instance is registered with [`crate::Registry::register`].
    pub fn to_record(&self) -> Vec<u8> {
        self.to_record_as(self.status)
    }

    /// The value to put under the instance's key when that status is to be shown.
    pub(crate) fn to_record_as(&self, status: Status) -> Vec<u8> {
        let address = |endpoint: &Endpoint| Address {
            url: endpoint.uri(),
            server_name: endpoint.explicit_server_name().map(str::to_owned),
        };
        let record = Record {
            version: FORMAT_VERSION,
            status,
            endpoints: self.endpoints.iter().map(|(name, endpoint)| (name.clone(), address(endpoint))).collect(),
            app_version: self.version.clone(),
            zone: self.zone.clone(),
            weight: self.weight,
            tags: self.tags.clone(),
            metadata: self.metadata.clone(),
            extra: self.extra.clone(),
        };
        serde_json::to_vec(&record).expect("a record has string keys only, which JSON can always hold")
    }

    /// Reads what stands under the key of the instance `id` of `service`; fields that this SDK does not know are kept. For tools that
    /// read keys themselves: who wants to find instances has [`crate::Registry::watch`].
    ///
    /// ```
    /// use registry_client::{Instance, Status};
    ///
    /// let mut instance = Instance::from_record("pay", b"7f3a", br#"{"version":1,"owner":"ops"}"#)?;
    /// instance.set_status(Status::Draining);
    /// let record = String::from_utf8(instance.to_record())?;
    /// assert!(record.contains(r#""status":"draining""#) && record.contains(r#""owner":"ops""#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// When the id cannot be one, or the value is no record that this SDK can read.
    pub fn from_record(service: &str, id: &[u8], value: &[u8]) -> Result<Self, RecordError> {
        let id = std::str::from_utf8(id)?;
        check_name("id", id)?;
        let record: Record = serde_json::from_slice(value)?;
        if record.version > FORMAT_VERSION {
            return Err(RecordError::Format(record.version));
        }
        let mut endpoints = IndexMap::with_capacity(record.endpoints.len());
        for (name, address) in record.endpoints {
            let mut endpoint = Endpoint::parse(&address.url)?;
            if let Some(server_name) = address.server_name {
                endpoint = endpoint.with_server_name(server_name);
            }
            endpoints.insert(name, endpoint);
        }
        Ok(Self {
            service: service.to_owned(),
            id: id.to_owned(),
            status: record.status,
            endpoints,
            version: record.app_version,
            zone: record.zone,
            weight: record.weight,
            tags: record.tags,
            metadata: record.metadata,
            extra: record.extra,
        })
    }

    /// The fields that `value` holds and this SDK does not know, if the instance has not got them as they are.
    pub(crate) fn unknown_fields_of(&self, value: &[u8]) -> Option<Fields> {
        let Record { extra, .. } = serde_json::from_slice(value).ok()?;
        extra.iter().any(|(name, field)| self.extra.get(name) != Some(field)).then_some(extra)
    }

    /// Takes fields over that this SDK does not know.
    pub(crate) fn keep_fields(&mut self, fields: Fields) {
        self.extra.extend(fields);
    }

    /// Whether [`Instance::keep_unknown_fields_of`] would change anything.
    pub(crate) fn lacks_unknown_fields_of(&self, other: &Self) -> bool {
        self.extra != other.extra && !other.extra.is_empty()
    }

    /// Takes over the fields that `other` holds and this SDK does not know.
    pub(crate) fn keep_unknown_fields_of(&mut self, other: &Self) {
        self.extra.extend(other.extra.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        Instance::builder("pay")
            .id("1")
            .endpoint("grpc", Endpoint::parse("https://h:1").unwrap().with_server_name("pay"))
            .version("1.4.0")
            .zone("a")
            .tag("stable")
            .metadata("k", "v")
            .build()
            .unwrap()
    }

    #[test]
    fn a_record_reads_back_as_the_instance() {
        let instance = instance();
        assert_eq!(Instance::from_record("pay", b"1", &instance.to_record()).unwrap(), instance);
    }

    #[test]
    fn unknown_fields_are_written_back() {
        let mut mine = instance();
        let added = br#"{"version":1,"cordoned":{"by":"ops"}}"#;
        let fields = mine.unknown_fields_of(added).unwrap();
        mine.keep_fields(fields);
        assert!(mine.unknown_fields_of(added).is_none());
        let text = String::from_utf8(mine.to_record()).unwrap();
        assert!(text.contains(r#""cordoned":{"by":"ops"}"#), "{text}");
        let read = Instance::from_record("pay", b"1", text.as_bytes()).unwrap();
        assert_eq!(read, mine);
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        assert!(matches!(Instance::from_record("pay", b"1", b"x"), Err(RecordError::Json(_))));
        assert!(matches!(Instance::from_record("pay", b"1", br#"{"version":2}"#), Err(RecordError::Format(2))));
        let unspecified = br#"{"version":1,"endpoints":{"grpc":{"url":"http://0.0.0.0:1"}}}"#;
        assert!(matches!(Instance::from_record("pay", b"1", unspecified), Err(RecordError::Endpoint(_))));
    }

    #[test]
    fn a_status_of_a_newer_sdk_is_unknown_and_not_up() {
        let read = Instance::from_record("pay", b"1", br#"{"version":1,"status":"napping"}"#).unwrap();
        assert_eq!(read.status(), Status::Unknown);
    }
}
