//! Compiles `proto/` with protox, so that building needs no protoc.

const FILES: [&str; 10] = [
    "kv.proto",
    "watch.proto",
    "lease.proto",
    "cluster.proto",
    "maintenance.proto",
    "auth.proto",
    "lock.proto",
    "election.proto",
    "mvcc.proto",
    "peer.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    tonic_prost_build::configure()
        .bytes(".")
        // These two carry records that the server keeps encoded: see `stored`.
        .extern_path(".etcdserverpb.RangeResponse", "crate::stored::RangeResponse")
        .extern_path(".etcdserverpb.WatchResponse", "crate::stored::WatchResponse")
        .codec_path("crate::codec::SizedCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
