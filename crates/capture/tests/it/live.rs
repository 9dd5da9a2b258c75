//! Live capture, in network namespaces of the tests' own.
//!
//! Each test runs once more in a process of its own behind `unshare --net`; the namespace and what was
//! made in it go away with that process.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use capture::write::PcapWriter;
use capture::{Batch, CaptureError, Options, Source, Step};
use dissect::wire::LinkType;
use model::Timestamp;

use crate::help::{again, inside};

/// No test waits longer than this for packets; they are there after milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs `work` in a network namespace of its own, or says why it cannot.
fn in_a_namespace(test: &str, programs: &[&str], work: impl FnOnce()) {
    if inside() {
        return work();
    }
    if programs.iter().chain(&["unshare", "ip"]).any(|program| testkit::peer(test, program).is_none()) {
        return;
    }
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    // Making the namespace and opening a packet socket in it need different privileges; root has both.
    if !quiet(Command::new("unshare").args(["--net", "ip", "link", "set", "lo", "up"]))
        .is_ok_and(|status| status.success())
    {
        return testkit::skip(test, "not allowed to make network namespaces (run as root)");
    }
    let output = again(&["unshare", "--net"], test).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a program that must succeed.
fn run(program: &str, arguments: &[&str]) {
    let path = testkit::peer("live", program).unwrap();
    let output = Command::new(path).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes two interfaces that are joined by a cable, on which nobody but the test says anything.
fn make_cable() {
    for scope in ["all", "default"] {
        // Where there is no IPv6 there is nothing to silence.
        let _ = fs::write(Path::new("/proc/sys/net/ipv6/conf").join(scope).join("disable_ipv6"), "1");
    }
    run("ip", &["link", "add", "cable0", "type", "veth", "peer", "name", "cable1"]);
    run("ip", &["link", "set", "cable0", "up"]);
    run("ip", &["link", "set", "cable1", "up"]);
}

/// Plays frames on one end of the cable.
fn play(frames: &[Vec<u8>]) {
    play_again_and_again(frames, 1);
}

/// Plays frames on one end of the cable so many times.
fn play_again_and_again(frames: &[Vec<u8>], times: u32) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.pcap");
    let mut writer = PcapWriter::new(fs::File::create(&path).unwrap(), LinkType::ETHERNET).unwrap();
    for frame in frames {
        writer.write(Timestamp::EPOCH, frame, 0).unwrap();
    }
    writer.finish().unwrap();
    let times = format!("--loop={times}");
    run("tcpreplay", &["--topspeed", "--preload-pcap", &times, "--intf1=cable0", path.to_str().unwrap()]);
}

/// Takes frames from all sources until there are `count` together; returns those of each.
fn take(sources: &mut [Box<dyn Source>], count: usize) -> Vec<Vec<Vec<u8>>> {
    let mut taken = vec![Vec::new(); sources.len()];
    let mut batch = Batch::new();
    let begun = Instant::now();
    while taken.iter().map(Vec::len).sum::<usize>() < count {
        assert!(begun.elapsed() < PATIENCE, "only {:?} of {count} frames came", lengths(&taken));
        for (source, taken) in sources.iter_mut().zip(&mut taken) {
            if source.next_batch(&mut batch).unwrap() == Step::Batch {
                taken.extend(batch.iter().map(|(frame, bytes)| {
                    assert_eq!((frame.link, frame.wire_length), (LinkType::ETHERNET, bytes.len() as u32));
                    bytes.to_vec()
                }));
            }
        }
    }
    taken
}

fn lengths(taken: &[Vec<Vec<u8>>]) -> Vec<usize> {
    taken.iter().map(Vec::len).collect()
}

/// A UDP packet of the flow from `port`, with the given VLAN tags (protocol and tag), to a station that is
/// nobody here.
fn packet(port: u16, number: u32, tags: &[(u16, u16)]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    for (protocol, tag) in tags {
        frame.extend(protocol.to_be_bytes());
        frame.extend(tag.to_be_bytes());
    }
    frame.extend([8, 0, 0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    frame.extend(port.to_be_bytes());
    frame.extend([0x16, 0x33, 0, 40, 0, 0]);
    frame.extend(number.to_be_bytes());
    frame.extend([0xa5; 28]);
    frame
}

fn open(name: &str, fanout: Option<u16>) -> Box<dyn Source> {
    let options = Options { fanout, poll: Duration::from_millis(50), ..Options::default() };
    capture::open(name, &options).unwrap()
}

#[test]
fn every_frame_on_the_cable_is_captured_once_with_its_vlan_tags() {
    let test = "live::every_frame_on_the_cable_is_captured_once_with_its_vlan_tags";
    in_a_namespace(test, &["tcpreplay"], || {
        make_cable();
        // More than fit into one batch or one block of the ring.
        let frames: Vec<_> = (0..20_000)
            .map(|number| {
                packet(
                    1_000,
                    number,
                    match number % 4 {
                        0 => &[(0x8100, 0x600a)],
                        1 => &[(0x88a8, 100), (0x8100, 200)],
                        _ => &[],
                    },
                )
            })
            .collect();
        let mut sources = [open("cable1", None)];
        play(&frames);
        let taken = take(&mut sources, frames.len());
        assert!(taken[0] == frames, "frames differ or are out of order");
        let mut batch = Batch::new();
        assert_eq!(sources[0].next_batch(&mut batch).unwrap(), Step::Idle, "{batch:?}");
        let progress = sources[0].progress();
        assert_eq!((progress.packets, progress.dropped), (20_000, 0));
        let bytes: usize = frames.iter().map(Vec::len).sum();
        assert_eq!(progress.bytes, bytes as u64);
    });
}

#[test]
fn frames_are_stamped_with_the_time_at_which_they_came() {
    let test = "live::frames_are_stamped_with_the_time_at_which_they_came";
    in_a_namespace(test, &["tcpreplay"], || {
        make_cable();
        let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let mut source = open("if:cable1", None);
        let before = now();
        play(&[packet(1, 1, &[]), packet(1, 2, &[])]);
        let after = now();
        let mut batch = Batch::new();
        let mut times = Vec::new();
        while times.len() < 2 {
            source.next_batch(&mut batch).unwrap();
            times.extend(batch.frames.iter().map(|frame| frame.at.as_nanos()));
            assert!(now() - before < PATIENCE.as_nanos() as u64);
        }
        assert!(before <= times[0] && times[0] < times[1] && times[1] <= after, "{before} {times:?} {after}");
    });
}

#[test]
fn a_fanout_group_shares_the_frames_by_flow() {
    let test = "live::a_fanout_group_shares_the_frames_by_flow";
    in_a_namespace(test, &["tcpreplay"], || {
        make_cable();
        let frames: Vec<_> = (0..3_000).map(|number| packet((number % 100) as u16, number, &[])).collect();
        let mut sources = [open("cable1", Some(7)), open("cable1", Some(7))];
        play(&frames);
        let taken = take(&mut sources, frames.len());
        let mut all = taken.concat();
        all.sort_by_key(|frame| frame[42..46].to_vec());
        assert!(all == frames, "{:?} of {} frames came", lengths(&taken), frames.len());
        for port in 0..100_u16 {
            let of = |taken: &Vec<Vec<u8>>| {
                taken.iter().filter(|frame| frame[34..36] == port.to_be_bytes()).count()
            };
            assert!(matches!((of(&taken[0]), of(&taken[1])), (30, 0) | (0, 30)), "flow {port} was split");
        }
        assert!(!taken[0].is_empty() && !taken[1].is_empty(), "all flows went one way");
    });
}

#[test]
fn what_the_kernel_drops_is_counted() {
    let test = "live::what_the_kernel_drops_is_counted";
    in_a_namespace(test, &["tcpreplay"], || {
        make_cable();
        let mut source = open("cable1", None);
        let mut long = packet(1, 1, &[]);
        long.resize(1_500, 0);
        // 90 MB, which the ring has no room for, and nobody takes them out.
        play_again_and_again(&vec![long; 1_000], 60);
        let mut batch = Batch::new();
        while source.next_batch(&mut batch).unwrap() == Step::Batch {
            assert!(batch.len() <= capture::MAX_BATCH_FRAMES);
        }
        let progress = source.progress();
        assert!(progress.dropped > 0 && progress.packets > 10_000, "{progress:?}");
        assert_eq!(progress.packets + progress.dropped, 60_000);
        // It goes on.
        play(&[packet(2, 2, &[])]);
        assert_eq!(take(&mut [source], 1), [[packet(2, 2, &[])]]);
    });
}

#[test]
fn a_packet_on_loopback_is_counted_once() {
    in_a_namespace("live::a_packet_on_loopback_is_counted_once", &[], || {
        run("ip", &["link", "set", "lo", "up"]);
        let mut sources = [open("lo", None)];
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let own = socket.local_addr().unwrap();
        for number in 0..10_u8 {
            socket.send_to(&[number], own).unwrap();
        }
        let taken = take(&mut sources, 10);
        let seen: Vec<_> = taken[0].iter().map(|frame| *frame.last().unwrap()).collect();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert_eq!(sources[0].next_batch(&mut Batch::new()).unwrap(), Step::Idle);
    });
}

#[test]
fn an_interface_may_go_down_but_not_away() {
    in_a_namespace("live::an_interface_may_go_down_but_not_away", &[], || {
        make_cable();
        let mut source = open("cable1", None);
        let mut batch = Batch::new();
        run("ip", &["link", "set", "cable1", "down"]);
        for _ in 0..3 {
            assert_eq!(source.next_batch(&mut batch).unwrap(), Step::Idle);
        }
        run("ip", &["link", "delete", "cable1"]);
        let error = source.next_batch(&mut batch).expect_err("it is gone");
        assert!(
            matches!(&error, CaptureError::InterfaceGone { interface } if interface == "cable1"),
            "{error}"
        );
    });
}

#[test]
fn a_file_wins_over_an_interface_of_the_same_name() {
    in_a_namespace("live::a_file_wins_over_an_interface_of_the_same_name", &[], || {
        run("ip", &["link", "set", "lo", "up"]);
        let folder = tempfile::tempdir().unwrap();
        std::env::set_current_dir(&folder).unwrap();
        assert_eq!(open("lo", None).progress().total, None);
        fs::write("lo", crate::help::pcap(0..3)).unwrap();
        assert_eq!(crate::help::drain(&mut *open("lo", None)).len(), 3);
        assert_eq!(open("if:lo", None).progress().total, None);
        assert!(capture::interfaces().contains(&"lo".to_owned()));
    });
}

#[test]
fn who_may_not_capture_or_read_is_told_what_to_do() {
    let test = "live::who_may_not_capture_or_read_is_told_what_to_do";
    if inside() {
        let error = capture::open("if:lo", &Options::default()).err().expect("not permitted").to_string();
        let program = std::env::current_exe().unwrap();
        assert_eq!(
            error,
            format!(
                "capturing on lo needs the capability CAP_NET_RAW; run as root, or give it to the program once \
                 with: sudo setcap cap_net_raw,cap_net_admin+ep {}",
                program.display()
            )
        );
        let file = std::env::var("PAVISE_TEST_SECRET").unwrap();
        let error = capture::open(&file, &Options::default()).err().expect("not permitted");
        assert!(matches!(&error, CaptureError::FilePermission { path } if *path == file), "{error}");
        return;
    }
    if testkit::peer(test, "setpriv").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.pcap");
    fs::write(&secret, crate::help::pcap(0..1)).unwrap();
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(&secret, 0);
    mode(folder.path(), 0o755);
    // Nobody has no capabilities; whoever is not root cannot become nobody, and has none either.
    let nobody = ["setpriv", "--reuid=65534", "--clear-groups"];
    if !Command::new(nobody[0]).args(&nobody[1..]).arg("true").status().is_ok_and(|status| status.success()) {
        return testkit::skip(test, "not allowed to become another user (run as root)");
    }
    let output = again(&nobody, test).env("PAVISE_TEST_SECRET", &secret).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}
