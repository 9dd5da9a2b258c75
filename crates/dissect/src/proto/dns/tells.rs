//! What a question gives away about who asks: systems look for a way to the Internet and for the time
//! under names of their makers.

use model::{Attribute, Confidence, Side};

use super::wire::{Name, digest};
use crate::proto::Emit;

/// A name that only one system asks for by itself.
struct Tell {
    digest: u32,
    name: &'static str,
    attribute: Attribute,
    value: &'static str,
}

const fn tell(name: &'static str, attribute: Attribute, value: &'static str) -> Tell {
    Tell { digest: digest(name), name, attribute, value }
}

use Attribute::{OperatingSystem, Vendor};

static TELLS: &[Tell] = &[
    tell("android.pool.ntp.org", OperatingSystem, "Android"),
    tell("captive.apple.com", Vendor, "Apple"),
    tell("connectivity-check.ubuntu.com", OperatingSystem, "Ubuntu"),
    tell("connectivitycheck.android.com", OperatingSystem, "Android"),
    tell("connectivitycheck.gstatic.com", OperatingSystem, "Android"),
    tell("debian.pool.ntp.org", OperatingSystem, "Debian"),
    tell("dns.msftncsi.com", OperatingSystem, "Windows"),
    tell("fedora.pool.ntp.org", OperatingSystem, "Fedora"),
    tell("freebsd.pool.ntp.org", OperatingSystem, "FreeBSD"),
    tell("network-test.debian.org", OperatingSystem, "Debian"),
    tell("nmcheck.gnome.org", OperatingSystem, "Linux"),
    tell("ntp.ubuntu.com", OperatingSystem, "Ubuntu"),
    tell("openwrt.pool.ntp.org", OperatingSystem, "OpenWrt"),
    tell("time.android.com", OperatingSystem, "Android"),
    tell("time.apple.com", Vendor, "Apple"),
    tell("time.windows.com", OperatingSystem, "Windows"),
    tell("time-ios.apple.com", OperatingSystem, "iOS"),
    tell("time-macos.apple.com", OperatingSystem, "macOS"),
    tell("ubuntu.pool.ntp.org", OperatingSystem, "Ubuntu"),
    tell("www.msftconnecttest.com", OperatingSystem, "Windows"),
    tell("www.msftncsi.com", OperatingSystem, "Windows"),
];

/// Tells what a question for `name` says about `from`. A resolver that asks for others asks servers in
/// the Internet, so only questions to a private address count.
pub(super) fn of_question(name: Name<'_>, hash: u32, from: Side, out: &mut Emit<'_>) {
    let local = out.host(from.other()).ip.is_some_and(super::is_private);
    if !local {
        return;
    }
    // Pools are asked by number: 2.debian.pool.ntp.org.
    let (name, hash) = match name.first() {
        [b'0'..=b'9'] => (name.parent(), name.parent().digest()),
        _ => (name, hash),
    };
    // A digest may be that of another name by chance.
    if let Some(told) = TELLS.iter().find(|tell| tell.digest == hash)
        && name.lower().to_string() == told.name
    {
        out.fact(from, told.attribute, told.value, "dns.question", Confidence::HINT);
    }
}
