//! HTTP/2 frames, byte by byte, for clients that no library would be (RFC 9113).

/// The connection preface (section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
/// The flag of PING and SETTINGS.
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
/// The length of a frame's head, in bytes.
pub(crate) const HEAD_BYTES: usize = 9;
const INITIAL_WINDOW_SIZE: u16 = 0x4;

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The beginning of a connection whose client takes no bodies.
pub(crate) fn preface_with_window_zero() -> Vec<u8> {
    let setting = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
    [PREFACE, &frame(SETTINGS, 0, 0, &setting)].concat()
}

/// The header block of a POST to `path`, as HPACK writes it without tables of its own (RFC 7541, appendix A
/// and section 6.2.2).
pub(crate) fn post(path: &str) -> Vec<u8> {
    [&[0x83][..], &target(path)].concat()
}

/// The header block of a GET of `path`.
pub(crate) fn get(path: &str) -> Vec<u8> {
    [&[0x82][..], &target(path)].concat()
}

fn target(path: &str) -> Vec<u8> {
    [&[0x86, 0x04][..], &text(path), &[0x01], &text("x")].concat()
}

/// A string that is not compressed (RFC 7541, sections 5.1 and 5.2).
pub(crate) fn text(text: &str) -> Vec<u8> {
    const PREFIX: usize = 0x7f;
    let mut bytes = Vec::new();
    if text.len() < PREFIX {
        bytes.push(u8::try_from(text.len()).unwrap());
    } else {
        bytes.push(0x7f);
        let mut rest = text.len() - PREFIX;
        while rest >= 0x80 {
            bytes.push(u8::try_from(rest % 0x80).unwrap() | 0x80);
            rest /= 0x80;
        }
        bytes.push(u8::try_from(rest).unwrap());
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The frames in `bytes`, but for a broken one at the end: type, flags, stream and payload.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, &[u8])> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) {
        let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap();
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        frames.push((head[3], head[4], stream, payload));
        bytes = rest;
    }
    frames
}
