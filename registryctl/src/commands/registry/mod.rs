//! What the registry's own commands have in common: where services stand among the keys, and how instances are told.
//!
//! `records` reads them, `lease_times` asks for what is left of leases.

pub(super) mod lease_times;
pub(super) mod records;

use std::time::Duration;

use clap::Args as ClapArgs;
use registry_client::{Error, Instance, Status};
use serde_json::{Map, Value, json};

use crate::error::CtlError;
use crate::sdk;

/// etcd's.
const LONGEST_TTL: Duration = Duration::from_secs(9_000_000_000);

/// Where services stand among the keys.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Namespace {
    /// What every key of the registry begins with, as in /prod.
    #[arg(long, default_value = "", value_name = "PREFIX", hide_default_value = true)]
    namespace: String,
}

impl Namespace {
    /// The prefix as it was given.
    pub(super) fn prefix(&self) -> &str {
        self.namespace.trim_end_matches('/')
    }

    /// The prefix of all services' keys.
    pub(super) fn services(&self) -> String {
        format!("{}/services/", self.prefix())
    }

    /// The prefix of one service's keys; it ends in a slash, so that `pay` has none of `payments`.
    pub(super) fn service(&self, service: &str) -> Result<String, CtlError> {
        let checked = Instance::builder(service).build();
        checked.map_err(|error| sdk::failed(Error::from(error)))?;
        Ok(format!("{}{service}/", self.services()))
    }
}

/// A time of whole seconds: a number of them, or as in 1m30s.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(text).map_err(|error| error.to_string()),
    }
}

/// A lease's time, within etcd's bounds.
pub(super) fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = seconds(text)?;
    if ttl < Duration::from_secs(1) || ttl > LONGEST_TTL {
        return Err(format!("a TTL of {text}: give one from 1 s to {} s", LONGEST_TTL.as_secs()));
    }
    Ok(ttl)
}

/// A status as records have it.
pub(super) fn name_of(status: Status) -> &'static str {
    match status {
        Status::Starting => "starting",
        Status::Up => "up",
        Status::Draining => "draining",
        Status::Down => "down",
        _ => "unknown",
    }
}

/// An instance as JSON, with what is not set left out.
pub(super) fn instance_json(instance: &Instance) -> Value {
    let endpoints: Map<_, _> =
        instance.endpoints().map(|(name, endpoint)| (name.to_owned(), endpoint.uri().into())).collect();
    let mut object = json!({
        "service": instance.service(),
        "id": instance.id(),
        "status": name_of(instance.status()),
        "endpoints": endpoints,
        "weight": instance.weight(),
    });
    for (name, value) in [("version", instance.version()), ("zone", instance.zone())] {
        if let Some(value) = value {
            object[name] = value.into();
        }
    }
    if !instance.tags().is_empty() {
        object["tags"] = instance.tags().iter().cloned().collect();
    }
    if !instance.metadata().is_empty() {
        object["metadata"] = instance.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    }
    object
}

/// `name=url name=url`; the name is left out where it is the scheme.
pub(super) fn addresses(instance: &Instance) -> String {
    let told = instance
        .endpoints()
        .map(|(name, endpoint)| if name == endpoint.scheme() { endpoint.uri() } else { format!("{name}={endpoint}") });
    told.collect::<Vec<_>>().join(" ")
}

/// `key=value key=value`.
pub(super) fn metadata(instance: &Instance) -> String {
    let told = instance.metadata().iter().map(|(key, value)| format!("{key}={value}"));
    told.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_seconds_or_says_its_unit() {
        assert_eq!(seconds("15"), Ok(Duration::from_secs(15)));
        assert_eq!(seconds("1m30s"), Ok(Duration::from_secs(90)));
        assert!(seconds("soon").is_err());
        assert_eq!(ttl("1"), Ok(Duration::from_secs(1)));
        for wrong in ["0", "500ms", "9000000001", ""] {
            assert!(ttl(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_service_has_none_of_anothers_keys() {
        let namespace = Namespace { namespace: "/prod/".to_owned() };
        assert_eq!(namespace.service("pay").unwrap(), "/prod/services/pay/");
        assert!(namespace.service("pay/ments").unwrap_err().to_string().contains("pay/ments"));
    }
}
