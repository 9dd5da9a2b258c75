//! Attacks do what their truth says, and leave the scene around them as it is.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use lab::{ATTACKS, AttackKind, Link, SceneOptions, Truth};
use model::{MacAddr, Timestamp};

fn options(seed: u64, seconds: u64) -> SceneOptions {
    SceneOptions { seed, duration: Duration::from_secs(seconds), ..SceneOptions::default() }
}

type Frames = Vec<(Timestamp, Vec<u8>)>;

fn played(scene: &lab::Scene) -> (Truth, Frames) {
    let mut frames = Vec::new();
    let truth = scene.play(&mut |at, frame| {
        frames.push((at, frame.to_vec()));
        Ok(())
    });
    (truth.unwrap(), frames)
}

/// All attacks in all their scenes.
fn all() -> impl Iterator<Item = (&'static AttackKind, &'static str)> {
    ATTACKS.iter().flat_map(|attack| attack.scenes.iter().map(move |scene| (attack, *scene)))
}

fn play(attack: &AttackKind, scene: &str, options: &SceneOptions) -> (Truth, Frames) {
    played(&lab::attack(attack.name, Some(scene), options).unwrap())
}

#[test]
fn every_stage_is_told_with_its_frames() {
    for (attack, scene) in all() {
        let (truth, frames) = play(attack, scene, &options(1, 180));
        let what = format!("{} in {scene}", attack.name);
        assert_eq!(truth.attack.as_deref(), Some(attack.name));
        let told: Vec<_> = truth.stages.iter().map(|stage| &*stage.name).collect();
        let planned: Vec<_> = attack.steps.iter().map(|step| step.name).collect();
        assert_eq!(told, planned, "{what}: all stages, in order");
        let devices: BTreeSet<_> = truth.devices.iter().map(|device| &*device.name).collect();
        let on_bus = truth.conversations.iter().filter(|told| told.transport == "can");
        let identifiers: BTreeSet<_> = on_bus.map(|told| &*told.client).collect();
        let mut labelled = BTreeSet::new();
        for stage in &truth.stages {
            assert_eq!(stage.hostile, !attack.benign);
            assert!(stage.about.len() > 40 && stage.about.ends_with('.'), "{what}: {}", stage.about);
            assert!(!stage.hostile || !stage.techniques.is_empty(), "{what}: {}", stage.name);
            for id in &stage.techniques {
                let digits = id.strip_prefix('T').unwrap().replace('.', "");
                assert!([4, 7].contains(&digits.len()) && digits.parse::<u32>().is_ok(), "{id}");
            }
            for name in stage.victims.iter().chain([&stage.actor]) {
                let there = devices.contains(&**name) || identifiers.contains(&**name);
                assert!(there, "{what}: {name} takes part in {}", stage.name);
            }
            assert!(!stage.victims.is_empty());
            let ranges = &stage.packets;
            assert!(ranges.iter().all(|[first, last]| first <= last && *last <= truth.packets));
            assert!(ranges.windows(2).all(|pair| pair[0][1] + 1 < pair[1][0]), "{what}: ranges are whole");
            assert_eq!(frames[ranges[0][0] as usize - 1].0, stage.first);
            assert_eq!(frames[ranges.last().unwrap()[1] as usize - 1].0, stage.last);
            assert!(stage.first.since(truth.start) >= Duration::from_secs(60), "{what}: a quiet time first");
            for number in ranges.iter().flat_map(|[first, last]| *first..=*last) {
                assert!(labelled.insert(number), "{what}: frame {number} is of one stage");
            }
        }
        assert!((labelled.len() as u64) < truth.packets, "{what}: the scene goes on");
        let text = serde_json::to_string(&truth).unwrap();
        assert_eq!(serde_json::from_str::<Truth>(&text).unwrap(), truth);
    }
}

#[test]
fn an_attack_does_not_change_the_scene_before_it_begins() {
    for (attack, scene) in all() {
        let options = options(3, 90);
        let (truth, frames) = play(attack, scene, &options);
        let (quiet, base) = played(&lab::scene(scene, &options).unwrap());
        assert!(quiet.attack.is_none() && quiet.stages.is_empty());
        let first = truth.stages[0].packets[0][0] as usize - 1;
        assert!(first > 100);
        assert!(frames[..first] == base[..first], "{} changes {scene}", attack.name);
        assert!(frames[first] != base[first], "{} is not labelled from its first frame", attack.name);
    }
}

#[test]
fn the_same_seed_gives_the_same_attack_and_another_gives_another() {
    for (attack, scene) in all() {
        let first = play(attack, scene, &options(7, 60));
        assert!(first == play(attack, scene, &options(7, 60)), "{} differs from itself", attack.name);
        let of_stages = |(truth, frames): &(Truth, Frames)| -> Frames {
            let ranges = truth.stages.iter().flat_map(|stage| &stage.packets);
            ranges.flat_map(|[first, last]| frames[*first as usize - 1..*last as usize].to_vec()).collect()
        };
        let other = play(attack, scene, &options(8, 60));
        assert!(of_stages(&first) != of_stages(&other), "{} does not heed its seed", attack.name);
    }
}

#[test]
fn an_attack_begins_when_it_is_told_to_and_fits_any_length() {
    for (attack, scene) in all() {
        let after = Some(Duration::from_secs(20));
        let (truth, _) = play(attack, scene, &SceneOptions { attack_after: after, ..options(1, 40) });
        let first = truth.stages[0].first.since(truth.start);
        assert!(first >= Duration::from_secs(20), "{} begins after {first:?}", attack.name);
        for seconds in [0, 1, 16] {
            play(attack, scene, &options(1, seconds));
        }
    }
}

#[test]
fn an_attack_or_scene_that_is_not_there_is_refused_by_name() {
    let refusal = |name, scene| lab::attack(name, scene, &SceneOptions::default()).err().unwrap().to_string();
    let unknown = refusal("blackout", None);
    assert!(unknown.starts_with("no attack is called \"blackout\": there is "), "{unknown}");
    assert!(ATTACKS.iter().all(|attack| unknown.contains(attack.name)));
    assert_eq!(
        refusal("frostygoop", Some("home")),
        "frostygoop is not played in a scene called \"home\", but in: plant"
    );
    assert!(refusal("frostygoop", Some("ship")).contains("\"ship\""));
}

#[test]
fn attacks_are_named_and_explained_once() {
    let names: BTreeSet<_> = ATTACKS.iter().map(|attack| attack.name).collect();
    assert_eq!(names.len(), ATTACKS.len());
    for attack in ATTACKS {
        assert!(!attack.about.is_empty() && !attack.about.contains("  ") && !attack.steps.is_empty());
        let steps: BTreeSet<_> = attack.steps.iter().map(|step| step.name).collect();
        assert_eq!(steps.len(), attack.steps.len());
        for step in attack.steps {
            assert!(!step.about.contains("  "), "{}", step.about);
        }
    }
}

/// Source and destination of an IPv4 packet or what an ARP packet says, with the sender's link-layer
/// address; nothing of other frames.
fn addresses(frame: &[u8]) -> Option<(MacAddr, Ipv4Addr, Ipv4Addr)> {
    if Link::of(frame) == Link::Can {
        return None;
    }
    let kind = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let at = if kind(12) == 0x8100 { 18 } else { 14 };
    let v4 = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).unwrap());
    let mac = MacAddr(frame[6..12].try_into().unwrap());
    match kind(at - 2) {
        0x0800 => Some((mac, v4(at + 12), v4(at + 16))),
        0x0806 => Some((mac, v4(at + 14), v4(at + 24))),
        _ => None,
    }
}

#[test]
fn the_truth_of_a_disturbed_scene_knows_everybody_and_labels_all_that_intruders_send() {
    for (attack, scene) in all() {
        let what = format!("{} in {scene}", attack.name);
        let options = options(5, 75);
        let (truth, frames) = play(attack, scene, &options);
        let (base, _) = played(&lab::scene(scene, &options).unwrap());
        let ips = |truth: &Truth| -> BTreeSet<IpAddr> {
            truth.devices.iter().flat_map(|device| device.ips.clone()).collect()
        };
        let known = ips(&truth);
        let own = ips(&base);
        let macs: BTreeSet<_> = truth.devices.iter().flat_map(|device| device.macs.clone()).collect();
        let nobody: BTreeSet<_> = truth.silent.iter().chain(&truth.spoofed).copied().collect();
        assert!(nobody.is_disjoint(&known), "{what}: who does not exist is no device");
        let ranges: Vec<_> = truth.stages.iter().flat_map(|stage| &stage.packets).collect();
        for (number, (_, frame)) in (1..).zip(&frames) {
            let Some((mac, src, dst)) = addresses(frame) else { continue };
            assert!(macs.contains(&mac), "{what}: nobody has {mac}");
            let group = frame[0] & 1 == 1;
            assert!(src.is_unspecified() || known.contains(&src.into()) || nobody.contains(&src.into()));
            let there = known.contains(&dst.into()) || nobody.contains(&dst.into());
            assert!(group || dst.is_unspecified() || there, "{what}: nobody has {dst}");
            let newcomer = [src, dst].iter().any(|ip| {
                let ip = IpAddr::V4(*ip);
                known.contains(&ip) && !own.contains(&ip)
            });
            let labelled = || ranges.iter().any(|[first, last]| (*first..=*last).contains(&number));
            assert!(!newcomer || labelled(), "{what}: frame {number} from {src} to {dst} is of the attack");
        }
    }
}

/// The frames of a stage.
fn frames_of<'a>(truth: &Truth, frames: &'a Frames, name: &str) -> Vec<&'a [u8]> {
    let stage = truth.stages.iter().find(|stage| stage.name == name).unwrap();
    let numbers = stage.packets.iter().flat_map(|[first, last]| *first..=*last);
    numbers.map(|number| &*frames[number as usize - 1].1).collect()
}

#[test]
fn operators_see_a_recording_of_what_the_controller_answered_before() {
    let attack = ATTACKS.iter().find(|attack| attack.name == "stuxnet").unwrap();
    let (truth, frames) = play(attack, "plant", &options(4, 300));
    // Three variables of 32, 7 and 4 bytes, each with four bytes before it, the second filled up.
    let values = |frame: &[u8]| frame[frame.len() - 56..].to_vec();
    let replayed = frames_of(&truth, &frames, "replayed-values");
    let begins = truth.stages.iter().find(|stage| stage.name == "replayed-values").unwrap().packets[0][0];
    let (mixer, hmi) = (Ipv4Addr::new(10, 10, 0, 12), Ipv4Addr::new(10, 10, 0, 21));
    let told_before: BTreeSet<_> = frames[..begins as usize - 1]
        .iter()
        .filter(|(_, frame)| addresses(frame).is_some_and(|(_, src, dst)| (src, dst) == (mixer, hmi)))
        .filter(|(_, frame)| frame.len() > 110)
        .map(|(_, frame)| values(frame))
        .collect();
    let answers: Vec<_> = replayed.iter().filter(|frame| frame.len() > 110).collect();
    assert!(answers.len() > 60, "{} answers are replayed", answers.len());
    assert!(answers.iter().all(|frame| told_before.contains(&values(frame))));
    let different: BTreeSet<_> = answers.iter().map(|frame| values(frame)).collect();
    assert!(different.len() < answers.len(), "the recording begins again when it is over");
}

#[test]
fn the_worm_writes_the_address_it_looks_for_as_sequence_number() {
    let attack = ATTACKS.iter().find(|attack| attack.name == "mirai").unwrap();
    let (truth, frames) = play(attack, "home", &options(4, 120));
    let mut looked_for = BTreeSet::new();
    for frame in frames_of(&truth, &frames, "scanning-in-turn") {
        // A SYN to Telnet without IP options.
        if frame[14] == 0x45 && frame[23] == 6 && frame[47] == 2 && [23, 2_323].contains(&port(frame)) {
            assert_eq!(frame[30..34], frame[38..42]);
            looked_for.insert(frame[30..34].to_vec());
        }
    }
    assert!(looked_for.len() > 50, "{} addresses", looked_for.len());
}

/// The destination port of a TCP segment in an IPv4 packet without options.
fn port(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[36], frame[37]])
}

/// What tshark reads in the frames of a stage: attack, stage, filter. All of it is there, in that stage.
const READ: &[(&str, &str, &str)] = &[
    ("stuxnet", "spreading", "svcctl.opnum == 12"),
    ("stuxnet", "spreading", "smb2.filename contains \"DEFRAG\""),
    ("stuxnet", "controller-identification", "s7comm.data.userdata.szl_id == 0x001c"),
    ("stuxnet", "program-upload", "s7comm.param.func == 0x1e"),
    ("stuxnet", "block-download", "s7comm.param.func == 0x1a"),
    ("stuxnet", "block-download", "s7comm.param.func == 0x1b"),
    ("stuxnet", "block-download", "s7comm.param.func == 0x28"),
    ("stuxnet", "replayed-values", "s7comm.param.func == 0x04"),
    ("stuxnet", "set-point-writing", "s7comm.param.func == 0x05"),
    ("mirai", "telnet-scan", "tcp.flags.syn == 1 and tcp.dstport == 2323"),
    ("mirai", "credential-guessing", "telnet.data contains \"Login incorrect\""),
    ("mirai", "loading", "telnet.data contains \"/bin/busybox ECCHI\""),
    ("mirai", "binary-download", "http.request.uri == \"/bins/mirai.arm\""),
    ("mirai", "command-and-control", "dns.qry.name == \"cnc.changeme.example\""),
    ("mirai", "scanning-in-turn", "tcp.flags.syn == 1 and tcp.dstport == 23"),
    ("mirai", "flood", "udp.length == 520"),
    ("industroyer", "interrogation", "iec60870_asdu.typeid == 100"),
    ("industroyer", "object-enumeration", "iec60870_asdu.causetx == 47"),
    ("industroyer", "breaker-toggling", "iec60870_asdu.typeid == 46"),
    ("industroyer", "relay-denial", "udp.dstport == 50000"),
    ("frostygoop", "register-reading", "modbus.func_code == 3"),
    ("frostygoop", "set-point-writing", "modbus.func_code == 6"),
    ("frostygoop", "set-point-writing", "modbus.func_code == 16"),
    ("vpnfilter", "server-lookup", "image-jfif"),
    ("vpnfilter", "beacon", "tls.handshake.type == 1"),
    ("target", "lateral-movement", "rdp.negReq.requestedProtocols"),
    ("target", "till-infection", "svcctl.opnum == 19"),
    ("target", "exfiltration", "ftp.request.command == \"STOR\""),
    ("jeep", "bus-access", "tcp.payload contains \"AUTH ANONYMOUS\""),
    ("jeep", "gateway-reflash", "can.id == 0x740 and data.data[0:2] == 10:66"),
    ("jeep", "gateway-reflash", "can.id == 0x748 and data.data[1] == 76"),
    ("jeep", "diagnostic-control", "can.id == 0x760"),
    ("jeep", "frame-injection", "can.id == 0x0e5"),
    ("dns-tunnel", "exfiltration", "dns.qry.type == 10"),
    ("insider", "controller-stop", "s7comm.param.func == 0x29"),
    ("insider", "file-collection", "smb2.cmd == 8"),
    ("slow-scan", "slow-probing", "tcp.flags.syn == 1"),
    ("slow-scan", "slow-identification", "modbus.func_code == 43"),
    ("arp-spoof", "cache-poisoning", "arp.opcode == 2"),
    ("rogue-dhcp", "rogue-offer", "dhcp.option.dhcp == 2"),
    ("default-logins", "web-logins", "http.authbasic"),
    ("backup", "backup-copy", "smb2.cmd == 9"),
    ("patch-day", "update-download", "http.request"),
    ("vulnerability-scanner", "service-identification", "snmp"),
    ("new-shift", "usual-writing", "modbus.func_code == 16"),
    ("replaced-device", "arrival", "arp.isgratuitous == 1"),
    ("replaced-device", "commissioning", "bacapp.confirmed_service == 15"),
    ("plc-maintenance", "program-download", "s7comm.param.func == 0x29"),
];

/// What tshark must not find.
const WRONG: &str = "_ws.malformed or _ws.expert.severity==error or ip.checksum.status==0 or \
    tcp.checksum.status==0 or udp.checksum.status==0 or icmp.checksum.status==0";
/// Nor this, unless somebody passes on what others say: then it is seen twice.
const BROKEN: &str = "tcp.analysis.lost_segment or tcp.analysis.retransmission or \
    tcp.analysis.out_of_order or tcp.analysis.ack_lost_segment";

#[test]
fn tshark_finds_nothing_wrong_in_attacks_and_reads_each_stage() {
    let test = "tshark_finds_nothing_wrong_in_attacks_and_reads_each_stage";
    let Some(program) = testkit::peer(test, "tshark") else { return };
    for (attack, scene) in all() {
        let what = format!("{} in {scene}", attack.name);
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = options(2, 90);
        let attacked = lab::attack(attack.name, Some(scene), &options).unwrap();
        let truth = attacked.write(&mut file.as_file()).unwrap();
        let relayed = attack.steps.iter().any(|step| step.name == "interception");
        let mut filters = vec![if relayed { WRONG.into() } else { format!("{WRONG} or {BROKEN}") }];
        let reads: Vec<_> = READ.iter().filter(|(name, ..)| *name == attack.name).collect();
        for (_, stage, filter) in &reads {
            let stage = truth.stages.iter().find(|told| told.name == *stage).unwrap();
            let part = |[first, last]: &[u64; 2]| format!("frame.number in {{{first}..{last}}}");
            let parts: Vec<_> = stage.packets.iter().take(80).map(part).collect();
            filters.push(format!("({filter}) and ({})", parts.join(" or ")));
        }
        let counts = count(&program, file.path(), &filters);
        assert_eq!(counts[0], 0, "{what}: tshark finds something wrong");
        assert!(!reads.is_empty() || scene != attack.scenes[0], "{what}: something is to be read");
        for ((_, stage, filter), count) in reads.into_iter().zip(&counts[1..]) {
            assert!(*count > 0, "{what}: {filter} in {stage}");
        }
    }
}

#[test]
fn tshark_reads_the_diagnostics_of_the_vehicle() {
    let Some(program) = testkit::peer("tshark_reads_the_diagnostics_of_the_vehicle", "tshark") else {
        return;
    };
    let [all, own] = [(); 2].map(|()| tempfile::NamedTempFile::new().unwrap());
    lab::attack("jeep", None, &options(2, 60)).unwrap().write(&mut all.as_file()).unwrap();
    let run = |arguments: &[&str]| {
        let run = std::process::Command::new(&program).args(arguments).output().unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap()
    };
    let [all, own] = [&all, &own].map(|file| file.path().to_str().unwrap());
    // What control units tell each other is no diagnostics and would be taken for it.
    run(&["-r", all, "-Y", "can.id >= 0x700", "-w", own]);
    let services = ["-d", "can.subdissector,iso15765", "-d", "iso15765.subdissector,uds"];
    let fields = ["-T", "fields", "-e", "can.id", "-e", "uds.sid", "-e", "_ws.malformed"];
    let read = |filter| run(&[&["-r", own], &services[..], &["-Y", filter], &fields].concat());
    let told = read("uds");
    // Asked of the gateway (0x740): every part of the program once; all is answered (0x748).
    for line in ["1856\t0x36\t", "1864\t0x36\t"] {
        assert_eq!(told.lines().filter(|told| *told == line).count(), 60, "{line}");
    }
    // Brakes (0x760) are unlocked, moved and told to bleed.
    for line in ["1888\t0x27\t", "1888\t0x2f\t", "1888\t0x31\t"] {
        assert!(told.lines().any(|told| told == line), "{line}");
    }
    assert_eq!(read("_ws.malformed"), "");
}

/// How many frames of a file pass each of some display filters of tshark, which verifies checksums.
fn count(program: &Path, file: &Path, filters: &[String]) -> Vec<u64> {
    let mut run = std::process::Command::new(program);
    run.arg("-r").arg(file);
    for check in ["ip", "tcp", "udp"] {
        run.args(["-o", &format!("{check}.check_checksum:TRUE")]);
    }
    let run = run.args(["-q", "-z", &format!("io,stat,0,{}", filters.join(","))]).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let table = String::from_utf8(run.stdout).unwrap();
    // The one row of numbers: the interval, then frames and bytes of each filter.
    let row = table.lines().find(|line| line.contains("<>")).unwrap();
    let cells: Vec<_> = row.split('|').map(str::trim).collect();
    (0..filters.len()).map(|place| cells[2 + 2 * place].parse().unwrap()).collect()
}
