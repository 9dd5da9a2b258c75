//! What makers say that devices are meant to do, and of which devices.

use std::collections::BTreeMap;

use model::{Attribute, Device, DeviceId};
use mud::MudFile;

/// Manufacturers' usage descriptions (RFC 8520), and the devices that they are of.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    files: Vec<MudFile>,
    /// By the URL under which devices name them.
    by_url: BTreeMap<String, usize>,
    /// By what names one device: its id, one of its addresses, its host name or label.
    by_device: BTreeMap<String, usize>,
    /// Which one a device has, once that was asked.
    known: BTreeMap<DeviceId, Option<usize>>,
}

/// So many devices are remembered with their profiles; when there are more, it is found out again.
const MAX_KNOWN: usize = 1 << 16;

impl Profiles {
    /// A description of all devices that show its MUD URL. The latest one of a URL holds.
    pub fn add(&mut self, file: MudFile) {
        self.by_url.insert(file.url.clone(), self.files.len());
        self.files.push(file);
    }

    /// A description of one device, whatever URL it shows: by its id, one of its link-layer or network addresses, or its
    /// host name or label, whatever its letter case.
    pub fn assign(&mut self, device: &str, file: MudFile) {
        self.by_device.insert(device.trim().to_lowercase(), self.files.len());
        self.files.push(file);
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.files.len()
    }

    /// That of a device; `device` puts together what is known of it, if it was not asked before.
    pub(crate) fn of(&mut self, id: DeviceId, device: impl FnOnce() -> Option<Device>) -> Option<&MudFile> {
        let number = match self.known.get(&id) {
            Some(number) => *number,
            None => {
                let number = device().and_then(|device| self.find(&device));
                if self.known.len() >= MAX_KNOWN {
                    self.known.clear();
                }
                self.known.insert(id, number);
                number
            }
        };
        self.files.get(number?)
    }

    /// Something is known of a device that was not.
    pub(crate) fn forget(&mut self, id: DeviceId) {
        self.known.remove(&id);
    }

    fn find(&self, device: &Device) -> Option<usize> {
        let texts = |attribute| device.attributes.get(&attribute).into_iter().flatten();
        let names = texts(Attribute::Hostname).chain(texts(Attribute::Label));
        let mut own = std::iter::once(device.id.to_string())
            .chain(device.macs.iter().map(ToString::to_string))
            .chain(device.addresses.iter().rev().map(|known| known.ip.to_string()))
            .chain(names.map(|evidence| evidence.value.to_lowercase()));
        let mut shown = texts(Attribute::MudUrl);
        own.find_map(|name| self.by_device.get(&name))
            .or_else(|| shown.find_map(|evidence| self.by_url.get(&*evidence.value)))
            .copied()
    }
}
