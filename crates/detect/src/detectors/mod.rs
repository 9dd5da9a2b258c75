//! The detectors: one file each, one line in the list.

mod address_conflict;
mod arp_spoofing;
mod beaconing;
mod brute_force;
mod claims;
mod cleartext_management;
mod contacts;
mod controller_scan;
mod default_credentials;
mod dns_tunnel;
mod domains;
mod exfiltration;
mod few;
mod generated_domains;
mod host_scan;
mod password_spraying;
mod port_scan;
mod rogue_dhcp;
mod services;
mod threat_intelligence;
mod unauthenticated_service;
mod weak_ssh;
mod weak_tls;

use crate::rule::Rule;

/// All detectors, by theme.
pub static DETECTORS: &[&Rule] = &[
    // Who looks around.
    &host_scan::DETECTOR,
    &port_scan::DETECTOR,
    &controller_scan::DETECTOR,
    // Who poses as another.
    &arp_spoofing::DETECTOR,
    &address_conflict::DETECTOR,
    &rogue_dhcp::DETECTOR,
    // Who guesses passwords, and who has bad ones.
    &brute_force::DETECTOR,
    &password_spraying::DETECTOR,
    &default_credentials::DETECTOR,
    &cleartext_management::DETECTOR,
    &unauthenticated_service::DETECTOR,
    // What can be broken.
    &weak_tls::DETECTOR,
    &weak_ssh::DETECTOR,
    // What goes out.
    &dns_tunnel::DETECTOR,
    &generated_domains::DETECTOR,
    &beaconing::DETECTOR,
    &exfiltration::DETECTOR,
    // What others have warned of.
    &threat_intelligence::DETECTOR,
];
