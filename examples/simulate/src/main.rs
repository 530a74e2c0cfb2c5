//! A job queue with a bug that no test of one queue sees, and the simulator that finds it: `cargo run --release -p simulate`.
use std::collections::{BTreeMap, HashSet};
use std::{io, time::Instant};

use bytes::Bytes;
use quorate::{Codec, Context, DecodeError, Snapshot, StateMachine};
use quorate_sim::{Rng, Simulation};

/// Jobs that wait, and which worker has which job.
struct Queue {
    waiting: HashSet<u64>,
    working: BTreeMap<u64, u64>,
    choose: Choose,
}

/// Which of the waiting jobs a worker gets.
type Choose = fn(&HashSet<u64>) -> Option<u64>;

/// The bug: every hash set has an order of its own, so every node gives the worker another job, and each is right by itself.
fn any(waiting: &HashSet<u64>) -> Option<u64> {
    waiting.iter().next().copied()
}

/// The mended line: what is chosen depends on the state alone.
fn lowest(waiting: &HashSet<u64>) -> Option<u64> {
    waiting.iter().min().copied()
}

#[derive(Debug)]
enum Command {
    Add { job: u64 },
    Take { worker: u64 },
    Finish { worker: u64 },
}

impl StateMachine for Queue {
    type Command = Command;
    type Reply = String;

    fn apply(&mut self, _: &Context, command: Command) -> String {
        match command {
            Command::Add { job } if self.working.values().any(|taken| *taken == job) => "in work".into(),
            Command::Add { job } => if self.waiting.insert(job) { "queued" } else { "waits" }.into(),
            Command::Take { worker } if self.working.contains_key(&worker) => "finish first".into(),
            Command::Take { worker } => {
                let Some(job) = (self.choose)(&self.waiting) else { return "no job waits".into() };
                self.waiting.remove(&job);
                self.working.insert(worker, job);
                format!("job {job}")
            }
            Command::Finish { worker } => {
                self.working.remove(&worker).map_or("has no job".into(), |job| format!("finished {job}"))
            }
        }
    }

    /// Pairs of numbers, 0 and a waiting job or a worker and its job, sorted: equal states have equal snapshots.
    fn snapshot(&self) -> Snapshot {
        let working = self.working.iter().map(|(worker, job)| [*worker, *job]);
        let mut pairs: Vec<[u64; 2]> = self.waiting.iter().map(|job| [0, *job]).chain(working).collect();
        pairs.sort_unstable();
        Box::new(move |out| {
            pairs.iter().flatten().try_for_each(|number| out.write_all(&number.to_le_bytes()))
        })
    }

    fn restore(&mut self, source: &mut dyn io::Read) -> io::Result<()> {
        *self = queue(self.choose);
        let mut bytes = Vec::new();
        source.read_to_end(&mut bytes)?;
        for pair in bytes.chunks_exact(16) {
            let [worker, job] =
                [&pair[..8], &pair[8..]].map(|half| u64::from_le_bytes(half.try_into().expect("half of 16")));
            if worker == 0 {
                self.waiting.insert(job);
            } else {
                self.working.insert(worker, job);
            }
        }
        Ok(())
    }
}

impl Codec for Command {
    fn encode(&self, out: &mut Vec<u8>) {
        let (letter, number) = match self {
            Command::Add { job } => (b'a', job),
            Command::Take { worker } => (b't', worker),
            Command::Finish { worker } => (b'f', worker),
        };
        out.push(letter);
        number.encode(out);
    }

    fn decode(bytes: &Bytes) -> Result<Command, DecodeError> {
        let number = || u64::decode(&bytes.slice(1..));
        match bytes.first() {
            Some(b'a') => Ok(Command::Add { job: number()? }),
            Some(b't') => Ok(Command::Take { worker: number()? }),
            Some(b'f') => Ok(Command::Finish { worker: number()? }),
            _ => Err(DecodeError { what: "a command is a letter and a number".into() }),
        }
    }
}

fn queue(choose: Choose) -> Queue {
    Queue { waiting: HashSet::new(), working: BTreeMap::new(), choose }
}

/// All that it takes: how to make the machine, how to draw a command, and what must always be true.
fn simulation(choose: Choose) -> Simulation<Queue> {
    let draw = |chance: &mut Rng| match chance.below(4) {
        0 | 1 => Command::Add { job: chance.between(1, 100) },
        2 => Command::Take { worker: chance.between(1, 5) },
        _ => Command::Finish { worker: chance.between(1, 5) },
    };
    Simulation::new(move || queue(choose), draw).invariant(|queue| {
        let twice = queue.working.values().find(|job| queue.waiting.contains(job));
        twice.map_or(Ok(()), |job| Err(format!("job {job} waits and is in work")))
    })
}

fn main() {
    let start = Instant::now();
    println!("== A queue that gives a worker any job of a HashSet\n");
    let failure = simulation(any).run().expect_err("nodes differ as soon as two jobs wait");
    println!(
        "{failure}\n\nfound in {} ms\n\n== The same queue, giving the lowest job\n",
        start.elapsed().as_millis()
    );
    let report = simulation(lowest).seeds(1..=40).check();
    for fault in ["kill", "power loss", "power loss of all", "partition", "message lost", "disk stall"] {
        println!("{:>9} x {fault}", report.counters.get(fault).unwrap_or(&0));
    }
    println!("\nboth in {} ms", start.elapsed().as_millis());
}

#[cfg(test)]
mod tests {
    #[test]
    #[should_panic(expected = "every node gives the same reply")]
    fn any_job_of_a_hash_set_is_another_one_on_every_node() {
        super::simulation(super::any).check();
    }

    #[test]
    fn the_lowest_job_is_the_same_on_every_node() {
        super::simulation(super::lowest).seeds(1..=6).check();
    }
}
