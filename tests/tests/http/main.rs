//! Plain HTTP on the client port: the API in JSON, what browsers may, and the paths for probes.

mod answers;
mod bodies;
mod browsers;
mod kit;
mod paths;
mod probes;
mod streams;
