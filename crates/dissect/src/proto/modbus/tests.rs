use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, survives};

proptest! {
    #[test]
    fn any_bytes_are_survived(
        packets in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..6)
    ) {
        let packets: Vec<_> =
            packets.into_iter().map(|(client, bytes)| (if client { Client } else { Server }, bytes)).collect();
        survives(&PROTOCOL, &packets);
    }
}
