//! The state machine that `consensus` drives: decodes a command, does it, answers.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLockWriteGuard;
use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::{
    AlarmRequest, DeleteRangeRequest, LeaseGrantRequest, Member, PutRequest, TxnRequest,
};

use super::alarms::Alarms;
use super::reply::{ApplyError, Outcome, Reply};
use super::snapshot::{Restored, StateSnapshot, restore};
use super::state::State;
use super::{cost, kv, leases, permit, txn};
use crate::auth::TokenObserver;
use crate::cluster::MemberError;
use crate::command::{
    AuthAction, AuthChange, Authored, Command, LeaseCheckpoints, MemberChange, MemberChangeKind, TokenGrant,
};
use crate::consensus::{PeerNode, Position, RestoreError, StateMachine};
use crate::lease::{Keeper, Leases};
use crate::mvcc::{Committed, Store};
use crate::types::planted::{Bug, planted};
use crate::types::{Grant, LeaseId, MemberId, Revision, Runtime};
use crate::watch::Hub;

/// Keys that one slice of physical compaction looks at, between entries; 2,000 held puts up.
const COMPACT_KEYS: usize = 200;

/// Hears of leases that come and go, so that their time can be kept elsewhere. It is told while the state is locked:
/// before anybody can see a change, so it must not look at the state itself.
pub trait LeaseObserver: Send + Sync + 'static {
    /// A lease is there, with its whole TTL.
    fn granted(&self, grant: Grant, ttl_seconds: i64);
    /// The log says how many seconds remain of a lease; none for its whole TTL.
    fn recorded(&self, id: LeaseId, remaining_seconds: Option<i64>);
    /// A lease is gone.
    fn revoked(&self, id: LeaseId);
}

impl<R: Runtime> LeaseObserver for Keeper<R> {
    fn granted(&self, grant: Grant, ttl_seconds: i64) {
        Self::granted(self, grant, ttl_seconds);
    }

    fn recorded(&self, id: LeaseId, remaining_seconds: Option<i64>) {
        Self::recorded(self, id, remaining_seconds);
    }

    fn revoked(&self, id: LeaseId) {
        Self::revoked(self, id);
    }
}

/// The one writer of the state.
pub struct Machine {
    state: Arc<State>,
    lease_observer: Arc<dyn LeaseObserver>,
    hub: Arc<Hub>,
    /// Hears of tokens; nobody does where nobody is asked for one.
    tokens: Option<Arc<dyn TokenObserver>>,
    /// Asks for `background` to be called; given to each store that is restored, too.
    wake_background: Option<Arc<dyn Fn() + Send + Sync>>,
    /// The last slice of physical compaction left something to do.
    reclaiming: bool,
}

impl Machine {
    /// A machine over `state`, which nobody else writes; `hub` is told of every revision.
    pub fn new(state: Arc<State>, lease_observer: Arc<dyn LeaseObserver>, hub: Arc<Hub>) -> Self {
        Self { state, lease_observer, hub, tokens: None, wake_background: None, reclaiming: false }
    }

    /// Tells of tokens.
    #[must_use]
    pub fn telling(self, tokens: Arc<dyn TokenObserver>) -> Self {
        Self { tokens: Some(tokens), ..self }
    }

    fn command(&mut self, at: Position, Authored { author, command }: Authored) -> Reply {
        if self.state.is_auth_enabled() {
            let permitted = permit(&self.state.auth.read(), &self.state.leases.read(), &author, &command);
            if let Err(refusal) = permitted {
                return self.reply(Err(refusal.into()));
            }
        }
        if let Some(refusal) = refusal(&self.state.alarms.read(), &command) {
            return self.reply(Err(refusal));
        }
        match command {
            Command::Put(request) => self.put(&request),
            Command::DeleteRange(request) => self.delete_range(&request),
            Command::Txn(request) => self.txn(&request),
            Command::Compact(request) => self.compact(Revision(request.revision)),
            Command::LeaseGrant(request) => self.lease_grant(&request),
            Command::LeaseRevoke(request) => self.lease_revoke(leases::any_life(LeaseId(request.id))),
            Command::Publish(member) => {
                self.state.cluster.write().publish(member);
                self.reply(Ok(Outcome::Done))
            }
            Command::Alarm(request) => self.alarm(&request),
            Command::LeaseCheckpoint(request) if is_of_term(request.term, at) => self.lease_checkpoint(&request),
            Command::LeaseExpire(request) if is_of_term(request.term, at) || planted(Bug::OldLeaderExpires) => {
                self.lease_revoke(request.grant())
            }
            Command::Member(change) => self.change_member(change),
            Command::MemberVersion(told) => {
                let result = self.state.cluster.write().tell_version(MemberId(told.id), told.version);
                self.reply(result.map(|()| Outcome::Done).map_err(ApplyError::Member))
            }
            Command::Auth(change) => self.change_auth(change),
            Command::Token(grant) => self.grant_token(at, &grant),
            Command::LeaseCheckpoint(_) | Command::LeaseExpire(_) => self.reply(Err(ApplyError::OtherTerm)),
        }
    }

    fn put(&mut self, request: &PutRequest) -> Reply {
        let mut store = self.state.store.write();
        let mut leases = self.state.leases.write();
        let result = kv::check_put(request, &leases, |key| store.get(key)).map(|()| {
            let mut txn = store.write();
            let response = kv::put(request, &mut txn, &mut leases);
            self.state.counts.puts.inc();
            (Outcome::Put(response), txn.end())
        });
        self.release(store, leases);
        self.committed(result)
    }

    fn delete_range(&mut self, request: &DeleteRangeRequest) -> Reply {
        let mut store = self.state.store.write();
        let mut leases = self.state.leases.write();
        let mut txn = store.write();
        let response = kv::delete_range(request, &mut txn, &mut leases);
        let committed = txn.end();
        self.release(store, leases);
        self.state.counts.deletes.inc();
        self.committed(Ok((Outcome::DeleteRange(response), committed)))
    }

    fn txn(&mut self, request: &TxnRequest) -> Reply {
        let mut store = self.state.store.write();
        let mut leases = self.state.leases.write();
        let result = txn::write_txn(request, &mut store, &mut leases);
        self.release(store, leases);
        if let Ok((response, _)) = &result {
            self.state.counts.note_txn(response);
        }
        self.committed(result.map(|(response, committed)| (Outcome::Txn(response), committed)))
    }

    fn compact(&mut self, at: Revision) -> Reply {
        let result = self.state.store.write().compact(at);
        self.reply(result.map(|()| Outcome::Done).map_err(ApplyError::from))
    }

    fn lease_grant(&mut self, request: &LeaseGrantRequest) -> Reply {
        let mut leases = self.state.leases.write();
        let result = leases::grant(request, &mut leases);
        if let Ok(grant) = result {
            // Before anybody can see the lease: who asks what is left of it, or keeps it alive, finds it.
            self.lease_observer.granted(grant, request.ttl);
            self.state.counts.leases_granted.inc();
        }
        self.state.note_lease_size(&leases);
        drop(leases);
        self.reply(result.map(|_| Outcome::Done))
    }

    fn lease_revoke(&mut self, grant: Grant) -> Reply {
        let mut store = self.state.store.write();
        let mut leases = self.state.leases.write();
        let result = leases::revoke(grant, &mut store, &mut leases);
        if let Ok(committed) = &result {
            // Before anybody can see that the keys are gone: no keep-alive succeeds from then on.
            self.lease_observer.revoked(grant.id);
            self.state.counts.note_revoked(committed.changes);
        }
        self.release(store, leases);
        self.committed(result.map(|committed| (Outcome::Done, committed)))
    }

    fn lease_checkpoint(&mut self, request: &LeaseCheckpoints) -> Reply {
        let mut leases = self.state.leases.write();
        for checkpoint in &request.checkpoints {
            let grant = checkpoint.grant();
            if leases.checkpoint(grant, checkpoint.remaining_seconds) {
                let remaining = leases.get(grant.id).and_then(|lease| lease.remaining_seconds);
                self.lease_observer.recorded(grant.id, remaining);
            }
        }
        drop(leases);
        self.reply(Ok(Outcome::Done))
    }

    fn change_member(&mut self, change: MemberChange) -> Reply {
        let mut cluster = self.state.cluster.write();
        let (id, kind) = (MemberId(change.id), change.kind());
        let result = match kind {
            MemberChangeKind::Add => {
                let (peer_ur_ls, is_learner) = (change.peer_urls, change.is_learner);
                let member = Member { id: change.id, peer_ur_ls, is_learner, ..Member::default() };
                cluster.add(member, change.max_learners as usize)
            }
            MemberChangeKind::Remove => cluster.remove(id),
            MemberChangeKind::Update => cluster.update(id, change.peer_urls),
            MemberChangeKind::Promote => cluster.promote(id),
            MemberChangeKind::Unknown => Err(MemberError::NotFound),
        };
        drop(cluster);
        if kind == MemberChangeKind::Remove && result.is_ok() {
            self.state.alarms.write().forget(id);
        }
        self.reply(result.map(|()| Outcome::Done).map_err(ApplyError::Member))
    }

    fn change_auth(&mut self, change: AuthChange) -> Reply {
        let mut auth = self.state.auth.write();
        let ended = Ended::by(&change);
        let result = auth.change(change);
        if let (Ok(()), Some(tokens)) = (&result, &self.tokens) {
            match ended {
                Ended::None => {}
                Ended::Of(user) => tokens.revoked(&user),
                Ended::All => tokens.revoked_all(),
            }
        }
        self.state.note_auth(&auth);
        drop(auth);
        self.reply(result.map(|()| Outcome::Done).map_err(ApplyError::Auth))
    }

    fn grant_token(&self, at: Position, grant: &TokenGrant) -> Reply {
        let result = self.state.auth.read().check_token(grant);
        if result.is_ok()
            && let (Some(tokens), Ok(digest)) = (&self.tokens, grant.digest.as_ref().try_into())
        {
            tokens.granted(&grant.user, digest);
        }
        self.reply(result.map(|()| Outcome::Token { index: at.index }).map_err(ApplyError::Auth))
    }

    fn alarm(&mut self, request: &AlarmRequest) -> Reply {
        // What was found out of a member before it was removed may come after that.
        let is_of_nobody = request.action() == AlarmAction::Activate
            && self.state.cluster.read().was_removed(MemberId(request.member_id));
        let result = match is_of_nobody {
            true => Ok(Vec::new()),
            false => self.state.alarms.write().change(request),
        };
        self.reply(result.map(Outcome::Alarm))
    }

    /// Lets readers in again, and those who ask for the size see what it is now.
    fn release(&self, store: RwLockWriteGuard<'_, Store>, leases: RwLockWriteGuard<'_, Leases>) {
        self.state.note_store_size(&store);
        self.state.note_lease_size(&leases);
        drop((store, leases));
    }

    /// Tells the watchers, then answers.
    fn committed(&self, result: Result<(Outcome, Committed), ApplyError>) -> Reply {
        match result {
            Ok((outcome, committed)) => {
                let revision = committed.revision;
                if committed.changes > 0 {
                    self.hub.publish(revision, || self.state.store.read().events_of(&committed));
                }
                Reply { revision, outcome: Ok(outcome) }
            }
            Err(error) => self.reply(Err(error)),
        }
    }

    fn reply(&self, outcome: Result<Outcome, ApplyError>) -> Reply {
        Reply { revision: self.state.store.read().revision(), outcome }
    }
}

/// Whose tokens a change of users ends.
enum Ended {
    None,
    Of(String),
    All,
}

impl Ended {
    fn by(change: &AuthChange) -> Self {
        match &change.action {
            Some(AuthAction::UserDelete(request)) => Self::Of(request.name.clone()),
            Some(AuthAction::UserChangePassword(request)) => Self::Of(request.name.clone()),
            Some(AuthAction::Disable(_)) => Self::All,
            _ => Self::None,
        }
    }
}

/// What the alarms that are raised say against a command.
fn refusal(alarms: &Alarms, command: &Command) -> Option<ApplyError> {
    if alarms.corrupt() && command.is_of_data() {
        return Some(ApplyError::Corrupt);
    }
    (alarms.no_space() && cost(command) > 0).then_some(ApplyError::NoSpace)
}

/// Whether what the leader of a term has decided stands in its own log; 0 was decided without a look at the term.
fn is_of_term(term: u64, at: Position) -> bool {
    term == 0 || term == at.term
}

impl StateMachine for Machine {
    type Command = Authored;
    type Reply = Reply;
    type Snapshot = StateSnapshot;

    fn decode(command: Bytes) -> Result<Authored, RestoreError> {
        Authored::decode(command).map_err(|error| RestoreError::new("a command in the log", error))
    }

    fn apply(&mut self, at: Position, command: Authored) -> Reply {
        self.command(at, command)
    }

    fn members(&mut self, members: &mut dyn Iterator<Item = (MemberId, &PeerNode)>) {
        let mut cluster = self.state.cluster.write();
        members.for_each(|(id, node)| cluster.found(id, &node.peer_urls));
    }

    fn background(&mut self) -> bool {
        let waiting = {
            let store = self.state.store.read();
            store.swept() < store.compacted()
        };
        let asked = self.state.defragmentation.is_asked();
        if !waiting && !self.reclaiming && !asked {
            return false;
        }
        let mut store = self.state.store.write();
        if asked {
            self.state.defragmentation.begin();
            store.defragment();
        }
        self.reclaiming = !store.compact_step(COMPACT_KEYS);
        let swept = store.swept();
        self.state.note_store_size(&store);
        drop(store);
        if !self.reclaiming && self.state.set_swept(swept) {
            tracing::info!(revision = %swept, "finished scheduled compaction");
        }
        if !self.reclaiming {
            self.state.defragmentation.end();
        }
        self.reclaiming
    }

    fn on_background_work(&mut self, wake: Arc<dyn Fn() + Send + Sync>) {
        // A pin that goes may be all that physical compaction waited for.
        let unpinned = wake.clone();
        self.state.store.read().on_unpin(Box::new(move || unpinned()));
        self.state.defragmentation.on_ask(wake.clone());
        self.wake_background = Some(wake);
    }

    fn snapshot(&mut self) -> StateSnapshot {
        StateSnapshot::new(self.state.clone())
    }

    fn restore(&mut self, blocks: &mut dyn Iterator<Item = Result<Bytes, RestoreError>>) -> Result<(), RestoreError> {
        let Restored { store, leases, cluster, alarms, auth } = restore(blocks)?;
        if let Some(wake) = self.wake_background.clone() {
            store.on_unpin(Box::new(move || wake()));
        }
        // First of all: who may see what is there counts before it is there. And which tokens have ended meanwhile nobody
        // knows, so all have: clients log in again.
        self.state.note_auth(&auth);
        *self.state.auth.write() = auth;
        if let Some(tokens) = &self.tokens {
            tokens.revoked_all();
        }
        let (mut store_now, mut leases_now) = (self.state.store.write(), self.state.leases.write());
        leases_now.iter().for_each(|(id, _)| self.lease_observer.revoked(id));
        for (id, lease) in leases.iter() {
            self.lease_observer.granted(Grant { id, number: lease.number }, lease.ttl_seconds);
            self.lease_observer.recorded(id, lease.remaining_seconds);
        }
        *store_now = store;
        *leases_now = leases;
        self.release(store_now, leases_now);
        *self.state.cluster.write() = cluster;
        *self.state.alarms.write() = alarms;
        if !planted(Bug::SnapshotUntold) {
            self.hub.restored();
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "lease_tests.rs"]
mod lease_tests;
