//! Looking at one endpoint: its door, and what it answers.

use std::time::{Duration, SystemTime};

use registry_proto::etcdserverpb::kv_client::KvClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{HashKvRequest, HashKvResponse, RangeRequest, StatusRequest, StatusResponse};
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;

use super::facts::{Asked, Clock, Figured, Look, Refusal, Spoken, Versions};
use crate::connect::{self, Connection};
use crate::error::CtlError;
use crate::global::Global;
use crate::http::certificate::lifetime;
use crate::http::door::{self, Door, Opened};
use crate::http::figures::Figures;
use crate::http::{Page, Target};

const SYNC: &str = "etcd_disk_wal_fsync_duration_seconds";
const COMMIT: &str = "etcd_disk_backend_commit_duration_seconds";
const QUOTA: &str = "etcd_server_quota_backend_bytes";

/// Looks at it, the door and the API at once.
pub(super) async fn look(global: &Global, endpoint: &str, window: Option<Duration>) -> Look {
    let place = Target::of(global, endpoint);
    let (outside, inside) = tokio::join!(outside(global, place.as_ref(), window), inside(global, endpoint));
    let Outside { spoken, clock, versions, figures, presented } = outside;
    let Inside { login, status, read } = inside;
    let lifetimes = presented.iter().filter_map(lifetime).collect();
    let endpoint = endpoint.to_owned();
    Look { endpoint, place, spoken, login, status, read, clock, versions, figures, lifetimes, hash: None }
}

/// What plain HTTP shows.
struct Outside {
    spoken: Spoken,
    clock: Option<Clock>,
    versions: Option<Versions>,
    figures: Result<Figured, String>,
    presented: Vec<rustls::pki_types::CertificateDer<'static>>,
}

impl Outside {
    fn nothing(spoken: Spoken) -> Self {
        let figures = Err("they were not asked for".to_owned());
        Self { spoken, clock: None, versions: None, figures, presented: Vec::new() }
    }
}

async fn outside(global: &Global, place: Option<&Target>, window: Option<Duration>) -> Outside {
    let Some(place) = place else { return Outside::nothing(Spoken::Unseen) };
    match door::knock(global, place, global.dial_timeout).await {
        Door::Open(opened) => visited(global, opened, window).await,
        Door::Closed(why) => Outside::nothing(Spoken::Closed(why)),
        Door::Strange(why) => Outside::nothing(Spoken::Strange(why)),
        Door::Unshaken(why) => Outside::nothing(Spoken::Unshaken(why)),
        Door::Plain => Outside::nothing(Spoken::Plain),
        Door::Secure(presented) => Outside { presented, ..Outside::nothing(Spoken::Secure) },
    }
}

async fn visited(global: &Global, opened: Opened, window: Option<Duration>) -> Outside {
    let Opened { mut session, version, asked } = opened;
    let presented = session.presented.clone();
    let clock = clock(&version, asked);
    let Some(versions) = versions(&version) else {
        return Outside { presented, ..Outside::nothing(Spoken::Http(version.status)) };
    };
    let mut get = async |path| match timeout(global.command_timeout, session.get(path)).await {
        Ok(Ok(page)) => Ok(page),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {:?}", global.command_timeout)),
    };
    // etcd tells members its members there, and clients nothing.
    let is_peer = get("/members").await.is_ok_and(|page| page.status == 200 && page.body.starts_with(b"["));
    let spoken = if is_peer { Spoken::Peer } else { Spoken::Api };
    let mut figures = get("/metrics").await.and_then(|page| figures_of(&page));
    if let (Ok(first), Some(window)) = (&figures, window) {
        sleep(window).await;
        let first = figured(first);
        let last = get("/metrics").await.and_then(|page| figures_of(&page)).map(|figures| figured(&figures));
        let figures = last.map(|last| within(&first, last, window));
        return Outside { spoken, clock, versions: Some(versions), figures, presented };
    }
    let figures = figures.as_mut().map(|figures| figured(figures)).map_err(|why| why.clone());
    Outside { spoken, clock, versions: Some(versions), figures, presented }
}

fn figures_of(page: &Page) -> Result<Figures, String> {
    if page.status == 200 { Ok(Figures::read(&page.text())) } else { Err(format!("HTTP status {}", page.status)) }
}

fn figured(figures: &Figures) -> Figured {
    let quota_bytes = figures.value(QUOTA).filter(|bytes| *bytes > 0.0).map(|bytes| bytes as u64);
    Figured { sync: figures.histogram(SYNC), commit: figures.histogram(COMMIT), window: None, quota_bytes }
}

fn within(first: &Figured, last: Figured, window: Duration) -> Figured {
    let since = |first: &Option<_>, last: Option<_>| match (first, last) {
        (Some(first), Some(last)) => Some(crate::http::figures::Histogram::since(&last, first)),
        (_, last) => last,
    };
    let (sync, commit) = (since(&first.sync, last.sync), since(&first.commit, last.commit));
    Figured { sync, commit, window: Some(window), quota_bytes: last.quota_bytes }
}

/// None if whoever answers is no server of this API.
fn versions(page: &Page) -> Option<Versions> {
    let told: serde_json::Value = serde_json::from_slice(&page.body).ok()?;
    let text = |name: &str| Some(told.get(name)?.as_str()?.to_owned());
    Some(Versions { server: text("etcdserver")?, cluster: text("etcdcluster").unwrap_or_default() })
}

fn clock(page: &Page, (sent, received): (SystemTime, SystemTime)) -> Option<Clock> {
    let seconds = |later: SystemTime, earlier: SystemTime| match later.duration_since(earlier) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    };
    let date = page.date?;
    Some(Clock { least: seconds(date, received), most: seconds(date, sent) + 1.0 })
}

/// What the API answers.
struct Inside {
    login: Option<String>,
    status: Asked<StatusResponse>,
    read: Asked<Duration>,
}

async fn inside(global: &Global, endpoint: &str) -> Inside {
    let (login, connection) = connected(global, endpoint).await;
    match connection {
        Ok(connection) => {
            let (status, read) = tokio::join!(status(global, &connection), read(global, &connection));
            Inside { login, status, read }
        }
        Err(refusal) => Inside { login, status: Err(refusal.clone()), read: Err(refusal) },
    }
}

/// As the user, or without one if that one cannot log in; and why not.
pub(super) async fn connected(global: &Global, endpoint: &str) -> (Option<String>, Asked<Connection>) {
    let limit = global.dial_timeout.saturating_add(global.command_timeout);
    let dialled = async |global: &Global| {
        let connecting = async { connect::to(global, endpoint).await };
        timeout(limit, connecting).await.unwrap_or_else(|_| Err(Status::deadline_exceeded("").into()))
    };
    match dialled(global).await {
        Err(CtlError::Status(status)) if global.user.is_some() => {
            let nobody = Global { user: None, password: None, ..global.clone() };
            let why = CtlError::Status(status).to_string();
            (Some(why), dialled(&nobody).await.map_err(Refusal::from))
        }
        result => (None, result.map_err(Refusal::from)),
    }
}

/// A question with its bound in time.
pub(super) async fn ask<T>(
    global: &Global,
    question: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Asked<T> {
    let answer = timeout(global.command_timeout, question).await;
    let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
    answer.map(tonic::Response::into_inner).map_err(|status| CtlError::from(status).into())
}

async fn status(global: &Global, connection: &Connection) -> Asked<StatusResponse> {
    let mut client = MaintenanceClient::new(connection.clone());
    ask(global, client.status(StatusRequest {})).await
}

/// Of a key that nobody needs: whether a majority answers shows all the same.
async fn read(global: &Global, connection: &Connection) -> Asked<Duration> {
    let mut client = KvClient::new(connection.clone());
    let began = Instant::now();
    let request = RangeRequest { key: "health".into(), limit: 1, count_only: true, ..RangeRequest::default() };
    match ask(global, client.range(request)).await {
        Ok(_) => Ok(began.elapsed()),
        // Who may not read has an answer all the same, and it took a majority.
        Err(refusal) if refusal.is_forbidden => Ok(began.elapsed()),
        Err(refusal) => Err(refusal),
    }
}

/// The hash of what it holds at a revision.
pub(super) async fn hash(global: &Global, endpoint: &str, revision: i64) -> Asked<HashKvResponse> {
    let mut client = MaintenanceClient::new(connected(global, endpoint).await.1?);
    ask(global, client.hash_kv(HashKvRequest { revision })).await
}
