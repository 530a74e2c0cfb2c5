//! The classes of fault that happen at a point in time, by name. What lasts for a whole run (loss, delay, tiny limits) stands in
//! the profile.

/// A class of scheduled fault.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Class {
    /// One node loses its power, and what its disk had not synced.
    PowerLoss,
    /// One process dies; the operating system keeps what was written.
    Kill,
    /// The leader loses its power.
    PowerLossOfLeader,
    /// All nodes lose their power at once.
    PowerLossOfAll,
    /// All processes die at once.
    KillOfAll,
    /// One process dies again and again, each time soon after its start.
    CrashLoop,
    /// The nodes fall into two groups that do not hear each other.
    Partition,
    /// One node is cut off in both directions.
    Isolation,
    /// The leader is cut off in both directions.
    IsolationOfLeader,
    /// One directed link is cut.
    OneWayCut,
    /// The leader sends and is not heard, or hears and cannot send.
    OneWayIsolationOfLeader,
    /// The leader is not heard, and answers to what it said before reach it late, while another one may lead by then.
    LateAnswers,
    /// Two groups that are joined by one node alone.
    Bridge,
    /// All hear one node that does not lead, and nobody else: the leader has lost its quorum and does not know who has one.
    QuorumLoss,
    /// Each node hears only its two neighbours in a chain.
    Chain,
    /// The leader is cut off, and of the rest only one node, perhaps with an old log, hears all others.
    Constrained,
    /// One directed link is slow.
    SlowLink,
    /// Connections break and are made anew: what was under way is lost, a suffix of what was sent.
    Reset,
    /// One kind of message does not pass.
    KindLost,
    /// Large messages do not pass, small ones do.
    LargeLost,
    /// Large messages of the leader do not pass; all others do.
    LargeLostOfLeader,
    /// One process stops for a while, and finds its inbox full when it goes on.
    Pause,
    /// One machine sleeps for a while: the process stops and its ticks stand still, while its monotonic clock goes on.
    Suspend,
    /// One disk stops for a while.
    DiskStall,
    /// One disk is slow for a while.
    SlowDisk,
    /// The leader's disk is slow for seconds, and the others are not.
    SlowDiskOfLeader,
    /// A wall clock jumps by minutes, days or months, forwards or back.
    WallJump,
    /// A clock changes its rate.
    ClockRate,
    /// A clock stands still for a while.
    ClockFreeze,
    /// One node stands for election out of turn.
    Campaign,
    /// A write fails; some of its sectors are written.
    WriteError,
    /// A sync fails, and the system calls its pages clean: reads show the new bytes, the disk has the old ones.
    SyncError,
    /// No space is left for a while.
    DiskFull,
    /// A read fails.
    ReadError,
    /// A write fails after its beginning was written.
    ShortWrite,
    /// The file system allows no change for a while.
    ReadOnly,
    /// A bit changes where it lies.
    BitRot,
    /// A write goes to the wrong place of its file.
    Misdirect,
    /// A read gives what stands in another place of its file.
    MisdirectedRead,
    /// A sync succeeds and has done nothing.
    LostWrite,
    /// All that a node ever stored is deleted.
    Wipe,
    /// An operator wants another leader, one by name or any.
    Transfer,
    /// An operator changes the members: a new node, a promotion, a removal.
    Members,
    /// Some nodes lose their power, and their disks entries or a snapshot, of each of which an intact copy is left elsewhere.
    Losses,
    /// A leader with a lease is cut off while it is asked for reads, and the others elect one of them as soon as they may.
    Ambush,
}

/// All scheduled classes.
pub const CLASSES: [Class; 45] = [
    Class::PowerLoss,
    Class::Kill,
    Class::PowerLossOfLeader,
    Class::PowerLossOfAll,
    Class::KillOfAll,
    Class::CrashLoop,
    Class::Partition,
    Class::Isolation,
    Class::IsolationOfLeader,
    Class::OneWayCut,
    Class::OneWayIsolationOfLeader,
    Class::LateAnswers,
    Class::Bridge,
    Class::QuorumLoss,
    Class::Chain,
    Class::Constrained,
    Class::SlowLink,
    Class::Reset,
    Class::KindLost,
    Class::LargeLost,
    Class::LargeLostOfLeader,
    Class::Pause,
    Class::Suspend,
    Class::DiskStall,
    Class::SlowDisk,
    Class::SlowDiskOfLeader,
    Class::WallJump,
    Class::ClockRate,
    Class::ClockFreeze,
    Class::Campaign,
    Class::WriteError,
    Class::SyncError,
    Class::DiskFull,
    Class::ReadError,
    Class::ShortWrite,
    Class::ReadOnly,
    Class::BitRot,
    Class::Misdirect,
    Class::MisdirectedRead,
    Class::LostWrite,
    Class::Wipe,
    Class::Transfer,
    Class::Members,
    Class::Losses,
    Class::Ambush,
];

impl Class {
    /// The name under which hits are counted.
    pub fn name(self) -> &'static str {
        match self {
            Class::PowerLoss => "power loss",
            Class::Kill => "kill",
            Class::PowerLossOfLeader => "power loss of the leader",
            Class::PowerLossOfAll => "power loss of all",
            Class::KillOfAll => "kill of all",
            Class::CrashLoop => "crash loop",
            Class::Partition => "partition",
            Class::Isolation => "isolation",
            Class::IsolationOfLeader => "isolation of the leader",
            Class::OneWayCut => "one-way cut",
            Class::OneWayIsolationOfLeader => "one-way isolation of the leader",
            Class::LateAnswers => "late answers to a leader that is not heard",
            Class::Bridge => "bridge",
            Class::QuorumLoss => "shape: quorum loss",
            Class::Chain => "shape: chain",
            Class::Constrained => "shape: constrained election",
            Class::SlowLink => "slow link",
            Class::Reset => "connection reset",
            Class::KindLost => "one kind of message lost",
            Class::LargeLost => "large messages lost",
            Class::LargeLostOfLeader => "large messages of the leader lost",
            Class::Pause => "pause",
            Class::Suspend => "suspended",
            Class::DiskStall => "disk stall",
            Class::SlowDisk => "disk becomes slow",
            Class::SlowDiskOfLeader => "disk of the leader becomes slow",
            Class::WallJump => "wall clock jump",
            Class::ClockRate => "clock changes its rate",
            Class::ClockFreeze => "clock stands still",
            Class::Campaign => "campaign out of turn",
            Class::WriteError => "disk: write error due",
            Class::SyncError => "disk: sync error due",
            Class::DiskFull => "disk: becomes full",
            Class::ReadError => "disk: read error due",
            Class::ShortWrite => "disk: short write due",
            Class::ReadOnly => "disk: becomes read-only",
            Class::BitRot => "disk: bit rot",
            Class::Misdirect => "disk: misdirected write due",
            Class::MisdirectedRead => "disk: misdirected read due",
            Class::LostWrite => "disk: lost write due",
            Class::Wipe => "wipe of a node",
            Class::Transfer => "transfer of the leadership",
            Class::Members => "change of the members",
            Class::Losses => "disks lose what others hold",
            Class::Ambush => "ambush of a leader with a lease",
        }
    }

    /// Whether it damages what a disk has confirmed, or gives back something else. Such faults strike fewer nodes than half, so that each committed entry keeps an
    /// intact copy on some node of every quorum of the others.
    pub fn damages(self) -> bool {
        matches!(
            self,
            Class::BitRot | Class::Misdirect | Class::MisdirectedRead | Class::LostWrite | Class::Wipe
        )
    }
}
