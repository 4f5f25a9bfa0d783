//! What a row of the comparison measures: names and units.

use serde::Serialize;

/// One quantity, of one server in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Operations a second.
    Throughput,
    /// Median latency.
    P50,
    /// 99 in 100 took at most this.
    P99,
    /// User and system time of all server processes for an operation.
    Cpu,
    /// Resident memory of all server processes at the end.
    Resident,
    /// What the generator itself spent for an operation.
    GeneratorCpu,
}

impl Measure {
    /// As tables call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Cpu => "server CPU an operation",
            Self::Resident => "RSS at the end",
            Self::GeneratorCpu => "generator CPU an operation",
        }
    }

    /// The unit of its values; empty for a pure number.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Throughput => "op/s",
            Self::P50 | Self::P99 => "ms",
            Self::Cpu | Self::GeneratorCpu => "µs",
            Self::Resident => "MiB",
        }
    }
}
