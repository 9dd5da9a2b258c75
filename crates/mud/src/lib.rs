//! Manufacturer Usage Descriptions (RFC 8520): what a maker says that a device is meant to do.
//!
//! A description is a JSON file of two parts: about the device (`ietf-mud:mud`) and access lists (RFC 8519) for
//! what comes from it and what goes to it. What is not allowed is forbidden.
//!
//! * [`read`] takes a file from anywhere, tells what is wrong with it and where, and loses nothing that it does not
//!   understand; [`write()`] gives the same bytes for the same description.
//! * [`decide`] tells whether a description allows a conversation, and by which rule.
//! * [`generate`] makes a description of what a device was seen to do.
//! * [`deviations`] holds what was seen against a description, [`compare`] holds two descriptions against each other.
//! * [`policy_rules`] says what a description allows as rules of a policy.
//! * [`verify`] and [`sign`] are about signatures, [`judge`] about how far a description is trusted, and until when.
//!
//! What is decided, and why, is in `docs/mud.md`. The crate does no input or output and reads no clock.

mod certificate;
mod compare;
mod crypto;
mod decide;
mod der;
mod file;
mod generate;
mod json;
mod peer;
mod pem;
mod read;
mod rules;
mod signature;
mod trust;
mod write;

pub use certificate::{CertificateError, MAX_CHAIN, MudExtensions, mud_extensions};
pub use compare::{
    Change, Deviation, Deviations, Difference, MAX_DEVIATIONS, Relation, RuleName, changes, compare,
    deviations,
};
pub use crypto::{MAX_RSA_BITS, MIN_RSA_BITS};
pub use decide::{
    CLASS_DNS, CLASS_GATEWAY, CLASS_NTP, Conversation, Decision, Peer, Ruling, decide, is_never_routed,
};
pub use file::{
    Ace, Acl, AclKind, Eth, Forwarding, Initiator, Ip, IpVersion, L4, Matches, MudFile, MudMatch, Network,
    Ports, Unknown,
};
pub use generate::{
    GenerateError, Generated, MAX_NOTES, MAX_PEERS, MAX_PORTS, MAX_RULES, MAX_UNSEEN, MIN_DAYS, MIN_NEW,
    Note, Seen, Subject, generate,
};
pub use pem::der_objects;
pub use read::{
    EXTENSIONS, Fault, MAX_ACES, MAX_ACLS, MAX_BYTES, MAX_DEPTH, MAX_EXTENSIONS, MAX_FAULTS, MAX_NAME,
    MAX_TEXT, Read, ReadError, read,
};
pub use rules::{PolicyRules, Terms, policy_rules};
pub use signature::{
    MAX_CERTIFICATES, MAX_SIGNATURE, MAX_SIGNERS, SignatureError, Signer, SigningKey, sign, verify,
};
pub use trust::{
    Cached, DEFAULT_VALIDITY_HOURS, Fetched, Freshness, MAX_REDIRECTS, MAX_URL, Origin, Reason, Trust,
    UrlFault, Verdict, check_url, judge,
};
pub use write::write;
