//! Answers with the headers that Go's HTTP server gives them.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;

use super::exposition;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// 200 with JSON.
pub(super) fn json(body: String) -> Response<Body> {
    with_body(StatusCode::OK, JSON, body)
}

/// 200 with text.
pub(super) fn text(body: String) -> Response<Body> {
    with_body(StatusCode::OK, TEXT, body)
}

/// 200 with text that no browser is to take for anything else.
pub(super) fn plain(body: String) -> Response<Body> {
    let mut response = text(body);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    response
}

/// 200 with variables.
pub(super) fn vars(body: String) -> Response<Body> {
    with_body(StatusCode::OK, HeaderValue::from_static("application/json; charset=utf-8"), body)
}

/// 200 with figures.
pub(super) fn metrics(body: String) -> Response<Body> {
    with_body(StatusCode::OK, HeaderValue::from_static(exposition::CONTENT_TYPE), body)
}

/// An error whose body is one text and a line's end.
pub(super) fn error(status: StatusCode, mut body: String) -> Response<Body> {
    body.push('\n');
    let mut response = with_body(status, TEXT, body);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    response
}

/// 405; only GET is answered here.
pub(super) fn method_not_allowed() -> Response<Body> {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed".to_owned());
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    response
}

/// 404.
pub(super) fn not_found() -> Response<Body> {
    error(StatusCode::NOT_FOUND, "404 page not found".to_owned())
}

fn with_body(status: StatusCode, content_type: HeaderValue, body: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
