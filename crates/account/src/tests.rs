//! Stories of people who sign in, and of those who should not.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Timestamp;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::store::lock;

const SITE: &str = "http://localhost:8443";
const PASSWORD: &str = "several unrelated words";
const HOME: From<'_> =
    From { address: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)), agent: "Browser/1" };

fn at(second: u64) -> Timestamp {
    Timestamp::from_secs(1_790_000_000 + second)
}

/// Seals for tests: turns each byte round with the context's digest before it.
struct Turned;

impl Seal for Turned {
    fn seal(&self, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let digest: [u8; 32] = Sha256::digest(context).into();
        Ok(digest.into_iter().chain(plain.iter().map(|byte| !byte)).collect())
    }

    fn open(&self, context: &[u8], sealed: &[u8]) -> Result<Unsealed, SealError> {
        let digest: [u8; 32] = Sha256::digest(context).into();
        let rest = sealed.strip_prefix(&digest[..]).ok_or(SealError)?;
        Ok(Unsealed::new(rest.iter().map(|byte| !byte).collect()))
    }
}

fn accounts() -> Accounts {
    let passkeys = Passkeys::new(SITE).unwrap();
    Accounts::in_memory(Arc::new(Turned), passkeys, "administrator")
        .unwrap()
        .with_hardness(Hardness::FOR_TESTS)
}

/// Accounts with the administrator `root`, who has one-time passwords; and their key.
fn with_root() -> (Accounts, Vec<u8>) {
    let accounts = accounts();
    let link = accounts.setup_link(at(0)).unwrap().unwrap();
    accounts.setup(&link, "root", "Root", PASSWORD, at(1)).unwrap();
    let key = enrol(&accounts, "root", 2);
    (accounts, key)
}

/// Enrols one-time passwords.
fn enrol(accounts: &Accounts, name: &str, second: u64) -> Vec<u8> {
    let (uri, secret) = accounts.begin_totp(name, at(second)).unwrap();
    let key = key_of(&uri);
    accounts.confirm_totp(name, &secret, &code(&key, second), at(second)).unwrap();
    key
}

fn key_of(uri: &str) -> Vec<u8> {
    let text = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let bits: String = text
        .bytes()
        .map(|c| {
            format!(
                "{:05b}",
                b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".iter().position(|known| *known == c).unwrap()
            )
        })
        .collect();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

/// The code that an authenticator application shows at a moment.
fn code(key: &[u8], second: u64) -> String {
    totp::code(key, at(second).as_nanos() / 1_000_000_000 / 30).unwrap()
}

fn pending(accounts: &Accounts, name: &str, second: u64) -> Secret {
    match accounts.begin(name, PASSWORD, &HOME, at(second)).unwrap() {
        Begun::Pending { secret, .. } => secret,
        Begun::Enrol(_) => panic!("{name} has a second factor"),
    }
}

#[test]
fn the_first_administrator_comes_by_a_link_that_serves_once() {
    let accounts = accounts();
    let first = accounts.setup_link(at(0)).unwrap().unwrap();
    let second = accounts.setup_link(at(1)).unwrap().unwrap();
    let setup = |link: &Secret, second| accounts.setup(link, "root", "", PASSWORD, at(second));
    assert_eq!(setup(&first, 2), Err(AccountError::Stale), "a later link was made");
    assert_eq!(setup(&second, 24 * 3_600 + 1), Err(AccountError::Stale), "its time is over");
    assert!(matches!(
        accounts.setup(&second, "root", "", "password1234", at(2)),
        Err(AccountError::WeakPassword(_))
    ));
    assert!(matches!(accounts.setup(&second, "Röt", "", PASSWORD, at(2)), Err(AccountError::Invalid(_))));
    assert_eq!(setup(&second, 3).unwrap().what, "administrator-created");
    assert_eq!(setup(&second, 4), Err(AccountError::Stale), "it was used");
    assert!(accounts.setup_link(at(5)).unwrap().is_none(), "there is a user");
    let Begun::Enrol(opened) = accounts.begin("ROOT", PASSWORD, &HOME, at(6)).unwrap() else {
        panic!("no factor yet")
    };
    assert!(opened.session.may_only_enrol());
    assert!(matches!(accounts.enrolled(&opened.session, at(7)), Err(AccountError::Missing(_))));
    let key = enrol(&accounts, "root", 8);
    let full = accounts.enrolled(&opened.session, at(9)).unwrap();
    assert!(!full.session.may_only_enrol());
    assert!(accounts.session(&opened.secret, at(10)).unwrap().is_none(), "the secret before opens nothing");
    assert_eq!(accounts.session(&full.secret, at(10)).unwrap().unwrap().1.name, "root");
    // The code that confirmed cannot be used again.
    let now = pending(&accounts, "root", 11);
    assert!(matches!(accounts.finish_totp(&now, &code(&key, 8), &HOME, at(11)), Err(AccountError::Wrong)));
}

#[test]
fn the_first_user_may_be_given_more_than_managing_users() {
    let accounts = accounts().with_first_also(&["analyst"]);
    let link = accounts.setup_link(at(0)).unwrap().unwrap();
    accounts.setup(&link, "root", "", PASSWORD, at(1)).unwrap();
    let roles: Vec<_> = accounts.user("root").unwrap().grants.into_iter().map(|grant| grant.role).collect();
    assert_eq!(roles, ["administrator", "analyst"]);
}

#[test]
fn two_who_set_up_at_once_are_not_two_administrators() {
    let accounts = accounts();
    let link = accounts.setup_link(at(0)).unwrap().unwrap();
    let made = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| {
                let (accounts, link) = (&accounts, &link);
                scope.spawn(move || {
                    accounts.setup(link, &format!("root{number}"), "", PASSWORD, at(1)).is_ok()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|made| *made).count()
    });
    assert_eq!((made, accounts.users().unwrap().len()), (1, 1));
}

#[test]
fn who_signs_in_needs_both_factors_and_each_code_serves_once() {
    let (accounts, key) = with_root();
    for (name, password) in
        [("root", "several unrelated wordz"), ("nobody", PASSWORD), ("", ""), ("r oot", PASSWORD)]
    {
        assert!(matches!(accounts.begin(name, password, &HOME, at(60)), Err(AccountError::Wrong)), "{name}");
    }
    let first = pending(&accounts, "root", 100);
    let code_then = code(&key, 100);
    let opened = accounts.finish_totp(&first, &code_then, &HOME, at(100)).unwrap();
    assert_eq!(opened.session.factor, Some(at(100)));
    assert!(
        matches!(accounts.finish_totp(&first, &code(&key, 130), &HOME, at(130)), Err(AccountError::Stale)),
        "used"
    );
    let second = pending(&accounts, "root", 101);
    assert!(
        matches!(accounts.finish_totp(&second, &code_then, &HOME, at(101)), Err(AccountError::Wrong)),
        "the same code"
    );
    assert!(matches!(
        accounts.finish_totp(&Secret::shown("x"), &code_then, &HOME, at(101)),
        Err(AccountError::Stale)
    ));
    // Three wrong codes, and the password is asked again.
    for _ in 0..2 {
        assert!(matches!(accounts.finish_totp(&second, "000000", &HOME, at(102)), Err(AccountError::Wrong)));
    }
    assert!(matches!(
        accounts.finish_totp(&second, &code(&key, 160), &HOME, at(160)),
        Err(AccountError::Stale)
    ));
    // And five minutes are enough.
    let slow = pending(&accounts, "root", 200);
    assert!(matches!(
        accounts.finish_totp(&slow, &code(&key, 501), &HOME, at(501)),
        Err(AccountError::Stale)
    ));
}

#[test]
fn of_two_who_show_one_code_at_once_one_gets_in() {
    let (accounts, key) = with_root();
    let pendings: Vec<_> = (0..6).map(|_| pending(&accounts, "root", 300)).collect();
    let (codes, _) = accounts.recovery_codes("root").unwrap();
    let shown = code(&key, 300);
    let inside = |recovery: bool| {
        std::thread::scope(|scope| {
            let half = if recovery { &pendings[3..] } else { &pendings[..3] };
            let threads: Vec<_> = half
                .iter()
                .map(|pending| {
                    let (accounts, shown, codes) = (&accounts, &shown, &codes);
                    scope.spawn(move || match recovery {
                        true => accounts.finish_recovery(pending, codes[0].reveal(), &HOME, at(300)).is_ok(),
                        false => accounts.finish_totp(pending, shown, &HOME, at(300)).is_ok(),
                    })
                })
                .collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
        })
    };
    assert_eq!(inside(false), 1);
    assert_eq!(inside(true), 1);
    assert_eq!(accounts.user("root").unwrap().recovery_codes, 9);
    let written = codes[1].reveal().to_uppercase().replace('-', " ");
    let more = pending(&accounts, "root", 1_000);
    assert!(accounts.finish_recovery(&more, &written, &HOME, at(1_000)).is_ok(), "as people write them");
}

#[test]
fn guessing_is_slow_and_the_user_gets_in_from_elsewhere() {
    let (accounts, key) = with_root();
    let evil = From { address: "198.51.100.9".parse().unwrap(), agent: "" };
    let mut heard = 0;
    for second in 0..600 {
        match accounts.begin("root", "a guess of twelve", &evil, at(1_000 + second)) {
            Err(AccountError::Wrong) => heard += 1,
            Err(AccountError::Throttled(wait)) => assert!((1..=900).contains(&wait)),
            other => panic!("{other:?}"),
        }
    }
    assert!((10..=16).contains(&heard), "{heard} of 600 guesses were heard");
    let now = pending(&accounts, "root", 1_601);
    accounts.finish_totp(&now, &code(&key, 1_601), &HOME, at(1_601)).unwrap();
    // From everywhere at once: two a minute.
    let mut heard = 0;
    for second in 0..600_u64 {
        let from = From {
            address: IpAddr::from([
                10,
                9,
                u8::try_from(second / 250).unwrap(),
                u8::try_from(second % 250).unwrap(),
            ]),
            agent: "",
        };
        heard += u32::from(matches!(
            accounts.begin("root", "a guess of twelve", &from, at(5_000 + second)),
            Err(AccountError::Wrong)
        ));
    }
    assert!(heard <= 50, "{heard}");
}

#[test]
fn sessions_end_by_time_by_their_owner_and_with_the_password() {
    let (accounts, key) = with_root();
    let sign_in = |second| {
        let now = pending(&accounts, "root", second);
        accounts.finish_totp(&now, &code(&key, second), &HOME, at(second)).unwrap()
    };
    let holds = |opened: &Opened, second| accounts.session(&opened.secret, at(second)).unwrap().is_some();
    let idle = sign_in(100);
    assert!(holds(&idle, 100 + 1_799));
    assert!(holds(&idle, 100 + 3_500), "it was used meanwhile");
    assert!(!holds(&idle, 100 + 3_500 + 1_800));
    let long = sign_in(10_000);
    assert!((0..48).all(|half_hour| holds(&long, 10_000 + half_hour * 899)));
    assert!(!holds(&long, 10_000 + 12 * 3_600), "twelve hours are enough");
    let [one, two, three] = [60_000, 60_030, 60_060].map(sign_in);
    assert_eq!(accounts.sessions("root", at(60_070)).unwrap().len(), 3);
    accounts.end_session("root", &two.session.id).unwrap();
    assert!(matches!(accounts.end_session("root", &two.session.id), Err(AccountError::Missing(_))));
    assert!(holds(&one, 60_080) && !holds(&two, 60_080));
    accounts.end_other_sessions("root", &three.session.id).unwrap();
    assert!(!holds(&one, 60_090) && holds(&three, 60_090));
    assert_eq!(
        accounts.change_password("root", "wrong words indeed", "other unrelated words", &HOME, at(60_095)),
        Err(AccountError::Wrong)
    );
    accounts.change_password("root", PASSWORD, "other unrelated words", &HOME, at(60_095)).unwrap();
    assert!(!holds(&three, 60_100));
}

#[test]
fn showing_a_factor_anew_gives_another_secret_and_new_places_are_told() {
    let (accounts, key) = with_root();
    let now = pending(&accounts, "root", 100);
    let opened = accounts.finish_totp(&now, &code(&key, 100), &HOME, at(100)).unwrap();
    assert!(!opened.session.is_new_place, "the first place of all");
    let session = opened.session.clone();
    assert!(matches!(accounts.step_up_totp(&session, "000000", &HOME, at(400)), Err(AccountError::Wrong)));
    let renewed = accounts.step_up_totp(&session, &code(&key, 400), &HOME, at(400)).unwrap();
    assert_eq!((renewed.session.factor, &renewed.session.id), (Some(at(400)), &session.id));
    assert_ne!(renewed.session.csrf, session.csrf);
    assert!(accounts.session(&opened.secret, at(401)).unwrap().is_none());
    let abroad = From { address: "203.0.113.5".parse().unwrap(), agent: "" };
    let now = match accounts.begin("root", PASSWORD, &abroad, at(500)).unwrap() {
        Begun::Pending { secret, .. } => secret,
        Begun::Enrol(_) => unreachable!(),
    };
    let there = accounts.finish_totp(&now, &code(&key, 500), &abroad, at(500)).unwrap();
    assert!(there.session.is_new_place);
    assert!(
        !accounts
            .step_up_totp(&there.session, &code(&key, 560), &abroad, at(560))
            .unwrap()
            .session
            .is_new_place
    );
}

#[test]
fn users_are_invited_changed_and_the_last_administrator_stays() {
    let (accounts, _) = with_root();
    let viewer = [Grant { role: "viewer".into(), site: None, zone: Some("cell-3".into()) }];
    let (link, change) = accounts.invite("Ann@plant", "Ann", &viewer, at(10)).unwrap();
    assert_eq!((change.what, change.to.as_str()), ("user-invited", "ann@plant"));
    assert!(matches!(accounts.invite("ann@plant", "", &[], at(10)), Err(AccountError::Invalid(_))));
    assert!(
        matches!(accounts.begin("ann@plant", "", &HOME, at(11)), Err(AccountError::Wrong)),
        "no password yet"
    );
    let (again, _) = accounts.invite_again("ann@plant", false, at(12)).unwrap();
    assert_eq!(accounts.accept(&link, PASSWORD, at(13)), Err(AccountError::Stale), "a later link was made");
    accounts.accept(&again, PASSWORD, at(13)).unwrap();
    assert_eq!(accounts.accept(&again, PASSWORD, at(14)), Err(AccountError::Stale), "it was used");
    let Begun::Enrol(opened) = accounts.begin("ann@plant", PASSWORD, &HOME, at(15)).unwrap() else {
        panic!()
    };
    let ann = accounts.user("ann@plant").unwrap();
    let (changed, _) = accounts.change_user("ann@plant", ann.version, None, None, Some(true)).unwrap();
    assert!(changed.disabled && changed.grants == viewer);
    assert!(matches!(
        accounts.change_user("ann@plant", ann.version, None, None, Some(false)),
        Err(AccountError::Changed(_))
    ));
    assert!(accounts.session(&opened.secret, at(16)).unwrap().is_none(), "whoever is disabled is out");
    assert!(matches!(accounts.begin("ann@plant", PASSWORD, &HOME, at(17)), Err(AccountError::Wrong)));
    let root = accounts.user("root").unwrap();
    for (grants, disabled) in [(None, Some(true)), (Some(&viewer[..]), None), (Some(&[][..]), None)] {
        let refused = accounts.change_user("root", root.version, None, grants, disabled);
        assert!(matches!(refused, Err(AccountError::LastAdministrator(_))), "{grants:?} {disabled:?}");
    }
    assert!(matches!(accounts.remove_user("root"), Err(AccountError::LastAdministrator(_))));
    assert_eq!(accounts.user("root").unwrap(), root, "nothing of it was done");
    let administrator = [Grant { role: "administrator".into(), site: None, zone: None }];
    accounts.change_user("ann@plant", changed.version, None, Some(&administrator), Some(false)).unwrap();
    accounts.remove_user("root").unwrap();
    assert!(matches!(accounts.remove_user("ann@plant"), Err(AccountError::LastAdministrator(_))));
}

#[test]
fn tokens_hold_for_their_time_and_end_with_their_owner() {
    let (accounts, _) = with_root();
    let make = |name: &str, scopes: &[&str], expires| {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        accounts.make_token("root", name, &scopes, at(expires), at(10))
    };
    for (name, scopes, expires) in [
        ("", &["read"][..], 100),
        ("a", &[], 100),
        ("a", &["read all"], 100),
        ("a", &["read"], 10),
        ("a", &["read"], 400 * 86_400),
    ] {
        assert!(
            matches!(make(name, scopes, expires), Err(AccountError::Invalid(_))),
            "{name} {scopes:?} {expires}"
        );
    }
    let (token, text, _) = make("siem", &["view-device", "view-incident"], 1_000).unwrap();
    assert!(text.reveal().starts_with(PREFIX) && text.reveal()[PREFIX.len()..].starts_with(&token.id));
    let (found, owner) = accounts.token(text.reveal(), at(20)).unwrap().unwrap();
    assert_eq!((found.scopes, owner.name.as_str(), found.used), (token.scopes, "root", Some(at(20))));
    for number in 0..text.reveal().len() {
        let mut other = text.reveal().as_bytes().to_vec();
        other[number] = if other[number] == b'x' { b'y' } else { b'x' };
        let other = String::from_utf8(other).unwrap();
        assert!(accounts.token(&other, at(20)).unwrap().is_none(), "{number}");
    }
    for wrong in ["", PREFIX, "pavise_0000000000", "pavise_ä.00000000"] {
        assert!(accounts.token(wrong, at(20)).unwrap().is_none());
    }
    assert!(accounts.token(text.reveal(), at(1_000)).unwrap().is_none(), "its time is over");
    let (administrator, version) = ([Grant { role: "administrator".into(), site: None, zone: None }], 1);
    let (link, _) = accounts.invite("ann", "", &administrator, at(20)).unwrap();
    accounts.accept(&link, PASSWORD, at(21)).unwrap();
    let root = accounts.user("root").unwrap();
    accounts.change_user("root", root.version, None, None, Some(true)).unwrap();
    assert!(accounts.token(text.reveal(), at(30)).unwrap().is_none(), "whoever is disabled has no tokens");
    assert!(version == 1 && accounts.revoke_token("ann", &token.id).is_err(), "not hers");
    accounts.revoke_token("root", &token.id).unwrap();
    assert!(accounts.tokens(None).unwrap().is_empty());
}

/// An authenticator in software (WebAuthn Level 2, sections 6.1 and 6.5; COSE keys of RFC 9053).
struct Authenticator {
    key: SigningKey,
    id: Vec<u8>,
    counter: u32,
    verifies: bool,
}

impl Authenticator {
    fn new(number: u8) -> Self {
        Self {
            key: SigningKey::from_slice(&[number; 32]).unwrap(),
            id: vec![number; 16],
            counter: 0,
            verifies: true,
        }
    }

    fn data(&mut self, attested: bool) -> Vec<u8> {
        self.counter += 1;
        // User present, user verified, attested credential data.
        let flags = 0x01 | if self.verifies { 0x04 } else { 0 } | if attested { 0x40 } else { 0 };
        let mut data = Sha256::digest(b"localhost").to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    fn client(kind: &str, challenge: &Value, origin: &str) -> Vec<u8> {
        json!({ "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false })
            .to_string()
            .into_bytes()
    }

    fn register(&mut self, options: &Value, origin: &str) -> Value {
        let mut data = self.data(true);
        data.extend([0; 16]);
        data.extend((self.id.len() as u16).to_be_bytes());
        data.extend(&self.id);
        let point = self.key.verifying_key().to_sec1_point(false);
        let (x, y) = (point.x().unwrap(), point.y().unwrap());
        let mut cose = minicbor::Encoder::new(Vec::new());
        cose.map(5)
            .unwrap()
            .u8(1)
            .unwrap()
            .u8(2)
            .unwrap()
            .u8(3)
            .unwrap()
            .i8(-7)
            .unwrap()
            .i8(-1)
            .unwrap()
            .u8(1)
            .unwrap();
        cose.i8(-2).unwrap().bytes(x).unwrap().i8(-3).unwrap().bytes(y).unwrap();
        data.extend(cose.into_writer());
        let mut attestation = minicbor::Encoder::new(Vec::new());
        attestation
            .map(3)
            .unwrap()
            .str("fmt")
            .unwrap()
            .str("none")
            .unwrap()
            .str("attStmt")
            .unwrap()
            .map(0)
            .unwrap();
        attestation.str("authData").unwrap().bytes(&data).unwrap();
        let client = Self::client("webauthn.create", &options["publicKey"]["challenge"], origin);
        json!({
            "id": URL_SAFE_NO_PAD.encode(&self.id), "rawId": URL_SAFE_NO_PAD.encode(&self.id), "type": "public-key",
            "response": {
                "attestationObject": URL_SAFE_NO_PAD.encode(attestation.into_writer()),
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
            },
        })
    }

    fn show(&mut self, options: &Value, origin: &str) -> Value {
        let data = self.data(false);
        let client = Self::client("webauthn.get", &options["publicKey"]["challenge"], origin);
        let signed: Vec<u8> = data.iter().copied().chain(Sha256::digest(&client)).collect();
        let signature: Signature = self.key.sign(&signed);
        json!({
            "id": URL_SAFE_NO_PAD.encode(&self.id), "rawId": URL_SAFE_NO_PAD.encode(&self.id), "type": "public-key",
            "response": {
                "authenticatorData": URL_SAFE_NO_PAD.encode(data), "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
                "signature": URL_SAFE_NO_PAD.encode(signature.to_der()), "userHandle": null,
            },
        })
    }
}

fn register(
    accounts: &Accounts,
    name: &str,
    authenticator: &mut Authenticator,
    second: u64,
) -> Result<Change, AccountError> {
    let (options, secret) = accounts.begin_passkey(name, at(second)).unwrap();
    let shown = authenticator.register(&serde_json::to_value(options).unwrap(), SITE);
    accounts.finish_passkey(name, &secret, &serde_json::from_value(shown).unwrap(), "key", at(second))
}

#[test]
fn a_passkey_is_a_second_factor_for_its_owner_at_this_site() {
    let (accounts, _) = with_root();
    let mut authenticator = Authenticator::new(7);
    register(&accounts, "root", &mut authenticator, 10).unwrap();
    assert_eq!(accounts.user("root").unwrap().passkeys, 1);
    let sign_in = |authenticator: &mut Authenticator, origin: &str, second| {
        let first = pending(&accounts, "root", second);
        let (options, challenge) = accounts.challenge_for(&first, at(second)).unwrap();
        let shown = authenticator.show(&serde_json::to_value(options).unwrap(), origin);
        let shown = serde_json::from_value(shown).unwrap();
        let opened = accounts.finish_challenge(&first, &challenge, &shown, &HOME, at(second));
        // The same answer again opens nothing, whatever came of the first.
        let again = pending(&accounts, "root", second);
        assert!(accounts.finish_challenge(&again, &challenge, &shown, &HOME, at(second)).is_err());
        accounts.throttle.lock().unwrap().succeeded("root", "192.0.2.7");
        opened
    };
    assert!(sign_in(&mut authenticator, SITE, 100).is_ok());
    assert!(sign_in(&mut authenticator, "http://localhost:9000", 110).is_ok(), "on localhost, any port");
    assert!(
        matches!(sign_in(&mut authenticator, "https://evil.example", 120), Err(AccountError::Wrong)),
        "phished"
    );
    let mut unverified = Authenticator { verifies: false, counter: 50, ..Authenticator::new(7) };
    assert!(
        matches!(sign_in(&mut unverified, SITE, 130), Err(AccountError::Wrong)),
        "stolen, without its PIN"
    );
    let mut other = Authenticator { id: vec![7; 16], counter: 60, ..Authenticator::new(8) };
    assert!(matches!(sign_in(&mut other, SITE, 140), Err(AccountError::Wrong)), "another key");
    let mut cloned = Authenticator { counter: 0, ..Authenticator::new(7) };
    assert!(
        matches!(sign_in(&mut cloned, SITE, 150), Err(AccountError::Wrong)),
        "a copy, whose counter is behind"
    );
    // It is one person's.
    let (link, _) = accounts.invite("ann", "", &[], at(200)).unwrap();
    accounts.accept(&link, PASSWORD, at(201)).unwrap();
    assert!(register(&accounts, "ann", &mut Authenticator::new(7), 210).is_err());
    register(&accounts, "ann", &mut Authenticator::new(9), 220).unwrap();
    let id = accounts.passkeys("ann").unwrap()[0].id.clone();
    assert!(matches!(accounts.remove_passkey("ann", &id), Err(AccountError::Invalid(_))), "her only one");
    assert!(matches!(accounts.remove_passkey("root", &id), Err(AccountError::Missing(_))));
    accounts.remove_totp("root").unwrap();
    assert!(accounts.remove_totp("ann").is_ok(), "she has a passkey");
}

#[test]
fn what_is_under_way_is_bounded() {
    let (accounts, _) = with_root();
    let first = pending(&accounts, "root", 100);
    for _ in 0..CEREMONIES_MAX {
        accounts.begin_totp("root", at(101)).unwrap();
    }
    assert!(lock(&accounts.ceremonies).begun(&first).is_none(), "the oldest went");
}

#[test]
fn accounts_are_for_their_owner_alone_and_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    let open = || {
        Accounts::open(&path, Arc::new(Turned), Passkeys::new(SITE).unwrap(), "administrator")
            .map(|accounts| accounts.with_hardness(Hardness::FOR_TESTS))
    };
    let accounts = open().unwrap();
    let link = accounts.setup_link(at(0)).unwrap().unwrap();
    accounts.setup(&link, "root", "", PASSWORD, at(1)).unwrap();
    let key = enrol(&accounts, "root", 2);
    #[cfg(unix)]
    for file in std::fs::read_dir(folder.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.path());
    }
    drop(accounts);
    let bytes = std::fs::read(&path).unwrap();
    for secret in [PASSWORD.as_bytes(), link.reveal().as_bytes(), &key] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "nothing of it is readable");
    }
    let accounts = open().unwrap();
    let now = pending(&accounts, "root", 100);
    assert!(accounts.finish_totp(&now, &code(&key, 100), &HOME, at(100)).is_ok());
    assert!(accounts.session(&Secret::shown("x"), at(100) + Duration::from_secs(1)).unwrap().is_none());
}

#[test]
fn passwords_are_hashed_anew_when_hashing_becomes_harder() {
    let (accounts, _) = with_root();
    let harder = Hardness { passes: 2, ..Hardness::FOR_TESTS };
    let accounts = accounts.with_hardness(harder);
    pending(&accounts, "root", 100);
    let kept = accounts.read(|connection| user::kept_password(connection, "root")).unwrap().unwrap();
    assert!(kept.is_current(harder));
}

#[test]
fn a_site_needs_a_name_for_passkeys() {
    for site in ["http://192.0.2.1:8443", "nothing", "https://"] {
        assert!(Passkeys::new(site).is_err(), "{site}");
    }
    assert!(Passkeys::new("https://pavise.plant.example:8443").is_ok());
}
