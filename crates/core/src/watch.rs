//! What makes a leader give way that is heard by a quorum and still serves badly: entries that do not progress, and a node that is
//! meant to lead rather than this one (thesis 3.10 for how, 6.2 for why a leader must not stay just because its heartbeats pass).
//!
//! - *Its own disk is slower than a quorum's.* Others commit what it has yet to write, so its callers wait for its disk alone. A disk that
//!   is slow like all others is no reason: nobody else would do better.
//! - *Its own disk stands.* Others could go on without it.
//! - *Entries do not arrive although heartbeats do*, as on a path that loses large messages: another leader's paths may be sound.
//! - *Another voter of higher priority is fit and up to date.*
//!
//! Who gave way as unfit rests, so that it does not take the leadership back at once ([`crate::fitness`]). Bursts must not accuse
//! a sound leader: what counts is what lasts for election timeouts, and time without trouble counts against it.

use crate::fitness::slow_disk_ticks;
use crate::message::Standing;
use crate::planted::{self, Bug};
use crate::progress::Progress;
use crate::quorum;
use crate::raft::Raft;
use crate::ready::Fact;
use crate::role::{Leader, RoleState};
use crate::transfer::Transfer;
use crate::types::{Index, NodeId};

/// What a leader watches of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Watch {
    /// For how many ticks it has led.
    pub(crate) led_ticks: u64,
    /// The commit index when the own disk was first seen behind it, and the ticks since; until the disk has come that far.
    pub(crate) behind: Option<(Index, u64)>,
    /// For how many ticks the own disk was behind by more than is borne, less those for which it was not.
    pub(crate) behind_ticks: u64,
    /// Why it hands over, if it does so by itself.
    pub(crate) giving_way: Option<&'static str>,
}

impl Watch {
    /// Time has passed. Behind by more than `bound` ticks counts from its beginning; by less it counts as if it had not been.
    fn on_tick(&mut self, elapsed: u64, bound: u64) {
        self.led_ticks = self.led_ticks.saturating_add(elapsed);
        match &mut self.behind {
            Some((_, ticks)) => {
                let before = *ticks;
                *ticks = ticks.saturating_add(elapsed);
                if *ticks >= bound {
                    let counted = if before < bound { *ticks } else { elapsed };
                    self.behind_ticks = self.behind_ticks.saturating_add(counted);
                }
            }
            None => self.behind_ticks = self.behind_ticks.saturating_sub(elapsed),
        }
    }

    /// The disk or the commit index has moved.
    pub(crate) fn on_moved(&mut self, persisted: Index, commit: Index, bound: u64) {
        if let Some((through, ticks)) = self.behind
            && persisted >= through
        {
            if ticks < bound {
                self.behind_ticks = self.behind_ticks.saturating_sub(ticks);
            }
            self.behind = None;
        }
        if self.behind.is_none() && commit > persisted {
            self.behind = Some((commit, 0));
        }
    }
}

impl Raft {
    /// Time has passed; `disk_stands` tells whether the own disk has been silent for too long where others could go on without it. Hands
    /// over if somebody else would lead better; returns why to step down at once, if so.
    pub(crate) fn on_watch_tick(&mut self, elapsed: u64, disk_stands: bool) -> Option<&'static str> {
        let (timeout, bound) = (self.config.election_timeout_ticks, slow_disk_ticks(&self.config));
        let (last, persisted, commit) = (self.log.last().index, self.log.persisted(), self.commit);
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader watches itself") };
        leader.watch.on_tick(elapsed, bound);
        leader.watch.on_moved(persisted, commit, bound);
        for peer in leader.peers.values_mut() {
            peer.on_watched(elapsed, last);
        }
        let slow = leader.watch.behind_ticks >= timeout.saturating_mul(BEHIND_TIMEOUTS);
        let hands_over = leader.transfer.is_some();
        if planted::is(Bug::UnfitLeaderStays) {
            return None;
        }
        if disk_stands {
            return Some(DISK_STANDS);
        }
        if self.loses_entries() {
            return Some(ENTRIES_LOST);
        }
        if hands_over {
            return None;
        }
        if slow && let Some(to) = self.node_with_faster_disk() {
            self.begin_rest();
            self.give_way(to, DISK_SLOW);
        } else if let Some(to) = self.node_of_higher_priority() {
            self.fitness.handover.begin(timeout);
            self.give_way(to, LOWER_PRIORITY);
        }
        None
    }

    /// Whether a quorum would hold what waits for its commit if only it arrived: those who answer heartbeats, whose disks do not stand
    /// and who have room, and who have got nothing of what they lack for a long time.
    fn loses_entries(&self) -> bool {
        let timeout = self.config.election_timeout_ticks;
        let lost_ticks = timeout.saturating_mul(LOST_TIMEOUTS);
        let (node, commit) = (self.config.node, self.commit);
        if self.log.last().index <= commit {
            return false;
        }
        let RoleState::Leader(leader) = &self.role else { unreachable!("only a leader sends entries") };
        let gets_nothing = |peer: &Progress| {
            let could_write = |standing: Standing| !standing.full && u64::from(standing.disk_ticks) < timeout;
            peer.silent_ticks < timeout
                && peer.stalled_ticks >= lost_ticks
                && !peer.wants_snapshot()
                && peer.standing.is_some_and(could_write)
        };
        let is_any = leader.peers.values().any(gets_nothing);
        is_any
            && quorum::has_quorum(&self.membership(), |voter| {
                voter == node
                    || leader
                        .peers
                        .get(&voter)
                        .is_some_and(|peer| peer.matched() > commit || gets_nothing(peer))
            })
    }

    /// A voter that holds what is committed and whose disk is at least twice as fast as the own one.
    fn node_with_faster_disk(&self) -> Option<NodeId> {
        let own_ticks = self.own_disk_ticks();
        self.fittest(|_, standing| 2 * u64::from(standing.disk_ticks) <= own_ticks && standing.priority > 0)
    }

    /// A voter that is meant to lead rather than this node, now that nothing else is going on.
    fn node_of_higher_priority(&self) -> Option<NodeId> {
        let RoleState::Leader(leader) = &self.role else { unreachable!("only a leader hands over") };
        let own = self.config.priority;
        // Who should never lead goes as soon as it can; all others only when the cluster has come to rest.
        let stable_ticks = self.config.election_timeout_ticks.saturating_mul(STABLE_TIMEOUTS);
        let is_stable = own == 0 || leader.watch.led_ticks >= stable_ticks;
        let membership = self.newest_membership();
        let changes = membership.is_none_or(|(index, members)| index > self.commit || members.is_joint());
        if own == PRIORITY_HIGHEST || self.fitness.handover.lasts() || !is_stable || changes {
            return None;
        }
        let slow_ticks = slow_disk_ticks(&self.config).max(2 * self.own_disk_ticks());
        self.fittest(|peer, standing| {
            standing.priority > own
                && u64::from(standing.disk_ticks) <= slow_ticks
                && peer.silent_ticks <= self.config.heartbeat_ticks.saturating_mul(2)
        })
    }

    /// The best to lead of the other voters for whom `suits`: heard, up to date as far as is committed, and not at rest.
    fn fittest(&self, suits: impl Fn(&Progress, Standing) -> bool) -> Option<NodeId> {
        let RoleState::Leader(leader) = &self.role else { unreachable!("only a leader knows its peers") };
        let knows_commit = self.commit >= leader.term_first;
        let membership = self.membership();
        let timeout = self.config.election_timeout_ticks;
        let fit = leader.peers.iter().filter_map(|(node, peer)| {
            let standing = peer.standing.filter(|standing| !standing.rests && !standing.full)?;
            let is_fit = membership.voters.contains(node)
                && peer.silent_ticks < timeout
                && peer.matched() >= self.commit
                && suits(peer, standing);
            is_fit.then_some((node, peer, standing))
        });
        let rank = |(node, peer, standing): &(&NodeId, &Progress, Standing)| {
            (standing.priority, peer.matched(), std::cmp::Reverse(**node))
        };
        let best = fit.max_by_key(rank).map(|(node, _, _)| *node);
        best.filter(|_| knows_commit)
    }

    /// Begins to hand over without having been asked.
    pub(crate) fn give_way(&mut self, to: NodeId, reason: &'static str) {
        let RoleState::Leader(leader) = &mut self.role else { unreachable!("only a leader gives way") };
        assert!(leader.transfer.is_none(), "one transfer at a time");
        let Leader { transfer, watch, .. } = &mut **leader;
        *transfer = Some(Transfer { ticket: None, to, elapsed_ticks: 0 });
        watch.giving_way = Some(reason);
        watch.behind_ticks = 0;
        self.out.facts.push(Fact::GivesWay { to, reason });
        self.urge_successor();
    }
}

/// For how many election timeouts in all the own disk may be behind the others.
const BEHIND_TIMEOUTS: u64 = 2;
/// For how many election timeouts entries may not arrive at a node that answers heartbeats.
const LOST_TIMEOUTS: u64 = 4;
/// For how many election timeouts a leader leads before it looks for one of higher priority.
const STABLE_TIMEOUTS: u64 = 4;
/// There is no higher priority than this.
const PRIORITY_HIGHEST: u8 = crate::config::PRIORITY_MAX;

/// Reasons for giving way, in words.
const DISK_SLOW: &str = "the own disk is slower than the others'";
const DISK_STANDS: &str = "the own disk has not answered for four election timeouts";
const ENTRIES_LOST: &str = "entries do not arrive although heartbeats do";
const LOWER_PRIORITY: &str = "a node of higher priority is fit to lead";
