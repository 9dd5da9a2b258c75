//! What a host's name tells about the host.
//!
//! Factory names follow patterns: a model, a vendor's prefix before part of the MAC address, an operating
//! system's default. People can choose any name, so this is never more than a likelihood.

use model::Attribute::{self, Model, OperatingSystem as Os, Type, Vendor};
use model::{Confidence, Host, Role};

use super::Emit;
use super::show::after;

/// What names with one beginning tell.
struct Pattern {
    prefix: &'static str,
    rest: Rest,
    facts: &'static [(Attribute, &'static str)],
    role: Option<Role>,
}

/// What must follow the beginning of a name.
#[derive(Clone, Copy)]
enum Rest {
    /// Anything.
    Any,
    /// This many hexadecimal digits or more, and nothing else.
    Hex(usize),
    /// This many capital letters or digits, and nothing else.
    Capitals(usize),
    /// A digit first.
    Digit,
    /// Nothing, or something that does not continue the word.
    Word,
}

impl Rest {
    fn fits(self, rest: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Hex(least) => rest.len() >= least && rest.bytes().all(|byte| byte.is_ascii_hexdigit()),
            Self::Capitals(count) => {
                rest.len() == count
                    && rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            }
            Self::Digit => rest.starts_with(|c: char| c.is_ascii_digit()),
            Self::Word => !rest.starts_with(|c: char| c.is_ascii_lowercase()),
        }
    }
}

const fn pattern(
    prefix: &'static str,
    rest: Rest,
    facts: &'static [(Attribute, &'static str)],
    role: Option<Role>,
) -> Pattern {
    Pattern { prefix, rest, facts, role }
}

/// The value of an attribute that is the name itself: some devices are called what they are.
const ITSELF: &str = "";

static PATTERNS: &[Pattern] = &[
    pattern("amazon-", Rest::Hex(8), &[(Vendor, "Amazon")], None),
    pattern("android-", Rest::Hex(8), &[(Os, "Android")], Some(Role::Mobile)),
    pattern("axis-", Rest::Hex(12), &[(Vendor, "Axis"), (Type, "ip camera")], Some(Role::Camera)),
    pattern("BRN", Rest::Hex(12), &[(Vendor, "Brother"), (Type, "printer")], Some(Role::Printer)),
    pattern("BRW", Rest::Hex(12), &[(Vendor, "Brother"), (Type, "printer")], Some(Role::Printer)),
    pattern("Chromecast", Rest::Word, &[(Vendor, "Google"), (Type, "media player")], Some(Role::Media)),
    pattern(
        "DCH-",
        Rest::Any,
        &[(Model, ITSELF), (Vendor, "D-Link"), (Type, "smart-home sensor")],
        Some(Role::SmartDevice),
    ),
    pattern(
        "DCS-",
        Rest::Digit,
        &[(Model, ITSELF), (Vendor, "D-Link"), (Type, "ip camera")],
        Some(Role::Camera),
    ),
    pattern(
        "DSP-W",
        Rest::Digit,
        &[(Model, ITSELF), (Vendor, "D-Link"), (Type, "smart plug")],
        Some(Role::SmartDevice),
    ),
    pattern("DESKTOP-", Rest::Capitals(7), &[(Os, "Windows")], Some(Role::Workstation)),
    pattern("EPSON", Rest::Hex(6), &[(Vendor, "Epson"), (Type, "printer")], Some(Role::Printer)),
    pattern("ESP_", Rest::Hex(6), &[(Vendor, "Espressif")], Some(Role::SmartDevice)),
    pattern("ESP-", Rest::Hex(6), &[(Vendor, "Espressif")], Some(Role::SmartDevice)),
    pattern("espressif", Rest::Word, &[(Vendor, "Espressif")], Some(Role::SmartDevice)),
    pattern("fritz.box", Rest::Word, &[(Vendor, "AVM"), (Type, "router")], Some(Role::Router)),
    pattern("GainSpan", Rest::Any, &[(Vendor, "GainSpan")], Some(Role::SmartDevice)),
    pattern("Galaxy-", Rest::Any, &[(Vendor, "Samsung"), (Os, "Android")], Some(Role::Mobile)),
    pattern("Google-Home", Rest::Word, &[(Vendor, "Google"), (Type, "loudspeaker")], Some(Role::Media)),
    pattern("HomePod", Rest::Word, &[(Vendor, "Apple"), (Type, "loudspeaker")], Some(Role::Media)),
    pattern(
        "HS100",
        Rest::Word,
        &[(Model, ITSELF), (Vendor, "TP-Link"), (Type, "smart plug")],
        Some(Role::SmartDevice),
    ),
    pattern(
        "HS110",
        Rest::Word,
        &[(Model, ITSELF), (Vendor, "TP-Link"), (Type, "smart plug")],
        Some(Role::SmartDevice),
    ),
    pattern("iPad", Rest::Word, &[(Vendor, "Apple"), (Type, "tablet"), (Os, "iPadOS")], Some(Role::Mobile)),
    pattern("iPhone", Rest::Word, &[(Vendor, "Apple"), (Type, "telephone"), (Os, "iOS")], Some(Role::Mobile)),
    pattern(
        "KP115",
        Rest::Word,
        &[(Model, ITSELF), (Vendor, "TP-Link"), (Type, "smart plug")],
        Some(Role::SmartDevice),
    ),
    pattern("LAPTOP-", Rest::Capitals(8), &[(Os, "Windows")], Some(Role::Workstation)),
    pattern(
        "LB1",
        Rest::Digit,
        &[(Model, ITSELF), (Vendor, "TP-Link"), (Type, "lamp")],
        Some(Role::SmartDevice),
    ),
    pattern("lwip0", Rest::Word, &[(Os, "lwIP")], None),
    pattern("MacBook", Rest::Any, &[(Vendor, "Apple"), (Os, "macOS")], Some(Role::Workstation)),
    pattern("NPI", Rest::Hex(6), &[(Vendor, "HP"), (Type, "printer")], Some(Role::Printer)),
    pattern(
        "Philips-hue",
        Rest::Word,
        &[(Vendor, "Philips Hue"), (Type, "lighting bridge")],
        Some(Role::Hub),
    ),
    pattern("Pixel-", Rest::Any, &[(Vendor, "Google"), (Os, "Android")], Some(Role::Mobile)),
    pattern("PS4-", Rest::Any, &[(Vendor, "Sony"), (Type, "game console")], Some(Role::Media)),
    pattern("PS5-", Rest::Any, &[(Vendor, "Sony"), (Type, "game console")], Some(Role::Media)),
    pattern("raspberrypi", Rest::Any, &[(Vendor, "Raspberry Pi"), (Os, "Linux")], None),
    pattern("Ring-", Rest::Hex(6), &[(Vendor, "Ring")], Some(Role::Camera)),
    pattern("Roku", Rest::Word, &[(Vendor, "Roku"), (Type, "media player")], Some(Role::Media)),
    pattern("SEP", Rest::Hex(12), &[(Vendor, "Cisco"), (Type, "telephone")], Some(Role::Phone)),
    pattern("shelly", Rest::Any, &[(Vendor, "Shelly")], Some(Role::SmartDevice)),
    pattern("SonosZP", Rest::Word, &[(Vendor, "Sonos"), (Type, "loudspeaker")], Some(Role::Media)),
    pattern("tasmota", Rest::Word, &[(Attribute::Software, "Tasmota")], Some(Role::SmartDevice)),
    pattern(
        "TL-SG",
        Rest::Digit,
        &[(Model, ITSELF), (Vendor, "TP-Link"), (Type, "switch")],
        Some(Role::Switch),
    ),
    pattern("wled-", Rest::Any, &[(Vendor, "WLED"), (Type, "lamp")], Some(Role::SmartDevice)),
    pattern("wiz_", Rest::Hex(6), &[(Vendor, "WiZ"), (Type, "lamp")], Some(Role::SmartDevice)),
    pattern("XboxOne", Rest::Word, &[(Vendor, "Microsoft"), (Type, "game console")], Some(Role::Media)),
    pattern("yeelink-", Rest::Any, &[(Vendor, "Yeelight"), (Type, "lamp")], Some(Role::SmartDevice)),
];

/// Tells `name` as the host's name, and what it gives away.
pub(crate) fn tell(
    about: Host,
    name: &str,
    source: &'static str,
    confidence: Confidence,
    out: &mut Emit<'_>,
) {
    if name.is_empty() || name.eq_ignore_ascii_case("localhost") {
        return;
    }
    out.fact_about(about, Attribute::Hostname, name, source, confidence);
    for pattern in PATTERNS {
        if after(name, pattern.prefix).is_some_and(|rest| pattern.rest.fits(rest)) {
            for (attribute, value) in pattern.facts {
                let value = if *value == ITSELF { name } else { value };
                out.fact_about(about, *attribute, value, source, GUESS);
            }
            if let Some(role) = pattern.role {
                out.fact_about(about, Attribute::Role, role.name(), source, GUESS);
            }
        }
    }
}

/// What a guess from a name is worth: more than a habit, less than a vendor's own word.
const GUESS: Confidence = Confidence::percent(45);

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(name: &str) -> Vec<&'static str> {
        PATTERNS
            .iter()
            .filter(|pattern| after(name, pattern.prefix).is_some_and(|rest| pattern.rest.fits(rest)))
            .map(|pattern| pattern.prefix)
            .collect()
    }

    #[test]
    fn factory_names_fit_one_pattern_and_chosen_names_none() {
        assert_eq!(matches("ESP_06D902"), ["ESP_"]);
        assert_eq!(matches("HS110(EU)"), ["HS110"]);
        assert_eq!(matches("DESKTOP-4K2J9QX"), ["DESKTOP-"]);
        assert_eq!(matches("android-1f3c5b7a9d2e4f60"), ["android-"]);
        for chosen in ["september", "desktop-support", "rokus-cafe", "brian", "npieters", "esp_lab", "lb1"] {
            assert!(matches(chosen).is_empty(), "{chosen}");
        }
    }
}
