//! What servers and the generator spend while something is measured.

use std::time::Duration;

use crate::BenchError;
use crate::figures::Figures;
use crate::generator::Measured;
use crate::process::ServerProcess;
use crate::usage::{self, Usage};

/// A look at all processes before a measurement.
#[derive(Debug)]
pub(crate) struct Cost {
    servers: Vec<Usage>,
    own: Duration,
}

impl Cost {
    /// Looks now; no servers where they run elsewhere.
    ///
    /// # Errors
    /// When a server has ended.
    pub(crate) fn look(servers: &[ServerProcess]) -> Result<Self, BenchError> {
        let servers = servers.iter().map(ServerProcess::usage).collect::<Result<_, _>>()?;
        let own = usage::of_process(std::process::id()).map_err(BenchError::system("the generator's own CPU time"))?;
        Ok(Self { servers, own: own.cpu })
    }

    /// The figures of what was measured since then on the same servers.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub(crate) fn figures(self, measured: &Measured, servers: &[ServerProcess]) -> Result<Figures, BenchError> {
        let after = Self::look(servers)?;
        let looks: Vec<_> = self.servers.into_iter().zip(after.servers).collect();
        Ok(Figures::new(measured, after.own.saturating_sub(self.own), &looks))
    }
}
