//! Which etcd this server stands in for. Kubernetes and others choose features by it.

/// The etcd release whose API this is.
pub const ETCD_VERSION: &str = "3.7.1";
/// The version that all members of the cluster speak.
pub const CLUSTER_VERSION: &str = "3.7.0";
/// The version of the stored data, in etcd's counting.
pub const STORAGE_VERSION: &str = "3.7.0";
