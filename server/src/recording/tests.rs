//! Recordings that are whole, cut off, and damaged.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use prost::Message as _;
use tickwire_simulator::Market;

use super::*;

/// Message `n`: a second after the one before it, with everything that a message can have.
fn message(n: u64) -> Recorded {
    use header_value::Value;
    let header = |name: &str, value| RecordedHeader { name: name.to_owned(), value: Some(value), amqp_type: 0 };
    Recorded {
        seq: n * 3,
        time_us: START_US + n * SECOND_US,
        routing_key: format!("stock.S{}", n % 7),
        content_type: n.is_multiple_of(2).then(|| "application/json".to_owned()),
        content_encoding: n.is_multiple_of(3).then(|| "gzip".to_owned()),
        message_id: n.is_multiple_of(5).then(|| n.to_string()),
        timestamp_s: n.is_multiple_of(4).then_some(n),
        headers: vec![header("a", Value::Text(vec![0xff, n as u8])), header("b", Value::Number(-1)), header("c", Value::Flag(true))],
        body: (0..n % 200).map(|byte| (byte * n) as u8).collect(),
        app_id: n.is_multiple_of(6).then(|| "feed".to_owned()),
        ..Default::default()
    }
}

/// A file of `blocks` blocks with ten messages each, ended well or not.
fn write(path: &Path, blocks: u64, end: bool) -> Vec<Recorded> {
    let mut writer = Writer::create(path).unwrap();
    let all: Vec<Recorded> = (0..blocks * 10).map(message).collect();
    for ten in all.chunks(10) {
        ten.iter().for_each(|message| writer.push(message.clone()).unwrap());
        writer.save().unwrap();
    }
    if end {
        writer.finish().unwrap();
    }
    all
}

fn read(path: &Path) -> (Vec<Recorded>, Vec<String>) {
    let (mut messages, mut errors) = (Vec::new(), Vec::new());
    for found in Reader::open(path).unwrap().messages(0, u64::MAX) {
        match found {
            Ok(message) => messages.push(message),
            Err(error) => errors.push(format!("{}: {error}", error.code())),
        }
    }
    (messages, errors)
}

#[test]
fn every_message_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole");
    let all = write(&path, 5, true);
    assert_eq!(read(&path), (all.clone(), Vec::new()));
    let mut reader = Reader::open(&path).unwrap();
    assert_eq!((reader.blocks().len(), reader.messages_len(), reader.cut_bytes()), (5, 50, 0));
    assert_eq!(reader.times_us(), Some((START_US, START_US + 49 * SECOND_US)));
    assert_eq!(reader.last().unwrap().as_ref(), all.last());
    assert!(matches!(Writer::create(&path), Err(RecordingError::Io(_))), "no recording is overwritten");
}

#[test]
fn a_time_is_found_without_reading_what_comes_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long");
    let all = write(&path, 50, true);
    // What comes before is damaged, and nobody sees that.
    OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&[0; 1_000], START_BYTES + 60).unwrap();
    let between = |from: u64, to: u64| Reader::open(&path).unwrap().messages(START_US + from, START_US + to).collect::<Result<Vec<_>, _>>();
    assert_eq!(between(400 * SECOND_US, 412 * SECOND_US).unwrap(), all[400..=412]);
    assert_eq!(between(419 * SECOND_US + 1, 420 * SECOND_US).unwrap(), all[420..=420]);
    assert_eq!(between(500 * SECOND_US, u64::MAX - START_US).unwrap(), []);
    assert!(between(0, SECOND_US).is_err());
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_readable_up_to_its_last_whole_block() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let all = write(&whole, 4, true);
    let (bytes, blocks) = (fs::read(&whole).unwrap(), Reader::open(&whole).unwrap().blocks().to_vec());
    let path = folder.path().join("cut");
    for length in (START_BYTES as usize..bytes.len()).step_by(37).chain([bytes.len() - 1]) {
        fs::write(&path, &bytes[..length]).unwrap();
        let kept = blocks.iter().filter(|block| block.end() <= length as u64).count();
        assert_eq!(read(&path), (all[..kept * 10].to_vec(), Vec::new()), "cut at {length}");
        // And a recorder can go on behind it.
        let mut writer = Writer::append(&path).unwrap();
        all[kept * 10..].iter().for_each(|message| writer.push(message.clone()).unwrap());
        writer.finish().unwrap();
        assert_eq!(read(&path), (all.clone(), Vec::new()), "appended at {length}");
    }
    fs::write(&path, &bytes[..10]).unwrap();
    assert_eq!(Reader::open(&path).unwrap_err().code(), "not_a_recording");
}

#[test]
fn a_damaged_block_costs_its_own_messages_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    for end in [true, false] {
        let _ = fs::remove_file(&path);
        let all = write(&path, 4, end);
        let bytes = fs::read(&path).unwrap();
        let second = Reader::open(&path).unwrap().blocks()[1];
        let others = [&all[..10], &all[20..]].concat();
        // Its body, and its header.
        for (at, what) in [(second.offset + 70, "its checksum is another one"), (second.offset + 5, "its header ")] {
            let mut damaged = bytes.clone();
            damaged[at as usize] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            let (messages, errors) = read(&path);
            assert_eq!(messages, others);
            assert!(
                matches!(&errors[..], [error] if error.starts_with("corrupt_block: block 1 at byte ") && error.contains(what)),
                "{errors:?}"
            );
        }
    }
}

#[test]
fn what_is_no_recording_is_told_and_nothing_makes_reading_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("strange");
    let code = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Reader::open(&path).map(|_| ()).map_err(|error| error.code())
    };
    assert_eq!(code(b""), Err("not_a_recording"));
    assert_eq!(code(&[b'x'; 100]), Err("not_a_recording"));
    let mut newer = start();
    newer[8] = 2;
    assert_eq!(code(&newer), Err("unsupported_version"));
    assert_eq!(code(&start()), Ok(()));
    let whole = folder.path().join("whole");
    write(&whole, 2, true);
    let bytes = fs::read(&whole).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x81;
        fs::write(&path, &damaged).unwrap();
        if let Ok(reader) = Reader::open(&path) {
            assert!(reader.messages(0, u64::MAX).count() <= 22);
        }
    }
}

#[test]
fn an_index_that_names_blocks_behind_all_files_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forged");
    let all = write(&path, 2, false);
    let bytes = fs::read(&path).unwrap();
    let forge = |offset: u64, place: u64| {
        let mut file = bytes.clone();
        let blocks = vec![BlockInfo { offset, packed_bytes: 7, ..BlockInfo::default() }];
        let mut info = BlockInfo { messages: 1, ..BlockInfo::default() };
        block::write(&mut file, block::Kind::Index, &block::Index { blocks }.encode_to_vec(), &mut info).unwrap();
        file.extend([&place.to_le_bytes()[..], &crc32fast::hash(&place.to_le_bytes()).to_le_bytes(), &writer::END_MAGIC].concat());
        fs::write(&path, file).unwrap();
        read(&path)
    };
    for (offset, place) in [(u64::MAX, bytes.len() as u64), (16, u64::MAX), (16, 1 << 62)] {
        assert_eq!(forge(offset, place), (all.clone(), Vec::new()), "{offset} {place}");
    }
}

#[test]
fn a_small_block_of_very_many_messages_takes_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb");
    let mut file = start().to_vec();
    // An empty message takes a byte, and its place in memory some hundred.
    let mut info = BlockInfo { messages: u32::MAX, ..BlockInfo::default() };
    block::write(&mut file, block::Kind::Messages, &vec![0; block::BYTES_MAX], &mut info).unwrap();
    assert!(file.len() < 10_000);
    fs::write(&path, file).unwrap();
    let (messages, errors) = read(&path);
    assert!(messages.is_empty() && errors.len() == 1 && errors[0].contains("another number of messages"), "{errors:?}");
}

#[test]
fn times_are_those_that_messages_say() {
    let time = |content_type: &str, body: &[u8]| {
        time::of(&Recorded {
            content_type: Some(content_type.to_owned()),
            body: body.to_vec(),
            timestamp_s: Some(9),
            ..Recorded::default()
        })
    };
    assert_eq!(time("application/json", br#"{"ts_publish_us":"7","quote":{"bid":1},"ts_event_us":"5"}"#), Some(7));
    assert_eq!(time("application/json", br#"{"updates":[{"quote":{"bid":1},"ts_event_us":"5"},{"ts_event_us":6}]}"#), Some(6));
    assert_eq!(time("application/json", b"{"), Some(9_000_000));
    assert_eq!(time("text/plain", b"\xff\xff"), Some(9_000_000));
    let market = Market::new(1, START_US).opening().remove(0);
    assert_eq!(time("application/x-protobuf", &market.message.encode_to_vec()), Some(market.message.ts_publish_us));
}

const START_US: u64 = 1_764_000_000_000_000;
const SECOND_US: u64 = 1_000_000;
