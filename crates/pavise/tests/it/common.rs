//! What several groups of tests begin with.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Place;

/// What a command printed, as JSON.
#[track_caller]
pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A place where so many minutes of the plant were watched, with the policy that follows from it, `plant.policy`.
pub(super) fn watched_plant(minutes: u32) -> Place {
    let place = Place::new();
    place.run(&["lab", "plant", "--minutes", &minutes.to_string(), "--out", "plant.pcapng"]).good();
    place.run(&["watch", "--quiet", "plant.pcapng"]).good();
    place.run(&["policy", "propose", "--site", "Plant", "--out", "plant.policy"]).good();
    place
}

/// Has OpenSSL make a certificate `NAME.pem` with the key `NAME.key`, signed by itself unless `more` says by whom.
pub(super) fn certificate(place: &Place, openssl: &Path, name: &str, subject: &str, more: &[&str]) {
    let (key, out) = (format!("{name}.key"), format!("{name}.pem"));
    let done = Command::new(openssl)
        .current_dir(place.path(""))
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-nodes", "-days", "2", "-keyout", &key, "-out", &out, "-subj", subject])
        .args(more)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
