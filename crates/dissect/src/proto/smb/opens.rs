//! What is opened in shares: files to be written, and the pipes by which a host is managed.

use model::{OperationKind, Outcome, Side};

use crate::proto::Emit;
use crate::proto::industrial::{Recent, begin, hash};

/// So many shares of a session are remembered, the latest.
const MAX_SHARES: usize = 16;
/// So many requests wait for their answers; when there are more, the oldest counts as not answered.
const MAX_WAITING: usize = 32;

/// The share of the pipes (MS-SRVS clause 3.1.1.1).
const PIPES: &str = "IPC$";

/// Access that changes a file (MS-SMB2 clause 2.2.13.1.1): to write or append its data, or all.
const WRITES: u32 = 0x0000_0002 | 0x0000_0004 | 0x1000_0000 | 0x4000_0000;
/// The file must be there and is not replaced (MS-SMB2 clause 2.2.13).
const OPEN: u32 = 1;

/// The shares of a session, and the requests that wait for their answers.
#[derive(Default)]
pub(super) struct Opens {
    /// By the server's number.
    shares: Vec<(u32, Box<str>)>,
    waiting: Vec<Waiting>,
    told: Recent,
}

/// A request that waits for its answer.
struct Waiting {
    /// By which the answer is known.
    message: u64,
    what: What,
}

enum What {
    /// A share.
    Share(Box<str>),
    /// A file or a pipe.
    File { kind: OperationKind, name: &'static str, target: Box<str> },
}

/// How a file is to be opened.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) access: u32,
    pub(super) disposition: u32,
}

impl Opens {
    /// The client asks for a share, by its path: `\\host\share`.
    pub(super) fn share(&mut self, message: u64, path: &str, out: &mut Emit<'_>) {
        let share = path.rsplit('\\').next().unwrap_or_default();
        self.wait(message, What::Share(share.into()), out);
    }

    /// The client opens a file or a pipe in a share.
    pub(super) fn open(&mut self, message: u64, share: u32, file: &str, how: How, out: &mut Emit<'_>) {
        let share = self.shares.iter().find(|(number, _)| *number == share).map_or("", |(_, name)| name);
        let file = file.trim_start_matches('\\');
        let opened = if share.eq_ignore_ascii_case(PIPES) {
            pipe(file).map(|(kind, name)| (kind, name, file.into()))
        } else {
            let writes = how.access & WRITES != 0 && how.disposition != OPEN && !file.is_empty();
            let target = || format!("{share}\\{file}").into();
            writes.then(|| (OperationKind::TransferFile, "write", target()))
        };
        let Some((kind, name, target)) = opened else { return };
        let target: Box<str> = target;
        if self.told.is_new(&[hash(name.bytes()), hash(target.bytes())]) {
            self.wait(message, What::File { kind, name, target }, out);
        }
    }

    /// The server's answer: the number of a share, or that a file is open, or why not.
    pub(super) fn answered(&mut self, message: u64, is_done: bool, number: u32, out: &mut Emit<'_>) {
        let Some(place) = self.waiting.iter().position(|waiting| waiting.message == message) else { return };
        match self.waiting.remove(place).what {
            What::Share(share) if is_done => {
                if self.shares.len() >= MAX_SHARES {
                    self.shares.remove(0);
                }
                self.shares.retain(|(known, _)| *known != number);
                self.shares.push((number, share));
            }
            What::Share(_) => {}
            file @ What::File { .. } => {
                tell(file, if is_done { Outcome::Done } else { Outcome::Refused }, out);
            }
        }
    }

    /// Nothing more is to come.
    pub(super) fn finish(&mut self, out: &mut Emit<'_>) {
        self.waiting.drain(..).for_each(|waiting| tell(waiting.what, Outcome::Asked, out));
    }

    fn wait(&mut self, message: u64, what: What, out: &mut Emit<'_>) {
        if self.waiting.len() >= MAX_WAITING {
            tell(self.waiting.remove(0).what, Outcome::Asked, out);
        }
        begin(&mut self.waiting, Waiting { message, what });
    }
}

fn tell(what: What, outcome: Outcome, out: &mut Emit<'_>) {
    if let What::File { kind, name, target } = what {
        out.operation(Side::Client, kind, name, Some(target), None, outcome);
    }
}

/// What a pipe is for, if it is one of those by which a host is told what to run or how it is set: the service control
/// manager (MS-SCMR clause 2.1), the task scheduler (MS-TSCH clause 2.1), the registry (MS-RRP clause 2.1), and those of
/// the programs that give a command line on another host.
fn pipe(name: &str) -> Option<(OperationKind, &'static str)> {
    let name = name.to_ascii_lowercase();
    Some(match &*name {
        "svcctl" => (OperationKind::Execute, "service-control"),
        "atsvc" => (OperationKind::Execute, "task-scheduler"),
        "winreg" => (OperationKind::Configure, "remote-registry"),
        _ if ["psexesvc", "paexec", "remcom", "csexec"].iter().any(|begins| name.starts_with(begins)) => {
            (OperationKind::Execute, "remote-shell")
        }
        _ => return None,
    })
}
