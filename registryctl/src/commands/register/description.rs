//! What is registered: an instance, from the flags.

use std::net::{Ipv4Addr, SocketAddr};

use clap::Args as ClapArgs;
use registry_client::instance::DEFAULT_WEIGHT;
use registry_client::{Advertise, Error, Instance, InstanceBuilder, Registry};

use crate::error::CtlError;
use crate::sdk;

/// The flags that say what others find.
#[derive(Debug, ClapArgs)]
pub(super) struct Description {
    /// Where it listens.
    #[arg(long, required_unless_present = "endpoint")]
    port: Option<u16>,
    /// The name or address at which others reach it; unless given what `POD_IP` says, or the address of the interface that
    /// leads to the registry.
    #[arg(long, requires = "port", value_name = "HOST")]
    address: Option<String>,
    /// What is spoken there, and what the endpoint is called.
    #[arg(long, requires = "port", default_value = "http")]
    scheme: String,
    /// An endpoint with a name of its own, besides or instead of the one at --port; as often as wanted.
    #[arg(long, value_name = "NAME=URL", value_parser = pair)]
    endpoint: Vec<(String, String)>,
    /// What tells this instance from others of the service; random unless given.
    #[arg(long)]
    id: Option<String>,
    /// The failure domain in which it runs.
    #[arg(long)]
    zone: Option<String>,
    /// Its share of the requests, relative to the others.
    #[arg(long, default_value_t = DEFAULT_WEIGHT)]
    weight: u32,
    /// A word to select by; as often as wanted.
    #[arg(long)]
    tag: Vec<String>,
    /// What else there is to say; as often as wanted.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// The program's version.
    #[arg(id = "app-version", long = "version", value_name = "VERSION")]
    version: Option<String>,
}

/// `key=value`.
fn pair(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = parts.ok_or_else(|| format!("{text:?} is not of the form key=value"))?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Description {
    /// The instance; its way to the registry may tell its address.
    pub(super) async fn instance(&self, service: &str, registry: &Registry) -> Result<Instance, CtlError> {
        let mut builder = Instance::builder(service).weight(self.weight);
        if let Some(port) = self.port {
            builder = self.at_port(builder, port, registry).await?;
        }
        for (name, url) in &self.endpoint {
            builder = builder.endpoint(name, url.as_str());
        }
        if let Some(id) = &self.id {
            builder = builder.id(id);
        }
        if let Some(zone) = &self.zone {
            builder = builder.zone(zone);
        }
        if let Some(version) = &self.version {
            builder = builder.version(version);
        }
        builder = self.tag.iter().fold(builder, InstanceBuilder::tag);
        builder = self.metadata.iter().fold(builder, |builder, (key, value)| builder.metadata(key, value));
        builder.build().map_err(|error| sdk::failed(Error::from(error)))
    }

    async fn at_port(
        &self,
        builder: InstanceBuilder,
        port: u16,
        registry: &Registry,
    ) -> Result<InstanceBuilder, CtlError> {
        let advertise = self.address.as_ref().map_or_else(Advertise::auto, Advertise::host);
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let endpoint = advertise.endpoint_of(registry, everywhere, &self.scheme).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            CtlError::Arguments(format!("{error}{cause}: give --address and --port as others reach it"))
        })?;
        Ok(builder.endpoint(&self.scheme, endpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_a_key() {
        assert_eq!(pair("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(pair("a="), Ok(("a".to_owned(), String::new())));
        assert!(pair("=b").is_err() && pair("ab").unwrap_err().contains("\"ab\""));
    }
}
