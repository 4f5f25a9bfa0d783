//! What browsers are told, and whose requests are taken for rebinding.

use super::*;

fn request(headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get("/version");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn allowed(origins: &str, origin: &str) -> Option<String> {
    let settings = HttpSettings { cors: Origins::parse(origins).unwrap(), ..HttpSettings::default() };
    let mut headers = HeaderMap::new();
    settings.admit(&request(&[("host", "a"), ("origin", origin)])).unwrap().write(&mut headers);
    assert_eq!(headers.contains_key(ACCESS_CONTROL_ALLOW_HEADERS), !headers.is_empty());
    headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|origin| origin.to_str().unwrap().to_owned())
}

#[test]
fn all_origins_may_read_unless_some_are_named() {
    assert_eq!(allowed("*", "http://evil.example").as_deref(), Some("*"));
    assert_eq!(allowed("", "http://evil.example").as_deref(), Some("*"));
    let some = "https://app.example,http://10.0.0.1:8080";
    assert_eq!(allowed(some, "http://10.0.0.1:8080").as_deref(), Some("http://10.0.0.1:8080"));
    assert_eq!(allowed(some, "https://app.example").as_deref(), Some("https://app.example"));
    for other in ["http://app.example", "https://app.example:8443", "https://app.example.evil", "null", "*", ""] {
        assert_eq!(allowed(some, other), None, "{other}");
    }
}

#[test]
fn a_port_that_the_scheme_implies_makes_no_difference() {
    assert_eq!(allowed("https://app.example:443/", "https://app.example").as_deref(), Some("https://app.example"));
}

#[test]
fn what_is_no_origin_is_refused_with_the_mend() {
    for text in ["app.example", "https://app.example/path", "ftp://a", "https://a,b", "https://u@a"] {
        assert!(Origins::parse(text).unwrap_err().contains("write it as"), "{text}");
    }
}

fn status(hosts: &str, host: &str) -> u16 {
    let settings = HttpSettings { host_whitelist: Hosts::parse(hosts), ..HttpSettings::default() };
    settings.admit(&request(&[("host", host)])).map_or_else(|response| response.status().as_u16(), |_| 200)
}

#[test]
fn only_the_named_hosts_are_served_if_some_are() {
    assert_eq!((status("*", "evil"), status("", "evil"), status("a,*", "evil")), (200, 200, 200));
    let some = "localhost,127.0.0.1,::1,Registry.example";
    for host in ["localhost", "localhost:2379", "127.0.0.1:1", "[::1]:2379", "[::1]", "registry.example:80"] {
        assert_eq!(status(some, host), 200, "{host}");
    }
    for host in ["evil.example", "evil.example:2379", "", "localhost.evil", "localhost:2379:x"] {
        assert_eq!(status(some, host), 421, "{host}");
    }
}

#[test]
fn through_tls_no_name_is_asked_for() {
    let settings = HttpSettings { host_whitelist: Hosts::parse("a"), ..HttpSettings::default() };
    let mut request = request(&[("host", "b")]);
    request.extensions_mut().insert(Secured);
    settings.admit(&request).unwrap();
}

#[test]
fn a_browser_that_asks_first_is_told_at_any_path() {
    let request = Request::options("/any").header("host", "a").header("origin", "http://b").body(()).unwrap();
    let response = HttpSettings::default().admit(&request).unwrap_err();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_METHODS], "POST, GET, OPTIONS, PUT, DELETE");
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "accept, content-type, authorization");
    assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
}
