//! Who looks at both sides of a fault that lasts for milliseconds: questions and writes of nobody's, as many as it takes. A client has one
//! operation open at a time, and would still wait for an answer of before.

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_core::types::Index;
use quorate_replica::request::{CommandEnvelope, RequestId};
use quorate_replica::state_machine::Codec;

use crate::check::Violation;
use crate::host::Carried;
use crate::ledger::{Append, Appended};
use crate::member::Member;
use crate::scene::Scene;
use crate::workload::{ClientId, Request, RequestKind, RequestName, Response, ResponseKind};

/// The scouts of a run.
#[derive(Debug, Default)]
pub(crate) struct Scouts {
    /// How many requests they have made.
    asked: u64,
    /// What each read that is not answered yet must see at least, by its number. Emptied with each fault.
    floors: BTreeMap<u64, Index>,
    /// The number of the last request before this fault.
    before: u64,
    /// Whether a write of this fault was acknowledged.
    acknowledged: bool,
}

impl Scouts {
    /// Another fault begins: what was asked before counts no more.
    pub(crate) fn begin(&mut self) {
        self.floors.clear();
        self.before = self.asked;
        self.acknowledged = false;
    }

    /// Whether a write was acknowledged since.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.acknowledged
    }

    /// Asks this node for a linearizable read.
    pub(crate) fn read(&mut self, scene: &mut Scene, member: &mut Member) {
        let floor = scene.checks.linearizable.floor();
        let name = self.next_name();
        self.floors.insert(name.operation, floor);
        scene.tell(SCOUTS, || format!("-> {} read, at {floor} or later", member.node()));
        member.on_request(scene, Request { name, kind: RequestKind::Read { list: SCOUTS.0 } });
    }

    /// Asks this node for a write that nobody has asked for before.
    pub(crate) fn write(&mut self, scene: &mut Scene, member: &mut Member) {
        let name = self.next_name();
        let own = Append { client: SCOUTS.0, value: name.operation, command: None };
        let mut body = Vec::new();
        Carried { own, guest: None }.encode(&mut body);
        let key = Bytes::from(format!("scouts {}", name.operation));
        let envelope = CommandEnvelope {
            request_id: Some(RequestId::Key(key)),
            body: body.into(),
            ..CommandEnvelope::default()
        };
        scene.tell(SCOUTS, || format!("-> {} append {}", member.node(), name.operation));
        member.on_request(scene, Request { name, kind: RequestKind::Propose(envelope) });
    }

    /// An answer comes back.
    ///
    /// # Errors
    /// When a read shows less than was known when it was asked for.
    pub(crate) fn on_response(&mut self, scene: &mut Scene, response: Response) -> Result<(), Violation> {
        let operation = response.request.operation;
        match response.kind {
            ResponseKind::Read { saw, .. } => {
                let Some(floor) = self.floors.remove(&operation) else { return Ok(()) };
                scene.tell(SCOUTS, || format!("<- read of {floor} or later: as of {saw}"));
                scene.checks.linearizable.on_read(SCOUTS, floor, saw)
            }
            ResponseKind::Proposed(Ok(reply)) => {
                let Ok(Carried { own: appended, .. }) = Carried::<Appended>::decode(&reply) else {
                    let what = format!("the answer to write {operation} of the scouts");
                    return Err(Violation::safety("an answer decodes", what));
                };
                scene.tell(SCOUTS, || format!("<- append {operation}: {}", appended.entry));
                self.acknowledged |= operation > self.before;
                scene.checks.linearizable.on_acknowledged(appended.entry.index);
                Ok(())
            }
            ResponseKind::Proposed(Err(_)) | ResponseKind::Refused => Ok(()),
        }
    }

    fn next_name(&mut self) -> RequestName {
        self.asked += 1;
        RequestName { client: SCOUTS, operation: self.asked }
    }
}

/// The scouts as a client, and the list to which they append.
pub(crate) const SCOUTS: ClientId = ClientId(u32::MAX);
