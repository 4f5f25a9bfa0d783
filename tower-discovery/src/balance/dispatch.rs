//! The way of one request: pick, send, and once more elsewhere if it never reached an endpoint.
//!
//! A request is sent a second time only if the first endpoint surely did nothing with it: the connection
//! gave it back unsent, or the server refused its stream (REFUSED_STREAM, or an id beyond GOAWAY's last). Any
//! other failure is the caller's to judge. A connection that says it is closed before it was given the
//! request costs nothing: it is ended, and the next one is picked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::poll_fn;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::time::{Instant, sleep_until, timeout_at};
use tower_service::Service;

use super::Shared;
use super::head::Head;
use super::no_endpoint::{NoEndpoint, Patience};
use super::pinned::NotConnected;
use crate::body::{RequestBody, ResponseBody, Watched};
use crate::error::{BoxError, Chain, Error, NoEndpointError, NoFurtherConnection, Unsent, is_the_callers};
use crate::grpc;
use crate::load::InFlight;
use crate::meters::{Metered, Outcome};
use crate::picker::{Member, Picker, Wish};
use crate::target::{Key, ServedBy, Target};

/// Who has the request now; kept outside the future that a deadline drops.
struct Attempt {
    target: Target,
    in_flight: InFlight,
    metered: Metered,
}

/// How an attempt ended without an answer.
enum Failure {
    /// The connection had ended before it was given the request.
    NotReady(Request<RequestBody>),
    /// The connection gave the request back.
    Unsent(Request<RequestBody>, BoxError),
    /// The server said that it did nothing with the request.
    Refused(BoxError),
    /// Whether the request had an effect is not known.
    Failed(BoxError),
}

impl Failure {
    fn outcome(&self) -> Outcome {
        match self {
            Self::NotReady(_) | Self::Unsent(..) | Self::Refused(_) => Outcome::Unsent,
            Self::Failed(error) if is_the_callers(error.as_ref()) => Outcome::Cancelled,
            Self::Failed(_) => Outcome::Failed,
        }
    }
}

/// Sends a request, to one endpoint if it has to be that, and holds the answer to its deadline.
pub(super) async fn call<S, R>(
    shared: Arc<Shared<S>>,
    only: Option<Target>,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody<R>>, Error>
where
    S: Service<Request<RequestBody>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
{
    let is_grpc = grpc::is_grpc(request.headers());
    let limit = if is_grpc { grpc::timeout(request.headers()) } else { None };
    let mut current = None;
    let result = match limit.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit))) {
        None => shared.attempts(only, request, &mut current).await.map(|response| (response, None)),
        Some((at, limit)) => match timeout_at(at, shared.attempts(only, request, &mut current)).await {
            Ok(result) => result.map(|response| (response, Some((Box::pin(sleep_until(at)), limit)))),
            Err(_) => Err(expired(limit, current.take())),
        },
    };
    match (result, current) {
        (Ok((response, deadline)), Some(Attempt { target, in_flight, metered })) => {
            let watched = Watched { target, in_flight, metered, deadline, is_grpc };
            Ok(watch(response, watched, shared.manners.served_by))
        }
        (Ok((response, _)), None) => Ok(response.map(|_| ResponseBody::empty())),
        (Err(error), _) if is_grpc => Ok(told_as_status(error)),
        (Err(error), _) => Err(error),
    }
}

fn expired(limit: Duration, mut attempt: Option<Attempt>) -> Error {
    if let Some(attempt) = &mut attempt {
        attempt.in_flight.expired(Instant::now());
        attempt.metered.set(Outcome::Failed);
    }
    Error::DeadlineExceeded { limit, target: attempt.map(|attempt| attempt.target) }
}

/// The answer that tells a gRPC caller the error, which is also in its extensions.
fn told_as_status<R>(error: Error) -> Response<ResponseBody<R>> {
    let mut response = Response::new(ResponseBody::empty());
    *response.headers_mut() = grpc::head(&error);
    if let Some(target) = error.target() {
        response.extensions_mut().insert(ServedBy(target.clone()));
    }
    response.extensions_mut().insert(Arc::new(error));
    response
}

fn watch<R: Body>(response: Response<R>, mut watched: Watched, served_by: bool) -> Response<ResponseBody<R>> {
    let now = Instant::now();
    watched.metered.set(Outcome::Answered);
    if is_failure(response.status()) || grpc::blames_the_endpoint(response.headers()) {
        watched.in_flight.answered_with_failure(now);
        watched.metered.set(Outcome::Failed);
    } else {
        watched.in_flight.answered(now);
    }
    let (mut head, body) = response.into_parts();
    if served_by {
        head.extensions.insert(ServedBy(watched.target.clone()));
    }
    Response::from_parts(head, ResponseBody::new(body, watched))
}

/// Whether the endpoint is to blame. Those two say what it does not know, not how it fares.
fn is_failure(status: StatusCode) -> bool {
    let is_ignorance = [StatusCode::NOT_IMPLEMENTED, StatusCode::HTTP_VERSION_NOT_SUPPORTED].contains(&status);
    status.is_server_error() && !is_ignorance
}

impl<S> Shared<S> {
    /// The answer of the one endpoint that it has to be, if there is such, or else of an endpoint that is picked.
    async fn attempts<R>(
        &self,
        only: Option<Target>,
        request: Request<RequestBody>,
        current: &mut Option<Attempt>,
    ) -> Result<Response<R>, Error>
    where
        S: Service<Request<RequestBody>, Response = Response<R>> + Clone,
        S::Error: Into<BoxError>,
    {
        let Some(target) = only else {
            return self.picked(request, current).await;
        };
        let Some(member) = self.board.picker.load().find(target.key()).cloned() else {
            return Err(Error::endpoint(&target, NotConnected.into()));
        };
        send(&member, request, Instant::now(), current).await.map_err(|failure| match failure {
            Failure::NotReady(_) => Error::endpoint(&target, NotConnected.into()),
            Failure::Unsent(_, source) | Failure::Refused(source) | Failure::Failed(source) => {
                Error::endpoint(&target, source)
            }
        })
    }

    /// The answer of the first endpoint, or of the second if the first did nothing with the request.
    async fn picked<R>(
        &self,
        mut request: Request<RequestBody>,
        current: &mut Option<Attempt>,
    ) -> Result<Response<R>, Error>
    where
        S: Service<Request<RequestBody>, Response = Response<R>> + Clone,
        S::Error: Into<BoxError>,
    {
        let replay = request.body().replay();
        let head = Head::of(&request);
        // The clock is read once on the way to an endpoint.
        let mut now = Instant::now();
        let patience = Patience::new(self.manners.on_no_endpoint, now);
        let attraction = self.manners.affinity.as_ref().and_then(|affinity| affinity.attraction(request.headers()));
        let mut avoid: Option<Key> = None;
        loop {
            let wish = Wish { now, avoid: avoid.as_ref(), attraction };
            let (member, found_at) = self.member(wish, &patience).await?;
            let failure = match send(&member, request, found_at, current).await {
                Ok(response) => {
                    replay.forget();
                    return Ok(response);
                }
                Err(failure) => failure,
            };
            now = Instant::now();
            let is_first = avoid.is_none();
            request = match failure {
                Failure::NotReady(request) => request,
                Failure::Unsent(request, _) if is_first => {
                    avoid = Some(member.target.key().clone());
                    request
                }
                Failure::Refused(source) if is_first => {
                    let key = member.target.key();
                    let Some(body) = replay.again().filter(|_| self.has_other_than(key)) else {
                        return Err(Error::endpoint(&member.target, source));
                    };
                    avoid = Some(key.clone());
                    head.with(body)
                }
                Failure::Unsent(_, source) | Failure::Refused(source) | Failure::Failed(source) => {
                    return Err(Error::endpoint(&member.target, source));
                }
            };
        }
    }

    /// Picks an endpoint; waits for one if there is none, as long as `patience` lasts. Another than the one to
    /// avoid is taken if there is one. Also answers when it was found: the wait is not the endpoint's.
    async fn member(&self, wish: Wish<'_>, patience: &Patience) -> Result<(Arc<Member<S>>, Instant), Error> {
        let pick = |picker: &Picker<S>, wish: Wish<'_>| {
            let other = picker.pick(wish, |n| fastrand::u64(..n));
            let other = other
                .or_else(|| wish.avoid.and_then(|_| picker.pick(Wish { avoid: None, ..wish }, |n| fastrand::u64(..n))));
            other.cloned()
        };
        if let Some(member) = pick(&self.board.picker.load(), wish) {
            return Ok((member, wish.now));
        }
        let fails_fast = self.manners.on_no_endpoint == NoEndpoint::FailFast;
        let found = self.board.wait_for(|picker| match pick(picker, Wish { now: Instant::now(), ..wish }) {
            None if fails_fast && picker.outlook.is_settled() => Some(None),
            None => None,
            member => Some(member),
        });
        let found = timeout_at(patience.until, found).await.ok().flatten();
        found.map(|member| (member, Instant::now())).ok_or_else(|| self.no_endpoint(patience))
    }

    fn has_other_than(&self, key: &Key) -> bool {
        let wish = Wish { now: Instant::now(), avoid: Some(key), attraction: None };
        self.board.picker.load().pick(wish, |_| 0).is_some()
    }

    fn no_endpoint(&self, patience: &Patience) -> Error {
        let picker = self.board.picker.load();
        Error::NoEndpoint(Arc::new(NoEndpointError {
            service: Arc::clone(&self.board.service),
            waited: patience.since.elapsed(),
            known: picker.outlook.known,
            connected: picker.connected(),
            last: picker.outlook.last.clone(),
        }))
    }
}

/// One attempt. What an attempt did to the endpoint's standing is settled here. `since` is when the endpoint was found;
/// the time that it takes to answer begins there, or when its connection had room at last.
async fn send<S, R>(
    member: &Member<S>,
    request: Request<RequestBody>,
    since: Instant,
    current: &mut Option<Attempt>,
) -> Result<Response<R>, Failure>
where
    S: Service<Request<RequestBody>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
{
    let mut connection = member.connection.clone();
    let mut has_waited = false;
    let readiness = poll_fn(|cx| {
        let polled = connection.poll_ready(cx);
        has_waited |= polled.is_pending();
        polled
    });
    if readiness.await.is_err() {
        member.target.liveness().end();
        return Err(Failure::NotReady(request));
    }
    let attempt = current.insert(Attempt {
        target: member.target.clone(),
        in_flight: member.load.start(if has_waited { Instant::now() } else { since }),
        metered: Metered::start(member.target.meters()),
    });
    let error: BoxError = match connection.call(request).await {
        Ok(response) => return Ok(response),
        Err(error) => error.into(),
    };
    let failure = match error.downcast::<Unsent<Request<RequestBody>>>() {
        Ok(unsent) => {
            if !unsent.source.is::<NoFurtherConnection>() {
                member.target.liveness().end();
            }
            attempt.in_flight.excused();
            Failure::Unsent(unsent.request, unsent.source)
        }
        Err(error) => {
            if is_the_callers(error.as_ref()) {
                attempt.in_flight.excused();
            } else {
                attempt.in_flight.failed(Instant::now());
            }
            if is_refused(error.as_ref()) { Failure::Refused(error) } else { Failure::Failed(error) }
        }
    };
    attempt.metered.set(failure.outcome());
    *current = None;
    Err(failure)
}

/// The server promised that it did not look at the request.
fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut links = Chain(error).links();
    links.find_map(|link| link.downcast_ref::<h2::Error>()).is_some_and(|error| {
        let is_refusal = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (is_refusal || error.is_go_away())
    })
}
