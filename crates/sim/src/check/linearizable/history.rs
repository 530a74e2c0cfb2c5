//! What clients did and saw: calls and answers in the order in which they happened. A process has one operation open at a
//! time. An operation whose outcome nobody knows stays open for ever: it may take effect at any later time, or never. A
//! definite no is an answer like any other: such an operation must have changed nothing.

use std::collections::BTreeMap;

/// The calls and answers of a run, on many objects.
#[derive(Clone, Debug, Default)]
pub struct History {
    operations: Vec<Operation>,
    /// The operation that each busy process has open, as its place in `operations`.
    open: BTreeMap<u64, usize>,
    /// How many calls and answers there were: the only clock. Invariant: above every time in `operations`.
    events_len: u64,
}

/// One operation on one object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The logical process that called.
    pub process: u64,
    /// On what.
    pub object: Object,
    /// What was asked.
    pub call: Call,
    /// When: a place in the order of all calls and answers.
    pub called_at: u64,
    /// What was answered and when; `None` when nobody knows what became of it.
    pub answered: Option<Answered>,
}

/// An answer with its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// When: a place in the order of all calls and answers.
    pub at: u64,
    /// What.
    pub answer: Answer,
}

/// One object. Objects do not know of each other, so each is judged apart.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Which of its kind.
    pub number: u64,
}

/// What an object is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A number that is written and read; 0 at first.
    Register,
    /// A list that grows at its end; empty at first. No value is appended twice.
    List,
    /// A number that is added to, modulo 2^64; 0 at first.
    Counter,
    /// An instance of the built-in machine `lifecycle`; not created at first.
    Instance,
}

/// What is asked of an object.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Call {
    /// Reads the object, whatever its kind.
    Read,
    /// Writes a register.
    Write(u64),
    /// Appends to a list.
    Append(u64),
    /// Adds to a counter.
    Add(u64),
    /// Creates an instance.
    Create,
    /// Proposes an event to an instance.
    Propose {
        /// The event.
        event: Event,
        /// The revision that the instance must have, if the caller says so.
        revision: Option<u64>,
    },
}

/// An event of the machine `lifecycle`.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Event {
    /// Init to Running.
    Start,
    /// Running to Stopped.
    Stop,
    /// Stopped to Init.
    Reset,
}

/// A state of the machine `lifecycle`.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// As created.
    Init,
    /// Started.
    Running,
    /// Stopped.
    Stopped,
}

/// Where an instance stands.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Standing {
    /// Its state.
    pub phase: Phase,
    /// How often it has moved, its creation included.
    pub revision: u64,
}

/// What was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The call was refused before anything happened, for a reason that is not the object's.
    Refused,
    /// It was done; no more is known.
    Done,
    /// A number: of a register or counter after the call, the place (from 0) of what was appended, or a list's length.
    Number(u64),
    /// The values of a list.
    Values(Vec<u64>),
    /// The instance moved, or was created, and stands there now.
    Moved(Standing),
    /// The machine did not allow it; the instance stands there, if there is one.
    Rejected(Option<Standing>),
    /// A read: the instance stands there, if there is one.
    Standing(Option<Standing>),
}

impl History {
    /// A process calls.
    ///
    /// # Panics
    /// If the process has an operation open: it is one thread of thought.
    pub fn call(&mut self, process: u64, object: Object, call: Call) {
        let called_at = self.tick();
        let before = self.open.insert(process, self.operations.len());
        assert!(before.is_none(), "process {process} has one operation open at a time");
        self.operations.push(Operation { process, object, call, called_at, answered: None });
    }

    /// The open operation of a process is answered.
    ///
    /// # Panics
    /// If it has none.
    pub fn answer(&mut self, process: u64, answer: Answer) {
        let at = self.tick();
        let place = self.open.remove(&process).expect("a process is answered while it has an operation open");
        self.operations[place].answered = Some(Answered { at, answer });
    }

    /// A process stops waiting: nobody knows what becomes of its operation. What it calls next is the call of a new process
    /// under the old number.
    ///
    /// # Panics
    /// If it has no operation open.
    pub fn give_up(&mut self, process: u64) {
        let place = self.open.remove(&process);
        assert!(place.is_some(), "process {process} gives up while it has an operation open");
    }

    /// The operations in the order of their calls.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Changes an answer that was given, to see whether a judge notices.
    ///
    /// # Panics
    /// If that operation was not answered.
    pub fn forge(&mut self, place: usize, answer: Answer) {
        let answered = self.operations[place].answered.as_mut().expect("an answer is there to be forged");
        answered.answer = answer;
    }

    /// Whether this process has an operation open.
    pub fn is_open(&self, process: u64) -> bool {
        self.open.contains_key(&process)
    }

    fn tick(&mut self) -> u64 {
        self.events_len += 1;
        self.events_len
    }
}
