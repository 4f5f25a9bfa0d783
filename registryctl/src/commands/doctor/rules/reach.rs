//! Whether each endpoint answers as what it should be; and whether the user could log in.

use super::super::facts::{Facts, Look, Spoken};
use super::super::finding::Finding;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<_> = facts.looks.iter().filter_map(|look| endpoint(facts, look)).collect();
    if let Some((look, why)) = facts.looks.iter().find_map(|look| Some((look, look.login.as_ref()?))) {
        let told = format!("the user could not log in ({why}); all else was asked without a user");
        findings.push(Finding::error("login", &look.endpoint, told).mend("check --user and --password"));
    }
    if facts.cluster.is_none() {
        let told = "no endpoint answers, so nothing else could be looked at".to_owned();
        findings.push(Finding::error("endpoint", "cluster", told).mend("mend what is said of the endpoints first"));
    }
    findings
}

/// None for a member's own address, of which is told with the member.
fn endpoint(facts: &Facts, look: &Look) -> Option<Finding> {
    let subject = look.endpoint.as_str();
    // etcd answers clients there as well, some versions of it, and tells no metrics.
    if let Some((member, url)) = peer_of(facts, look).filter(|_| !look.answers() || look.spoken == Spoken::Peer) {
        let told = format!("this is where members reach {member}, and no place for clients");
        return Some(Finding::error("endpoint", subject, told).mend(format!("use --endpoints {url}")));
    }
    if !look.answers() {
        let (told, mend) = reason(look);
        return (!is_of_a_member(facts, look)).then(|| Finding::error("endpoint", subject, told).mend(mend));
    }
    let (ours, theirs) = (facts.cluster.as_ref().map(|cluster| cluster.id), look.cluster_id());
    if theirs != ours {
        let (theirs, ours) = (theirs.unwrap_or_default(), ours.unwrap_or_default());
        let told =
            format!("it belongs to another cluster, {theirs:x}; the first endpoint that answers belongs to {ours:x}");
        let list = format!("`registryctl --endpoints {subject} member list`");
        let mend = format!("name one cluster only; {list} tells whose it is");
        return Some(Finding::error("endpoint", subject, told).mend(mend));
    }
    let version = look.status.as_ref().map(|status| status.version.as_str()).unwrap_or_default();
    let member = look.member_id().unwrap_or_default();
    Some(Finding::ok("endpoint", subject, format!("answers as member {member:x}, {version}")))
}

/// The member whose peer URL leads there, and a URL that is for clients.
fn peer_of<'a>(facts: &'a Facts, look: &Look) -> Option<(&'a str, &'a str)> {
    let members = facts.cluster.as_ref()?.members.as_ref().ok()?;
    let place = look.place.as_ref()?;
    let is_there = |url: &String| place.is_url(url);
    let member = members.iter().find(|member| member.peer_ur_ls.iter().any(is_there))?;
    Some((member.name.as_str(), member.client_ur_ls.first()?.as_str()))
}

fn is_of_a_member(facts: &Facts, look: &Look) -> bool {
    let members = facts.cluster.as_ref().and_then(|cluster| cluster.members.as_ref().ok());
    members.is_some_and(|members| members.iter().any(|member| look.is_at(&member.client_ur_ls)))
}

/// Why it does not answer, and what to do.
pub(super) fn reason(look: &Look) -> (String, String) {
    let bare = look.endpoint.rsplit("://").next().unwrap_or_default();
    let wrong = "check host and port: clients use the port of --listen-client-urls (2379 unless it was set)";
    let refusal = look.status.as_ref().err().map(|refusal| refusal.text.clone()).unwrap_or_default();
    match &look.spoken {
        Spoken::Closed(why) => (
            format!("nobody answers there ({why})"),
            "start the server there (`systemctl status registry-server`, then its log), or mend the address".to_owned(),
        ),
        Spoken::Strange(why) => {
            (format!("whoever listens there speaks neither HTTP/1 nor TLS ({why})"), wrong.to_owned())
        }
        Spoken::Unshaken(why) => (
            format!("the TLS handshake fails ({why})"),
            "give a certificate that the server takes: --cert FILE --key FILE; and see that something of its versions \
             of TLS and names is right: --endpoints https://NAME:PORT"
                .to_owned(),
        ),
        Spoken::Secure => (
            "TLS is spoken there, and the endpoint asks for plain HTTP".to_owned(),
            format!("use --endpoints https://{bare}, and --cacert FILE with the CA that signed its certificate"),
        ),
        Spoken::Plain => (
            "plain HTTP is spoken there, and the endpoint asks for TLS".to_owned(),
            format!("use --endpoints http://{bare} without --cacert, --cert and --key"),
        ),
        Spoken::Http(status) => (
            format!("an HTTP server answers there ({status} for /version) that is no server of this API"),
            wrong.to_owned(),
        ),
        Spoken::Peer => {
            ("this is where members reach each other, and no place for clients".to_owned(), wrong.to_owned())
        }
        Spoken::Api if !look.lifetimes.is_empty() => (
            format!("HTTP is answered, and calls fail ({refusal})"),
            "give the CA that signed the server's certificate, --cacert FILE, and name the server as the certificate \
             does, --endpoints https://NAME:PORT"
                .to_owned(),
        ),
        Spoken::Api => (
            format!("HTTP is answered, and calls fail ({refusal})"),
            "see the server's log; a proxy in between must pass HTTP/2 on".to_owned(),
        ),
        Spoken::Unseen => (format!("it does not answer ({refusal})"), "check --endpoints".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Severity;
    use super::super::testing::{cluster_of, facts, look, member, refused};
    use super::*;

    fn judged(mut one: Look, spoken: Spoken) -> Finding {
        one.status = Err(refused("no"));
        one.spoken = spoken;
        let mut facts = facts(vec![look("a:1", 1), one]);
        facts.cluster = Some(cluster_of(vec![member(1, "a:1")]));
        judge(&facts).into_iter().find(|finding| finding.subject == "b:2").unwrap()
    }

    #[test]
    fn what_is_wrong_with_an_address_is_told_with_the_one_to_use() {
        let cases = [
            (Spoken::Closed("connection refused".to_owned()), "nobody answers", "start the server"),
            (Spoken::Secure, "TLS is spoken", "https://b:2"),
            (Spoken::Plain, "plain HTTP is spoken", "http://b:2"),
            (Spoken::Http(404), "no server of this API", "2379"),
            (Spoken::Peer, "members reach each other", "2379"),
            (Spoken::Strange("closed".to_owned()), "neither HTTP/1 nor TLS", "2379"),
            (Spoken::Api, "calls fail (no)", "log"),
        ];
        for (spoken, told, mend) in cases {
            let finding = judged(look("b:2", 2), spoken);
            assert!(finding.severity == Severity::Error && finding.told.contains(told), "{finding:?}");
            assert!(finding.mend.contains(mend), "{finding:?}");
        }
    }

    #[test]
    fn a_peer_port_is_known_from_the_member_list() {
        let mut other = look("b:2", 2);
        other.status = Err(refused("no"));
        let mut facts = facts(vec![look("a:1", 1), other]);
        let mut of = member(1, "a:1");
        of.peer_ur_ls = vec!["http://b:2".to_owned()];
        facts.cluster = Some(cluster_of(vec![of]));
        let found = judge(&facts).into_iter().find(|finding| finding.subject == "b:2").unwrap();
        assert!(found.told.contains("where members reach") && found.mend.contains("http://a:1"), "{found:?}");
    }

    #[test]
    fn another_clusters_member_is_an_error() {
        let mut other = look("b:2", 2);
        other.status.as_mut().unwrap().header.as_mut().unwrap().cluster_id = 0xbad;
        let found = judge(&facts(vec![look("a:1", 1), other]));
        let (severities, told): (Vec<_>, Vec<_>) = found.into_iter().map(|found| (found.severity, found.told)).unzip();
        assert_eq!(severities, [Severity::Ok, Severity::Error]);
        assert!(told[1].contains("another cluster, bad"), "{told:?}");
    }
}
