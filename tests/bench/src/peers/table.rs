//! The table, for people and for programs.

use serde_json::{Value, json};
use tickwire_load::{Figures, median};

use super::{Kind, Outcome, Subject, Workload};
use crate::print;

/// Everything that was measured: for each workload, one outcome for each subject.
pub(super) struct Table<'a> {
    pub(super) workloads: &'a [Workload],
    pub(super) subjects: &'a [Subject],
    pub(super) outcomes: &'a [Vec<Outcome>],
    pub(super) seconds: u64,
}

/// The medians of a subject in a workload.
struct Row {
    delivered_per_s: f64,
    /// Of what the feed would have published in time. Below one where a server takes it too slowly.
    taken: f64,
    /// Of what would have come without loss and without conflation.
    arrived: f64,
    per_message: f64,
    us_per_delivered: f64,
    us_per_published: f64,
    bytes: f64,
    rss: f64,
    faults: u64,
}

impl Row {
    fn of(workload: &Workload, rounds: &[Figures]) -> Self {
        let middle = |figure: &dyn Fn(&Figures) -> Option<f64>| median(rounds.iter().filter_map(figure).collect());
        let accounted = |figures: &Figures| (figures.tally.records + figures.tally.merged) as f64 / figures.span.as_secs_f64();
        Self {
            delivered_per_s: middle(&|figures| Some(figures.delivered_per_s())),
            taken: middle(&|figures| Some(figures.published? / figures.span.as_secs_f64() / f64::from(workload.rate))),
            arrived: middle(&|figures| Some(accounted(figures) / workload.deliveries_per_s())),
            per_message: middle(&|figures| Some(figures.records_per_frame())),
            us_per_delivered: middle(&Figures::cpu_us_per_delivered),
            us_per_published: middle(&Figures::cpu_us_per_published),
            bytes: middle(&|figures| Some(figures.bytes_per_delivered())),
            rss: middle(&|figures| Some(figures.server?.rss_bytes_per_connection)),
            faults: rounds.iter().map(|figures| figures.faults().lost + figures.faults().disordered + figures.faults().wrong).sum(),
        }
    }
}

impl Table<'_> {
    /// Prints a table for each workload, and the ratios that have a target.
    pub(super) fn print(&self, rounds: u8) {
        print(&format!("medians of {rounds} interleaved rounds of {} s; CPU is that of the server's processes", self.seconds));
        for (n, workload) in self.workloads.iter().enumerate() {
            let Workload { name, connections, market, each, rate } = workload;
            print("");
            print(&format!("{name}: {connections} connections × {each} of {market} symbols, {rate} updates/s"));
            print(
                "server                  | delivered/s |   taken | arrived | in a message | CPU µs/delivered | × floor | CPU µs/published | bytes/update | RSS/connection | faults",
            );
            for (subject, outcome) in self.subjects.iter().zip(&self.outcomes[n]) {
                let name = &subject.name;
                match outcome {
                    Ok(rounds) => {
                        let row = Row::of(workload, rounds);
                        let floor =
                            self.row(n, &Kind::Floor, subject.conflate_ms).map(|floor| row.us_per_delivered / floor.us_per_delivered);
                        let floor = floor.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
                        print(&format!(
                            "{name:<23} | {:>11.0} | {:>5.1} % | {:>5.1} % | {:>12.1} | {:>16.2} | {floor:>7} | {:>16.1} | {:>12.1} | {:>14.0} | {:>6}",
                            row.delivered_per_s,
                            100.0 * row.taken,
                            100.0 * row.arrived,
                            row.per_message,
                            row.us_per_delivered,
                            row.us_per_published,
                            row.bytes,
                            row.rss,
                            row.faults
                        ));
                    }
                    Err(reason) => print(&format!("{name:<23} | missing: {reason}")),
                }
            }
        }
        print("");
        for (workload, row) in self.workloads.iter().zip(self.outcomes) {
            for (subject, outcome) in self.subjects.iter().zip(row) {
                let first = outcome.iter().flatten().find_map(|figures| figures.faults().first.as_ref());
                if let Some(first) = first {
                    print(&format!("{}, {}: the first fault: {first}", workload.name, subject.name));
                }
            }
        }
        for ratio in self.ratios() {
            print(&ratio.line());
        }
        print("not among them: Centrifugo (in none of the registries that this installs from)");
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let mut rows = Vec::new();
        for (n, workload) in self.workloads.iter().enumerate() {
            for (subject, outcome) in self.subjects.iter().zip(&self.outcomes[n]) {
                let row = outcome.as_ref().ok().map(|rounds| Row::of(workload, rounds));
                let figure = |figure: fn(&Row) -> f64| row.as_ref().map(figure);
                rows.push(json!({
                    "workload": workload.name,
                    "server": subject.name,
                    "missing": outcome.as_ref().err(),
                    "delivered_per_s": figure(|row| row.delivered_per_s),
                    "taken": figure(|row| row.taken),
                    "arrived": figure(|row| row.arrived),
                    "records_per_message": figure(|row| row.per_message),
                    "cpu_us_per_delivered": figure(|row| row.us_per_delivered),
                    "cpu_us_per_published": figure(|row| row.us_per_published),
                    "bytes_per_delivered": figure(|row| row.bytes),
                    "rss_bytes_per_connection": figure(|row| row.rss),
                    "faults": row.as_ref().map(|row| row.faults),
                    "rounds": outcome.as_ref().ok().map(|rounds| rounds.iter().map(Figures::json).collect::<Vec<_>>()),
                }));
            }
        }
        let ratios: Vec<Value> =
            self.ratios().into_iter().map(|ratio| json!({ "what": ratio.what, "ratio": ratio.value, "target": ratio.target })).collect();
        json!({ "rows": rows, "ratios": ratios })
    }

    /// Those ratios of this run that have a target.
    fn ratios(&self) -> Vec<Ratio> {
        let mut ratios = Vec::new();
        for (n, workload) in self.workloads.iter().enumerate() {
            let ours = [
                (Kind::Tickwire, 0, FLOOR_EACH_MAX, ""),
                (Kind::Tickwire, 100, FLOOR_TICK_MAX, ""),
                (Kind::Paced, 100, FLOOR_TICK_MAX, ", paced"),
            ];
            for (kind, conflate_ms, target, how) in ours {
                if let (Some(ours), Some(floor)) = (self.row(n, &kind, conflate_ms), self.row(n, &Kind::Floor, conflate_ms)) {
                    let what = format!("{}: CPU per delivered update, Tickwire over the floor, {conflate_ms} ms{how}", workload.name);
                    ratios.push(Ratio { what, value: ours.us_per_delivered / floor.us_per_delivered, target });
                }
            }
            let nats = self.subjects.iter().position(|subject| subject.name.starts_with("NATS"));
            let nats = nats.and_then(|nats| self.outcomes[n][nats].as_ref().ok()).map(|rounds| Row::of(workload, rounds));
            for (kind, how) in [(Kind::Tickwire, ""), (Kind::Paced, ", paced,")] {
                if let (Some(ours), Some(nats)) = (self.row(n, &kind, 100), &nats) {
                    let what = format!("{}: CPU per published update, Tickwire at 100 ms{how} over NATS WebSocket", workload.name);
                    ratios.push(Ratio { what, value: ours.us_per_published / nats.us_per_published, target: NATS_MAX });
                }
            }
        }
        ratios
    }

    fn row(&self, workload: usize, kind: &Kind, conflate_ms: u32) -> Option<Row> {
        let is_it =
            |subject: &Subject| std::mem::discriminant(&subject.kind) == std::mem::discriminant(kind) && subject.conflate_ms == conflate_ms;
        let rounds = self.outcomes[workload][self.subjects.iter().position(is_it)?].as_ref().ok()?;
        Some(Row::of(&self.workloads[workload], rounds))
    }
}

struct Ratio {
    what: String,
    value: f64,
    target: f64,
}

impl Ratio {
    fn line(&self) -> String {
        let Self { what, value, target } = self;
        format!("{what}: {value:.2} (target {target:.2}: {})", if value <= target { "reached" } else { "missed" })
    }
}

/// Tickwire over the floor, a write per update.
const FLOOR_EACH_MAX: f64 = 1.25;
/// The same at a tick of 100 ms.
const FLOOR_TICK_MAX: f64 = 1.4;
/// Tickwire at 100 ms over NATS, for each update of the feed.
const NATS_MAX: f64 = 0.1;
