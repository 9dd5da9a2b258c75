//! MPLS label stacks (RFC 3032 clause 2.1).

use super::Oddity;

/// More labels than this on one packet are taken for nonsense.
const MAX_LABELS: usize = 16;

/// What stands under a label stack. Labels do not say; the first nibble usually does (RFC 4928 clause 3).
pub(super) enum Under<'a> {
    /// An IP packet of either version.
    Ip(&'a [u8]),
    /// An Ethernet frame of a pseudowire.
    Ethernet(&'a [u8]),
    /// Something else.
    Unknown,
}

/// Passes over the stack.
pub(super) fn under(bytes: &[u8]) -> Result<Under<'_>, Oddity> {
    let mut rest = bytes;
    for _ in 0..MAX_LABELS {
        let (&[_, _, last, _], after) = rest.split_first_chunk().ok_or(Oddity::LinkTruncated)?;
        rest = after;
        if last & 1 == 1 {
            return Ok(judge(rest));
        }
    }
    Err(Oddity::MplsStack)
}

/// A pseudowire's frame may have a control word before it (RFC 4385 clause 3) whose first nibble is 0,
/// but so may a MAC address: the place where a known EtherType stands decides.
fn judge(payload: &[u8]) -> Under<'_> {
    let plausible = |frame: &[u8]| {
        matches!(
            frame.get(12..14),
            Some(
                [0x08, 0x00 | 0x06]
                    | [0x86, 0xdd]
                    | [0x81, 0x00]
                    | [0x88, 0xa8 | 0x47 | 0x63 | 0x64 | 0xcc | 0xb8]
            )
        )
    };
    match (payload.first().map(|byte| byte >> 4), payload.get(4..)) {
        (Some(4 | 6), _) => Under::Ip(payload),
        (Some(0), Some(frame)) if plausible(frame) => Under::Ethernet(frame),
        (Some(_), _) if plausible(payload) => Under::Ethernet(payload),
        _ => Under::Unknown,
    }
}
