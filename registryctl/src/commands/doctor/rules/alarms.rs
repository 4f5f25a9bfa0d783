//! Alarms that are raised.

use registry_proto::etcdserverpb::AlarmType;

use super::super::facts::Facts;
use super::super::finding::Finding;

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let Some(cluster) = &facts.cluster else { return Vec::new() };
    match &cluster.alarms {
        Ok(alarms) if alarms.is_empty() => vec![Finding::ok("alarm", "cluster", "none is raised".to_owned())],
        Ok(alarms) => alarms.iter().map(|alarm| one(facts, alarm.member_id, alarm.alarm())).collect(),
        Err(refusal) if refusal.is_forbidden => {
            let told = format!("the user may not see alarms ({})", refusal.text);
            vec![Finding::note("alarm", "cluster", told).mend("log in as a user with the role root: --user root")]
        }
        Err(refusal) => {
            vec![Finding::warning("alarm", "cluster", format!("alarms are not told ({})", refusal.text))]
        }
    }
}

fn one(facts: &Facts, member: u64, alarm: AlarmType) -> Finding {
    let subject = format!("{member:x}");
    match alarm {
        AlarmType::Nospace => {
            let newest = facts.of_the_cluster().filter_map(|(_, status)| status.header.as_ref());
            let revision = newest.map(|header| header.revision).max().unwrap_or_default();
            let (compact, defrag, disarm) = (
                facts.command(&format!("compaction {revision} --physical")),
                facts.command("defrag --cluster"),
                facts.command("alarm disarm"),
            );
            let told = "NOSPACE: its quota is full, and the whole cluster refuses what adds to it".to_owned();
            let mend = format!(
                "{compact}, then {defrag}, then {disarm}; or delete keys first, or raise --quota-backend-bytes"
            );
            Finding::error("alarm", &subject, told).mend(mend)
        }
        AlarmType::Corrupt => {
            let told =
                "CORRUPT: it holds something else than the others, and the whole cluster refuses writes".to_owned();
            let remove = facts.command(&format!("member remove {member:x}"));
            let mend = format!(
                "save a snapshot of a member that agrees with the majority (`registryctl doctor --hash`), then {remove}, and add \
                 a member with an empty directory in its place"
            );
            Finding::error("alarm", &subject, told).mend(mend)
        }
        AlarmType::None => Finding::warning("alarm", &subject, "an alarm of a kind that is not known here".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use registry_proto::etcdserverpb::AlarmMember;

    use super::super::super::facts::Refusal;
    use super::super::super::finding::Severity;
    use super::super::testing::{cluster_of, facts, look};
    use super::*;

    #[test]
    fn each_alarm_has_its_mend_and_who_may_not_look_goes_on() {
        let mut facts = facts(vec![look("a:1", 1)]);
        let raised = |alarm: AlarmType| AlarmMember { member_id: 0xabc, alarm: alarm.into() };
        let mut cluster = cluster_of(Vec::new());
        cluster.alarms = Ok(vec![raised(AlarmType::Nospace), raised(AlarmType::Corrupt)]);
        facts.cluster = Some(cluster);
        let found = judge(&facts);
        assert!(found.iter().all(|found| found.severity == Severity::Error && found.subject == "abc"));
        assert!(found[0].mend.contains("compaction 100 --physical") && found[0].mend.contains("alarm disarm"));
        assert!(found[1].mend.contains("member remove abc"), "{found:?}");
        let mut cluster = cluster_of(Vec::new());
        cluster.alarms = Err(Refusal { is_forbidden: true, text: "permission denied".to_owned() });
        facts.cluster = Some(cluster);
        assert_eq!(judge(&facts)[0].severity, Severity::Note);
    }
}
