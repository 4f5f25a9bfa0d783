//! What is shown, of two looks: what is now, and what came since the first. Pure.

use std::collections::BTreeMap;

use super::sample::{Sample, Seen};

const HANDLED: &str = "grpc_server_handled_total";
const WATCHERS: &str = "etcd_debugging_mvcc_watcher_total";

/// A line each; the first begins with what the whole cluster is like.
pub(super) fn lines(before: &Sample, now: &Sample) -> Vec<String> {
    let rates = rates(before, now);
    let mut lines = vec![summary(now, rates.values().sum()), String::new()];
    lines.extend(columns(
        &["MEMBER", "ENDPOINT", "STATE", "DB SIZE", "IN USE", "RAFT INDEX", "APPLIED", "TERM", "WATCHERS", "REQ/S"],
        now.members.iter().map(|seen| member(seen, before, now)).collect(),
    ));
    lines.push(String::new());
    match &now.services {
        Ok(services) => {
            let mut services: Vec<_> = services.iter().collect();
            services.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            let row = |(name, count): (&String, &usize)| vec![name.clone(), count.to_string()];
            lines.extend(columns(&["SERVICE", "INSTANCES"], services.into_iter().map(row).collect()));
        }
        Err(why) => lines.push(format!("services cannot be read: {why}")),
    }
    lines.push(String::new());
    let mut busy: Vec<_> = rates.into_iter().filter(|(_, rate)| *rate > 0.0).collect();
    busy.sort_by(|one, other| other.1.total_cmp(&one.1));
    let row = |(method, rate): (String, f64)| vec![method, format!("{rate:.1}")];
    lines.extend(columns(&["METHOD", "REQUESTS/S"], busy.into_iter().map(row).collect()));
    lines
}

fn summary(now: &Sample, rate: f64) -> String {
    let answering: Vec<_> = now.members.iter().filter_map(|seen| seen.status.as_ref().ok()).collect();
    let first = answering.first();
    let version = first.map_or("?", |status| status.version.as_str());
    let header = first.and_then(|status| status.header.as_ref()).copied().unwrap_or_default();
    let revision = answering.iter().filter_map(|status| Some(status.header.as_ref()?.revision)).max().unwrap_or(0);
    let (total, up) = (now.members.len(), answering.len());
    let count = |what: &Result<usize, String>| what.as_ref().map_or_else(|_| "?".to_owned(), ToString::to_string);
    let instances = now.services.as_ref().map(|services| services.values().sum()).map_err(Clone::clone);
    let services = now.services.as_ref().map(BTreeMap::len).map_err(Clone::clone);
    let watchers: f64 = now.members.iter().filter_map(watchers).sum();
    let mut errors: Vec<_> = answering.iter().flat_map(|status| &status.errors).map(String::as_str).collect();
    errors.sort_unstable();
    errors.dedup();
    let trouble = if errors.is_empty() { String::new() } else { format!("  !! {}", errors.join(", ")) };
    format!(
        "{version}, cluster {:x}: {up} of {total} members up, revision {revision}, {} services, {} instances, {} leases, \
         {watchers} watchers, {rate:.1} requests/s{trouble}",
        header.cluster_id,
        count(&services),
        count(&instances),
        count(&now.leases),
    )
}

fn watchers(seen: &Seen) -> Option<f64> {
    seen.figures.as_ref()?.value(WATCHERS)
}

fn member(seen: &Seen, before: &Sample, now: &Sample) -> Vec<String> {
    let name = if seen.name.is_empty() { "?" } else { &seen.name };
    let begin = vec![name.to_owned(), seen.endpoint.clone()];
    let Ok(status) = &seen.status else {
        return [begin, vec!["DOWN".to_owned()], vec![String::new(); 7]].concat();
    };
    let id = status.header.as_ref().map_or(0, |header| header.member_id);
    let state = match status.leader {
        0 => "no leader",
        leader if leader == id => "leader",
        _ if status.is_learner => "learner",
        _ => "follower",
    };
    let rate = earlier(before, seen).map_or(0.0, |earlier| per_second(earlier, seen, before, now).values().sum());
    let rest = [
        state.to_owned(),
        size(status.db_size),
        size(status.db_size_in_use),
        status.raft_index.to_string(),
        status.raft_applied_index.to_string(),
        status.raft_term.to_string(),
        watchers(seen).map_or_else(|| "?".to_owned(), |watchers| watchers.to_string()),
        if seen.figures.is_some() { format!("{rate:.1}") } else { "?".to_owned() },
    ];
    [begin, rest.to_vec()].concat()
}

fn earlier<'a>(before: &'a Sample, seen: &Seen) -> Option<&'a Seen> {
    before.members.iter().find(|earlier| earlier.endpoint == seen.endpoint)
}

/// Requests that ended, by method, of all members.
fn rates(before: &Sample, now: &Sample) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for seen in &now.members {
        let Some(earlier) = earlier(before, seen) else { continue };
        for (method, rate) in per_second(earlier, seen, before, now) {
            *sums.entry(method.to_owned()).or_default() += rate;
        }
    }
    sums
}

fn per_second<'a>(earlier: &Seen, seen: &'a Seen, before: &Sample, now: &Sample) -> BTreeMap<&'a str, f64> {
    let (Some(then), Some(figures)) = (&earlier.figures, &seen.figures) else { return BTreeMap::new() };
    let seconds = now.taken.duration_since(before.taken).as_secs_f64();
    let then = then.by_label(HANDLED, "grpc_method");
    let rate = |(method, count): (&'a str, f64)| {
        // A server that was started anew counts from nothing.
        let then = then.get(method).copied().filter(|then| *then <= count).unwrap_or(0.0);
        (method, if seconds > 0.0 { (count - then) / seconds } else { 0.0 })
    };
    figures.by_label(HANDLED, "grpc_method").into_iter().map(rate).collect()
}

/// Rows under a head, each column as wide as its widest cell.
fn columns(head: &[&str], rows: Vec<Vec<String>>) -> Vec<String> {
    let head: Vec<_> = head.iter().map(ToString::to_string).collect();
    let all: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| all.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..all[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

fn size(bytes: i64) -> String {
    match bytes {
        bytes if bytes >= 1 << 30 => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
        bytes if bytes >= 1 << 20 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        bytes => format!("{:.1} KiB", bytes as f64 / 1_024.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use registry_proto::etcdserverpb::{ResponseHeader, StatusResponse};
    use tokio::time::Instant;

    use super::*;
    use crate::http::figures::Figures;

    fn sample(taken: Instant, puts: u32) -> Sample {
        let header = ResponseHeader { cluster_id: 0xc, member_id: 1, revision: 9, raft_term: 2 };
        let status = StatusResponse {
            header: Some(header),
            version: "3.7.1".to_owned(),
            leader: 1,
            db_size: 3 << 20,
            raft_index: 12,
            ..StatusResponse::default()
        };
        let text = format!("{HANDLED}{{grpc_method=\"Put\",grpc_code=\"OK\"}} {puts}\n{WATCHERS} 4\n");
        let up = Seen {
            endpoint: "a:1".to_owned(),
            name: "m0".to_owned(),
            status: Ok(status),
            figures: Some(Figures::read(&text)),
        };
        let down =
            Seen { endpoint: "b:2".to_owned(), name: "m1".to_owned(), status: Err("gone".to_owned()), figures: None };
        let services = BTreeMap::from([("mail".to_owned(), 1), ("pay".to_owned(), 5)]);
        Sample { taken, members: vec![up, down], services: Ok(services), leases: Ok(6) }
    }

    #[test]
    fn members_services_and_rates_are_shown() {
        let began = Instant::now();
        let lines = lines(&sample(began, 10), &sample(began + Duration::from_secs(2), 30));
        let summary = "3.7.1, cluster c: 1 of 2 members up, revision 9, 2 services, 6 instances, 6 leases, 4 watchers, 10.0 requests/s";
        assert_eq!(lines[0], summary);
        assert!(lines[3].starts_with("m0      a:1       leader  3.0 MiB"), "{lines:#?}");
        assert!(lines[3].ends_with("10.0") && lines[4].ends_with("DOWN"), "{lines:#?}");
        assert_eq!(lines[6..9], ["SERVICE  INSTANCES", "pay      5", "mail     1"]);
        assert_eq!(lines[10..], ["METHOD  REQUESTS/S", "Put     10.0"]);
    }

    #[test]
    fn a_server_that_was_started_anew_counts_from_nothing() {
        let began = Instant::now();
        let lines = lines(&sample(began, 1_000), &sample(began + Duration::from_secs(1), 7));
        assert!(lines[0].contains(" 7.0 requests/s"), "{}", lines[0]);
    }
}
