//! The client port beside etcd's gRPC services: the API in JSON, what browsers may, the paths for probes, gRPC's own health
//! checks, and reflection.

mod answers;
mod bodies;
mod browsers;
mod budget;
mod health;
mod kit;
mod paths;
mod probes;
mod reflection;
mod streams;
