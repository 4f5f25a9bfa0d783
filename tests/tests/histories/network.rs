//! The paths between members, cut by the kernel where members have namespaces, and by proxies where not.

use std::collections::BTreeSet;

use registry_tests::{Cluster, Cut, is_inside};

/// Which paths are cut, from one member to another.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    cut: BTreeSet<(usize, usize)>,
}

impl Paths {
    /// Cuts these paths. Proxies do it in any of their ways.
    pub(crate) fn cut(
        &mut self,
        cluster: &Cluster,
        random: &mut fastrand::Rng,
        paths: impl IntoIterator<Item = (usize, usize)>,
    ) {
        let how = [Cut::Hold, Cut::Swallow, Cut::Reset][random.usize(..3)];
        for (from, to) in paths {
            if !self.cut.insert((from, to)) {
                continue;
            }
            if is_inside() {
                cluster.namespaces().cut(from, to);
            } else {
                cluster.network().cut(from, to, how);
            }
        }
    }

    /// Opens all of them again.
    pub(crate) fn mend(&mut self, cluster: &Cluster) {
        for (from, to) in std::mem::take(&mut self.cut) {
            if is_inside() {
                cluster.namespaces().mend(from, to);
            } else {
                cluster.network().mend(from, to);
            }
        }
    }
}
