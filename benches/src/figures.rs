//! The arithmetic: figures of a run, ratios of a pair, medians and spread of several.

use std::time::Duration;

use serde::Serialize;

use crate::generator::Measured;
use crate::usage::Usage;

/// What one run of one server gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Operations done.
    pub operations: u64,
    /// Over how many seconds.
    pub seconds: f64,
    /// Operations a second.
    pub per_second: f64,
    /// Latency in milliseconds: median.
    pub p50_ms: f64,
    /// 99 in 100 took at most this.
    pub p99_ms: f64,
    /// 999 in 1,000 took at most this.
    pub p999_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// What the generator itself spent for an operation, in microseconds.
    pub generator_cpu_us: f64,
    /// What the server spent; none when it runs elsewhere.
    pub server: Option<ServerFigures>,
}

/// What the operations cost the server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerFigures {
    /// User and system time for an operation, in microseconds.
    pub cpu_us: f64,
    /// Resident memory at the end, in bytes.
    pub resident_bytes: u64,
    /// The most it ever had, in bytes; of several processes, the sum of what each had at its most.
    pub peak_bytes: u64,
    /// The same of each process when there are several, the first leader's first; all above are sums then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<ServerFigures>,
}

impl ServerFigures {
    /// Of processes, each before and after so many operations; none without processes.
    fn new(looks: &[(Usage, Usage)], operations: u64) -> Option<Self> {
        let of = |(before, after): &(Usage, Usage)| Self {
            cpu_us: each(after.cpu.saturating_sub(before.cpu), operations),
            resident_bytes: after.resident_bytes,
            peak_bytes: after.peak_bytes,
            members: Vec::new(),
        };
        let members: Vec<Self> = looks.iter().map(of).collect();
        match members.as_slice() {
            [] => None,
            [alone] => Some(alone.clone()),
            several => Some(Self {
                cpu_us: several.iter().map(|member| member.cpu_us).sum(),
                resident_bytes: several.iter().map(|member| member.resident_bytes).sum(),
                peak_bytes: several.iter().map(|member| member.peak_bytes).sum(),
                members,
            }),
        }
    }
}

/// Microseconds for one of so many operations.
fn each(cpu: Duration, operations: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / operations.max(1) as f64
}

impl Figures {
    /// From what was measured, the generator's CPU time meanwhile, and the server's processes before and after;
    /// none where these run elsewhere.
    #[must_use]
    pub fn new(measured: &Measured, generator_cpu: Duration, servers: &[(Usage, Usage)]) -> Self {
        let operations = measured.operations;
        let at = |quantile: f64| measured.latency.value_at_quantile(quantile) as f64 / 1e6;
        let seconds = measured.elapsed.as_secs_f64();
        Self {
            operations,
            seconds,
            per_second: operations as f64 / seconds.max(1e-9),
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: measured.latency.max() as f64 / 1e6,
            generator_cpu_us: each(generator_cpu, operations),
            server: ServerFigures::new(servers, operations),
        }
    }
}

/// The server's figures over the peer's, from runs right after each other.
#[derive(Debug, Clone, Serialize)]
pub struct Ratios {
    /// Operations a second: above 1 is better.
    pub per_second: Spread,
    /// Latencies: below 1 is better.
    pub p50: Spread,
    /// As `p50`.
    pub p99: Spread,
    /// Server CPU for an operation: below 1 is better.
    pub cpu: Spread,
    /// Resident memory at the end: below 1 is better.
    pub resident: Spread,
}

impl Ratios {
    /// None without pairs, or when a pair lacks the servers' own figures.
    #[must_use]
    pub fn new(pairs: &[(Figures, Figures)]) -> Option<Self> {
        let servers = pairs.iter().map(|(a, b)| Some((a.server.clone()?, b.server.clone()?)));
        let servers: Vec<(ServerFigures, ServerFigures)> = servers.collect::<Option<_>>()?;
        let of = |figure: fn(&Figures) -> f64| {
            Spread::new(pairs.iter().map(|(server, peer)| ratio(figure(server), figure(peer))))
        };
        let of_server = |figure: fn(&ServerFigures) -> f64| {
            Spread::new(servers.iter().map(|(server, peer)| ratio(figure(server), figure(peer))))
        };
        Some(Self {
            per_second: of(|figures| figures.per_second)?,
            p50: of(|figures| figures.p50_ms)?,
            p99: of(|figures| figures.p99_ms)?,
            cpu: of_server(|figures| figures.cpu_us)?,
            resident: of_server(|figures| figures.resident_bytes as f64)?,
        })
    }
}

/// The median of several values, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The middle one; the mean of the middle two of an even number.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// None without values.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
        Some(Self { median, min, max })
    }
}

impl std::fmt::Display for Spread {
    /// The median, with the least and the greatest if there were different ones.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { median, min, max } = *self;
        if min.total_cmp(&max).is_eq() {
            return f.pad(&number(median));
        }
        f.pad(&format!("{} ({} to {})", number(median), number(min), number(max)))
    }
}

/// Three digits that count, and whole numbers in full.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// Not a number where there is nothing to compare with.
fn ratio(server: f64, peer: f64) -> f64 {
    if peer == 0.0 { f64::NAN } else { server / peer }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder;

    fn figures(per_second: f64, cpu_us: f64) -> Figures {
        let server = Some(ServerFigures { cpu_us, resident_bytes: 100, peak_bytes: 200, members: Vec::new() });
        let (p50_ms, p99_ms, p999_ms, max_ms) = (1.0, 2.0, 3.0, 4.0);
        let (operations, seconds, generator_cpu_us) = (10, 1.0, 5.0);
        Figures { operations, seconds, per_second, p50_ms, p99_ms, p999_ms, max_ms, generator_cpu_us, server }
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        let spread = |values: &[f64]| Spread::new(values.iter().copied());
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn numbers_keep_three_digits_and_spreads_their_ends() {
        assert_eq!([1e7, 123.4, 12.34, 1.234, 0.1234].map(number), ["10000000", "123", "12.3", "1.23", "0.123"]);
        assert_eq!(Spread { median: 2.0, min: 1.5, max: 4.0 }.to_string(), "2 (1.50 to 4)");
    }

    #[test]
    fn ratios_are_made_pair_by_pair_before_the_median_is_taken() {
        // The machine slows down by half in the second pair; the ratios do not notice.
        let pairs = [
            (figures(300.0, 10.0), figures(100.0, 40.0)),
            (figures(150.0, 20.0), figures(50.0, 80.0)),
            (figures(200.0, 10.0), figures(100.0, 50.0)),
        ];
        let ratios = Ratios::new(&pairs).unwrap();
        assert_eq!(ratios.per_second, Spread { median: 3.0, min: 2.0, max: 3.0 });
        assert_eq!(ratios.cpu, Spread { median: 0.25, min: 0.2, max: 0.25 });
        assert!(Ratios::new(&[]).is_none());
    }

    #[test]
    fn cpu_is_counted_between_two_looks_and_divided_by_the_operations() {
        let mut latency = recorder::empty();
        latency.record_n(2_000_000, 1_000).unwrap();
        let measured = Measured { operations: 1_000, elapsed: Duration::from_millis(500), latency };
        let look = |ms| Usage { cpu: Duration::from_millis(ms), resident_bytes: 5, peak_bytes: 6 };
        let figures = Figures::new(&measured, Duration::from_millis(10), &[(look(100), look(150))]);
        assert!((figures.per_second - 2_000.0).abs() < 1e-6);
        assert!((figures.generator_cpu_us - 10.0).abs() < 1e-6);
        assert!((figures.server.unwrap().cpu_us - 50.0).abs() < 1e-6);
        assert!((figures.p50_ms - 2.0).abs() < 0.01);
    }

    #[test]
    fn several_processes_are_added_up_and_kept_apart() {
        let look = |ms, bytes| Usage { cpu: Duration::from_millis(ms), resident_bytes: bytes, peak_bytes: 2 * bytes };
        let looks = [(look(100, 1), look(150, 5)), (look(0, 1), look(30, 6)), (look(7, 1), look(7, 7))];
        let server = ServerFigures::new(&looks, 1_000).unwrap();
        assert!((server.cpu_us - 80.0).abs() < 1e-6);
        assert_eq!((server.resident_bytes, server.peak_bytes), (18, 36));
        assert_eq!(server.members.iter().map(|member| member.resident_bytes).collect::<Vec<_>>(), [5, 6, 7]);
        assert!(ServerFigures::new(&looks[..1], 1_000).unwrap().members.is_empty());
        assert_eq!(ServerFigures::new(&[], 1_000), None);
    }
}
