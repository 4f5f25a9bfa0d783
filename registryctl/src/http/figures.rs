//! Metrics in the text format of Prometheus, as far as they are asked for here.

use std::collections::BTreeMap;

/// What a server counts, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(BTreeMap<String, Vec<Sample>>);

#[derive(Debug, Clone)]
struct Sample {
    labels: Vec<(String, String)>,
    value: f64,
}

/// How many were at most so large.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Histogram {
    /// Upper bounds, and how many are not above; ascending.
    buckets: Vec<(f64, f64)>,
    count: f64,
}

impl Figures {
    /// Reads the text; lines that cannot be read are passed over.
    pub(crate) fn read(text: &str) -> Self {
        let mut figures = Self::default();
        for (name, sample) in text.lines().filter_map(line) {
            figures.0.entry(name).or_default().push(sample);
        }
        figures
    }

    /// The only, or first, value of that name.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        self.0.get(name)?.first().map(|sample| sample.value)
    }

    /// Values by a label's.
    pub(crate) fn by_label(&self, name: &str, label: &str) -> BTreeMap<&str, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.0.get(name).into_iter().flatten() {
            if let Some((_, value)) = sample.labels.iter().find(|(known, _)| known == label) {
                *sums.entry(value.as_str()).or_default() += sample.value;
            }
        }
        sums
    }

    /// The histogram of that name, without regard to labels.
    pub(crate) fn histogram(&self, name: &str) -> Option<Histogram> {
        let count = self.value(&format!("{name}_count"))?;
        let mut buckets: Vec<(f64, f64)> = Vec::new();
        for sample in self.0.get(&format!("{name}_bucket"))? {
            let (_, bound) = sample.labels.iter().find(|(label, _)| label == "le")?;
            buckets.push((bound.parse().ok()?, sample.value));
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        Some(Histogram { buckets, count })
    }
}

impl Histogram {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count as u64
    }

    /// What came after an earlier reading; all of it if the server was started in between.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        if earlier.count > self.count || earlier.buckets.len() != self.buckets.len() {
            return self.clone();
        }
        let buckets = self.buckets.iter().zip(&earlier.buckets).map(|(now, then)| (now.0, now.1 - then.1)).collect();
        Self { buckets, count: self.count - earlier.count }
    }

    /// The bound that so large a share is not above; infinite if that is the last one. None if there is nothing.
    pub(crate) fn bound_of(&self, share: f64) -> Option<f64> {
        if self.count <= 0.0 {
            return None;
        }
        let wanted = share * self.count;
        let bucket = self.buckets.iter().find(|(_, at_most)| *at_most >= wanted);
        Some(bucket.map_or(f64::INFINITY, |(bound, _)| *bound))
    }
}

/// A name with its labels and value; none for comments and what cannot be read.
fn line(text: &str) -> Option<(String, Sample)> {
    let text = text.trim();
    if text.starts_with('#') {
        return None;
    }
    let (head, labels, rest) = match text.split_once('{') {
        Some((head, rest)) => {
            let (labels, rest) = labels(rest)?;
            (head, labels, rest)
        }
        None => {
            let (head, rest) = text.split_once(' ')?;
            (head, Vec::new(), rest)
        }
    };
    // What may follow is a time stamp.
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((head.trim().to_owned(), Sample { labels, value }))
}

type Labels = Vec<(String, String)>;

/// What stands in braces, and what follows them.
fn labels(text: &str) -> Option<(Labels, &str)> {
    let mut labels = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, behind) = unquoted(quoted)?;
        labels.push((name.trim().to_owned(), value));
        rest = behind.trim_start().trim_start_matches(',').trim_start();
    }
}

/// Up to the quote that is not escaped, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    loop {
        match letters.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => match letters.next()?.1 {
                'n' => value.push('\n'),
                letter => value.push(letter),
            },
            (_, letter) => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP fsync how long
# TYPE fsync histogram
fsync_bucket{le="0.001"} 50
fsync_bucket{le="0.002"} 98
fsync_bucket{le="+Inf"} 100
fsync_sum 0.2
fsync_count 100
calls{code="OK",method="Put, \"quick\" \\ {}"} 7 1395066363000
calls{code="Unknown",method="Range"} 2
calls{code="OK",method="Range"} 3
up 1
broken{le="1
"#;

    #[test]
    fn values_labels_and_histograms_are_read() {
        let figures = Figures::read(TEXT);
        assert_eq!((figures.value("up"), figures.value("down")), (Some(1.0), None));
        let calls = figures.by_label("calls", "method");
        assert_eq!(calls, BTreeMap::from([("Put, \"quick\" \\ {}", 7.0), ("Range", 5.0)]));
        let fsync = figures.histogram("fsync").unwrap();
        assert_eq!((fsync.count(), fsync.bound_of(0.5), fsync.bound_of(0.98)), (100, Some(0.001), Some(0.002)));
        assert_eq!(fsync.bound_of(0.99), Some(f64::INFINITY));
    }

    #[test]
    fn a_window_is_what_came_in_it() {
        let then = Figures::read(TEXT).histogram("fsync").unwrap();
        let text = TEXT.replace(" 100", " 110").replace("\"} 98", "\"} 108");
        let now = Figures::read(&text).histogram("fsync").unwrap();
        let window = now.since(&then);
        assert_eq!((window.count(), window.bound_of(1.0)), (10, Some(0.002)));
        assert_eq!(then.since(&now), then, "the server was started anew");
        assert_eq!(Histogram::default().bound_of(0.5), None);
    }
}
