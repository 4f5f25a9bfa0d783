//! A service as one connection meets it: what is known of the connection goes along with every request.
//!
//! Among the extensions of a request are the certificate that the other side has shown, where those look that take its
//! common name for a user; that it came through TLS; and, over HTTP/1, how it is told that the client has gone.

use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::service::Service;

use super::connection::Serve;
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
}

impl<S> Known<S> {
    /// For a connection without TLS, whose other side has not said who it is.
    pub(super) fn plain(service: Arc<S>) -> Self {
        Self { service, is_secured: false, certificate: None, departure: None }
    }

    /// For one with TLS.
    pub(super) fn secured(service: Arc<S>, certificate: Option<PeerCertificate>) -> Self {
        Self { service, is_secured: true, certificate, departure: None }
    }

    /// For one of HTTP/1.
    pub(super) fn with_departure(self, departure: Departure) -> Self {
        Self { departure: Some(departure), ..self }
    }
}

impl<S: Serve> Service<Request<Incoming>> for Known<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<Incoming>) -> S::Future {
        if self.is_secured {
            request.extensions_mut().insert(Secured);
        }
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        if let Some(departure) = &self.departure {
            request.extensions_mut().insert(departure.clone());
        }
        self.service.call(request)
    }
}
