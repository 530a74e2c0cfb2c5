//! A user's own machine in the simulator: a good one holds, each planted mistake is caught by its own rule, and the words of a failure say
//! where it was and how to see it again.

use std::collections::BTreeSet;
use std::io;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quorate_replica::state_machine::{Codec, Context, DecodeError, Snapshot, StateMachine};
use quorate_sim::ended::Ended;
use quorate_sim::profile::Profile;
use quorate_sim::trace::TraceMode;
use quorate_sim::{Failure, Rng, Simulation};

/// A mistake in the machine.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Mistake {
    None,
    /// The reply depends on how many machines were made before this one, as one of a hash map's order would.
    ReplyOfItsOwn,
    /// So does the state, but no reply shows it.
    StateOfItsOwn,
    /// The snapshot leaves out the number of commands, which replies show.
    HalfASnapshot,
    /// It takes no snapshot.
    NoRestore,
    /// It panics when the jar is full.
    Panics,
    /// The codec of the command forgets what stands above 255.
    LossyCommand,
    /// The codec of the reply does not take 7.
    LossyReply,
}

/// A jar of coins, of which each command puts in some.
struct Jar {
    mistake: Mistake,
    number: u64,
    coins: u64,
    commands: u64,
    secret: u64,
}

/// Puts coins into the jar.
#[derive(Debug)]
struct Put {
    coins: u64,
    forgets: bool,
}

/// How many commands came so far.
#[derive(Debug)]
struct Count {
    commands: u64,
    refuses_seven: bool,
}

impl StateMachine for Jar {
    type Command = Put;
    type Reply = Count;

    fn apply(&mut self, _context: &Context, put: Put) -> Count {
        self.coins += put.coins;
        self.commands += 1;
        assert!(self.mistake != Mistake::Panics || self.commands < 5, "the jar is full");
        let own = self.number % 2;
        self.secret += if self.mistake == Mistake::StateOfItsOwn { own } else { 0 };
        let shown = if self.mistake == Mistake::ReplyOfItsOwn { own } else { 0 };
        Count { commands: self.commands + shown, refuses_seven: self.mistake == Mistake::LossyReply }
    }

    fn snapshot(&self) -> Snapshot {
        let commands = if self.mistake == Mistake::HalfASnapshot { 0 } else { self.commands };
        let words = [self.coins, commands, self.secret];
        Box::new(move |out| words.iter().try_for_each(|word| out.write_all(&word.to_le_bytes())))
    }

    fn restore(&mut self, source: &mut dyn io::Read) -> io::Result<()> {
        if self.mistake == Mistake::NoRestore {
            return Err(io::Error::other("not now"));
        }
        for field in [&mut self.coins, &mut self.commands, &mut self.secret] {
            let mut word = [0; 8];
            source.read_exact(&mut word)?;
            *field = u64::from_le_bytes(word);
        }
        Ok(())
    }
}

impl Codec for Put {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.coins << 1 | u64::from(self.forgets)).encode(out);
    }

    fn decode(bytes: &Bytes) -> Result<Put, DecodeError> {
        let word = u64::decode(bytes)?;
        let forgets = word & 1 == 1;
        Ok(Put { coins: if forgets { word >> 1 & 255 } else { word >> 1 }, forgets })
    }
}

impl Codec for Count {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.commands << 1 | u64::from(self.refuses_seven)).encode(out);
    }

    fn decode(bytes: &Bytes) -> Result<Count, DecodeError> {
        let word = u64::decode(bytes)?;
        let count = Count { commands: word >> 1, refuses_seven: word & 1 == 1 };
        if count.refuses_seven && count.commands == 7 {
            return Err(DecodeError { what: "seven is not taken".into() });
        }
        Ok(count)
    }
}

/// Jars with this mistake. Each jar has a number of its own, counted from 0 within the simulation.
fn jars(mistake: Mistake) -> Simulation<Jar> {
    let made = Arc::new(AtomicU64::new(0));
    let jar = move || {
        let number = made.fetch_add(1, Ordering::Relaxed);
        Jar { mistake, number, coins: 0, commands: 0, secret: 0 }
    };
    let put =
        move |chance: &mut Rng| Put { coins: chance.below(1000), forgets: mistake == Mistake::LossyCommand };
    Simulation::new(jar, put).seeds(1..=8)
}

/// The first failure of jars with this mistake, which must break `rule`.
fn check(mistake: Mistake, exit_code: u8, rule: &str) -> Failure {
    let failure = jars(mistake).run().expect_err("the mistake is caught");
    assert!(failure.story.contains(rule), "{mistake:?} breaks \"{rule}\", not this: {failure}");
    assert_eq!(failure.exit_code, exit_code, "{failure}");
    failure
}

#[test]
fn a_sound_machine_holds() {
    let report = jars(Mistake::None).run().expect("it is sound");
    assert!(report.acknowledged > 500, "clients get answers: {report:?}");
    let kills = ["kill", "power loss of one", "partition"].map(|fault| report.counters.get(fault));
    assert!(kills.iter().flatten().count() > 1, "faults happen: {:?}", report.counters);
}

#[test]
fn replies_that_differ_are_caught() {
    let failure = check(Mistake::ReplyOfItsOwn, 11, "safety: every node gives the same reply: at ");
    assert!(failure.story.contains("Put { coins: "), "the command is named: {failure}");
    assert!(failure.story.contains("replied Count { commands: 1, "), "so are the replies: {failure}");
}

#[test]
fn states_that_differ_without_any_reply_that_shows_it_are_caught() {
    check(Mistake::StateOfItsOwn, 11, "every node has the same state");
    let shown = jars(Mistake::StateOfItsOwn).state(|jar| format!("secret {}", jar.secret));
    let failure = shown.run().expect_err("the mistake is caught");
    assert!(failure.story.contains("then had secret 1"), "the states are shown: {failure}");
    let blind = jars(Mistake::StateOfItsOwn).state(|jar| format!("{} coins", jar.coins));
    blind.seeds(1..=2).run().expect("nobody looks at the secret");
}

#[test]
fn one_node_alone_is_held_against_the_log() {
    let jars = jars(Mistake::ReplyOfItsOwn).seconds(2);
    let alone = (1..=50).filter(|seed| Profile::draw(*seed).nodes == 1);
    let rules: BTreeSet<String> =
        alone.map(|seed| jars.replay(seed, TraceMode::Off).0.rule().to_owned()).collect();
    // A node that starts again is held against its earlier life; one that never did, against the log.
    let expected = ["every node gives the same reply", "the log in order gives the replies of the nodes"];
    assert_eq!(rules, expected.map(String::from).into());
}

#[test]
fn what_a_snapshot_leaves_out_is_caught() {
    // By a node that starts again or gets the snapshot of another one, or by a machine that is restored beside the cluster.
    let failure = check(Mistake::HalfASnapshot, 11, "");
    let rules = [
        "a restored machine goes on as the one that wrote",
        "every node gives the same reply",
        "every node has the same state",
    ];
    assert!(rules.iter().any(|rule| failure.story.contains(rule)), "{failure}");
    assert!(failure.repeats, "{failure}");
    check(Mistake::NoRestore, 11, "a snapshot can be restored");
}

#[test]
fn a_codec_that_loses_something_is_caught() {
    check(Mistake::LossyCommand, 11, "a command is read back as it was written");
    let failure = check(Mistake::LossyReply, 11, "a reply is read back as it was written");
    assert!(failure.story.contains("seven is not taken"), "{failure}");
}

#[test]
fn a_panic_is_told_with_its_place() {
    let failure = check(Mistake::Panics, 10, "panic: the jar is full");
    assert!(failure.story.contains("the machine of n"), "the node is named: {failure}");
    assert!(failure.story.contains("applying Put { coins: "), "so is the command: {failure}");
}

#[test]
fn an_invariant_is_held_after_each_command() {
    let few = |jar: &Jar| {
        if jar.commands < 4 { Ok(()) } else { Err(format!("{} commands", jar.commands)) }
    };
    let failure = jars(Mistake::None).invariant(few).run().expect_err("more commands come");
    assert_eq!(failure.exit_code, 11);
    assert!(failure.story.contains("safety: the invariant holds: at "), "{failure}");
    assert!(failure.story.contains(": 4 commands\n  the commands before it:\n"), "{failure}");
    assert_eq!(failure.story.matches(" -> Count").count(), 3, "three came before it: {failure}");
}

#[test]
fn a_failure_names_the_seed_first_and_last_and_how_to_repeat_it() {
    let failed = catch_unwind(|| jars(Mistake::HalfASnapshot).seeds(3..=40).check());
    let words = failed.expect_err("the mistake is caught");
    let words = words.downcast_ref::<String>().expect("a failure has words");
    let seed =
        words.strip_prefix("seed ").and_then(|rest| rest.split_once(':')).expect("the seed is first").0;
    assert!(words.ends_with(&format!("\nfailing seed {seed}")), "{words}");
    assert!(seed.parse::<u64>().is_ok_and(|seed| (3..=40).contains(&seed)), "{words}");
    let repeat = format!("QUORATE_SIM_SEED={seed} cargo test ");
    let this =
        "own_machines::a_failure_names_the_seed_first_and_last_and_how_to_repeat_it -- --exact --nocapture";
    assert!(words.contains(&repeat) && words.contains(this), "{words}");
    assert!(words.contains("run once more, it ends in the same way; "), "{words}");
}

#[test]
fn a_machine_that_takes_from_outside_is_told_so() {
    let failure = check(Mistake::ReplyOfItsOwn, 11, "same reply");
    let told = failure.to_string().contains("it ends otherwise, so the machine takes something from outside");
    assert_eq!(told, !failure.repeats, "{failure}");
}

#[test]
fn a_seed_is_replayed_line_for_line_with_what_the_machine_said() {
    let jars = jars(Mistake::None);
    let [one, two] = [(); 2].map(|()| jars.replay(2, TraceMode::Keep));
    assert!(matches!((&one.0, &two.0), (Ended::Held(_), Ended::Held(_))));
    assert_eq!(one.1.lines(), two.1.lines());
    let says = |line: &&String| line.contains(" applied ") && line.contains("Put { coins: ");
    assert!(one.1.lines().iter().filter(says).count() > 20, "each command of each node is a line");
}
