//! Any frames at all, on every kind of link, through the engine to the inventory: nothing panics, nothing
//! takes long, and every packet is accounted for.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use dissect::proto::Wants;
use dissect::wire::LinkType;
use flow::{Engine, Frame, Frames, Limits};
use inventory::Inventory;
use lab::SceneOptions;
use model::{Timestamp, What};
use proptest::collection::vec;
use proptest::prelude::*;

/// All kinds of frames that are read, and one that is not.
fn links() -> impl Strategy<Value = LinkType> {
    proptest::sample::select([&LinkType::READ[..], &[LinkType(65_000)]].concat())
}

/// A run of so few frames takes a thousandth of this.
const MAX_TIME: Duration = Duration::from_secs(20);

/// Frames of a plant and a home, to be damaged.
static GOOD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let options = SceneOptions { duration: Duration::from_secs(60), ..SceneOptions::default() };
    let mut frames = Vec::new();
    for name in ["plant", "home", "retail", "hospital"] {
        let scene = lab::scene(name, &options).unwrap();
        scene
            .play(&mut |_, frame| {
                frames.push(frame.to_vec());
                Ok(())
            })
            .unwrap();
    }
    frames
});

/// A frame, how it begins, when it comes after the one before (in milliseconds, mostly forwards), and how
/// many bytes of it were not captured.
#[derive(Clone, Debug)]
struct Any {
    link: LinkType,
    bytes: Vec<u8>,
    after_ms: i32,
    cut: u32,
}

fn any_frame() -> impl Strategy<Value = Any> {
    let noise = (links(), vec(any::<u8>(), 0..200));
    let damaged = (any::<usize>(), vec((any::<usize>(), any::<u8>()), 0..6), any::<u16>()).prop_map(
        |(which, changes, keep)| {
            let mut bytes = GOOD[which % GOOD.len()].clone();
            for (at, value) in changes {
                let length = bytes.len();
                bytes[at % length] = value;
            }
            if keep % 4 == 0 {
                bytes.truncate(usize::from(keep) % (bytes.len() + 1));
            }
            (LinkType::ETHERNET, bytes)
        },
    );
    // A datagram behind another kind of link header, so that more than the link header is read.
    let inner = (links(), any::<usize>(), vec(any::<u8>(), 0..24)).prop_map(|(link, which, before)| {
        let good = &GOOD[which % GOOD.len()];
        (link, [&before, good.get(14..).unwrap_or_default()].concat())
    });
    let after = prop_oneof![8 => 0..500_i32, 1 => -5_000..0_i32, 1 => 0..2_000_000_i32];
    (
        prop_oneof![1 => noise, 3 => damaged, 1 => inner],
        after,
        prop_oneof![4 => Just(0_u32), 1 => 0..2_000_u32],
    )
        .prop_map(|((link, bytes), after_ms, cut)| Any { link, bytes, after_ms, cut })
}

struct Run(Vec<(Timestamp, Any)>);

impl Frames for Run {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn frame(&self, index: usize) -> Frame<'_> {
        let (at, any) = &self.0[index];
        let wire_length = any.bytes.len() as u32 + any.cut;
        Frame { at: *at, link: any.link, wire_length, bytes: &any.bytes, interface: 0 }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_frames_are_read_in_time_and_accounted_for(frames in vec(any_frame(), 0..300), shards in 1..3_usize) {
        let mut at = 1_772_438_400_000_i64;
        let timed = frames.into_iter().map(|any| {
            at = (at + i64::from(any.after_ms)).max(0);
            (Timestamp::from_nanos(at as u64 * 1_000_000), any)
        });
        let timed: Vec<_> = timed.collect();
        let total = timed.len() as u64;
        let started = Instant::now();
        // Small enough that every limit is met.
        let limits = Limits { flows: 64, buffered_bytes: 1 << 20, stream_bytes: 8 << 10, ..Limits::default() };
        let mut engine = Engine::<Run>::new(limits, Wants { messages: true, judged: true }, shards, 7);
        let mut inventory = Inventory::new(inventory::Limits::default());
        let (mut observations, mut events) = (Vec::new(), Vec::new());
        for part in timed.chunks(64) {
            engine.submit(&Arc::new(Run(part.to_vec())));
            engine.collect(&mut observations);
        }
        while engine.finish(&mut observations) {}
        let mut recorded = 0;
        for observation in &observations {
            inventory.observe(observation, &mut events);
            if let What::FlowEnded(record) = &observation.what {
                recorded += record.sent.packets + record.received.packets;
            }
        }
        inventory.tick(Timestamp::from_secs(u64::from(u32::MAX)), &mut events);
        let counters = engine.counters();
        prop_assert_eq!((counters.packets, counters.packets_open), (total, 0));
        let told = recorded + counters.without_flow + counters.fragments + counters.packets_shed;
        prop_assert_eq!(told, total);
        for device in inventory.devices() {
            prop_assert!(!device.macs.is_empty() || !device.addresses.is_empty());
        }
        prop_assert!(started.elapsed() < MAX_TIME, "{} frames took {:?}", total, started.elapsed());
    }
}
