//! Whether all members run the same version, and the cluster goes by it.

use std::collections::BTreeMap;

use super::super::facts::Facts;
use super::super::finding::Finding;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut servers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut clusters: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (look, status) in facts.of_the_cluster() {
        let versions = look.versions.as_ref();
        let server = versions.map_or(status.version.as_str(), |versions| versions.server.as_str());
        servers.entry(server).or_default().push(&look.endpoint);
        if let Some(versions) = versions {
            clusters.entry(versions.cluster.as_str()).or_default().push(&look.endpoint);
        }
    }
    let mut findings: Vec<_> = servers_of(&servers).into_iter().collect();
    findings.extend(cluster_of(&servers, &clusters));
    findings
}

fn servers_of(servers: &BTreeMap<&str, Vec<&str>>) -> Option<Finding> {
    let (version, _) = servers.first_key_value()?;
    if servers.len() == 1 {
        return Some(Finding::ok("version", "cluster", format!("all members run {version}")));
    }
    let told = format!("members run different versions: {}", listed(servers));
    let minors: Vec<_> = servers.keys().filter_map(|version| minor(version)).collect();
    let apart = minors.iter().max().zip(minors.iter().min());
    let is_a_step = apart.is_some_and(|(most, least)| most.0 == least.0 && most.1 - least.1 <= 1);
    let mend = "end the upgrade: restart the older ones, one after the other, with the newer program";
    let finding = if is_a_step { Finding::warning } else { Finding::error };
    let told =
        if is_a_step { told } else { format!("{told}; more than one minor version apart, which is not supported") };
    Some(finding("version", "cluster", told).mend(mend))
}

/// What the members agree on to speak is decided by the oldest.
fn cluster_of(servers: &BTreeMap<&str, Vec<&str>>, clusters: &BTreeMap<&str, Vec<&str>>) -> Option<Finding> {
    if clusters.len() > 1 {
        let told = format!("members go by different cluster versions: {}", listed(clusters));
        return Some(
            Finding::warning("version", "cluster", told).mend("ask again in some seconds; if it stays, see their logs"),
        );
    }
    let (cluster, _) = clusters.first_key_value()?;
    let (oldest, decided) = (servers.keys().filter_map(|version| minor(version)).min()?, minor(cluster)?);
    if oldest == decided {
        return None;
    }
    let told = format!("the cluster goes by {cluster}, and all members are of {}.{} or later", oldest.0, oldest.1);
    let mend = "ask again in some seconds; if it stays, look for a member that is down, or a downgrade that was begun";
    Some(Finding::warning("version", "cluster", told).mend(mend))
}

fn listed(versions: &BTreeMap<&str, Vec<&str>>) -> String {
    let one = |(version, endpoints): (&&str, &Vec<&str>)| format!("{version} at {}", endpoints.join(" and "));
    versions.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Major and minor.
fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::Versions;
    use super::super::super::finding::Severity;
    use super::super::testing::{facts, look};
    use super::*;

    fn judged(versions: &[(&str, &str)]) -> Vec<Finding> {
        let of = |(at, (server, cluster)): (usize, &(&str, &str))| {
            let mut look = look(&format!("s{at}"), at as u64 + 1);
            look.versions = Some(Versions { server: (*server).to_owned(), cluster: (*cluster).to_owned() });
            look
        };
        judge(&facts(versions.iter().enumerate().map(of).collect()))
    }

    #[test]
    fn an_upgrade_under_way_is_a_warning_and_a_jump_an_error() {
        let same = judged(&[("3.7.1", "3.7.0"), ("3.7.1", "3.7.0")]);
        assert_eq!(same.iter().map(|found| found.severity).collect::<Vec<_>>(), [Severity::Ok]);
        let step = judged(&[("3.7.1", "3.6.0"), ("3.6.4", "3.6.0")]);
        assert_eq!(step.len(), 1);
        assert!(step[0].severity == Severity::Warning && step[0].told.contains("3.6.4 at s1"), "{step:?}");
        let jump = judged(&[("3.7.1", "3.4.0"), ("3.4.23", "3.4.0")]);
        assert_eq!(jump[0].severity, Severity::Error);
        let behind = judged(&[("3.7.1", "3.6.0")]);
        assert!(behind[1].severity == Severity::Warning && behind[1].told.contains("goes by 3.6.0"), "{behind:?}");
    }
}
