//! What a policy would have done to what was seen.

use std::collections::BTreeMap;
use std::fmt;

use model::{Attribute, DeviceId, FlowRecord, Host, Name, OperationKind, TcpState, Timestamp, Transport};

use serde::{Deserialize, Serialize};

use crate::compile::Compiled;
use crate::decide::{Ask, Asked, Decision, Who, Why};
use crate::syntax::{Verdict, operation_name};
use crate::view::one_line;

/// So many lines of each list are printed; the structures hold all.
const SHOWN: usize = 40;

/// What one host was seen to do with another: conversations of one kind, put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Who opened them.
    pub client: Host,
    /// Who was asked.
    pub server: Host,
    /// The name that the client had resolved to the server's address, where that is known.
    pub name: Option<Box<str>>,
    /// What carried them.
    pub transport: Transport,
    /// The server's port; 0 where the transport has none.
    pub port: u16,
    /// The protocol, where one was recognised.
    pub protocol: Option<Name>,
    /// What the client asked in them, each once. What the server asked in turn belongs to the conversation.
    pub operations: Vec<UsedOperation>,
    /// When the first began.
    pub first: Timestamp,
    /// When the last ended.
    pub last: Timestamp,
    /// How many there were.
    pub count: u64,
    /// Whether any of them was answered: by TCP, whether one was opened.
    pub answered: bool,
    /// Bytes on the wire, both ways.
    pub bytes: u64,
}

/// An operation that was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UsedOperation {
    /// What was asked.
    pub kind: OperationKind,
    /// What it was done to.
    pub target: Option<Box<str>>,
    /// How often.
    pub count: u64,
}

impl From<&FlowRecord> for Use {
    fn from(flow: &FlowRecord) -> Self {
        Self {
            client: flow.head.client.host,
            server: flow.head.server.host,
            name: None,
            transport: flow.head.transport,
            port: flow.head.server.port,
            protocol: flow.protocol.clone(),
            operations: Vec::new(),
            first: flow.first,
            last: flow.last,
            count: 1,
            answered: match flow.tcp.map(|tcp| tcp.state) {
                Some(TcpState::SynSent | TcpState::Refused) => false,
                Some(_) => true,
                None => flow.answered(),
            },
            bytes: flow.sent.bytes.saturating_add(flow.received.bytes),
        }
    }
}

impl Use {
    /// The question whether its conversations may be opened.
    pub fn ask(&self) -> Ask<'_> {
        Ask {
            server_name: self.name.as_deref(),
            protocol: self.protocol.as_deref(),
            ..Ask::conversation(Who::Host(self.client), Who::Host(self.server), self.transport, self.port)
        }
    }
}

/// How much of what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Uses.
    pub uses: u64,
    /// Conversations.
    pub conversations: u64,
    /// Bytes.
    pub bytes: u64,
    /// Operations in conversations that stand, which would have been cut by themselves.
    pub operations: u64,
}

impl Tally {
    fn add(&mut self, used: &Use) {
        self.uses += 1;
        self.conversations = self.conversations.saturating_add(used.count);
        self.bytes = self.bytes.saturating_add(used.bytes);
    }
}

/// What stands and what would have been cut, of somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// What stands.
    pub kept: Tally,
    /// What would have been cut.
    pub cut: Tally,
}

/// Something that would have been cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The number of the use.
    pub used: usize,
    /// The number of the operation in it; none if the conversations themselves would have been cut.
    pub operation: Option<usize>,
    /// Why.
    pub decision: Decision,
}

/// What a policy would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// In all.
    pub all: Effects,
    /// By the device that asked. What unknown hosts asked is only in the whole.
    pub by_device: BTreeMap<DeviceId, Effects>,
    /// By the part that the asking device plays before all others; `internet` and `unknown` for those that are none.
    pub by_role: BTreeMap<String, Effects>,
    /// Everything that would have been cut, in the order of the uses.
    pub cuts: Vec<Cut>,
}

impl Compiled {
    /// Replays what was seen.
    pub fn prove(&self, uses: &[Use]) -> Proof {
        let mut proof = Proof::default();
        for (number, used) in uses.iter().enumerate() {
            let mut cuts = Vec::new();
            let decision = self.decide(&used.ask());
            if decision.verdict == Verdict::Deny {
                cuts.push(Cut { used: number, operation: None, decision });
            } else {
                for (place, operation) in used.operations.iter().enumerate() {
                    let asked = Asked { kind: operation.kind, target: operation.target.as_deref() };
                    let decision = self.decide(&Ask { operation: Some(asked), ..used.ask() });
                    if decision.verdict == Verdict::Deny {
                        cuts.push(Cut { used: number, operation: Some(place), decision });
                    }
                }
            }
            let device = self.device_of(&used.client);
            let role = self.role_of(&used.client);
            let of_device = device.map(|id| proof.by_device.entry(id).or_default());
            let of_role = proof.by_role.entry(role).or_default();
            for effects in [Some(&mut proof.all), of_device, Some(of_role)].into_iter().flatten() {
                let whole = cuts.iter().any(|cut| cut.operation.is_none());
                if whole {
                    effects.cut.add(used);
                } else {
                    effects.kept.add(used);
                }
                let asked = cuts.iter().filter_map(|cut| used.operations.get(cut.operation?));
                let count = asked.fold(0_u64, |sum, operation| sum.saturating_add(operation.count));
                effects.cut.operations = effects.cut.operations.saturating_add(count);
            }
            proof.cuts.append(&mut cuts);
        }
        proof
    }

    /// What somebody is, in a word.
    pub(crate) fn role_of(&self, host: &Host) -> String {
        let device = self.device_of(host).and_then(|id| self.device(id));
        let role = device.and_then(|device| device.best(Attribute::Role)).map(one_line);
        let outside = self.class(self.class_of_host(host)).place == crate::sets::Whereabouts::Internet;
        role.filter(|_| !outside)
            .unwrap_or_else(|| if outside { "internet".into() } else { "unknown".into() })
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} conversations of {} kinds, {} bytes", self.conversations, self.uses, self.bytes)?;
        if self.operations == 0 { Ok(()) } else { write!(f, ", {} operations in others", self.operations) }
    }
}

impl Proof {
    /// For people, with the uses that were replayed and the policy.
    pub fn show(&self, compiled: &Compiled, uses: &[Use]) -> String {
        let mut text = format!("kept: {}\ncut:  {}\n", self.all.kept, self.all.cut);
        for (role, effects) in &self.by_role {
            text.push_str(&format!("  {role}: kept {}; cut {}\n", effects.kept, effects.cut));
        }
        for cut in self.cuts.iter().take(SHOWN) {
            let Some(used) = uses.get(cut.used) else { continue };
            let operation = cut.operation.and_then(|place| used.operations.get(place));
            let (what, count) = match operation {
                Some(operation) => {
                    let target = operation
                        .target
                        .as_deref()
                        .map_or_else(String::new, |target| format!(" {}", one_line(target)));
                    (format!(" {}{target}", operation_name(operation.kind)), operation.count)
                }
                None => (String::new(), used.count),
            };
            let why = compiled.sentence(&cut.decision);
            text.push_str(&format!("  {}{what}, {count} times: {why}\n", used.ask()));
        }
        if self.cuts.len() > SHOWN {
            text.push_str(&format!("  and {} more\n", self.cuts.len() - SHOWN));
        }
        text
    }

    /// Whether nothing would have been cut.
    pub fn is_clean(&self) -> bool {
        self.cuts.is_empty()
    }

    /// How often each reason cut something.
    pub fn reasons(&self) -> BTreeMap<Why, usize> {
        let mut reasons = BTreeMap::new();
        for cut in &self.cuts {
            *reasons.entry(cut.decision.why).or_default() += 1;
        }
        reasons
    }
}
