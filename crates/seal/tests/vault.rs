//! Keys are made, rotated, rewrapped and retired; values stay where they belong; a kill at any moment loses nothing.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::Timestamp;
use proptest::prelude::*;
use seal::{
    Argon, Choices, Content, Context, Disk, Files, KEYS_FILE, KeyId, Label, Locked, MAX_KEYS, OVERHEAD,
    SecretText, Source, Vault, VaultError,
};

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);
/// Cheap, as the cost is not what is tested.
const ARGON: Argon = Argon { memory_kib: 64, passes: 1, lanes: 1 };

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn key_file(folder: &Path) -> Source {
    Source::File(folder.join("key"))
}

fn passphrase(text: &str) -> Source {
    Source::Passphrase(SecretText::new(text.into()), ARGON)
}

fn place() -> Context {
    Context::of(&["devices", "user", "17"])
}

#[test]
fn values_open_in_their_place_only_and_after_everything_that_happens_to_keys() {
    let folder = folder();
    let source = key_file(folder.path());
    let mut vault = Vault::open_or_make(folder.path(), &source, NOW).unwrap();
    let old = vault.seal(b"j.doe", &place()).unwrap();
    assert_eq!(old.len(), 5 + OVERHEAD);
    assert_eq!(vault.rotate_data_key(NOW).unwrap(), KeyId(2));
    assert_eq!(vault.unseal(&old, &place()).unwrap().as_slice(), b"j.doe");
    for elsewhere in [&["devices", "user", "18"][..], &["devices", "use", "r17"], &["devices", "user"]] {
        let moved = vault.unseal(&old, &Context::of(elsewhere));
        assert!(matches!(moved, Err(VaultError::Tampered(KeyId(1)))), "{elsewhere:?}");
    }
    let new = vault.reseal(&old, &place()).unwrap().unwrap();
    assert_eq!((Vault::key_of(&old).unwrap(), Vault::key_of(&new).unwrap()), (KeyId(1), KeyId(2)));
    assert!(vault.reseal(&new, &place()).unwrap().is_none(), "sealed with the newest already");
    let other = passphrase("a longer passphrase");
    vault.rewrap(&other).unwrap();
    assert_eq!(vault.unseal(&old, &place()).unwrap().as_slice(), b"j.doe");
    drop(vault);

    let refused = Vault::open(folder.path(), &source);
    assert!(matches!(refused, Err(VaultError::OtherSource { kept: "passphrase", given: "file" })));
    let mut vault = Vault::open(folder.path(), &other).unwrap();
    assert_eq!(vault.unseal(&old, &place()).unwrap().as_slice(), b"j.doe");
    assert!(matches!(vault.retire(KeyId(1), 3), Err(VaultError::KeyInUse { id: KeyId(1), values: 3 })));
    assert!(matches!(vault.retire(KeyId(2), 0), Err(VaultError::KeyActive(KeyId(2)))));
    assert!(matches!(vault.retire(KeyId(9), 0), Err(VaultError::NoSuchKey(KeyId(9)))));
    vault.retire(KeyId(1), 0).unwrap();
    assert!(matches!(vault.unseal(&old, &place()), Err(VaultError::NoSuchKey(KeyId(1)))));
    assert_eq!(vault.unseal(&new, &place()).unwrap().as_slice(), b"j.doe");
    assert_eq!(vault.rotate_data_key(NOW).unwrap(), KeyId(3), "no number is used twice");
    assert_eq!(vault.keys().map(|(id, _)| id.0).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn a_lost_list_is_not_replaced_by_a_new_one_unless_asked() {
    let folder = folder();
    let source = key_file(folder.path());
    assert!(matches!(Vault::open(folder.path(), &source), Err(VaultError::Missing(_))));
    Vault::open_or_make(folder.path(), &source, NOW).unwrap();
    std::fs::remove_file(folder.path().join("key")).unwrap();
    let missing = Vault::open_or_make(folder.path(), &source, NOW);
    assert!(matches!(missing, Err(VaultError::Missing(path)) if path.ends_with("key")), "no new key file");
}

#[test]
fn files_that_others_can_use_are_refused_with_what_to_do() {
    let folder = folder();
    let source = key_file(folder.path());
    Vault::open_or_make(folder.path(), &source, NOW).unwrap();
    for name in ["key", KEYS_FILE] {
        let path = folder.path().join(name);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        for mode in [0o640, 0o604, 0o620, 0o601] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let error = Vault::open(folder.path(), &source).unwrap_err();
            assert!(matches!(error, VaultError::Exposed(_)), "{name} {mode:o}: {error}");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    }
    let pin = folder.path().join("pin");
    Disk.create(&pin, b"  a pin \r\n").unwrap();
    assert_eq!(seal::read_secret_file(&pin).unwrap().expose(), "  a pin ");
    std::fs::set_permissions(&pin, PermissionsExt::from_mode(0o644)).unwrap();
    assert!(matches!(seal::read_secret_file(&pin), Err(VaultError::Exposed(_))));
}

#[test]
fn another_key_and_a_broken_one_are_told_apart() {
    let folder = folder();
    let source = key_file(folder.path());
    Vault::open_or_make(folder.path(), &source, NOW).unwrap();
    let path = folder.path().join("key");
    for (text, broken) in [
        ("qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\n", false),
        ("AAAA\n", true),
        ("not base64!", true),
        ("", true),
    ] {
        std::fs::write(&path, text).unwrap();
        match Vault::open(folder.path(), &source).unwrap_err() {
            VaultError::BadKeyFile(_) => assert!(broken, "{text}"),
            VaultError::WrongKey("file") => assert!(!broken, "{text}"),
            other => panic!("{text}: {other}"),
        }
    }
}

#[test]
fn a_wrong_passphrase_does_not_open() {
    let folder = folder();
    Vault::open_or_make(folder.path(), &passphrase("the right passphrase"), NOW).unwrap();
    let wrong = Vault::open(folder.path(), &passphrase("the wrong passphrase"));
    assert!(matches!(wrong, Err(VaultError::WrongKey("passphrase"))));
    Vault::open(folder.path(), &passphrase("the right passphrase")).unwrap();
}

#[test]
fn a_listed_key_cannot_be_given_another_number_or_time() {
    let folder = folder();
    let source = key_file(folder.path());
    Vault::open_or_make(folder.path(), &source, NOW).unwrap();
    let path = folder.path().join(KEYS_FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in [("\"id\": 1", "\"id\": 2"), ("2026-", "2027-")] {
        assert!(text.contains(from), "{text}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
        assert!(matches!(Vault::open(folder.path(), &source), Err(VaultError::WrongKey(_))), "{to}");
    }
}

#[test]
fn processes_that_have_the_same_vault_open_do_not_lose_each_others_keys() {
    let folder = folder();
    let source = key_file(folder.path());
    let mut one = Vault::open_or_make(folder.path(), &source, NOW).unwrap();
    let mut two = Vault::open(folder.path(), &source).unwrap();
    assert_eq!(one.rotate_data_key(NOW).unwrap(), KeyId(2));
    let sealed = one.seal(b"value", &place()).unwrap();
    assert!(matches!(two.unseal(&sealed, &place()), Err(VaultError::NoSuchKey(KeyId(2)))));
    assert_eq!(two.rotate_data_key(NOW).unwrap(), KeyId(3), "goes on from what is on the disk");
    assert_eq!(two.unseal(&sealed, &place()).unwrap().as_slice(), b"value");
    let lock = Disk.lock(&folder.path().join("keys.json.lock")).unwrap();
    assert!(matches!(one.rotate_data_key(NOW), Err(VaultError::Busy(_))));
    drop(lock);
    one.rewrap(&passphrase("a longer passphrase")).unwrap();
    assert!(matches!(two.rotate_data_key(NOW), Err(VaultError::WrongKey("file"))));
    assert_eq!(two.unseal(&sealed, &place()).unwrap().as_slice(), b"value", "what was open stays open");
}

#[test]
fn there_are_no_more_keys_than_may_be() {
    let folder = folder();
    let mut vault = Vault::open_or_make(folder.path(), &key_file(folder.path()), NOW).unwrap();
    for _ in 1..MAX_KEYS {
        vault.rotate_data_key(NOW).unwrap();
    }
    assert!(matches!(vault.rotate_data_key(NOW), Err(VaultError::TooManyKeys)));
    vault.reload().unwrap();
    assert_eq!(vault.keys().count(), MAX_KEYS);
}

#[test]
fn derived_keys_differ_by_purpose_and_data_key_and_last() {
    let folder = folder();
    let mut vault = Vault::open_or_make(folder.path(), &key_file(folder.path()), NOW).unwrap();
    vault.rotate_data_key(NOW).unwrap();
    let derived = vault.derive(KeyId(1), "pseudonyms").unwrap();
    assert_ne!(derived, vault.derive(KeyId(1), "other").unwrap());
    assert_ne!(derived, vault.derive(KeyId(2), "pseudonyms").unwrap());
    let again = Vault::open(folder.path(), &key_file(folder.path())).unwrap();
    assert_eq!(derived, again.derive(KeyId(1), "pseudonyms").unwrap());
}

#[test]
fn threads_can_share_a_vault() {
    let folder = folder();
    let vault = Vault::open_or_make(folder.path(), &key_file(folder.path()), NOW).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let sealed = vault.seal(b"value", &place()).unwrap();
                assert_eq!(vault.unseal(&sealed, &place()).unwrap().as_slice(), b"value");
            });
        }
    });
}

#[test]
fn a_vault_names_what_its_pseudonyms_are_of_and_gives_the_same_again() {
    let folder = folder();
    let mut vault = Vault::open_or_make(folder.path(), &key_file(folder.path()), NOW).unwrap();
    let choices = Choices::default();
    let token = |vault: &Vault, id, epoch| {
        let pseudonyms = vault.pseudonymiser(id, epoch, choices).unwrap();
        (pseudonyms.name(), pseudonyms.token(Label::Name, "plc1"))
    };
    let first = token(&vault, KeyId(1), 7);
    assert_eq!(first.0, "k1e7");
    vault.rotate_data_key(NOW).unwrap();
    assert_eq!(token(&vault, KeyId(1), 7), first, "after a rotation, too");
    assert_ne!(token(&vault, KeyId(2), 7).1, first.1);
    assert_ne!(token(&vault, KeyId(1), 8).1, first.1);
    vault.retire(KeyId(1), 0).unwrap();
    assert!(matches!(vault.pseudonymiser(KeyId(1), 7, choices), Err(VaultError::NoSuchKey(KeyId(1)))));
}

#[test]
fn nothing_secret_is_shown() {
    let folder = folder();
    let vault = Vault::open_or_make(folder.path(), &passphrase("not to be seen at all"), NOW).unwrap();
    let shown = format!("{vault:?} {:?}", passphrase("not to be seen at all"));
    assert!(!shown.contains("not to be seen"), "{shown}");
    assert!(shown.contains("passphrase"), "{shown}");
}

#[test]
fn text_is_sealed_as_text() {
    let folder = folder();
    let vault = Vault::open_or_make(folder.path(), &key_file(folder.path()), NOW).unwrap();
    let sealed = vault.seal_text("Prüfstand", &place()).unwrap();
    assert!(sealed.starts_with("seal1.") && sealed.is_ascii());
    assert_eq!(*vault.unseal_text(&sealed, &place()).unwrap(), "Prüfstand");
    for bad in ["", "seal1.", "seal1.####", "Prüfstand", &sealed[..sealed.len() - 4]] {
        assert!(vault.unseal_text(bad, &place()).is_err(), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_change_of_a_sealed_value_is_found(
        plain in proptest::collection::vec(any::<u8>(), 0..64), at in any::<proptest::sample::Index>(), flip in 1u8..
    ) {
        let folder = folder();
        let vault = Vault::open_or_make(folder.path(), &key_file(folder.path()), NOW).unwrap();
        let mut sealed = vault.seal(&plain, &place()).unwrap();
        let opened = vault.unseal(&sealed, &place()).unwrap();
        prop_assert_eq!(opened.as_slice(), plain.as_slice());
        let at = at.index(sealed.len());
        prop_assert!(vault.unseal(&sealed[..at], &place()).is_err());
        sealed[at] ^= flip;
        prop_assert!(vault.unseal(&sealed, &place()).is_err());
    }

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let folder = folder();
        let vault = Vault::open_or_make(folder.path(), &key_file(folder.path()), NOW).unwrap();
        prop_assert!(vault.unseal(&bytes, &place()).is_err());
    }
}

/// A process that is killed at its n-th change of the disk: that one fails, half done if it can be, and all after.
struct Killed {
    left: AtomicUsize,
}

impl Killed {
    fn step(&self) -> io::Result<()> {
        let before = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        before.map(|_| ()).map_err(|_| io::Error::other("killed"))
    }
}

impl Files for Killed {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Content>> {
        Disk.read(path, limit)
    }
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.left.load(Ordering::SeqCst) == 1 {
            Disk.create(path, &bytes[..bytes.len() / 2])?;
            self.step()?;
            return Err(io::Error::other("killed while it was written"));
        }
        self.step()?;
        Disk.create(path, bytes)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        Disk.link(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        Disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        Disk.remove(path)
    }
    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        Disk.sync_folder(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Locked>> {
        self.step()?;
        Disk.lock(path)
    }
}

/// Does `change` with a kill at each step in turn until it comes through, and shows `check` what each kill left.
/// Returns after how many steps it came through.
fn killed_everywhere(
    prepare: impl Fn(&Path),
    change: impl Fn(Arc<dyn Files>, &Path) -> Result<(), VaultError>,
    check: impl Fn(&Path),
) -> usize {
    for steps in 0.. {
        let folder = folder();
        prepare(folder.path());
        let done = change(Arc::new(Killed { left: AtomicUsize::new(steps) }), folder.path());
        check(folder.path());
        match done {
            Ok(()) => return steps,
            Err(VaultError::File { .. }) => {}
            Err(other) => panic!("killed at step {steps}: {other}"),
        }
    }
    unreachable!()
}

#[test]
fn a_kill_while_the_vault_is_made_leaves_one_that_can_be_made() {
    let steps = killed_everywhere(
        |_| {},
        |files, folder| Vault::open_or_make_with(files, folder, &key_file(folder), NOW).map(drop),
        |folder| {
            let vault = Vault::open_or_make(folder, &key_file(folder), NOW).unwrap();
            let sealed = vault.seal(b"value", &place()).unwrap();
            let again = Vault::open(folder, &key_file(folder)).unwrap();
            assert_eq!(again.unseal(&sealed, &place()).unwrap().as_slice(), b"value");
            assert!(!folder.join("key.new").exists(), "no second copy of the key is left");
        },
    );
    assert!(steps >= 8, "{steps}");
}

#[test]
fn a_kill_while_keys_are_rotated_rewrapped_or_retired_loses_no_value() {
    let sealed_by = |folder: &Path| -> Vec<PathBuf> { vec![folder.join("one"), folder.join("two")] };
    let prepare = |folder: &Path| {
        let mut vault = Vault::open_or_make(folder, &key_file(folder), NOW).unwrap();
        vault.rotate_data_key(NOW).unwrap();
        vault.rotate_data_key(NOW).unwrap();
        for path in sealed_by(folder) {
            std::fs::write(path, vault.seal(b"value", &place()).unwrap()).unwrap();
        }
    };
    let other = passphrase("a longer passphrase");
    let check = |folder: &Path| {
        let vault = match Vault::open(folder, &key_file(folder)) {
            Err(VaultError::OtherSource { .. }) => Vault::open(folder, &other),
            opened => opened,
        };
        let mut vault = vault.unwrap();
        for path in sealed_by(folder) {
            let sealed = std::fs::read(path).unwrap();
            assert_eq!(vault.unseal(&sealed, &place()).unwrap().as_slice(), b"value");
        }
        vault.rotate_data_key(NOW).unwrap();
    };
    type Change<'a> = &'a dyn Fn(&mut Vault) -> Result<(), VaultError>;
    let changes: [Change<'_>; 3] = [
        &|vault| vault.rotate_data_key(NOW).map(drop),
        &|vault| vault.rewrap(&passphrase("a longer passphrase")),
        &|vault| vault.retire(KeyId(1), 0),
    ];
    for change in changes {
        let steps = killed_everywhere(
            prepare,
            |files, folder| change(&mut Vault::open_with(files, folder, &key_file(folder))?),
            check,
        );
        assert_eq!(steps, 5, "lock, remove, create, rename, sync");
    }
}

#[test]
fn a_list_that_was_cut_off_is_refused_and_left_as_it_is() {
    let folder = folder();
    let source = key_file(folder.path());
    Vault::open_or_make(folder.path(), &source, NOW).unwrap();
    let path = folder.path().join(KEYS_FILE);
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let refused = Vault::open_or_make(folder.path(), &source, NOW);
        assert!(matches!(refused, Err(VaultError::BadKeys { .. })), "{length} bytes");
        assert_eq!(std::fs::read(&path).unwrap().len(), length);
    }
}
