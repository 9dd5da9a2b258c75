//! Domain names: who registered them, and whether people made them up.

/// Second labels below which countries register names: `example.co.uk`.
const SECOND_LEVEL: [&str; 12] =
    ["co", "com", "org", "net", "ac", "edu", "gov", "gob", "or", "ne", "go", "mil"];

/// Splits a name into what stands before the registered domain and that domain. The public suffixes are approximated:
/// one label, or two where a country groups its names by purpose. `None` for names of one label and for reverse
/// lookups.
pub(super) fn split(name: &str) -> Option<(&str, &str)> {
    let name = name.trim_end_matches('.');
    if name.ends_with(".arpa") || name.ends_with(".local") {
        return None;
    }
    let (rest, top) = name.rsplit_once('.')?;
    let (second_from, second) = rest.rfind('.').map_or((0, rest), |dot| (dot + 1, &rest[dot + 1..]));
    let from = if top.len() == 2 && SECOND_LEVEL.contains(&second) && second_from > 0 {
        rest[..second_from - 1].rfind('.').map_or(0, |dot| dot + 1)
    } else {
        second_from
    };
    Some((name[..from].trim_end_matches('.'), &name[from..]))
}

/// How much information a text carries at most, in bits: the entropy of its characters (Shannon 1948) times their
/// number. Dots do not count, and `\\ddd` is one byte (RFC 1035 clause 5.1).
pub(super) fn information(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    let mut total = 0_u32;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'.' => continue,
            b'\\' => {
                let digits = bytes.by_ref().take(3);
                digits.fold(0_u8, |number, digit| {
                    number.wrapping_mul(10).wrapping_add(digit.wrapping_sub(b'0'))
                })
            }
            other => other,
        };
        counts[usize::from(byte)] += 1;
        total += 1;
    }
    let bits = |count: u32| f64::from(count) * (f64::from(total) / f64::from(count)).log2();
    counts.iter().filter(|count| **count > 0).map(|count| bits(*count)).sum()
}

/// The hundred most frequent pairs of letters in English text, which names in many languages share (Norvig, "English
/// Letter Frequency Counts", 2013).
const PAIRS: &str = "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me \
                     de hi ri ro ic ne ea ra ce li ch ll be ma si om ur ca el ta la ns di fo ho pe ec pr no ct us ac ot \
                     il tr ly nc et ut ss so rs un lo wa ge ie wh ee wi em ad ol rt po we na ul ni ts mo ow pa im mi ai \
                     sh ir su id os iv ia am fi ci vi pl ig tu ev ld ry mp fe bl ab gh ty op wo sa ay ex";

/// Labels shorter than this say nothing about who made them up.
const SHORTEST: usize = 8;
/// Names that people make up have at least this share of frequent pairs: about 0.7 are expected of English, 0.2 of
/// letters drawn at random.
const USUAL_SHARE: f64 = 0.4;

/// Whether the first label of a registered domain looks drawn at random. Yadav, Reddy, Reddy and Ranjan, "Detecting
/// Algorithmically Generated Malicious Domain Names" (IMC 2010), tell them by the same distribution.
pub(super) fn is_random(domain: &str) -> bool {
    let label = domain.split('.').next().unwrap_or_default();
    // Names in other scripts are encoded (RFC 5890), and that looks random.
    if label.len() < SHORTEST || label.starts_with("xn--") {
        return false;
    }
    let pairs = label.as_bytes().windows(2);
    let all = pairs.len() as f64;
    let frequent =
        pairs.filter(|pair| PAIRS.split_ascii_whitespace().any(|known| known.as_bytes() == *pair)).count();
    (frequent as f64) < USUAL_SHARE * all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_where_they_were_registered() {
        for (name, expected) in [
            ("a.b.example.com", Some(("a.b", "example.com"))),
            ("example.com.", Some(("", "example.com"))),
            ("www.example.co.uk", Some(("www", "example.co.uk"))),
            ("example.co.uk", Some(("", "example.co.uk"))),
            ("co.uk", Some(("", "co.uk"))),
            ("localhost", None),
            ("4.3.2.1.in-addr.arpa", None),
        ] {
            assert_eq!(split(name), expected, "{name}");
        }
    }

    #[test]
    fn information_is_that_of_shannon() {
        for (text, bits) in
            [("aaaa", 0.0), ("abab", 4.0), ("abcd.efgh", 24.0), ("", 0.0), ("\\200\\201a\\200", 6.0)]
        {
            assert!((information(text) - bits).abs() < 1e-9, "{text}");
        }
    }

    #[test]
    fn names_that_people_make_up_are_not_random() {
        for name in
            ["wikipedia.org", "siemens-industry.com", "windowsupdate.com", "stackoverflow.com", "heise.de"]
        {
            assert!(!is_random(name), "{name}");
        }
        for name in ["xjwqpkzvbtgh.com", "kq3v9z7xw1p0.net", "qxkvbhzjwgfm.info", "yjfdbqxkzvwh.biz"] {
            assert!(is_random(name), "{name}");
        }
    }
}
