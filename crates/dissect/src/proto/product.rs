//! What well-known product names tell about a device: in `Server` and `User-Agent` fields, realms,
//! banners and device descriptions.

use memchr::memmem;
use model::{Attribute, Confidence, Role, Side};

use super::Emit;
use super::text::{clean, find, has, is};

/// Bytes of a product text that are looked at.
const MAX_PRODUCT: usize = 256;

/// A piece of a product text in lower case, who makes such products, and which part they play.
type Known = (&'static str, Option<&'static str>, Option<Role>);

/// Names that tell the maker or the part a device plays. The first that fits decides.
const KNOWN: &[Known] = &[
    ("hikvision", Some("Hikvision"), Some(Role::Camera)),
    ("dnvrs-webs", Some("Hikvision"), Some(Role::Camera)),
    ("app-webs/", Some("Hikvision"), Some(Role::Camera)),
    ("dvrdvs-webs", Some("Hikvision"), Some(Role::Camera)),
    ("dahua", Some("Dahua"), Some(Role::Camera)),
    ("uc-httpd", Some("Xiongmai"), Some(Role::Camera)),
    ("netwave ip camera", Some("Foscam"), Some(Role::Camera)),
    ("foscam", Some("Foscam"), Some(Role::Camera)),
    ("axis_accc8e", Some("Axis Communications"), Some(Role::Camera)),
    ("axis_00408c", Some("Axis Communications"), Some(Role::Camera)),
    ("axis_b8a44f", Some("Axis Communications"), Some(Role::Camera)),
    ("avtech", Some("AVTECH"), Some(Role::Camera)),
    ("vivotek", Some("VIVOTEK"), Some(Role::Camera)),
    ("reolink", Some("Reolink"), Some(Role::Camera)),
    ("edimax", Some("Edimax"), None),
    ("d-link corporation internet camera", Some("D-Link"), Some(Role::Camera)),
    ("ip camera", None, Some(Role::Camera)),
    ("ipcamera", None, Some(Role::Camera)),
    ("ip-camera", None, Some(Role::Camera)),
    ("network camera", None, Some(Role::Camera)),
    ("netcam", None, Some(Role::Camera)),
    ("routeros", Some("MikroTik"), Some(Role::Router)),
    ("mikrotik", Some("MikroTik"), Some(Role::Router)),
    ("fritz!box", Some("AVM"), Some(Role::Router)),
    ("netgear", Some("NETGEAR"), None),
    ("tp-link", Some("TP-Link"), None),
    ("d-link", Some("D-Link"), None),
    ("linksys", Some("Linksys"), None),
    ("zyxel", Some("Zyxel"), None),
    ("draytek", Some("DrayTek"), Some(Role::Router)),
    ("vigor", Some("DrayTek"), Some(Role::Router)),
    ("openwrt", None, Some(Role::Router)),
    ("dd-wrt", None, Some(Role::Router)),
    ("ubiquiti", Some("Ubiquiti"), None),
    ("synology", Some("Synology"), Some(Role::Server)),
    ("qnap", Some("QNAP"), Some(Role::Server)),
    ("hp http server", Some("HP"), Some(Role::Printer)),
    ("epson", Some("Epson"), Some(Role::Printer)),
    ("canon http server", Some("Canon"), Some(Role::Printer)),
    ("lexmark", Some("Lexmark"), Some(Role::Printer)),
    ("jetdirect", Some("HP"), Some(Role::Printer)),
    ("sonos", Some("Sonos"), Some(Role::Media)),
    ("roku", Some("Roku"), Some(Role::Media)),
    ("crkey", Some("Google"), Some(Role::Media)),
    ("smart-tv", None, Some(Role::Media)),
    ("smarttv", None, Some(Role::Media)),
    ("web0s", Some("LG"), Some(Role::Media)),
    ("playstation", Some("Sony"), Some(Role::Media)),
    ("ipbridge", Some("Philips"), Some(Role::Hub)),
    ("philips hue", Some("Philips"), Some(Role::Hub)),
    ("belkin", Some("Belkin"), None),
    ("wemo", Some("Belkin"), Some(Role::SmartDevice)),
    ("tasmota", None, Some(Role::SmartDevice)),
    ("shelly", Some("Shelly"), Some(Role::SmartDevice)),
    ("esp8266", Some("Espressif"), Some(Role::SmartDevice)),
    ("esp32", Some("Espressif"), Some(Role::SmartDevice)),
    ("simatic", Some("Siemens"), Some(Role::Plc)),
    ("siemens", Some("Siemens"), None),
    ("a-b www", Some("Rockwell Automation"), None),
    ("rockwell", Some("Rockwell Automation"), None),
    ("schneider", Some("Schneider Electric"), None),
    ("niagara web server", Some("Tridium"), Some(Role::BuildingController)),
    ("wago", Some("WAGO"), None),
    ("moxa", Some("Moxa"), None),
    ("lantronix", Some("Lantronix"), Some(Role::Gateway)),
    ("yealink", Some("Yealink"), Some(Role::Phone)),
    ("polycom", Some("Polycom"), Some(Role::Phone)),
    ("grandstream", Some("Grandstream"), Some(Role::Phone)),
    ("snom", Some("Snom"), Some(Role::Phone)),
    ("cisco-cp", Some("Cisco"), Some(Role::Phone)),
    ("cisco-sip", Some("Cisco"), None),
    ("huawei", Some("Huawei"), None),
    ("zte", Some("ZTE"), None),
];

/// Tells the maker and the part played, where a known product name stands in `text`.
pub(crate) fn maker(text: &[u8], side: Side, source: &'static str, out: &mut Emit<'_>) {
    let Some((_, vendor, role)) = known(text.get(..MAX_PRODUCT).unwrap_or(text)) else { return };
    if let Some(vendor) = vendor {
        out.fact(side, Attribute::Vendor, vendor, source, Confidence::LIKELY);
    }
    if let Some(role) = role {
        out.role(side, *role, source, Confidence::LIKELY);
    }
}

/// The first entry of [`KNOWN`] whose name stands in `text` at the beginning of a word.
fn known(text: &[u8]) -> Option<&'static Known> {
    let mut in_word = false;
    let mut best = KNOWN.len();
    for (at, byte) in text.iter().enumerate() {
        let begins = byte.is_ascii_alphanumeric() && !in_word;
        in_word = byte.is_ascii_alphanumeric();
        if !begins {
            continue;
        }
        let first = byte.to_ascii_lowercase();
        let fits = |(name, _, _): &Known| {
            name.as_bytes().first() == Some(&first)
                && text[at..].get(..name.len()).is_some_and(|word| is(word, name))
        };
        best = KNOWN[..best].iter().position(fits).unwrap_or(best);
    }
    KNOWN.get(best)
}

/// Tells what a server says of itself (RFC 9110 clause 10.2.4): its software, and with it sometimes
/// the operating system and the maker.
pub(crate) fn server(text: &[u8], side: Side, source: &'static str, out: &mut Emit<'_>) {
    out.fact(side, Attribute::Software, clean(text, MAX_PRODUCT), source, Confidence::STRONG);
    if let Some(system) = system(text) {
        out.fact(side, Attribute::OperatingSystem, system, source, Confidence::LIKELY);
    }
    maker(text, side, source, out);
}

/// Tells what a client says of itself (RFC 9110 clause 10.1.5): operating system, model, program.
pub(crate) fn agent(text: &[u8], side: Side, source: &'static str, out: &mut Emit<'_>) {
    let text = text.get(..MAX_PRODUCT).unwrap_or(text);
    if let Some(system) = system(text) {
        out.fact(side, Attribute::OperatingSystem, system, source, Confidence::LIKELY);
    }
    if let Some(model) = android_model(text) {
        out.fact(side, Attribute::Model, clean(model, 64), source, Confidence::LIKELY);
        out.role(side, Role::Mobile, source, Confidence::HINT);
    }
    for (name, role) in [("iPhone", Role::Mobile), ("iPad", Role::Mobile), ("Macintosh", Role::Workstation)] {
        if memmem::find(text, name.as_bytes()).is_some() {
            out.fact(side, Attribute::Vendor, "Apple", source, Confidence::LIKELY);
            out.role(side, role, source, Confidence::LIKELY);
            if role == Role::Mobile {
                out.fact(side, Attribute::Model, name, source, Confidence::LIKELY);
            }
            break;
        }
    }
    if has(text, "windows nt") && has(text, "mozilla/") {
        out.role(side, Role::Workstation, source, Confidence::HINT);
    }
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    if !has(word, "mozilla/") && word.contains(&b'/') {
        out.fact(side, Attribute::Software, clean(word, 64), source, Confidence::LIKELY);
    }
    maker(text, side, source, out);
}

/// A text in lower case, as far as it is looked at.
struct Lowered {
    bytes: [u8; MAX_PRODUCT],
    length: usize,
}

impl Lowered {
    fn new(text: &[u8]) -> Self {
        let length = text.len().min(MAX_PRODUCT);
        let mut bytes = [0; MAX_PRODUCT];
        bytes[..length].copy_from_slice(&text[..length]);
        bytes[..length].make_ascii_lowercase();
        Self { bytes, length }
    }

    /// What stands after `mark`, which is in lower case.
    fn after(&self, mark: &str) -> Option<&[u8]> {
        let text = &self.bytes[..self.length];
        memmem::find(text, mark.as_bytes()).map(|at| &text[at + mark.len()..])
    }

    fn has(&self, mark: &str) -> bool {
        self.after(mark).is_some()
    }
}

/// The operating system that a product text names, with its version where it stands there.
pub(crate) fn system(text: &[u8]) -> Option<String> {
    let text = Lowered::new(text);
    let after = |mark: &str| text.after(mark);
    if let Some(rest) = after("android ") {
        return Some(versioned("Android", rest));
    }
    // A library's own version may follow here: "ksoap2-android/2.6.0".
    if text.has("android") {
        return Some("Android".into());
    }
    if let Some(rest) = after("iphone os").or_else(|| after("cpu os")) {
        return Some(versioned("iOS", rest));
    }
    if let Some(rest) = after("mac os x") {
        return Some(versioned("macOS", rest));
    }
    if let Some(rest) = after("windows nt ").or_else(|| after("microsoft-windows/")) {
        // Names of the kernel versions that Windows sends.
        let name = match version(rest).as_str() {
            "5.1" => "Windows XP",
            "5.2" => "Windows Server 2003",
            "6.0" => "Windows Vista",
            "6.1" | "6.1.7601" => "Windows 7",
            "6.2" => "Windows 8",
            "6.3" => "Windows 8.1",
            other if other.starts_with("10.0") => "Windows 10",
            _ => "Windows",
        };
        return Some(name.into());
    }
    if text.has("microsoft-iis") || text.has("microsoft-httpapi") || text.has("(win32)") {
        return Some("Windows".into());
    }
    if let Some(rest) = after("tizen") {
        return Some(versioned("Tizen", rest));
    }
    if text.has("web0s") {
        return Some("webOS".into());
    }
    if let Some(rest) = after("darwin/") {
        return Some(versioned("Darwin", rest));
    }
    if text.has("vxworks") {
        return Some("VxWorks".into());
    }
    if let Some(rest) = after("routeros") {
        return Some(versioned("RouterOS", rest));
    }
    const DISTRIBUTIONS: &[(&str, &str)] = &[
        ("openwrt", "OpenWrt"),
        ("ubuntu", "Ubuntu"),
        ("debian", "Debian"),
        ("centos", "CentOS"),
        ("freebsd", "FreeBSD"),
        ("openbsd", "OpenBSD"),
        ("netbsd", "NetBSD"),
    ];
    if let Some((_, name)) = DISTRIBUTIONS.iter().find(|(mark, _)| text.has(mark)) {
        return Some((*name).into());
    }
    // "Linux/2.6.18 UPnP/1.0", "Linux 3.4" but also "linux-gnu", "X11; Linux x86_64".
    let rest = after("linux")?;
    Some(versioned("Linux", rest.strip_prefix(b"/").unwrap_or(rest)))
}

fn versioned(name: &str, rest: &[u8]) -> String {
    let version = version(rest.trim_ascii_start());
    if version.is_empty() { name.into() } else { format!("{name} {version}") }
}

/// A version at the beginning of `rest`: digits, dots and underscores, which Apple writes for dots.
fn version(rest: &[u8]) -> String {
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    let whole: String = rest
        .iter()
        .take(16)
        .map_while(|byte| match byte {
            b'0'..=b'9' | b'.' => Some(char::from(*byte)),
            b'_' => Some('.'),
            _ => None,
        })
        .collect();
    // "x86_64" and the like: a number that runs on into letters is no version.
    whole.trim_end_matches('.').into()
}

/// The model that Android names in its agent text: `(Linux; U; Android 9; MODEL Build/…)`.
fn android_model(text: &[u8]) -> Option<&[u8]> {
    let rest = &text[find(text, "android ")?..];
    let comment = &rest[..rest.iter().position(|byte| *byte == b')')?];
    let last = comment.rsplit(|byte| *byte == b';').find(|part| !part.trim_ascii().starts_with(b"wv"))?;
    let end = find(last, " build/").unwrap_or(last.len());
    let model = last[..end].trim_ascii();
    // Browsers that hide the model send "K"; without a model the comment ends with the version.
    let hidden =
        model.len() < 2 || has(model, "android") || model.starts_with(b"rv:") || has(model, "mobile");
    (!hidden).then_some(model)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_read_from_agents_and_servers() {
        for (text, told) in [
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36", Some("Windows 10")),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 13_3_1 like Mac OS X)", Some("iOS 13.3.1")),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", Some("macOS 10.15.7")),
            ("Dalvik/2.1.0 (Linux; U; Android 9; SM-G960F Build/PPR1)", Some("Android 9")),
            ("Linux/2.6.18_pro500 UPnP/1.0 MiniUPnPd/1.5", Some("Linux 2.6.18")),
            ("Mozilla/5.0 (X11; Linux x86_64)", Some("Linux")),
            ("Wget/1.12 (linux-gnu)", Some("Linux")),
            ("Apache/2.4.6 (CentOS)", Some("CentOS")),
            ("Microsoft-IIS/10.0", Some("Windows")),
            ("Boa/0.94.13", None),
        ] {
            assert_eq!(system(text.as_bytes()).as_deref(), told, "{text}");
        }
    }

    #[test]
    fn android_names_its_model_unless_it_hides_it() {
        for (text, told) in [
            ("Dalvik/2.1.0 (Linux; U; Android 9; SM-G960F Build/PPR1)", Some("SM-G960F")),
            ("Mozilla/5.0 (Linux; Android 8.0; Nexus 5X Build/OPR4; wv) AppleWebKit", Some("Nexus 5X")),
            ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit", None),
            ("Mozilla/5.0 (Android 9; Mobile; rv:68.0)", None),
            ("Mozilla/5.0 (Linux; Android 10)", None),
        ] {
            assert_eq!(android_model(text.as_bytes()), told.map(str::as_bytes), "{text}");
        }
    }
}
