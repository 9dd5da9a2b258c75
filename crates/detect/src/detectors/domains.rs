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

/// The entropy of a text's characters, in bits for each (Shannon 1948); dots do not count.
pub(super) fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    let mut total = 0_u32;
    for byte in text.bytes().filter(|byte| *byte != b'.') {
        counts[usize::from(byte)] += 1;
        total += 1;
    }
    let share = |count: u32| f64::from(count) / f64::from(total);
    counts.iter().filter(|count| **count > 0).map(|count| -share(*count) * share(*count).log2()).sum()
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
    fn entropy_is_that_of_shannon() {
        assert_eq!(entropy("aaaa"), 0.0);
        assert!((entropy("abab") - 1.0).abs() < 1e-9);
        assert!((entropy("abcd.efgh") - 3.0).abs() < 1e-9);
        assert_eq!(entropy(""), 0.0);
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
