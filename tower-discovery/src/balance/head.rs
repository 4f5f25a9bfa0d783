//! What is needed to make a request once more; its body is kept by its own means.
//!
//! Every request pays for this and few need it, so names and values are copied (which counts references)
//! without the map that they came in.

use http::{Extensions, HeaderName, HeaderValue, Method, Request, Uri, Version};
use smallvec::SmallVec;

use crate::body::RequestBody;

/// So many headers fit in without memory of their own.
const FEW: usize = 6;

/// A request without its body.
pub(super) struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    headers: SmallVec<[(HeaderName, HeaderValue); FEW]>,
    extensions: Extensions,
}

impl Head {
    pub(super) fn of(request: &Request<RequestBody>) -> Self {
        let headers = request.headers().iter();
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: headers.map(|(name, value)| (name.clone(), value.clone())).collect(),
            extensions: request.extensions().clone(),
        }
    }

    /// The request with its body.
    pub(super) fn with(&self, body: RequestBody) -> Request<RequestBody> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        for (name, value) in &self.headers {
            request.headers_mut().append(name, value.clone());
        }
        *request.extensions_mut() = self.extensions.clone();
        request
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;

    use super::*;

    #[test]
    fn a_head_is_made_again_as_it_was() {
        let mut first = Request::put("http://pay/x?y").version(Version::HTTP_2).extension(7_u8);
        for number in 0..10 {
            first = first.header("x-many", number);
        }
        let first = first.header("x-one", "1").body(RequestBody::new(Full::new(Bytes::from_static(b"x")))).unwrap();
        let again = Head::of(&first).with(first.body().replay().again().unwrap());
        let facts = |request: &Request<RequestBody>| {
            let many: Vec<_> = request.headers().get_all("x-many").iter().cloned().collect();
            let (method, uri) = (request.method().clone(), request.uri().clone());
            (method, uri, request.version(), many, request.headers().clone(), request.extensions().get::<u8>().copied())
        };
        assert_eq!(facts(&again), facts(&first));
    }
}
