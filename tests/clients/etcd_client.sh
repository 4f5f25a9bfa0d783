#!/usr/bin/env bash
# The Rust crate etcd-client: its own tests and examples, as published, against debug servers on port 2379 of localhost. By
# hand, because building the crate takes minutes and needs protoc (PROTOC may name it). Needs etcdctl too, and for the test
# that wants several nodes `unshare` and the right to mount: that one names its members node1 to node4.
#
#   tests/clients/etcd_client.sh [VERSION]
set -euo pipefail
cd "$(dirname "$0")/../.."

version=${1:-0.21.1}
. .ci/servers
work=$dir/work
crate=$work/etcd-client
client_at='--listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://localhost:2379 --auth-token-ttl 2'
export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=127.0.0.1:2379

copy_crate() {
  mkdir -p "$work/fetch/src"
  printf '[package]\nname = "fetch"\nedition = "2021"\n[dependencies]\netcd-client = "=%s"\n' "$version" >"$work/fetch/Cargo.toml"
  touch "$work/fetch/src/lib.rs"
  cargo fetch --quiet --manifest-path "$work/fetch/Cargo.toml"
  cp -r "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"etcd-client-$version" "$crate"
  # Not to be taken for a part of a workspace, and built once for all runs.
  export CARGO_TARGET_DIR=${ETCD_CLIENT_TARGET:-$work/target}
}

in_crate() { (cd "$crate" && "$@"); }

# What the crate's CI does: its tests, with the user they want; the ignored ones for etcd 3.7; then the examples.
alone() {
  start_server alone $client_at
  address_of alone
  etcdctl user add root:rootpwd
  etcdctl user grant-role root root
  in_crate cargo test --no-fail-fast
  local example
  for example in auth auth_role auth_user election kv lease lock maintenance namespace watch; do
    in_crate cargo run --quiet --example "$example" >"$dir/example" 2>&1 || { cat "$dir/example"; return 1; }
    echo "ok example $example"
  done
  stop_servers
  start_server small $client_at --max-request-bytes 10240
  address_of small
  in_crate cargo test --test client test_get_stream -- --ignored
  stop_servers
}

# A member of the cluster: node N on 127.0.0.1N, the first one on the port that the test knows.
node() {
  local here=127.0.0.1$1
  local clients=http://$here:2379
  [ "$1" != 1 ] || clients=$clients,http://127.0.0.1:2379
  start_server "node$1" --listen-client-urls "$clients" --listen-peer-urls "http://$here:2380" \
    --initial-advertise-peer-urls "http://node$1:2380" --initial-cluster "$2" --initial-cluster-state "$3"
}

# Waits until a member of the cluster answers for it: it has a leader then.
reach() {
  local log=$dir/$1.log
  for _ in $(seq 300); do
    if grep -q 'ready to serve' "$log" && ETCDCTL_ENDPOINTS=http://$1:2379 etcdctl endpoint health &>/dev/null; then return; fi
    sleep 0.1
  done
  cat "$log"
  return 1
}

# The test adds node4, which is started as soon as it is in the list, and promotes it.
cluster() {
  { echo 127.0.0.1 localhost; for i in 1 2 3 4; do echo "127.0.0.1$i node$i"; done; } >"$dir/hosts"
  mount --bind "$dir/hosts" /etc/hosts
  local three=node1=http://node1:2380,node2=http://node2:2380,node3=http://node3:2380
  for i in 1 2 3; do node "$i" "$three" new; done
  for i in 1 2 3; do reach "node$i"; done
  in_crate cargo test --test client test_cluster -- --ignored &
  local test=$!
  until etcdctl member list | grep -q http://node4:2380; do kill -0 "$test"; sleep 0.2; done
  node 4 "$three,node4=http://node4:2380" existing
  wait "$test"
}

if [ "${INSIDE:-}" ]; then
  crate=$INSIDE
  cluster
else
  cargo build --quiet -p registry-server
  server=$(realpath "$server")
  copy_crate
  alone
  INSIDE=$crate SERVER=$server unshare --mount "$0"
fi
