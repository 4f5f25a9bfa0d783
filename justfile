# The commands of the project. `just` lists them.

# Lists the commands.
default:
    @just --list

# Everything that CI checks; changes nothing.
verify:
    .ci/verify

# Formats the code.
fmt:
    cargo fmt --all

# The whole thing in half a minute: a registry, three services, a balanced client.
quickstart:
    cargo run --release --bin quickstart

# A single node on etcd's port with its data in ./default.etcd.
serve *flags:
    cargo run --release -p registry-server -- {{flags}}

# etcdctl's usages against a fresh server.
conformance:
    .ci/conformance
