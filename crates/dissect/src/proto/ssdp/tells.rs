//! What UPnP device types, search targets and product names tell about a device.

use std::borrow::Cow;

use model::Role;

use crate::proto::show::starts_with;

/// What a target tells about who answers to it.
pub(super) struct Told {
    /// What it begins with.
    prefix: &'static str,
    /// The kind of thing.
    pub(super) device: Option<&'static str>,
    /// Who makes all such things.
    pub(super) vendor: Option<&'static str>,
    /// The part that it plays.
    pub(super) role: Option<Role>,
}

const fn told(
    prefix: &'static str,
    device: Option<&'static str>,
    vendor: Option<&'static str>,
    role: Option<Role>,
) -> Told {
    Told { prefix, device, vendor, role }
}

static TARGETS: &[Told] = &[
    told("roku:ecp", Some("media player"), Some("Roku"), Some(Role::Media)),
    told("urn:Belkin:device:", None, Some("Belkin"), Some(Role::SmartDevice)),
    told("urn:Belkin:device:bridge:", Some("smart-home hub"), None, Some(Role::Hub)),
    told("urn:Belkin:device:controllee:", Some("smart plug"), None, None),
    told("urn:Belkin:device:insight:", Some("smart plug"), None, None),
    told("urn:Belkin:device:lightswitch:", Some("light switch"), None, None),
    told("urn:Belkin:device:sensor:", Some("sensor"), None, None),
    told("urn:Belkin:device:NetCamSensor:", Some("ip camera"), None, Some(Role::Camera)),
    told("urn:dial-multiscreen-org:", None, None, Some(Role::Media)),
    told("urn:axis-com:service:", None, Some("Axis"), Some(Role::Camera)),
    told("urn:lge-com:service:", Some("television"), Some("LG"), Some(Role::Media)),
    told("urn:panasonic-com:device:", None, Some("Panasonic"), None),
    told("urn:samsung.com:device:", Some("television"), Some("Samsung"), Some(Role::Media)),
    told("urn:schemas-sony-com:", None, Some("Sony"), None),
    told("urn:schemas-nds-com:device:", Some("set-top box"), None, Some(Role::Media)),
    told("urn:schemas-tencent-com:", None, Some("Tencent"), None),
    told("urn:schemas-upnp-org:device:BinaryLight:", Some("lamp"), None, Some(Role::SmartDevice)),
    told("urn:schemas-upnp-org:device:DigitalSecurityCamera:", Some("ip camera"), None, Some(Role::Camera)),
    told("urn:schemas-upnp-org:device:DimmableLight:", Some("lamp"), None, Some(Role::SmartDevice)),
    told("urn:schemas-upnp-org:device:HVAC_", Some("thermostat"), None, Some(Role::SmartDevice)),
    told("urn:schemas-upnp-org:device:InternetGatewayDevice:", Some("router"), None, Some(Role::Router)),
    told("urn:schemas-upnp-org:device:MediaRenderer:", None, None, Some(Role::Media)),
    told("urn:schemas-upnp-org:device:MediaServer:", None, None, Some(Role::Server)),
    told("urn:schemas-upnp-org:device:Printer:", Some("printer"), None, Some(Role::Printer)),
    told("urn:schemas-upnp-org:device:Scanner:", Some("scanner"), None, Some(Role::Printer)),
    told(
        "urn:schemas-upnp-org:device:WLANAccessPointDevice:",
        Some("wireless access point"),
        None,
        Some(Role::AccessPoint),
    ),
    told("urn:schemas-upnp-org:device:ZonePlayer:", Some("loudspeaker"), Some("Sonos"), Some(Role::Media)),
    told("urn:schemas-wifialliance-org:device:WFADevice:", None, None, None),
    told("urn:smartspeaker-audio:", Some("loudspeaker"), None, Some(Role::Media)),
];

/// What a notification type or search target tells; several entries may fit.
pub(super) fn of_target(target: &str) -> impl Iterator<Item = &'static Told> {
    TARGETS.iter().filter(move |told| starts_with(target, told.prefix))
}

/// Beginnings of product names that name their maker.
pub(super) static PRODUCT_VENDORS: &[(&str, &str)] = &[
    ("AVM FRITZ!Box", "AVM"),
    ("FRITZ!Box", "AVM"),
    ("IpBridge", "Philips Hue"),
    ("LGE", "LG"),
    ("Roku", "Roku"),
    ("Samsung", "Samsung"),
    ("SEC_HHP", "Samsung"),
    ("Sonos", "Sonos"),
    ("TP-LINK", "TP-Link"),
    ("WebOS", "LG"),
    ("NETGEAR", "Netgear"),
    ("ASUS", "ASUS"),
    ("Synology", "Synology"),
    ("HDHomeRun", "SiliconDust"),
    ("Hikvision", "Hikvision"),
    ("AXIS", "Axis"),
];

/// The operating system that the first product of a SERVER line names, in the usual words.
pub(super) fn operating_system(server: &str) -> Option<Cow<'_, str>> {
    let first = server.split([' ', ',']).next()?;
    let (name, version) = first.split_once('/').unwrap_or((first, ""));
    // Chrome and some others put the name of the system last or without a version.
    let name = if starts_with(server, "Google Chrome/") { server.rsplit(' ').next()? } else { name };
    let version = if starts_with(server, "Google Chrome/") { "" } else { version };
    let known = [
        ("Linux", "Linux"),
        ("Windows", "Windows"),
        ("WindowsNT", "Windows"),
        ("Microsoft-Windows", "Windows"),
        ("Microsoft-Windows-NT", "Windows"),
        ("FreeBSD", "FreeBSD"),
        ("NetBSD", "NetBSD"),
        ("OpenBSD", "OpenBSD"),
        ("Darwin", "Darwin"),
        ("Mac", "macOS"),
        ("macOS", "macOS"),
        ("VxWorks", "VxWorks"),
        ("FreeRTOS", "FreeRTOS"),
        ("Android", "Android"),
        ("webOS", "webOS"),
        ("Tizen", "Tizen"),
        ("eCos", "eCos"),
        ("QNX", "QNX"),
        ("ThreadX", "ThreadX"),
        ("uC-OS", "uC/OS"),
    ];
    let (_, system) = known.iter().find(|(word, _)| word.eq_ignore_ascii_case(name))?;
    let version = version.trim_matches([';', ',']);
    if version.is_empty() || !version.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(Cow::Borrowed(system));
    }
    Some(Cow::Owned(format!("{system} {version}")))
}

/// Whether what follows the version of UPnP names a product of its own and not a common library's
/// placeholder.
pub(super) fn is_product(product: &str) -> bool {
    let letters = product.chars().filter(|c| c.is_alphabetic()).count();
    letters >= 3 && !starts_with(product, "UPnP")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_lines_name_the_operating_system() {
        let system = |line| operating_system(line).map(Cow::into_owned);
        assert_eq!(system("Linux/3.14.0 UPnP/1.0 IpBridge/1.26.0"), Some("Linux 3.14.0".into()));
        assert_eq!(system("Linux, UPnP/1.0, Private UPnP SDK"), Some("Linux".into()));
        assert_eq!(system("Google Chrome/96.0.4664.110 Windows"), Some("Windows".into()));
        assert_eq!(system("FRITZ!Box 7490 UPnP/1.0 AVM"), None);
    }
}
