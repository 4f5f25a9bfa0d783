//! What is said when something is wrong.

use crate::ctl::{Ctl, ran};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_error_names_the_endpoint_and_the_mend() {
    let ctl = Ctl::start().await;
    let plain = ctl.url().replace("http://", "");
    let said = async |endpoint: &str| {
        let ran = ran(&["--endpoints", endpoint, "--dial-timeout", "1s", "get", "a"]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.err.starts_with(&format!("Error: no endpoint can be reached: {endpoint}: ")), "{}", ran.err);
        ran.err
    };
    assert!(said("127.0.0.1:1").await.contains("nothing listens there"));
    assert!(said("no-such-host.invalid:2379").await.contains("no address is known for this name"));
    let tls = said(&format!("https://{plain}")).await;
    assert!(
        tls.contains(&format!("give http://{plain}")) || tls.contains(&format!("give --endpoints http://{plain}")),
        "{tls}"
    );
    ctl.node.shutdown().await.unwrap();
}
