//! Compiles the greeter's proto with protox, so that building needs no protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    tonic_prost_build::configure().compile_fds(protox::compile(["greeter.proto"], ["proto"])?)?;
    Ok(())
}
