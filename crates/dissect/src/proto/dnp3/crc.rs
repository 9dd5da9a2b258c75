//! The check of header and blocks (IEEE 1815, 9.2.5 and annex E): 16 bits, polynomial
//! x^16 + x^13 + x^12 + x^11 + x^10 + x^8 + x^6 + x^5 + x^2 + 1, least significant bit first, inverted.

/// The polynomial, bits reversed.
const POLYNOMIAL: u16 = 0xa6bc;

const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u16;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 != 0 { value >> 1 ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

/// Whether the last two bytes are the check of those before them.
pub(super) fn checks(bytes: &[u8]) -> bool {
    let Some((data, check)) = bytes.split_last_chunk::<2>() else { return false };
    of(data) == u16::from_le_bytes(*check)
}

fn of(data: &[u8]) -> u16 {
    !data.iter().fold(0_u16, |value, byte| value >> 8 ^ TABLE[usize::from(value as u8 ^ byte)])
}

/// The bytes with their check behind them.
#[cfg(test)]
pub(super) fn checked(data: &[u8]) -> Vec<u8> {
    [data, &of(data).to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a request for the link's status that the standard prints (annex E).
    #[test]
    fn the_check_of_a_header_agrees() {
        assert!(checks(&[0x05, 0x64, 0x05, 0xc0, 0x01, 0x00, 0x00, 0x04, 0xe9, 0x21]));
        assert!(!checks(&[0x05, 0x64, 0x05, 0xc0, 0x01, 0x00, 0x00, 0x05, 0xe9, 0x21]));
        assert!(!checks(&[0x05]));
    }
}
