//! What a transaction can compare.

use registry_proto::etcdserverpb::Compare;
use registry_proto::etcdserverpb::compare::{CompareResult, TargetUnion};
use registry_tests::requests::{compare, leased, prefix_end, txn};
use registry_tests::{Client, EmbeddedNode};

use CompareResult::{Equal, Greater, Less, NotEqual};
use TargetUnion::{CreateRevision, Lease, ModRevision, Value, Version};

async fn holds(client: &Client, compares: Vec<Compare>) -> bool {
    let mut request = txn(vec![]);
    request.compare = compares;
    client.txn(request).await.expect("the transaction is accepted").succeeded
}

/// `k/1` made at 2 and put again at 4, `k/2` made at 3 under lease 7.
async fn two_keys() -> (EmbeddedNode, Client) {
    let node = EmbeddedNode::start().await;
    let client = node.client().await;
    client.grant(7, 600).await.expect("granted");
    client.put("k/1", "a").await;
    client.try_put(leased("k/2", "b", 7)).await.expect("put");
    client.put("k/1", "m").await;
    (node, client)
}

#[tokio::test]
async fn every_target_compares_in_every_way() {
    let (_node, client) = two_keys().await;
    // A target's real value, and what is so many steps above or below it.
    type Target = fn(i64) -> TargetUnion;
    let targets: [(&str, Target); 5] = [
        ("k/1", |step| Version(2 + step)),
        ("k/1", |step| CreateRevision(2 + step)),
        ("k/1", |step| ModRevision(4 + step)),
        ("k/1", |step| Value(vec![(i64::from(b'm') + step) as u8].into())),
        ("k/2", |step| Lease(7 + step)),
    ];
    for (key, target) in targets {
        for step in [-1, 0, 1] {
            // The key's side is compared with the given one, so a lower one makes it greater.
            let expected = [(Equal, step == 0), (NotEqual, step != 0), (Greater, step < 0), (Less, step > 0)];
            for (result, expected) in expected {
                let asked = compare(key, result, target(step));
                assert_eq!(holds(&client, vec![asked.clone()]).await, expected, "{asked:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_missing_key_has_zeros_and_no_value() {
    let (_node, client) = two_keys().await;
    for zero in [Version(0), CreateRevision(0), ModRevision(0), Lease(0)] {
        assert!(holds(&client, vec![compare("none", Equal, zero.clone())]).await, "{zero:?}");
    }
    for result in [Equal, NotEqual, Greater, Less] {
        assert!(!holds(&client, vec![compare("none", result, Value("".into()))]).await, "{result:?}");
    }
}

#[tokio::test]
async fn a_comparison_of_a_range_holds_for_all_of_its_keys() {
    let (_node, client) = two_keys().await;
    let all = |result, target| Compare { range_end: prefix_end("k/"), ..compare("k/", result, target) };
    assert!(holds(&client, vec![all(Less, ModRevision(5))]).await);
    assert!(!holds(&client, vec![all(Less, ModRevision(4))]).await);
    assert!(holds(&client, vec![all(Greater, Value("a".into()))]).await);
    assert!(!holds(&client, vec![all(Greater, Value("b".into()))]).await);
    assert!(!holds(&client, vec![all(Equal, Lease(7))]).await);
    let empty = |result, target| Compare { range_end: prefix_end("x/"), ..compare("x/", result, target) };
    assert!(holds(&client, vec![empty(Equal, Version(0))]).await);
    assert!(!holds(&client, vec![empty(Greater, Version(0))]).await);
    assert!(!holds(&client, vec![empty(Equal, Value("".into()))]).await);
}

#[tokio::test]
async fn all_comparisons_must_hold_and_none_is_true() {
    let (_node, client) = two_keys().await;
    let (yes, no) = (compare("k/1", Equal, Version(2)), compare("k/2", Equal, Version(2)));
    assert!(holds(&client, vec![]).await);
    assert!(holds(&client, vec![yes.clone(), yes.clone()]).await);
    assert!(!holds(&client, vec![yes, no]).await);
}
