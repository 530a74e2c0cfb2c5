//! Which run it is: a seed, and what stands in place of what the seed draws. Its text is the options of `run`, `replay` and `shrink`; a
//! failing run is told, kept in the corpus and made smaller as such a line.

use std::collections::BTreeSet;
use std::fmt;

use crate::knobs::{KNOBS, Knob};
use crate::profile::Profile;
use crate::trace::TraceMode;
use crate::world::World;

/// A run.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Recipe {
    /// Decides all that the rest leaves open.
    pub seed: u64,
    /// The standard mix of faults instead of the drawn one.
    pub standard: bool,
    /// How many nodes.
    pub nodes: Option<u64>,
    /// How many clients.
    pub clients: Option<u32>,
    /// How many operations each client begins at most.
    pub operations: Option<u64>,
    /// When faults end and healing begins, in microseconds of virtual time.
    pub until_us: Option<u64>,
    /// The knobs that stay as drawn; all others are plain.
    pub knobs: Option<BTreeSet<&'static str>>,
    /// The faults that strike, by number.
    pub only: Option<BTreeSet<u64>>,
    /// It fails on purpose.
    pub drill: Option<Drill>,
    /// The name of a planted bug.
    pub planted: Option<String>,
}

/// A run that fails on purpose when the fault [`DRILL_FAULT`] strikes: what sounds the alarm must be tried too.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Drill {
    /// A panic.
    Panic,
    /// A broken safety rule.
    Safety,
    /// Missing progress.
    Liveness,
}

impl Recipe {
    /// The run of this seed as it is drawn.
    pub fn new(seed: u64) -> Recipe {
        Recipe { seed, ..Recipe::default() }
    }

    /// Takes an option of a recipe, with its value, from the front of `words`. False if another word stands there.
    ///
    /// # Errors
    /// In words, when the value is missing or is none.
    pub fn take(&mut self, words: &mut &[&str]) -> Result<bool, String> {
        let Some((option, rest)) = words.split_first() else { return Ok(false) };
        if *option == "--standard" {
            self.standard = true;
            *words = rest;
            return Ok(true);
        }
        let known = [
            "--seed",
            "--nodes",
            "--clients",
            "--operations",
            "--until",
            "--knobs",
            "--only",
            "--drill",
            "--planted",
        ];
        if !known.contains(option) {
            return Ok(false);
        }
        let (value, rest) = rest.split_first().ok_or_else(|| format!("{option} needs a value"))?;
        *words = rest;
        let wrong = || format!("{option} {value}: no such value");
        let list = || value.split(',').filter(|word| !word.is_empty() && *word != "none");
        let number = || value.parse::<u64>().map_err(|_| wrong());
        match *option {
            "--seed" => self.seed = number()?,
            "--nodes" => self.nodes = Some(number()?).filter(|nodes| (1..=NODES_MAX).contains(nodes)),
            "--clients" => self.clients = Some(value.parse().map_err(|_| wrong())?),
            "--operations" => self.operations = Some(number()?),
            "--until" => self.until_us = Some(micros(value).ok_or_else(wrong)?),
            "--knobs" => {
                let named = |name| Knob::named(name).map(|knob| knob.name);
                self.knobs = Some(list().map(named).collect::<Option<_>>().ok_or_else(wrong)?);
            }
            "--only" => {
                let numbers = list().map(|number| number.parse().ok());
                self.only = Some(numbers.collect::<Option<_>>().ok_or_else(wrong)?);
            }
            "--drill" => self.drill = Some(Drill::named(value).ok_or_else(wrong)?),
            _ => self.planted = Some((*value).to_owned()),
        }
        let empty = self.nodes.is_none() && *option == "--nodes" || self.clients == Some(0);
        if empty { Err(wrong()) } else { Ok(true) }
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    /// In words, when a word is no option of a recipe, or no seed is named.
    pub fn parse(text: &str) -> Result<Recipe, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let mut recipe = Recipe::default();
        let mut rest = words.as_slice();
        while !rest.is_empty() {
            if !recipe.take(&mut rest)? {
                return Err(format!("{} is no option of a run", rest[0]));
            }
        }
        if words.contains(&"--seed") { Ok(recipe) } else { Err("no seed is named".into()) }
    }

    /// The settings of the run.
    pub fn profile(&self) -> Profile {
        let mut profile = if self.standard { Profile::standard(self.seed) } else { Profile::draw(self.seed) };
        if let Some(kept) = &self.knobs {
            for knob in KNOBS.into_iter().filter(|knob| !kept.contains(knob.name)) {
                knob.reset(&mut profile);
            }
        }
        profile.nodes = self.nodes.unwrap_or(profile.nodes);
        profile.clients = self.clients.unwrap_or(profile.clients);
        profile.faulty_us = self.until_us.unwrap_or(profile.faulty_us);
        profile.operations_max = self.operations.unwrap_or(profile.operations_max);
        profile
    }

    /// The knobs that are not plain.
    pub fn turned(&self) -> Vec<&'static str> {
        let profile = self.profile();
        KNOBS.into_iter().filter(|knob| knob.is_turned(&profile)).map(|knob| knob.name).collect()
    }

    /// The world before its first event.
    pub fn world(&self, trace: TraceMode) -> World {
        let world = World::with_profile(self.seed, self.profile(), trace).with_drill(self.drill);
        match &self.only {
            Some(only) => world.with_faults(self.seed, only.clone()),
            None => world,
        }
    }

    /// The command that does something with this run.
    pub fn command(&self, verb: &str) -> String {
        let features = if self.planted.is_some() { " --features planted" } else { "" };
        format!("cargo run --release -p quorate-sim{features} -- {verb} {self}")
    }
}

impl Drill {
    fn named(name: &str) -> Option<Drill> {
        [Drill::Panic, Drill::Safety, Drill::Liveness].into_iter().find(|drill| drill.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Drill::Panic => "panic",
            Drill::Safety => "safety",
            Drill::Liveness => "liveness",
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {}", self.seed)?;
        if self.standard {
            f.write_str(" --standard")?;
        }
        if let Some(nodes) = self.nodes {
            write!(f, " --nodes {nodes}")?;
        }
        if let Some(clients) = self.clients {
            write!(f, " --clients {clients}")?;
        }
        if let Some(operations) = self.operations {
            write!(f, " --operations {operations}")?;
        }
        if let Some(until_us) = self.until_us {
            write!(f, " --until {}s", seconds(until_us))?;
        }
        if let Some(knobs) = &self.knobs {
            write!(f, " --knobs {}", or_none(knobs.iter().copied().collect::<Vec<_>>().join(",")))?;
        }
        if let Some(only) = &self.only {
            write!(f, " --only {}", or_none(only.iter().map(u64::to_string).collect::<Vec<_>>().join(",")))?;
        }
        if let Some(drill) = self.drill {
            write!(f, " --drill {}", drill.name())?;
        }
        if let Some(bug) = &self.planted {
            write!(f, " --planted {bug}")?;
        }
        Ok(())
    }
}

fn or_none(list: String) -> String {
    if list.is_empty() { "none".into() } else { list }
}

/// Microseconds as seconds, without zeros that say nothing.
fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / SECOND_US, us % SECOND_US);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `12s` or `12.345s`, to the microsecond.
fn micros(text: &str) -> Option<u64> {
    let text = text.strip_suffix('s')?;
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<6}");
    let digits = part.len() == 6 && part.bytes().all(|byte| byte.is_ascii_digit());
    let whole: u64 = whole.parse().ok()?;
    digits
        .then(|| part.parse().ok())
        .flatten()
        .and_then(|part: u64| whole.checked_mul(SECOND_US).and_then(|whole| whole.checked_add(part)))
}

const SECOND_US: u64 = crate::profile::SECOND_US;

/// The largest cluster that is drawn.
const NODES_MAX: u64 = 5;

/// The fault with which a drill fails.
pub const DRILL_FAULT: u64 = 5;
