//! Whether descriptions may be used, and until when.

use std::time::Duration;

use model::Timestamp;
use mud::{
    Cached, Fetched, Forwarding, Freshness, MudFile, Origin, Reason, SignatureError, Signer, Trust, UrlFault,
    Verdict, changes, check_url, judge, read,
};

const URL: &str = "https://lamps.example/lamp-7";

fn lamp() -> MudFile {
    read(include_bytes!("lamp.json")).unwrap().file
}

fn signer(name: &str) -> Signer {
    Signer {
        subject: name.into(),
        name: name.as_bytes().to_vec(),
        fingerprint: [0; 32],
        chain: vec![name.into()],
        algorithm: "Ed25519",
    }
}

fn cached(file: MudFile, by: Option<&str>) -> Cached {
    Cached { url: URL.into(), file, signer: by.map(signer), fetched: Timestamp::from_secs(1_000_000) }
}

/// A file of a later time.
fn later(change: impl FnOnce(&mut MudFile)) -> MudFile {
    let mut file = lamp();
    file.last_update = "2026-04-02T08:00:00+01:00".into();
    change(&mut file);
    file
}

/// A judgement on a signed file.
fn verdict(origin: Origin, file: &MudFile, cached: Option<&Cached>, is_approved: bool) -> Verdict {
    let signature = Ok(signer("maker"));
    let fetched = Fetched::File { file, redirects: &[], signature: Some(&signature) };
    judge(URL, origin, fetched, false, cached, is_approved)
}

#[test]
fn urls_that_may_not_be_asked_are_told() {
    for (url, expected) in [
        (URL, Ok(())),
        ("https://lamps.example:8443/a/b?c=d", Ok(())),
        ("http://lamps.example/x", Err(UrlFault::NotHttps)),
        ("ftp://lamps.example/x", Err(UrlFault::NotHttps)),
        ("https://user@lamps.example/x", Err(UrlFault::NotHttps)),
        ("https://lamps.example/x#y", Err(UrlFault::Characters)),
        ("https://lamps.example/x y", Err(UrlFault::Characters)),
        ("https://lamps.example/x\r\nHost: y", Err(UrlFault::Characters)),
        ("https://localhost/x", Err(UrlFault::Local)),
        ("https://printer/x", Err(UrlFault::Local)),
        ("https://printer.local./x", Err(UrlFault::Local)),
        ("https://192.168.1.1/x", Err(UrlFault::Local)),
        ("https://192.168.257/x", Err(UrlFault::Local)),
        ("https://127.0.0.0x1/x", Err(UrlFault::Local)),
        ("https://[::1]/x", Err(UrlFault::Local)),
    ] {
        assert_eq!(check_url(url), expected, "{url}");
    }
    let long = |length: usize| format!("{URL}{}", "x".repeat(length - URL.len()));
    assert_eq!(check_url(&long(mud::MAX_URL)), Ok(()));
    assert_eq!(check_url(&long(mud::MAX_URL + 1)), Err(UrlFault::TooLong));
}

#[test]
fn trust_follows_from_how_the_url_is_known_and_who_signed() {
    let bad = Err(SignatureError::Content);
    let good = Ok(signer("maker"));
    let file = lamp();
    for (origin, signature, wanted, approved, expected) in [
        (Origin::ProvenCertificate, Some(&good), true, false, Trust::Trusted),
        (Origin::Administrator, Some(&good), false, false, Trust::Trusted),
        (Origin::Certificate, Some(&good), false, false, Trust::Limited),
        (Origin::Lldp, Some(&good), false, false, Trust::Limited),
        (Origin::Dhcp, Some(&good), false, false, Trust::Limited),
        (Origin::Dhcp, Some(&good), false, true, Trust::Trusted),
        (Origin::ProvenCertificate, None, false, false, Trust::Limited),
        (Origin::ProvenCertificate, None, true, false, Trust::Refused),
        (Origin::Dhcp, None, false, false, Trust::Limited),
        (Origin::Administrator, Some(&bad), false, false, Trust::Refused),
        (Origin::Administrator, Some(&bad), false, true, Trust::Trusted),
    ] {
        let fetched = Fetched::File { file: &file, redirects: &[], signature };
        let verdict = judge(URL, origin, fetched, wanted, None, approved);
        assert_eq!(verdict.trust, expected, "{origin:?} {signature:?} {:?}", verdict.reasons);
        assert_eq!(verdict.may_be_approved, expected < Trust::Trusted);
        assert!(verdict.reasons.iter().all(|reason| !reason.to_string().is_empty()));
    }
    for fetched in [Fetched::Unreachable, Fetched::Unreadable] {
        let verdict = judge(URL, Origin::Administrator, fetched, false, None, true);
        assert_eq!((verdict.trust, verdict.may_be_approved), (Trust::Refused, false));
    }
    let fetched = Fetched::File { file: &file, redirects: &[], signature: Some(&good) };
    let verdict = judge("http://lamps.example/lamp-7", Origin::Dhcp, fetched, false, None, true);
    assert_eq!(verdict.trust, Trust::Refused);
}

#[test]
fn a_file_must_come_from_where_it_belongs() {
    let good = Ok(signer("maker"));
    let at = |url: &str, redirects: &[&str]| {
        let file = MudFile { url: url.into(), ..lamp() };
        let redirects: Vec<String> = redirects.iter().map(|url| (*url).into()).collect();
        let fetched = Fetched::File { file: &file, redirects: &redirects, signature: Some(&good) };
        let verdict = judge(URL, Origin::Administrator, fetched, false, None, false);
        (verdict.trust, verdict.may_be_approved)
    };
    assert_eq!(at(URL, &[]), (Trust::Trusted, false));
    assert_eq!(at("https://LAMPS.example:443/lamp-8", &[]), (Trust::Trusted, false), "beside it");
    assert_eq!(at("https://lamps.example/other/lamp-7", &[]), (Trust::Refused, true));
    assert_eq!(at("https://doors.example/lamp-7", &[]), (Trust::Refused, true));
    assert_eq!(at(URL, &["https://lamps.example/files/7"]), (Trust::Trusted, false));
    assert_eq!(at(URL, &["https://cdn.example/7"]), (Trust::Refused, true));
    assert_eq!(at(URL, &["https://lamps.example/x", "http://lamps.example/7"]), (Trust::Refused, false));
    assert_eq!(at(URL, &["https://127.0.0.1/7"]), (Trust::Refused, false));
    assert_eq!(at(URL, &["https://lamps.example/x"; mud::MAX_REDIRECTS]), (Trust::Trusted, false));
    assert_eq!(at(URL, &["https://lamps.example/x"; mud::MAX_REDIRECTS + 1]), (Trust::Refused, false));
}

#[test]
fn what_grows_needs_approval_and_what_shrinks_is_told() {
    let old = cached(lamp(), Some("maker"));
    let admin = |file: &MudFile| verdict(Origin::Administrator, file, Some(&old), false);
    assert_eq!(admin(&lamp()).reasons, []);
    assert_eq!(admin(&later(|_| {})).reasons, []);
    let grown = later(|file| {
        let mut more = file.acls[0].aces[0].clone();
        more.name = "more".into();
        more.matches.l4 = None;
        file.acls[0].aces.push(more);
    });
    let told = admin(&grown);
    assert_eq!((told.trust, told.may_be_approved), (Trust::Refused, true));
    assert!(
        matches!(&told.reasons[..], [Reason::Grows(change)] if change.grows.len() == 1 && change.grows[0].1.ace == "more")
    );
    assert_eq!(verdict(Origin::Administrator, &grown, Some(&old), true).trust, Trust::Trusted);
    let shrunk = later(|file| _ = file.acls[0].aces.pop());
    let told = admin(&shrunk);
    assert_eq!(told.trust, Trust::Trusted);
    assert!(matches!(&told.reasons[..], [Reason::Shrinks(change)] if change.shrinks[0].1.ace == "peers"));
    // What is forbidden no more, and what is forbidden too late, is growth too.
    let forgiven = later(|file| file.acls[1].aces.clear());
    assert_eq!(admin(&forgiven).trust, Trust::Refused);
    let late = |first: usize, second: usize| {
        let mut file = later(|_| {});
        let mut all = file.acls[1].aces[0].clone();
        (all.name, all.forwarding, all.matches) = ("all".into(), Forwarding::Accept, mud::Matches::default());
        file.acls[1].aces.push(all);
        file.acls[1].aces = [first, second].map(|place| file.acls[1].aces[place].clone()).to_vec();
        file
    };
    assert_eq!(changes(&late(0, 1), &late(1, 0)).grows.len(), 1, "what was forbidden is allowed first");
    assert_eq!(changes(&late(1, 0), &late(0, 1)).shrinks.len(), 1);
    let allowed = later(|file| file.acls[1].aces[0].forwarding = Forwarding::Accept);
    assert_eq!(admin(&allowed).trust, Trust::Refused);
    // A rule with a condition that is not understood allows nothing.
    let odd = later(|file| {
        let mut odd = file.acls[2].aces[0].clone();
        odd.name = "odd".into();
        odd.matches.l4 = None;
        odd.unknown.insert("matches/x:y".into(), 1.into());
        file.acls[2].aces.push(odd);
    });
    assert_eq!(admin(&odd).reasons, []);
}

#[test]
fn older_files_other_signers_and_other_makers_need_approval() {
    let old = cached(later(|_| {}), Some("maker"));
    let told = verdict(Origin::Administrator, &lamp(), Some(&old), false);
    assert_eq!((told.trust, &told.reasons[..]), (Trust::Refused, &[Reason::Older][..]));
    let same = later(|file| file.systeminfo = None);
    assert_eq!(verdict(Origin::Administrator, &same, Some(&old), false).reasons, [Reason::SameTime]);
    let by = cached(lamp(), Some("other"));
    assert_eq!(verdict(Origin::Administrator, &lamp(), Some(&by), false).reasons, [Reason::SignerChanged]);
    let fetched = Fetched::File { file: &lamp(), redirects: &[], signature: None };
    let told = judge(URL, Origin::Administrator, fetched, false, Some(&by), false);
    assert_eq!((told.trust, &told.reasons[..]), (Trust::Refused, &[Reason::SignatureGone][..]));
    let maker = Cached { url: "https://doors.example/1".into(), ..cached(lamp(), Some("maker")) };
    let told = verdict(Origin::Dhcp, &lamp(), Some(&maker), false);
    assert_eq!((told.trust, told.may_be_approved), (Trust::Refused, true));
    assert!(told.reasons.contains(&Reason::AuthorityChanged));
    assert_eq!(
        verdict(Origin::ProvenCertificate, &lamp(), Some(&maker), false).trust,
        Trust::Trusted,
        "it is proven"
    );
    let dropped = later(|file| file.is_supported = false);
    let told = verdict(Origin::Administrator, &dropped, None, false);
    assert_eq!((told.trust, &told.reasons[..]), (Trust::Trusted, &[Reason::Unsupported][..]));
}

#[test]
fn files_are_fresh_for_as_long_as_they_say() {
    let hours = |hours: u64| Timestamp::from_secs(1_000_000) + Duration::from_secs(3_600 * hours);
    for (validity, last) in [(Some(1), 1), (Some(168), 168), (None, 48)] {
        let entry = cached(MudFile { cache_validity: validity, ..lamp() }, None);
        assert_eq!(entry.freshness(hours(0)), Freshness::Fresh(hours(last)));
        assert_eq!(entry.freshness(hours(last) - Duration::from_nanos(1)), Freshness::Fresh(hours(last)));
        assert_eq!(entry.freshness(hours(last)), Freshness::Stale);
        assert_eq!(entry.freshness(Timestamp::EPOCH), Freshness::Stale, "the clock was wrong");
    }
}
