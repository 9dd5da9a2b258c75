//! `cargo xtask bench`: how fast Pavise is and how much memory it needs, beside what it should.
//!
//! Ratios are of runs that alternate on the same machine, since absolute times differ between machines
//! and with what else runs; medians of several. Times are CPU time, user and system, of the whole
//! process; what judging adds is also told in time elapsed, with the threads that are usual; memory is the largest resident set,
//! in which mapped pages of the capture count, too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::run::{Done, Failure, cargo, release, run, target};

/// How the benchmark is to be run.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A tenth of every size, to see that it works; the figures then say little
    #[arg(long)]
    quick: bool,
    /// How often each is run
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// The sizes that the targets are set for.
const CROWD_PACKETS: u64 = 4_000_000;
const CROWD_HOSTS: u64 = 50_000;
const FLOOD_PACKETS: u64 = 10_000_000;
const FLOWS: u64 = 1_000_000;
const SCENE_MINUTES: u64 = 720;

/// Packets for each second of CPU time: what is asked now.
const RATE_TARGET: f64 = 1_000_000.0;
/// So many times the CPU time of the bare read loop.
const RATIO_TARGET: f64 = 10.0;
/// Memory with a million conversations, and in a flood, in MiB.
const FLOWS_TARGET_MIB: u64 = 1024;
/// What judging may add to the time of sensing, in per cent.
const ADDED_TARGET: f64 = 40.0;
/// Memory for a crowd with all that detectors know of it, in MiB.
const JUDGED_TARGET_MIB: u64 = 4096;
/// Memory with 50,000 devices, in MiB.
const DEVICES_TARGET_MIB: u64 = 512;

/// What one run cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    cpu_s: f64,
    elapsed_s: f64,
    resident_mib: u64,
}

/// Runs the benchmark.
pub(crate) fn bench(arguments: &Arguments) -> Done {
    run(&mut cargo(["build", "--release", "--package", "pavise"]))?;
    run(&mut cargo(["build", "--release", "--package", "capture", "--example", "read_loop"]))?;
    let folder = target().join("bench");
    std::fs::create_dir_all(&folder)?;
    let part = if arguments.quick { 10 } else { 1 };
    let (packets, hosts) = (CROWD_PACKETS / part, CROWD_HOSTS / part);
    let crowd = made(&folder, "crowd", &["--packets", &packets.to_string(), "--hosts", &hosts.to_string()])?;
    speed(&folder, &crowd, packets, arguments.runs.max(1))?;
    judging(&folder, part, arguments.runs.max(1))?;
    memory(&folder, &crowd, part)
}

/// Speed, in runs that alternate.
fn speed(folder: &Path, crowd: &Path, packets: u64, runs: usize) -> Done {
    let read_loop = release("examples").join("read_loop");
    let mut costs: [Vec<Cost>; 6] = Default::default();
    for number in 1..=runs {
        eprintln!("run {number} of {runs}");
        costs[0].push(cost(Command::new(&read_loop).arg(crowd))?);
        costs[1].push(cost(Command::new(&read_loop).arg("--sum").arg(crowd))?);
        costs[2].push(cost(watch(folder, crowd, ONE)?.arg("--no-findings"))?);
        costs[3].push(cost(watch(folder, crowd, USUAL)?.arg("--no-findings"))?);
        costs[4].push(cost(&mut watch(folder, crowd, ONE)?)?);
        costs[5].push(cost(&mut watch(folder, crowd, USUAL)?)?);
    }
    println!(
        "\nSpeed: {packets} packets, CPU seconds, medians of {runs} runs that alternate; the quickest run"
    );
    let names = [
        "read loop, the start of each frame touched",
        "read loop, every byte summed",
        "pavise watch --no-findings, in one thread",
        "pavise watch --no-findings",
        "pavise watch, in one thread",
        "pavise watch",
    ];
    let rate = |seconds: f64| packets as f64 / seconds;
    for (name, costs) in names.iter().zip(&costs) {
        let quickest = costs.iter().map(|cost| cost.cpu_s).fold(f64::INFINITY, f64::min);
        let median = median(costs.iter().map(|cost| cost.cpu_s));
        println!("  {name:44} {median:8.3} s {:11.0} packets/s; {quickest:8.3} s", rate(median));
    }
    let [.., usual, _, all] = costs.each_ref().map(|costs| median(costs.iter().map(|cost| cost.elapsed_s)));
    let [heads, bytes, one, _, judging, _] = costs.map(|costs| median(costs.iter().map(|cost| cost.cpu_s)));
    println!(
        "  packets per CPU-second without findings, in one thread: {:.0}; {}",
        rate(one),
        judged(rate(one) >= RATE_TARGET, "at least 1000000")
    );
    for (what, loop_s) in [("start of each frame touched", heads), ("every byte summed", bytes)] {
        let ratio = one / loop_s;
        println!(
            "  times the read loop ({what}): {ratio:.1}; {}",
            judged(ratio <= RATIO_TARGET, "at most 10")
        );
    }
    tell_added("finding what is wrong", [one, judging], [usual, all]);
    Ok(())
}

/// What judging adds to sensing: in CPU time of one thread, and in time elapsed with the threads that are usual.
fn tell_added(what: &str, cpu_s: [f64; 2], elapsed_s: [f64; 2]) {
    let added = |[sensing, all]: [f64; 2]| (all / sensing - 1.0) * 100.0;
    let (time, cpu) = (added(elapsed_s), added(cpu_s));
    println!(
        "  {what:10} {:8.3} s, with judging {:8.3} s: {time:.0} % more; {}; in one thread {:8.3} CPU-s, {:8.3}: {cpu:.0} %",
        elapsed_s[0],
        elapsed_s[1],
        judged(time <= ADDED_TARGET, "at most 40"),
        cpu_s[0],
        cpu_s[1]
    );
}

/// What judging adds where the same devices do the same for half a day, in runs that alternate. In a crowd, of which
/// everybody is new and hardly anybody is met twice, it adds the most.
fn judging(folder: &Path, part: u64, runs: usize) -> Done {
    println!("\nJudging: half a day of a scene, time elapsed, medians of {runs} runs that alternate");
    let minutes = (SCENE_MINUTES / part).to_string();
    for scene in ["home", "plant", "retail", "city", "hospital"] {
        let path = folder.join(format!("{scene}.pcapng"));
        let mut lab = Command::new(release("pavise"));
        run(lab.args(["lab", scene, "--minutes", &minutes, "--out"]).arg(&path))?;
        // In one thread, and with the usual ones; without judging, and with it.
        let mut costs: [[Vec<Cost>; 2]; 2] = Default::default();
        for _ in 0..runs {
            for (costs, threads) in costs.iter_mut().zip([ONE, USUAL]) {
                costs[0].push(cost(watch(folder, &path, threads)?.arg("--no-findings"))?);
                costs[1].push(cost(&mut watch(folder, &path, threads)?)?);
            }
        }
        let [one, usual] = costs;
        let cpu_s = one.map(|costs| median(costs.iter().map(|cost| cost.cpu_s)));
        let elapsed_s = usual.map(|costs| median(costs.iter().map(|cost| cost.elapsed_s)));
        tell_added(scene, cpu_s, elapsed_s);
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Memory: many devices, many conversations, a flood.
fn memory(folder: &Path, crowd: &Path, part: u64) -> Done {
    println!("\nMemory: the largest resident set of one run");
    let devices = cost(&mut watch(folder, crowd, ONE)?)?;
    let known = count(folder, "devices")?;
    tell(&format!("{known} devices in a crowd, with all that is judged"), devices, JUDGED_TARGET_MIB);
    let devices = cost(watch(folder, crowd, ONE)?.arg("--no-findings"))?;
    tell(&format!("{known} devices in a crowd, without findings"), devices, DEVICES_TARGET_MIB);

    let flows = (FLOWS / part).to_string();
    let standing = made(folder, "standing", &["--packets", "1", "--established", &flows])?;
    let all = cost(&mut watch(folder, &standing, ONE)?)?;
    println!(
        "  {flows} conversations open at once, judged: {} MiB, {:.1} CPU-s",
        all.resident_mib, all.cpu_s
    );
    let all = cost(watch(folder, &standing, ONE)?.arg("--no-findings"))?;
    tell(&format!("{flows} conversations open at once, without findings"), all, FLOWS_TARGET_MIB);
    std::fs::remove_file(standing)?;

    let spoofed = (FLOOD_PACKETS / part).to_string();
    let flood = made(folder, "flood", &["--packets", &spoofed])?;
    let all = cost(&mut watch(folder, &flood, ONE)?)?;
    tell(&format!("a flood of {spoofed} made-up conversations"), all, FLOWS_TARGET_MIB);
    let known = count(folder, "devices")?;
    println!("  devices known after the flood: {known}; {}", judged(known == 2001, "2001, the true ones"));
    std::fs::remove_file(flood)?;
    Ok(())
}

fn tell(what: &str, cost: Cost, target_mib: u64) {
    let Cost { cpu_s, resident_mib, .. } = cost;
    let asked = format!("at most {target_mib}");
    println!(
        "  {what}: {resident_mib} MiB, {cpu_s:.1} CPU-s; {}",
        judged(resident_mib <= target_mib, &asked)
    );
}

fn judged(met: bool, asked: &str) -> String {
    format!("asked: {asked}: {}", if met { "met" } else { "NOT met" })
}

/// A capture that Pavise makes itself.
fn made(folder: &Path, name: &str, options: &[&str]) -> Result<PathBuf, Failure> {
    let scene = if name == "crowd" { "crowd" } else { "flood" };
    let path = folder.join(format!("{name}.pcapng"));
    run(Command::new(release("pavise")).args(["lab", scene]).args(options).arg("--out").arg(&path))?;
    Ok(path)
}

/// Everything in one thread, or
const ONE: Option<u16> = Some(1);
/// in as many as there are unless somebody says otherwise.
const USUAL: Option<u16> = None;

/// Pavise watching a capture with a state that holds nothing yet.
fn watch(folder: &Path, capture: &Path, shards: Option<u16>) -> Result<Command, Failure> {
    let state = state(folder);
    if state.exists() {
        std::fs::remove_dir_all(&state)?;
    }
    let mut command = Command::new(release("pavise"));
    command.args(["watch", "--quiet", "--state"]).arg(state).arg(capture);
    if let Some(shards) = shards {
        command.args(["--shards", &shards.to_string()]);
    }
    Ok(command)
}

fn state(folder: &Path) -> PathBuf {
    folder.join("state")
}

/// How many things the state knows.
fn count(folder: &Path, what: &str) -> Result<usize, Failure> {
    let output =
        Command::new(release("pavise")).args([what, "--json", "--state"]).arg(state(folder)).output()?;
    let all: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout)?;
    Ok(all.len())
}

/// What a program costs. It is run by this program once more, for the system tells the largest resident
/// set of all children together.
fn cost(command: &mut Command) -> Result<Cost, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .arg("measure")
        .arg(command.get_program())
        .args(command.get_args())
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace();
    let (Some(cpu), Some(elapsed), Some(resident), true) =
        (words.next(), words.next(), words.next(), output.status.success())
    else {
        return Err(Failure(format!("{command:?} failed")));
    };
    Ok(Cost {
        cpu_s: cpu.parse::<f64>()? / 1e6,
        elapsed_s: elapsed.parse::<f64>()? / 1e6,
        resident_mib: resident.parse::<u64>()? >> 10,
    })
}

/// The hidden command behind [`cost`]: runs a program and prints its CPU time and the time elapsed in microseconds, and its
/// largest resident set in KiB.
pub(crate) fn measure(command: &[String]) -> Done {
    let [program, arguments @ ..] = command else { return Err(Failure("nothing to measure".into())) };
    let began = Instant::now();
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
    let elapsed = began.elapsed().as_micros();
    if !status.success() {
        return Err(Failure(format!("{program} failed: {status}")));
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    println!("{cpu} {elapsed} {}", usage.max_rss());
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
