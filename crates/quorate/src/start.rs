//! How a node comes up: checks the settings, opens the data directory, wires the parts to each other and hands them to the
//! watch (`watch.rs`), which also knows how they go down.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quorate_core::config::Config as RaftConfig;
use quorate_core::entry::Membership;
use quorate_core::raft::Raft;
use quorate_core::snapshot::SnapshotName;
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, GroupId, NodeId};
use quorate_log::{
    DataDir, Identity, Log, LogError, LogOptions, RealDisk, SnapshotFile, SnapshotOptions, Wanted,
};
use quorate_replica::applier::Applier;
use quorate_replica::command_codec::ENVELOPE_BYTES_MAX;
use quorate_replica::config::ReplicaConfig;
use quorate_replica::input::Input;
use quorate_replica::peer_codec;
use quorate_replica::replica::Replica;
use quorate_replica::session::SessionLimits;
use quorate_replica::state_machine::StateMachine;
use quorate_replica::status::Histogram;
use quorate_transport::{Endpoint, Inbound, Lane, Link, LinkEvent, Listener, PeerFault, TransportConfig};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Directory;
use crate::error::StartError;
use crate::inbox_budget::InboxBudget;
use crate::mail::Mail;
use crate::metrics::Metrics;
use crate::node::{Inner, Listen, Node, NodeBuilder};
use crate::peers::{Connect, Peers, Welcome};
use crate::runtime::{Jobs, Loop};
use crate::snapshot_workers::{PIECE_QUEUE_LEN_MAX, PieceWorker, SnapshotWorker, WRITE_QUEUE_LEN_MAX};
use crate::status::{NodeStatus, Published};
use crate::tickets::Tickets;
use crate::watch::{Parts, Watched, Workers};
use crate::workers::{
    APPLIER_QUEUE_LEN_MAX, ApplierWorker, LOG_QUEUE_LEN_MAX, LogWorker, READER_QUEUE_LEN_MAX, ReaderWorker,
};

/// What was found or made in the data directory.
struct Opened {
    disk: RealDisk,
    log: Log<RealDisk>,
    stored: Stored,
    identity: Identity<RealDisk>,
}

/// The settings after they were checked against each other.
struct Plan {
    node: NodeId,
    cluster: ClusterId,
    /// Where members are, as the settings say; of a node that joins, nothing.
    members: Vec<(u64, String)>,
    /// The initial voters; nobody at a node that joins.
    voters: BTreeSet<NodeId>,
}

impl Plan {
    /// The addresses of the settings. A node that was alone so far listens anywhere: where, shows only when it does.
    fn addresses(&self, listens: &str) -> BTreeMap<NodeId, String> {
        let address = |address: &str| if address == ALONE { listens.to_owned() } else { address.to_owned() };
        let known = self.members.iter();
        known.filter_map(|(id, known)| Some((NodeId::checked(*id)?, address(known)))).collect()
    }
}

/// Brings a node up on a thread of its own, so that nothing that the application does on its runtime can hold up a heartbeat.
pub(crate) async fn start<S: StateMachine>(
    builder: NodeBuilder<S>,
    machine: S,
) -> Result<Node<S>, StartError> {
    let plan = check(&builder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| StartError::System { what: "a runtime for the node", source })?;
    let name = format!("{} loop", plan.node);
    let (sender, started) = oneshot::channel();
    let body = move || {
        runtime.block_on(async move {
            let wired = wire(builder, plan, machine).await;
            match wired.and_then(|(parts, inner)| Ok((Watched::start(parts)?, Node::new(inner)))) {
                Ok((watched, node)) => {
                    // If nobody waits for the node any more, dropping it here stops it again.
                    drop(sender.send(Ok(node)));
                    watched.until_the_end().await;
                }
                Err(error) => drop(sender.send(Err(error))),
            }
        });
    };
    let spawned = std::thread::Builder::new().name(name).spawn(body);
    spawned.map_err(|source| StartError::System { what: "a thread", source })?;
    started.await.unwrap_or_else(|_| {
        let source = std::io::Error::other("it panicked: see the message above");
        Err(StartError::System { what: "to start the node", source })
    })
}

/// Makes all parts of a node and connects them to each other.
async fn wire<S: StateMachine>(
    builder: NodeBuilder<S>,
    plan: Plan,
    machine: S,
) -> Result<(Parts<S>, Inner), StartError> {
    let listener = listen(builder.listen, &plan).await?;
    let listens = listener.local_addr().to_string();
    let config = builder.config;
    let opened = open(&builder.directory, &plan, &config)?;

    let (inbox, mails) = mpsc::channel(config.inbox_len_max);
    let inbox_budget = Arc::new(InboxBudget::new(config.inbox_bytes_max, config.pending_bytes_max));
    let stop = CancellationToken::new();
    let links_stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let metrics = Arc::new(Metrics::default());
    let clock = Clock::start(config.tick);

    let welcome = Arc::new(Welcome::default());
    let endpoint = Arc::new(endpoint(&plan, &config, opened.identity, Arc::clone(&welcome))?);
    let connect = connect(&endpoint, &inbox, &tasks);
    let version_max = config.wire_version_max;
    let decode = move |inbound| decode(version_max, inbound);
    listener.serve(endpoint, inbox.clone(), decode, &tasks, links_stop.clone());
    let peers = Arc::new(Peers::new(connect, links_stop.clone(), welcome));

    let piece_bytes = config.snapshot_piece_bytes;
    let options = SnapshotOptions { cluster: plan.cluster, group: GroupId::default(), piece_bytes };
    let understood = machine.feature_level_max();
    let features = config.feature_level_max.map_or(understood, |held| held.min(understood));
    let mut applier = Applier::new(machine, SessionLimits::default());
    let found = restore(&mut applier, &opened.disk, &options);
    let found = found.map_err(|source| StartError::Data { directory: builder.directory.clone(), source })?;
    let addresses = plan.addresses(&listens);
    let mut replica = replica(&plan, &config, addresses.clone(), opened.stored, features)?;
    if let Some(name) = found {
        replica.step(Input::SnapshotTaken { name });
    }
    let reached = addresses.get(&plan.node).cloned().unwrap_or(listens);
    let status = first_status(&plan, &replica, reached, builder.api_address, features);
    let published = Published { status, replica: replica.status().metrics };
    let (published_sender, published) = watch::channel(Arc::new(published));
    let (log, disk) = (opened.log, opened.disk);
    let ground =
        Ground { log, disk, options, peers: Arc::clone(&peers), inbox: inbox.clone(), clock: clock.clone() };
    let (workers, jobs) = workers(ground, applier, &metrics);
    let main_loop = Loop {
        replica,
        config: config.clone(),
        clock,
        inbox: mails,
        inbox_budget: Arc::clone(&inbox_budget),
        peers,
        jobs,
        directory: Directory::new(plan.node, addresses),
        published: published_sender,
        metrics: Arc::clone(&metrics),
        stop: stop.clone(),
        proposals: Tickets::new(),
        reads: Tickets::new(),
        questions: Tickets::new(),
        operators: Tickets::new(),
        ticked: 0,
        published_at: Instant::now(),
        stood_ticks: 0,
        left: false,
    };
    main_loop.link(&main_loop.replica.raft().membership());
    let (ended_sender, ended) = watch::channel(None);
    let cluster = plan.cluster;
    let inner = Inner { inbox, inbox_budget, config, published, ended, stop: stop.clone(), metrics, cluster };
    let node = plan.node;
    Ok((Parts { node, main_loop, workers, tasks, links_stop, stop, ended: ended_sender }, inner))
}

/// What the threads of a node stand on.
struct Ground {
    log: Log<RealDisk>,
    disk: RealDisk,
    options: SnapshotOptions,
    peers: Arc<Peers>,
    inbox: mpsc::Sender<Mail>,
    clock: Clock,
}

/// The threads of a node, and the queues through which the loop gives them work.
fn workers<S: StateMachine>(
    ground: Ground,
    applier: Applier<S>,
    metrics: &Arc<Metrics>,
) -> (Workers<S>, Jobs) {
    let Ground { log, disk, options, peers, inbox, clock } = ground;
    let (log_jobs, log_queue) = mpsc::channel(LOG_QUEUE_LEN_MAX);
    let (reader_jobs, reader_queue) = mpsc::channel(READER_QUEUE_LEN_MAX);
    let (applier_jobs, applier_queue) = mpsc::channel(APPLIER_QUEUE_LEN_MAX);
    let (write_jobs, write_queue) = mpsc::channel(WRITE_QUEUE_LEN_MAX);
    let (piece_jobs, piece_queue) = mpsc::channel(PIECE_QUEUE_LEN_MAX);
    let workers = Workers {
        log: LogWorker {
            refuses: false,
            log,
            jobs: log_queue,
            reader: reader_jobs,
            peers,
            inbox: inbox.clone(),
            metrics: Arc::clone(metrics),
        },
        reader: ReaderWorker { disk: disk.clone(), jobs: reader_queue, inbox: inbox.clone() },
        applier: ApplierWorker {
            applier,
            jobs: applier_queue,
            inbox: inbox.clone(),
            clock,
            disk: disk.clone(),
            options,
            writer: write_jobs,
            metrics: Arc::clone(metrics),
        },
        snapshots: SnapshotWorker { disk: disk.clone(), options, jobs: write_queue, inbox: inbox.clone() },
        pieces: PieceWorker { disk, options, jobs: piece_queue, inbox, arriving: None },
    };
    (workers, Jobs { log: log_jobs, applier: applier_jobs, pieces: piece_jobs })
}

/// Puts the applier behind the newest snapshot, if there is one: then only the log behind it is applied again.
fn restore<S: StateMachine>(
    applier: &mut Applier<S>,
    disk: &RealDisk,
    options: &SnapshotOptions,
) -> Result<Option<SnapshotName>, LogError> {
    let Some(found) = SnapshotFile::newest(disk, options)? else { return Ok(None) };
    let (name, meta) = (found.name(), found.meta().clone());
    let restored = applier.restore(&meta, &mut found.into_reader());
    restored.map_err(|error| {
        let what = format!("the state cannot be read: {error}");
        LogError::Corrupt { file: format!("the snapshot up to {}", meta.last), offset: 0, what }
    })?;
    Ok(Some(name))
}

fn check<S>(builder: &NodeBuilder<S>) -> Result<Plan, StartError> {
    let refuse = |what: String| Err(StartError::Config(what));
    if let Err(what) = builder.config.validate() {
        return refuse(what);
    }
    let Some(node) = NodeId::checked(builder.id) else {
        return refuse("a node id is a number from 1".to_string());
    };
    if let Some(cluster) = builder.joins {
        return Ok(Plan { node, cluster, members: Vec::new(), voters: BTreeSet::new() });
    }
    let mut members = builder.members.clone();
    if members.is_empty() {
        members.push((builder.id, ALONE.to_string()));
    }
    if members.len() > MEMBERS_LEN_MAX {
        return refuse(format!("{} members, the limit is {MEMBERS_LEN_MAX}", members.len()));
    }
    members.sort();
    let mut voters = BTreeSet::new();
    for (id, _) in &members {
        let Some(id) = NodeId::checked(*id) else {
            return refuse("a member has id 0: ids are numbers from 1".to_string());
        };
        if !voters.insert(id) {
            return refuse(format!("two members have the id {}", id.get()));
        }
    }
    if !voters.contains(&node) {
        return refuse(format!(
            "this node, {}, is not among the members: list all of them, itself included",
            builder.id
        ));
    }
    let cluster = cluster_id(&builder.cluster, &voters);
    Ok(Plan { node, cluster, members, voters })
}

/// Whose data lies in a directory, if any does: the node's id and its cluster. A node that joined finds there at its next start who it is.
///
/// # Errors
/// When the directory cannot be read or its identity is damaged.
pub fn identity_in(directory: &Path) -> Result<Option<(u64, ClusterId)>, StartError> {
    if !directory.is_dir() {
        return Ok(None);
    }
    let found = RealDisk::open(directory).and_then(|disk| quorate_log::owner_of(&disk));
    let found = found.map_err(|source| StartError::Data { directory: directory.to_path_buf(), source })?;
    Ok(found.map(|owner| (owner.node.get(), owner.cluster)))
}

/// The first 16 bytes of SHA-256 over the shared token and the initial members' ids: all members find it alone.
pub(crate) fn cluster_id(token: &str, voters: &BTreeSet<NodeId>) -> ClusterId {
    let mut hash = Sha256::new();
    hash.update((token.len() as u64).to_le_bytes());
    hash.update(token);
    for voter in voters {
        hash.update(voter.get().to_le_bytes());
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hash.finalize()[..16]);
    ClusterId(id)
}

async fn listen(listen: Listen, plan: &Plan) -> Result<Listener, StartError> {
    let own =
        || plan.members.iter().find(|(id, _)| *id == plan.node.get()).map(|(_, address)| address.clone());
    let address = match listen {
        Listen::On(listener) => {
            let source = match Listener::from_std(listener) {
                Ok(listener) => return Ok(listener),
                Err(source) => source,
            };
            return Err(StartError::System { what: "a socket that does not block", source });
        }
        Listen::At(address) => address,
        Listen::OwnPeerAddress => own().unwrap_or_else(|| ALONE.to_string()),
    };
    Listener::bind(&address).await.map_err(|source| StartError::Listen { address, source })
}

/// Blocks, on the node's own thread, on which nothing else runs yet.
fn open(directory: &Path, plan: &Plan, config: &Config) -> Result<Opened, StartError> {
    let wanted = Wanted { cluster: plan.cluster, node: plan.node };
    // A node that joins begins with an empty log: it knows no members before the leader tells it.
    let bootstrap = (!plan.voters.is_empty()).then(|| Membership::of_voters(plan.voters.iter().copied()));
    let options = LogOptions {
        segment_bytes: config.segment_bytes,
        window_bytes_max: config.window_bytes_max,
        opens_damaged: true,
        ..LogOptions::new(plan.cluster, bootstrap)
    };
    let incarnation = random_u128()?;
    let open = || -> Result<Opened, LogError> {
        let disk = RealDisk::open(directory)?;
        let dir = DataDir::open(disk.clone())?;
        let (identity, _) = Identity::open_or_create(&dir, wanted, incarnation)?;
        let (log, stored) = Log::open(dir, options)?;
        for note in log.notes() {
            tracing::warn!("damage: {note}");
        }
        Ok(Opened { disk, log, stored, identity })
    };
    open().map_err(|source| StartError::Data { directory: directory.to_path_buf(), source })
}

fn endpoint(
    plan: &Plan,
    config: &Config,
    identity: Identity<RealDisk>,
    welcome: Arc<Welcome>,
) -> Result<Endpoint, StartError> {
    let limits = TransportConfig {
        peer_queue_len_max: config.peer_queue_len_max,
        wire_version_max: config.wire_version_max,
        ..TransportConfig::default()
    };
    limits.validate().map_err(StartError::Config)?;
    let own = quorate_transport::Identity {
        cluster: plan.cluster,
        group: GroupId::default(),
        node: plan.node,
        incarnation: identity.incarnation(),
    };
    // Asked in handshakes only, so a lock is no cost; the file behind it has one owner.
    let known = Mutex::new(identity);
    let check_peer = move |peer: NodeId, incarnation: u128| {
        if !welcome.admits(peer) {
            return Err(PeerFault::UnknownNode);
        }
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.remember(peer, incarnation) {
            Ok(()) => Ok(()),
            Err(LogError::OtherIncarnation { known, .. }) => Err(PeerFault::OtherIncarnation { known }),
            Err(error) => Err(PeerFault::Unanswered(error.to_string())),
        }
    };
    Ok(Endpoint { identity: own, config: limits, check_peer: Arc::new(check_peer) })
}

/// How a node is dialled, for as long as it is wanted.
fn connect(endpoint: &Arc<Endpoint>, inbox: &mpsc::Sender<Mail>, tasks: &TaskTracker) -> Box<Connect> {
    let (endpoint, inbox, tasks) = (Arc::clone(endpoint), inbox.clone(), tasks.clone());
    Box::new(move |peer, lane, address, stop| {
        let wrap = move |event| on_link_event(lane, event);
        Link::start(Arc::clone(&endpoint), peer, lane, address, inbox.clone(), wrap, &tasks, stop)
    })
}

/// Whether a link came up or went down, what was on its way may be lost: the core probes. The link itself has logged why.
/// Pieces of snapshots are asked for again by themselves.
#[allow(clippy::needless_pass_by_value)] // The shape that the link wants.
fn on_link_event(lane: Lane, event: LinkEvent) -> Mail {
    match event {
        LinkEvent::Up { .. } | LinkEvent::Down { .. } if lane == Lane::Bulk => Mail::BulkLink,
        LinkEvent::Up { peer, .. } => Mail::Linked(peer),
        LinkEvent::Down { peer, .. } => Mail::Done(Input::Dropped { peer }),
    }
}

/// Runs in the connection's task, so that the loop gets messages and not bytes.
fn decode(version_max: u16, inbound: Inbound) -> Result<Mail, String> {
    let decoded = inbound.frames.into_iter();
    let decoded = decoded.map(|frame| peer_codec::decode_up_to(version_max, frame.kind, frame.body));
    let messages = decoded.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    Ok(Mail::Received { from: inbound.from, messages, room: inbound.room })
}

fn replica(
    plan: &Plan,
    config: &Config,
    addresses: BTreeMap<NodeId, String>,
    stored: Stored,
    features: u16,
) -> Result<Replica, StartError> {
    let session = random_u128()?;
    #[allow(clippy::cast_possible_truncation)] // Any 64 of the random bits make a seed.
    let seed = session as u64;
    let raft = RaftConfig {
        seed,
        addresses,
        election_timeout_ticks: config.ticks(config.election_timeout),
        heartbeat_ticks: config.ticks(config.heartbeat),
        priority: config.priority,
        append_bytes_max: config.append_bytes_max,
        inflight_appends_max: config.inflight_appends_max,
        inflight_bytes_max: config.inflight_bytes_max,
        uncommitted_bytes_max: config.uncommitted_bytes_max,
        command_bytes_max: config.command_bytes_max + ENVELOPE_BYTES_MAX,
        window_bytes_max: config.window_bytes_max,
        features,
        clock_skew_max_ms: u64::try_from(config.clock_skew_max.as_millis()).unwrap_or(u64::MAX),
        lease: config.lease(),
        ..RaftConfig::new(plan.node)
    };
    raft.validate().map_err(|error| StartError::Config(error.to_string()))?;
    let replica = ReplicaConfig {
        proposal_timeout_ticks: config.ticks(config.proposal_timeout),
        read_timeout_ticks: config.ticks(config.read_timeout),
        retry_pause_ticks: config.ticks(RETRY_PAUSE),
        forward_retry_ticks: config.ticks(config.election_timeout),
        pending_bytes_max: config.pending_bytes_max,
        snapshot_log_bytes_min: config.snapshot_log_bytes_min,
        snapshot_entries_min: config.snapshot_entries_min,
        snapshot_retry_ticks: config.ticks(SNAPSHOT_RETRY),
        snapshot_pin_ticks: config.ticks(SNAPSHOT_PIN),
        snapshot_send_bytes_per_tick: config.per_tick(config.snapshot_send_bytes_per_second),
        ..ReplicaConfig::new(session.max(1), seed)
    };
    replica.validate().map_err(StartError::Config)?;
    Ok(Replica::new(replica, Raft::new(raft, stored)))
}

fn first_status(
    plan: &Plan,
    replica: &Replica,
    peer_address: String,
    api_address: String,
    features: u16,
) -> NodeStatus {
    let fixed = NodeStatus {
        node: plan.node.get(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        peer_address,
        api_address,
        voter: true,
        feature_level_max: u64::from(features),
        ..NodeStatus::default()
    };
    fixed.now(&replica.status(), &Histogram::default(), Vec::new())
}

pub(crate) fn random_u128() -> Result<u128, StartError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| StartError::System {
        what: "random bytes",
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(u128::from_le_bytes(bytes))
}

/// A cluster of one has no peers; it listens on any free port of this machine.
const ALONE: &str = "127.0.0.1:0";
/// What does not come of a snapshot within this time is asked for again.
const SNAPSHOT_RETRY: Duration = Duration::from_secs(4);
/// For so long a snapshot is kept for a peer that has stopped asking: as long as a restart of the peer may take.
const SNAPSHOT_PIN: Duration = Duration::from_secs(120);
/// The most members of a cluster.
const MEMBERS_LEN_MAX: usize = 31;
/// A refused proposal is tried again after about this time: a few heartbeats of a local network.
const RETRY_PAUSE: Duration = Duration::from_millis(20);
