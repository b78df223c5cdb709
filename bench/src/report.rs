//! Where figures go: each to stdout as it comes, all of them into one JSON document. What did not
//! come true is a row of its own, and makes the program fail.

use std::io::{self, Write};

use serde_json::{Map, json};

use crate::figures::{Figure, Spread, Value};

/// What went wrong, and in which scenario.
struct Failure {
    scenario: String,
    what: String,
}

/// All that was measured so far.
pub(crate) struct Report {
    out: Box<dyn Write>,
    figures: Vec<Figure>,
    failures: Vec<Failure>,
    remarks: Vec<String>,
    scenario: String,
}

impl Report {
    /// Nothing yet; lines will go there.
    pub(crate) fn to(out: Box<dyn Write>) -> Report {
        let scenario = String::new();
        Report { out, figures: Vec::new(), failures: Vec::new(), remarks: Vec::new(), scenario }
    }

    /// Prints at once. That nobody reads it any more is no reason to stop measuring.
    pub(crate) fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }

    /// Begins a scenario: figures and failures are its from now on.
    pub(crate) fn begin(&mut self, scenario: &str) {
        scenario.clone_into(&mut self.scenario);
        self.print(&format!("{scenario}\n"));
    }

    /// One number, and what others took for the same.
    pub(crate) fn one(
        &mut self,
        name: &str,
        unit: &'static str,
        value: f64,
        beside: &[(&str, f64)],
    ) {
        let beside = beside.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        self.add(name, unit, Value::One { value, beside });
    }

    /// Many measurements of one thing.
    pub(crate) fn many(&mut self, name: &str, unit: &'static str, samples: Vec<f64>) {
        if !samples.is_empty() {
            self.add(name, unit, Value::Many(samples));
        }
    }

    /// The same, for the document only.
    pub(crate) fn keep(&mut self, name: &str, unit: &'static str, samples: Vec<f64>) {
        if !samples.is_empty() {
            let figure = self.figure(name, unit, Value::Many(samples));
            self.figures.push(figure);
        }
    }

    fn add(&mut self, name: &str, unit: &'static str, value: Value) {
        let figure = self.figure(name, unit, value);
        self.print(&row(&figure));
        self.figures.push(figure);
    }

    fn figure(&self, name: &str, unit: &'static str, value: Value) -> Figure {
        Figure { scenario: self.scenario.clone(), name: name.to_owned(), unit, value }
    }

    /// A line that explains the row before.
    pub(crate) fn say(&mut self, text: &str) {
        self.print(&format!("    {text}\n"));
    }

    /// Something that a reader must know and that is no number.
    pub(crate) fn remark(&mut self, text: &str) {
        self.print(&format!("  ({text})\n"));
        self.remarks.push(text.to_owned());
    }

    /// Something that did not come true.
    pub(crate) fn fail(&mut self, what: &str) {
        self.print(&format!("  FAILED: {what}\n"));
        let scenario = self.scenario.clone();
        self.failures.push(Failure { scenario, what: what.to_owned() });
    }

    /// The median of an earlier row, or its only value.
    pub(crate) fn median(&self, scenario: &str, name: &str) -> Option<f64> {
        let mut rows = self.figures.iter().filter(|f| f.scenario == scenario && f.name == name);
        match &rows.next()?.value {
            Value::One { value, .. } => Some(*value),
            Value::Many(samples) => Spread::of(samples).map(|spread| spread.p50),
        }
    }

    /// Whether everything came true.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    /// Everything as one document; `about` says on what it was measured, and how.
    pub(crate) fn document(&self, about: Map<String, serde_json::Value>) -> String {
        let failures = self.failures.iter();
        let document = json!({
            "format": 1,
            "about": about,
            "figures": self.figures.iter().map(figure).collect::<Vec<_>>(),
            "failures": failures
                .map(|failure| json!({ "scenario": failure.scenario, "what": failure.what }))
                .collect::<Vec<_>>(),
            "remarks": self.remarks,
        });
        format!("{document:#}\n")
    }
}

/// Says on stderr why there are no figures.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// One line of the table.
fn row(figure: &Figure) -> String {
    let Figure { name, unit, value, .. } = figure;
    let numbers = match value {
        Value::Many(samples) => {
            let Some(Spread { p50, p95, p99, max }) = Spread::of(samples) else {
                return String::new();
            };
            let [p50, p95, p99, max] = [p50, p95, p99, max].map(short);
            let count = samples.len();
            format!("{p50:>9} p50 {p95:>9} p95 {p99:>9} p99 {max:>9} max  {unit}, of {count}")
        }
        Value::One { value, beside } => {
            let others: String = beside
                .iter()
                .map(|(name, other)| {
                    let ratio = ratio(*value, *other).map_or("–".to_owned(), short);
                    format!("   {name} {} ({ratio}×)", short(*other))
                })
                .collect();
            format!("{:>9} {unit}{others}", short(*value))
        }
    };
    format!("  {name:<28} {numbers}\n")
}

/// Three digits that matter; whole numbers as they are.
fn short(value: f64) -> String {
    if value.fract() == 0.0 {
        return format!("{value:.0}");
    }
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn ratio(value: f64, other: f64) -> Option<f64> {
    (other > 0.0).then(|| value / other)
}

/// A row of the document.
fn figure(figure: &Figure) -> serde_json::Value {
    let Figure { scenario, name, unit, value } = figure;
    match value {
        Value::One { value, beside } => {
            let beside = beside.iter().map(|(name, other)| {
                json!({ "name": name, "value": other, "ratio": ratio(*value, *other) })
            });
            json!({
                "scenario": scenario,
                "name": name,
                "unit": unit,
                "value": value,
                "beside": beside.collect::<Vec<_>>(),
            })
        }
        Value::Many(samples) => {
            let spread = Spread::of(samples);
            json!({
                "scenario": scenario,
                "name": name,
                "unit": unit,
                "count": samples.len(),
                "p50": spread.map(|spread| spread.p50),
                "p95": spread.map(|spread| spread.p95),
                "p99": spread.map(|spread| spread.p99),
                "max": spread.map(|spread| spread.max),
                "samples": samples,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_beside_others_has_its_ratios() {
        let beside = vec![("cp -a".to_owned(), 0.5), ("nothing".to_owned(), 0.0)];
        let (scenario, name) = ("small".to_owned(), "all".to_owned());
        let one = Figure { scenario, name, unit: "s", value: Value::One { value: 2.0, beside } };
        assert_eq!(figure(&one)["beside"][0]["ratio"], 4.0);
        assert!(figure(&one)["beside"][1]["ratio"].is_null());
        assert!(row(&one).contains("2 s   cp -a 0.500 (4×)   nothing 0 (–×)"), "{}", row(&one));
    }

    #[test]
    fn the_document_has_each_single_measurement_and_what_failed() {
        let mut report = Report::to(Box::new(io::sink()));
        report.begin("latency");
        report.many("A>B edit", "ms", vec![2.0, 1.0]);
        assert!(report.is_good());
        report.fail("`x` is missing");
        assert!(!report.is_good());
        let document: serde_json::Value =
            serde_json::from_str(&report.document(Map::new())).expect("JSON");
        assert_eq!(document["figures"][0]["samples"], json!([2.0, 1.0]));
        assert_eq!(document["figures"][0]["p50"], 1.0);
        assert_eq!(document["failures"][0]["scenario"], "latency");
        assert_eq!(report.median("latency", "A>B edit"), Some(1.0));
    }
}
