//! A policy in force: rules follow the devices as they appear and change.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ::policy::{Compiled, Severity};
use enforce::lower::{Live, Options, guarded};
use enforce::{Address, Depth, Family, KeepError, Keeper, Mode, Nft, OnDrift};
use model::{Device, DeviceId, Resolved};
use store::Store;

use super::clock;
use crate::output::{Problem, say};
use crate::policy::{self, File};

/// What somebody else has changed in the rules is put right within so long; who is in a group by age is looked at again as often.
const LOOK_AFTER: Duration = Duration::from_secs(10);
/// What `pavise enforce apply` leaves in the state while its rules are in force.
const APPLIED: &str = "enforce.json";

/// Which policy is kept in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) file: PathBuf,
    pub(crate) mode: Mode,
}

enum News {
    Devices(Vec<Device>, Vec<DeviceId>),
    Resolved(Box<Resolved>),
}

/// Keeps a policy in force, in a thread of its own.
pub(crate) struct Rules {
    news: Option<Sender<News>>,
    thread: Option<JoinHandle<()>>,
    family: Family,
}

impl Rules {
    /// Puts the policy in force for the devices that are known. Also whom it guards.
    pub(crate) fn start(
        kept: &Kept,
        family: Family,
        guard: &[Address],
        state: &Path,
        store: &dyn Store,
    ) -> Result<(Self, Vec<Address>), Problem> {
        if state.join(APPLIED).exists() {
            return Err(Problem::Other(
                "rules of `pavise enforce apply` are in force from this state: take them out with `pavise enforce remove`, \
                 or take `policy` out of the file"
                    .into(),
            ));
        }
        let file = File::open(&kept.file)?;
        let compiled = file.compile(policy::estate(store)?)?;
        let problems = compiled.lint();
        if let Some(problem) = problems.iter().find(|problem| problem.severity == Severity::Error) {
            return Err(Problem::Other(file.show(problem)));
        }
        let guarded = guarded(&compiled);
        let mut guard = [guard, &guarded].concat();
        guard.sort_unstable();
        guard.dedup();
        let mode = kept.mode;
        let options = Options { family, mode, strict: false, count_singles: true, no_groups: false, guard };
        let live = Live::new(&compiled, options);
        let cannot = |error: KeepError| {
            Problem::Other(format!("{} cannot be put in force: {error}", kept.file.display()))
        };
        let lowered = live.lowered(&compiled).map_err(|error| cannot(error.into()))?;
        let mut keeper =
            Keeper::new(Nft::default(), family, OnDrift::Repair).map_err(|error| cannot(error.into()))?;
        let (_, change) = keeper.resume(&lowered.ruleset).map_err(cannot)?;
        for note in lowered.notes.iter().chain(&change.notes) {
            say(format_args!("note: {note}"));
        }
        say(format_args!(
            "{} is in force for {} classes of devices; it {}.",
            kept.file.display(),
            lowered.ruleset.classes.len(),
            if mode == Mode::Enforce {
                "cuts what is not allowed"
            } else {
                "counts what it would cut, and cuts nothing"
            }
        ));
        let (sender, inbox) = channel();
        let keeping = Keeping { compiled, live, keeper, looked: Instant::now() };
        let thread = std::thread::spawn(move || keeping.run(&inbox));
        Ok((Self { news: Some(sender), thread: Some(thread), family }, guarded))
    }

    /// Devices have changed, or are gone.
    pub(crate) fn follow(&self, changed: Vec<Device>, gone: Vec<DeviceId>) {
        self.tell(News::Devices(changed, gone));
    }

    /// Somebody was told which addresses a name has.
    pub(crate) fn resolved(&self, resolved: &Resolved) {
        self.tell(News::Resolved(Box::new(resolved.clone())));
    }

    fn tell(&self, news: News) {
        if let Some(sender) = &self.news {
            // A thread that has ended has said why.
            let _ = sender.send(news);
        }
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        self.news = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let family = if self.family == Family::Bridged { "bridge" } else { "inet" };
        say(format_args!(
            "The policy stays in force as it is; `nft delete table {family} {}` takes it out.",
            enforce::TABLE
        ));
    }
}

struct Keeping {
    compiled: Compiled,
    live: Live,
    keeper: Keeper<Nft>,
    looked: Instant,
}

impl Keeping {
    fn run(mut self, inbox: &Receiver<News>) {
        loop {
            let mut touched = Vec::new();
            match inbox.recv_timeout(LOOK_AFTER.saturating_sub(self.looked.elapsed())) {
                Ok(news) => self.take(news, &mut touched),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // What has come meanwhile is followed at once, together.
            while let Ok(news) = inbox.try_recv() {
                self.take(news, &mut touched);
            }
            if self.looked.elapsed() >= LOOK_AFTER {
                self.looked = Instant::now();
                self.compiled.advance(clock());
                touched = self.compiled.devices().map(|device| device.id).collect();
                self.look_after();
            }
            if touched.is_empty() {
                continue;
            }
            touched.sort_unstable();
            touched.dedup();
            if let Err(error) = self.live.follow(&self.compiled, &touched, &mut self.keeper) {
                say(format_args!("pavise: rules do not follow the devices: {error}"));
            }
        }
    }

    fn take(&mut self, news: News, touched: &mut Vec<DeviceId>) {
        match news {
            News::Devices(changed, gone) => {
                for id in gone {
                    touched.extend(self.compiled.remove(id));
                }
                for device in changed {
                    touched.extend(self.compiled.update(device));
                }
            }
            News::Resolved(resolved) => {
                let life = Duration::from_secs(resolved.ttl.into());
                for address in &resolved.addresses {
                    if let Err(error) = self.keeper.answered(&resolved.name, *address, life) {
                        say(format_args!(
                            "pavise: an address of {} is not let through: {error}",
                            resolved.name
                        ));
                    }
                }
            }
        }
    }

    fn look_after(&mut self) {
        match self.keeper.look_after(Depth::Structure) {
            Ok(drift) if drift.is_empty() => {}
            Ok(_) => say("Somebody has changed the rules of the policy; they were put right."),
            Err(error) => say(format_args!("pavise: cannot look after the rules of the policy: {error}")),
        }
    }
}
