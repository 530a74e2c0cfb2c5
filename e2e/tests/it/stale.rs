//! Stale reads under faults, and their rule. They promise no order with what others were told, so they are no part of the
//! history that is judged. But each names the last entry that its state held, and must show exactly what the log says up to
//! that entry: nothing of a later one, nothing less, nothing that was never committed, whichever node was asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use quorate_api::instance::Instance;
use quorate_client::{Client, Endpoint};
use quorate_e2e::http_get;
use quorate_sim::check::linearizable::history::Standing;

use crate::history::{Recorder, changes, standing};

/// How many instances are read in turn: those that were called last.
const BUSY: usize = 4;
/// Between two reads of one node. Nothing depends on it but how many there are.
const PAUSE: Duration = Duration::from_millis(20);

/// What one stale read showed.
pub(crate) struct Glance {
    endpoint: String,
    id: String,
    /// The index of the last entry that the state held.
    applied: u64,
    saw: Standing,
}

/// Readers at work, one for each node.
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<Vec<Glance>>>,
}

impl Readers {
    /// Readers of these endpoints.
    pub(crate) fn start(endpoints: &[Endpoint], recorder: &Recorder) -> Readers {
        let stop = Arc::new(AtomicBool::new(false));
        let reader = |endpoint: &Endpoint| {
            let (address, recorder, stop) =
                (endpoint.authority().to_owned(), recorder.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut glances = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    for id in recorder.latest(BUSY) {
                        // A node that is down or hangs shows nothing.
                        glances.extend(glance(&address, id));
                        std::thread::sleep(PAUSE);
                    }
                }
                glances
            })
        };
        let readers = endpoints.iter().map(reader).collect();
        Readers { stop, readers }
    }

    /// Ends the readers and returns what they saw.
    pub(crate) fn stop(self) -> Vec<Glance> {
        self.stop.store(true, Ordering::Relaxed);
        self.readers.into_iter().flat_map(|reader| reader.join().expect("no reader panics")).collect()
    }
}

/// Reads what one node has applied of an instance.
fn glance(address: &str, id: String) -> Option<Glance> {
    let path = format!("/v1/machines/lifecycle/instances/{id}?consistency=stale");
    let answer = http_get(address, &path).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 200") {
        return None;
    }
    let applied = head.lines().find_map(|line| line.strip_prefix("quorate-applied: ")).expect("its age");
    let (_, applied) = applied.split_once(':').expect("term:index");
    let instance: Instance = serde_json::from_str(body).ok()?;
    Some(Glance {
        endpoint: address.to_owned(),
        id,
        applied: applied.trim().parse().expect("an index"),
        saw: standing(&instance.state, instance.revision),
    })
}

/// Holds every glance against what the log says, as a node tells it that has all of the log.
pub(crate) async fn check(client: &Client, glances: &[Glance]) {
    let mut known: BTreeMap<&str, Vec<(u64, Standing)>> = BTreeMap::new();
    for glance in glances {
        if !known.contains_key(glance.id.as_str()) {
            let (changes, _) = changes(client, &glance.id).await;
            known.insert(&glance.id, changes.iter().map(|change| (change.index, change.standing)).collect());
        }
        let Glance { endpoint, id, applied, saw } = glance;
        assert_eq!(due(&known[id.as_str()], *applied), Some(*saw), "{id} at {applied} of {endpoint}");
    }
    println!("{} stale reads showed what the log says up to their entry", glances.len());
}

/// Where an instance with these changes stands in the state up to this entry.
fn due(changes: &[(u64, Standing)], applied: u64) -> Option<Standing> {
    changes.iter().rev().find(|(index, _)| *index <= applied).map(|(_, there)| *there)
}

#[test]
fn a_stale_read_that_shows_another_entrys_state_is_noticed() {
    let (first, second) = (standing("Init", 1), standing("Running", 2));
    let changes = [(10, first), (20, second)];
    assert_eq!(due(&changes, 9), None, "before it was created");
    assert_eq!(due(&changes, 10), Some(first));
    assert_eq!(due(&changes, 19), Some(first), "not a later change");
    assert_eq!(due(&changes, 20), Some(second), "nor one that is too old");
}
