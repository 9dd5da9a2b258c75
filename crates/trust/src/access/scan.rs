//! A first look at the text of policies, before Cedar reads it: Cedar goes down as deep as the text does.

use std::collections::BTreeSet;

/// Brackets within brackets.
pub const MAX_DEPTH: usize = 32;
/// Words, numbers, texts and signs in one policy.
pub const MAX_TOKENS: usize = 1_024;

/// The numbers that stand in the text; or where it is too deep or too long, and why.
pub(super) fn scan(text: &str) -> Result<BTreeSet<i64>, (usize, String)> {
    let bytes = text.as_bytes();
    let (mut numbers, mut depth, mut tokens, mut at) = (BTreeSet::new(), 0_usize, 0_usize, 0);
    let run = |from: usize, is_in: fn(&u8) -> bool| {
        bytes.get(from..).map_or(0, |rest| rest.iter().take_while(|byte| is_in(byte)).count())
    };
    while let Some(byte) = bytes.get(at) {
        let length = match byte {
            b'/' if bytes.get(at + 1) == Some(&b'/') => run(at, |byte| *byte != b'\n'),
            b'"' => {
                let mut escaped = false;
                let rest = bytes.get(at + 1..).unwrap_or_default();
                let inside = rest.iter().position(|byte| {
                    let ends = !escaped && *byte == b'"';
                    escaped = !escaped && *byte == b'\\';
                    ends
                });
                tokens += 1;
                inside.map_or(rest.len() + 1, |inside| inside + 2)
            }
            byte if byte.is_ascii_alphanumeric() || *byte == b'_' => {
                let length = run(at, |byte| byte.is_ascii_alphanumeric() || *byte == b'_');
                numbers.extend(text.get(at..at + length).and_then(|word| word.parse::<i64>().ok()));
                tokens += 1;
                length
            }
            byte if byte.is_ascii_whitespace() => 1,
            byte => {
                tokens += 1;
                match byte {
                    b'(' | b'[' | b'{' => depth += 1,
                    b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                    b';' => tokens = 0,
                    _ => {}
                }
                1
            }
        };
        if depth > MAX_DEPTH {
            return Err((at, format!("more than {MAX_DEPTH} brackets within each other: split the policy")));
        }
        if tokens > MAX_TOKENS {
            return Err((at, format!("a policy of more than {MAX_TOKENS} words and signs: split it")));
        }
        at += length;
    }
    Ok(numbers)
}
