//! A member that comes back serves clients once it has heard of the leader, and not before.

use std::time::Duration;

use registry_tests::budget::START;
use registry_tests::requests;
use tokio::time::timeout;
use tonic::Request;

use crate::start;

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(1);

/// Each says whether there is a leader from its first answer on: none does that it still remembers from before.
#[tokio::test]
async fn the_first_answer_of_each_member_of_a_cluster_that_was_killed_knows_a_leader() {
    let Some(mut cluster) = start(3).await else { return };
    cluster.client(0).put("a", "1").await;
    cluster.members().into_iter().for_each(|member| cluster.kill(member));
    let mut asking = tokio::task::JoinSet::new();
    for member in cluster.members() {
        cluster.spawn(member);
        let mut kv = cluster.client(member).kv;
        asking.spawn(timeout(START, async move {
            loop {
                let mut request = Request::new(requests::key("a"));
                request.get_mut().serializable = true;
                request.metadata_mut().insert("hasleader", "true".parse().expect("it is text"));
                match kv.range(request).await {
                    Ok(answer) => return answer.into_inner().count,
                    // It does not serve yet, or the connection was to the one that was killed.
                    Err(status) => {
                        assert!(!status.message().contains("no leader"), "member {member} serves and says {status}");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        }));
    }
    assert_eq!(asking.join_all().await, [Ok(1), Ok(1), Ok(1)]);
}
