//! The verb `planted`: one known mistake after the other is made in the parts under test, and a check must catch each. It is
//! told which golden scripts no longer come out as they are written, which story of a broken disk ends otherwise, and which
//! seed of the simulator breaks which rule.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use quorate_core::planted::{Bug, plant};
use quorate_sim::ended::{Ended, attempt};
use quorate_sim::golden;
use quorate_sim::trace::TraceMode;
use quorate_sim::world::World;

use crate::stopwatch;

mod disk_stories;

/// How a bug shows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Shows {
    /// Seeds of the simulator break a rule, and perhaps a script differs too.
    InRuns,
    /// It takes a scenario: a script or a story of a broken disk.
    InScripts,
}

/// All bugs, with how each shows.
const BUGS: &[(Bug, Shows)] = &[
    (Bug::PromiseBeforeFsync, Shows::InRuns),
    (Bug::VoteNotPersisted, Shows::InRuns),
    (Bug::VoteErasedOnStepDown, Shows::InRuns),
    (Bug::OldTermCommittedByCount, Shows::InRuns),
    (Bug::OwnEntriesCountedUnsynced, Shows::InRuns),
    (Bug::ReadBeforeOwnCommit, Shows::InRuns),
    (Bug::ReadWithoutRound, Shows::InRuns),
    (Bug::OldRoundConfirmsNew, Shows::InRuns),
    (Bug::CommittedEntriesTruncated, Shows::InRuns),
    (Bug::StaleAppendShortensLog, Shows::InRuns),
    (Bug::CommitBeyondCovered, Shows::InRuns),
    (Bug::HeartbeatCommitNotCapped, Shows::InRuns),
    (Bug::OvertakenWriteAcknowledges, Shows::InRuns),
    (Bug::MatchOfEarlierTermKept, Shows::InRuns),
    (Bug::OldAcknowledgementCounted, Shows::InRuns),
    (Bug::VoteForOlderLog, Shows::InRuns),
    (Bug::PreVoteWhileLeaderLives, Shows::InScripts),
    (Bug::NoCheckQuorum, Shows::InScripts),
    (Bug::OwnVoteCountedUnsynced, Shows::InRuns),
    (Bug::TermsRaisedWhileDiskWaits, Shows::InScripts),
    (Bug::StaleFetchUsed, Shows::InRuns),
    (Bug::CandidateIgnoresLeader, Shows::InScripts),
    (Bug::TransferToLaggingNode, Shows::InScripts),
    (Bug::ProposalsTakenWhileHandingOver, Shows::InScripts),
    (Bug::TransferNeverGivenUp, Shows::InRuns),
    (Bug::UnfitLeaderStays, Shows::InRuns),
    (Bug::UnfitNodeTakesTheLeadBack, Shows::InScripts),
    (Bug::DonationByLength, Shows::InRuns),
    (Bug::PriorityZeroElected, Shows::InScripts),
    (Bug::PausedNodeAcknowledges, Shows::InRuns),
    (Bug::PausedNodeLeads, Shows::InRuns),
    (Bug::MembershipUsedWhenCommitted, Shows::InRuns),
    (Bug::MembershipLostOnRestart, Shows::InRuns),
    (Bug::ChangeBeforeOwnCommit, Shows::InRuns),
    (Bug::LearnerCounted, Shows::InRuns),
    (Bug::RemovedNodeCounted, Shows::InRuns),
    (Bug::OldVotersNotAsked, Shows::InRuns),
    (Bug::TermWraps, Shows::InRuns),
    (Bug::SyncSkipped, Shows::InRuns),
    (Bug::FailedSyncRetried, Shows::InScripts),
    (Bug::SegmentNameNotSynced, Shows::InRuns),
    (Bug::SegmentWithoutVote, Shows::InRuns),
    (Bug::DamageCutAsTornTail, Shows::InScripts),
    (Bug::MisdirectedBatchCut, Shows::InScripts),
    (Bug::LostLogMadeAnew, Shows::InScripts),
    (Bug::SnapshotNotSynced, Shows::InScripts),
    (Bug::SnapshotNameNotSynced, Shows::InScripts),
    (Bug::OldSnapshotInstalled, Shows::InScripts),
    (Bug::SnapshotTermIgnored, Shows::InScripts),
    (Bug::SnapshotWithoutSessions, Shows::InRuns),
    (Bug::LogNamedBeforeItsSegment, Shows::InScripts),
    (Bug::DamageAcknowledged, Shows::InScripts),
    (Bug::DamagedNodeCampaigns, Shows::InScripts),
    (Bug::RepairedByIndexAlone, Shows::InScripts),
    (Bug::RepeatedRequestApplied, Shows::InRuns),
    (Bug::FailureKeptAsAnswer, Shows::InRuns),
    (Bug::KeysExpireByLocalClock, Shows::InRuns),
    (Bug::LocalClockInApply, Shows::InRuns),
    (Bug::LevelOfTheBinary, Shows::InRuns),
    (Bug::LeaderTrustsItsClock, Shows::InRuns),
    (Bug::LeaseIgnoresDrift, Shows::InRuns),
    (Bug::LeaseFromReceipt, Shows::InRuns),
    (Bug::LeaseWithoutPromise, Shows::InRuns),
    (Bug::LeaseByWallClock, Shows::InRuns),
    (Bug::TransferKeepsLease, Shows::InRuns),
    (Bug::OldWordFreesVoters, Shows::InRuns),
    (Bug::RestartedFollowerVotes, Shows::InRuns),
    (Bug::UncommittedBytesUnbounded, Shows::InRuns),
    (Bug::InflightBytesUnbounded, Shows::InRuns),
    (Bug::PendingBytesUnbounded, Shows::InRuns),
];

/// What the simulator said of a bug.
struct Catch {
    rule: String,
    seed: u64,
    simulated_us: u64,
    millis: u64,
}

/// The bug of this name.
pub(crate) fn named(name: &str) -> Option<Bug> {
    BUGS.iter().map(|(bug, _)| *bug).find(|bug| format!("{bug:?}") == name)
}

/// Plants one bug after the other, or only the one that is named, and prints a table of what caught each.
pub(crate) fn run(words: &[&str]) -> ExitCode {
    let (minutes_each, wanted) = match words {
        [] => (MINUTES_EACH, None),
        [bug] => (MINUTES_EACH, Some(*bug)),
        ["--minutes-each", minutes, rest @ ..] if rest.len() <= 1 => match minutes.parse() {
            Ok(minutes) => (minutes, rest.first().copied()),
            Err(_) => return ExitCode::from(2),
        },
        _ => return ExitCode::from(2),
    };
    // A panic is a catch like any other; it is told in the table.
    std::panic::set_hook(Box::new(|_| {}));
    let scripts = scripts();
    plant(None);
    let differing =
        scripts.iter().find(|(name, script)| differs(name, script)).map(|(name, _)| name.as_str());
    if let Some(name) = differing.or_else(|| disk_stories::broken().next()) {
        println!("`{name}` ends otherwise although nothing is planted");
        return ExitCode::from(11);
    }
    println!(
        "| planted bug | rule that caught it in the simulator | seed | simulated | real | scripts and stories |"
    );
    println!("|---|---|---|---|---|---|");
    let mut escaped = 0;
    let mut count = 0;
    for (bug, shows) in BUGS {
        let name = format!("{bug:?}");
        if wanted.is_some_and(|wanted| wanted != name) {
            continue;
        }
        count += 1;
        plant(Some(*bug));
        let differing = scripts.iter().filter(|(name, script)| differs(name, script));
        let mut told: Vec<&str> = differing.map(|(name, _)| name.as_str()).collect();
        for story in disk_stories::broken() {
            told.push(story);
        }
        let searches = *shows == Shows::InRuns || told.is_empty();
        let caught = if searches { search(minutes_each) } else { None };
        plant(None);
        if caught.is_none() && (told.is_empty() || *shows == Shows::InRuns) {
            escaped += 1;
        }
        println!("{}", row(&name, searches, caught.as_ref(), &told));
    }
    println!("{count} bugs, {escaped} escaped");
    if escaped == 0 && count > 0 { ExitCode::SUCCESS } else { ExitCode::from(11) }
}

fn row(name: &str, searched: bool, caught: Option<&Catch>, told: &[&str]) -> String {
    let found = match caught {
        Some(Catch { rule, seed, simulated_us, millis }) => {
            let (seconds, tenths) = (simulated_us / 1_000_000, simulated_us / 100_000 % 10);
            format!("{rule} | {seed} | {seconds}.{tenths} s | {}.{:03} s", millis / 1000, millis % 1000)
        }
        None if searched => "ESCAPED | | |".into(),
        None => "not searched: it takes a scenario | | |".into(),
    };
    let more = told.len().saturating_sub(SHOWN_MAX);
    let mut scripts =
        told.iter().take(SHOWN_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if more > 0 {
        scripts.push_str(&format!(" and {more} more"));
    }
    format!("| {name} | {found} | {scripts} |")
}

/// Seeds from 1 on, until one breaks a rule.
fn search(minutes: u64) -> Option<Catch> {
    let watch = stopwatch();
    let mut simulated_us = 0;
    for seed in 1.. {
        if watch() > minutes * 60_000 {
            break;
        }
        let mut world = World::new(seed, TraceMode::Off);
        let ended = attempt(&mut world);
        simulated_us += world.now_us();
        let rule = match ended {
            Ended::Held(_) => continue,
            Ended::Broken(violation) => violation.rule.to_owned(),
            Ended::Panicked(message) => format!("assertion: {}", message.lines().next().unwrap_or_default()),
        };
        return Some(Catch { rule, seed, simulated_us, millis: watch() });
    }
    None
}

/// Whether a script comes out otherwise than it is written.
fn differs(name: &str, script: &str) -> bool {
    assert!(script.contains("\n---\n"), "{name} has its output below it");
    catch_unwind(AssertUnwindSafe(|| golden::run(script))).map_or(true, |output| output != script)
}

/// The golden scripts of the core, by name.
fn scripts() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/golden");
    let mut scripts: Vec<(String, String)> = fs::read_dir(&folder)
        .expect("the verb runs within the source tree")
        .map(|entry| entry.expect("the folder lists").path())
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a script is text"))
        })
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "there are scripts");
    scripts
}

/// For how long seeds are searched for each bug, in minutes.
const MINUTES_EACH: u64 = 10;
/// How many scripts a row names.
const SHOWN_MAX: usize = 2;
