//! The ratios against the goals as an SVG: a logarithmic axis, one line for each goal. Pure.
//!
//! A line from the least to the greatest ratio, a mark at the median, a bar where the goal is, with an arrow to where it is met.
//! What is met is a full dot and what is not an open diamond, so that nothing hangs on colours; these follow the reader's
//! choice of light or dark.

use std::fmt::Write as _;

use super::Comparison;
use super::result::{Line, Outcome};
use crate::figures::Spread;

const WIDTH: f64 = 1_000.0;
const PLOT_LEFT: f64 = 330.0;
const PLOT_RIGHT: f64 = 790.0;
const TOP: f64 = 74.0;
const LINE: f64 = 22.0;
const BOTTOM: f64 = 34.0;
/// Ratios beyond these are drawn at the edge.
const DECADES: (i32, i32) = (-4, 4);

const STYLE: &str = "\
:root { --ground: #ffffff; --text: #1f2328; --faint: #d0d7de; --met: #1a7f37; --unmet: #cf222e; --goal: #57606a; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #0d1117; --text: #e6edf3; --faint: #30363d; --met: #3fb950; --unmet: #ff7b72; --goal: #9198a1; }
}
svg { background: var(--ground); }
text { fill: var(--text); font: 13px system-ui, sans-serif; }
.title { font-size: 16px; font-weight: 600; }
.row { font-weight: 600; }
.axis { stroke: var(--faint); }
.even { stroke: var(--goal); stroke-dasharray: 3 3; }
.goal { stroke: var(--goal); stroke-width: 2; fill: none; }
.met { stroke: var(--met); fill: var(--met); stroke-width: 2; }
.unmet { stroke: var(--unmet); fill: var(--ground); stroke-width: 2; }";

/// What is drawn in one line: the value that the goal is held against.
struct Mark<'a> {
    line: &'a Line,
    value: Spread,
}

/// The chart of all goals whose rows have figures.
#[must_use]
pub fn svg(comparison: &Comparison) -> String {
    let rows: Vec<(&Outcome, Vec<Mark<'_>>)> = comparison.rows.iter().map(|row| (row, marks(row))).collect();
    let axis = Axis::around(rows.iter().flat_map(|(_, marks)| marks));
    let lines: usize = rows.iter().map(|(_, marks)| marks.len() + 1).sum();
    let height = TOP + lines as f64 * LINE + BOTTOM;
    let mut svg = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>{}</title>\n\
         <style>\n{STYLE}\n</style>",
        escaped(&title(comparison))
    );
    let _ = writeln!(svg, "<text class=\"title\" x=\"16\" y=\"28\">{}</text>", escaped(&title(comparison)));
    let legend =
        "dot: the median meets the goal; diamond: it does not; line: least to greatest; bar and arrow: the goal";
    let _ = writeln!(svg, "<text x=\"16\" y=\"48\">{legend}</text>");
    axis.draw(&mut svg, height - BOTTOM);
    let mut y = TOP + LINE / 2.0;
    for (row, marks) in &rows {
        let heading = format!("{}: {}", row.row.name(), row.title);
        let failed = if row.error.is_some() { " (no figures)" } else { "" };
        let _ = writeln!(svg, "<text class=\"row\" x=\"16\" y=\"{:.1}\">{}{failed}</text>", y + 4.0, escaped(&heading));
        y += LINE;
        for mark in marks {
            mark.draw(&mut svg, &axis, y);
            y += LINE;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn title(comparison: &Comparison) -> String {
    let (nodes, pairs) = (comparison.plan.nodes, comparison.plan.pairs);
    let nodes = if nodes == 1 { "one node".to_owned() } else { format!("{nodes} nodes") };
    format!("{} \u{f7} {}, {nodes}, {pairs} pairs", comparison.programs[0], comparison.programs[1])
}

/// The lines that have a goal and a value above 0, without which there is no logarithm.
fn marks(row: &Outcome) -> Vec<Mark<'_>> {
    let mark = |line| {
        let value = drawn(line)?;
        [value.min, value.median, value.max]
            .iter()
            .all(|of| of.is_finite() && *of > 0.0)
            .then_some(Mark { line, value })
    };
    row.lines.iter().filter_map(mark).collect()
}

fn drawn(line: &Line) -> Option<Spread> {
    match line.goal?.bound {
        super::Bound::OwnAtMost(_) => line.values.first().copied(),
        super::Bound::RatioAtMost(_) | super::Bound::RatioAtLeast(_) => line.ratio,
    }
}

impl Mark<'_> {
    fn draw(&self, svg: &mut String, axis: &Axis, y: f64) {
        let (Some(goal), text) = (self.line.goal, y + 4.0) else { return };
        let (limit, less_is_better) = goal.bound.limit();
        let (class, at) = (if self.line.met == Some(true) { "met" } else { "unmet" }, axis.at(limit));
        let [min, median, max] = [self.value.min, self.value.median, self.value.max].map(|value| axis.at(value));
        let tip = if less_is_better { at - 7.0 } else { at + 7.0 };
        let own = if matches!(goal.bound, super::Bound::OwnAtMost(_)) { ", own" } else { "" };
        let _ = writeln!(svg, "<text x=\"32\" y=\"{text:.1}\">{}{own}</text>", escaped(self.line.measure.name()));
        let _ = writeln!(
            svg,
            "<path class=\"goal\" d=\"M{at:.1} {:.1}V{:.1}M{at:.1} {y:.1}H{tip:.1}\"/>",
            y - 8.0,
            y + 8.0
        );
        let _ = writeln!(svg, "<line class=\"{class}\" x1=\"{min:.1}\" x2=\"{max:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
        let _ = if self.line.met == Some(true) {
            writeln!(svg, "<circle class=\"met\" cx=\"{median:.1}\" cy=\"{y:.1}\" r=\"5\"/>")
        } else {
            writeln!(svg, "<path class=\"unmet\" d=\"M{median:.1} {:.1}l6 6l-6 6l-6 -6z\"/>", y - 6.0)
        };
        let verdict = format!("{} (goal {})", self.value, goal.bound);
        let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{text:.1}\">{}</text>", PLOT_RIGHT + 14.0, escaped(&verdict));
    }
}

/// A logarithmic axis over whole decades.
struct Axis {
    from: i32,
    to: i32,
}

impl Axis {
    /// One that holds all marks and goals, and 1.
    fn around<'a>(marks: impl Iterator<Item = &'a Mark<'a>>) -> Self {
        let (mut from, mut to) = (-1.0_f64, 1.0_f64);
        for mark in marks {
            let goal = mark.line.goal.map_or(1.0, |goal| goal.bound.limit().0);
            for value in [mark.value.min, mark.value.max, goal] {
                (from, to) = (from.min(value.log10().floor()), to.max(value.log10().ceil()));
            }
        }
        Self { from: (from as i32).max(DECADES.0), to: (to as i32).min(DECADES.1) }
    }

    /// Where a value stands; one beyond the axis at its end.
    fn at(&self, value: f64) -> f64 {
        let part = (value.log10() - f64::from(self.from)) / f64::from(self.to - self.from);
        PLOT_LEFT + part.clamp(0.0, 1.0) * (PLOT_RIGHT - PLOT_LEFT)
    }

    fn draw(&self, svg: &mut String, bottom: f64) {
        for decade in self.from..=self.to {
            let value = 10_f64.powi(decade);
            let (x, class) = (self.at(value), if decade == 0 { "even" } else { "axis" });
            let _ =
                writeln!(svg, "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom:.1}\"/>");
            let label = bottom + 18.0;
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{label:.1}\" text-anchor=\"middle\">{value}</text>");
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::result::{lines, tests::sample};
    use super::super::{Plan, Row};
    use super::*;

    fn comparison(pairs: Vec<Vec<super::super::Sample>>) -> Comparison {
        let (row, nodes) = (Row::Put, 1);
        let lines = lines(row, nodes, &pairs);
        let outcome = Outcome { row, title: "put".to_owned(), nodes, seconds: 1.0, pairs, lines, error: None };
        let programs = vec!["a<b".to_owned(), "c&d".to_owned()];
        Comparison { plan: Plan::default(), programs, cores: 2, load_average: [None, None], rows: vec![outcome] }
    }

    #[test]
    fn the_axis_is_logarithmic_and_holds_what_lies_beyond_at_its_end() {
        let axis = Axis { from: -2, to: 2 };
        let middle = f64::midpoint(PLOT_LEFT, PLOT_RIGHT);
        assert!((axis.at(1.0) - middle).abs() < 1e-9);
        assert!((axis.at(10.0) - middle - (middle - axis.at(0.1))).abs() < 1e-9);
        assert!((axis.at(1e9) - PLOT_RIGHT).abs() < 1e-9 && (axis.at(1e-9) - PLOT_LEFT).abs() < 1e-9);
    }

    #[test]
    fn what_is_met_is_a_dot_and_what_is_not_a_diamond() {
        let svg = svg(&comparison(vec![vec![sample(300.0, 30.0), sample(100.0, 40.0)]]));
        assert_eq!(
            (svg.matches("<circle class=\"met\"").count(), svg.matches("<path class=\"unmet\"").count()),
            (1, 1)
        );
        assert_eq!(svg.matches("class=\"goal\"").count(), 2);
        assert!(svg.contains("3 (goal ≥ 2.5)") && svg.contains("0.750 (goal ≤ 1/4)"), "{svg}");
    }

    #[test]
    fn names_cannot_break_the_markup_and_every_element_is_closed() {
        let svg = svg(&comparison(vec![vec![sample(300.0, 0.0), sample(100.0, 40.0)]]));
        assert!(svg.contains("a&lt;b \u{f7} c&amp;d, one node, 5 pairs") && !svg.contains("a<b"), "{svg}");
        for name in ["svg", "style", "text", "title"] {
            let opened = svg.matches(&format!("<{name}>")).count() + svg.matches(&format!("<{name} ")).count();
            assert_eq!(opened, svg.matches(&format!("</{name}>")).count(), "{name}");
        }
        // A ratio of 0 has no place on the axis.
        assert_eq!(svg.matches("class=\"goal\"").count(), 1);
    }

    #[test]
    fn it_is_readable_in_light_and_in_dark() {
        let svg = svg(&comparison(Vec::new()));
        assert!(svg.contains("prefers-color-scheme: dark"));
        let colours = |part: &str| part.matches("--").count();
        let (light, dark) = STYLE.split_once("@media").unwrap();
        assert_eq!(colours(light), colours(dark.split_once("}\n}").unwrap().0));
    }
}
