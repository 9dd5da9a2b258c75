//! What the service types of DNS-SD (RFC 6763) and their TXT keys tell about the device that offers them.
//!
//! Service types are in IANA's registry; TXT keys are from the documents of their protocols or from what
//! devices say.

use model::{Attribute, Confidence, Role};

/// What a service type tells about who offers it.
pub(crate) struct Tells {
    /// The service's name without the underscore.
    pub(crate) service: &'static str,
    /// The kind of thing, where only such things offer it.
    pub(crate) device: Option<&'static str>,
    /// The part that it plays.
    pub(crate) role: Option<Role>,
    /// Who makes all devices that offer it.
    pub(crate) vendor: Option<&'static str>,
}

const fn tells(
    service: &'static str,
    device: Option<&'static str>,
    role: Option<Role>,
    vendor: Option<&'static str>,
) -> Tells {
    Tells { service, device, role, vendor }
}

/// What a service type tells, if it tells anything.
pub(crate) fn of(service: &[u8]) -> Option<&'static Tells> {
    TELLS.iter().find(|tells| tells.service.as_bytes().eq_ignore_ascii_case(service))
}

static TELLS: &[Tells] = &[
    tells("airplay", None, Some(Role::Media), None),
    tells("amzn-wplay", Some("media player"), Some(Role::Media), Some("Amazon")),
    tells("androidtvremote", Some("television"), Some(Role::Media), None),
    tells("androidtvremote2", Some("television"), Some(Role::Media), None),
    tells("axis-nvr", Some("network video recorder"), Some(Role::Camera), Some("Axis")),
    tells("axis-video", Some("ip camera"), Some(Role::Camera), Some("Axis")),
    tells("bond", Some("smart-home hub"), Some(Role::Hub), Some("Bond")),
    tells("bose", Some("loudspeaker"), Some(Role::Media), Some("Bose")),
    tells("dkapi", None, Some(Role::SmartDevice), Some("Daikin")),
    tells("elg", Some("lamp"), Some(Role::SmartDevice), Some("Elgato")),
    tells("esphomelib", None, Some(Role::SmartDevice), None),
    tells("ewelink", None, Some(Role::SmartDevice), Some("eWeLink")),
    tells("googlecast", None, Some(Role::Media), None),
    tells("googlezone", None, Some(Role::Media), Some("Google")),
    tells("hap", None, Some(Role::SmartDevice), None),
    tells("heos-audio", Some("loudspeaker"), Some(Role::Media), None),
    tells("home-assistant", Some("smart-home hub"), Some(Role::Hub), None),
    tells("homekit", None, Some(Role::Hub), Some("Apple")),
    tells("hue", Some("lighting bridge"), Some(Role::Hub), Some("Philips Hue")),
    tells("ipp", Some("printer"), Some(Role::Printer), None),
    tells("ipps", Some("printer"), Some(Role::Printer), None),
    tells("leap", Some("smart-home hub"), Some(Role::Hub), Some("Lutron")),
    tells("lutron", Some("smart-home hub"), Some(Role::Hub), Some("Lutron")),
    tells("matter", None, Some(Role::SmartDevice), None),
    tells("meshcop", Some("thread border router"), Some(Role::Gateway), None),
    tells("miio", None, Some(Role::SmartDevice), Some("Xiaomi")),
    tells("mqtt", None, Some(Role::Broker), None),
    tells("nanoleafapi", Some("lamp"), Some(Role::SmartDevice), Some("Nanoleaf")),
    tells("nanoleafms", Some("lamp"), Some(Role::SmartDevice), Some("Nanoleaf")),
    tells("netatmo", None, Some(Role::SmartDevice), Some("Netatmo")),
    tells("nvstream", None, Some(Role::Workstation), None),
    tells("octoprint", Some("3d printer"), Some(Role::Printer), None),
    tells("pdl-datastream", Some("printer"), Some(Role::Printer), None),
    tells("plugwise", None, Some(Role::SmartDevice), Some("Plugwise")),
    tells("printer", Some("printer"), Some(Role::Printer), None),
    tells("raop", None, Some(Role::Media), None),
    tells("roku-rcp", Some("media player"), Some(Role::Media), Some("Roku")),
    tells("samsungmsf", Some("television"), Some(Role::Media), Some("Samsung")),
    tells("scanner", Some("scanner"), Some(Role::Printer), None),
    tells("secure-mqtt", None, Some(Role::Broker), None),
    tells("shelly", None, Some(Role::SmartDevice), Some("Shelly")),
    tells("sip", None, Some(Role::Phone), None),
    tells("sonos", Some("loudspeaker"), Some(Role::Media), Some("Sonos")),
    tells("soundtouch", Some("loudspeaker"), Some(Role::Media), Some("Bose")),
    tells("spotify-connect", None, Some(Role::Media), None),
    tells("uscan", Some("scanner"), Some(Role::Printer), None),
    tells("uscans", Some("scanner"), Some(Role::Printer), None),
    tells("viziocast", Some("television"), Some(Role::Media), Some("Vizio")),
    tells("wled", Some("lamp"), Some(Role::SmartDevice), Some("WLED")),
    tells("yandexio", Some("loudspeaker"), Some(Role::Media), Some("Yandex")),
];

/// The attribute that a TXT key of a service fills, and what that is worth.
pub(crate) fn key(service: &[u8], key: &str) -> Option<(Attribute, Confidence)> {
    use Attribute as A;
    const TOLD: Confidence = Confidence::CERTAIN;
    const PASSING: Confidence = Confidence::STRONG;
    let service = service.to_ascii_lowercase();
    Some(match (service.as_slice(), key) {
        // Apple device info: the model identifier, such as MacBookPro18,3.
        (b"device-info" | b"airplay", "model") | (b"raop", "am") => (A::Model, TOLD),
        (b"airplay", "manufacturer") => (A::Vendor, TOLD),
        (b"airplay", "serialnumber") => (A::Serial, TOLD),
        (b"airplay" | b"raop", "fv") => (A::Firmware, Confidence::LIKELY),
        (b"airplay", "deviceid" | "pi") => (A::Identifier, PASSING),
        // HomeKit Accessory Protocol: md is the model name, id the pairing identifier.
        (b"hap", "md") => (A::Model, TOLD),
        (b"hap", "id") => (A::Identifier, PASSING),
        // Google Cast: md model, fn the name people gave, id a UUID.
        (b"googlecast", "md") => (A::Model, TOLD),
        (b"googlecast", "fn") => (A::Label, TOLD),
        (b"googlecast", "id") => (A::Identifier, PASSING),
        // Bonjour Printing specification: ty is make and model, product as in PostScript.
        (b"ipp" | b"ipps" | b"printer" | b"pdl-datastream" | b"scanner" | b"uscan" | b"uscans", key) => {
            match key {
                "ty" | "mdl" | "usb_mdl" => (A::Model, TOLD),
                "mfg" | "usb_mfg" => (A::Vendor, TOLD),
                "note" => (A::Location, TOLD),
                "uuid" => (A::Identifier, PASSING),
                _ => return None,
            }
        }
        (b"hue", "modelid") => (A::Model, TOLD),
        (b"hue", "bridgeid") => (A::Identifier, TOLD),
        (b"esphomelib", "version") => (A::Software, TOLD),
        (b"esphomelib", "friendly_name") => (A::Label, TOLD),
        (b"esphomelib", "project_name") => (A::Model, TOLD),
        (b"esphomelib", "project_version") => (A::Firmware, TOLD),
        (b"esphomelib", "board") => (A::Hardware, TOLD),
        (b"shelly" | b"http", "app") => (A::Model, PASSING),
        (b"shelly" | b"http", "fw_version" | "fw_id") => (A::Firmware, PASSING),
        (b"shelly", "ver") => (A::Firmware, TOLD),
        (b"nanoleafapi" | b"nanoleafms" | b"elg", "md") => (A::Model, TOLD),
        (b"nanoleafapi" | b"nanoleafms", "srcvers") => (A::Firmware, TOLD),
        (b"nanoleafapi" | b"elg", "id") => (A::Identifier, PASSING),
        (b"axis-video", "macaddress") => (A::Identifier, PASSING),
        (b"soundtouch", "model") => (A::Model, TOLD),
        (b"soundtouch", "manufacturer") => (A::Vendor, TOLD),
        (b"heos-audio", "model") => (A::Model, TOLD),
        (b"home-assistant", "location_name") => (A::Label, TOLD),
        (b"home-assistant", "version") => (A::Software, TOLD),
        (b"home-assistant" | b"bond", "uuid" | "bondid") => (A::Identifier, PASSING),
        (b"meshcop", "vn") => (A::Vendor, TOLD),
        (b"meshcop", "mn") => (A::Model, TOLD),
        (b"samsungmsf", "fn") => (A::Label, TOLD),
        (b"samsungmsf", "md") => (A::Model, TOLD),
        // Keys that mean the same wherever they are used.
        (_, "manufacturer" | "vendor") => (A::Vendor, PASSING),
        (_, "model" | "modelname" | "model_name" | "md" | "product_name") => (A::Model, PASSING),
        (_, "fv" | "fw" | "fwversion" | "fw_version" | "firmware" | "firmwareversion" | "swversion") => {
            (A::Firmware, PASSING)
        }
        (_, "serial" | "serialnumber" | "serial_number" | "sn") => (A::Serial, PASSING),
        (_, "friendlyname" | "friendly_name") => (A::Label, PASSING),
        _ => return None,
    })
}

/// The product whose version a service's TXT record tells.
pub(crate) fn product(service: &[u8]) -> Option<&'static str> {
    match service.to_ascii_lowercase().as_slice() {
        b"esphomelib" => Some("ESPHome"),
        b"home-assistant" => Some("Home Assistant"),
        _ => None,
    }
}

/// HomeKit accessory categories (HomeKit Accessory Protocol, table of accessory category identifiers).
pub(crate) fn homekit_category(number: &str) -> Option<(&'static str, Role)> {
    Some(match number {
        "2" => ("smart-home hub", Role::Hub),
        "3" => ("fan", Role::SmartDevice),
        "4" => ("garage door opener", Role::SmartDevice),
        "5" => ("lamp", Role::SmartDevice),
        "6" => ("door lock", Role::SmartDevice),
        "7" => ("smart plug", Role::SmartDevice),
        "8" => ("switch", Role::SmartDevice),
        "9" => ("thermostat", Role::SmartDevice),
        "10" => ("sensor", Role::SmartDevice),
        "11" => ("security system", Role::SmartDevice),
        "12" => ("door", Role::SmartDevice),
        "13" => ("window", Role::SmartDevice),
        "14" => ("window covering", Role::SmartDevice),
        "15" => ("programmable switch", Role::SmartDevice),
        "16" => ("range extender", Role::AccessPoint),
        "17" => ("ip camera", Role::Camera),
        "18" => ("video doorbell", Role::Camera),
        "19" => ("air purifier", Role::SmartDevice),
        "20" => ("heater", Role::SmartDevice),
        "21" => ("air conditioner", Role::SmartDevice),
        "22" => ("humidifier", Role::SmartDevice),
        "23" => ("dehumidifier", Role::SmartDevice),
        "26" => ("loudspeaker", Role::Media),
        "28" => ("sprinkler", Role::SmartDevice),
        "31" => ("television", Role::Media),
        "33" => ("router", Role::Router),
        _ => return None,
    })
}

/// The kind of thing that an Apple model identifier names, and its part.
pub(crate) fn apple_model(model: &str) -> Option<(&'static str, Role)> {
    const KINDS: &[(&str, &str, Role)] = &[
        ("AppleTV", "media player", Role::Media),
        ("AudioAccessory", "loudspeaker", Role::Media),
        ("AirPort", "wireless access point", Role::AccessPoint),
        ("TimeCapsule", "wireless access point", Role::AccessPoint),
        ("MacBook", "portable computer", Role::Workstation),
        ("Macmini", "computer", Role::Workstation),
        ("MacPro", "computer", Role::Workstation),
        ("iMac", "computer", Role::Workstation),
        ("Mac", "computer", Role::Workstation),
        ("iPhone", "telephone", Role::Mobile),
        ("iPad", "tablet", Role::Mobile),
        ("iPod", "media player", Role::Mobile),
    ];
    let (_, device, role) = KINDS.iter().find(|(prefix, ..)| {
        // An identifier is the family, then digits with a comma: Mac14,2.
        model.strip_prefix(prefix).is_some_and(|rest| {
            rest.contains(',') && rest.chars().any(|c| c.is_ascii_digit()) && !rest.contains(' ')
        })
    })?;
    Some((device, *role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_listed_once_in_order() {
        assert!(TELLS.is_sorted_by(|one, two| one.service < two.service));
        assert_eq!(of(b"HAP").and_then(|tells| tells.role), Some(Role::SmartDevice));
        assert!(of(b"http").is_none());
    }

    #[test]
    fn apple_models_tell_the_kind() {
        assert_eq!(apple_model("AppleTV3,2"), Some(("media player", Role::Media)));
        assert_eq!(apple_model("Mac14,2"), Some(("computer", Role::Workstation)));
        assert_eq!(apple_model("Macaroni"), None);
        assert_eq!(apple_model("Xserve"), None);
    }
}
