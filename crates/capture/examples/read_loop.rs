//! How fast the bare read loop is: every frame is looked at, nothing is done with it.
//!
//! `read_loop SOURCE` reads every frame and its first eight bytes and prints packets per CPU-second;
//! `read_loop --sum SOURCE` adds up every byte of every frame, as whatever checks content must at least.
//! `read_loop generate FILE PACKETS` writes such a file: small UDP packets from 50,000 hosts.

use std::error::Error;
use std::fs::{self, File};
use std::time::{Duration, Instant};

use capture::write::{PcapWriter, PcapngWriter};
use capture::{Batch, Options, Step};
use dissect::wire::LinkType;
use model::Timestamp;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate", file, packets] => generate(file, packets.parse()?),
        ["--sum", source] => read(source, |bytes| bytes.iter().fold(0, |sum, byte| sum + u64::from(*byte))),
        [source] => {
            read(source, |bytes| bytes.first_chunk::<8>().map_or(0, |start| u64::from_le_bytes(*start)))
        }
        _ => Err("usage: read_loop [--sum] SOURCE, or read_loop generate FILE PACKETS".into()),
    }
}

fn read(name: &str, touch: impl Fn(&[u8]) -> u64) -> Result<(), Box<dyn Error>> {
    let mut source = capture::open(name, &Options::default())?;
    let mut batch = Batch::new();
    let (mut packets, mut touched) = (0_u64, 0_u64);
    let (wall, cpu) = (Instant::now(), cpu_time()?);
    while source.next_batch(&mut batch)? != Step::End {
        for (_, bytes) in batch.iter() {
            packets += 1;
            touched = touched.wrapping_add(touch(bytes));
        }
    }
    let (wall, cpu) = (wall.elapsed(), cpu_time()?.saturating_sub(cpu));
    println!(
        "{packets} packets in {:.3} s, {:.3} CPU-s: {:.0} packets per CPU-second (check {touched:x})",
        wall.as_secs_f64(),
        cpu.as_secs_f64(),
        packets as f64 / cpu.as_secs_f64(),
    );
    if let Some(damage) = source.damage() {
        println!("{damage}");
    }
    Ok(())
}

/// How long this process has run on a CPU (user and system): the first number in its schedstat.
fn cpu_time() -> Result<Duration, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = text.split(' ').next().ok_or("schedstat is empty")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

fn generate(name: &str, packets: u64) -> Result<(), Box<dyn Error>> {
    const HOSTS: u64 = 50_000;
    let file = File::create(name)?;
    let at = |number: u64| Timestamp::from_nanos(1_700_000_000_000_000_000 + number * 1_000);
    let mut frame = [0_u8; 80];
    let mut make = |number: u64| {
        // A multiplicative walk over the hosts, so that neighbours in time are not neighbours in address.
        let host = (number.wrapping_mul(48_271) % HOSTS) as u32;
        let [a, b, c, d] = host.to_be_bytes();
        frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, a, b, c, d, 8, 0]);
        frame[14..34]
            .copy_from_slice(&[0x45, 0, 0, 66, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, b, c, d, 192, 0, 2, 1]);
        frame[34..42].copy_from_slice(&[0xc0, 0, 0x16, 0x33, 0, 46, 0, 0]);
        frame[42..50].copy_from_slice(&number.to_be_bytes());
        frame
    };
    if name.ends_with("pcap") {
        let mut writer = PcapWriter::new(file, LinkType::ETHERNET)?;
        for number in 0..packets {
            writer.write(at(number), &make(number), 80)?;
        }
        writer.finish()?;
    } else {
        let mut writer = PcapngWriter::new(file)?;
        let interface = writer.interface(LinkType::ETHERNET, "generated")?;
        for number in 0..packets {
            writer.write(interface, at(number), &make(number), 80)?;
        }
        writer.finish()?;
    }
    Ok(())
}
