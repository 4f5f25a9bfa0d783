//! The last member that is left goes on alone also while authentication is enabled.

use std::time::Duration;

use registry_proto::etcdserverpb::MemberListRequest;
use registry_tests::{Cluster, Plan, Program, eventually};

use crate::door::Door;
use crate::{CHEAP, NODE, set_up};

/// The others stayed in the list, and would have been let in again.
#[tokio::test]
async fn a_cluster_that_is_forced_has_one_member_also_with_users() {
    let mut cluster = Cluster::start(Plan::new(Program::Registry(NODE.into()), 3).with_flags(&[CHEAP])).await;
    let left = cluster.wait_for_leader().await;
    set_up(&Door::open(&cluster.url(left)).await).await;
    cluster.members().into_iter().for_each(|member| cluster.kill(member));
    cluster.spawn_with(left, &["--force-new-cluster".to_owned()]);
    let served = |cluster: &Cluster| {
        cluster.log(left).iter().filter(|line| line.contains("ready to serve client requests")).count()
    };
    eventually(Duration::from_secs(30), "it serves alone", async || served(&cluster) == 2).await;
    let door = Door::open(&cluster.url(left)).await;
    let root = door.by(&door.log_in("root", "root").await.expect("the users are still there"));
    let listed = root.cluster().member_list(root.request(MemberListRequest { linearizable: true })).await;
    let members = listed.expect("root may").into_inner().members;
    assert_eq!(members.len(), 1, "{members:?}");
}
