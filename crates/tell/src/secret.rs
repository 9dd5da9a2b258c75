//! What nobody else may know: passwords, tokens, keys. They come from files, never from arguments, and are never said.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zeroize::Zeroizing;

/// A secret's file has at most so many bytes.
pub const SECRET_MAX: u64 = 64 << 10;
/// Permissions of the group and of others.
const OTHERS: u32 = 0o077;

/// A text that is wiped from memory when it is no longer needed.
pub struct Secret(Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret")
    }
}

impl Secret {
    /// What a file holds, without the end of its last line.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is empty, too large or no text, or if others than its owner may do anything with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let cannot = |error| format!("cannot read it: {error}; name a file that holds the secret");
        let file = File::open(path).map_err(cannot)?;
        // Of the file that is open, not of whatever the name leads to by then.
        let about = file.metadata().map_err(cannot)?;
        if !about.is_file() {
            return Err("it is no file; name a file that holds the secret".into());
        }
        if about.mode() & OTHERS != 0 {
            return Err(format!(
                "others than its owner may use it (mode {:04o}); chmod 600 it, and change the secret if others have read it",
                about.mode() & 0o7777
            ));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(SECRET_MAX).unwrap_or_default()));
        file.take(SECRET_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
        if bytes.len() as u64 > SECRET_MAX {
            return Err(format!("it has more than {SECRET_MAX} bytes; name the file that holds the secret"));
        }
        let text =
            std::str::from_utf8(&bytes).map_err(|_| "it is no text in UTF-8; write the secret as text")?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            return Err("it is empty; write the secret into it".into());
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The secret itself, for whoever it is meant for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A user and the password, if somebody logs in.
pub(crate) fn login(
    of: &str,
    user: Option<&str>,
    password: Option<&Path>,
) -> Result<Option<(String, Secret)>, String> {
    match (user, password) {
        (None, None) => Ok(None),
        (Some(user), Some(path)) => {
            let wrong = |why: String| format!("{of}.password-file = {:?}: {why}", path.display().to_string());
            Ok(Some((user.to_owned(), Secret::read(path).map_err(wrong)?)))
        }
        (Some(_), None) => Err(format!("{of}.user is of no use without {of}.password-file: name both")),
        (None, Some(_)) => Err(format!("{of}.password-file is of no use without {of}.user: name both")),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use testkit::tls::kept;

    use super::*;

    #[test]
    fn a_secret_is_read_without_the_end_of_its_line_and_is_not_said() {
        let folder = tempfile::tempdir().unwrap();
        for (content, expected) in
            [("s3cret", "s3cret"), ("s3cret\n", "s3cret"), (" a b \r\n", " a b "), ("a\n\n", "a\n")]
        {
            let secret = Secret::read(&kept(folder.path(), "secret", content)).unwrap();
            assert_eq!(secret.expose(), expected);
            assert_eq!(format!("{secret:?}"), "a secret");
        }
        let most = "x".repeat(usize::try_from(SECRET_MAX).unwrap());
        assert_eq!(Secret::read(&kept(folder.path(), "most", &most)).unwrap().expose(), most);
    }

    #[test]
    fn what_others_may_use_is_refused_and_so_is_what_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = kept(folder.path(), "secret", "s3cret");
        for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = Secret::read(&path).unwrap_err();
            assert!(error.contains(&format!("mode {mode:04o}")) && error.contains("chmod 600"), "{error}");
        }
        let of = |content: &str| Secret::read(&kept(folder.path(), "other", content)).unwrap_err();
        assert!(of("").contains("empty") && of("\n").contains("empty"));
        assert!(of(&"x".repeat(1 + usize::try_from(SECRET_MAX).unwrap())).contains("more than"));
        write(&path, [0xff]).unwrap();
        set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        assert!(Secret::read(&path).unwrap_err().contains("UTF-8"));
        assert!(Secret::read(&folder.path().join("none")).unwrap_err().contains("cannot read it"));
        assert!(Secret::read(folder.path()).unwrap_err().contains("no file"));
    }
}
