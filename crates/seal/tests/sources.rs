//! Tokens and the TPM, against the software that stands in for them: SoftHSM and swtpm.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use model::Timestamp;
use seal::{Context, Secret, SecretText, Slot, Source, Token, Tpm, Vault, VaultError};

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
/// Where distributions put the module of SoftHSM.
const MODULES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
];
/// Names the folder of the child's tokens: set for a child alone, as the module reads it of its process.
const TOKENS: &str = "SEAL_TEST_TOKENS";

fn place() -> Context {
    Context::of(&["table", "column", "row"])
}

fn token(module: &Path, label: &str, pin: &str) -> Source {
    Source::Pkcs11(Token {
        module: module.into(),
        slot: Slot::Label(label.into()),
        key: "pavise-seal".into(),
        pin: SecretText::new(pin.into()),
    })
}

/// The module reads where its tokens are from its process's environment, which a test may not change for the others
/// that run beside it: so this test runs itself in a process of its own.
#[test]
fn a_token_wraps_the_keys_and_keeps_its_own() {
    const NAME: &str = "a_token_wraps_the_keys_and_keeps_its_own";
    let Some(module) = MODULES.iter().map(Path::new).find(|path| path.exists()) else {
        return testkit::skip(NAME, "SoftHSM's module is not installed");
    };
    let Some(util) = testkit::peer(NAME, "softhsm2-util") else { return };
    if let Some(folder) = std::env::var_os(TOKENS) {
        return with_tokens(module, Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let conf = folder.path().join("softhsm2.conf");
    std::fs::write(&conf, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()))
        .unwrap();
    for label in ["first", "second"] {
        let made = Command::new(&util)
            .args(["--init-token", "--free", "--label", label, "--pin", "4711", "--so-pin", "12345678"])
            .env("SOFTHSM2_CONF", &conf)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env("SOFTHSM2_CONF", &conf)
        .env(TOKENS, folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "the child ran this test");
}

fn with_tokens(module: &Path, folder: &Path) {
    let refused = Vault::open_or_make(folder, &token(module, "first", "0000"), NOW).unwrap_err();
    assert!(matches!(refused, VaultError::Token { what: "take the PIN", .. }), "{refused}");
    let refused = Vault::open_or_make(folder, &token(module, "third", "4711"), NOW).unwrap_err();
    assert!(matches!(refused, VaultError::Token { what: "be found", .. }), "{refused}");

    let first = token(module, "first", "4711");
    let mut vault = Vault::open_or_make(folder, &first, NOW).unwrap();
    vault.rotate_data_key(NOW).unwrap();
    let sealed = vault.seal(b"value", &place()).unwrap();
    drop(vault);
    let mut vault = Vault::open(folder, &first).unwrap();
    assert_eq!(vault.unseal(&sealed, &place()).unwrap().as_slice(), b"value");

    // The second token has no such key, then one that does not open.
    let second = token(module, "second", "4711");
    let none = Vault::open(folder, &second).unwrap_err();
    assert!(matches!(none, VaultError::TokenKeys { found: 0, .. }), "{none}");
    let other = tempfile::tempdir().unwrap();
    Vault::open_or_make(other.path(), &second, NOW).unwrap();
    let wrong = Vault::open(folder, &second).unwrap_err();
    assert!(matches!(wrong, VaultError::WrongKey("pkcs11")), "{wrong}");

    // A list that was changed: the token itself finds it.
    let list = folder.join(seal::KEYS_FILE);
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text.replace("\"id\": 2", "\"id\": 3")).unwrap();
    let changed = Vault::open(folder, &first).unwrap_err();
    assert!(matches!(changed, VaultError::WrongKey("pkcs11")), "{changed}");
    std::fs::write(&list, text).unwrap();

    // From the token to a file and back.
    let file = Source::File(folder.join("key"));
    vault.rewrap(&file).unwrap();
    let mut vault = Vault::open(folder, &file).unwrap();
    vault.rewrap(&second).unwrap();
    let vault = Vault::open(folder, &second).unwrap();
    assert_eq!(vault.unseal(&sealed, &place()).unwrap().as_slice(), b"value");

    if let Some(tool) = testkit::peer("refusing a key that can be taken out of its token", "pkcs11-tool") {
        let made = Command::new(tool)
            .arg("--module")
            .arg(module)
            .args(["--token-label", "second", "--login", "--pin", "4711", "--keygen", "--key-type", "AES:32"])
            .args(["--label", "loose", "--extractable"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let Source::Pkcs11(loose) = second else { unreachable!() };
        let loose = Source::Pkcs11(Token { key: "loose".into(), ..loose });
        let refused = Vault::open_or_make(&folder.join("tokens"), &loose, NOW).unwrap_err();
        assert!(matches!(refused, VaultError::Extractable(_)), "{refused}");
    }
}

#[test]
fn a_module_that_is_not_there_or_not_absolute_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for module in ["/nonexistent/module.so", "module.so"] {
        let refused = Vault::open_or_make(folder.path(), &token(Path::new(module), "any", "0000"), NOW);
        assert!(matches!(refused, Err(VaultError::Token { what: "be loaded", .. })), "{module}");
    }
}

/// swtpm, ended with its test.
struct SoftTpm {
    child: Child,
    folder: tempfile::TempDir,
}

impl SoftTpm {
    fn start(swtpm: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut child = Command::new(swtpm)
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"])
            .arg(format!("dir={}", at("")))
            .args(["--server", &format!("type=unixio,path={}", at("tpm"))])
            .args(["--ctrl", &format!("type=unixio,path={}", at("tpm.ctrl"))])
            .args(["--pid", &format!("file={}", at("pid"))])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while !Path::new(&at("pid")).exists() {
            assert!(child.try_wait().unwrap().is_none(), "swtpm ended");
            std::thread::yield_now();
        }
        Self { child, folder }
    }

    fn tpm(&self, pcrs: Option<&str>) -> Tpm {
        let socket = self.folder.path().join("tpm");
        Tpm {
            tcti: Some(format!("swtpm:path={}", socket.display())),
            pcrs: pcrs.map(str::to_owned),
            programs: None,
        }
    }
}

impl Drop for SoftTpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tpm_tools(test: &str) -> Option<(PathBuf, PathBuf)> {
    let swtpm = testkit::peer(test, "swtpm")?;
    testkit::peer(test, "tpm2_unseal")?;
    let extend = testkit::peer(test, "tpm2_pcrextend")?;
    Some((swtpm, extend))
}

#[test]
fn a_tpm_seals_the_key_for_its_machine_alone() {
    let Some((swtpm, _)) = tpm_tools("a_tpm_seals_the_key_for_its_machine_alone") else { return };
    let (ours, theirs) = (SoftTpm::start(&swtpm), SoftTpm::start(&swtpm));
    let folder = tempfile::tempdir().unwrap();
    let mut vault = Vault::open_or_make(folder.path(), &Source::Tpm(ours.tpm(None)), NOW).unwrap();
    vault.rotate_data_key(NOW).unwrap();
    let sealed = vault.seal(b"value", &place()).unwrap();
    let vault = Vault::open(folder.path(), &Source::Tpm(ours.tpm(None))).unwrap();
    assert_eq!(vault.unseal(&sealed, &place()).unwrap().as_slice(), b"value");
    let refused = Vault::open(folder.path(), &Source::Tpm(theirs.tpm(None))).unwrap_err();
    assert!(matches!(&refused, VaultError::Tpm { program, .. } if program == "tpm2_load"), "{refused}");
}

#[test]
fn a_key_that_is_sealed_to_registers_opens_until_they_change() {
    let Some((swtpm, extend)) = tpm_tools("a_key_that_is_sealed_to_registers_opens_until_they_change") else {
        return;
    };
    let soft = SoftTpm::start(&swtpm);
    let source = Source::Tpm(soft.tpm(Some("sha256:16,23")));
    let folder = tempfile::tempdir().unwrap();
    Vault::open_or_make(folder.path(), &source, NOW).unwrap();
    // The policy is the one that is kept, whatever is asked for later.
    Vault::open(folder.path(), &Source::Tpm(soft.tpm(None))).unwrap();
    let digest: String = Secret::new(&[7; 32]).expose().iter().map(|byte| format!("{byte:02x}")).collect();
    let extended = Command::new(extend)
        .arg(format!("16:sha256={digest}"))
        .env("TPM2TOOLS_TCTI", soft.tpm(None).tcti.unwrap())
        .status()
        .unwrap();
    assert!(extended.success());
    let refused = Vault::open(folder.path(), &source).unwrap_err();
    assert!(matches!(&refused, VaultError::Tpm { program, .. } if program == "tpm2_unseal"), "{refused}");
}
