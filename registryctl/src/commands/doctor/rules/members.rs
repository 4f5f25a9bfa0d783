//! The members as the list has them: who is away, who has no vote; and whether they hold the same.

use super::super::facts::{Facts, Look};
use super::super::finding::Finding;
use super::reach::reason;
use registry_proto::etcdserverpb::Member;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(cluster) = &facts.cluster else { return Vec::new() };
    let members = match &cluster.members {
        Ok(members) => members,
        Err(refusal) => {
            let told = format!("the members are not told ({})", refusal.text);
            return vec![Finding::warning("member", &cluster.endpoint, told)];
        }
    };
    let mut findings: Vec<_> = members.iter().map(|member| one(facts, member)).collect();
    let voters = members.iter().filter(|member| !member.is_learner).count();
    findings.extend(votes(facts, voters));
    findings
}

fn one(facts: &Facts, member: &Member) -> Finding {
    let subject =
        if member.name.is_empty() { format!("{:x}", member.id) } else { format!("{} ({:x})", member.name, member.id) };
    if member.name.is_empty() && member.client_ur_ls.is_empty() {
        let told = "it was added, and has never started".to_owned();
        let remove = facts.command(&format!("member remove {:x}", member.id));
        let mend = format!("start it with --initial-cluster-state existing, or take it out: {remove}");
        return Finding::warning("member", &subject, told).mend(mend);
    }
    let looks: Vec<_> = facts.looks.iter().filter(|look| is_of(look, member)).collect();
    if looks.iter().any(|look| look.answers()) {
        return Finding::ok("member", &subject, "it answers".to_owned());
    }
    let Some(look) = looks.first() else {
        let told = "it was not looked at: none of its client URLs is among the endpoints".to_owned();
        return Finding::note("member", &subject, told);
    };
    let (told, mend) = reason(look);
    let remove = facts.command(&format!("member remove {:x}", member.id));
    let told = format!("it is down, or cannot be reached from here, at {}: {told}", look.endpoint);
    Finding::error("member", &subject, told).mend(format!("{mend}; if it is gone for good: {remove}"))
}

fn is_of(look: &Look, member: &Member) -> bool {
    look.member_id().map_or_else(|| look.is_at(&member.client_ur_ls), |id| id == member.id)
}

fn votes(facts: &Facts, voters: usize) -> Option<Finding> {
    match voters {
        0 => None,
        1 => {
            let told = "one member has a vote: when it is away, nothing is served".to_owned();
            let mend = facts.command("member add NAME --learner --peer-urls http://HOST:2380");
            Some(
                Finding::note("member", "cluster", told)
                    .mend(format!("for one failure to be survived make it three: {mend}")),
            )
        }
        voters if voters.is_multiple_of(2) => {
            let told = format!("{voters} members have votes: an even number survives no more failures than one less");
            let mend = facts.command("member add NAME --learner --peer-urls http://HOST:2380");
            Some(Finding::note("member", "cluster", told).mend(format!("add one ({mend}), or take one out")))
        }
        voters => {
            let told = format!("{voters} members have votes: the failure of {} is survived", voters / 2);
            Some(Finding::ok("member", "cluster", told))
        }
    }
}

/// Whether all members have the same hash at the same revision.
pub(super) fn hashes(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut told = Vec::new();
    for (look, _) in facts.of_the_cluster() {
        match &look.hash {
            None => {}
            Some(Ok(hash)) => told.push((look, hash)),
            Some(Err(refusal)) => {
                findings.push(Finding::note("hash", &look.endpoint, format!("it was not told ({})", refusal.text)));
            }
        }
    }
    let Some(((first, expected), rest)) = told.split_first() else { return findings };
    // History is part of it, so only those that were compacted alike can be compared.
    let rest: Vec<_> = rest.iter().filter(|(_, hash)| hash.compact_revision == expected.compact_revision).collect();
    let others: Vec<_> = rest.iter().filter(|(_, hash)| hash.hash != expected.hash).collect();
    for (look, hash) in &others {
        let told =
            format!("what it holds has the hash {:x}, and at {} it is {:x}", hash.hash, first.endpoint, expected.hash);
        let mend = "find out which member differs from the majority, take it out and add it anew: \
                    `registryctl member remove ID`, `registryctl member add NAME --learner --peer-urls URL`";
        findings.push(Finding::error("hash", &look.endpoint, told).mend(mend));
    }
    if others.is_empty() && !rest.is_empty() {
        findings.push(Finding::ok("hash", "cluster", format!("{} members hold the same", rest.len() + 1)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use registry_proto::etcdserverpb::HashKvResponse;

    use super::super::super::facts::Spoken;
    use super::super::super::finding::Severity;
    use super::super::testing::{cluster_of, facts, look, member, refused};
    use super::*;

    #[test]
    fn a_member_that_does_not_answer_is_an_error_and_a_vote_that_is_even_a_note() {
        let mut away = look("b:2", 2);
        (away.status, away.spoken) = (Err(refused("no")), Spoken::Closed("connection refused".to_owned()));
        let mut facts = facts(vec![look("a:1", 1), away]);
        facts.cluster = Some(cluster_of(vec![member(1, "a:1"), member(2, "b:2")]));
        let found = judge(&facts);
        let severities: Vec<_> = found.iter().map(|found| found.severity).collect();
        assert_eq!(severities, [Severity::Ok, Severity::Error, Severity::Note]);
        assert!(found[1].told.contains("down") && found[1].mend.contains("member remove 2"), "{found:?}");
    }

    #[test]
    fn who_never_started_and_who_was_not_looked_at_are_told() {
        let mut facts = facts(vec![look("a:1", 1)]);
        let mut unstarted = member(7, "");
        (unstarted.name, unstarted.client_ur_ls) = (String::new(), Vec::new());
        facts.cluster = Some(cluster_of(vec![member(1, "a:1"), unstarted, member(3, "c:3")]));
        let found = judge(&facts);
        assert!(found[1].severity == Severity::Warning && found[1].told.contains("never started"), "{found:?}");
        assert!(found[2].severity == Severity::Note && found[3].severity == Severity::Ok, "{found:?}");
    }

    #[test]
    fn hashes_are_compared_where_compaction_is_the_same() {
        let hashed = |endpoint, id, hash, compact_revision| {
            let mut look = look(endpoint, id);
            look.hash = Some(Ok(HashKvResponse { hash, compact_revision, ..HashKvResponse::default() }));
            look
        };
        let same = hashes(&facts(vec![hashed("a:1", 1, 7, 5), hashed("b:2", 2, 7, 5), hashed("c:3", 3, 9, 6)]));
        assert_eq!(same.iter().map(|found| found.severity).collect::<Vec<_>>(), [Severity::Ok]);
        let differ = hashes(&facts(vec![hashed("a:1", 1, 7, 5), hashed("b:2", 2, 8, 5)]));
        assert!(differ[0].severity == Severity::Error && differ[0].subject == "b:2", "{differ:?}");
    }
}
