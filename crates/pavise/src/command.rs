//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Sees every connected thing on a network, says what it is, and shows why it believes so.
#[derive(Debug, Parser)]
#[command(name = "pavise", version, propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Pavise {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch captures or network interfaces and learn every device on them
    Watch(Watch),
    /// Serve the API and the console over a state
    Serve(crate::serve::Options),
    /// List the devices that are known
    Devices(Devices),
    /// Show everything that is known about one device, and why
    Device(Device),
    /// List conversations
    Flows(Flows),
    /// List the protocols that were seen
    Protocols(Protocols),
    /// List what was found wrong
    Findings(Findings),
    /// Show everything about one finding: what, why, what to do, and the packets
    Finding(Finding),
    /// List incidents: findings that belong together
    Incidents(Incidents),
    /// Say what you think of a finding: true, expected or false
    Verdict(Verdict),
    /// List what is done about incidents, undo it, or answer what Pavise asks
    Actions(Actions),
    /// List what is to be told to others and waits for them; have it tried at once, or drop it
    Outbox(crate::outbox::Options),
    /// List the detectors: what each finds, why it matters, what to do, and what can be set
    Detectors(Detectors),
    /// Say what may talk to what: look at a policy, ask it, compare, prove it on what was seen, have one proposed
    Policy(Policy),
    /// Put a policy in force in this host's firewall: plan, apply, look after, take out
    Enforce(Enforce),
    /// Check, make, compare and sign manufacturers' usage descriptions (MUD, RFC 8520)
    Mud(Mud),
    /// Tell how far each device is trusted, why, and what would raise it
    Trust(crate::trust::Options),
    /// Say who may do what: check policies in Cedar, ask them, compare them, see who may do what by them
    Access(crate::access::Options),
    /// Play an attack, show what Pavise sees of it, and explain each step
    Drill(Drill),
    /// Make a capture of a realistic scene, with its truth beside it
    Lab(Lab),
}

/// Which of them.
#[derive(Args, Clone, Debug)]
pub(crate) struct Which {
    /// Only those for which this holds, such as 'role:plc and seen>24h' (the language of docs/policy.md)
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) filter: Option<String>,
}

/// Where the state is.
#[derive(Args, Clone, Debug)]
pub(crate) struct State {
    /// The folder in which what was learnt is kept
    #[arg(long, value_name = "DIR", default_value = ".pavise", env = "PAVISE_STATE")]
    pub(crate) state: PathBuf,
}

/// An answer from the state.
#[derive(Args, Clone, Debug)]
pub(crate) struct Answer {
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: State,
}

impl Answer {
    /// The folder of the state.
    pub(crate) fn state(&self) -> &Path {
        &self.state.state
    }
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise watch plant.pcapng                     what is in a capture
  pavise watch captures/ --report plant.html    a folder of them, with a page to show around
  sudo pavise watch eth1                        a live mirror port, until Ctrl-C
  ssh tap tcpdump -w - | pavise watch -         standard input
  sudo pavise watch br0 --protect protect.toml  a bridge in the wire; whoever attacks is contained
  pavise watch plant.pcapng --json | jq 'select(.event == \"device-appeared\")'
  pavise watch eth1 --policy plant.policy       what the policy would cut, as findings; nothing is cut
  pavise watch eth1 --mud profiles/             what devices do that their makers do not say

Reading a file that was interrupted, or has grown, goes on where the state says; a file that was read
to its end is shown again without being added twice. Ctrl-C ends with what was learnt; twice, at once.
Exit status: 0 if everything was read or you ended it, 1 if something could not be, 2 for a wrong option.")]
pub(crate) struct Watch {
    /// Capture files (pcap, pcapng; plain, gzip, zstd), folders of them, `-` for standard input, network
    /// interfaces (`if:NAME` where a file has the same name), or observations that `--json` printed (FILE.jsonl)
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// Print observations and events as JSON lines on standard output; the summary goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// Write a report as one self-contained HTML page
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// How many threads take packets apart, beside one that reads and one that judges; 1 does everything in one. Unless
    /// given, packets are read and taken apart in one thread and judged in another, where there are two processors. The
    /// result is the same for every number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) shards: Option<u16>,
    /// How many conversations are held at once; the oldest unanswered go first when there are more
    #[arg(long, value_name = "N", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) max_flows: u32,
    /// Settings of the detectors: thresholds, zones, what is switched off or expected (see `pavise detectors --help`);
    /// STATE/settings.toml unless given, if there is one
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) settings: Option<PathBuf>,
    /// Learn devices and conversations only, and judge nothing
    #[arg(long)]
    pub(crate) no_findings: bool,
    /// Indicators that others have found: a STIX 2.1 bundle, or a list of addresses, domains, URLs and JA4
    /// fingerprints; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) intel: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) rules: crate::rules::Named,
    /// Write how unusual each observation was, from 0 to 1, as JSON lines: for measuring the detectors that learn
    #[arg(long, value_name = "FILE")]
    pub(crate) scores: Option<PathBuf>,
    /// How much of the latest traffic is held as evidence, in MiB; 0 keeps no packets of what is found
    #[arg(long, value_name = "MIB", default_value_t = 32, value_parser = clap::value_parser!(u32).range(0..=65_536))]
    pub(crate) ring: u32,
    /// How often what was learnt is kept, in milliseconds; at most so much is read again after a crash
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub(crate) commit_every: u64,
    /// Respond to incidents on interfaces: contain whoever attacks, or say what would be done. The file says how
    /// (docs/enforcement.md, docs/protect.toml); it takes root and nftables where it is to be done
    #[arg(long, value_name = "FILE.toml", conflicts_with = "no_findings")]
    pub(crate) protect: Option<PathBuf>,
    /// Do not show progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise devices
  pavise devices --all
  pavise devices --filter 'vendor:siemens and role:plc and seen>24h'
  pavise devices --json | jq -r '.[] | select(.locality == \"on-link\") | .id'")]
pub(crate) struct Devices {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Also list endpoints elsewhere in the Internet
    #[arg(long)]
    pub(crate) all: bool,
    /// Print a JSON array of all devices, endpoints elsewhere included (see `locality`)
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise device 10.0.10.21
  pavise device 00:1b:1b:4f:00:01
  pavise device plc-mixer
  pavise device d2f0a91b77c3e --json")]
pub(crate) struct Device {
    /// Its id (or the beginning of it), an address, a MAC address or a host name
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) answer: Answer,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise flows
  pavise flows --device 10.0.10.21 --protocol modbus
  pavise flows --filter 'server:10.1.0.0/16 and bytes>1MB'
  pavise flows --json | jq -s 'length'")]
pub(crate) struct Flows {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only those of one device: an address, a MAC address, an id or a host name
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<String>,
    /// Only those of one protocol (its id, or `tcp`, `udp`, … where none was recognised)
    #[arg(long, value_name = "NAME")]
    pub(crate) protocol: Option<String>,
    /// Only those with this server port
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,
    /// At most so many, the latest; 0 for all. With --json all are printed unless this is given
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Print a JSON array, one record a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise protocols
  pavise protocols --known
  pavise protocols --json")]
pub(crate) struct Protocols {
    /// List the protocols that Pavise understands instead of those that were seen
    #[arg(long)]
    pub(crate) known: bool,
    /// Print a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise findings
  pavise findings --severity high --device 10.0.10.21
  pavise findings --detector program-download
  pavise findings --filter 'severity>=medium and victim:10.0.10.21 and verdict:none'
  pavise findings --json | jq '.[] | select(.severity == \"critical\") | .summary'")]
pub(crate) struct Findings {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only those as bad as this, or worse
    #[arg(long, value_name = "SEVERITY", default_value = "info", value_parser = ["info", "low", "medium", "high", "critical"])]
    pub(crate) severity: String,
    /// Only those of one detector
    #[arg(long, value_name = "ID")]
    pub(crate) detector: Option<String>,
    /// Only those in which one device has a part: an address, a MAC address, an id or a host name
    #[arg(long, value_name = "ID")]
    pub(crate) device: Option<String>,
    /// Also those that were said to be expected or false
    #[arg(long)]
    pub(crate) all: bool,
    /// Print a JSON array of all findings that match, silenced ones included (see `judgement`)
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise finding f2f0a91b77c3e
  pavise finding f2f0 --pcap evidence.pcapng    the packets that show it, for Wireshark or for a replay
  pavise finding f2f0 --json")]
pub(crate) struct Finding {
    /// Its id, or the beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Write the packets that show it
    #[arg(long, value_name = "FILE.pcapng")]
    pub(crate) pcap: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) answer: Answer,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise incidents
  pavise incidents --filter 'severity:critical and seen<1d'
  pavise incidents i2f0a91b77c3e     its timeline, who is part of it, where it may go next
  pavise incidents --json")]
pub(crate) struct Incidents {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only this one, with its timeline: its id, or the beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Print a JSON array, or one object if an id is given
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise verdict f2f0 true
  pavise verdict f2f0 expected --scope actor --reason 'our vulnerability scanner'
  pavise verdict f2f0 clear              takes it back

`expected` and `false` silence the finding and what its scope covers, found already or later, and hold it against
nobody: learning goes on. `true`, said of what a detector that learns has found, keeps it from becoming usual: nothing is
learnt of its actor. `clear` undoes all of that. A watch that is under way hears of it within a second or so.")]
pub(crate) struct Verdict {
    /// The finding's id, or the beginning of it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// What you say of it
    #[arg(value_name = "VERDICT", value_parser = ["true", "expected", "false", "clear"])]
    pub(crate) verdict: String,
    /// For what it holds: this finding, or whatever the same detector finds of the same actor, of the same victim,
    /// or of anybody
    #[arg(long, value_name = "SCOPE", default_value = "finding", value_parser = ["finding", "actor", "victim", "detector"])]
    pub(crate) scope: String,
    /// Why
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise actions                         what is in force or asked
  pavise actions --all                   and what has ended
  pavise actions revert a1f0             lets somebody out before the time is over
  pavise actions answer a1f0 yes         has done what Pavise asks about
  pavise actions --json | jq '.[] | select(.outcome == \"asked\") | .id'

Actions are taken by `pavise watch --protect` (docs/enforcement.md). A watch that is under way hears of an order within a
second; where none is, the order is carried out at once, which takes root.")]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Actions {
    #[command(subcommand)]
    pub(crate) command: Option<ActionsCommand>,
    /// Also those that have ended
    #[arg(long)]
    pub(crate) all: bool,
    /// Print a JSON array of all, those that have ended included
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ActionsCommand {
    /// Undo an action before its time
    Revert {
        /// Its id, or the beginning of it
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        state: State,
    },
    /// Answer what Pavise asks about
    Answer {
        /// The id of the question, or the beginning of it
        #[arg(value_name = "ID")]
        id: String,
        /// Whether it is to be done
        #[arg(value_name = "ANSWER", value_parser = ["yes", "no"])]
        answer: String,
        #[command(flatten)]
        state: State,
    },
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise detectors
  pavise detectors host-scan             one detector's page
  pavise detectors --json

Settings are given to `pavise watch --settings FILE.toml`:

  site = \"North plant\"
  off = [\"weak-tls\"]
  [thresholds]                           # for the whole site
  \"host-scan.failures\" = 20
  [[zone]]                               # a part of it: networks, macs, roles
  name = \"cell-3\"
  networks = [\"10.0.5.0/24\"]
  [[scope]]                              # for some only: zone, network, mac, role, type
  zone = \"cell-3\"
  thresholds = { \"host-scan.failures\" = 50 }
  [[expected]]                           # what is meant to happen
  actor = \"10.0.5.9\"
  detectors = [\"host-scan\", \"port-scan\"]
  reason = \"our vulnerability scanner\"")]
pub(crate) struct Detectors {
    /// Only this one, with all it has to say
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Print a JSON array
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the catalogue as a page in Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise drill mirai
  pavise drill stuxnet --speed 0                as fast as can be
  pavise drill dns-tunnel --scene plant --minutes 30
  pavise drill plc-maintenance                  what only looks like an attack
  pavise drill mirai --json | jq '.[] | {stage, found}'

Nothing is sent and nothing is kept: the scene is simulated.")]
pub(crate) struct Drill {
    /// The attack: `pavise lab attack --list` tells which there are
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// The scene in which it is played, in place of its usual one
    #[arg(long, value_name = "SCENE")]
    pub(crate) scene: Option<String>,
    /// How many seconds of the scene pass in one; 0 for as fast as can be
    #[arg(long, value_name = "TIMES", default_value_t = 30.0, value_parser = speed)]
    pub(crate) speed: f64,
    /// How long the scene lasts, in minutes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_440))]
    pub(crate) minutes: u32,
    /// The same seed gives the same scene
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print how each stage was found as a JSON array, as fast as can be
    #[arg(long)]
    pub(crate) json: bool,
}

/// A speed: a number that is not below 0.
fn speed(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|speed: &f64| speed.is_finite() && *speed >= 0.0)
        .ok_or_else(|| "not a number from 0 up".into())
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise lab plant --out plant.pcapng     writes plant.pcapng and plant.truth.json
  pavise lab home --seed 7 --minutes 60 --out home.pcapng
  pavise lab attack --list                what attacks there are, and in which scenes
  pavise lab attack frostygoop --out frostygoop.pcapng
  pavise lab attack dns-tunnel --scene plant --minutes 60 --out tunnel.pcapng
  pavise lab crowd --packets 400000 --hosts 5000 --out crowd.pcapng
  pavise lab flood --packets 200000 --out flood.pcapng")]
pub(crate) struct Lab {
    /// The scene: `home`, `plant`, `retail`, `city`, `hospital` or `vehicle`; `attack` with a NAME for a scene in
    /// which an attack is played; or, for measuring, `crowd` (many hosts and small packets) or `flood`
    /// (made-up connections around real ones)
    #[arg(value_name = "SCENE")]
    pub(crate) scene: String,
    /// The attack, if the scene is `attack`
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where to write the capture; the truth is written beside it
    #[arg(long, value_name = "FILE.pcapng", required_unless_present = "list")]
    pub(crate) out: Option<PathBuf>,
    /// The scene in which the attack is played, in place of its usual one
    #[arg(long = "scene", value_name = "SCENE")]
    pub(crate) stage: Option<String>,
    /// List the attacks, with what they show and the scenes they can be played in
    #[arg(long)]
    pub(crate) list: bool,
    /// The same seed gives the same capture, byte for byte
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How long a scene lasts, in minutes of packet time
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_080))]
    pub(crate) minutes: u32,
    /// How many packets a crowd sends (4,000,000 unless said), or how many made-up ones a flood has
    /// (10,000,000 unless said)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) packets: Option<u64>,
    /// How many hosts a crowd has (50,000 unless said)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=16_777_216))]
    pub(crate) hosts: Option<u32>,
    /// How many real conversations stand through a flood (1,000 unless said)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) established: Option<u32>,
}

#[derive(Args, Clone, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  pavise policy propose --out plant.policy                 from what was seen
  pavise policy lint plant.policy                          is it sound?
  pavise policy prove plant.policy                         what would it have cut?
  pavise policy explain plant.policy hmi-1 plc-mixer modbus write 'holding-registers 100'
  pavise policy diff old.policy plant.policy

Policies are text for version control: docs/policy.md tells how they are written. They are judged for the devices that
the state knows."
)]
pub(crate) struct Policy {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Tell what is wrong or questionable in a policy, with line and reason
    Lint(PolicyFile),
    /// Check what a policy expects of itself: its `expect` and `never` statements
    Test(PolicyFile),
    /// Ask whether something may happen, and why
    Explain(PolicyExplain),
    /// Tell who can get where, also through hosts that are taken over on the way
    Reach(PolicyReach),
    /// Tell what another policy changes: who may talk to whom, who can get where
    Diff(PolicyDiff),
    /// Replay what was seen against a policy: what would have been cut, by device and by role
    Prove(PolicyFile),
    /// Propose a policy from what was seen
    Propose(PolicyPropose),
    /// Say a policy in the words of a firewall, switch or cluster
    Export(PolicyExport),
}

/// For whom a policy is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportTo {
    /// A file for `nft -f`
    Nftables,
    /// An extended access list of Cisco IOS
    Cisco,
    /// An access list of Aruba CX
    Aruba,
    /// Input for `iptables-restore --noflush`
    Iptables,
    /// Input for `ip6tables-restore --noflush`
    Ip6tables,
    /// NetworkPolicy objects
    Kubernetes,
    /// Attributes of a RADIUS server (FreeRADIUS `users`)
    Radius,
}

/// Where packets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Passing {
    /// The host routes between its networks
    Routed,
    /// The host is a bridge: a bump in the wire
    Bridged,
}

/// What a policy does not say and a firewall must know.
#[derive(Args, Clone, Debug)]
pub(crate) struct Shape {
    /// Where packets pass
    #[arg(long, value_enum, default_value_t = Passing::Routed)]
    family: Passing,
    /// Hold hosts to the policy, too, that are neither known devices nor in a zone
    #[arg(long)]
    pub(crate) strict: bool,
    /// An address, network or MAC address whose packets are never cut; may be given several times. Those whom the
    /// policy's `guard` statements name are guarded anyway
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) guard: Vec<String>,
}

impl Shape {
    pub(crate) fn bridged(&self) -> bool {
        self.family == Passing::Bridged
    }
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise policy export plant.policy --to nftables --out plant.nft
  pavise policy export plant.policy --to cisco
  pavise policy export plant.policy --to kubernetes --namespace plant

What the format cannot say goes to standard error; it is denied there, or said less exactly.")]
pub(crate) struct PolicyExport {
    /// The policy
    #[arg(value_name = "FILE.policy")]
    pub(crate) file: PathBuf,
    /// For whom
    #[arg(long, value_enum)]
    pub(crate) to: ExportTo,
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// The namespace of the objects, for kubernetes
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) namespace: String,
    /// Write it to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Args, Clone, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  pavise enforce plan plant.policy                          what would be done; changes nothing
  sudo pavise enforce apply plant.policy --mode observe     counts what it would cut
  sudo pavise enforce status                                what it would have cut, by sender, receiver, port
  sudo pavise enforce apply plant.policy --mode enforce     cuts it
  sudo pavise enforce drift --repair                        puts right what somebody else has changed
  sudo pavise enforce remove                                takes it out

It takes root (or CAP_NET_ADMIN), nftables and a kernel with nf_tables on the host through which packets pass."
)]
pub(crate) struct Enforce {
    #[command(subcommand)]
    pub(crate) command: EnforceCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum EnforceCommand {
    /// Tell what a policy would do to the firewall and to what was seen; changes nothing
    Plan(EnforcePlan),
    /// Put a policy in force
    Apply(EnforceApply),
    /// Tell what is in force, and what was or would have been cut
    Status(EnforceState),
    /// Tell what somebody else has changed, or put it right
    Drift(EnforceDrift),
    /// Take the rules out of force
    Remove(EnforceState),
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise enforce plan plant.policy
  pavise enforce plan plant.policy --family bridged --guard 10.0.0.1 --json")]
pub(crate) struct EnforcePlan {
    #[command(flatten)]
    pub(crate) policy: PolicyFile,
    #[command(flatten)]
    pub(crate) shape: Shape,
}

/// Whether what is not allowed is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnforceMode {
    /// Count what would be cut, cut nothing
    Observe,
    /// Cut what is not allowed
    Enforce,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  sudo pavise enforce apply plant.policy --mode observe
  sudo pavise enforce apply plant.policy --mode enforce --guard 10.0.0.1

It refuses a policy in which `pavise policy lint` finds errors, and to enforce one that would cut conversations that
were seen, were answered and are not between those of a finding (see `pavise verdict`), or of which nothing was seen.
A change is one transaction: either all of it is in force, or what was before.")]
pub(crate) struct EnforceApply {
    #[command(flatten)]
    pub(crate) plan: EnforcePlan,
    /// Whether what is not allowed is cut
    #[arg(long, value_enum)]
    pub(crate) mode: EnforceMode,
    /// Enforce it although it would cut what was seen, or nothing was seen
    #[arg(long)]
    pub(crate) despite_proof: bool,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  sudo pavise enforce status
  sudo pavise enforce status --json | jq '.cut_by'
  sudo pavise enforce remove")]
pub(crate) struct EnforceState {
    #[command(flatten)]
    pub(crate) answer: Answer,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  sudo pavise enforce drift
  sudo pavise enforce drift --repair

Exit status: 1 if something differs and was not put right.")]
pub(crate) struct EnforceDrift {
    /// Put right what differs
    #[arg(long)]
    pub(crate) repair: bool,
    #[command(flatten)]
    pub(crate) answer: Answer,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise policy lint plant.policy
  pavise policy test plant.policy
  pavise policy prove plant.policy --json | jq '.roles'

Exit status: 1 if there are errors, or something does not hold.")]
pub(crate) struct PolicyFile {
    /// The policy
    #[arg(value_name = "FILE.policy")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) answer: Answer,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise policy explain plant.policy hmi-1 10.0.10.21 modbus
  pavise policy explain plant.policy hmi-1 plc-mixer modbus write 'holding-registers 100'
  pavise policy explain plant.policy d2f0a91b77c3e 198.51.100.7 tcp/443")]
pub(crate) struct PolicyExplain {
    #[command(flatten)]
    pub(crate) policy: PolicyFile,
    /// Who asks: a device by its id or name, an address, a MAC address
    #[arg(value_name = "WHO")]
    pub(crate) client: String,
    /// Who is asked: the same, or a name in the DNS
    #[arg(value_name = "WHOM")]
    pub(crate) server: String,
    /// For what: a protocol, or a port such as tcp/502
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// Which operation: read, write, program-download...
    #[arg(value_name = "OPERATION")]
    pub(crate) operation: Option<String>,
    /// What it is done to: registers, a topic, a file
    #[arg(value_name = "TARGET")]
    pub(crate) target: Option<String>,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise policy reach plant.policy cameras             whom they can get to, straight or through others
  pavise policy reach plant.policy internet role:plc   the shortest way, if there is one
  pavise policy reach plant.policy plc-mixer --backward")]
pub(crate) struct PolicyReach {
    #[command(flatten)]
    pub(crate) policy: PolicyFile,
    /// From where: a zone, a group, `role:ROLE`, `internet`, or a device
    #[arg(value_name = "FROM")]
    pub(crate) from: String,
    /// To where; everywhere unless given
    #[arg(value_name = "TO")]
    pub(crate) to: Option<String>,
    /// Tell who gets to FROM instead
    #[arg(long, conflicts_with = "to")]
    pub(crate) backward: bool,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise policy diff running.policy proposed.policy
  git show HEAD:plant.policy > old.policy && pavise policy diff old.policy plant.policy --json")]
pub(crate) struct PolicyDiff {
    /// The policy as it is
    #[arg(value_name = "BEFORE.policy")]
    pub(crate) before: PathBuf,
    /// The policy as it may become
    #[arg(value_name = "AFTER.policy")]
    pub(crate) after: PathBuf,
    #[command(flatten)]
    pub(crate) answer: Answer,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise policy propose
  pavise policy propose --site 'North plant' --out plant.policy

Everything benign that was seen is allowed, and little more. What no policy should allow, such as a conversation from the
Internet with a controller, is left out and told as a comment, with the reason.")]
pub(crate) struct PolicyPropose {
    /// What the place is called
    #[arg(long, value_name = "NAME")]
    pub(crate) site: Option<String>,
    /// Write it to a file
    #[arg(long, value_name = "FILE.policy")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Args, Clone, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "\
Examples:
  pavise mud generate lamp --out lamp.json        what the device was seen to do, as a description
  pavise mud check lamp.json                      is it sound?
  pavise mud compare maker.json lamp              what does the device do that its maker does not say?
  pavise mud compare maker.json lamp.json         how do two descriptions differ, rule by rule?
  pavise mud policy lamp.json --for lamp          what it allows, as rules of a policy
  pavise mud fetch --seen --trust maker-root.pem  those that devices name, from their makers"
)]
pub(crate) struct Mud {
    #[command(subcommand)]
    pub(crate) command: MudCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum MudCommand {
    /// Read a description, tell what is wrong with it, and check its signature
    Check(MudCheck),
    /// Make a description of what a device was seen to do
    Generate(MudGenerate),
    /// Hold what a device was seen to do, or another description, against a description
    Compare(MudCompare),
    /// Sign a description (RFC 8520, section 13)
    Sign(MudSign),
    /// Fetch descriptions by HTTPS from where devices say that they are, judge and keep them
    Fetch(crate::mud_fetch::MudFetch),
    /// Say what a description allows as rules of a policy
    Policy(crate::mud_policy::MudPolicy),
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise mud check lamp.json
  pavise mud check lamp.json --signature lamp.p7s --anchor maker-root.pem
  pavise mud check lamp.json --json

Exit status: 1 if it cannot be read, or the signature does not hold now.")]
pub(crate) struct MudCheck {
    /// The description
    #[arg(value_name = "FILE.json")]
    pub(crate) file: PathBuf,
    /// Its detached signature (CMS, DER)
    #[arg(long, value_name = "FILE", requires = "anchor")]
    pub(crate) signature: Option<PathBuf>,
    /// Certificates that are trusted (PEM or DER); may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) anchor: Vec<PathBuf>,
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise mud generate 10.0.0.17
  pavise mud generate lamp --url https://lamps.example/lamp.json --out lamp.json")]
pub(crate) struct MudGenerate {
    /// The device: its id (or the beginning of it), an address, a MAC address or a host name
    #[arg(value_name = "DEVICE")]
    pub(crate) device: String,
    /// Where the description will be found; that which the device itself tells unless given
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Write it to a file
    #[arg(long, value_name = "FILE.json")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: State,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise mud compare maker.json lamp
  pavise mud compare maker.json lamp.json --json")]
pub(crate) struct MudCompare {
    /// The description
    #[arg(value_name = "FILE.json")]
    pub(crate) file: PathBuf,
    /// A device, or another description
    #[arg(value_name = "DEVICE|FILE.json")]
    pub(crate) with: String,
    #[command(flatten)]
    pub(crate) answer: Answer,
}

#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  pavise mud sign lamp.json --key key.pem --certificate chain.pem --out lamp.p7s")]
pub(crate) struct MudSign {
    /// The description
    #[arg(value_name = "FILE.json")]
    pub(crate) file: PathBuf,
    /// The key (PKCS#8, P-256 or Ed25519; PEM or DER)
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The key's certificate, and behind it those that lead to a trusted one (PEM or DER)
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: PathBuf,
    /// Where the signature goes
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}
