//! Files of recordings, as they may lie on a disk or come from somebody else: with right checksums around anything, or just any bytes.

use std::fs;
use std::path::PathBuf;

use prost::Message as _;
use tickwire_server::recording::{BlockInfo, Reader};

use crate::tape::Tape;

/// Blocks by turns, an index of any blocks, an end; after a first byte that is odd, the file as it is.
pub(crate) fn run(bytes: &[u8]) {
    let mut tape = Tape::new(bytes);
    let file = if tape.flag() { tape.rest().to_vec() } else { forge(&mut tape) };
    let path = path();
    fs::write(&path, &file).expect("the temporary folder takes files");
    let Ok(mut reader) = Reader::open(&path) else { return };
    let blocks = reader.blocks().to_vec();
    assert!(blocks.len() <= file.len(), "{} blocks in {} bytes", blocks.len(), file.len());
    assert!(reader.cut_bytes() <= file.len() as u64);
    let (_, _) = (reader.messages_len(), reader.times_us());
    let _ = reader.last();
    let messages_max = blocks.iter().fold(0_u64, |sum, block| sum.saturating_add(u64::from(block.messages)));
    let (mut messages, mut errors) = (0_u64, 0_usize);
    for found in reader.messages(FROM_US, TO_US) {
        match found {
            Ok(message) => {
                messages += 1;
                assert!((FROM_US..=TO_US).contains(&message.time_us));
            }
            Err(error) => {
                errors += 1;
                assert!(!error.to_string().contains('\n'));
            }
        }
        assert!(messages <= messages_max && errors <= blocks.len() + file.len(), "{messages} messages, {errors} errors");
    }
}

/// A file whose checksums are right, and the rest as it comes.
fn forge(tape: &mut Tape<'_>) -> Vec<u8> {
    let mut file = b"tickrec\n\x01\0\0\0".to_vec();
    file.extend_from_slice(&crc32fast::hash(&file).to_le_bytes());
    let mut infos = Vec::new();
    for _ in 0..BLOCKS_MAX {
        match tape.below(8) {
            0 => break,
            // Damage between blocks.
            1 => file.extend_from_slice(tape.piece()),
            _ => infos.push(block(&mut file, *b"TWBK", tape.piece(), tape)),
        }
    }
    if tape.flag() {
        let place = file.len() as u64;
        let index: Vec<u8> = infos.iter().flat_map(|info| index_entry(*info, tape)).collect();
        block(&mut file, *b"TWIX", &index, tape);
        let place = if tape.flag() { place } else { tape.number() }.to_le_bytes();
        file.extend_from_slice(&place);
        file.extend_from_slice(&crc32fast::hash(&place).to_le_bytes());
        file.extend_from_slice(b"TWEN");
    }
    file
}

/// Appends a block. Now and then its header says something else of it.
fn block(file: &mut Vec<u8>, magic: [u8; 4], bytes: &[u8], tape: &mut Tape<'_>) -> BlockInfo {
    let packed = if tape.below(8) == 7 { bytes.to_vec() } else { zstd::bulk::compress(bytes, 1).expect("memory takes it") };
    let mut size = |is: usize| if tape.below(8) == 7 { tape.number() as u32 } else { is as u32 };
    let mut info =
        BlockInfo { offset: file.len() as u64, bytes: size(bytes.len()), packed_bytes: size(packed.len()), ..Default::default() };
    info.messages = u32::from(tape.byte());
    (info.first_seq, info.last_seq, info.first_us, info.last_us) = (tape.number(), tape.number(), tape.number(), tape.number());
    let mut header = magic.to_vec();
    [info.bytes, info.packed_bytes, info.messages].iter().for_each(|number| header.extend_from_slice(&number.to_le_bytes()));
    [info.first_seq, info.last_seq, info.first_us, info.last_us].iter().for_each(|number| header.extend_from_slice(&number.to_le_bytes()));
    header.extend_from_slice(&crc32fast::hash(&packed).to_le_bytes());
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    file.extend_from_slice(&header);
    file.extend_from_slice(&packed);
    info
}

/// A block as an index names it: field 1 of a message.
fn index_entry(mut info: BlockInfo, tape: &mut Tape<'_>) -> Vec<u8> {
    if tape.below(4) == 3 {
        (info.offset, info.packed_bytes) = (tape.number(), tape.number() as u32);
    }
    [&[0x0A][..], &info.encode_length_delimited_to_vec()].concat()
}

/// One file for each thread, written anew with each input.
fn path() -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
    std::env::temp_dir().join(format!("tickwire-fuzz-{}-{thread}.twrec", std::process::id()))
}

/// Blocks of one input.
const BLOCKS_MAX: usize = 16;
/// Times that are asked for.
const FROM_US: u64 = 3;
const TO_US: u64 = 1 << 40;
