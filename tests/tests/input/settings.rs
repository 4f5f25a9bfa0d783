//! Settings of the SDK that make no sense: the error names what was given and what to give instead.

use std::error::Error as StdError;
use std::time::Duration;

use registry_client::{Endpoint, EndpointError, Error, Instance, InstanceError, Registry};
use registry_tests::{EmbeddedNode, within};

/// A client of the server at `url`.
pub(super) fn registry(url: &str) -> Registry {
    Registry::builder([url]).build().expect("the node's URL is one")
}

/// An error with all its causes, as a program prints it that ends on one.
fn told(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The error says all of `words`.
#[track_caller]
fn says(error: &dyn StdError, words: &[&str]) {
    let text = told(error);
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text:?}");
    }
    assert!(!text.contains('\n'), "more than a line: {text:?}");
}

const BAD_NAMES: [&str; 8] = ["", "a/b", "/", "a b", "a\tb", "a\n", "\u{0}", "\u{1b}[31m"];

#[tokio::test]
async fn names_that_cannot_be_part_of_a_key_are_refused_wherever_they_are_given() {
    let registry = registry("http://127.0.0.1:1");
    let long = "x".repeat(254);
    for name in BAD_NAMES.into_iter().chain([long.as_str()]) {
        let quoted = format!("{name:?}");
        let rule = ["1 to 253 bytes", "without '/', white space or control characters"];
        let error = registry.watch(name).start().unwrap_err();
        assert!(matches!(error, Error::Instance(InstanceError::Name { what: "service", .. })), "{error:?}");
        says(&error, &[&[quoted.as_str(), "service"][..], &rule].concat());
        says(&Instance::builder(name).build().unwrap_err(), &[&[quoted.as_str(), "service"][..], &rule].concat());
        let error = Instance::builder("pay").id(name).build().unwrap_err();
        says(&error, &[&[quoted.as_str(), "id"][..], &rule].concat());
    }
    for name in ["pay", "x", "größe", "a.b-c_d:e@f", &"x".repeat(253)] {
        Instance::builder(name).id(name).build().unwrap();
    }
}

#[test]
fn addresses_that_cannot_be_dialled_are_refused_wherever_they_are_given() {
    for (text, words) in [
        ("", &["\"\"", "scheme://host:port"][..]),
        ("127.0.0.1:2379", &["127.0.0.1:2379", "scheme://host:port"]),
        ("http://", &["http://", "scheme://host:port"]),
        ("http://h:-1", &["h:-1", "scheme://host:port"]),
        ("http://h:65536", &["h:65536", "scheme://host:port"]),
        ("http://h:80:80", &["h:80:80", "scheme://host:port"]),
        ("http://h:http", &["h:http", "scheme://host:port"]),
        ("http://a b:1", &["a b:1", "scheme://host:port"]),
        ("http://h:1/path", &["h:1/path", "scheme://host:port"]),
        ("http://h:1?q", &["h:1?q", "scheme://host:port"]),
        ("http://user:secret@h:1", &["scheme://host:port"]),
        ("http://h\u{0}:1", &["scheme://host:port"]),
        ("http://h\n:1", &["scheme://host:port"]),
        ("://", &["scheme://host:port"]),
        ("http://:::", &["scheme://host:port"]),
        ("http://h:0", &["http://h:0", "port 0", "advertise"]),
        ("http://0.0.0.0:1", &["0.0.0.0:1", "unspecified", "advertise"]),
        ("http://[::]:1", &["[::]:1", "unspecified", "advertise"]),
    ] {
        says(&Endpoint::parse(text).unwrap_err(), words);
        says(&Registry::builder([text]).build().unwrap_err(), words);
        let error = Instance::builder("pay").endpoint("grpc", text).build().unwrap_err();
        says(&error, &[&["endpoint \"grpc\""], words].concat());
    }
    // Whatever the bytes are, they are an endpoint or an error.
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let mut text: Vec<char> = "http://[2001:db8::7]:9000/".chars().collect();
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..text.len());
            text[at] = rng.char('\u{0}'..'\u{250}');
        }
        let text: String = text.into_iter().collect();
        match Endpoint::parse(&text) {
            Ok(endpoint) => assert_eq!(Endpoint::parse(&endpoint.uri()).as_ref(), Ok(&endpoint), "{text:?}"),
            Err(error) => assert!(matches!(
                error,
                EndpointError::Syntax(_) | EndpointError::Unspecified(_) | EndpointError::PortZero(_)
            )),
        }
    }
}

#[test]
fn clients_that_could_not_speak_to_anybody_are_not_built() {
    says(&Registry::builder(Vec::<String>::new()).build().unwrap_err(), &["no endpoint", "give at least one"]);
    // Whether TLS or its feature is what lacks, an address without it is a mend.
    says(&Registry::builder(["https://h:1"]).build().unwrap_err(), &["https://h:1", "give an http://"]);
    says(&Registry::builder(["ftp://h:1"]).build().unwrap_err(), &["ftp://h:1", "give an http://"]);
    let error = Registry::builder(["http://h:1", "junk"]).build().unwrap_err();
    says(&error, &["\"junk\"", "scheme://host:port"]);
    for namespace in ["/a b", "/a\n", "\u{0}", "/\u{7f}"] {
        let error = Registry::builder(["http://h:1"]).namespace(namespace).build().unwrap_err();
        says(&error, &["namespace", &format!("{namespace:?}"), "without white space and control characters"]);
    }
    for namespace in ["", "/", "/prod", "/a/b/", "größe"] {
        Registry::builder(["http://h:1"]).namespace(namespace).build().unwrap();
    }
}

#[tokio::test]
async fn a_ttl_that_no_lease_can_have_is_refused_before_anything_is_granted() {
    let node = EmbeddedNode::start().await;
    let registry = registry(node.url());
    let instance = || Instance::builder("pay").endpoint("grpc", "http://10.0.0.7:9000").build().unwrap();
    let too_long = Duration::from_secs(9_000_000_001);
    for ttl in [Duration::ZERO, Duration::from_millis(999), too_long, Duration::MAX] {
        let error = within(registry.register(instance()).ttl(ttl).into_future()).await.unwrap_err();
        assert!(matches!(error, Error::Setting(_)), "{error:?}");
        says(&error, &[&format!("{ttl:?}"), "from 1 s to 9,000,000,000 s"]);
    }
    let client = node.client().await;
    assert!(client.leases().await.is_empty());
    for ttl in [Duration::from_secs(1), Duration::from_millis(1500), Duration::from_secs(9_000_000_000)] {
        drop(within(registry.register(instance()).ttl(ttl).into_future()).await.unwrap());
    }
}

/// 2 MiB of metadata are more than the server takes; what it says is final, and nothing stays behind.
#[tokio::test]
async fn an_instance_too_large_for_the_registry_is_refused_in_its_words() {
    let node = EmbeddedNode::start().await;
    let registry = registry(node.url());
    let client = node.client().await;
    for (bytes, code, text) in [
        (1600 * 1024, "InvalidArgument", "etcdserver: request is too large"),
        (3 << 20, "ResourceExhausted", "received message larger than max"),
    ] {
        let instance = Instance::builder("pay").id("big").metadata("big", "x".repeat(bytes)).build().unwrap();
        let error = within(registry.register(instance).into_future()).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { code: said, .. } if said == code), "{error:?}");
        says(&error, &[code, text]);
    }
    let small = Instance::builder("pay").id("small").endpoint("grpc", "http://h:1").build().unwrap();
    let registration = within(registry.register(small).into_future()).await.unwrap();
    let error = within(registration.update(|instance| instance.set_metadata("big", "x".repeat(3 << 20)))).await;
    says(&error.unwrap_err(), &["received message larger than max"]);
    assert!(client.get("/services/pay/small").await.is_some(), "the registration stands as it was");
    within(registration.update(|instance| instance.set_metadata("big", "small again"))).await.unwrap();
    assert_eq!(client.leases().await.len(), 1, "what was refused left no lease");
}
