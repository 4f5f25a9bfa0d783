//! Requests that are not gRPC: who may, the API in JSON, and the paths for probes.

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use tonic::body::Body;

use super::config::Config;
use super::dispatch::Answer;
use crate::http::gateway::{Gateway, ROOT, Step};
use crate::http::{HttpSettings, Paths};

/// An older root of the same paths, which etcd still takes.
const BETA_ROOT: &str = "/v3beta/";

/// Everything that the client port answers but gRPC.
#[derive(Debug)]
pub(super) struct Plain {
    paths: Paths,
    access: HttpSettings,
    gateway: Option<Gateway>,
}

impl Plain {
    pub(super) fn new(paths: Paths, config: &Config) -> Self {
        let gateway = config.http.gateway.then(|| Gateway::new(config.max_message_bytes()));
        Self { paths, access: config.http.clone(), gateway }
    }

    /// Answers a request; calls of the API are made by `grpc`.
    pub(super) fn answer(&self, mut request: Request<Incoming>, grpc: impl FnOnce(Request<Body>) -> Answer) -> Answer {
        move_from_beta(request.uri_mut());
        let permit = match self.access.admit(&request) {
            Ok(permit) => permit,
            Err(response) => return Answer::ready(*response),
        };
        let allowed = move |mut response: Response<Body>| {
            permit.write(response.headers_mut());
            response
        };
        let Some(gateway) = self.gateway.as_ref().filter(|_| request.uri().path().starts_with(ROOT)) else {
            let paths = self.paths.clone();
            return Answer::later(async move { allowed(paths.answer(request.method(), request.uri()).await) });
        };
        match gateway.begin(request) {
            Step::Answer(response) => Answer::ready(allowed(response)),
            Step::Call(call, exchange) => {
                let call = grpc(call);
                Answer::later(async move { allowed(exchange.answer(call).await) })
            }
        }
    }
}

/// `/v3beta/x` becomes `/v3/x`.
fn move_from_beta(uri: &mut Uri) {
    let Some(rest) = uri.path().strip_prefix(BETA_ROOT) else { return };
    if let Ok(path) = format!("{ROOT}{rest}").parse() {
        let mut parts = std::mem::take(uri).into_parts();
        parts.path_and_query = Some(path);
        *uri = Uri::from_parts(parts).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beta_paths_are_the_same_paths() {
        for (given, expected) in
            [("/v3beta/kv/range", "/v3/kv/range"), ("/v3/watch", "/v3/watch"), ("/v3betas/", "/v3betas/")]
        {
            let mut uri: Uri = given.parse().unwrap();
            move_from_beta(&mut uri);
            assert_eq!(uri, expected);
        }
        let mut uri: Uri = "http://a:1/v3beta/kv/put".parse().unwrap();
        move_from_beta(&mut uri);
        assert_eq!(uri, "http://a:1/v3/kv/put");
    }
}
