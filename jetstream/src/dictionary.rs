//! Frames of v2 that are compressed: the dictionary, and decoding with a bound.

use std::io;

use bytes::Bytes;
use zstd::bulk::Decompressor;

use crate::frame::MAX_FRAME_BYTES;

/// The largest dictionary, in bytes. Today's has 64 KiB.
pub(crate) const MAX_DICTIONARY_BYTES: usize = 1 << 20;

/// How a dictionary of zstd begins.
const MAGIC: [u8; 4] = [0x37, 0xa4, 0x30, 0xec];

/// A dictionary that frames are compressed with.
#[derive(Debug, Clone)]
pub(crate) struct Dictionary {
    pub(crate) id: u32,
    bytes: Bytes,
}

impl Dictionary {
    /// `None`: it is none.
    pub(crate) fn read(bytes: Bytes) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let id = u32::from_le_bytes(*rest.first_chunk()?);
        (*magic == MAGIC && id != 0).then_some(Self { id, bytes })
    }
}

/// Decodes the frames of one connection.
pub(crate) struct Inflate {
    decompressor: Decompressor<'static>,
    decoded: Vec<u8>,
}

impl Inflate {
    pub(crate) fn new(dictionary: &Dictionary) -> io::Result<Self> {
        let decompressor = Decompressor::with_dictionary(&dictionary.bytes)?;
        Ok(Self { decompressor, decoded: Vec::with_capacity(MAX_FRAME_BYTES) })
    }

    /// `None`: it is not zstd, or too large once decoded.
    pub(crate) fn decode(&mut self, frame: &[u8]) -> Option<&[u8]> {
        self.decoded.clear();
        self.decompressor.decompress_to_buffer(frame, &mut self.decoded).ok()?;
        Some(&self.decoded)
    }
}
