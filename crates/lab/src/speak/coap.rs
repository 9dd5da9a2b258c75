//! CoAP (RFC 7252).

use crate::bytes::{Put, build};

pub(crate) const GET: u8 = 1;
pub(crate) const PUT: u8 = 3;
pub(crate) const CHANGED: u8 = 0x44;
pub(crate) const CONTENT: u8 = 0x45;

/// A message; type 0 is confirmable, 2 an acknowledgement. Options come in order of their numbers.
pub(crate) fn message(
    kind: u8,
    code: u8,
    id: u16,
    token: [u8; 4],
    options: &[(u16, &[u8])],
    payload: &[u8],
) -> Vec<u8> {
    build(|m| {
        m.u8(0x40 | kind << 4 | 4).u8(code).be16(id).put(&token);
        let mut last = 0;
        for (number, value) in options {
            let extended =
                |value: u16| if value < 13 { (value as u8, None) } else { (13, Some((value - 13) as u8)) };
            let (delta, more_delta) = extended(number - last);
            let (length, more_length) = extended(value.len() as u16);
            m.u8(delta << 4 | length);
            m.extend(more_delta);
            m.extend(more_length);
            m.put(value);
            last = *number;
        }
        if !payload.is_empty() {
            m.u8(0xff).put(payload);
        }
    })
}
