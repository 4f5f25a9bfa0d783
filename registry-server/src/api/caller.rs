//! Who calls: what a request carries of that, and what it may have done.
//!
//! A token counts before a certificate, as in etcd. What a member does not permit is asked once more after a read barrier:
//! it may be behind, and whoever was allowed elsewhere is allowed here.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::Extensions;
use registry_proto::etcdserverpb::WatchCreateRequest;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use super::audit::Wanted;
use super::backend::{Backend, auth_error};
use super::status::WireError;
use crate::auth::{Auth, AuthError, Rights};
use crate::storage::Vfs;
use crate::tls::PeerCertificate;
use crate::types::{Author, Runtime};

/// Where clients put a token: over gRPC, and over HTTP with JSON.
const TOKEN_NAMES: [&str; 2] = ["token", "authorization"];
/// The gateway of etcd has a certificate of its own, which is nobody's who calls through it.
const THROUGH_A_GATEWAY: &str = "grpcgateway-accept";

/// What a request says of who calls.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    token: Option<Arc<str>>,
    /// That the client has shown and that was verified: an extension of each of its requests.
    certificate: Option<PeerCertificate>,
}

/// Who may watch what.
pub trait WatchGate: Send + Sync + 'static {
    /// Waits until it can be known who calls.
    fn arrive<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, ()>;

    /// Whether somebody may watch what a create request asks for.
    ///
    /// # Errors
    /// etcd's reason.
    fn check(&self, caller: &Caller, request: &WatchCreateRequest) -> Result<(), WireError>;
}

impl<R: Runtime, V: Vfs> WatchGate for Backend<R, V> {
    fn arrive<'a>(&'a self, caller: &'a Caller) -> BoxFuture<'a, ()> {
        // A token that is none is told to each watcher.
        Box::pin(async { drop(self.author(caller).await) })
    }

    fn check(&self, caller: &Caller, request: &WatchCreateRequest) -> Result<(), WireError> {
        let checked = self.check_watch(caller, request);
        let wanted = || Wanted::of_range(&request.key, &request.range_end);
        self.tell(caller, "watch", wanted, &checked.map_err(Status::from));
        checked
    }
}

/// A read that was permitted.
#[derive(Debug, Clone, Copy)]
#[must_use = "what was read may be told only if it is permitted still"]
pub(super) enum Permitted {
    /// To everybody, as nobody is asked.
    Open,
    /// To a user, at a revision of users and roles.
    At(u64),
}

impl Permitted {
    /// A read was permitted to somebody.
    pub(super) fn to(author: &Author) -> Self {
        match author {
            Author::User { revision, .. } => Self::At(*revision),
            Author::Nobody | Author::Member => Self::Open,
        }
    }
}

impl Caller {
    /// Of a request.
    #[must_use]
    pub fn of<T>(request: &Request<T>) -> Self {
        Self::in_parts(request.metadata(), request.extensions())
    }

    /// Of a request in parts.
    #[must_use]
    pub fn in_parts(metadata: &MetadataMap, extensions: &Extensions) -> Self {
        let token = TOKEN_NAMES.iter().find_map(|name| metadata.get(*name)?.to_str().ok());
        let certificate = extensions.get().filter(|_| !metadata.contains_key(THROUGH_A_GATEWAY)).cloned();
        Self { token: token.map(|token| token.strip_prefix("Bearer ").unwrap_or(token).into()), certificate }
    }
}

impl<R: Runtime, V: Vfs> Backend<R, V> {
    /// In whose name this caller wants something. A token that is not known here may be on its way.
    ///
    /// # Errors
    /// For a token that is none.
    pub(super) async fn author(&self, caller: &Caller) -> Result<Author, Status> {
        let mut author = self.author_now(caller);
        if author == Err(WireError::InvalidAuthToken) && self.is_ahead(caller) {
            self.read_barrier().await?;
            author = self.author_now(caller);
        }
        let author = author.map_err(Status::from);
        if author.is_err() {
            self.audit.tell(&Author::Nobody, "any call", "show a token that is none", &author);
        }
        author
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// For a token that is none, or that this member has not heard of yet.
    pub(super) fn author_now(&self, caller: &Caller) -> Result<Author, WireError> {
        if !self.state.is_auth_enabled() {
            return Ok(Author::Nobody);
        }
        // Before the token: whoever loses it meanwhile is of an old revision.
        let revision = self.state.auth.read().revision();
        let Some(token) = &caller.token else {
            let certificate = caller.certificate.as_ref().filter(|_| self.logins.by_certificate);
            let by_name = |name: &str| Author::User { name: name.into(), revision };
            return Ok(certificate.and_then(PeerCertificate::common_name).map_or(Author::Nobody, by_name));
        };
        let user = match self.logins.jwt.get() {
            Some(jwt) => jwt.user_of(token),
            None => token.split_once('.').and_then(|(secret, _)| Some((self.logins.tokens.user_of(secret)?, revision))),
        };
        let (name, revision) = user.ok_or(WireError::InvalidAuthToken)?;
        Ok(Author::User { name, revision })
    }

    /// Whether a token says that it stands further on in the log than this member is.
    fn is_ahead(&self, caller: &Caller) -> bool {
        let index = caller.token.as_ref().and_then(|token| token.split_once('.')?.1.parse::<u64>().ok());
        index.is_some_and(|index| index > self.node.status().applied_index)
    }

    /// Checks whoever calls, and tells who it is.
    ///
    /// # Errors
    /// What the check says.
    pub(super) async fn check_caller(
        &self,
        caller: &Caller,
        check: impl Fn(&Auth, &Author) -> Result<(), AuthError>,
    ) -> Result<Author, Status> {
        if !self.state.is_auth_enabled() {
            return Ok(Author::Nobody);
        }
        let author = self.author(caller).await?;
        let Err(refusal) = check(&self.state.auth.read(), &author) else { return Ok(author) };
        if refusal != AuthError::OldRevision && self.read_barrier().await.is_ok() {
            check(&self.state.auth.read(), &author).map_err(auth_error)?;
            return Ok(author);
        }
        Err(auth_error(refusal).into())
    }

    /// Tells of a call that changes nothing in the log.
    pub(super) fn tell<T>(
        &self,
        caller: &Caller,
        what: &str,
        wanted: impl FnOnce() -> String,
        outcome: &Result<T, Status>,
    ) {
        if self.audit.is_on() {
            let author = self.author_now(caller).unwrap_or_default();
            self.audit.tell(&author, what, &wanted(), outcome);
        }
    }

    fn check_watch(&self, caller: &Caller, request: &WatchCreateRequest) -> Result<(), WireError> {
        if !self.state.is_auth_enabled() {
            return Ok(());
        }
        let author = self.author_now(caller)?;
        let auth = self.state.auth.read();
        // An empty key stands for the first there is.
        let key = if request.key.is_empty() { b"\0".as_slice() } else { &request.key };
        auth.rights(&author).and_then(|rights| rights.read(key, &request.range_end)).map_err(auth_error)
    }

    /// Checks a read before anything is read.
    ///
    /// # Errors
    /// What the check says.
    pub(super) async fn permit_read(
        &self,
        caller: &Caller,
        check: impl Fn(&Rights<'_>) -> Result<(), AuthError>,
    ) -> Result<Permitted, Status> {
        if !self.state.is_auth_enabled() {
            return Ok(Permitted::Open);
        }
        let author = self.check_caller(caller, |auth, author| check(&auth.rights(author)?)).await?;
        Ok(Permitted::to(&author))
    }

    /// Whether this author has the root role, or nobody needs it.
    pub(super) fn is_admin(&self, author: &Author) -> bool {
        !self.state.is_auth_enabled() || self.state.auth.read().check_admin(author).is_ok()
    }

    /// Checks, after something was read, that nothing has changed of what permitted it.
    ///
    /// # Errors
    /// etcd's "revision of auth store is old", at which clients try again.
    pub(super) fn is_still(&self, permitted: Permitted) -> Result<(), Status> {
        let is_still = match permitted {
            Permitted::Open => !self.state.is_auth_enabled(),
            Permitted::At(revision) => revision == self.state.auth.read().revision(),
        };
        if is_still { Ok(()) } else { Err(WireError::AuthOldRevision.into()) }
    }
}
