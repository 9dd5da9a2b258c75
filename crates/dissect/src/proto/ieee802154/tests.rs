use model::Side::{self, Client};
use model::Transport;
use proptest::prelude::*;

use super::*;
use crate::testing::{converse_on, head, packets, survives, unhex};

fn air(frames: &[&str]) -> String {
    let frames: Vec<Vec<u8>> = frames.iter().map(|digits| unhex(digits)).collect();
    let packets: Vec<(Side, &[u8])> = frames.iter().map(|bytes| (Client, &bytes[..])).collect();
    converse_on(&PROTOCOL, head(Transport::Wpan, 0), false, &packets)
}

#[test]
fn frames_say_who_speaks_to_whom_and_what_they_carry() {
    let text = air(&[
        // A beacon request; an acknowledgement; a request for data of a station without a short address.
        "0308 01 ffff ffff 07",
        "0200 2a",
        "63c8 02 621a 0000 0807060504030201 04",
        // Zigbee data with endpoints, and a link status that is encrypted.
        "6188 03 621a 0000 5634 0800 0000 5634 1e 05 00 01 0600 0401 01 99 01 02",
        "4188 04 621a ffff 0000 0912 fcff 0000 01 06 0807060504030201 28 01000000",
        // Compressed IPv6; the same with Thread's port; secured by the radio itself.
        "61dc 05 621a 0807060504030201 1817161514131211 7e33 f0 1633 1633 0000",
        "41d8 06 621a ffff 1817161514131211 7f3b 02 f0 4d4c4d4c 0000 0015",
        "6998 07 621a 0000 5634 0d 01000000 01 ffff",
    ]);
    insta::assert_snapshot!(text, @r#"
    client command {"sequence":1,"destination_pan":65535,"destination":"ffff","secured":false,"command":"beacon-request"}
    client acknowledgement {"sequence":42,"secured":false}
    client command {"sequence":2,"destination_pan":6754,"destination":"0000","source":"0102030405060708","secured":false,"command":"data-request"}
    client zigbee {"sequence":3,"destination_pan":6754,"destination":"0000","source":"3456","secured":false,"network":"data","network_destination":"0000","network_source":"3456","radius":30,"network_sequence":5,"network_secured":false,"application":"data","destination_endpoint":1,"cluster":6,"profile":260,"source_endpoint":1}
    client zigbee {"sequence":4,"destination_pan":6754,"destination":"ffff","source":"0000","secured":false,"network":"command","network_destination":"fffc","network_source":"0000","radius":1,"network_sequence":6,"source_extended":"0102030405060708","network_secured":true}
    client 6lowpan {"sequence":5,"destination_pan":6754,"destination":"0102030405060708","source":"1112131415161718","secured":false}
    client thread-mle {"sequence":6,"destination_pan":6754,"destination":"ffff","source":"1112131415161718","secured":false}
    client data {"sequence":7,"destination_pan":6754,"destination":"0000","source":"3456","secured":true}
    "#);
}

#[test]
fn a_header_that_does_not_fit_is_told() {
    // The probe asks the first frame only.
    assert!(air(&["0200 2a", "6188 03 621a"]).contains("anomaly client length"));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        noise in packets(),
        control in any::<u16>(),
        body in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        survives(&PROTOCOL, &noise);
        survives(&PROTOCOL, &[(Client, [&control.to_le_bytes()[..], &body].concat())]);
        let zigbee = [&[0x41, 0x88, 1, 1, 0, 2, 0, 3, 0, 8][..], &body].concat();
        survives(&PROTOCOL, &[(Client, zigbee)]);
    }
}
