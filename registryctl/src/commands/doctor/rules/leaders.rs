//! Whether there is one leader, a majority that answers, and nobody far behind.

use std::time::Duration;

use super::super::facts::Facts;
use super::super::finding::Finding;

/// Above this a read that needs a majority is slow.
const SLOW_READ: Duration = Duration::from_millis(500);
/// Entries of the log that a member may be behind. Members are asked one after the other by the network's chance, so under
/// load some thousand lie between two that are equally far.
const FAR_BEHIND: u64 = 10_000;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let statuses: Vec<_> = facts.of_the_cluster().collect();
    let mut leaders: Vec<_> = statuses.iter().map(|(_, status)| status.leader).filter(|leader| *leader != 0).collect();
    leaders.sort_unstable();
    leaders.dedup();
    let without: Vec<_> = statuses.iter().filter(|(_, status)| status.leader == 0).collect();
    for (look, _) in &without {
        let told = "it knows no leader: no majority of the members reaches each other, or an election is under way";
        let mend = "start the members that are down and see that they reach each other's peer URLs; if a majority is \
                    lost for good: --force-new-cluster (docs/operations.md, When the majority is lost)";
        findings.push(Finding::error("leader", &look.endpoint, told.to_owned()).mend(mend));
    }
    match leaders.as_slice() {
        [] => {}
        [leader] => findings.push(Finding::ok("leader", "cluster", format!("{leader:x} leads"))),
        several => {
            let told = several.iter().map(|leader| format!("{leader:x}")).collect::<Vec<_>>().join(", ");
            let told =
                format!("members follow different leaders ({told}): an election has just been, or some are cut off");
            findings
                .push(Finding::warning("leader", "cluster", told).mend("ask again; if it stays, look at the network"));
        }
    }
    findings.extend(reads(facts));
    findings.extend(lags(facts));
    findings
}

fn reads(facts: &Facts) -> Vec<Finding> {
    let told = |(look, status): (&super::super::facts::Look, &registry_proto::etcdserverpb::StatusResponse)| {
        let endpoint = &look.endpoint;
        match &look.read {
            // A learner answers no such read, and it is not its fault.
            _ if status.is_learner => None,
            Ok(took) if *took > SLOW_READ => {
                let told = format!("a read that needs a majority took {took:.0?}");
                let mend = "look at the disks and the network between the members; `registryctl doctor --window 10s`";
                Some(Finding::warning("read", endpoint, told).mend(mend))
            }
            Ok(took) => Some(Finding::ok("read", endpoint, format!("a majority answered within {took:.1?}"))),
            Err(refusal) => {
                let told = format!("a read that needs a majority fails ({})", refusal.text);
                Some(Finding::error("read", endpoint, told).mend("start the members that are down"))
            }
        }
    };
    facts.of_the_cluster().filter_map(told).collect()
}

fn lags(facts: &Facts) -> Vec<Finding> {
    let newest = facts.of_the_cluster().map(|(_, status)| status.raft_index).max().unwrap_or_default();
    let mut findings = Vec::new();
    for (look, status) in facts.of_the_cluster() {
        let behind = newest.saturating_sub(status.raft_applied_index);
        let what = if status.is_learner { "this learner" } else { "it" };
        if behind > FAR_BEHIND {
            let told = format!("{what} is {behind} entries behind");
            let mend = "wait if it has just started; else look at its disk, its CPU and its network";
            findings.push(Finding::warning("member", &look.endpoint, told).mend(mend));
        } else if status.is_learner {
            let told = format!("it is a learner, {behind} entries behind: it has no vote until it is promoted");
            let mend = facts.command(&format!("member promote {:x}", look.member_id().unwrap_or_default()));
            findings.push(Finding::note("member", &look.endpoint, told).mend(mend));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::super::finding::Severity;
    use super::super::testing::{facts, look, refused};
    use super::*;

    #[test]
    fn no_leader_and_no_majority_are_errors() {
        let mut alone = look("a:1", 1);
        alone.status.as_mut().unwrap().leader = 0;
        alone.read = Err(refused("etcdserver: request timed out"));
        let found = judge(&facts(vec![alone]));
        assert!(found.iter().all(|found| found.severity == Severity::Error), "{found:?}");
        assert_eq!(found.iter().map(|found| found.check).collect::<Vec<_>>(), ["leader", "read"]);
    }

    #[test]
    fn two_leaders_and_who_is_far_behind_are_warnings_and_a_learner_a_note() {
        let (mut one, mut other, mut learner) = (look("a:1", 1), look("b:2", 2), look("c:3", 3));
        one.status.as_mut().unwrap().raft_index = 50_000;
        one.status.as_mut().unwrap().raft_applied_index = 50_000;
        other.status.as_mut().unwrap().leader = 2;
        let status = learner.status.as_mut().unwrap();
        (status.is_learner, status.raft_applied_index) = (true, 49_900);
        let found = judge(&facts(vec![one, other, learner]));
        let told = |severity| found.iter().filter(move |found| found.severity == severity).map(|found| &found.told);
        let warned: Vec<_> = told(Severity::Warning).collect();
        assert!(warned[0].contains("different leaders (1, 2)") && warned[1].contains("49990 entries"), "{warned:?}");
        assert!(told(Severity::Note).next().unwrap().contains("a learner, 100 entries"));
    }
}
