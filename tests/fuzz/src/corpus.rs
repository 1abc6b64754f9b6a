//! What each target starts from: the golden vectors as they are now, and what fuzzing has found worth keeping, one input in hexadecimal
//! on each line of `corpus/<target>.hex`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use prost::Message as _;
use serde_json::Value;
use tickwire_proto::v1;

/// Every input of a target: vectors first.
///
/// # Errors
/// A file is not there or malformed.
pub fn load(target: &str) -> Result<Vec<Vec<u8>>> {
    let mut inputs = seeds(target)?;
    inputs.extend(kept(target)?);
    Ok(inputs)
}

/// What is kept in the repository.
///
/// # Errors
/// The file is malformed. One that is not there is empty.
pub fn kept(target: &str) -> Result<Vec<Vec<u8>>> {
    let path = path(target);
    let text = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
    text.lines().map(|line| unhex(line).with_context(|| format!("{} holds a line that is not hexadecimal", path.display()))).collect()
}

/// Writes every input of a target into a folder, a file each, as libFuzzer wants them.
///
/// # Errors
/// The folder takes no files.
pub fn unpack(target: &str, folder: &Path) -> Result<usize> {
    fs::create_dir_all(folder)?;
    let inputs = load(target)?;
    for (n, input) in inputs.iter().enumerate() {
        fs::write(folder.join(format!("kept-{n:04}")), input)?;
    }
    Ok(inputs.len())
}

/// Keeps the shortest inputs of a folder, up to `KEPT_BYTES_MAX`, instead of what was kept before.
///
/// # Errors
/// The folder cannot be read, or the corpus not written.
pub fn pack(target: &str, folder: &Path) -> Result<usize> {
    let mut inputs = fs::read_dir(folder)?.map(|entry| Ok(fs::read(entry?.path())?)).collect::<Result<Vec<_>>>()?;
    inputs.sort_unstable_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs.dedup();
    let mut room = KEPT_BYTES_MAX;
    let lines: Vec<String> = inputs
        .iter()
        .filter(|input| !input.is_empty())
        .map_while(|input| {
            room = room.checked_sub(2 * input.len() + 1)?;
            Some(hex(input) + "\n")
        })
        .collect();
    fs::write(path(target), lines.concat())?;
    Ok(lines.len())
}

/// The golden vectors that a target can read.
fn seeds(target: &str) -> Result<Vec<Vec<u8>>> {
    Ok(match target {
        "decode_client" => both_encodings(&cases("client.json")?),
        "decode_server" => both_encodings(&cases("server.json")?),
        "images" => cases("server.json")?.into_iter().map(|case| case.protobuf).collect(),
        "intake" => cases("feed.json")?
            .into_iter()
            // No routing key of its own: stock.A; the content type in words; the rest is the body.
            .flat_map(|case| [(2, case.protobuf), (1, case.json)])
            .map(|(content_type, body)| [&[0, 0, content_type, 1][..], &body].concat())
            .collect(),
        "mapping" => MAPPINGS.iter().map(|input| input.to_vec()).collect(),
        "packed" => cases("feed.json")?.into_iter().flat_map(|case| (0..3).map(move |n| [&[n | 0x50][..], &case.json].concat())).collect(),
        "recording" => vec![recording()?, RECORDING.to_vec()],
        "chunks" => vec![b"\x053\r\nabc\r\n2;name=value\r\nde\r\n0\r\nX: 1\r\n\r\n".to_vec()],
        "event_stream" => cases("server.json")?
            .into_iter()
            .map(|case| [&b"\x07id: e1:7\nevent: message\r\ndata: "[..], &case.json, b"\n\n"].concat())
            .collect(),
        "websocket" => cases("client.json")?
            .into_iter()
            .map(|case| [&[3][..], &masked(0x82, &case.protobuf), &masked(0x81, &case.json)].concat())
            .collect(),
        "head" => HEADS.iter().map(|head| head.as_bytes().to_vec()).collect(),
        "checkpoint" => (1..4).map(checkpoint).collect(),
        "config" => vec![fs::read(root().join("docs/configuration.md"))?],
        _ => Vec::new(),
    })
}

struct Case {
    protobuf: Vec<u8>,
    json: Vec<u8>,
}

fn cases(file: &str) -> Result<Vec<Case>> {
    let text = fs::read(root().join("proto/vectors").join(file)).with_context(|| format!("proto/vectors/{file}"))?;
    let file: Value = serde_json::from_slice(&text)?;
    let cases = file["cases"].as_array().context("vectors have cases")?;
    cases
        .iter()
        .map(|case| {
            let protobuf = unhex(case["protobuf"].as_str().context("a case has protobuf")?)?;
            Ok(Case { protobuf, json: serde_json::to_vec(&case["json"])? })
        })
        .collect()
}

fn both_encodings(cases: &[Case]) -> Vec<Vec<u8>> {
    cases.iter().flat_map(|case| [[b"0", &case.protobuf[..]].concat(), [b"1", &case.json[..]].concat()]).collect()
}

/// A short frame as clients send it, masked with zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u16;
    let head = if len < 126 { vec![first, 0x80 | len as u8] } else { [&[first, 0xFE][..], &len.to_be_bytes()].concat() };
    [&head[..], &[0; 4], payload].concat()
}

/// A checkpoint of one instrument in each of its parts.
fn checkpoint(parts: u32) -> Vec<u8> {
    let part = |part| {
        let info = v1::InstrumentInfo { symbol: format!("stock.S{part}"), id: part + 1, price_scale: 2, ..Default::default() };
        let body = Some(v1::update::Body::Quote(v1::Quote { last: Some(18_742), volume: Some(7), ..Default::default() }));
        let image = v1::Update { id: part + 1, seq: 5, flags: v1::UpdateFlag::Image as u32, body, ..Default::default() };
        let instruments = vec![v1::CheckpointInstrument { info: Some(info), images: vec![image], announced: true, events: None }];
        v1::Checkpoint { epoch: "1700000000000".into(), seq: 5, part, parts, instruments, ..Default::default() }
    };
    (0..parts).flat_map(|number| part(number).encode_length_delimited_to_vec()).collect()
}

/// A file with a message and its index, as it is.
#[cfg(feature = "config")]
fn recording() -> Result<Vec<u8>> {
    use tickwire_server::recording::{Recorded, Writer};
    let path = std::env::temp_dir().join(format!("tickwire-fuzz-seed-{}-{:?}.twrec", std::process::id(), std::thread::current().id()));
    let mut writer = Writer::create(&path)?;
    writer.push(Recorded { seq: 7, time_us: 9, routing_key: "stock.A".into(), body: b"{}".to_vec(), ..Default::default() })?;
    writer.finish()?;
    let file = fs::read(&path)?;
    fs::remove_file(&path)?;
    Ok([&[1][..], &file].concat())
}

#[cfg(not(feature = "config"))]
fn recording() -> Result<Vec<u8>> {
    bail!("recordings are the server's")
}

fn path(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target).with_extension("hex")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// An input as it stands in a corpus.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The input that such a line stands for.
fn unhex(text: &str) -> Result<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        bail!("an odd number of digits");
    }
    (0..text.len()).step_by(2).map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?)).collect()
}

/// Bytes of one target's file. Longer inputs beyond are left out.
const KEPT_BYTES_MAX: usize = 24 * 1_024;

/// Mappings, with messages: of a quote with a time, and of odds with texts of their own.
const MAPPINGS: [&[u8]; 2] = [
    b"\0\0\0\0\0\0\0\0\0\x02\0\0\0\x02\0\0\x01\x01\0\0\x01{\"b\":\"1.25\",\"l\":2,\"at\":1772461800000}",
    b"\0\x01\x01\x02/d\0\x01\x09odds.{/s}\0\x01\x03\0\x14\0\x15\0\x16\0\0\0\0\0\0\x01{\"d\":[{\"s\":\"A\",\"o\":[{\"id\":1,\"b\":\"1.5\"}]}]}",
];

/// Two blocks of a forged recording, the second with a message, and an index.
const RECORDING: &[u8] = b"\0\x02\x00\x00\0\0\0\0\0\0\0\x02\x05\x04\x08\x01\x10\x05\0\0\0\x01\x01\x01\x05\x05\0\x01\0\0\0\0\0\0\0\0\x01";

/// Requests of each kind that the door knows.
const HEADS: [&str; 3] = [
    "GET /v1/sse?symbols=stock.A,soccer.%23&conflate_ms=250&heartbeat_ms=5000&trades=true&resume=e1:5 HTTP/1.1\r\nHost: h\r\nLast-Event-ID: e1:7\r\n\r\n",
    "GET /v1/ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tickwire.v1.json\r\n\r\n",
    "POST /v1/ws HTTP/1.0\r\nContent-Length: 1\r\n\r\nx",
];
