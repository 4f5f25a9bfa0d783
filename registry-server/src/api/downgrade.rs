//! Downgrade: to which older version the cluster could go back.
//!
//! etcd can go back by one minor version: its older release reads the file that the newer one has prepared. There is no
//! older server that reads the files of this one: no version of etcd does, and this format has had one version so far. So
//! every target is one that cannot be, and is answered as etcd answers those; there is never a job under way.

use registry_proto::etcdserverpb::downgrade_request::DowngradeAction;
use registry_proto::etcdserverpb::{DowngradeRequest, DowngradeResponse};
use tonic::Status;

use super::status::WireError;

/// What a request is refused with.
pub(super) fn downgrade(request: &DowngradeRequest) -> Result<DowngradeResponse, Status> {
    let refusal = match DowngradeAction::try_from(request.action) {
        Err(_) => return Err(Status::unknown("etcdserver: unknown method")),
        Ok(DowngradeAction::Cancel) => WireError::NoInflightDowngrade,
        Ok(_) if !is_version(&request.version) => WireError::WrongDowngradeVersionFormat,
        Ok(_) => {
            let target = &request.version;
            tracing::warn!(target, "a downgrade is refused: no older server reads the files of this one");
            WireError::InvalidDowngradeTargetVersion
        }
    };
    Err(refusal.into())
}

/// Whether it is a semantic version, of which minor and patch may be left out, as etcd takes it.
fn is_version(text: &str) -> bool {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let is_number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits && part.parse::<u64>().is_ok() && (part == "0" || !part.starts_with('0'))
    };
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let words = |words: Option<&str>| words.is_none_or(|words| words.split('.').all(is_word));
    core.split('.').count() <= 3 && core.split('.').all(is_number) && words(pre) && words(build)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(action: i32, version: &str) -> String {
        let request = DowngradeRequest { action, version: version.to_owned() };
        downgrade(&request).unwrap_err().message().to_owned()
    }

    #[test]
    fn every_target_is_refused_as_etcd_refuses_an_impossible_one() {
        for version in ["3.6", "3.6.0", "v3.7", "3", "4.0.0-rc.1+build"] {
            for action in [0, 1] {
                assert_eq!(refused(action, version), "etcdserver: invalid downgrade target version", "{version}");
            }
        }
        for version in ["", "x", "3.", "3.6.0.1", "3.06", "3.6-", "-1", "99999999999999999999.0"] {
            assert_eq!(refused(0, version), "etcdserver: wrong downgrade target version format", "{version}");
        }
        assert_eq!(refused(2, ""), "etcdserver: no inflight downgrade job");
        assert_eq!(refused(9, "3.6"), "etcdserver: unknown method");
    }
}
