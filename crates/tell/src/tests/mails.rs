//! Mails, to a server that speaks as real ones do.

use std::time::Duration;

use testkit::tls::{Authority, Server, Speaks, free, mail};

use super::{Desk, clock, once, one, packed};
use crate::peers::message;
use crate::{MAILS_PER_HOUR, MAX_GATHERED, Most, Receiver, Step};

pub(super) fn mailer(authority: &Authority, scheme: &str, port: u16, more: &str) -> Receiver {
    let login = if more.contains("password-file") { "user = \"plant\"\n" } else { "" };
    let ca = if more.contains("ca =") {
        String::new()
    } else {
        format!("ca = \"{}\"\n", authority.text("ca.pem"))
    };
    let text = format!(
        "[mail]\nserver = \"{scheme}://localhost:{port}\"\nfrom = \"Pavise <pavise@plant.example>\"\n\
         to = [\"Operators <ops@plant.example>\", \"night@plant.example\"]\n{login}{ca}{more}"
    );
    one(&text)
}

const LOGIN: Option<(&str, &str)> = Some(("plant", "s3cret"));

#[test]
fn a_mail_says_what_happened_and_how_to_undo_it_by_starttls_and_by_tls() {
    let authority = Authority::new();
    let password = format!("password-file = \"{}\"", authority.secret("password", "s3cret\n"));
    let config = authority.server(false);
    for (scheme, speaks) in [("smtp", Speaks::Starts(config.clone())), ("smtps", Speaks::Wrapped(config))] {
        let server = mail(speaks, 0, LOGIN);
        once(&mut mailer(&authority, scheme, server.port, &password)).unwrap();
        let mail = server.hears();
        assert!(mail.by_tls && mail.logged_in);
        assert_eq!(mail.recipients, ["<ops@plant.example>", "<night@plant.example>"]);
        assert_eq!(mail.header("From").as_deref(), Some("Pavise <pavise@plant.example>"));
        assert_eq!(mail.header("To").as_deref(), Some("Operators <ops@plant.example>, night@plant.example"));
        assert_eq!(mail.header("Auto-Submitted").as_deref(), Some("auto-generated"));
        assert!(mail.header("Date").is_some() && mail.header("Message-ID").unwrap().ends_with("@pavise>"));
        // RFC 2047: not ASCII, in base64.
        assert!(mail.header("Subject").unwrap().contains("=?utf-8?b?"), "{}", mail.text);
        let body = mail.body();
        for line in [
            "What happened:    Password guessing (rule plant)",
            "Severity:         high",
            "Device:           10.0.0.5 (camera-3, Büro)",
            "What was done:    contained 10.0.0.5 (camera-3, Büro) for 1 h: incident i000000000001, cuts 3 conversations",
            "Until:            2023-11-14T23:14:21Z; then it ends by itself",
            "How to undo it:   pavise actions revert a86bfd04907f66c0e",
            "Incident:         i000000000001; `pavise incidents i000000000001` tells all of it",
            "What to do first: Look at who uses camera-3.",
        ] {
            assert!(body.contains(&format!("{line}\r\n")), "{line}\n{body}");
        }
    }
}

#[test]
fn nothing_is_mailed_to_whom_cannot_show_who_it_is_nor_without_tls_nor_with_a_wrong_password() {
    let authority = Authority::new();
    let [right, wrong] = [("right", "s3cret"), ("wrong", "guess")]
        .map(|(name, text)| format!("password-file = \"{}\"\n", authority.secret(name, text)));
    let other = format!("{right}ca = \"{}\"\n", authority.text("other.pem"));
    let config = authority.server(false);
    for (scheme, speaks) in [("smtp", Speaks::Starts(config.clone())), ("smtps", Speaks::Wrapped(config))] {
        let server = mail(speaks, 0, LOGIN);
        let error = once(&mut mailer(&authority, scheme, server.port, &other)).unwrap_err();
        assert!(error.contains("certificate") && error.contains("with ca"), "{error}");
        let error = once(&mut mailer(&authority, scheme, server.port, &wrong)).unwrap_err();
        assert!(
            error.contains("535") && error.contains("password-file") && !error.contains("guess"),
            "{error}"
        );
        assert!(once(&mut mailer(&authority, scheme, server.port, "")).unwrap_err().contains("530"));
        assert!(server.rest().is_empty());
        once(&mut mailer(&authority, scheme, server.port, &right)).unwrap();
        assert!(server.hears().logged_in);
    }
    // It does not offer STARTTLS: neither password nor mail is shown to whoever is on the way.
    let server = mail(Speaks::Plain, 0, LOGIN);
    assert!(once(&mut mailer(&authority, "smtp", server.port, &right)).is_err());
    assert!(server.rest().is_empty());
    // To this machine itself, where no authority is named, it may be so.
    let text = format!(
        "[mail]\nserver = \"smtp://127.0.0.1:{}\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\nuser = \"plant\"\n{right}",
        server.port
    );
    once(&mut one(&text)).unwrap();
    let mail = server.hears();
    assert!(!mail.by_tls && mail.logged_in);
}

#[test]
fn a_mail_server_that_is_down_gets_its_mails_in_order_when_it_is_back() {
    let authority = Authority::new();
    let port = free();
    let mut desk = Desk::new(mailer(&authority, "smtps", port, ""));
    desk.put("taken");
    desk.put("refused");
    desk.fails();
    desk.fails();
    let server = mail(Speaks::Wrapped(authority.server(false)), port, None);
    assert_eq!((desk.step(), desk.step(), desk.step()), (Step::Sent(1), Step::Sent(1), Step::Idle(None)));
    assert!(server.hears().body().contains("How to undo it:   pavise actions revert"));
    assert!(server.hears().body().contains("How to undo it:   nothing was done"));
    assert!(server.rest().is_empty());
}

#[test]
fn of_many_messages_few_mails_are_sent_and_one_that_tells_the_rest() {
    let authority = Authority::new();
    let server: Server<_> = mail(Speaks::Wrapped(authority.server(false)), 0, None);
    let mut mailer = mailer(&authority, "smtps", server.port, "");
    let begun = clock();
    let after = |seconds: u64| begun + Duration::from_secs(seconds);
    let at_once = MAILS_PER_HOUR - 1;
    for number in 0..at_once {
        assert_eq!(mailer.carrier.most(1, after(number as u64)), Most::Now(1), "{number}");
        let letter = packed(&mailer, "taken");
        mailer.carrier.send(&[letter], 0, after(number as u64)).unwrap();
        server.hears();
    }
    // An hour after the first there is room for another; until then nothing else is sent.
    let more = MAX_GATHERED + 7;
    for seconds in [60, 3_599] {
        assert_eq!(mailer.carrier.most(more as u64, after(seconds)), Most::After(after(3_600)));
    }
    let Most::Now(most) = mailer.carrier.most(more as u64 + 1, after(3_600)) else { panic!() };
    assert!(most > more);
    let letters = vec![packed(&mailer, "taken"); more + 1];
    mailer.carrier.send(&letters, 0, after(3_600)).unwrap();
    let mail = server.hears();
    assert_eq!(mail.header("Subject").unwrap(), format!("Pavise: {} more messages", more + 1));
    let body = mail.body();
    assert!(body.starts_with(&format!("{} more messages came to ", more + 1)), "{body}");
    let line = "2023-11-14T22:14:21Z  contained 10.0.0.5 (camera-3, Büro) a86bfd04907f66c0e\r\n";
    assert_eq!(body.matches(line).count(), MAX_GATHERED);
    assert!(body.contains("and 8 more.\r\n"), "{body}");
    // In any hour it is so many at most. At the end the rest is told, by the mail that is kept for it.
    assert_eq!(mailer.carrier.most(5, after(3_600)), Most::After(after(3_601)));
    mailer.carrier.ends();
    assert!(matches!(mailer.carrier.most(5, after(3_600)), Most::Now(most) if most > 5));
}

#[test]
fn each_outcome_tells_what_can_be_done_about_it() {
    let authority = Authority::new();
    let server = mail(Speaks::Wrapped(authority.server(false)), 0, None);
    for (outcome, line) in [
        ("asked", "How to answer:    pavise actions answer a86bfd04907f66c0e yes (or no)"),
        ("observed", "How to undo it:   nothing was done: Pavise only observes here"),
        ("requested", "How to stop it:   pavise actions revert a86bfd04907f66c0e, until it is done"),
        ("failed", "How to undo it:   nothing was done"),
    ] {
        let mut mailer = mailer(&authority, "smtps", server.port, "");
        let letter = packed(&mailer, outcome);
        mailer.carrier.send(&[letter], 0, clock()).unwrap();
        let body = server.hears().body();
        assert!(body.contains(&format!("{line}\r\n")), "{outcome}\n{body}");
    }
}

#[test]
fn what_an_attacker_has_named_ends_no_line_of_a_mail() {
    let authority = Authority::new();
    let server = mail(Speaks::Wrapped(authority.server(false)), 0, None);
    let mut mailer = mailer(&authority, "smtps", server.port, "");
    let evil = "x\r\nBcc: all@plant.example\r\n\r\n.\r\nQUIT\r\n";
    let message = crate::Notice { headline: evil.into(), text: evil.into(), ..message("taken") };
    let letter = mailer.packer.pack(&message).unwrap();
    mailer.carrier.send(&[letter], 0, clock()).unwrap();
    let mail = server.hears();
    assert_eq!((mail.header("Bcc"), mail.recipients.len()), (None, 2));
    assert_eq!(mail.header("Subject").as_deref(), Some("Pavise (high): xBcc: all@plant.example.QUIT"));
    assert!(mail.body().contains("What was done:    xBcc: all@plant.example.QUIT\r\n"));
}
