//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write as _};

use crate::types::{Durations, Histogram};

/// The `Content-Type` of [`Exposition::finish`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What kind of figure a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

/// Families of figures, being written. Each name is to be given once.
#[derive(Debug, Default)]
pub struct Exposition(String);

/// One family, being written.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Exposition {
    /// A counter without labels.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(Kind::Counter, name, help).sample(&[], value);
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(Kind::Gauge, name, help).sample(&[], value);
    }

    /// A gauge that is 1 and tells something by a label.
    pub fn info(&mut self, name: &str, help: &str, label: (&str, &str)) {
        self.family(Kind::Gauge, name, help).sample(&[label], 1);
    }

    /// A histogram of seconds.
    pub fn durations(&mut self, name: &str, help: &str, durations: &Durations) {
        self.family(Kind::Histogram, name, help);
        let (counts, total) = durations.cumulated();
        let bucket = format!("{name}_bucket");
        let mut family = Family { text: &mut self.0, name: &bucket };
        for (bound, count) in Durations::bounds().zip(counts) {
            family.sample(&[("le", &bound.as_secs_f64().to_string())], count);
        }
        family.sample(&[("le", "+Inf")], total);
        Family { text: &mut self.0, name: &format!("{name}_sum") }.sample(&[], durations.sum().as_secs_f64());
        Family { text: &mut self.0, name: &format!("{name}_count") }.sample(&[], total);
    }

    /// A histogram of seconds for each of some labels.
    pub fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        histograms: impl IntoIterator<Item = (&'a [(&'a str, &'a str)], &'a Histogram)>,
    ) {
        self.family(Kind::Histogram, name, help);
        for (labels, histogram) in histograms {
            let mut add = |suffix: &str, le: Option<&str>, value: &dyn Display| {
                let labels: Vec<_> = labels.iter().copied().chain(le.map(|bound| ("le", bound))).collect();
                Family { text: &mut self.0, name: &format!("{name}_{suffix}") }.sample(&labels, value);
            };
            for (bound, count) in histogram.cumulated() {
                add("bucket", Some(&bound.as_secs_f64().to_string()), &count);
            }
            add("bucket", Some("+Inf"), &histogram.count());
            add("sum", None, &histogram.sum().as_secs_f64());
            add("count", None, &histogram.count());
        }
    }

    /// A family whose samples follow.
    pub fn family<'a>(&'a mut self, kind: Kind, name: &'a str, help: &str) -> Family<'a> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("writing to a string cannot fail");
        Family { text: &mut self.0, name }
    }

    /// All of it.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// One figure, with its labels.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        for (at, (label, text)) in labels.iter().enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            write!(self.text, "{label}=\"{text}\"").expect("writing to a string cannot fail");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        writeln!(self.text, " {value}").expect("writing to a string cannot fail");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_family_is_help_type_and_samples() {
        let mut text = Exposition::default();
        text.counter("a_total", "Help\nof \\ a.", 7);
        text.family(Kind::Gauge, "b", "B.").sample(&[("x", "\"1\\\n"), ("y", "2")], 0.5);
        let expected = "# HELP a_total Help\\nof \\\\ a.\n# TYPE a_total counter\na_total 7\n\
                        # HELP b B.\n# TYPE b gauge\nb{x=\"\\\"1\\\\\\n\",y=\"2\"} 0.5\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn a_histogram_ends_with_all_its_sum_and_its_count() {
        let durations = Durations::default();
        durations.observe(Duration::from_micros(1500));
        durations.observe(Duration::from_secs(10));
        let mut text = Exposition::default();
        text.durations("d_seconds", "D.", &durations);
        let text = text.finish();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "# TYPE d_seconds histogram");
        assert_eq!(lines[2..4], ["d_seconds_bucket{le=\"0.001\"} 0", "d_seconds_bucket{le=\"0.002\"} 1"]);
        let end = ["d_seconds_bucket{le=\"+Inf\"} 2", "d_seconds_sum 10.0015", "d_seconds_count 2"];
        assert_eq!(lines[lines.len() - 3..], end);
    }
}
