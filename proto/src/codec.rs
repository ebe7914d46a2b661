//! How messages become bytes and are read: as prost does it, in buffers of the size that they have.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::BufferSettings;
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// The memory that a call takes at once for a message, in bytes; what is longer takes more when it comes. tonic's own
/// measure, 8 KiB for each message, is ten times as much as nearly all have.
const BUFFER_BYTES: usize = 1024;
/// Bytes of one stream that are sent together. No call here has more than one message.
const SENT_TOGETHER: usize = 32 * 1024;

/// The buffers of a call.
pub fn buffers() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, SENT_TOGETHER)
}

/// prost's codec with [`buffers`]. `Sent` is what goes out, `Read` what comes in.
#[derive(Debug)]
pub struct Codec<Sent, Read>(PhantomData<(Sent, Read)>);

impl<Sent, Read> Default for Codec<Sent, Read> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Sent, Read> tonic::codec::Codec for Codec<Sent, Read>
where
    Sent: Message + Send + 'static,
    Read: Message + Default + Send + 'static,
{
    type Encode = Sent;
    type Decode = Read;
    type Encoder = ProstEncoder<Sent>;
    type Decoder = ProstDecoder<Read>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<Sent, Read>::raw_encoder(buffers())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<Sent, Read>::raw_decoder(buffers())
    }
}
