//! A key that the machine's TPM 2.0 seals, through the programs of tpm2-tools: it opens on this machine only, and
//! with a policy only while the measured boot is the one that it was sealed in.
//!
//! The sealed key lies beside the data keys; the TPM's storage key is made anew from its seed each time. The key
//! passes through pipes, never through arguments or files. It crosses the bus to a discrete TPM in the clear, where
//! whoever has opened the machine can read it: a passphrase or a token withstands that.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use super::Record;
use crate::secret::{KEY_BYTES, Secret};
use crate::vault::VaultError;

/// How long one program may take. Making a key can take a slow TPM some seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most bytes that are taken of what a program says.
const MAX_OUTPUT: usize = 64 << 10;
/// The most bytes of a complaint that is passed on.
const MAX_CAUSE: usize = 300;
/// The most bytes of the files that describe a sealed key.
const MAX_BLOB: usize = 4096;
/// Longer than any choice of PCRs.
const MAX_PCRS: usize = 200;

/// Where the TPM is, and what it looks at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tpm {
    /// How tpm2-tools reach it (`TPM2TOOLS_TCTI`), such as `device:/dev/tpmrm0`; `None` for what they find.
    pub tcti: Option<String>,
    /// The registers that must be unchanged for the key to open, such as `sha256:0,2,7`; `None` for no policy.
    /// It counts when the keys are wrapped; later the one that is kept beside the keys does. After a change of
    /// firmware the keys have to be rewrapped, which is possible only before it, or from another source.
    pub pcrs: Option<String>,
    /// The folder of the programs; `None` for the search path.
    pub programs: Option<PathBuf>,
}

impl Tpm {
    /// Has a new key sealed.
    pub(super) fn make(&self) -> Result<(Secret, Record), VaultError> {
        let key = Secret::random()?;
        let desk = Desk::open(self)?;
        let mut create =
            vec!["-Q", "-C", "primary", "-g", "sha256", "-i", "-", "-u", "public", "-r", "private"];
        if let Some(pcrs) = &self.pcrs {
            desk.run("tpm2_createpolicy", &["-Q", "--policy-pcr", "-l", check(pcrs)?, "-L", "policy"], &[])?;
            create.extend(["-L", "policy", "-a", "fixedtpm|fixedparent|noda"]);
        } else {
            create.extend(["-a", "fixedtpm|fixedparent|noda|userwithauth"]);
        }
        desk.run("tpm2_create", &create, key.expose())?;
        let (public, private) = (desk.read("public")?, desk.read("private")?);
        Ok((key, Record::Tpm { public, private, pcrs: self.pcrs.clone() }))
    }

    /// Has a sealed key opened.
    pub(super) fn open(
        &self,
        public: &[u8],
        private: &[u8],
        pcrs: Option<&str>,
    ) -> Result<Secret, VaultError> {
        let desk = Desk::open(self)?;
        desk.write("public", public)?;
        desk.write("private", private)?;
        desk.run("tpm2_load", &["-Q", "-C", "primary", "-u", "public", "-r", "private", "-c", "key"], &[])?;
        let policy = pcrs.map(check).transpose()?.map(|pcrs| format!("pcr:{pcrs}"));
        let mut unseal = vec!["-c", "key"];
        unseal.extend(policy.iter().flat_map(|policy| ["-p", policy]));
        let key = desk.run("tpm2_unseal", &unseal, &[])?;
        Secret::from_slice(&key)
            .ok_or_else(|| failed("tpm2_unseal", &format!("it gave {} bytes, not {KEY_BYTES}", key.len())))
    }
}

/// A folder for the files that the programs leave for each other: handles and wrapped keys, no secret.
struct Desk<'a> {
    tpm: &'a Tpm,
    folder: tempfile::TempDir,
}

impl<'a> Desk<'a> {
    /// With the storage key, made from the owner's seed.
    fn open(tpm: &'a Tpm) -> Result<Self, VaultError> {
        let folder = tempfile::tempdir().map_err(|error| failed("tempdir", &error.to_string()))?;
        let desk = Self { tpm, folder };
        desk.run(
            "tpm2_createprimary",
            &["-Q", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", "primary"],
            &[],
        )?;
        Ok(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, VaultError> {
        let bytes =
            std::fs::read(self.path(name)).map_err(|error| failed("tpm2_create", &error.to_string()))?;
        if bytes.len() > MAX_BLOB {
            return Err(failed("tpm2_create", "the sealed key is longer than any"));
        }
        Ok(bytes)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VaultError> {
        std::fs::write(self.path(name), bytes).map_err(|error| failed("tpm2_load", &error.to_string()))
    }

    /// Runs a program, and gives up what it left loaded: without a resource manager a TPM has three places.
    fn run(&self, program: &str, arguments: &[&str], input: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let before = self.loaded()?;
        let output = self.call(program, arguments, input);
        for handle in self.loaded()?.difference(&before) {
            self.call("tpm2_flushcontext", &[handle], &[])?;
        }
        output
    }

    fn loaded(&self) -> Result<BTreeSet<String>, VaultError> {
        let said = self.call("tpm2_getcap", &["handles-transient"], &[])?;
        let said = String::from_utf8_lossy(&said);
        Ok(said.lines().filter_map(|line| line.trim().strip_prefix("- ")).map(str::to_owned).collect())
    }

    fn call(
        &self,
        program: &str,
        arguments: &[&str],
        input: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let path = self.tpm.programs.as_deref().unwrap_or(Path::new("")).join(program);
        let mut command = Command::new(path);
        command.args(arguments).current_dir(self.folder.path());
        if let Some(tcti) = &self.tpm.tcti {
            command.env("TPM2TOOLS_TCTI", tcti);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(program, &error.to_string()))?;
        let said = converse(&mut child, input);
        if said.is_none() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| failed(program, &error.to_string()))?;
        let (output, complaint) =
            said.ok_or_else(|| failed(program, &format!("it was not done after {} s", PATIENCE.as_secs())))?;
        if status.success() { Ok(output) } else { Err(failed(program, &last_words(&complaint))) }
    }
}

type Said = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// Gives a program its input and takes what it says on both outputs, or `None` if it takes too long.
fn converse(child: &mut Child, input: &[u8]) -> Option<Said> {
    let (tell, told) = mpsc::channel();
    let output = child.stdout.take().map(|pipe| listen(pipe, 0, tell.clone()));
    let complaint = child.stderr.take().map(|pipe| listen(pipe, 1, tell));
    // A key fits into the pipe whether or not it is read. A program that ends without reading says why itself.
    let _ = child.stdin.take().map(|mut pipe: ChildStdin| pipe.write_all(input));
    let mut said: Said = Default::default();
    for _ in 0..output.iter().count() + complaint.iter().count() {
        match told.recv_timeout(PATIENCE).ok()? {
            (0, bytes) => said.0 = bytes,
            (_, bytes) => said.1 = bytes,
        }
    }
    Some(said)
}

fn listen(
    pipe: impl Read + Send + 'static,
    which: u8,
    tell: mpsc::Sender<(u8, Zeroizing<Vec<u8>>)>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_OUTPUT));
        let _ = pipe.take(MAX_OUTPUT as u64).read_to_end(&mut bytes);
        let _ = tell.send((which, bytes));
    })
}

/// A choice of registers that cannot be taken for anything else.
fn check(pcrs: &str) -> Result<&str, VaultError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b',' | b'+' | b'_');
    if !pcrs.is_empty() && pcrs.len() <= MAX_PCRS && pcrs.bytes().all(plain) {
        Ok(pcrs)
    } else {
        Err(failed("tpm2_createpolicy", "the choice of PCRs is not one such as sha256:0,2,7"))
    }
}

/// The last line that says what went wrong.
fn last_words(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let mut lines = text.lines().filter(|line| line.starts_with("ERROR") && !line.contains("Unable to run"));
    let line = lines.next_back().or(text.lines().next_back()).unwrap_or("it said nothing");
    line.chars().take(MAX_CAUSE).collect()
}

fn failed(program: &str, cause: &str) -> VaultError {
    VaultError::Tpm { program: program.into(), cause: cause.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_of_registers_cannot_be_an_option_or_a_path() {
        assert!(check("sha256:0,2,7+sha384:1").is_ok());
        for bad in ["", "--help", "sha256:0=file", "/etc/passwd", "sha256:0 -x"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let tpm = Tpm { programs: Some("/nonexistent".into()), ..Tpm::default() };
        let error = tpm.make().unwrap_err().to_string();
        assert!(error.contains("tpm2_getcap"), "{error}");
    }
}
