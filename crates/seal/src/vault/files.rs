//! The few file operations that keeping keys needs, behind a trait so that tests can make each of them fail.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use zeroize::Zeroizing;

/// Bits of a file's mode that let others than its owner use it.
const OTHERS: u32 = 0o077;
/// The mode that files are made with.
const MODE: u32 = 0o600;

/// A file's content and whether others than its owner may use it.
pub struct Content {
    /// All bytes, wiped when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Whether group or world have any right to the file.
    pub exposed: bool,
}

/// What keeps others from changing the keys until it is dropped.
#[must_use = "the lock is given up when this is dropped"]
pub struct Locked(File);

/// Closing alone would not do: a child of this process that was just forked has the file open, too.
impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// File operations. Each either happens wholly or fails, but for [`Files::create`], which may leave a part.
pub trait Files: Send + Sync {
    /// Reads at most `limit` bytes, and fails if there are more; `None` if there is no such file.
    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Content>>;
    /// Makes a file that must not exist yet, for its owner only, with these bytes, and has them on the disk.
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Gives the file a further name, which must not exist yet.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Puts the file in the place of another.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a name away; that there is none is no failure.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Has a folder's names on the disk.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Locks against other processes; `None` if another one holds the lock.
    fn lock(&self, path: &Path) -> io::Result<Option<Locked>>;
}

/// The real disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, limit: usize) -> io::Result<Option<Content>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Asked of the open file, so that nobody can put another in its place between the two.
        let exposed = file.metadata()?.permissions().mode() & OTHERS != 0;
        // Of its full size from the start: a buffer that grows would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 1));
        (&file).take(limit as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > limit {
            return Err(io::Error::other(format!("the file has more than {limit} bytes")));
        }
        Ok(Some(Content { bytes, exposed }))
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
        // A strange umask may have taken the owner's rights as well.
        file.set_permissions(Permissions::from_mode(MODE))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Locked>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(MODE).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Locked(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        Disk.create(&path, b"one").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Disk.create(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let content = Disk.read(&path, 3).unwrap().unwrap();
        assert_eq!((content.bytes.as_slice(), content.exposed), (&b"one"[..], false));
        assert!(Disk.read(&path, 2).is_err(), "longer than the limit");
    }

    #[test]
    fn a_lock_keeps_the_second_out_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Disk.lock(&path).unwrap();
        assert!(first.is_some());
        assert!(Disk.lock(&path).unwrap().is_none());
        drop(first);
        assert!(Disk.lock(&path).unwrap().is_some());
    }
}
