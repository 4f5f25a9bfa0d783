//! Gathering the facts: every endpoint at once, then what one of them tells of the cluster, then the members that were not
//! among the endpoints.

use registry_proto::etcdserverpb::alarm_request::AlarmAction;
use registry_proto::etcdserverpb::cluster_client::ClusterClient;
use registry_proto::etcdserverpb::maintenance_client::MaintenanceClient;
use registry_proto::etcdserverpb::{AlarmRequest, Member, MemberListRequest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::task::JoinSet;

use super::Doctor;
use super::facts::{Cluster, Facts, Look};
use super::leases::leases;
use super::look::{ask, connected, hash, look};
use crate::connect;
use crate::global::Global;
use crate::http::certificate::lifetime;
use crate::http::door::now;

/// Members have a few client URLs; what a broken list says beyond this is not looked at.
const MAX_LOOKS: usize = 256;

/// Looks at everything.
pub(super) async fn facts(global: &Global, doctor: &Doctor) -> Facts {
    let mut looks = all(global, doctor, global.endpoints.clone()).await;
    let cluster = match looks.iter().find(|look| look.answers()) {
        Some(look) => Some(cluster(global, doctor, look).await),
        None => None,
    };
    if let Some(Cluster { members: Ok(members), is_given_only: false, .. }) = &cluster {
        let others = elsewhere(members, &looks);
        looks.extend(all(global, doctor, others).await);
    }
    if let Some(cluster) = cluster.as_ref().filter(|_| doctor.hash) {
        hashes(global, cluster.id, &mut looks).await;
    }
    let own_certificate = global.cert.as_ref().and_then(|file| {
        let certificate = CertificateDer::from_pem_slice(&connect::read(file).ok()?).ok()?;
        Some((file.clone(), lifetime(&certificate)?))
    });
    Facts { looks, cluster, now: now(), own_certificate, expires_within: doctor.expires_within }
}

/// At all of them at once, in their order.
async fn all(global: &Global, doctor: &Doctor, endpoints: Vec<String>) -> Vec<Look> {
    let mut looking = JoinSet::new();
    for (at, endpoint) in endpoints.into_iter().take(MAX_LOOKS).enumerate() {
        let (global, window) = (global.clone(), doctor.window);
        looking.spawn(async move { (at, look(&global, &endpoint, window).await) });
    }
    let mut looks = looking.join_all().await;
    looks.sort_by_key(|(at, _)| *at);
    looks.into_iter().map(|(_, look)| look).collect()
}

/// The client URLs of members of whom none of these is an endpoint.
fn elsewhere(members: &[Member], looks: &[Look]) -> Vec<String> {
    let is_seen = |member: &Member| {
        looks.iter().any(|look| look.member_id() == Some(member.id) || look.is_at(&member.client_ur_ls))
    };
    members.iter().filter(|member| !is_seen(member)).flat_map(|member| member.client_ur_ls.clone()).collect()
}

async fn cluster(global: &Global, doctor: &Doctor, look: &Look) -> Cluster {
    let (endpoint, id) = (look.endpoint.clone(), look.cluster_id().unwrap_or_default());
    let is_given_only = doctor.given_only;
    let connection = match connected(global, &endpoint).await.1 {
        Ok(connection) => connection,
        Err(why) => {
            let (members, alarms, leases) = (Err(why.clone()), Err(why.clone()), Err(why));
            return Cluster { endpoint, id, members, alarms, leases, is_given_only };
        }
    };
    let mut members = ClusterClient::new(connection.clone());
    let mut alarms = MaintenanceClient::new(connection.clone());
    let get = AlarmRequest { action: AlarmAction::Get.into(), ..AlarmRequest::default() };
    let (members, alarms, leases) = tokio::join!(
        // As this member knows them: there need not be a majority.
        ask(global, members.member_list(MemberListRequest { linearizable: false })),
        ask(global, alarms.alarm(get)),
        leases(global, &connection),
    );
    let (members, alarms) = (members.map(|answer| answer.members), alarms.map(|answer| answer.alarms));
    Cluster { endpoint, id, members, alarms, leases, is_given_only }
}

/// Of all members of the cluster, at a revision that all of them have.
async fn hashes(global: &Global, cluster: u64, looks: &mut [Look]) {
    let ours = |look: &Look| look.cluster_id() == Some(cluster);
    let revision = |look: &Look| look.status.as_ref().ok()?.header.as_ref().map(|header| header.revision);
    let Some(revision) = looks.iter().filter(|look| ours(look)).filter_map(revision).min() else { return };
    let mut asking = JoinSet::new();
    for (at, look) in looks.iter().enumerate().filter(|(_, look)| ours(look)) {
        let (global, endpoint) = (global.clone(), look.endpoint.clone());
        asking.spawn(async move { (at, hash(&global, &endpoint, revision).await) });
    }
    for (at, hash) in asking.join_all().await {
        looks[at].hash = Some(hash);
    }
}
