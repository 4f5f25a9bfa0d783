//! The judgements, interval by interval.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Endpoints with these failures among 100 requests each.
fn with_failures(failures: &[u32]) -> Vec<Record> {
    let counts = |&failed: &u32| Counts { succeeded: 100 - failed, failed };
    failures.iter().map(|failed| Record { counts: counts(failed), ..Record::default() }).collect()
}

fn judge(ejection: OutlierEjection, records: &mut [Record], now: Instant) -> Vec<usize> {
    ejection.judge(&mut records.iter_mut().collect::<Vec<_>>(), now, || 0);
    (0..records.len()).filter(|&index| records[index].is_ejected()).collect()
}

fn by_rate() -> OutlierEjection {
    OutlierEjection { failure_percentage: None, ..OutlierEjection::default() }
}

fn by_percentage() -> OutlierEjection {
    OutlierEjection { success_rate: None, ..OutlierEjection::default() }
}

#[test]
fn an_endpoint_far_below_the_mean_is_ejected() {
    let mut records = with_failures(&[0, 1, 0, 40, 2, 0]);
    assert_eq!(judge(by_rate(), &mut records, Instant::now()), [3]);
    let mut alike = with_failures(&[40; 6]);
    assert!(judge(by_rate(), &mut alike, Instant::now()).is_empty(), "all are as bad");
}

#[test]
fn an_endpoint_above_the_limit_of_failures_is_ejected() {
    let mut records = with_failures(&[0, 0, 86, 85, 0, 0]);
    assert_eq!(judge(by_percentage(), &mut records, Instant::now()), [2]);
}

#[test]
fn nobody_is_judged_with_few_hosts_or_few_requests() {
    assert!(judge(by_percentage(), &mut with_failures(&[100, 0, 0, 0]), Instant::now()).is_empty());
    let mut records = with_failures(&[0, 0, 0, 0, 0, 0]);
    records[0].counts = Counts { succeeded: 0, failed: 49 };
    assert!(judge(by_percentage(), &mut records, Instant::now()).is_empty());
    assert!(judge(by_rate(), &mut records, Instant::now()).is_empty());
}

#[test]
fn an_ejection_lasts_longer_each_time_and_good_intervals_are_counted() {
    let ejection = by_percentage();
    let start = Instant::now();
    let bad = [100, 0, 0, 0, 0, 0];
    let mut records = with_failures(&bad);
    assert_eq!(judge(ejection, &mut records, start), [0]);
    assert_eq!(judge(ejection, &mut records, start + SECOND * 29), [0]);
    assert!(judge(ejection, &mut records, start + SECOND * 30).is_empty());

    let again = start + SECOND * 40;
    records.iter_mut().zip(with_failures(&bad)).for_each(|(record, counted)| record.counts = counted.counts);
    assert_eq!(judge(ejection, &mut records, again), [0]);
    assert_eq!(judge(ejection, &mut records, again + SECOND * 59), [0], "the second time it is 60 s");
    assert!(judge(ejection, &mut records, again + SECOND * 60).is_empty());

    for interval in 0..3 {
        judge(ejection, &mut records, again + SECOND * (70 + interval));
    }
    records.iter_mut().zip(with_failures(&bad)).for_each(|(record, counted)| record.counts = counted.counts);
    let later = again + SECOND * 100;
    assert_eq!(judge(ejection, &mut records, later), [0]);
    assert!(judge(ejection, &mut records, later + SECOND * 30).is_empty(), "it is forgotten");
}

#[test]
fn no_ejection_is_longer_than_the_longest() {
    assert_eq!(by_rate().sentence(1000), SECOND * 300);
    let odd = OutlierEjection { base_ejection_time: SECOND * 400, ..by_rate() };
    assert_eq!(odd.sentence(3), SECOND * 400);
}

#[test]
fn enforcement_leaves_some_alone() {
    let rule = FailurePercentage { enforcement: 30, ..FailurePercentage::default() };
    let ejection = OutlierEjection { failure_percentage: Some(rule), ..by_percentage() };
    let mut records = with_failures(&[100, 0, 0, 0, 0, 0]);
    ejection.judge(&mut records.iter_mut().collect::<Vec<_>>(), Instant::now(), || 30);
    assert!(!records[0].is_ejected());
}

proptest! {
    #[test]
    fn not_more_than_the_percentage_and_one_are_ejected(failures in prop::collection::vec(0_u32..=100, 1..60), percent in 0_u8..=100) {
        let ejection = OutlierEjection { max_ejection_percent: percent, ..OutlierEjection::default() };
        let mut records = with_failures(&failures);
        let ejected = judge(ejection, &mut records, Instant::now()).len();
        prop_assert!(ejected * 100 < failures.len() * usize::from(percent) + 100);
        prop_assert!(percent > 0 || ejected == 0);
    }

    #[test]
    fn who_is_ejected_fails_more_than_the_mean(failures in prop::collection::vec(0_u32..=100, 5..60)) {
        let mut records = with_failures(&failures);
        let mean = failures.iter().sum::<u32>() as f64 / failures.len() as f64;
        for index in judge(by_rate(), &mut records, Instant::now()) {
            prop_assert!(f64::from(failures[index]) > mean);
        }
    }
}
