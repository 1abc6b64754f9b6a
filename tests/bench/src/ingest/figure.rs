//! One line of the table: what was measured, and what it was to be.

use serde_json::{Value, json};

/// A figure, with its target if it has one.
#[derive(Clone, Debug)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) measured: f64,
    pub(super) unit: &'static str,
}

/// What a figure is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// It only says what lies behind another figure.
    None,
}

impl Figure {
    /// A figure that is to be at most `target`.
    pub(super) fn at_most(name: impl Into<String>, target: f64, measured: f64, unit: &'static str) -> Self {
        Self { name: name.into(), target: Target::AtMost(target), measured, unit }
    }

    /// A figure that is to be at least `target`.
    pub(super) fn at_least(name: impl Into<String>, target: f64, measured: f64, unit: &'static str) -> Self {
        Self { name: name.into(), target: Target::AtLeast(target), measured, unit }
    }

    /// A figure without a target.
    pub(super) fn plain(name: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self { name: name.into(), target: Target::None, measured, unit }
    }

    /// Whether the target is reached; `None` without a target. What is no number reaches nothing.
    pub(super) fn reached(&self) -> Option<bool> {
        match self.target {
            Target::AtMost(most) => Some(self.measured <= most),
            Target::AtLeast(least) => Some(self.measured >= least),
            Target::None => None,
        }
    }

    pub(super) fn line(&self) -> String {
        let [name, target, measured, reached] = self.cells();
        format!("{name}: {measured} (target {target}, {reached})")
    }

    pub(super) fn json(&self) -> Value {
        let (at_most, at_least) = match self.target {
            Target::AtMost(most) => (Some(most), None),
            Target::AtLeast(least) => (None, Some(least)),
            Target::None => (None, None),
        };
        json!({ "figure": self.name, "at_most": at_most, "at_least": at_least, "measured": self.measured, "unit": self.unit,
            "reached": self.reached() })
    }

    fn cells(&self) -> [String; 4] {
        let target = match self.target {
            Target::AtMost(most) => format!("≤ {}", number(most)),
            Target::AtLeast(least) => format!("≥ {}", number(least)),
            Target::None => "-".to_owned(),
        };
        let reached = match self.reached() {
            Some(true) => "reached",
            Some(false) => "MISSED",
            None => "-",
        };
        [self.name.clone(), target, format!("{} {}", number(self.measured), self.unit).trim_end().to_owned(), reached.to_owned()]
    }
}

/// The table, line by line.
pub(super) fn table(figures: &[Figure]) -> Vec<String> {
    let head = ["figure", "target", "measured", "reached"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(figures.iter().map(Figure::cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 4] = std::array::from_fn(width);
    let line = |row: &[String; 4]| {
        let [w0, w1, w2, _] = widths;
        format!("{:<w0$} | {:<w1$} | {:>w2$} | {}", row[0], row[1], row[2], row[3])
    };
    rows.iter().map(line).collect()
}

/// The value below which a share of `values` lies; not a number if there are none.
pub(super) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// The middle of `values`; not a number if there are none.
pub(super) fn median(values: &[f64]) -> f64 {
    if values.is_empty() { f64::NAN } else { tickwire_load::median(values.to_vec()) }
}

/// As people write it: thousands in groups, and three digits that mean something.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if whole.len() <= 4 || !value.is_finite() {
        return if fraction.chars().all(|digit| digit == '0') { whole.to_owned() } else { text };
    }
    let groups: Vec<&str> = whole.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_held_against_its_target() {
        let figures = [
            Figure::at_most("cost", 1.5, 1.504, "×"),
            Figure::at_least("speed", 500_000.0, 1_234_567.8, "updates/s"),
            Figure::plain("said", 12.34, "ms"),
            Figure::at_most("nothing", 1.0, f64::NAN, "s"),
        ];
        assert_eq!(
            table(&figures),
            [
                "figure  | target    |            measured | reached",
                "cost    | ≤ 1.50    |              1.50 × | MISSED",
                "speed   | ≥ 500,000 | 1,234,568 updates/s | reached",
                "said    | -         |             12.3 ms | -",
                "nothing | ≤ 1       |               NaN s | MISSED",
            ]
        );
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!((percentile(&values, 0.5), percentile(&values, 0.99), percentile(&values, 1.0)), (50.0, 99.0, 100.0));
        assert!(percentile(&[], 0.5).is_nan() && median(&[]).is_nan());
    }
}
