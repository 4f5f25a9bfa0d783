//! The etcd v3 API: what each request may hold, and which code and text answers what goes wrong.

pub mod check;
mod overlap;
pub mod status;
pub mod version;
