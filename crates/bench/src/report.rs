//! What was measured, as a table for people and as one JSON object for each line.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The figures of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) window: usize,
    pub(crate) bytes: usize,
    pub(crate) proposals_per_s: u64,
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
    pub(crate) p999_us: u32,
    /// CPU of all processes, user and system, for each proposal.
    pub(crate) cpu_us_per_proposal: f64,
    /// All nodes together.
    pub(crate) fsyncs: u64,
    /// All nodes together.
    pub(crate) bytes_written: u64,
    /// Proposals answered within the time measured.
    pub(crate) proposals: u64,
    /// The floor's proposals/s and p50 of the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floor_per_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floor_p50_us: Option<u32>,
}

impl Measured {
    /// Figures of `proposals` answered within `elapsed`, with the latency of each in microseconds.
    pub(crate) fn new(
        window: usize,
        bytes: usize,
        proposals: u64,
        elapsed: Duration,
        mut latencies_us: Vec<u32>,
    ) -> Measured {
        latencies_us.sort_unstable();
        let at = |thousandth: usize| {
            let place = latencies_us.len() * thousandth / 1000;
            latencies_us.get(place.min(latencies_us.len().saturating_sub(1))).copied().unwrap_or(0)
        };
        Measured {
            window,
            bytes,
            proposals_per_s: per_second(proposals, elapsed),
            p50_us: at(500),
            p99_us: at(990),
            p999_us: at(999),
            cpu_us_per_proposal: 0.0,
            fsyncs: 0,
            bytes_written: 0,
            proposals,
            floor_per_s: None,
            floor_p50_us: None,
        }
    }

    /// Sets what all processes have used together.
    #[allow(clippy::cast_precision_loss)] // A figure for people.
    pub(crate) fn set_totals(&mut self, cpu_us: u64, fsyncs: u64, bytes_written: u64) {
        self.cpu_us_per_proposal = cpu_us as f64 / self.proposals.max(1) as f64;
        (self.fsyncs, self.bytes_written) = (fsyncs, bytes_written);
    }

    /// Sets the floor that this run is compared with.
    pub(crate) fn with_floor(mut self, floor: &Measured) -> Measured {
        self.floor_per_s = Some(floor.proposals_per_s);
        self.floor_p50_us = Some(floor.p50_us);
        self
    }
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    u64::try_from(u128::from(count) * 1_000_000 / elapsed.as_micros().max(1)).unwrap_or(u64::MAX)
}

/// Prints the head of the table.
pub(crate) fn print_head() {
    println!(
        "{:>6} {:>6} {:>12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>12}   {:>12} {:>6} {:>6}",
        "window",
        "bytes",
        "proposals/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "cpu us",
        "fsyncs",
        "written",
        "floor/s",
        "ratio",
        "p50 x"
    );
}

/// Prints one row, or one JSON object.
pub(crate) fn print(measured: &Measured, json: bool) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::to_string(measured)?);
        return Ok(());
    }
    let m = measured;
    let floor = match (m.floor_per_s, m.floor_p50_us) {
        (Some(per_s), Some(p50)) => format!(
            "{per_s:>12} {:>6.2} {:>6.2}",
            ratio(m.proposals_per_s, per_s),
            ratio(u64::from(m.p50_us), u64::from(p50))
        ),
        _ => format!("{:>12} {:>6} {:>6}", "-", "-", "-"),
    };
    println!(
        "{:>6} {:>6} {:>12} {:>9} {:>9} {:>9} {:>9.2} {:>9} {:>12}   {floor}",
        m.window,
        m.bytes,
        m.proposals_per_s,
        m.p50_us,
        m.p99_us,
        m.p999_us,
        m.cpu_us_per_proposal,
        m.fsyncs,
        m.bytes_written
    );
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // A ratio for people.
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / (whole.max(1)) as f64
}

#[cfg(test)]
mod tests {
    use super::Measured;
    use std::time::Duration;

    #[test]
    fn percentiles_are_taken_from_the_sorted_latencies() {
        let measured = Measured::new(1, 256, 1000, Duration::from_millis(500), (1..=1000).rev().collect());
        assert_eq!((measured.p50_us, measured.p99_us, measured.p999_us), (501, 991, 1000));
        assert_eq!(measured.proposals_per_s, 2000);
        assert_eq!(Measured::new(1, 1, 0, Duration::ZERO, Vec::new()).p50_us, 0);
    }
}
