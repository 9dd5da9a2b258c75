//! The detectors: one file each, one line in the list.

mod address_conflict;
mod arp_scan;
mod arp_spoofing;
mod beaconing;
mod botnet_command_channel;
mod brute_force;
mod claims;
mod cleartext_management;
mod contacts;
mod controller_scan;
mod default_credentials;
mod dns_tunnel;
mod domains;
mod executable_download;
mod exfiltration;
mod few;
mod generated_domains;
mod host_scan;
mod inbound_flood;
mod internet_access;
mod irc_botnet;
mod outbound_flood;
mod password_spraying;
mod port_scan;
mod protocol_violation;
mod rates;
mod remote_access;
mod rogue_dhcp;
mod roles;
mod services;
mod unauthenticated_service;
mod unauthenticated_write;
mod weak_ssh;
mod weak_tls;
mod worm_spread;

use crate::rule::Rule;

/// All detectors, by theme.
pub static DETECTORS: &[&Rule] = &[
    // Who looks around.
    &host_scan::DETECTOR,
    &arp_scan::DETECTOR,
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
    // Who floods whom.
    &outbound_flood::DETECTOR,
    &inbound_flood::DETECTOR,
    // What becomes of devices.
    &worm_spread::DETECTOR,
    &executable_download::DETECTOR,
    &irc_botnet::DETECTOR,
    &botnet_command_channel::DETECTOR,
    &unauthenticated_write::DETECTOR,
    &protocol_violation::DETECTOR,
    // Who comes in and goes out.
    &internet_access::DETECTOR,
    &remote_access::DETECTOR,
];
