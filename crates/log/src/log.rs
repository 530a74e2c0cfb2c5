//! The one writer of the log: batches of writes, one write and one sync for each turn, rotation, and the poison after a failure.

use std::collections::VecDeque;

use quorate_core::entry::{Entry, HardState, Membership};
use quorate_core::planted::{self, Bug};
use quorate_core::ready::{Durable, Write};
use quorate_core::snapshot::SnapshotMeta;
use quorate_core::stored::Stored;
use quorate_core::types::{ClusterId, EntryId, GroupId, Index, WriteNumber};

use crate::batch::{Encoder, seal};
use crate::closed::{self, Closing};
use crate::compaction::SegmentMark;
use crate::data_dir::DataDir;
use crate::disk::Disk;
use crate::error::LogError;
use crate::index::LogIndex;
use crate::open::Opened;
use crate::read::{EXTENTS_MAX, ReadPlan};
use crate::record::{SECTOR, Seed};
use crate::recovery::SEGMENT_BYTES_MAX;
use crate::segment::{Position, SegmentHeader, create, segment_name};

/// The settings of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// The cluster that the log belongs to; stands in each segment.
    pub cluster: ClusterId,
    /// The Raft group; 0 for now.
    pub group: GroupId,
    /// The length that a segment file gets when it is made, in bytes, a multiple of 512 and at least 4,096. A batch that is larger gets
    /// a segment of its own size.
    pub segment_bytes: u64,
    /// How many bytes of the newest entries recovery hands to the core, measured by their commands; at least the last entry.
    pub window_bytes_max: usize,
    /// The members that a new log starts with (its first entry); none for a node that joins an existing cluster. An existing
    /// log is not changed by it.
    pub bootstrap: Option<Membership>,
    /// Whether a log may be opened that lacks the bytes of entries whose ids it knows ([`Stored::damaged`]), or the state that it goes on from
    /// ([`Stored::snapshot_lost`]). If not, any damage is refused.
    pub opens_damaged: bool,
}

impl LogOptions {
    /// 64 MiB segments and a window of 64 MiB for a cluster that starts with these members.
    pub fn new(cluster: ClusterId, bootstrap: Option<Membership>) -> LogOptions {
        LogOptions {
            cluster,
            group: GroupId(0),
            segment_bytes: 64 << 20,
            window_bytes_max: 64 << 20,
            bootstrap,
            opens_damaged: false,
        }
    }
}

/// What one [`Write`] asks of the disk: all of it but its messages.
#[derive(Copy, Clone, Debug)]
pub struct Content<'a> {
    /// The number of the write; rises from write to write.
    pub number: WriteNumber,
    /// Term and vote, if they changed.
    pub hard_state: Option<HardState>,
    /// This snapshot, which has arrived from a peer and is durable beside the others, is used from now on, before anything else of
    /// this write. If the log holds the entry with which it ends, what stands behind that stays; else the log begins anew behind it.
    pub install: Option<&'a SnapshotMeta>,
    /// Entries with exactly the ids of damaged ones, ascending: they are served from here on, and the log is not cut.
    pub repaired: &'a [Entry],
    /// Entries to append; the log is cut first when it already holds the index of the first.
    pub entries: &'a [Entry],
}

impl<'a> From<&'a Write> for Content<'a> {
    fn from(write: &'a Write) -> Content<'a> {
        Content {
            number: write.number,
            hard_state: write.hard_state,
            install: write.install.as_ref(),
            repaired: &write.repaired,
            entries: &write.entries,
        }
    }
}

/// The write-ahead log of one node.
pub struct Log<D: Disk> {
    /// Holds the lock as long as the log lives.
    pub(crate) dir: DataDir<D>,
    pub(crate) options: LogOptions,
    /// The last segment, the only one that is written.
    pub(crate) file: D::File,
    pub(crate) segment_len: u64,
    /// Where the next batch goes. Invariant: a sector boundary in the last segment, behind all that was written.
    pub(crate) end: Position,
    /// All before this place is durable. Invariant: at most `end`, and in the same segment.
    pub(crate) durable: Position,
    pub(crate) next_batch: u64,
    encoder: Encoder,
    pub(crate) index: LogIndex,
    /// The segments in order; the last one is written. Invariant: never empty.
    pub(crate) marks: VecDeque<SegmentMark>,
    pub(crate) hard_state: HardState,
    /// The last write that was taken.
    written: WriteNumber,
    /// The last entry of the snapshot that was installed last: a write that found no room behind its install is not installed twice.
    installed: Option<EntryId>,
    /// A snapshot has got its name, and there was no room yet for the log that begins behind it.
    install_waits: bool,
    /// Bytes given to the disk since the log was opened.
    pub(crate) written_bytes: u64,
    /// Once a write or a sync has failed, what a later one says is worth nothing. Never goes back to false.
    pub(crate) poisoned: bool,
    /// Whether anything was changed since the log was opened.
    changed: bool,
    notes: Vec<String>,
}

impl<D: Disk> Log<D> {
    /// Opens the log in the folder, or makes a new one that starts with `options.bootstrap`; repairs what a crash left. What it
    /// returns is durable.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if something is lost that nobody can name, or anything is and the options refuse that;
    /// [`LogError::OtherCluster`], [`LogError::NewerFormat`]: nothing was changed. [`LogError::Io`].
    ///
    /// # Panics
    /// If `options.segment_bytes` is not a multiple of 512 between 4,096 and 1 GiB.
    pub fn open(dir: DataDir<D>, options: LogOptions) -> Result<(Log<D>, Stored), LogError>
    where
        D: Clone,
    {
        let (opened, stored) = crate::open::open(dir.disk(), &options)?;
        let Opened { file, segment_len, end, next_batch, index, marks, hard_state, notes } = opened;
        let encoder = Encoder::new(options.group, Seed::new(options.cluster, end.segment));
        let written = WriteNumber(0);
        let log = Log {
            dir,
            options,
            file,
            segment_len,
            end,
            durable: end,
            next_batch,
            encoder,
            index,
            marks,
            hard_state,
            written,
            installed: None,
            install_waits: false,
            written_bytes: 0,
            poisoned: false,
            changed: false,
            notes,
        };
        assert!(log.end.offset <= log.segment_len, "the log ends within its last segment");
        Ok((log, stored))
    }

    /// Writes several writes as one batch: one write to the file. Nothing of it is promised before [`Log::sync`].
    ///
    /// # Errors
    /// [`LogError::Full`] if there is no room for one of them: those before it are written, as [`Log::written`] tells, and it and all behind
    /// it left nothing. After any other error every later call fails with [`LogError::Poisoned`].
    ///
    /// # Panics
    /// If the numbers do not rise, the entries are not consecutive or leave a gap after the log, a term falls, or the batch does not
    /// fit a segment of 1 GiB.
    pub fn write(&mut self, contents: &[Content<'_>]) -> Result<(), LogError> {
        self.check_healthy()?;
        let mut written = self.written;
        for content in contents {
            assert!(content.number > written, "the numbers of writes only ever rise");
            written = content.number;
        }
        match self.write_parts(contents) {
            // One of them is too much. Those before it may still fit: term and vote have room kept for them.
            Err(LogError::Full { .. }) if contents.len() > 1 => {
                let before = self.written;
                let mut rest = contents.iter().filter(|content| content.number > before);
                rest.try_for_each(|content| self.write_parts(&[*content]))
            }
            written => written,
        }
    }

    /// The last write that was taken.
    pub fn written(&self) -> WriteNumber {
        self.written
    }

    /// Writes what lies between installs together.
    fn write_parts(&mut self, contents: &[Content<'_>]) -> Result<(), LogError> {
        let mut rest = contents;
        while let Some(place) = rest.iter().position(|content| content.install.is_some()) {
            self.write_contents(&rest[..place])?;
            let content = rest[place];
            let meta = content.install.expect("the place of an install was looked for");
            let mut hard_state = content.hard_state;
            if self.installed != Some(meta.last) {
                self.begin_changes()?;
                let installed = self.install(meta, content.hard_state.unwrap_or(self.hard_state));
                self.install_waits = matches!(installed, Err(LogError::Full { .. }));
                self.poisoned = installed.is_err() && !self.install_waits;
                // The header of a segment that begins the log anew carries the hard state.
                hard_state = hard_state.filter(|_| matches!(installed, Ok(true)));
                installed?;
                self.installed = Some(meta.last);
            }
            self.write_contents(&[Content { install: None, hard_state, ..content }])?;
            rest = &rest[place + 1..];
        }
        self.write_contents(rest)
    }

    /// Writes what installs no snapshot.
    fn write_contents(&mut self, contents: &[Content<'_>]) -> Result<(), LogError> {
        if contents.iter().any(|content| content.hard_state.is_some() || has_entries(content)) {
            self.begin_changes()?;
            self.encode(contents);
            if !self.fits(contents) {
                self.rotate()?;
                self.encode(contents);
                assert!(self.fits(contents), "a fresh segment has room for the batch that it was made for");
            }
            self.write_batch(contents)?;
        }
        self.written = contents.last().map_or(self.written, |content| content.number);
        Ok(())
    }

    /// Makes all writes so far durable and attests it.
    ///
    /// # Errors
    /// After any error every later call fails with [`LogError::Poisoned`].
    pub fn sync(&mut self) -> Result<Durable, LogError> {
        self.check_healthy()?;
        self.sync_segment()?;
        assert!(self.durable == self.end, "only what was synced is attested");
        Ok(Durable::attest(self.written))
    }

    /// Writes down, durably, how far the log goes, now that the node stops in order: what the disk takes back meanwhile, also at the end of the
    /// log, is missed at the next start. A log that is dropped instead is opened as after a crash.
    ///
    /// # Errors
    /// Those of [`Log::sync`].
    pub fn close(mut self) -> Result<(), LogError> {
        self.sync()?;
        if self.install_waits {
            // The next start finishes that, as after a crash: the log does not end here.
            return Ok(());
        }
        let LogOptions { cluster, group, .. } = self.options;
        let closing = Closing {
            cluster,
            group,
            first_segment: self.marks.front().expect("there is always a last segment").segment,
            end: self.end,
            next_batch: self.next_batch,
            last: self.index.last(),
            hard_state: self.hard_state,
        };
        closing.write(self.dir.disk())
    }

    /// What was damaged when the log was opened and did not keep it from being opened: each a line for the node's log.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The entries whose ids are known and whose bytes are lost, ascending.
    pub fn damaged(&self) -> Vec<EntryId> {
        self.index.damaged().collect()
    }

    /// The entry before the first one that the log holds.
    pub fn base(&self) -> EntryId {
        self.index.base()
    }

    /// The last entry, written but perhaps not yet durable.
    pub fn last(&self) -> EntryId {
        self.index.last()
    }

    /// Where to read the entries `from..=through`, up to about `bytes_max` bytes but at least one; `None` if `from` is not in the log.
    /// The plan may be carried out on another thread while this log goes on writing.
    pub fn plan(&self, from: Index, through: Index, bytes_max: usize) -> Option<ReadPlan> {
        let extents = self.index.extents(from, through, EXTENTS_MAX);
        if extents.is_empty() {
            return None;
        }
        Some(ReadPlan { cluster: self.options.cluster, extents, from, through, bytes_max })
    }

    /// How many bytes this log has given to the disk since it was opened.
    pub fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    /// The disk that the log is on.
    pub fn disk(&self) -> &D {
        self.dir.disk()
    }

    /// Before the first change since the log was opened: what was written down when the node was stopped holds no longer. That it is gone must be
    /// durable also if an earlier start has removed it and was killed.
    pub(crate) fn begin_changes(&mut self) -> Result<(), LogError> {
        if !self.changed {
            let removed = closed::remove(self.dir.disk());
            self.poisoned = removed.is_err();
            self.changed = removed.is_ok();
            removed?;
        }
        Ok(())
    }

    pub(crate) fn check_healthy(&self) -> Result<(), LogError> {
        if self.poisoned { Err(LogError::Poisoned) } else { Ok(()) }
    }

    fn encode(&mut self, contents: &[Content<'_>]) {
        let seed = Seed::new(self.options.cluster, self.end.segment);
        self.encoder.begin(seed, self.end.offset, self.durable, self.next_batch, self.hard_state);
        for content in contents {
            if let Some(hard_state) = content.hard_state {
                self.encoder.hard_state(hard_state);
            }
            for entry in content.repaired {
                self.encoder.repaired(entry);
            }
            for entry in content.entries {
                self.encoder.entry(entry);
            }
        }
        self.encoder.finish();
    }

    /// Whether what was encoded fits the segment. Entries leave room for hard state at its end, so that a node can still vote when the
    /// disk has no space for another segment; all leave room for the seal.
    fn fits(&self, contents: &[Content<'_>]) -> bool {
        let reserve =
            if contents.iter().any(has_entries) { reserve_bytes(self.segment_len) } else { SECTOR as u64 };
        self.end.offset + self.encoder.bytes().len() as u64 + reserve <= self.segment_len
    }

    fn write_batch(&mut self, contents: &[Content<'_>]) -> Result<(), LogError> {
        let mut offsets = self.encoder.entry_offsets().iter();
        for content in contents {
            self.hard_state = content.hard_state.unwrap_or(self.hard_state);
            for entry in content.repaired {
                let offset = *offsets.next().expect("the encoder notes one place for each entry");
                let stands = self.index.repair(entry.id, Position { segment: self.end.segment, offset });
                assert!(stands, "what is repaired stands in the log with exactly this id");
            }
            for (place, entry) in content.entries.iter().enumerate() {
                if place > 0 {
                    assert!(
                        entry.id.index == self.index.last().index.next(),
                        "the entries of a write are consecutive"
                    );
                }
                let offset = *offsets.next().expect("the encoder notes one place for each entry");
                self.index.append(entry.id, Position { segment: self.end.segment, offset });
                self.marks.back_mut().expect("there is always a last segment").note(entry.id.index);
            }
        }
        let bytes = self.encoder.bytes();
        if let Err(error) = self.dir.disk().write_at(&self.file, bytes, self.end.offset) {
            self.poisoned = true;
            return Err(LogError::io("cannot write", &segment_name(self.end.segment), error));
        }
        self.end.offset += bytes.len() as u64;
        self.written_bytes += bytes.len() as u64;
        self.next_batch = self.encoder.next_number();
        Ok(())
    }

    /// Syncs the last segment, the only one that has anything to sync: it is the file in which all since the last sync was written,
    /// because [`Log::rotate`] syncs before it goes on.
    fn sync_segment(&mut self) -> Result<(), LogError> {
        assert!(self.durable.segment == self.end.segment, "an earlier segment was synced before it was left");
        if self.durable < self.end {
            if !planted::is(Bug::SyncSkipped)
                && let Err(error) = self.dir.disk().sync(&self.file)
            {
                self.poisoned = !planted::is(Bug::FailedSyncRetried);
                return Err(LogError::io("cannot sync", &segment_name(self.end.segment), error));
            }
            self.durable = self.end;
        }
        Ok(())
    }

    /// Goes on in a new segment that has room for what was encoded. The old one is synced first, the new one has its name durably
    /// before the old one is sealed, and the seal is durable before the new one is written: so a crash at any point leaves a
    /// log without a hole, and a segment that disappears later is missed.
    fn rotate(&mut self) -> Result<(), LogError> {
        self.sync_segment()?;
        let needed = (SECTOR + self.encoder.bytes().len()) as u64;
        let mut len = self.options.segment_bytes;
        if needed + reserve_bytes(len) > len {
            len = needed + reserve_bytes(u64::MAX);
        }
        assert!(len <= SEGMENT_BYTES_MAX as u64, "no segment is longer than recovery reads");
        let header = SegmentHeader {
            cluster: self.options.cluster,
            group: self.options.group,
            segment: self.end.segment + 1,
            len,
            previous_end: self.end.offset,
            previous: self.index.last(),
            batch: self.next_batch,
            hard_state: if planted::is(Bug::SegmentWithoutVote) {
                HardState::default()
            } else {
                self.hard_state
            },
        };
        let created = create(self.dir.disk(), &header);
        self.poisoned = matches!(&created, Err(error) if !matches!(error, LogError::Full { .. }));
        let file = created?;
        if let Err(error) = self.seal(header.segment) {
            self.poisoned = true;
            return Err(LogError::io("cannot seal", &segment_name(self.end.segment), error));
        }
        // The header of the new segment and the seal of the old one.
        self.written_bytes += 2 * SECTOR as u64;
        self.marks.push_back(SegmentMark {
            segment: header.segment,
            previous: header.previous,
            lowest: None,
        });
        self.file = file;
        self.segment_len = len;
        self.end = Position { segment: header.segment, offset: SECTOR as u64 };
        self.durable = self.end;
        Ok(())
    }

    fn seal(&self, next_segment: u64) -> std::io::Result<()> {
        assert!(self.end.offset + SECTOR as u64 <= self.segment_len, "room for the seal is kept free");
        let seed = Seed::new(self.options.cluster, self.end.segment);
        let sector = seal(seed, self.end.offset, self.options.group, next_segment);
        self.dir.disk().write_at(&self.file, &sector, self.end.offset)?;
        self.dir.disk().sync(&self.file)
    }
}

/// Whether a write brings entries, new or repaired ones.
fn has_entries(content: &Content<'_>) -> bool {
    !content.entries.is_empty() || !content.repaired.is_empty()
}

/// What entries leave free at the end of a segment of this length, in bytes: the seal's sector, and room for hard state.
fn reserve_bytes(segment_len: u64) -> u64 {
    let sector = SECTOR as u64;
    // A vote is a batch of two sectors: from 8 KiB on a segment keeps room for one at least.
    sector + (segment_len / 8).min(HARD_STATE_RESERVE_BYTES) / sector * sector
}

/// Room for at least 64 votes at the end of a large segment, in bytes.
const HARD_STATE_RESERVE_BYTES: u64 = 64 << 10;
