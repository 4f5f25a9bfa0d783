//! Which endpoints answer so much worse than the others that they get no requests for a while.
//!
//! The algorithms are those of gRPC's proposal A50, which are Envoy's: at each interval an endpoint is compared
//! with the mean of all (success rate), or with a fixed limit (failure percentage). What a failure is, says the
//! balancer: an answer for which the endpoint is to blame, not the request. Pure: time and chance are passed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::load::Counts;

/// When endpoints are ejected, and for how long. The defaults are those of gRPC's proposal A50.
///
/// ```
/// use std::time::Duration;
/// use tower_discovery::{FailurePercentage, OutlierEjection};
///
/// let ejection = OutlierEjection {
///     interval: Duration::from_secs(5),
///     failure_percentage: Some(FailurePercentage { threshold: 50, ..FailurePercentage::default() }),
///     ..OutlierEjection::default()
/// };
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OutlierEjection {
    /// The time between two judgements; 10 s, at least 1 ms.
    pub interval: Duration,
    /// The first ejection lasts this long, the n-th in a row n times as long; 30 s. Every interval without an ejection makes
    /// n smaller by one.
    pub base_ejection_time: Duration,
    /// No ejection is longer, unless the base is; 300 s.
    pub max_ejection_time: Duration,
    /// While this percentage of the endpoints is ejected, no further one is; 10. So one of few can always be.
    pub max_ejection_percent: u8,
    /// Ejects endpoints whose success rate is far below the mean of all; on.
    pub success_rate: Option<SuccessRate>,
    /// Ejects endpoints that fail more than a fixed part of their requests; on.
    pub failure_percentage: Option<FailurePercentage>,
}

/// Ejection of endpoints whose success rate is lower than mean - factor × standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SuccessRate {
    /// The factor; 1.9.
    pub stdev_factor: f64,
    /// The percentage of outliers that is ejected, by lot; 100.
    pub enforcement: u8,
    /// With fewer endpoints that have enough requests nobody is judged; 5.
    pub minimum_hosts: usize,
    /// So many requests in the interval are enough; 100.
    pub request_volume: u32,
}

/// Ejection of endpoints that fail more than a part of their requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailurePercentage {
    /// The percentage of failures that is endured; 85.
    pub threshold: u8,
    /// The percentage of outliers that is ejected, by lot; 100.
    pub enforcement: u8,
    /// With fewer endpoints that have enough requests nobody is judged; 5.
    pub minimum_hosts: usize,
    /// So many requests in the interval are enough; 50.
    pub request_volume: u32,
}

impl Default for OutlierEjection {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejection_percent: 10,
            success_rate: Some(SuccessRate::default()),
            failure_percentage: Some(FailurePercentage::default()),
        }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self { stdev_factor: 1.9, enforcement: 100, minimum_hosts: 5, request_volume: 100 }
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self { threshold: 85, enforcement: 100, minimum_hosts: 5, request_volume: 50 }
    }
}

/// What is held against one endpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct Record {
    /// Outcomes of the interval.
    pub(crate) counts: Counts,
    ejected_at: Option<Instant>,
    /// Ejections in a row.
    multiplier: u32,
}

impl Record {
    pub(crate) fn is_ejected(&self) -> bool {
        self.ejected_at.is_some()
    }

    /// The judgement at that time ejected it.
    pub(crate) fn was_ejected_at(&self, time: Instant) -> bool {
        self.ejected_at == Some(time)
    }

    fn success_rate(&self) -> f64 {
        f64::from(self.counts.succeeded) / f64::from(self.counts.total().max(1))
    }

    fn eject(&mut self, now: Instant) {
        self.ejected_at = Some(now);
        self.multiplier += 1;
    }
}

impl OutlierEjection {
    /// Ends an interval: ejects, and takes back those whose time is over. `random` draws from 0 to 99.
    pub(crate) fn judge(&self, records: &mut [&mut Record], now: Instant, mut random: impl FnMut() -> u8) {
        if let Some(rule) = self.success_rate {
            self.judge_success_rates(rule, records, now, &mut random);
        }
        if let Some(rule) = self.failure_percentage {
            self.judge_failures(rule, records, now, &mut random);
        }
        for record in records {
            record.counts = Counts::default();
            match record.ejected_at {
                None => record.multiplier = record.multiplier.saturating_sub(1),
                Some(at) if now.saturating_duration_since(at) >= self.sentence(record.multiplier) => {
                    record.ejected_at = None;
                }
                Some(_) => {}
            }
        }
    }

    fn sentence(&self, multiplier: u32) -> Duration {
        let longest = self.max_ejection_time.max(self.base_ejection_time);
        self.base_ejection_time.saturating_mul(multiplier).min(longest)
    }

    fn has_room(&self, records: &[&mut Record]) -> bool {
        let ejected = records.iter().filter(|record| record.is_ejected()).count();
        ejected * 100 < records.len() * usize::from(self.max_ejection_percent)
    }

    fn judge_success_rates(
        &self,
        rule: SuccessRate,
        records: &mut [&mut Record],
        now: Instant,
        random: &mut impl FnMut() -> u8,
    ) {
        let has_volume = |record: &Record| record.counts.total() >= rule.request_volume.max(1);
        let rates: Vec<_> = records.iter().filter(|it| has_volume(it)).map(|it| it.success_rate()).collect();
        if rates.len() < rule.minimum_hosts.max(1) {
            return;
        }
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / rates.len() as f64;
        let limit = mean - rule.stdev_factor * variance.sqrt();
        for index in 0..records.len() {
            if !self.has_room(records) {
                return;
            }
            let record = &mut records[index];
            let is_outlier = !record.is_ejected() && has_volume(record) && record.success_rate() < limit;
            if is_outlier && random() < rule.enforcement {
                record.eject(now);
            }
        }
    }

    fn judge_failures(
        &self,
        rule: FailurePercentage,
        records: &mut [&mut Record],
        now: Instant,
        random: &mut impl FnMut() -> u8,
    ) {
        let has_volume = |record: &Record| record.counts.total() >= rule.request_volume.max(1);
        if records.iter().filter(|record| has_volume(record)).count() < rule.minimum_hosts.max(1) {
            return;
        }
        for index in 0..records.len() {
            if !self.has_room(records) {
                return;
            }
            let record = &mut records[index];
            let failed = (1.0 - record.success_rate()) * 100.0;
            let is_outlier = !record.is_ejected() && has_volume(record) && failed > f64::from(rule.threshold);
            if is_outlier && random() < rule.enforcement {
                record.eject(now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
