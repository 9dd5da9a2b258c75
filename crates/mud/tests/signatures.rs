//! Signatures, with OpenSSL as the other side.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Timestamp;
use mud::{CertificateError, SignatureError, SigningKey, mud_extensions, sign, verify};
use proptest::prelude::*;

const FILE: &[u8] = include_bytes!("lamp.json");
const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";
const SIGNER: &str = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n";

/// A folder with keys and certificates that OpenSSL makes.
struct Bench {
    openssl: PathBuf,
    folder: tempfile::TempDir,
}

impl Bench {
    /// One with a root and an intermediate certificate; `None` after saying that OpenSSL is not there.
    fn new(test: &str) -> Option<Self> {
        let openssl = testkit::peer(test, "openssl")?;
        let bench = Self { openssl, folder: tempfile::tempdir().unwrap() };
        std::fs::write(bench.path("req.cnf"), "[req]\ndistinguished_name=dn\n[dn]\n").unwrap();
        bench.issue("root", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], None, CA, 100);
        bench.issue(
            "middle",
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
            Some("root"),
            CA,
            50,
        );
        Some(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn runs(&self, arguments: &str) -> bool {
        Command::new(&self.openssl)
            .args(arguments.split_whitespace())
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    fn run(&self, arguments: &str) {
        assert!(self.runs(arguments), "openssl {arguments}");
    }

    /// Makes `name.key` (also in PKCS#8 DER), `name.pem` and `name.der`.
    fn issue(&self, name: &str, key: &[&str], issuer: Option<&str>, extensions: &str, days: i32) {
        self.run(&format!("genpkey {} -out {name}.key", key.join(" ")));
        self.run(&format!("pkcs8 -topk8 -nocrypt -in {name}.key -outform DER -out {name}.p8"));
        self.run(&format!(
            "req -config req.cnf -new -key {name}.key -subj /O=Lamps/CN={name} -out {name}.csr"
        ));
        let extensions = format!("{extensions}subjectKeyIdentifier=hash\n");
        std::fs::write(self.path("ext.cnf"), extensions).unwrap();
        let by = issuer.map_or_else(
            || format!("-signkey {name}.key"),
            |issuer| format!("-CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial"),
        );
        let days = format!("-days {days}");
        self.run(&format!("x509 -req -in {name}.csr {by} {days} -extfile ext.cnf -out {name}.pem"));
        self.run(&format!("x509 -in {name}.pem -outform DER -out {name}.der"));
    }

    fn signer(&self, name: &str, key: &[&str]) {
        self.issue(name, key, Some("middle"), SIGNER, 20);
    }

    /// A signature by OpenSSL, as RFC 8520, section 13.1, shows it.
    fn signed(&self, more: &str) -> Vec<u8> {
        std::fs::write(self.path("file"), FILE).unwrap();
        self.run(&format!(
            "cms -sign -in file -binary -outform DER -certfile middle.pem -out file.p7s {more}"
        ));
        self.bytes("file.p7s")
    }

    fn check(&self, signature: &[u8]) -> Result<mud::Signer, SignatureError> {
        verify(FILE, signature, &[&self.bytes("root.der")], now(), None)
    }
}

/// Certificates are made for the time of the test.
#[allow(clippy::disallowed_methods)] // OpenSSL makes them for the time by the clock.
fn now() -> Timestamp {
    Timestamp::from_secs(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 60)
}

const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn openssl_signatures_of_every_algorithm_are_verified() {
    let Some(bench) = Bench::new("openssl_signatures_of_every_algorithm_are_verified") else { return };
    let rsa = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let odd = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2049"];
    let p384 = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    for (name, key, more, expected) in [
        ("rsa", &rsa[..], "-md sha256", "RSA with SHA-256"),
        ("rsa", rsa, "-md sha384", "RSA with SHA-384"),
        ("rsa", rsa, "-md sha512", "RSA with SHA-512"),
        ("rsa", rsa, "-md sha256 -keyopt rsa_padding_mode:pss", "RSA-PSS with SHA-256"),
        ("rsa", rsa, "-md sha384 -keyopt rsa_padding_mode:pss", "RSA-PSS with SHA-384"),
        (
            "rsa",
            rsa,
            "-md sha512 -keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:20",
            "RSA-PSS with SHA-512",
        ),
        ("odd", odd, "-md sha256 -keyopt rsa_padding_mode:pss", "RSA-PSS with SHA-256"),
        ("p256", P256, "-md sha256", "ECDSA with SHA-256"),
        ("p256", P256, "-md sha512", "ECDSA with SHA-512"),
        ("p256", P256, "-md sha256 -keyid", "ECDSA with SHA-256"),
        ("p256", P256, "-md sha256 -noattr", "ECDSA with SHA-256"),
        ("p384", p384, "-md sha384", "ECDSA with SHA-384"),
        ("p384", p384, "-md sha256", "ECDSA with SHA-256"),
    ] {
        if !bench.path(&format!("{name}.pem")).exists() {
            bench.signer(name, key);
        }
        // The options of a key follow it.
        let signature = bench.signed(&format!("-signer {name}.pem -inkey {name}.key {more}"));
        let signer = bench.check(&signature).unwrap_or_else(|error| panic!("{name} {more}: {error}"));
        assert_eq!(signer.algorithm, expected);
        assert_eq!(signer.chain.len(), 3, "{:?}", signer.chain);
        assert_eq!(signer.subject, format!("O=Lamps, CN={name}"));
        // One bit of the file, and each of some bytes of the signature's end.
        let mut other = FILE.to_vec();
        other[100] ^= 1;
        let result = verify(&other, &signature, &[&bench.bytes("root.der")], now(), None);
        let is_refused = matches!(result, Err(SignatureError::Content | SignatureError::Wrong(_)));
        assert!(is_refused && (more.contains("noattr") || result == Err(SignatureError::Content)));
        for place in [3, 40] {
            let mut wrong = signature.clone();
            let place = wrong.len() - place;
            wrong[place] ^= 1;
            assert!(bench.check(&wrong).is_err(), "{name} {more}");
        }
    }
}

#[test]
fn our_signatures_are_verified_by_openssl_and_are_the_same_each_time() {
    let Some(bench) = Bench::new("our_signatures_are_verified_by_openssl_and_are_the_same_each_time") else {
        return;
    };
    std::fs::write(bench.path("file"), FILE).unwrap();
    let middle = bench.bytes("middle.der");
    for (name, key, algorithm) in
        [("p256", P256, "ECDSA with SHA-256"), ("ed25519", &["-algorithm", "ED25519"][..], "Ed25519")]
    {
        bench.signer(name, key);
        let key = SigningKey::from_pkcs8(&bench.bytes(&format!("{name}.p8"))).unwrap();
        let certificate = bench.bytes(&format!("{name}.der"));
        let signature = sign(FILE, &key, &certificate, &[&middle]).unwrap();
        assert_eq!(sign(FILE, &key, &certificate, &[&middle]).unwrap(), signature);
        assert_eq!(bench.check(&signature).unwrap().algorithm, algorithm);
        std::fs::write(bench.path("ours.p7s"), &signature).unwrap();
        let check =
            "cms -verify -binary -inform DER -in ours.p7s -content file -CAfile root.pem -purpose any";
        if name == "p256" {
            assert!(bench.runs(check));
            std::fs::write(bench.path("other"), b"{}").unwrap();
            assert!(!bench.runs(&check.replace("-content file", "-content other")));
        } else {
            // OpenSSL 3.0 knows Ed25519, but not in CMS: it is given what is signed, the attributes as a set.
            let head = [0x18, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
            let place = signature.windows(head.len()).position(|bytes| bytes == head).unwrap() - 3;
            let mut message = signature[place..place + 2 + usize::from(signature[place + 1])].to_vec();
            message[0] = 0x31;
            std::fs::write(bench.path("message"), message).unwrap();
            std::fs::write(bench.path("raw"), &signature[signature.len() - 64..]).unwrap();
            let check = "pkeyutl -verify -rawin -in message -sigfile raw -inkey ed25519.key";
            assert!(bench.runs(check));
            assert!(!bench.runs(&check.replace("-in message", "-in file")));
        }
    }
    // A certificate by an Ed25519 key.
    bench.issue("ed-root", &["-algorithm", "ED25519"], None, CA, 100);
    bench.issue("ed-child", P256, Some("ed-root"), SIGNER, 20);
    let signature = bench.signed("-signer ed-child.pem -inkey ed-child.key");
    assert!(verify(FILE, &signature, &[&bench.bytes("ed-root.der")], now(), None).is_ok());
    // A key that is not the certificate's, and a certificate that may not.
    let key = SigningKey::from_pkcs8(&bench.bytes("ed25519.p8")).unwrap();
    assert_eq!(sign(FILE, &key, &bench.bytes("p256.der"), &[]), Err(SignatureError::Key));
    assert!(matches!(sign(FILE, &key, &bench.bytes("root.der"), &[]), Err(SignatureError::Usage { .. })));
    assert_eq!(sign(FILE, &key, b"none", &[]), Err(SignatureError::Certificates));
    assert!(matches!(SigningKey::from_pkcs8(&bench.bytes("middle.p8")), Err(SignatureError::Key)), "P-384");
}

#[test]
fn certificates_that_do_not_do_are_refused() {
    let Some(bench) = Bench::new("certificates_that_do_not_do_are_refused") else { return };
    let told = |name: &str| {
        bench.check(&bench.signed(&format!("-signer {name}.pem -inkey {name}.key"))).unwrap_err()
    };
    let usage = |error: SignatureError, expected: &str| {
        assert!(matches!(&error, SignatureError::Usage { what, .. } if what.contains(expected)), "{error}");
    };
    bench.issue("no-usage", P256, Some("middle"), "basicConstraints=CA:FALSE\n", 20);
    usage(told("no-usage"), "no key usage");
    bench.issue("agree", P256, Some("middle"), "keyUsage=keyAgreement\n", 20);
    usage(told("agree"), "no digitalSignature");
    bench.issue("web", P256, Some("middle"), &format!("{SIGNER}extendedKeyUsage=serverAuth\n"), 20);
    usage(told("web"), "extended key usage");
    bench.issue("code", P256, Some("middle"), &format!("{SIGNER}extendedKeyUsage=codeSigning\n"), 20);
    assert!(bench.check(&bench.signed("-signer code.pem -inkey code.key")).is_ok());
    bench.issue("critical", P256, Some("middle"), &format!("{SIGNER}1.2.3.4=critical,DER:0500\n"), 20);
    usage(told("critical"), "not understood");
    // Issued by who may not: a signer, and one below a root that allows no more.
    bench.signer("plain", P256);
    bench.issue("child", P256, Some("plain"), SIGNER, 20);
    let result = bench.check(&bench.signed("-signer child.pem -inkey child.key -certfile plain.pem"));
    assert_eq!(result, Err(SignatureError::Untrusted("O=Lamps, CN=child".into())));
    bench.issue("short", P256, None, &CA.replace("TRUE", "TRUE,pathlen:0"), 20);
    bench.issue("below", P256, Some("short"), CA, 20);
    bench.issue("deep", P256, Some("below"), SIGNER, 20);
    bench.issue("direct", P256, Some("short"), SIGNER, 20);
    let with = |name: &str| {
        let signature = bench.signed(&format!("-signer {name}.pem -inkey {name}.key -certfile below.pem"));
        verify(FILE, &signature, &[&bench.bytes("short.der")], now(), None)
    };
    assert_eq!(with("deep"), Err(SignatureError::Untrusted("O=Lamps, CN=deep".into())));
    assert_eq!(with("direct").unwrap().chain.len(), 2);
    // Another root, none, and one of the same name with another key.
    let signature = bench.signed("-signer plain.pem -inkey plain.key");
    let untrusted = Err(SignatureError::Untrusted("O=Lamps, CN=plain".into()));
    assert_eq!(verify(FILE, &signature, &[&bench.bytes("short.der")], now(), None), untrusted);
    assert_eq!(verify(FILE, &signature, &[], now(), None), untrusted);
    assert_eq!(verify(FILE, &signature, &[b"none"], now(), None), Err(SignatureError::Anchor));
    let root = bench.bytes("root.der");
    bench.issue("root", P256, None, CA, 100);
    assert_eq!(bench.check(&signature), untrusted);
    // A signer's own certificate may be the trusted one; a signature without its signer's certificate is of no use else.
    assert_eq!(verify(FILE, &signature, &[&bench.bytes("plain.der")], now(), None).unwrap().chain.len(), 1);
    let bare = bench.signed("-signer plain.pem -inkey plain.key -nocerts");
    assert_eq!(verify(FILE, &bare, &[&root], now(), None), Err(SignatureError::NoCertificate));
    assert!(verify(FILE, &bare, &[&bench.bytes("plain.der")], now(), None).is_ok());
    // Too weak.
    bench.issue(
        "weak",
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
        Some("middle"),
        SIGNER,
        20,
    );
    assert!(matches!(told("weak"), SignatureError::Wrong(_)));
    let sha1 = bench.signed("-signer plain.pem -inkey plain.key -md sha1");
    assert_eq!(verify(FILE, &sha1, &[&root], now(), None), Err(SignatureError::Algorithm));
}

#[test]
fn every_link_must_be_valid_at_that_time() {
    let Some(bench) = Bench::new("every_link_must_be_valid_at_that_time") else { return };
    bench.signer("lamp", P256);
    let signature = bench.signed("-signer lamp.pem -inkey lamp.key");
    let at = |days: u64| {
        let at = now() + Duration::from_secs(86_400 * days);
        verify(FILE, &signature, &[&bench.bytes("root.der")], at, None)
    };
    assert!(at(0).is_ok() && at(19).is_ok());
    assert!(matches!(at(21), Err(SignatureError::Expired { subject, .. }) if subject == "O=Lamps, CN=lamp"));
    let early =
        verify(FILE, &signature, &[&bench.bytes("root.der")], now() - Duration::from_secs(86_400), None);
    assert!(matches!(early, Err(SignatureError::Expired { .. })));
    // The signer's certificate outlives that of its issuer, and the root.
    bench.issue("late", P256, Some("middle"), SIGNER, 200);
    let signature = bench.signed("-signer late.pem -inkey late.key");
    for (days, expected) in [(60, "O=Lamps, CN=middle"), (150, "O=Lamps, CN=middle")] {
        let at = now() + Duration::from_secs(86_400 * days);
        let result = verify(FILE, &signature, &[&bench.bytes("root.der")], at, None);
        assert!(
            matches!(result, Err(SignatureError::Expired { subject, .. }) if subject == expected),
            "{days}"
        );
    }
}

#[test]
fn other_forms_are_refused_and_several_signers_are_taken() {
    let Some(bench) = Bench::new("other_forms_are_refused_and_several_signers_are_taken") else { return };
    bench.signer("lamp", P256);
    bench.issue("stranger", P256, None, SIGNER, 20);
    let good = bench.signed("-signer lamp.pem -inkey lamp.key");
    assert_eq!(
        bench.check(&bench.signed("-signer lamp.pem -inkey lamp.key -nodetach")),
        Err(SignatureError::NotDetached)
    );
    assert_eq!(
        bench.check(&bench.signed("-signer lamp.pem -inkey lamp.key -stream")),
        Err(SignatureError::Indefinite)
    );
    let other = bench.signed("-signer lamp.pem -inkey lamp.key -econtent_type 1.2.840.113549.1.9.16.1.4");
    assert_eq!(bench.check(&other), Err(SignatureError::ContentType));
    let mud_type = bench.signed("-signer lamp.pem -inkey lamp.key -econtent_type 1.2.840.113549.1.9.16.1.41");
    assert!(bench.check(&mud_type).is_ok());
    for signers in [["lamp", "stranger"], ["stranger", "lamp"]] {
        let each = signers.map(|name| format!("-signer {name}.pem -inkey {name}.key")).join(" ");
        assert_eq!(bench.check(&bench.signed(&each)).unwrap().subject, "O=Lamps, CN=lamp");
    }
    assert!(matches!(
        bench.check(&bench.signed("-signer stranger.pem -inkey stranger.key")),
        Err(SignatureError::Untrusted(_))
    ));
    assert!(matches!(bench.check(&[&good[..], &[0]].concat()), Err(SignatureError::Malformed(_))));
    assert!(matches!(bench.check(b""), Err(SignatureError::Malformed(_))));
    assert_eq!(
        bench.check(&vec![0; mud::MAX_SIGNATURE + 1]),
        Err(SignatureError::TooLong(mud::MAX_SIGNATURE + 1))
    );
    // Whatever bit is wrong, it is refused or stands where nothing is proven by it.
    let mut taken = 0;
    for place in (0..good.len()).step_by(9) {
        let mut wrong = good.clone();
        wrong[place] ^= 1;
        match bench.check(&wrong) {
            Ok(signer) => {
                assert_eq!(signer.subject, "O=Lamps, CN=lamp");
                taken += 1;
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(taken < 10, "{taken}");
    let many = chained(&bench, mud::MAX_CERTIFICATES);
    assert_eq!(
        bench.check(&bench.signed(&format!("-signer lamp.pem -inkey lamp.key {many}"))),
        Err(SignatureError::Certificates)
    );
}

/// A file of so many different certificates, as an option.
fn chained(bench: &Bench, count: usize) -> String {
    let mut all = String::new();
    for number in 0..count {
        bench.run(&format!(
            "req -config req.cnf -x509 -new -key lamp.key -subj /CN=n{number} -days 9 -out n.pem"
        ));
        all.push_str(&String::from_utf8(bench.bytes("n.pem")).unwrap());
    }
    std::fs::write(bench.path("many.pem"), all).unwrap();
    "-certfile many.pem".into()
}

#[test]
fn a_devices_certificate_tells_its_description_and_who_signs_it() {
    const NAME: &str = "a_devices_certificate_tells_its_description_and_who_signs_it";
    let Some(bench) = Bench::new(NAME) else { return };
    bench.signer("lamp", P256);
    let name = |name: &str| {
        format!(
            "1.3.6.1.5.5.7.1.30=ASN1:SEQUENCE:name\n[name]\na=SET:o\nb=SET:cn\n[o]\na=SEQUENCE:oo\n\
        [cn]\na=SEQUENCE:cc\n[oo]\na=OID:organizationName\nb=UTF8:lamps\n[cc]\na=OID:commonName\nb=PRINTABLESTRING:{name}\n[x]\n"
        )
    };
    let url = "1.3.6.1.5.5.7.1.25=ASN1:IA5STRING:https://lamps.example/lamp-7\n";
    let device = |extensions: String| {
        // What follows a section belongs to the last one.
        let extensions = format!("[main]\n{extensions}");
        std::fs::write(bench.path("device.cnf"), extensions).unwrap();
        bench.run("x509 -req -in lamp.csr -CA middle.pem -CAkey middle.key -CAcreateserial -days 9 -extfile device.cnf -extensions main -outform DER -out device.der");
        mud_extensions(&bench.bytes("device.der"))
    };
    let found = device(format!("{url}{}", name("LAMP"))).unwrap();
    assert_eq!(found.url.as_deref(), Some("https://lamps.example/lamp-7"));
    // It is one name in another case and another type of text.
    let signature = bench.signed("-signer lamp.pem -inkey lamp.key");
    let with = |signer: Option<Vec<u8>>| {
        verify(FILE, &signature, &[&bench.bytes("root.der")], now(), signer.as_deref())
    };
    assert!(with(found.signer).is_ok());
    let found = device(name("other")).unwrap();
    assert_eq!(found.url, None);
    assert_eq!(with(found.signer), Err(SignatureError::MudSigner("O=Lamps, CN=lamp".into())));
    assert_eq!(device("basicConstraints=CA:FALSE\n".into()), Ok(mud::MudExtensions::default()));
    assert_eq!(device(url.replace("https", "http")), Err(CertificateError::Url));
    assert_eq!(device(url.replace("IA5STRING", "UTF8")), Err(CertificateError::Url));
    assert_eq!(device("1.3.6.1.5.5.7.1.30=ASN1:IA5STRING:x\n".into()), Err(CertificateError::Signer));
    assert_eq!(mud_extensions(b"none"), Err(CertificateError::Malformed));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let at = Timestamp::EPOCH;
        prop_assert!(verify(FILE, &bytes, &[], at, None).is_err());
        prop_assert!(verify(FILE, &bytes, &[&bytes], at, None).is_err());
        let _ = mud_extensions(&bytes);
        prop_assert!(SigningKey::from_pkcs8(&bytes).is_err());
    }
}
