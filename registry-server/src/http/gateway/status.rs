//! gRPC's codes as HTTP has them, and errors in JSON.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use tonic::body::Body;
use tonic::{Code, Status};

use super::render::write_text;

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The HTTP status of a code.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        // "Client closed request", which has no name.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The error as an object; what is empty is left out.
pub(super) fn write_error(status: &Status, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{{\"code\":{}", i32::from(status.code())).as_bytes());
    if !status.message().is_empty() {
        out.extend_from_slice(b",\"message\":");
        write_text(status.message(), out);
    }
    out.push(b'}');
}

/// The same as a line of a stream.
pub(super) fn write_error_line(status: &Status, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":");
    write_error(status, out);
    out.extend_from_slice(b"}\n");
}

/// The whole answer of a call that failed; of a stream it is a line.
pub(super) fn refusal(status: &Status, is_stream: bool) -> Response<Body> {
    let mut body = Vec::new();
    if is_stream {
        write_error_line(status, &mut body);
    } else {
        write_error(status, &mut body);
    }
    let mut response = whole(body);
    *response.status_mut() = http_status(status.code());
    if !is_stream
        && status.code() == Code::Unauthenticated
        && let Ok(text) = HeaderValue::from_str(status.message())
    {
        response.headers_mut().insert(WWW_AUTHENTICATE, text);
    }
    response
}

/// An answer that is there as a whole.
pub(super) fn whole(json: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(json))));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}
