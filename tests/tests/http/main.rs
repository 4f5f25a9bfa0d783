//! The client port beside the gRPC services: the API in JSON, what browsers may, the paths for probes, and reflection.

mod answers;
mod bodies;
mod browsers;
mod budget;
mod kit;
mod paths;
mod probes;
mod reflection;
mod streams;
