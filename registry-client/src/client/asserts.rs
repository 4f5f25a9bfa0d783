//! What users of any runtime may rely on, checked when the crate is compiled.

use crate::{
    Changes, HealthCheck, Register, RegisterAll, Registration, Registrations, Registry, RegistryGuard, ServiceWatch,
    Snapshot, StateReceiver, View,
};

const fn shared<T: Send + Sync + 'static>() {}
const fn moved<T: Send + Unpin + 'static>() {}

const _: () = {
    shared::<HealthCheck>();
    shared::<Registry>();
    shared::<RegistryGuard>();
    shared::<Register>();
    shared::<RegisterAll>();
    shared::<Registration>();
    shared::<Registrations>();
    shared::<StateReceiver>();
    shared::<ServiceWatch>();
    shared::<View>();
    shared::<Snapshot>();
    #[cfg(feature = "tls")]
    shared::<crate::TlsConfig>();
    moved::<Changes>();
};
