//! What kind of thing a device is, told from its signs.
//!
//! One list. Each rule names the signs that must all be there, the role (and perhaps the type of thing)
//! that follows, how sure that is, and why. A rule's conclusion is evidence like any other, under the
//! source `rule.<id>`; what devices say of themselves stands beside it and usually above it.

use std::sync::OnceLock;

use model::{Attribute, Confidence, Name, OperationKind, Role, Transport};

use crate::{evidence, vendor};

/// Something about a device from which its kind can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It answered as the server of one of these protocols.
    Offers(&'static [&'static str]),
    /// It answered as a server on one of these TCP ports.
    OffersTcp(&'static [u16]),
    /// It was the client of one of these protocols, or spoke it to a group.
    Uses(&'static [&'static str]),
    /// Its vendor's name, in lower case and without spaces, begins with one of these.
    Vendor(&'static [&'static str]),
    /// Its host name, in lower case, begins with one of these.
    Named(&'static [&'static str]),
    /// Its host name, in lower case and without its domain, ends with one of these.
    NameEnds(&'static [&'static str]),
    /// A value said about it contains one of these, in lower case.
    Says(&'static [&'static str]),
    /// It asked another to do one of these.
    Does(&'static [OperationKind]),
    /// Hosts are reached through it.
    Forwards,
}

/// A conclusion from signs.
#[derive(Debug)]
pub struct Rule {
    /// Its short name; the source of the evidence is `rule.` and this name.
    pub id: &'static str,
    /// The signs that must all be there.
    pub all: &'static [Sign],
    /// The role that follows.
    pub role: Option<Role>,
    /// The type of thing that follows, in words for people.
    pub kind: Option<&'static str>,
    /// The operating system that follows.
    pub system: Option<&'static str>,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why it follows.
    pub why: &'static str,
}

const fn rule(
    id: &'static str,
    all: &'static [Sign],
    role: Role,
    kind: &'static str,
    confidence: Confidence,
    why: &'static str,
) -> Rule {
    let kind = if kind.is_empty() { None } else { Some(kind) };
    Rule { id, all, role: Some(role), kind, system: None, confidence, why }
}

/// A rule from which an operating system follows.
const fn system(
    id: &'static str,
    all: &'static [Sign],
    system: &'static str,
    confidence: Confidence,
    why: &'static str,
) -> Rule {
    Rule { id, all, role: None, kind: None, system: Some(system), confidence, why }
}

const HINT: Confidence = Confidence::HINT;
const FAIR: Confidence = Confidence::percent(35);
const LIKELY: Confidence = Confidence::LIKELY;
const GOOD: Confidence = Confidence::percent(65);
const STRONG: Confidence = Confidence::STRONG;

/// Makers of controllers for machines and plants.
const CONTROLLER_MAKERS: Sign = Sign::Vendor(&[
    "siemens",
    "rockwellautomation",
    "allenbradley",
    "schneiderelectric",
    "telemecanique",
    "modicon",
    "beckhoff",
    "phoenixcontact",
    "wago",
    "omron",
    "mitsubishielectric",
    "bachmann",
    "br",
    "bernecker",
    "abb",
    "honeywell",
    "yokogawa",
    "emerson",
    "unitronics",
    "automationdirect",
    "koyo",
    "keyence",
    "lsis",
    "lselectric",
    "deltaelectronics",
    "pilz",
    "sick",
    "festo",
    "turck",
    "ifm",
    "hima",
    "eaton",
    "gefanuc",
    "gefanucautomation",
    "geautomation",
    "opto22",
]);

/// Makers of protection relays and bay controllers.
const RELAY_MAKERS: Sign = Sign::Vendor(&[
    "schweitzerengineering",
    "sel",
    "abb",
    "hitachienergy",
    "ge",
    "alstom",
    "areva",
    "siemens",
    "schneiderelectric",
    "arcteq",
    "ingeteam",
    "zivautomation",
    "nrelectric",
    "deltaelectronics",
    "novatech",
    "efacec",
]);

/// Makers of cameras and recorders who make little else.
const TILL_MAKERS: Sign = Sign::Vendor(&[
    "toshibaglobalcommerce",
    "ncrvoyix",
    "wincornixdorf",
    "dieboldnixdorf",
    "verifone",
    "ingenico",
    "paxcomputer",
    "castlestechnology",
    "clovernetwork",
    "hypercom",
    "posiflex",
]);
const CAMERA_MAKERS: Sign = Sign::Vendor(&[
    "hangzhouhikvision",
    "hikvision",
    "zhejiangdahua",
    "dahua",
    "axiscommunications",
    "mobotix",
    "vivotek",
    "hanwha",
    "arecont",
    "avigilon",
    "reolink",
    "foscam",
    "amcrest",
    "boschsecurity",
    "pelco",
    "geovision",
    "uniview",
    "zhejianguniview",
    "wyze",
    "arlo",
    "ezviz",
    "hangzhouezviz",
    "lorex",
    "swann",
    "verkada",
    "tiandy",
    "brickcom",
]);

/// Makers of building automation.
const BUILDING_MAKERS: Sign = Sign::Vendor(&[
    "johnsoncontrols",
    "trane",
    "honeywell",
    "sauter",
    "saia",
    "delta",
    "alertontechnologies",
    "reliablecontrols",
    "distech",
    "automatedlogic",
    "tridium",
    "kieback",
    "carrier",
    "lutron",
    "siemensbuilding",
    "contemporarycontrol",
    "loytec",
    "daikin",
    "belimo",
    "schneiderelectric",
    "carel",
    "danfoss",
]);

/// Makers of lamps, plugs, switches, locks, thermostats and sensors, or of the radio modules in them.
const HOME_MAKERS: Sign = Sign::Vendor(&[
    "espressif",
    "tuya",
    "hangzhoutuya",
    "shelly",
    "allterco",
    "lifi",
    "lifx",
    "nest",
    "ecobee",
    "netatmo",
    "tado",
    "yeelight",
    "yeelink",
    "meross",
    "itead",
    "sonoff",
    "wiz",
    "nanoleaf",
    "irobot",
    "roborock",
    "dreame",
    "ecovacs",
    "ringcom",
    "ring",
    "august",
    "chamberlain",
    "rachio",
    "govee",
    "broadlink",
    "hangzhougubei",
    "wemo",
    "ikeaofsweden",
    "eqconnect",
    "avm4",
    "aqara",
    "lumi",
    "withings",
    "dyson",
    "gardena",
    "miele",
    "bshhausgeraete",
]);

const HUB_MAKERS: Sign = Sign::Vendor(&[
    "philipslighting",
    "signify",
    "physicalgraph",
    "smartthings",
    "homey",
    "athom",
    "hubitat",
    "eq3",
    "eq3entwicklung",
]);

const MEDIA_MAKERS: Sign = Sign::Vendor(&[
    "sonos",
    "roku",
    "bose",
    "denon",
    "sounduniteddenon",
    "harmaninternational",
    "bangolufsen",
    "onkyo",
    "yamaha",
    "linn",
    "bluesound",
    "lenbrook",
    "vizio",
    "tclking",
    "hisense",
]);

const PRINTER_MAKERS: Sign = Sign::Vendor(&[
    "brother",
    "seikoepson",
    "epson",
    "canon",
    "lexmark",
    "kyocera",
    "ricoh",
    "xerox",
    "konicaminolta",
    "zebra",
    "oki",
    "hewlettpackard",
    "hp",
    "sharp",
]);

const PHONE_MAKERS: Sign = Sign::Vendor(&[
    "yealink",
    "polycom",
    "snom",
    "grandstream",
    "mitel",
    "avaya",
    "gigaset",
    "aastra",
    "xiamenyealink",
]);

/// Makers of gateways for remote access, and of those between protocols.
const GATEWAY_MAKERS: Sign = Sign::Vendor(&[
    "hmsindustrialnetworks",
    "secomea",
    "mbconnectline",
    "insysmicroelectronics",
    "lantronix",
    "digiinternational",
    "sierrawireless",
    "teltonika",
    "prosofttechnology",
    "redlion",
]);

const MEDICAL_MAKERS: Sign = Sign::Vendor(&[
    "siemenshealthineers",
    "siemenshealthcare",
    "gehealthcare",
    "gemedical",
    "philipsmedical",
    "philipspatient",
    "draeger",
    "drager",
    "bbraun",
    "baxter",
    "carefusion",
    "hospira",
    "mindray",
    "shenzhenmindray",
    "hillrom",
    "fresenius",
    "medtronic",
    "masimo",
    "spacelabs",
    "welchallyn",
    "nihonkohden",
    "beckmancoulter",
]);

const NETWORK_MAKERS: Sign = Sign::Vendor(&[
    "cisco",
    "juniper",
    "arista",
    "extreme",
    "aruba",
    "hirschmann",
    "moxa",
    "ruggedcom",
    "mikrotik",
    "routerboard",
    "ubiquiti",
    "netgear",
    "tplink",
    "dlink",
    "zyxel",
    "fortinet",
    "paloalto",
    "westermo",
    "avm",
    "sagemcom",
    "arris",
    "draytek",
    "lancom",
    "ruckus",
    "meraki",
]);

/// Those of them who make little else.
const SWITCH_MAKERS: Sign = Sign::Vendor(&[
    "cisco",
    "juniper",
    "arista",
    "extreme",
    "aruba",
    "hirschmann",
    "ruggedcom",
    "mikrotik",
    "routerboard",
    "westermo",
    "fortinet",
    "paloalto",
    "lancom",
    "ruckus",
    "meraki",
]);

/// The protocols of programmable controllers.
const CONTROLLER_PROTOCOLS: &[&str] =
    &["s7comm", "s7comm-plus", "omron-fins", "fins", "melsec", "ge-srtp", "ads", "codesys", "umas"];

/// The same, and those that not only controllers answer to.
const CONTROLLER_CLIENTS: &[&str] = &[
    "s7comm",
    "s7comm-plus",
    "enip",
    "cip",
    "omron-fins",
    "fins",
    "melsec",
    "ge-srtp",
    "ads",
    "codesys",
    "umas",
];

/// Everything that can be concluded.
pub static RULES: &[Rule] = &[
    // Industry.
    rule(
        "controller-server",
        &[Sign::Offers(CONTROLLER_PROTOCOLS)],
        Role::Plc,
        "programmable logic controller",
        STRONG,
        "It answers in the language of programmable controllers.",
    ),
    rule(
        "enip-server",
        &[Sign::Offers(&["enip", "cip"])],
        Role::Plc,
        "",
        FAIR,
        "It answers EtherNet/IP requests, as controllers do, but drives and remote inputs and outputs, too.",
    ),
    rule(
        "modbus-server",
        &[Sign::Offers(&["modbus"])],
        Role::Plc,
        "programmable logic controller",
        LIKELY,
        "It answers Modbus requests; most that do are controllers, some are meters or drives.",
    ),
    rule(
        "modbus-controller",
        &[Sign::Offers(&["modbus"]), CONTROLLER_MAKERS],
        Role::Plc,
        "programmable logic controller",
        STRONG,
        "It answers Modbus requests and its maker builds controllers.",
    ),
    rule(
        "protocol-gateway",
        &[Sign::Says(&["link150", "egx1", "egx3", "com'x", "mgate", "modbus gateway", "ethernet gateway"])],
        Role::Gateway,
        "protocol gateway",
        Confidence::percent(90),
        "Its model is one that translates between a serial line and the network.",
    ),
    rule(
        "gateway-maker",
        &[GATEWAY_MAKERS],
        Role::Gateway,
        "",
        LIKELY,
        "Its maker builds gateways for remote access and between protocols.",
    ),
    rule(
        "gateway-name",
        &[Sign::Named(&["gateway", "gw-", "tradfri-gateway", "tradfri gateway"])],
        Role::Gateway,
        "",
        GOOD,
        "Its name says so.",
    ),
    rule(
        "controller-maker",
        &[CONTROLLER_MAKERS],
        Role::Plc,
        "",
        HINT,
        "Its maker builds controllers, among other things.",
    ),
    rule(
        "profinet-device",
        &[Sign::Offers(&["profinet-dcp", "profinet-io-cm"])],
        Role::FieldDevice,
        "",
        LIKELY,
        "It answers PROFINET discovery.",
    ),
    rule(
        "phasor-measurement",
        &[Sign::Offers(&["synchrophasor"])],
        Role::Ied,
        "phasor measurement unit",
        GOOD,
        "It sends synchrophasors to those who ask.",
    ),
    rule(
        "plug-protocol",
        &[Sign::Offers(&["tplink-smarthome"])],
        Role::SmartDevice,
        "smart-home device",
        GOOD,
        "It answers in the language of TP-Link's plugs and lamps.",
    ),
    rule(
        "ethercat",
        &[Sign::Offers(&["ethercat"])],
        Role::FieldDevice,
        "",
        LIKELY,
        "It answers on an EtherCAT segment.",
    ),
    rule(
        "controller-client",
        &[Sign::Uses(CONTROLLER_CLIENTS)],
        Role::Hmi,
        "",
        FAIR,
        "It asks controllers: an operator panel, a supervisor or an engineering station.",
    ),
    rule(
        "modbus-client",
        &[Sign::Uses(&["modbus"])],
        Role::Hmi,
        "",
        FAIR,
        "It polls Modbus servers: an operator panel, a supervisor or a controller.",
    ),
    rule(
        "programs-controllers",
        &[Sign::Does(&[
            OperationKind::ProgramDownload,
            OperationKind::ProgramUpload,
            OperationKind::ChangeMode,
        ])],
        Role::EngineeringStation,
        "engineering workstation",
        STRONG,
        "It put a program into a controller, took one out, or changed a controller's mode.",
    ),
    rule(
        "starts-controllers",
        &[Sign::Does(&[OperationKind::Start, OperationKind::Stop]), Sign::Uses(CONTROLLER_CLIENTS)],
        Role::EngineeringStation,
        "",
        LIKELY,
        "It started or stopped a controller.",
    ),
    rule(
        "dnp3-outstation",
        &[Sign::Offers(&["dnp3"])],
        Role::Rtu,
        "remote terminal unit",
        STRONG,
        "It answers as a DNP3 outstation.",
    ),
    rule(
        "iec104-outstation",
        &[Sign::Offers(&["iec104", "iec-104", "iec60870-5-104"])],
        Role::Rtu,
        "remote terminal unit",
        STRONG,
        "It answers as an IEC 60870-5-104 controlled station.",
    ),
    rule(
        "telecontrol-master",
        &[Sign::Uses(&["dnp3", "iec104", "iec-104", "iec60870-5-104"])],
        Role::Scada,
        "supervisory control server",
        GOOD,
        "It asks outstations as their master.",
    ),
    rule(
        "mms-server",
        &[Sign::Offers(&["mms", "iec61850-mms"])],
        Role::Ied,
        "intelligent electronic device",
        GOOD,
        "It answers IEC 61850 MMS requests.",
    ),
    rule(
        "goose-publisher",
        &[Sign::Uses(&["goose", "sv", "sampled-values"])],
        Role::Ied,
        "intelligent electronic device",
        STRONG,
        "It publishes GOOSE or sampled values.",
    ),
    rule(
        "relay-maker",
        &[Sign::Offers(&["dnp3", "mms", "iec104", "modbus"]), RELAY_MAKERS],
        Role::Ied,
        "",
        FAIR,
        "It answers telecontrol requests and its maker builds protection relays.",
    ),
    rule(
        "opc-ua-server",
        &[Sign::Offers(&["opcua", "opc-ua"])],
        Role::Server,
        "",
        FAIR,
        "It offers process data by OPC UA.",
    ),
    rule(
        "opc-ua-controller",
        &[Sign::Offers(&["opcua", "opc-ua"]), CONTROLLER_MAKERS],
        Role::Plc,
        "",
        LIKELY,
        "It offers OPC UA and its maker builds controllers.",
    ),
    rule(
        "hart-gateway",
        &[Sign::Offers(&["hart-ip"])],
        Role::Gateway,
        "HART gateway",
        GOOD,
        "It answers HART-IP requests for the instruments behind it.",
    ),
    rule(
        "knx-gateway",
        &[Sign::Offers(&["knxnet-ip", "knx"])],
        Role::Gateway,
        "KNX IP interface",
        GOOD,
        "It answers KNXnet/IP: an interface or router to a KNX bus.",
    ),
    rule(
        "bacnet-server",
        &[Sign::Offers(&["bacnet"])],
        Role::BuildingController,
        "building controller",
        GOOD,
        "It answers BACnet requests.",
    ),
    rule(
        "bacnet-speaker",
        &[Sign::Uses(&["bacnet"]), BUILDING_MAKERS],
        Role::BuildingController,
        "",
        LIKELY,
        "It speaks BACnet and its maker builds building controllers.",
    ),
    rule(
        "building-maker",
        &[BUILDING_MAKERS],
        Role::BuildingController,
        "",
        HINT,
        "Its maker builds building controllers, among other things.",
    ),
    rule(
        "historian",
        &[Sign::Offers(&["pi-server", "osisoft-pi"])],
        Role::Historian,
        "process historian",
        STRONG,
        "It answers as a process historian.",
    ),
    rule(
        "historian-name",
        &[Sign::Named(&["historian", "hist-", "pi-srv", "pi-server"])],
        Role::Historian,
        "process historian",
        STRONG,
        "Its name says so.",
    ),
    rule(
        "hmi-name",
        &[Sign::Named(&["hmi", "panel-", "op-panel"])],
        Role::Hmi,
        "operator panel",
        GOOD,
        "Its name says so.",
    ),
    rule(
        "scada-name",
        &[Sign::Named(&["scada", "bms-"])],
        Role::Scada,
        "supervisory control server",
        STRONG,
        "Its name says so.",
    ),
    rule("bacnet-client", &[Sign::Uses(&["bacnet"])], Role::Scada, "", HINT, "It asks building controllers."),
    rule(
        "engineering-name",
        &[Sign::Named(&["eng-", "ews", "es-", "engineering"])],
        Role::EngineeringStation,
        "engineering workstation",
        GOOD,
        "Its name says so.",
    ),
    rule("plc-name", &[Sign::Named(&["plc"])], Role::Plc, "", GOOD, "Its name says so."),
    // Shops.
    rule(
        "till-maker",
        &[TILL_MAKERS],
        Role::PointOfSale,
        "till or payment terminal",
        GOOD,
        "Its maker builds tills and payment terminals.",
    ),
    rule(
        "till-name",
        &[Sign::Named(&["till-", "cash-register", "pos-terminal"])],
        Role::PointOfSale,
        "",
        LIKELY,
        "Its name says so.",
    ),
    // Homes and buildings.
    rule(
        "camera-maker",
        &[CAMERA_MAKERS],
        Role::Camera,
        "IP camera",
        GOOD,
        "Its maker builds cameras and little else.",
    ),
    rule(
        "stream-server",
        &[Sign::Offers(&["rtsp"])],
        Role::Camera,
        "IP camera",
        LIKELY,
        "It offers a live stream by RTSP; most that do are cameras.",
    ),
    rule(
        "camera-stream",
        &[Sign::Offers(&["rtsp"]), CAMERA_MAKERS],
        Role::Camera,
        "IP camera",
        STRONG,
        "It offers a live stream and its maker builds cameras.",
    ),
    rule(
        "onvif",
        &[Sign::Says(&["onvif", "networkvideotransmitter"])],
        Role::Camera,
        "IP camera",
        STRONG,
        "It announces itself as an ONVIF device.",
    ),
    rule(
        "camera-name",
        &[Sign::Named(&["cam-", "camera", "ipcam", "axis-", "ipc-", "reolink", "wyzecam"])],
        Role::Camera,
        "",
        LIKELY,
        "Its name says so.",
    ),
    rule(
        "camera-name-end",
        &[Sign::NameEnds(&["cam", "camera"])],
        Role::Camera,
        "",
        LIKELY,
        "Its name says so.",
    ),
    rule(
        "hub-maker",
        &[HUB_MAKERS],
        Role::Hub,
        "smart-home hub",
        LIKELY,
        "Its maker's things on the network are hubs; the lamps are behind them.",
    ),
    rule(
        "hub-says",
        &[Sign::Says(&[
            "_hue._tcp",
            "_homekit-bridge",
            "hue bridge",
            "_deconz",
            "_home-assistant._tcp",
            "smartthings hub",
        ])],
        Role::Hub,
        "smart-home hub",
        STRONG,
        "It announces itself as a hub.",
    ),
    rule(
        "hub-name",
        &[Sign::Named(&["philips-hue", "hue-", "homeassistant", "smartthings", "hubitat"])],
        Role::Hub,
        "",
        LIKELY,
        "Its name says so.",
    ),
    rule(
        "home-maker",
        &[HOME_MAKERS],
        Role::SmartDevice,
        "smart-home device",
        LIKELY,
        "Its maker, or the maker of its radio, builds things for homes.",
    ),
    rule(
        "home-name",
        &[Sign::Named(&[
            "esp-",
            "esp_",
            "esp32",
            "shelly",
            "tasmota",
            "wiz_",
            "lifx",
            "tuya",
            "sonoff",
            "wled",
            "nest-",
            "tado",
            "yeelink",
            "roomba",
            "irobot-",
            "meross",
            "thermostat",
            "smartplug",
            "plug-",
            "bulb-",
            "lamp-",
            "ring-",
        ])],
        Role::SmartDevice,
        "smart-home device",
        LIKELY,
        "Its name is one that such things give themselves.",
    ),
    rule(
        "home-says",
        &[Sign::Says(&[
            "_hap._tcp",
            "_matter._tcp",
            "_matterc._udp",
            "_shelly._tcp",
            "_esphomelib._tcp",
            "_miio._udp",
        ])],
        Role::SmartDevice,
        "smart-home device",
        GOOD,
        "It announces a service that such things have.",
    ),
    rule(
        "coap-server",
        &[Sign::Offers(&["coap", "coaps"])],
        Role::SmartDevice,
        "",
        LIKELY,
        "It answers CoAP, the protocol of constrained things.",
    ),
    rule(
        "telemetry-client",
        &[Sign::Uses(&["mqtt"])],
        Role::SmartDevice,
        "",
        HINT,
        "It talks to a message broker, as many things do.",
    ),
    rule(
        "media-maker",
        &[MEDIA_MAKERS],
        Role::Media,
        "media player",
        GOOD,
        "Its maker builds players and televisions.",
    ),
    rule(
        "media-says",
        &[Sign::Says(&[
            "mediarenderer",
            "_googlecast._tcp",
            "_airplay._tcp",
            "_raop._tcp",
            "_spotify-connect._tcp",
            "_sonos._tcp",
            "_roku",
            "dial-multiscreen",
            "_amzn-wplay._tcp",
        ])],
        Role::Media,
        "media player",
        GOOD,
        "It announces that it plays.",
    ),
    rule(
        "printer-service",
        &[Sign::Offers(&["ipp", "jetdirect", "lpd", "pjl"])],
        Role::Printer,
        "printer",
        STRONG,
        "It takes print jobs.",
    ),
    rule(
        "printer-port",
        &[Sign::OffersTcp(&[9100, 515, 631])],
        Role::Printer,
        "printer",
        LIKELY,
        "It answers on a port for print jobs.",
    ),
    rule(
        "printer-maker",
        &[PRINTER_MAKERS, Sign::OffersTcp(&[9100, 515, 631])],
        Role::Printer,
        "printer",
        STRONG,
        "It answers on a port for print jobs and its maker builds printers.",
    ),
    rule(
        "printer-says",
        &[Sign::Says(&[
            "_ipp._tcp",
            "_ipps._tcp",
            "_pdl-datastream._tcp",
            "_printer._tcp",
            "device:printer",
        ])],
        Role::Printer,
        "printer",
        GOOD,
        "It announces that it prints.",
    ),
    rule(
        "phone-maker",
        &[PHONE_MAKERS],
        Role::Phone,
        "Internet telephone",
        LIKELY,
        "Its maker builds telephones.",
    ),
    rule(
        "phone-user",
        &[Sign::Uses(&["sip"]), PHONE_MAKERS],
        Role::Phone,
        "Internet telephone",
        STRONG,
        "It registers for telephony and its maker builds telephones.",
    ),
    rule(
        "mobile-name",
        &[Sign::Named(&["iphone", "ipad", "android-", "galaxy-", "pixel-", "oneplus"])],
        Role::Mobile,
        "telephone or tablet",
        GOOD,
        "Its name is one that telephones and tablets give themselves.",
    ),
    rule(
        "mobile-name-end",
        &[Sign::NameEnds(&["iphone", "ipad", "-phone"])],
        Role::Mobile,
        "telephone or tablet",
        GOOD,
        "Its name is one that telephones and tablets give themselves.",
    ),
    rule(
        "workstation-name-end",
        &[Sign::NameEnds(&["imac", "macbook", "macbook-pro", "macbook-air", "-pc", "laptop"])],
        Role::Workstation,
        "computer",
        LIKELY,
        "Its name is one that computers give themselves or are given.",
    ),
    rule(
        "workstation-name",
        &[Sign::Named(&[
            "desktop-",
            "laptop",
            "macbook",
            "imac",
            "win-",
            "thinkpad",
            "workstation",
            "ws-",
            "pc-",
        ])],
        Role::Workstation,
        "computer",
        LIKELY,
        "Its name is one that computers give themselves or are given.",
    ),
    rule(
        "medical-maker",
        &[MEDICAL_MAKERS],
        Role::Medical,
        "medical device",
        LIKELY,
        "Its maker builds medical devices.",
    ),
    rule(
        "medical-protocol",
        &[Sign::Offers(&["dicom", "hl7", "sdc"])],
        Role::Medical,
        "",
        LIKELY,
        "It answers in the language of medical systems.",
    ),
    rule(
        "medical-client",
        &[Sign::Uses(&["dicom", "hl7", "sdc"])],
        Role::Medical,
        "",
        FAIR,
        "It asks in the language of medical systems.",
    ),
    // Networks and services.
    rule(
        "forwards",
        &[Sign::Forwards],
        Role::Router,
        "router",
        STRONG,
        "Hosts of other networks are reached through it.",
    ),
    rule(
        "forwards-home",
        &[Sign::Forwards, NETWORK_MAKERS],
        Role::Router,
        "router",
        Confidence::percent(85),
        "Hosts of other networks are reached through it and its maker builds routers.",
    ),
    rule(
        "router-says",
        &[Sign::Says(&["internetgatewaydevice"])],
        Role::Router,
        "router",
        GOOD,
        "It announces itself as an Internet gateway.",
    ),
    rule(
        "routing",
        &[Sign::Uses(&["ospf", "bgp", "eigrp", "vrrp", "hsrp", "rip"])],
        Role::Router,
        "router",
        LIKELY,
        "It speaks a routing protocol.",
    ),
    rule(
        "spanning-tree",
        &[Sign::Uses(&["stp", "rstp", "mrp"])],
        Role::Switch,
        "switch",
        LIKELY,
        "It takes part in a protocol of switches.",
    ),
    rule("network-maker", &[SWITCH_MAKERS], Role::Switch, "", HINT, "Its maker builds network equipment."),
    rule(
        "broker",
        &[Sign::Offers(&["mqtt", "mqtts", "amqp", "nats", "kafka"])],
        Role::Broker,
        "message broker",
        STRONG,
        "Others publish and subscribe there.",
    ),
    rule(
        "dhcp-server",
        &[Sign::Offers(&["dhcp", "dhcpv6"])],
        Role::DhcpServer,
        "",
        STRONG,
        "It gives out addresses.",
    ),
    rule(
        "dns-server",
        &[Sign::Offers(&["dns"])],
        Role::DnsServer,
        "",
        STRONG,
        "It answers questions for names.",
    ),
    rule(
        "time-server",
        &[Sign::Offers(&["ntp", "ptp"])],
        Role::TimeServer,
        "",
        STRONG,
        "It answers questions for the time.",
    ),
    rule(
        "file-server",
        &[Sign::Offers(&["smb", "nfs", "ftp", "afp"])],
        Role::Server,
        "",
        LIKELY,
        "It offers files.",
    ),
    rule(
        "data-server",
        &[Sign::Offers(&["mysql", "postgresql", "mssql", "tds", "mongodb", "redis", "ldap", "kerberos"])],
        Role::Server,
        "server",
        GOOD,
        "It offers databases or directories.",
    ),
    rule(
        "web-server",
        &[Sign::Offers(&["http", "tls", "quic", "http2"])],
        Role::Server,
        "",
        HINT,
        "It offers pages or an interface; small devices do so too.",
    ),
    rule(
        "network-manager",
        &[Sign::Uses(&["snmp"])],
        Role::Server,
        "",
        HINT,
        "It asks devices by SNMP or reports to who does: perhaps a network management station.",
    ),
    system(
        "windows-names",
        &[Sign::Uses(&["nbns", "nbdgm"]), Sign::Uses(&["llmnr"])],
        "Windows",
        LIKELY,
        "It asks for names in both ways that Windows has of its own.",
    ),
    rule(
        "server-name",
        &[Sign::Named(&["srv", "server", "dc-", "sql"])],
        Role::Server,
        "",
        FAIR,
        "Its name says so.",
    ),
];

/// A set of signs: bit n stands for the n-th distinct sign of [`RULES`].
pub(crate) type Signs = u128;

/// What can be found at once about the rules, made once.
struct Index {
    signs: Vec<Sign>,
    needs: Vec<Signs>,
    /// For each sign, the rules of which it is the first: bit n stands for the n-th rule.
    begins: Vec<u128>,
    sources: Vec<Name>,
    /// The signs that lie in any value, and their places.
    told: Vec<(usize, &'static [&'static str])>,
}

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let mut signs = Vec::new();
        let mut needs = Vec::new();
        for rule in RULES {
            let mut need = 0;
            for sign in rule.all {
                let at = signs.iter().position(|known| known == sign).unwrap_or_else(|| {
                    signs.push(*sign);
                    signs.len() - 1
                });
                need |= 1_u128.checked_shl(at as u32).unwrap_or_default();
            }
            needs.push(need);
        }
        let mut begins = vec![0; Signs::BITS as usize];
        for (at, need) in needs.iter().enumerate().filter(|(_, need)| **need != 0) {
            begins[need.trailing_zeros() as usize] |= 1_u128.checked_shl(at as u32).unwrap_or_default();
        }
        // They live as long as the program, so that no evidence needs a copy.
        let source = |rule: &Rule| Name::Borrowed(format!("rule.{}", rule.id).leak());
        let told =
            |(at, sign): (usize, &Sign)| if let Sign::Says(parts) = *sign { Some((at, parts)) } else { None };
        let told = signs.iter().enumerate().filter_map(told).collect();
        Index { signs, needs, begins, sources: RULES.iter().map(source).collect(), told }
    })
}

/// The places of the bits that are set.
fn bits(mut set: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let at = set.trailing_zeros();
        set &= set.wrapping_sub(1);
        (at < u128::BITS).then_some(at as usize)
    })
}

/// The rules whose signs are all there, with the source of their evidence.
pub(crate) fn conclusions(signs: Signs) -> impl Iterator<Item = (&'static Rule, &'static Name)> {
    let index = index();
    let begun = bits(signs).fold(0, |begun, at| begun | index.begins[at]);
    bits(begun)
        .filter(move |at| signs & index.needs[*at] == index.needs[*at])
        .map(|at| (&RULES[at], &index.sources[at]))
}

fn matching(matches: impl Fn(&Sign) -> bool) -> Signs {
    index().signs.iter().enumerate().filter(|(_, sign)| matches(sign)).fold(0, |set, (at, _)| set | 1 << at)
}

/// The signs in offering a service (protocol empty where none was recognised).
pub(crate) fn offers(protocol: &str, transport: Transport, port: u16) -> Signs {
    matching(|sign| match sign {
        Sign::Offers(protocols) => protocols.contains(&protocol),
        Sign::OffersTcp(ports) => transport == Transport::Tcp && ports.contains(&port),
        _ => false,
    })
}

/// The signs in using a protocol.
pub(crate) fn uses(protocol: &str) -> Signs {
    matching(|sign| matches!(sign, Sign::Uses(protocols) if protocols.contains(&protocol)))
}

/// The signs in asking for a kind of operation.
pub(crate) fn does(operation: OperationKind) -> Signs {
    matching(|sign| matches!(sign, Sign::Does(operations) if operations.contains(&operation)))
}

/// The rule that a piece of evidence came from, by the evidence's source: it says why.
pub fn of_source(source: &str) -> Option<&'static Rule> {
    let id = source.strip_prefix("rule.")?;
    RULES.iter().find(|rule| rule.id == id)
}

/// The signs from which a rule concluded, by the source of its evidence; 0 if there is no such rule.
pub(crate) fn needed_by(source: &str) -> Signs {
    let index = index();
    let at = index.sources.iter().position(|known| *known == source);
    at.and_then(|at| index.needs.get(at)).copied().unwrap_or_default()
}

/// The sign that hosts are reached through it.
pub(crate) fn forwards() -> Signs {
    matching(|sign| matches!(sign, Sign::Forwards))
}

/// The signs in a value that something says about a device.
pub(crate) fn says(attribute: Attribute, value: &str) -> Signs {
    let lower = evidence::lower(value);
    let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    match attribute {
        Attribute::Role => 0,
        Attribute::Vendor => {
            let company = vendor::key(value);
            matching(|sign| match sign {
                Sign::Vendor(makers) => makers.iter().any(|maker| vendor::begins(&company, maker)),
                Sign::Says(parts) => says(parts),
                _ => false,
            })
        }
        Attribute::Hostname => {
            let host = lower.split('.').next().unwrap_or_default();
            matching(|sign| match sign {
                Sign::Named(starts) => starts.iter().any(|start| lower.starts_with(start)),
                Sign::NameEnds(ends) => ends.iter().any(|end| host.ends_with(end)),
                Sign::Says(parts) => says(parts),
                _ => false,
            })
        }
        _ => index().told.iter().filter(|(_, parts)| says(parts)).fold(0, |set, (at, _)| set | 1 << at),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn roles(signs: Signs) -> Vec<(&'static str, u8)> {
        conclusions(signs).filter_map(|(rule, _)| Some((rule.role?.name(), rule.confidence.get()))).collect()
    }

    #[test]
    fn every_rule_has_its_own_name_and_at_least_one_sign_and_all_signs_fit() {
        let mut ids = BTreeSet::new();
        for rule in RULES {
            assert!(ids.insert(rule.id), "{} twice", rule.id);
            assert!(!rule.all.is_empty() && rule.why.ends_with('.'), "{}", rule.id);
        }
        assert!(index().signs.len() <= Signs::BITS as usize);
        assert!(RULES.len() <= u128::BITS as usize);
        assert!(roles(0).is_empty(), "nothing follows from nothing");
    }

    #[test]
    fn evidence_leads_back_to_the_rule_that_says_why() {
        let rule = of_source("rule.broker").unwrap();
        assert_eq!((rule.role, rule.why), (Some(Role::Broker), "Others publish and subscribe there."));
        assert!(of_source("broker").is_none() && of_source("rule.none").is_none());
        assert_eq!(needed_by("rule.forwards"), forwards());
        assert_eq!(needed_by("dhcp.host-name"), 0);
    }

    #[test]
    fn signs_add_up_to_surer_conclusions() {
        assert_eq!(roles(offers("modbus", Transport::Tcp, 502)), [("plc", 50)]);
        let both = offers("modbus", Transport::Tcp, 502) | says(Attribute::Vendor, "WAGO GmbH & Co. KG");
        assert!(roles(both).contains(&("plc", 75)));
        assert_eq!(roles(offers("", Transport::Tcp, 9100)), [("printer", 50)]);
        assert_eq!(roles(says(Attribute::Hostname, "ESP_1A2B3C")), [("smart-device", 50)]);
        assert_eq!(roles(says(Attribute::Hostname, "Anna-iPhone.local")), [("mobile", 65)]);
        assert_eq!(roles(says(Attribute::Hostname, "drivecam")), [("camera", 50)]);
        assert_eq!(roles(does(OperationKind::ProgramDownload)), [("engineering-station", 75)]);
        assert_eq!(roles(forwards()), [("router", 75)]);
    }

    #[test]
    fn makers_are_told_by_their_names_from_the_table_of_assignments() {
        for (name, role) in [
            ("Hangzhou Hikvision Digital Technology Co.,Ltd.", "camera"),
            ("Axis Communications AB", "camera"),
            ("Signify B.V.", "hub"),
            ("Espressif Inc.", "smart-device"),
            ("Sonos, Inc.", "media"),
            ("Siemens AG", "plc"),
        ] {
            let found = roles(says(Attribute::Vendor, name));
            assert!(found.iter().any(|(found, _)| *found == role), "{name}: {found:?}");
        }
        assert!(roles(says(Attribute::Vendor, "Praxis Ltd")).is_empty());
        assert!(roles(says(Attribute::Label, "Siemens")).is_empty());
    }
}
