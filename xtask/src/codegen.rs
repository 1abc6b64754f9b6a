//! Rust code from the schema: protox reads the .proto files (no `protoc` needed), prost-build writes the messages, tonic-build the
//! gRPC service, and the descriptors are what reflection answers from. What is written is committed; `check` says where it has drifted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use prost::Message as _;

/// Generates everything into the source tree.
pub(crate) fn run(root: &Path) -> Result<()> {
    for (path, bytes) in generate(root)? {
        let target = root.join(&path);
        if fs::read(&target).is_ok_and(|old| old == bytes) {
            continue;
        }
        fs::create_dir_all(target.parent().context("generated files live in a folder")?)?;
        fs::write(&target, bytes)?;
        crate::say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// Fails when a committed file differs from what the schema gives now.
pub(crate) fn check(root: &Path) -> Result<()> {
    let drifted: Vec<String> = generate(root)?
        .into_iter()
        .filter(|(path, bytes)| fs::read(root.join(path)).map_or(true, |old| old != *bytes))
        .map(|(path, _)| path.display().to_string())
        .collect();
    if !drifted.is_empty() {
        bail!("generated code has drifted from the schema: {}; run `cargo xtask codegen`", drifted.join(", "));
    }
    Ok(())
}

/// Every generated file with what is in it, relative to the root.
fn generate(root: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let descriptors =
        protox::compile(SCHEMA.map(|file| root.join("proto").join(file)), [root.join("proto")]).context("the schema does not compile")?;
    let mut bare = descriptors.clone();
    // Tools that ask a server for its schema want names and types; the comments are most of the bytes.
    bare.file.iter_mut().for_each(|file| file.source_code_info = None);
    let scratch = root.join("target/codegen");
    fs::create_dir_all(&scratch)?;

    prost_build::Config::new()
        // The pure crates are no_std: ordered maps from alloc.
        .btree_map(["."])
        .out_dir(&scratch)
        .compile_fds(descriptors)
        .context("prost-build refused the schema")?;
    let messages = fs::read_to_string(scratch.join("tickwire.v1.rs"))?;

    let service = tonic_build::manual::Service::builder()
        .name("Ticker")
        .package("tickwire.v1")
        .method(
            tonic_build::manual::Method::builder()
                .name("subscribe")
                .route_name("Subscribe")
                .input_type("tickwire_proto::v1::SubscribeRequest")
                .output_type("bytes::Bytes")
                // Frames were encoded once for all transports: the codec passes the bytes on.
                .codec_path("crate::grpc::EncodedFrames")
                .server_streaming()
                .build(),
        )
        .build();
    tonic_build::manual::Builder::new().build_client(false).out_dir(&scratch).compile(&[service]);
    let ticker = fs::read_to_string(scratch.join("tickwire.v1.Ticker.rs"))?;

    Ok(vec![
        (PathBuf::from("proto/src/generated/tickwire.v1.rs"), format!("{NOTICE}{messages}").into_bytes()),
        (PathBuf::from("server/src/generated/tickwire.v1.Ticker.rs"), format!("{NOTICE}{ticker}").into_bytes()),
        (PathBuf::from("server/src/generated/tickwire.v1.descriptors.bin"), bare.encode_to_vec()),
    ])
}

/// The files of the schema, below `proto/`.
const SCHEMA: [&str; 4] = ["tickwire/v1/market.proto", "tickwire/v1/feed.proto", "tickwire/v1/session.proto", "tickwire/v1/ticker.proto"];

const NOTICE: &str = "// Written by `cargo xtask codegen` from proto/tickwire/v1/. Do not edit.\n";
