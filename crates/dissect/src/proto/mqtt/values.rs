//! Numbers in payloads. MQTT leaves payloads to the application (clause 3.3.3); devices mostly publish one value as text,
//! or a JSON object (RFC 8259) of them.

use serde_json::Value;

/// Longer payloads are not looked into, in bytes.
const MAX_PAYLOAD: usize = 4 * 1024;
/// Members within members are followed so deep.
const MAX_DEPTH: usize = 4;
/// Of one payload so many values are told, in the order of their names.
const MAX_VALUES: usize = 32;
/// Longer names are left out, in bytes.
const MAX_PATH: usize = 128;

/// Hands over the values of a payload by name: the path to a member, its parts joined by dots; nothing for a payload
/// that is a value itself.
pub(super) fn read(payload: &[u8], mut each: impl FnMut(&str, f64)) {
    let payload = payload.trim_ascii();
    if payload.is_empty() || payload.len() > MAX_PAYLOAD {
        return;
    }
    if matches!(payload[0], b'{' | b'[') {
        if let Ok(value) = serde_json::from_slice(payload) {
            members(&value, &mut String::new(), MAX_DEPTH, &mut MAX_VALUES.clone(), &mut each);
        }
    } else if let Some(value) = std::str::from_utf8(payload).ok().and_then(number) {
        each("", value);
    }
}

/// Text as a value: a number, or one of the words by which switches are told.
fn number(text: &str) -> Option<f64> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["on", "true", "open"]) {
        return Some(1.0);
    }
    if is(&["off", "false", "closed"]) {
        return Some(0.0);
    }
    // What Rust reads as a number besides digits is none here: `inf`, `NaN`.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|value: &f64| is_plain && value.is_finite())
}

fn members(
    value: &Value,
    path: &mut String,
    depth: usize,
    left: &mut usize,
    each: &mut impl FnMut(&str, f64),
) {
    let told = match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(is) => Some(f64::from(u8::from(*is))),
        Value::String(text) => number(text),
        Value::Object(object) if depth > 0 => {
            // By name, whichever order the reader of JSON keeps them in.
            let mut named: Vec<_> = object.iter().collect();
            named.sort_unstable_by_key(|(name, _)| *name);
            for (name, member) in named {
                let length = path.len();
                if length + 1 + name.len() > MAX_PATH || name.chars().any(char::is_control) {
                    continue;
                }
                if length > 0 {
                    path.push('.');
                }
                path.push_str(name);
                members(member, path, depth - 1, left, each);
                path.truncate(length);
            }
            None
        }
        // Places in a list name nothing that stays the same.
        Value::Object(_) | Value::Array(_) | Value::Null => None,
    };
    if let (Some(value), Some(rest)) = (told, left.checked_sub(1)) {
        *left = rest;
        each(path, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(payload: &str) -> Vec<String> {
        let mut told = Vec::new();
        read(payload.as_bytes(), |name, value| told.push(format!("{name}={value}")));
        told
    }

    #[test]
    fn values_are_found_in_text_and_in_objects() {
        assert_eq!(told(" 21.5\n"), ["=21.5"]);
        assert_eq!(told("-3e2"), ["=-300"]);
        assert_eq!(told("ON"), ["=1"]);
        assert_eq!(
            told(
                r#"{"temp":21.5,"door":{"state":"closed","open":false},"list":[1,2],"name":"hall","none":null}"#
            ),
            ["door.open=0", "door.state=0", "temp=21.5"]
        );
    }

    #[test]
    fn what_is_no_value_tells_none() {
        for none in
            ["", "hall", "NaN", "inf", "1.2.3", "{\"a\":1", "[1,2]", "1e999", "{\"a\":1e999}", "\u{fffd}"]
        {
            assert_eq!(told(none), Vec::<String>::new(), "{none}");
        }
        let bytes = |bytes: &[u8]| read(bytes, |name, value| panic!("{name} {value}"));
        bytes(&[0xff, 0xfe]);
        bytes("1".repeat(MAX_PAYLOAD + 1).as_bytes());
        let deep = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        assert_eq!(told(&deep(MAX_DEPTH)), ["a.a.a.a=1"]);
        assert_eq!(told(&deep(MAX_DEPTH + 1)), Vec::<String>::new());
        assert_eq!(told(&format!("{{\"{}\":1}}", "x".repeat(MAX_PATH))), Vec::<String>::new());
        let many: Vec<String> = (0..100).map(|number| format!("\"m{number}\":1")).collect();
        assert_eq!(told(&format!("{{{}}}", many.join(","))).len(), MAX_VALUES);
    }
}
