//! Who a link-layer address was assigned to, and when two names mean one maker.
//!
//! The table is made by `cargo xtask gen`; its format stands in `tables/README.md`.

use std::io::Read;
use std::sync::OnceLock;

use model::MacAddr;

/// The assignments of the IEEE Registration Authority, compressed.
static TABLE: &[u8] = include_bytes!("tables/vendors.bin");

/// The lengths of assigned prefixes, in bits: MA-L, MA-M, MA-S (and IAB).
pub const PREFIX_BITS: [u32; 3] = [24, 28, 36];

/// The unpacked table may not be larger than this, in bytes: a damaged file shall not exhaust memory.
const TABLE_BYTES_MAX: u64 = 8 << 20;

/// The unpacked table.
#[derive(Debug, Default)]
struct Vendors {
    /// All names, one after the other.
    text: String,
    /// Where each name ends in `text`.
    ends: Vec<u32>,
    /// For each of [`PREFIX_BITS`]: prefixes in order, and their names.
    prefixes: [Vec<(u64, u16)>; 3],
}

impl Vendors {
    /// Unpacks the table. What a damaged table does not hold is simply not known.
    fn read(table: &[u8]) -> Option<Self> {
        let mut bytes = Vec::new();
        flate2::read::ZlibDecoder::new(table).take(TABLE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let mut rest = &bytes[..];
        let mut vendors = Self::default();
        for _ in 0..u32::from_le_bytes(take(&mut rest)?) {
            let [length] = take(&mut rest)?;
            let (name, after) = rest.split_at_checked(usize::from(length))?;
            vendors.text.push_str(std::str::from_utf8(name).ok()?);
            vendors.ends.push(u32::try_from(vendors.text.len()).ok()?);
            rest = after;
        }
        for prefixes in &mut vendors.prefixes {
            let count = u32::from_le_bytes(take(&mut rest)?);
            let mut prefix = 0_u64;
            for _ in 0..count {
                prefix = prefix.checked_add(leb128(&mut rest)?)?;
                prefixes.push((prefix, 0));
            }
            for (_, name) in prefixes {
                *name = u16::from_le_bytes(take(&mut rest)?);
            }
        }
        Some(vendors)
    }

    fn find(&self, mac: MacAddr) -> Option<u16> {
        if mac.is_local() || mac.is_group() {
            return None;
        }
        let address = mac.0.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        self.prefixes.iter().zip(PREFIX_BITS).rev().find_map(|(prefixes, bits)| {
            let wanted = address >> (48 - bits);
            let at = prefixes.binary_search_by_key(&wanted, |(prefix, _)| *prefix).ok()?;
            prefixes.get(at).map(|(_, name)| *name)
        })
    }

    fn name(&self, index: u16) -> Option<&str> {
        let index = usize::from(index);
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { *self.ends.get(index - 1)? };
        self.text.get(start as usize..end as usize)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*head)
}

fn leb128(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..63).step_by(7) {
        let [byte] = take(rest)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn vendors() -> &'static Vendors {
    static VENDORS: OnceLock<Vendors> = OnceLock::new();
    VENDORS.get_or_init(|| Vendors::read(TABLE).unwrap_or_default())
}

/// The organisation that a link-layer address was assigned to, by the longest prefix that is known.
/// Locally administered and group addresses name nobody.
pub fn of(mac: MacAddr) -> Option<&'static str> {
    number_of(mac).and_then(name)
}

/// The number of that organisation in the table.
pub(crate) fn number_of(mac: MacAddr) -> Option<u16> {
    vendors().find(mac)
}

/// The name of an organisation by its number in the table.
pub(crate) fn name(number: u16) -> Option<&'static str> {
    vendors().name(number)
}

/// How many organisations the table knows.
pub fn known() -> usize {
    vendors().ends.len()
}

/// Words that say what kind of company it is, without points and in lower case.
const LEGAL_FORMS: &[&str] = &[
    "&",
    "a/s",
    "ab",
    "ag",
    "aps",
    "as",
    "bhd",
    "bv",
    "co",
    "cokg",
    "coltd",
    "company",
    "corp",
    "corporate",
    "corporation",
    "cv",
    "doo",
    "eu",
    "ev",
    "gmbh",
    "gmbh&co",
    "inc",
    "incorporated",
    "jsc",
    "kft",
    "kg",
    "kk",
    "limited",
    "llc",
    "llp",
    "lp",
    "ltd",
    "ltda",
    "ltdsti",
    "mbh",
    "nv",
    "oo",
    "ooo",
    "ou",
    "oy",
    "oyj",
    "plc",
    "pte",
    "pty",
    "pvt",
    "sa",
    "sarl",
    "sas",
    "sdn",
    "se",
    "sl",
    "slu",
    "spa",
    "sro",
    "srl",
    "zoo",
];

/// A company's name without what says its legal form: `Siemens AG` is `Siemens`.
pub fn tidy(name: &str) -> &str {
    let edge = |c: char| c.is_whitespace() || matches!(c, ',' | '.' | ';' | '-' | '"');
    let mut name = name.trim_matches(edge);
    loop {
        let start = name.rfind([' ', ',']).map_or(0, |at| at + 1);
        let Some(word) = name.get(start..) else { return name };
        let word: String = word.chars().filter(|c| *c != '.').flat_map(char::to_lowercase).collect();
        let rest = name.get(..start).unwrap_or_default().trim_end_matches(edge);
        if rest.is_empty() || !LEGAL_FORMS.contains(&&*word) {
            return name;
        }
        name = rest;
    }
}

/// What two spellings of one company's name have in common: letters and digits in lower case, without
/// the legal form.
pub fn key(name: &str) -> String {
    let key: String =
        tidy(name).chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    if key.is_empty() { name.to_lowercase() } else { key }
}

/// Names under which people know makers, by how the [`key`]s of their registered names begin: subsidiaries,
/// places and the words that only a register needs. Short beginnings must be the whole key.
static BRANDS: &[(&str, &str)] = &[
    ("siemenshealth", "Siemens Healthineers"),
    ("siemensbuilding", "Siemens Building Technologies"),
    ("siemens", "Siemens"),
    ("rockwellautomation", "Rockwell Automation"),
    ("allenbradley", "Rockwell Automation"),
    ("schneiderelectric", "Schneider Electric"),
    ("telemecanique", "Schneider Electric"),
    ("modicon", "Schneider Electric"),
    ("abb", "ABB"),
    ("abboy", "ABB"),
    ("abbautomation", "ABB"),
    ("wago", "WAGO"),
    ("wagokontakttechnik", "WAGO"),
    ("beckhoff", "Beckhoff"),
    ("phoenixcontact", "Phoenix Contact"),
    ("omron", "Omron"),
    ("mitsubishielectric", "Mitsubishi Electric"),
    ("hirschmann", "Hirschmann"),
    ("moxa", "Moxa"),
    ("moxatechnologies", "Moxa"),
    ("ruggedcom", "Siemens"),
    ("hmsindustrialnetworks", "HMS Industrial Networks"),
    ("actl", "HMS Industrial Networks"),
    ("ewon", "HMS Industrial Networks"),
    ("johnsoncontrols", "Johnson Controls"),
    ("meinberg", "Meinberg"),
    ("schweitzerengineering", "Schweitzer Engineering Laboratories"),
    ("technicolor", "Technicolor"),
    // Its prefix is the one that the machines of VirtualBox have.
    ("pcssystemtechnik", "VirtualBox"),
    ("yokogawa", "Yokogawa"),
    ("honeywell", "Honeywell"),
    ("emerson", "Emerson"),
    ("gefanuc", "GE"),
    ("generalelectric", "GE"),
    ("ciscolinksys", "Linksys"),
    ("ciscosystems", "Cisco"),
    ("cisco", "Cisco"),
    ("juniper", "Juniper"),
    ("hewlettpackardenterprise", "HPE"),
    ("hewlettpackard", "HP"),
    ("hpinc", "HP"),
    ("dell", "Dell"),
    ("dellcomputer", "Dell"),
    ("dellemc", "Dell"),
    ("lenovo", "Lenovo"),
    ("apple", "Apple"),
    ("googlellc", "Google"),
    ("google", "Google"),
    ("nestlabs", "Nest"),
    ("amazontechnologies", "Amazon"),
    ("amazoncom", "Amazon"),
    ("microsoft", "Microsoft"),
    ("vmware", "VMware"),
    ("intelcorporate", "Intel"),
    ("intel", "Intel"),
    ("samsungelectromechanics", "Samsung"),
    ("samsungelectronics", "Samsung"),
    ("lgelectronics", "LG"),
    ("lginnotek", "LG"),
    ("sonyinteractive", "Sony"),
    ("sonycorporation", "Sony"),
    ("sonymobile", "Sony"),
    ("huawei", "Huawei"),
    ("xiaomi", "Xiaomi"),
    ("beijingxiaomi", "Xiaomi"),
    ("raspberrypi", "Raspberry Pi"),
    ("murata", "Murata"),
    ("espressif", "Espressif"),
    ("texasinstruments", "Texas Instruments"),
    ("hangzhouhikvision", "Hikvision"),
    ("hikvision", "Hikvision"),
    ("hangzhouezviz", "EZVIZ"),
    ("zhejiangdahua", "Dahua"),
    ("dahua", "Dahua"),
    ("zhejianguniview", "Uniview"),
    ("axiscommunications", "Axis Communications"),
    ("shenzhenreecam", "Reecam"),
    ("philipslighting", "Signify"),
    ("signify", "Signify"),
    ("physicalgraph", "SmartThings"),
    ("sonos", "Sonos"),
    ("roku", "Roku"),
    ("belkin", "Belkin"),
    ("dlink", "D-Link"),
    ("tplink", "TP-Link"),
    ("netgear", "Netgear"),
    ("edimax", "Edimax"),
    ("ednet", "Edimax"),
    ("avm", "AVM"),
    ("avmaudiovisuelles", "AVM"),
    ("asustek", "ASUS"),
    ("zyxel", "Zyxel"),
    ("ubiquiti", "Ubiquiti"),
    ("routerboard", "MikroTik"),
    ("mikrotik", "MikroTik"),
    ("fortinet", "Fortinet"),
    ("paloalto", "Palo Alto Networks"),
    ("seikoepson", "Epson"),
    ("brother", "Brother"),
    ("canon", "Canon"),
    ("xerox", "Xerox"),
    ("tuya", "Tuya"),
    ("hangzhoutuya", "Tuya"),
    ("yeelink", "Yeelight"),
    ("alltercorobotics", "Shelly"),
    ("allterco", "Shelly"),
    ("withings", "Withings"),
    ("panasonic", "Panasonic"),
    ("realtek", "Realtek"),
    ("lumiunited", "Aqara"),
];

/// The name under which people know a maker: `Siemens` for `Siemens Switzerland Ltd., I B T HVP`. A name
/// that is not known as another stays, without its legal form.
pub fn brand(name: &str) -> &str {
    let key = key(name);
    let known = BRANDS.iter().find(|(start, _)| begins(&key, start));
    known.map_or_else(|| tidy(name), |(_, brand)| brand)
}

/// Whether a company's [`key`] begins with one of another spelling. Short ones must be the whole key: `ge` is
/// not `geovision`.
pub(crate) fn begins(company: &str, start: &str) -> bool {
    if start.len() <= 4 { company == start } else { company.starts_with(start) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_company_agree_and_different_companies_do_not() {
        for (left, right) in [
            ("Siemens AG", "SIEMENS"),
            ("Hangzhou Hikvision Digital Technology Co.,Ltd.", "Hangzhou Hikvision Digital Technology"),
            ("Rockwell Automation, Inc.", "Rockwell Automation"),
            ("Beckhoff Automation GmbH & Co. KG", "BECKHOFF AUTOMATION"),
            ("Cisco Systems, Inc", "Cisco Systems"),
        ] {
            assert_eq!(key(left), key(right));
        }
        assert_ne!(key("Siemens AG"), key("Siemens Healthineers AG"));
        assert_eq!(tidy("AG"), "AG", "a name that is only a legal form stays");
        assert_eq!(tidy(" .,"), "");
    }

    #[test]
    fn assigned_prefixes_name_their_makers_and_the_longest_prefix_wins() {
        assert_eq!(of(MacAddr([0x00, 0x1b, 0x1b, 1, 2, 3])).map(key), Some("siemens".to_owned()));
        assert_eq!(of(MacAddr([0x00, 0x00, 0xbc, 1, 2, 3])).map(key), Some("rockwellautomation".to_owned()));
        // 70:b3:d5 is cut into 36-bit blocks; the block 70:b3:d5:71:9 is one company's.
        assert_eq!(of(MacAddr([0x70, 0xb3, 0xd5, 0x71, 0x91, 3])), Some("2M Technology"));
        // 20:85:93 is cut into 28-bit blocks.
        assert_eq!(of(MacAddr([0x20, 0x85, 0x93, 0xb1, 2, 3])), Some("IOG Products"));
        assert!(known() > 20_000);
    }

    #[test]
    fn makers_are_called_as_people_call_them() {
        for (registered, brand) in [
            ("Siemens Switzerland Ltd., I B T HVP", "Siemens"),
            ("Siemens AG", "Siemens"),
            ("Rockwell Automation/Allen-Bradley", "Rockwell Automation"),
            ("Hewlett Packard", "HP"),
            ("Zhejiang Dahua Technology Co., Ltd.", "Dahua"),
            ("Dell Inc.", "Dell"),
            ("Dellon Ltd.", "Dellon"),
            ("Unheard-of Things GmbH", "Unheard-of Things"),
        ] {
            assert_eq!(super::brand(registered), brand);
        }
    }

    #[test]
    fn addresses_that_name_nobody_have_no_vendor() {
        assert_eq!(of(MacAddr([0x02, 0x1b, 0x1b, 1, 2, 3])), None, "locally administered");
        assert_eq!(of(MacAddr::BROADCAST), None);
    }

    #[test]
    fn a_damaged_table_knows_nothing_and_does_no_harm() {
        assert!(Vendors::read(&[]).is_none());
        assert!(Vendors::read(TABLE.get(..TABLE.len() / 2).unwrap_or_default()).is_none());
    }
}
