//! What a benchmark tells, as `bench --json` prints it.

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{Rate, Recovery};
use crate::task::Name;

/// All that was measured; what wasn't is absent. Units are in the names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Where tasks lived, without a password.
    pub broker: String,
    /// Who ran them.
    pub handlers: Vec<Name>,
    /// `sha256:…` of the first one's file.
    pub digest: String,
    /// Queues that the tasks were spread over.
    pub queues: usize,
    /// Bytes of each task's payload.
    pub payload_bytes: usize,
    /// Runs at once.
    pub concurrency: usize,
    /// Producers side by side.
    pub producers: usize,
    /// Tasks that waited in the queues all the time.
    pub waiting: usize,
    /// How often each was measured.
    pub repeat: usize,
    /// What is to be known of the sandbox.
    pub notes: Vec<String>,
    /// Instantiate and call, nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bare: Option<Rates>,
    /// A call a task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enqueue_single: Option<Rates>,
    /// A call a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enqueue_bulk: Option<Rates>,
    /// Worked off, results kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Rates>,
    /// Median rate of `drain` through that of `bare`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_of_bare: Option<f64>,
    /// Of all repetitions together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// One a repetition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recovery: Vec<Recovery>,
    /// Of this process and of the server.
    pub memory: Memory,
}

/// The same, measured several times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rates {
    /// Tasks of one repetition.
    pub tasks: u64,
    /// Tasks per second.
    pub per_second: Spread,
    /// CPU time of this process for a task.
    pub cpu_us: Spread,
    /// CPU time of the server for a task, where it can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_us: Option<Spread>,
}

impl Rates {
    /// None of nothing.
    pub fn of(rates: &[Rate]) -> Option<Rates> {
        let tasks = rates.first()?.tasks;
        let spread = |value: &dyn Fn(&Rate) -> Option<f64>| Spread::of(rates.iter().filter_map(value));
        Some(Rates {
            tasks,
            per_second: spread(&|rate| Some(rate.per_second()))?,
            cpu_us: spread(&|rate| Some(rate.cpu_seconds * 1e6 / rate.tasks as f64))?,
            server_cpu_us: spread(&|rate| Some(rate.server_cpu_seconds? * 1e6 / rate.tasks as f64)),
        })
    }
}

/// Values of several repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The least.
    pub min: f64,
    /// The one in the middle; of an even number the upper one.
    pub median: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// None of nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Some(Spread { min: *values.first()?, median: values[values.len() / 2], max: *values.last()? })
    }
}

/// From before the enqueue until the end is written and known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Enqueued per second.
    pub rate: u32,
    /// How many were timed.
    pub tasks: u64,
    /// Half of them took no longer.
    pub p50_us: u64,
    /// Nine in ten.
    pub p90_us: u64,
    /// 99 in a hundred.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

impl Latency {
    /// Of microseconds at this rate.
    pub fn of(histogram: &Histogram<u64>, rate: u32) -> Latency {
        Latency {
            rate,
            tasks: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p90_us: histogram.value_at_quantile(0.9),
            p99_us: histogram.value_at_quantile(0.99),
            max_us: histogram.max(),
        }
    }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Memory {
    /// Resident in this process once handlers were loaded and the broker was open.
    pub idle_bytes: u64,
    /// The most that was resident in it.
    pub peak_bytes: u64,
    /// What the server holds for each waiting task, where that can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_bytes_per_waiting_task: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(seconds: f64, server: Option<f64>) -> Rate {
        Rate { tasks: 100, seconds, cpu_seconds: seconds / 2.0, server_cpu_seconds: server }
    }

    #[test]
    fn repetitions_are_told_by_least_median_and_greatest() {
        assert_eq!(Rates::of(&[]), None);
        let rates = Rates::of(&[rate(4.0, Some(1.0)), rate(1.0, Some(3.0)), rate(2.0, Some(2.0))]).unwrap();
        assert_eq!(rates.per_second, Spread { min: 25.0, median: 50.0, max: 100.0 });
        assert_eq!(rates.cpu_us, Spread { min: 5_000.0, median: 10_000.0, max: 20_000.0 });
        assert_eq!(rates.server_cpu_us, Some(Spread { min: 10_000.0, median: 20_000.0, max: 30_000.0 }));
        assert_eq!(Rates::of(&[rate(1.0, None)]).unwrap().server_cpu_us, None);
    }

    #[test]
    fn what_programs_read_stays_what_it_is() {
        let mut histogram = Histogram::new(3).unwrap();
        (1..=100).for_each(|us| histogram.record(us).unwrap());
        let report = Report {
            broker: "memory:".into(),
            handlers: vec!["add".parse().unwrap()],
            digest: "sha256:0".into(),
            queues: 1,
            payload_bytes: 2,
            concurrency: 32,
            producers: 1,
            waiting: 0,
            repeat: 1,
            notes: vec![],
            bare: None,
            enqueue_single: Rates::of(&[rate(1.0, Some(0.001))]),
            enqueue_bulk: None,
            drain: Rates::of(&[rate(1.0, None)]),
            drain_of_bare: None,
            latency: Some(Latency::of(&histogram, 200)),
            recovery: vec![Recovery { running: 50, first_s: 1.0, last_s: 1.5, ended_s: 2.0 }],
            memory: Memory { idle_bytes: 1, peak_bytes: 2, server_bytes_per_waiting_task: Some(300.0) },
        };
        let spread = |value: f64| format!(r#"{{"min":{value:.1},"median":{value:.1},"max":{value:.1}}}"#);
        let (per_second, cpu, server) = (spread(100.0), spread(5000.0), spread(10.0));
        let rates = format!(r#"{{"tasks":100,"per_second":{per_second},"cpu_us":{cpu}"#);
        let expected = format!(
            concat!(
                r#"{{"broker":"memory:","handlers":["add"],"digest":"sha256:0","queues":1,"payload_bytes":2,"#,
                r#""concurrency":32,"producers":1,"waiting":0,"repeat":1,"notes":[],"#,
                r#""enqueue_single":{rates},"server_cpu_us":{server}}},"drain":{rates}}},"#,
                r#""latency":{{"rate":200,"tasks":100,"p50_us":50,"p90_us":90,"p99_us":99,"max_us":100}},"#,
                r#""recovery":[{{"running":50,"first_s":1.0,"last_s":1.5,"ended_s":2.0}}],"#,
                r#""memory":{{"idle_bytes":1,"peak_bytes":2,"server_bytes_per_waiting_task":300.0}}}}"#
            ),
            rates = rates,
            server = server
        );
        assert_eq!(serde_json::to_string(&report).unwrap(), expected);
    }
}
