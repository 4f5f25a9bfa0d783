//! Nothing in the place of the series, without the feature `metrics`.

use registry_client::Discovered;

use super::Outcome;
use crate::balance::Standing;

#[derive(Debug, Clone)]
pub(crate) struct EndpointMeters;

#[derive(Debug)]
pub(crate) struct Metered;

#[derive(Debug)]
pub(crate) struct ChannelMeters;

impl EndpointMeters {
    pub(crate) fn of(_instance: &Discovered) -> Self {
        Self
    }

    pub(crate) fn tried_to_connect(&self, _is_connected: bool) {}

    pub(crate) fn ejected(&self) {}
}

impl Metered {
    pub(crate) fn start(_meters: &EndpointMeters) -> Self {
        Self
    }

    pub(crate) fn set(&mut self, _outcome: Outcome) {}
}

impl ChannelMeters {
    pub(crate) fn of(_service: &str) -> Self {
        Self
    }

    pub(crate) fn tell(&self, _standing: Standing, _ejected: usize) {}
}
