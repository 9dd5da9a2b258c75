//! One-time passwords by time (RFC 6238) over HMAC-SHA-1 (RFC 4226), as authenticator applications know them.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use model::Timestamp;
use sha1::Sha1;
use zeroize::Zeroizing;

use crate::AccountError;
use crate::secret::{is_same, random};

/// Bytes of a key: as long as the hash (RFC 4226, section 4, R6).
pub(crate) const KEY: usize = 20;
/// Digits of a code.
const DIGITS: usize = 6;
/// Seconds for which a code holds.
const STEP_S: u64 = 30;
/// So many steps before and after the present one are taken, for clocks that differ (RFC 6238, section 5.2).
const WINDOW: u64 = 1;

/// A new key.
pub(crate) fn key() -> Result<Zeroizing<Vec<u8>>, AccountError> {
    let mut key = Zeroizing::new(vec![0; KEY]);
    random(&mut key)?;
    Ok(key)
}

/// The code of a step (RFC 4226, section 5.3).
pub(crate) fn code(key: &[u8], step: u64) -> Option<String> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).ok()?;
    mac.update(&step.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let offset = usize::from(digest.last()? & 0x0f);
    let bytes: [u8; 4] = digest.get(offset..offset + 4)?.try_into().ok()?;
    let number = u32::from_be_bytes(bytes) & 0x7fff_ffff;
    Some(format!("{:0DIGITS$}", number % 10_u32.pow(DIGITS as u32)))
}

/// The step of which a code is, if it is one of the present ones and none that was used, nor one before.
pub(crate) fn step(key: &[u8], shown: &str, now: Timestamp, used: Option<u64>) -> Option<u64> {
    let shown: Vec<u8> = shown.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let present = now.as_nanos() / 1_000_000_000 / STEP_S;
    (present.saturating_sub(WINDOW)..=present + WINDOW)
        .filter(|step| used.is_none_or(|used| *step > used))
        .rfind(|step| code(key, *step).is_some_and(|code| is_same(code.as_bytes(), &shown)))
}

/// A key as authenticator applications take it: base32 (RFC 4648) without padding.
pub(crate) fn base32(bytes: &[u8]) -> Zeroizing<String> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut out = Zeroizing::new(String::with_capacity(bytes.len() * 8 / 5 + 1));
    let (mut bits, mut held) = (0_u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            out.push(char::from(ALPHABET[(bits >> held & 31) as usize]));
        }
    }
    if held > 0 {
        out.push(char::from(ALPHABET[(bits << (5 - held) & 31) as usize]));
    }
    out
}

/// The address by which authenticator applications take a key in.
pub(crate) fn uri(key: &[u8], issuer: &str, name: &str) -> Zeroizing<String> {
    let encoded = |text: &str| {
        text.bytes().fold(String::new(), |mut out, byte| {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    out.push(char::from(byte));
                }
                // Writing to a string cannot fail.
                other => drop(write!(out, "%{other:02X}")),
            }
            out
        })
    };
    let (issuer, name, key) = (encoded(issuer), encoded(name), base32(key));
    Zeroizing::new(format!(
        "otpauth://totp/{issuer}:{name}?secret={}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP_S}",
        key.as_str()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_standards() {
        // RFC 4226, appendix D.
        let hotp = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        for (count, wanted) in (0..).zip(hotp) {
            assert_eq!(code(RFC, count).as_deref(), Some(wanted));
        }
        // RFC 6238, appendix B, the last six of eight digits.
        for (at, wanted) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            let now = Timestamp::from_secs(at.min(18_446_744_073));
            if at < 18_446_744_073 {
                assert_eq!(step(RFC, wanted, now, None), Some(at / 30), "{at}");
            }
            assert_eq!(code(RFC, at / 30).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn a_code_holds_for_three_steps_and_once() {
        let at = |step: u64| Timestamp::from_secs(step * 30 + 3);
        let code = code(RFC, 100).unwrap();
        for present in [99, 100, 101] {
            assert_eq!(step(RFC, &code, at(present), None), Some(100));
        }
        for present in [98, 102] {
            assert_eq!(step(RFC, &code, at(present), None), None);
        }
        assert_eq!(step(RFC, &code, at(100), Some(100)), None, "used");
        assert_eq!(step(RFC, &code, at(100), Some(101)), None, "a later one was used");
        let spaced = format!(" {} {} ", &code[..3], &code[3..]);
        assert_eq!(step(RFC, &spaced, at(100), Some(99)), Some(100));
        for wrong in ["", "000000", "1234567", "abcdef", &code[..5]] {
            assert_eq!(step(RFC, wrong, at(100), None), None);
        }
    }

    #[test]
    fn keys_are_written_as_applications_take_them() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()).as_str(), text);
        }
        let uri = uri(RFC, "Pavise North plant", "a@b");
        assert_eq!(
            uri.as_str(),
            "otpauth://totp/Pavise%20North%20plant:a%40b?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Pavise%20North%20plant&algorithm=SHA1&digits=6&period=30"
        );
    }
}
