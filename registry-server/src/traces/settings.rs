//! Where spans go, in whose name, and how many.

/// Spans of so many calls are what a sampling rate counts.
const MILLION: i64 = 1_000_000;

/// The settings of traces, with etcd's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// The collector's host and port, which speaks OTLP over gRPC without TLS. Default: `localhost:4317`.
    pub address: String,
    /// The same for all members. Default: `etcd`.
    pub service_name: String,
    /// Another one for each member; none tells none. Default: none.
    pub instance_id: Option<String>,
    /// Of a million calls that nobody traces yet so many are sampled; a call of a trace is sampled if its caller is. From 0
    /// to 1,000,000. Default: 0.
    pub sampling_per_million: i64,
}

/// Settings with which nothing can be sent. The texts of the rate are etcd's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say what each means")]
pub enum TraceSettingsError {
    #[error(
        "--distributed-tracing-sampling-rate {rate}: tracing sampling rate must be positive; give from 0 to {MILLION}"
    )]
    Negative { rate: i64 },
    #[error(
        "--distributed-tracing-sampling-rate {rate}: tracing sampling rate must be less than {MILLION}; give from 0 to that"
    )]
    TooLarge { rate: i64 },
    #[error("--distributed-tracing-address {address:?} is not host:port; give the collector's, as localhost:4317")]
    Address { address: String },
}

impl Default for TraceSettings {
    fn default() -> Self {
        Self {
            address: "localhost:4317".to_owned(),
            service_name: "etcd".to_owned(),
            instance_id: None,
            sampling_per_million: 0,
        }
    }
}

impl TraceSettings {
    /// Checks that spans can be sent.
    ///
    /// # Errors
    /// What is wrong, with its flag and the mend.
    pub fn validate(&self) -> Result<(), TraceSettingsError> {
        let rate = self.sampling_per_million;
        if rate < 0 {
            return Err(TraceSettingsError::Negative { rate });
        }
        if rate > MILLION {
            return Err(TraceSettingsError::TooLarge { rate });
        }
        let authority = self.address.parse::<http::uri::Authority>().ok();
        let is_good = authority.is_some_and(|it| it.port_u16().is_some_and(|port| port > 0) && !it.host().is_empty());
        if is_good { Ok(()) } else { Err(TraceSettingsError::Address { address: self.address.clone() }) }
    }

    /// The part of all calls that is sampled.
    #[expect(clippy::cast_precision_loss, reason = "a number up to a million is exact")]
    pub(super) fn ratio(&self) -> f64 {
        self.sampling_per_million as f64 / MILLION as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_etcds_and_what_cannot_work_is_told_with_its_flag() {
        let settings = TraceSettings::default();
        settings.validate().unwrap();
        let rate = |rate| TraceSettings { sampling_per_million: rate, ..settings.clone() }.validate();
        assert_eq!([rate(0), rate(1_000_000)], [Ok(()), Ok(())]);
        assert!(rate(-1).unwrap_err().to_string().contains("tracing sampling rate must be positive"));
        assert!(rate(1_000_001).unwrap_err().to_string().contains("tracing sampling rate must be less than 1000000"));
        for address in ["", "localhost", "http://localhost:4317", "localhost:", ":4317", "a b:1", "localhost:0"] {
            let line = TraceSettings { address: address.to_owned(), ..settings.clone() }.validate().unwrap_err();
            assert!(line.to_string().contains("--distributed-tracing-address"), "{line}");
        }
        TraceSettings { address: "[::1]:4317".to_owned(), ..settings }.validate().unwrap();
    }
}
