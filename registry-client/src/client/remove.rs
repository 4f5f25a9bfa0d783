//! An operator's calls: an instance is removed, and may come back.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Registry;
use super::terms::LONGEST_TTL;
use crate::channel::Channel;
use crate::error::Error;
use crate::instance::check_name;
use crate::registration::tombstone::{self, Ended, Removed};

/// Long enough for people to end the process, and short enough that tombstones do not pile up.
const DEFAULT_LASTING: Duration = Duration::from_secs(24 * 3600);

/// A removal that is to be; awaiting it removes. See [`Registry::remove`].
#[derive(Debug)]
#[must_use = "nothing is removed until it is awaited"]
pub struct Remove {
    registry: Registry,
    service: String,
    id: String,
    lasting: Duration,
    reason: Option<String>,
}

impl Remove {
    /// For how long the instance is kept away, in whole seconds; a day unless given. A process that is still there
    /// then comes back by itself.
    pub fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = lasting;
        self
    }

    /// Why, for whoever reads the tombstone.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    async fn remove(self) -> Result<bool, Error> {
        check_names(&self.service, &self.id)?;
        if self.lasting < Duration::from_secs(1) || self.lasting > LONGEST_TTL {
            let text = format!("a removal for {:?}: give a time from 1 s to 9,000,000,000 s", self.lasting);
            return Err(Error::Setting(text));
        }
        let keys = self.registry.keys(&self.service, &self.id);
        let Self { lasting, reason, .. } = self;
        self.registry.on_thread(|channel| tombstone::remove(channel, keys, lasting, reason)).await
    }
}

impl IntoFuture for Remove {
    type Output = Result<bool, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.remove())
    }
}

impl Registry {
    /// Removes an instance against its process's will: its key is deleted and a tombstone put in its place, in one
    /// txn. Awaiting it says whether the instance stood there.
    ///
    /// The process is told by its state ([`Error::Tombstone`]) and does not put its key again as long as the
    /// tombstone stands; its lease lives on without the key, as others may stand under it, until the process ends.
    /// A registration that begins under a tombstone fails. The tombstone stands under a lease of its own that ends
    /// by itself, after a day unless [`Remove::lasting`] says otherwise: ids are random, and nobody would clean up
    /// after them. Removing again begins the time anew.
    ///
    /// Unlike a registration it does not wait for a registry that is away. Dropping the future does not stop a
    /// removal that has begun.
    ///
    /// # Errors
    /// When a name cannot be one, the registry is away or refuses; then no tombstone stands, or it goes within its
    /// time, though the key may have been deleted and put again.
    ///
    /// ```no_run
    /// # async fn operate(registry: registry_client::Registry) -> Result<(), registry_client::Error> {
    /// use std::time::Duration;
    ///
    /// registry.remove("pay", "7f3a").lasting(Duration::from_secs(3600)).reason("disk is dying").await?;
    /// // The disk was replaced after all; the process is back within seconds.
    /// registry.restore("pay", "7f3a").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove(&self, service: impl Into<String>, id: impl Into<String>) -> Remove {
        let (service, id) = (service.into(), id.into());
        Remove { registry: self.clone(), service, id, lasting: DEFAULT_LASTING, reason: None }
    }

    /// Takes a tombstone away, whoever put it, and says whether there was one. A process that is still there
    /// registers again within 5 s.
    ///
    /// Dropping the future does not stop what has begun.
    ///
    /// # Errors
    /// When a name cannot be one, or the registry is away or refuses.
    pub async fn restore(&self, service: &str, id: &str) -> Result<bool, Error> {
        check_names(service, id)?;
        let keys = self.keys(service, id);
        self.on_thread(|channel| async { tombstone::restore(channel, keys).await.into() }).await
    }

    /// The instances of a service over which tombstones stand, by id.
    ///
    /// Dropping the future has no effect.
    ///
    /// # Errors
    /// When the name cannot be a service's, or the registry is away or refuses.
    pub async fn removed(&self, service: &str) -> Result<Vec<Removed>, Error> {
        check_name("service", service)?;
        let prefix = format!("{}/tombstones/{service}/", self.namespace());
        self.on_thread(|channel| async { tombstone::removed(channel, prefix).await.into() }).await
    }

    /// Has the SDK's thread do something to its end, whatever becomes of this future.
    async fn on_thread<T, F>(&self, call: impl FnOnce(Channel) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Ended<T>> + Send + 'static,
    {
        let channel = self.shared.workplace.tools.channel.clone();
        let calling = call(channel.clone());
        let (tell, told) = oneshot::channel();
        self.shared.workplace.spawn(async move {
            let Ended { answer, leftover } = calling.await;
            // Who does not wait any more is told nothing.
            drop(tell.send(answer));
            if let Some(lease) = leftover {
                tombstone::release(channel, lease).await;
            }
        });
        told.await.map_err(|_| Error::Closed)?
    }
}

fn check_names(service: &str, id: &str) -> Result<(), Error> {
    check_name("service", service)?;
    Ok(check_name("id", id)?)
}
