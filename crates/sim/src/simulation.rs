//! A user's own state machine under everything that can go wrong: the same worlds, faults and checks as for the built-in workload,
//! with a machine of the user's on every node. This is the file to read for someone who tests a machine; `guest.rs` hides its
//! types, `check/guests.rs` holds what must be true of it.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use quorate_replica::state_machine::{Codec, Context, StateMachine};

use crate::ended::{Ended, attempt};
use crate::guest::{Broken, Done, Invitation, Machine};
use crate::profile::{Profile, SECOND_US};
use crate::rng::Rng;
use crate::trace::{LEGEND, Trace, TraceMode};
use crate::world::{Report, World};

/// Runs a state machine on simulated clusters, one for each seed, until a rule is broken.
///
/// Each seed draws a cluster of one to five nodes with up to eight clients and a mix of faults: loss of power, kills, partitions, lost and late
/// messages, sick disks. Every write of a client carries a command of the machine. These must hold:
///
/// - all nodes give the same reply to the same command, and have the same state after it;
/// - what a client was told is what the log gives;
/// - a fresh machine that is given the log once more, alone, gives the same replies and has the same states;
/// - so does one that is restored from its own snapshot again and again;
/// - commands and replies are read back from their bytes as they were;
/// - the [`invariant`](Self::invariant), after each command;
/// - and all rules of the engine itself.
///
/// ```
/// # use quorate_replica::state_machine::{Context, Snapshot, StateMachine};
/// # use quorate_sim::Simulation;
/// # #[derive(Default)]
/// # struct Counter(u64);
/// # impl StateMachine for Counter {
/// #     type Command = u64;
/// #     type Reply = u64;
/// #     fn apply(&mut self, _: &Context, add: u64) -> u64 { self.0 += add; self.0 }
/// #     fn snapshot(&self) -> Snapshot { let n = self.0; Box::new(move |out| out.write_all(&n.to_le_bytes())) }
/// #     fn restore(&mut self, source: &mut dyn std::io::Read) -> std::io::Result<()> {
/// #         let mut bytes = [0; 8];
/// #         source.read_exact(&mut bytes)?;
/// #         self.0 = u64::from_le_bytes(bytes);
/// #         Ok(())
/// #     }
/// # }
/// Simulation::new(Counter::default, |chance| chance.below(100)).seeds(1..=2).check();
/// ```
///
/// A seed repeats all that the simulator decides. What a machine takes from elsewhere, the order of a hash map or the clock of the
/// computer, is not simulated: it is found when it reaches a reply or the state, and may look different when the seed is repeated.
pub struct Simulation<S: StateMachine> {
    machine: Arc<dyn Fn() -> S + Send + Sync>,
    command: Arc<Draw<S::Command>>,
    state: Option<Arc<Look<S, String>>>,
    invariant: Option<Arc<Look<S, Result<(), String>>>>,
    seeds: RangeInclusive<u64>,
    seconds: u64,
}

/// How commands are drawn.
type Draw<C> = dyn Fn(&mut Rng) -> C + Send + Sync;

/// A question about a machine.
type Look<S, T> = dyn Fn(&S) -> T + Send + Sync;

/// The first seed that did not hold.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// How many seeds were run, this one included.
    pub runs: u64,
    /// What was broken, where, and what came before it.
    pub story: String,
    /// Whether the same seed ended in the same way when it was run once more.
    pub repeats: bool,
    /// 10: a panic, 11: a safety rule was broken, 12: no progress; as for the simulator's own verbs.
    pub exit_code: u8,
}

impl<S> Simulation<S>
where
    S: StateMachine,
    S::Command: fmt::Debug,
    S::Reply: fmt::Debug,
{
    /// `machine` makes the machine of a node that has applied nothing; `command` draws a command of a client by the chance that it is
    /// given, and by nothing else.
    pub fn new(
        machine: impl Fn() -> S + Send + Sync + 'static,
        command: impl Fn(&mut Rng) -> S::Command + Send + Sync + 'static,
    ) -> Simulation<S> {
        Simulation {
            machine: Arc::new(machine),
            command: Arc::new(command),
            state: None,
            invariant: None,
            seeds: 1..=SEEDS,
            seconds: SECONDS,
        }
    }

    /// Runs these seeds, in this order. Without it, the seeds 1 to 100.
    ///
    /// # Panics
    /// If there is no seed among them: a test that runs nothing proves nothing.
    #[must_use]
    pub fn seeds(mut self, seeds: RangeInclusive<u64>) -> Simulation<S> {
        assert!(!seeds.is_empty(), "a simulation has at least one seed");
        self.seeds = seeds;
        self
    }

    /// In each run, faults strike for this many seconds of virtual time. Without it, for 10: many short runs find more than few long ones.
    ///
    /// # Panics
    /// If there is no second, or more than an hour: a run keeps all that the machines said in memory.
    #[must_use]
    pub fn seconds(mut self, seconds: u64) -> Simulation<S> {
        assert!((1..=SECONDS_MAX).contains(&seconds), "faults strike for a second to an hour");
        self.seconds = seconds;
        self
    }

    /// Compares states by what `state` says of them, and shows that when they differ. Without it they are compared by the bytes of
    /// their snapshots, which then must not depend on the order of a hash map.
    #[must_use]
    pub fn state(mut self, state: impl Fn(&S) -> String + Send + Sync + 'static) -> Simulation<S> {
        self.state = Some(Arc::new(state));
        self
    }

    /// What must be true after each command, on every node; the error says what is not.
    #[must_use]
    pub fn invariant(
        mut self,
        invariant: impl Fn(&S) -> Result<(), String> + Send + Sync + 'static,
    ) -> Simulation<S> {
        self.invariant = Some(Arc::new(invariant));
        self
    }

    /// For a `#[test]`: runs all seeds, prints in one line what they did, and returns all of it.
    ///
    /// # Panics
    /// With the first failure. Also where [`run`](Self::run) does.
    pub fn check(&self) -> Report {
        match self.run() {
            Ok(report) => {
                println!("{}", self.summary(&report));
                report
            }
            Err(failure) => panic!("{failure}"),
        }
    }

    /// Runs all seeds; the sum of what they did. If the environment has `QUORATE_SIM_SEED`, runs that seed alone and prints its trace.
    ///
    /// # Errors
    /// The first seed that does not hold.
    ///
    /// # Panics
    /// If `QUORATE_SIM_SEED` is not a number.
    pub fn run(&self) -> Result<Report, Failure> {
        let (seeds, wanted) = self.wanted();
        let mut sum = Report::default();
        for (runs, seed) in (1..).zip(seeds) {
            let (ended, trace) = self.replay(seed, if wanted { TraceMode::Keep } else { TraceMode::Off });
            if wanted {
                println!("{LEGEND}");
            }
            for line in trace.lines() {
                println!("{line}");
            }
            match ended {
                Ended::Held(report) => sum.add(&report),
                Ended::Broken(_) | Ended::Panicked(_) => {
                    let (again, _) = self.replay(seed, TraceMode::Off);
                    let story = ended.story();
                    let repeats = again.story() == story;
                    return Err(Failure { seed, runs, story, repeats, exit_code: ended.exit_code() });
                }
            }
        }
        Ok(sum)
    }

    /// Runs one seed; how it ended, and its lines.
    pub fn replay(&self, seed: u64, mode: TraceMode) -> (Ended, Trace) {
        let profile = Profile::draw(seed).lasting(self.seconds * SECOND_US);
        let mut world = World::with_profile(seed, profile, mode).with_guest(seed, &self.invitation());
        let ended = attempt(&mut world);
        (ended, world.trace().clone())
    }

    /// The seeds to run, and whether the environment names them.
    fn wanted(&self) -> (RangeInclusive<u64>, bool) {
        match std::env::var(SEED_VARIABLE) {
            Ok(text) => {
                let seed = text.parse().expect("QUORATE_SIM_SEED is the number that a failure names");
                (seed..=seed, true)
            }
            Err(_) => (self.seeds.clone(), false),
        }
    }

    /// What the seeds did, in one line.
    fn summary(&self, report: &Report) -> String {
        let (seeds, _) = self.wanted();
        format!(
            "seeds {} to {}: all rules held; {} commands answered under {} leaders in {} simulated seconds",
            seeds.start(),
            seeds.end(),
            report.acknowledged,
            report.leaders,
            report.simulated_seconds()
        )
    }

    /// What the simulator is told of the machine.
    fn invitation(&self) -> Invitation {
        let (fresh, command) = (self.machine.clone(), self.command.clone());
        let (state, invariant) = (self.state.clone(), self.invariant.clone());
        let machine = move |snapshot: Option<&[u8]>| {
            let mut machine = fresh();
            if let Some(mut snapshot) = snapshot {
                machine.restore(&mut snapshot)?;
            }
            let (state, invariant) = (state.clone(), invariant.clone());
            let machine: Machine = Box::new(move |context, command| {
                apply(&mut machine, context, command, state.as_deref(), invariant.as_deref())
            });
            Ok(machine)
        };
        Invitation {
            machine: Arc::new(machine),
            command: Arc::new(move |chance| encoded(&command(chance))),
            show_command: shown::<S::Command>,
            show_reply: shown::<S::Reply>,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.seed;
        writeln!(f, "seed {seed}: {}", self.story)?;
        if self.repeats {
            writeln!(f, "run once more, it ends in the same way; seeds run: {}", self.runs)?;
        } else {
            writeln!(
                f,
                "run once more, it ends otherwise, so the machine takes something from outside: the order of a hash map, a \
                 clock, chance; seeds run: {}",
                self.runs
            )?;
        }
        writeln!(f, "repeat it with every event as a line: {}", command_to_repeat(seed))?;
        write!(f, "failing seed {seed}")
    }
}

/// Applies one command to a user's machine, and looks at what came of it.
fn apply<S: StateMachine>(
    machine: &mut S,
    context: &Context,
    bytes: &Bytes,
    state: Option<&Look<S, String>>,
    invariant: Option<&Look<S, Result<(), String>>>,
) -> Done {
    let mut broken = None;
    let mut breaks = |rule, what| broken = Some(Broken { rule, what });
    let command = match S::Command::decode(bytes) {
        Ok(command) => command,
        Err(error) => {
            breaks(COMMAND_RULE, error.to_string());
            let nothing = Bytes::new();
            return Done { reply: nothing.clone(), snapshot: nothing.clone(), state: nothing, broken };
        }
    };
    if encoded(&command) != *bytes {
        breaks(COMMAND_RULE, "written once more, its bytes differ".into());
    }
    let reply = encoded(&machine.apply(context, command));
    match S::Reply::decode(&reply) {
        Ok(decoded) if encoded(&decoded) == reply => {}
        Ok(_) => breaks(REPLY_RULE, "written once more, its bytes differ".into()),
        Err(error) => breaks(REPLY_RULE, error.to_string()),
    }
    let mut snapshot = Vec::new();
    if let Err(error) = (machine.snapshot())(&mut snapshot) {
        breaks("a snapshot can be written", error.to_string());
    }
    if let Some(Err(what)) = invariant.map(|invariant| invariant(machine)) {
        breaks("the invariant holds", what);
    }
    let snapshot = Bytes::from(snapshot);
    let state = state.map_or_else(|| snapshot.clone(), |state| state(machine).into());
    Done { reply, snapshot, state, broken }
}

fn encoded<C: Codec>(value: &C) -> Bytes {
    let mut bytes = Vec::new();
    value.encode(&mut bytes);
    bytes.into()
}

fn shown<C: Codec + fmt::Debug>(bytes: &Bytes) -> String {
    C::decode(bytes).map_or_else(|error| format!("undecodable ({error})"), |value| format!("{value:?}"))
}

/// As far as the process knows how it was started: by cargo, in which package, as which test.
fn command_to_repeat(seed: u64) -> String {
    let package =
        std::env::var("CARGO_PKG_NAME").map_or_else(|_| String::new(), |name| format!(" -p {name}"));
    let release = if cfg!(debug_assertions) { "" } else { " --release" };
    match std::thread::current().name() {
        None | Some("main") => format!("{SEED_VARIABLE}={seed} cargo run{release}{package}"),
        Some(test) => {
            format!("{SEED_VARIABLE}={seed} cargo test{release}{package} {test} -- --exact --nocapture")
        }
    }
}

const COMMAND_RULE: &str = "a command is read back as it was written";
const REPLY_RULE: &str = "a reply is read back as it was written";

/// The variable of the environment that names the one seed to run.
const SEED_VARIABLE: &str = "QUORATE_SIM_SEED";

/// How many seeds are run when the user names none.
const SEEDS: u64 = 100;

/// For how long faults strike when the user does not say.
const SECONDS: u64 = 10;

const SECONDS_MAX: u64 = 3600;
