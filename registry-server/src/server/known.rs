//! A service as one connection meets it: what is known of the connection goes along with every request, and what becomes of
//! these is noticed.
//!
//! Among the extensions of a request are the certificate that the other side has shown, where those look that take its
//! common name for a user; that it came through TLS; and, over HTTP/1, how it is told that the client has gone. Calls count
//! as under way until their answers have ended, for those who judge pings. What wakes a call from another thread is gathered
//! with all else that does (`wakes`).

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use pin_project_lite::pin_project;
use tonic::body::Body;

use super::connection::Serve;
use super::counted::Counted;
use super::pings::{Activity, UnderWay};
use super::wakes::{Gathered, Wakes};
use crate::http::Secured;
use crate::http::gateway::Departure;
use crate::tls::PeerCertificate;

/// The service of all connections, for one of them.
#[derive(Debug)]
pub(super) struct Known<S> {
    service: Arc<S>,
    is_secured: bool,
    certificate: Option<PeerCertificate>,
    departure: Option<Departure>,
    activity: Activity,
    wakes: Arc<Wakes>,
}

impl<S> Known<S> {
    /// For a connection without TLS, whose other side has not said who it is.
    pub(super) fn plain(service: Arc<S>, wakes: Arc<Wakes>) -> Self {
        Self { service, is_secured: false, certificate: None, departure: None, activity: Activity::default(), wakes }
    }

    /// For one with TLS.
    pub(super) fn secured(service: Arc<S>, wakes: Arc<Wakes>, certificate: Option<PeerCertificate>) -> Self {
        Self { is_secured: true, certificate, ..Self::plain(service, wakes) }
    }

    /// For one of HTTP/1.
    pub(super) fn with_departure(self, departure: Departure) -> Self {
        Self { departure: Some(departure), ..self }
    }

    /// What is under way.
    pub(super) fn activity(&self) -> &Activity {
        &self.activity
    }
}

impl<S: Serve> Service<Request<Incoming>> for Known<S> {
    type Response = Response<Counted<Body>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if self.is_secured {
            request.extensions_mut().insert(Secured);
        }
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        if let Some(departure) = &self.departure {
            request.extensions_mut().insert(departure.clone());
        }
        let along = Along { _under_way: self.activity.begin(), gathered: Gathered::new(self.wakes.clone()) };
        Answering { along: Some(along), answer: self.service.call(request) }
    }
}

/// What goes along with a call to the end of its answer.
#[derive(Debug)]
pub(super) struct Along {
    _under_way: UnderWay,
    pub(super) gathered: Gathered,
}

pin_project! {
    /// An answer under way.
    pub(super) struct Answering<F> {
        along: Option<Along>,
        #[pin]
        answer: F,
    }
}

impl<F, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<Counted<Body>>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = match this.along {
            Some(along) => ready!(along.gathered.poll(cx, |cx| this.answer.poll(cx)))?,
            None => ready!(this.answer.poll(cx))?,
        };
        let along = this.along.take();
        Poll::Ready(Ok(answer.map(|body| body.of_call(along))))
    }
}
