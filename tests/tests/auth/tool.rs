//! etcd's own tool manages users and works in their names.

use registry_tests::{Node, etcdctl};

use crate::{CHEAP, NODE};

#[tokio::test]
async fn etcdctl_manages_users_and_works_in_their_names() {
    if !etcdctl::is_there() {
        println!("skipped: etcdctl is not installed");
        return;
    }
    let node = Node::start(NODE, &[CHEAP]).await;
    let run = |words: &str| etcdctl::say(node.address(), &words.split(' ').collect::<Vec<_>>());
    for (words, answer) in [
        ("user add root:secret", "User root created"),
        ("user grant-role root root", "Role root is granted to user root"),
        ("role add app", "Role app created"),
        ("role grant-permission app --prefix readwrite /app/", "Role app updated"),
        ("user add anna:pw", "User anna created"),
        ("user grant-role anna app", "Role app is granted to user anna"),
        ("auth enable", "Authentication Enabled"),
        ("--user=anna:pw put /app/a 1", "OK"),
        ("--user=anna:pw get /app/a --print-value-only", "1"),
        ("--user=anna:pw user get anna", "User: anna\nRoles: app"),
        ("--user=root:secret user list", "anna\nroot"),
        ("--user=root:secret auth disable", "Authentication Disabled"),
    ] {
        assert_eq!(run(words).trim(), answer, "{words}");
    }
}
