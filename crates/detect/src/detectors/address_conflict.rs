//! Two hosts have one address: see [`DETECTOR`].

use model::{Host, Severity};

use super::arp_spoofing::is_spoofing;
use super::claims::{Claims, Contest};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule, Threshold};

/// Finds addresses that two hosts use.
pub(super) const DETECTOR: Rule = Rule {
    id: "address-conflict",
    title: "Address conflict",
    severity: Severity::Medium,
    attack: &["T0814"],
    finds: "Two devices use the same address: both claim it in turns (RFC 5227).",
    matters: "Connections to either break off now and then, and commands may reach the wrong one. Controllers have \
              stopped because a laptop was given their address.",
    fix: "Give one of the two another address. The link-layer addresses tell which devices they are.",
    thresholds: &[Threshold {
        name: "changes",
        about: "how often an address goes back and forth within ten minutes",
        unit: "changes",
        usual: 3.0,
    }],
    listens: &[Kind::Binding, Kind::Ended],
    keeps: "16384 addresses and as many stations",
    start: || Box::<AddressConflict>::default(),
};

const CHANGES: usize = 0;

#[derive(Default)]
struct AddressConflict {
    claims: Claims,
}

impl Detector for AddressConflict {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let Some(contest) = self.claims.take(seen.what, seen.at) else { return };
        let Contest { ip, owner, claimant, changes, since, .. } = contest;
        let victim = Host { mac: Some(owner), ip: Some(ip) };
        if (changes as f64) < out.limit(CHANGES, &victim) || is_spoofing(&contest, seen.site) {
            return;
        }
        let alarm = Alarm::about(Host::from_mac(claimant))
            .to(victim)
            .since(since)
            .crossed(CHANGES, changes as f64)
            .factor("changes of hands within ten minutes", changes, "none, or one when a card is replaced");
        out.raise(alarm, || format!("{owner} and {claimant} both use the address {ip}"));
    }
}

#[cfg(test)]
mod tests {
    use model::{BindingSource, MacAddr};

    use super::DETECTOR;
    use crate::testing::{Story, mac_of};

    #[test]
    fn two_devices_with_one_address_are_told_and_one_new_card_is_not() {
        let address = "10.0.0.9".parse().unwrap();
        let (one, other) = (mac_of(address), MacAddr([0, 9, 9, 9, 9, 9]));
        let mut story = Story::of(&DETECTOR).with_host("10.0.0.9").bound(address, other, BindingSource::Arp);
        for _ in 0..5 {
            story = story.wait(30).bound(address, other, BindingSource::Arp);
        }
        story.silent();
        for _ in 0..5 {
            story = story.wait(30).bound(address, one, BindingSource::Arp);
            story = story.wait(30).bound(address, other, BindingSource::Arp);
        }
        let finding = story.only();
        assert!(finding.summary.contains("00:09:09:09:09:09"), "{}", finding.summary);
    }
}
