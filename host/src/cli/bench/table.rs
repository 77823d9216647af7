//! A benchmark's report, for people.

use tasq_host::bench::{Rates, Report, Spread};

use super::super::output;

/// A head, a table of rates, and a line for each of the rest.
pub(super) fn people(report: &Report) -> String {
    let Report { handlers, broker, concurrency, payload_bytes, .. } = report;
    let more = if handlers.len() > 1 { format!(" and {} more", handlers.len() - 1) } else { String::new() };
    let mut paragraphs =
        vec![format!("{}{more} on {broker}, {concurrency} at once, payload of {payload_bytes} bytes", handlers[0])];
    let mut remarks = Vec::new();
    if report.queues > 1 {
        remarks.push(format!("{} queues", report.queues));
    }
    if report.producers > 1 {
        remarks.push(format!("{} producers", report.producers));
    }
    if report.waiting > 0 {
        remarks.push(format!("{} more tasks waiting", report.waiting));
    }
    if report.repeat > 1 {
        remarks.push(format!("{} times: least / median / greatest", report.repeat));
    }
    if !remarks.is_empty() {
        paragraphs.push(remarks.join(", "));
    }
    paragraphs.extend(report.notes.iter().cloned());
    paragraphs.extend(rates(report));
    paragraphs.extend(lines(report));
    paragraphs.join("\n\n")
}

fn rates(report: &Report) -> Option<String> {
    let kept = match report.drain_of_bare {
        Some(part) => format!("{:.0} % of bare, results kept", part * 100.0),
        None => "results kept".into(),
    };
    let rows = [
        ("bare", report.bare, "instantiate and call, nothing else".to_owned()),
        ("enqueue, one at a time", report.enqueue_single, String::new()),
        ("enqueue, in bulk", report.enqueue_bulk, String::new()),
        ("drain", report.drain, kept),
    ];
    let rows: Vec<Vec<String>> =
        rows.into_iter().filter_map(|(what, rates, remark)| Some(row(what, rates?, report.repeat, remark))).collect();
    let head = ["", "TASKS PER SECOND", "CPU A TASK", "THE SERVER'S", ""].map(String::from).to_vec();
    (!rows.is_empty()).then(|| output::table(&[vec![head], rows].concat()))
}

fn row(what: &str, rates: Rates, repeat: usize, remark: String) -> Vec<String> {
    let spread = |spread: Spread| match repeat {
        1 => format!("{:.0}", spread.median),
        _ => format!("{:.0} / {:.0} / {:.0}", spread.min, spread.median, spread.max),
    };
    let micros = |spread: Spread| format!("{:.1} µs", spread.median);
    let server = rates.server_cpu_us.map_or(String::new(), micros);
    vec![what.into(), spread(rates.per_second), micros(rates.cpu_us), server, remark]
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(times) = report.latency {
        lines.push(format!(
            "latency, {} tasks at {} a second, enqueue to end: p50 {} µs, p90 {} µs, p99 {} µs, max {} µs",
            times.tasks, times.rate, times.p50_us, times.p90_us, times.p99_us, times.max_us
        ));
    }
    lines.extend(report.recovery.iter().map(|times| {
        format!(
            "recovery: {} ran when their worker was killed; begun again after {:.2} to {:.2} s, ended after {:.2} s",
            times.running, times.first_s, times.last_s, times.ended_s
        )
    }));
    let mib = |bytes: u64| bytes >> 20;
    let memory = report.memory;
    let server = memory
        .server_bytes_per_waiting_task
        .map_or(String::new(), |bytes| format!("; the server's, a waiting task: {bytes:.0} bytes"));
    lines.push(format!("memory: {} MiB idle, {} MiB at most{server}", mib(memory.idle_bytes), mib(memory.peak_bytes)));
    vec![lines.join("\n")]
}
