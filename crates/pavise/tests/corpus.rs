//! General facts about real captures, from end to end: devices whose address is known are found, once, where
//! they are, and nobody else is merged into them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use model::{Device, Locality, MacAddr};

/// So many captures of each kind of device are read.
const EACH: usize = 2;

fn devices(capture: &Path) -> Vec<Device> {
    let state = tempfile::tempdir().unwrap();
    let pavise = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pavise"));
        let output = command.args(arguments).env("PAVISE_STATE", state.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    pavise(&["watch", "--quiet", &capture.to_string_lossy()]);
    serde_json::from_slice(&pavise(&["devices", "--json"])).unwrap()
}

/// Whether an address is one that only hosts of the Internet have.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_private() || ip.is_link_local() || ip.is_unspecified()),
        IpAddr::V6(_) => false,
    }
}

/// What holds for a device that was set up in a home: it is there, once, on the link; everybody keeps its
/// own addresses; nobody is a group.
fn check(capture: &Path, mac: MacAddr) -> Vec<String> {
    let devices = devices(capture);
    let mut wrong = Vec::new();
    let mut expect = |holds: bool, text: String| {
        if !holds {
            wrong.push(format!("{}: {text}", capture.display()));
        }
    };
    let found: Vec<&Device> = devices.iter().filter(|device| device.macs.contains(&mac)).collect();
    expect(found.len() == 1, format!("{mac} is {} devices", found.len()));
    for device in found {
        expect(device.locality == Locality::OnLink, format!("{mac} is {:?}", device.locality));
        expect(device.macs == [mac], format!("{mac} is also {:?}", device.macs));
        expect(!device.protocols.is_empty(), format!("{mac} speaks nothing"));
    }
    let mut taken = BTreeSet::new();
    for device in &devices {
        for used in &device.addresses {
            let (ip, on_link) = (used.ip, device.locality == Locality::OnLink);
            expect(!ip.is_multicast(), format!("{} is a group", device.id));
            expect(!(on_link && is_public(ip)), format!("{ip} is merged into {:?}", device.macs));
            let moved = !taken.insert(ip) && !on_link;
            expect(!moved, format!("{ip} is several devices"));
        }
    }
    wrong
}

#[test]
fn a_device_of_known_address_is_found_once_and_the_internet_is_not_merged_into_the_gateway() {
    let name = "a_device_of_known_address_is_found_once";
    let mut captures = Vec::new();
    if let Some(folder) = testkit::corpus(name, "iot_sentinel") {
        let labels = std::fs::read_to_string(folder.join("labels.tsv")).unwrap();
        let mut lines = labels.lines();
        assert_eq!(lines.next(), Some("path\tdevice\ttype27\tsimilar_group\tmac"));
        let (mut kind, mut read) = ("", 0);
        for line in lines {
            let columns: Vec<&str> = line.split('\t').collect();
            let [path, device, .., mac] = columns[..] else { panic!("{line}") };
            read = if device == kind { read + 1 } else { 1 };
            kind = device;
            if read <= EACH {
                captures.push((folder.join(path), mac.parse().unwrap()));
            }
        }
        assert!(captures.len() > 50, "{}", captures.len());
    }
    if let Some(folder) = testkit::corpus(name, "lsif/tp-link_LightBulb") {
        let mac = std::fs::read_to_string(folder.join("_iotdevice-mac.txt")).unwrap();
        let mac = mac.trim().to_lowercase().parse().unwrap();
        captures.extend(testkit::captures(&folder).into_iter().take(EACH).map(|path| (path, mac)));
    }
    let wrong: Vec<String> = captures.iter().flat_map(|(path, mac)| check(path, *mac)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
