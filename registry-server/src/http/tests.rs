//! The answers that probes and scripts compare.

use http::StatusCode;
use http_body_util::BodyExt;

use super::*;

/// A node in any state of health.
#[derive(Debug, Clone, Default)]
struct Patient {
    alarms: Vec<AlarmType>,
    leaderless: bool,
    learner: bool,
    cannot_read: bool,
    cannot_reach_quorum: bool,
}

impl HealthSource for Patient {
    fn read(&self, serializable: bool) -> ReadFuture<'_> {
        let fails = self.cannot_read || (!serializable && self.cannot_reach_quorum);
        Box::pin(async move { if fails { Err(Status::unavailable("etcdserver: request timed out")) } else { Ok(()) } })
    }
    fn alarms(&self) -> Vec<AlarmType> {
        self.alarms.clone()
    }
    fn has_leader(&self) -> bool {
        !self.leaderless
    }
    fn is_learner(&self) -> bool {
        self.learner
    }
    fn vars(&self) -> Vec<(&'static str, serde_json::Value)> {
        vec![("one", 1.into()), ("two", serde_json::json!({ "a": true }))]
    }
}

async fn ask(patient: &Patient, method: Method, uri: &str) -> (StatusCode, String) {
    let paths = Paths::new(Arc::new(patient.clone()), Arc::new(|| "a 1\n".to_owned()));
    let response = paths.answer(&method, &uri.parse().unwrap()).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn expect(patient: &Patient, uri: &str, status: u16, body: &str) {
    let answer = ask(patient, Method::GET, uri).await;
    assert_eq!((answer.0.as_u16(), answer.1.as_str()), (status, body), "{uri}");
}

#[tokio::test]
async fn the_version_is_etcds() {
    let body = r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#;
    expect(&Patient::default(), "/version", 200, body).await;
}

#[tokio::test]
async fn the_metrics_are_prometheus_text() {
    let (status, text) = ask(&Patient::default(), Method::GET, "/metrics").await;
    assert!(status == 200 && text.starts_with("a 1\n"), "{text}");
    // As in etcd, any method will do.
    assert_eq!(ask(&Patient::default(), Method::POST, "/metrics").await.0, 200);
    let paths = Paths::new(Arc::new(Patient::default()), Arc::new(String::new));
    let response = paths.answer(&Method::GET, &Uri::from_static("/metrics")).await;
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
}

#[tokio::test]
async fn a_healthy_node_says_so() {
    let well = Patient::default();
    expect(&well, "/health", 200, r#"{"health":"true","reason":""}"#).await;
    expect(&well, "/livez", 200, "ok\n").await;
    expect(&well, "/readyz", 200, "ok\n").await;
    expect(&well, "/readyz/non_learner", 200, "ok\n").await;
    expect(&well, "/livez?verbose", 200, "[+]serializable_read ok\nok\n").await;
}

#[tokio::test]
async fn an_alarm_makes_a_node_unhealthy_unless_it_is_excluded() {
    let full = Patient { alarms: vec![AlarmType::Nospace], ..Patient::default() };
    expect(&full, "/health", 503, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n").await;
    expect(&full, "/health?exclude=NOSPACE", 200, r#"{"health":"true","reason":""}"#).await;
    expect(&full, "/readyz", 200, "ok\n").await;
}

#[tokio::test]
async fn without_a_leader_only_the_serializable_question_is_answered_well() {
    let alone = Patient { leaderless: true, cannot_reach_quorum: true, ..Patient::default() };
    expect(&alone, "/health", 503, "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n").await;
    expect(&alone, "/health?serializable=true", 200, r#"{"health":"true","reason":""}"#).await;
    expect(&alone, "/livez", 200, "ok\n").await;
    let report = "[+]data_corruption ok\n[+]serializable_read ok\n\
                  [-]linearizable_read failed: etcdserver: request timed out\n[+]non_learner ok\n\n";
    expect(&alone, "/readyz", 503, report).await;
    expect(&alone, "/readyz?exclude=linearizable_read", 200, "ok\n").await;
    expect(&alone, "/readyz/serializable_read", 200, "ok\n").await;
}

#[tokio::test]
async fn a_failing_read_is_told_with_its_reason() {
    let stuck = Patient { cannot_read: true, ..Patient::default() };
    let body = "{\"health\":\"false\",\"reason\":\"RANGE ERROR:etcdserver: request timed out\"}\n";
    expect(&stuck, "/health", 503, body).await;
    expect(&stuck, "/livez", 503, "[-]serializable_read failed: etcdserver: request timed out\n\n").await;
}

#[tokio::test]
async fn corruption_and_learners_are_not_ready() {
    let corrupt = Patient { alarms: vec![AlarmType::Corrupt], ..Patient::default() };
    expect(&corrupt, "/readyz/data_corruption", 503, "[-]data_corruption failed: alarm activated: CORRUPT\n\n").await;
    let learner = Patient { learner: true, ..Patient::default() };
    expect(&learner, "/readyz/non_learner", 503, "[-]non_learner failed: not supported for learner\n\n").await;
}

#[tokio::test]
async fn only_get_is_answered_and_only_on_known_paths() {
    let well = Patient::default();
    for uri in ["/health", "/version", "/livez", "/readyz/non_learner"] {
        assert_eq!(
            ask(&well, Method::POST, uri).await,
            (StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n".into())
        );
    }
    for uri in ["/", "/healthz", "/livez/linearizable_read", "/readyz/", "/v3/kv/put"] {
        expect(&well, uri, 404, "404 page not found\n").await;
    }
}

#[tokio::test]
async fn what_the_checks_found_is_counted() {
    let mut patient = Patient::default();
    let paths = Paths::new(Arc::new(patient.clone()), Arc::new(String::new));
    let get = async |paths: &Paths, uri: &'static str| {
        let response = paths.answer(&Method::GET, &Uri::from_static(uri)).await;
        String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    };
    let text = get(&paths, "/metrics").await;
    assert!(text.contains("etcd_server_health_success 0") && !text.contains("etcd_server_healthcheck{"), "{text}");
    get(&paths, "/health").await;
    get(&paths, "/readyz").await;
    get(&paths, "/readyz/non_learner").await;
    let text = get(&paths, "/metrics").await;
    for line in [
        "etcd_server_health_success 1",
        "etcd_server_health_failures 0",
        "etcd_server_healthcheck{name=\"linearizable_read\",type=\"readyz\"} 1",
        "etcd_server_healthchecks_total{name=\"non_learner\",status=\"success\",type=\"readyz\"} 2",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    patient.cannot_read = true;
    let paths = Paths::new(Arc::new(patient), Arc::new(String::new));
    get(&paths, "/health").await;
    get(&paths, "/livez").await;
    let text = get(&paths, "/metrics").await;
    for line in [
        "etcd_server_health_failures 1",
        "etcd_server_healthcheck{name=\"serializable_read\",type=\"livez\"} 0",
        "etcd_server_healthchecks_total{name=\"serializable_read\",status=\"error\",type=\"livez\"} 1",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
}

#[tokio::test]
async fn the_variables_are_an_object() {
    expect(&Patient::default(), "/debug/vars", 200, "{\n\"one\": 1,\n\"two\": {\"a\":true}\n}\n").await;
}
