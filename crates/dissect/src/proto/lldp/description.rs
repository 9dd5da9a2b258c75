//! What a free-text description of a system tells: versions and order numbers.

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proto) struct Description<'a> {
    /// The version after "firmware", "FW", "software" or just "version".
    pub(in crate::proto) firmware: Option<&'a str>,
    /// The version after "hardware" or "HW".
    pub(in crate::proto) hardware: Option<&'a str>,
    /// An order number of Siemens, such as 6GK5 208-0BA10-2AA3.
    pub(in crate::proto) part_number: Option<&'a str>,
}

/// Reads a description. A version is the word directly after its key word and begins with a digit,
/// perhaps after a V.
pub(in crate::proto) fn read(text: &str) -> Description<'_> {
    let mut found = Description::default();
    let (mut is_hardware, mut expected) = (false, false);
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':')) {
        let any = |names: &[&str]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
        let digits = word.strip_prefix(['v', 'V']).unwrap_or(word);
        if word.is_empty() {
            continue;
        } else if any(&["version", "revision", "ver", "rev"]) {
            expected = true;
        } else if any(&["hardware", "hw"]) {
            (is_hardware, expected) = (true, true);
        } else if any(&["firmware", "fw", "software", "sw"]) {
            (is_hardware, expected) = (false, true);
        } else {
            if expected && digits.starts_with(|c: char| c.is_ascii_digit()) {
                let slot = if is_hardware { &mut found.hardware } else { &mut found.firmware };
                slot.get_or_insert(digits);
                is_hardware = false;
            }
            expected = false;
        }
    }
    found.part_number = text.split(',').map(str::trim).find(|field| {
        matches!(field.as_bytes(), [b'6', b'A'..=b'Z', b'A'..=b'Z', b'0'..=b'9', ..]) && field.len() >= 10
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_where_vendors_write_them() {
        let firmware = |text| read(text).firmware;
        assert_eq!(
            firmware("Cisco IOS Software, C2960 Software (C2960-LANBASEK9-M), Version 12.2(55)SE, RELEASE"),
            Some("12.2(55)SE")
        );
        assert_eq!(firmware("Example Switch, firmware: v2.10b3"), Some("2.10b3"));
        assert_eq!(firmware("Linux host 6.1.0 #1 SMP"), None);
        assert_eq!(firmware("version of the future"), None);
    }

    #[test]
    fn siemens_descriptions_hold_order_number_and_both_versions() {
        let text =
            "Siemens, SIMATIC NET, Example X208, 6GK5 208-0BA10-2AA3, HW: Version 1, FW: Version V5.2.4";
        let expected = Description {
            firmware: Some("5.2.4"),
            hardware: Some("1"),
            part_number: Some("6GK5 208-0BA10-2AA3"),
        };
        assert_eq!(read(text), expected);
    }
}
