//! Compiles `proto/` with protox, so that building needs no protoc, and leaves the descriptors beside the code.

use std::path::PathBuf;

use prost::Message as _;

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

#[expect(clippy::disallowed_methods, reason = "a build script writes where cargo tells it to")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let mut described = descriptors.clone();
    for file in &mut described.file {
        // Comments and positions are for code, not for whoever asks a running server.
        file.source_code_info = None;
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo names the directory of what a build leaves")?);
    std::fs::write(out.join("descriptors.bin"), described.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".")
        // These two carry records that the server keeps encoded: see `stored`.
        .extern_path(".etcdserverpb.RangeResponse", "crate::stored::RangeResponse")
        .extern_path(".etcdserverpb.WatchResponse", "crate::stored::WatchResponse")
        .codec_path("crate::codec::SizedCodec")
        .compile_fds(descriptors)?;
    Ok(())
}
