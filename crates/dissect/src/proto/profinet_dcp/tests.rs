use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, packets, survives, unhex};

fn frame(id: u16, service: u8, kind: u8, blocks: &[u8]) -> Vec<u8> {
    let mut bytes = id.to_be_bytes().to_vec();
    bytes.extend([service, kind, 0, 0, 0, 7, 0, 1]);
    bytes.extend((blocks.len() as u16).to_be_bytes());
    bytes.extend(blocks);
    bytes.resize(bytes.len().max(46), 0);
    bytes
}

#[test]
fn an_identified_station_says_who_it_is() {
    let question = frame(0xfefe, 5, 0, &unhex("ffff 0000"));
    let answer = frame(
        0xfeff,
        5,
        1,
        &unhex(
            "0202 0009 0000 70726573732d31 00
             0201 0009 0000 53372d31323030 00
             0203 0006 0000 002a 010d
             0204 0004 0000 0200
             0207 0004 0000 0064
             0102 000e 0001 c0000214 ffffff00 c0000201",
        ),
    );
    insta::assert_snapshot!(converse(&PROTOCOL, &[(Client, &question), (Server, &answer)]), @r#"
    client identify {"xid":7,"response_delay":1,"blocks":["all"]}
    fact 192.0.2.10 role = "engineering-station" (profinet-dcp.identify-all, 20%)
    operation client Discover identify - - Asked
    server identify-response {"xid":7,"name":"press-1","station_type":"S7-1200","vendor_id":42,"device_id":269,"roles":["io-controller"],"instance":100,"ip":"192.0.2.20","netmask":"255.255.255.0","gateway":"192.0.2.1"}
    fact 192.0.2.20 hostname = "press-1" (profinet-dcp.name-of-station, 95%)
    fact 192.0.2.20 model = "S7-1200" (profinet-dcp.type-of-station, 95%)
    fact 192.0.2.20 vendor = "Siemens" (profinet-dcp.device-id, 95%)
    fact 192.0.2.20 identifier = "profinet 002a:010d" (profinet-dcp.device-id, 75%)
    fact 192.0.2.20 role = "plc" (profinet-dcp.device-role, 95%)
    binding 192.0.2.20 is at 02:00:00:00:00:14
    "#);
}

#[test]
fn orders_are_operations_and_a_name_asked_for_again_is_no_news() {
    let rename = frame(0xfefd, 4, 0, &unhex("0202 0006 0001 70756d70 0501 0002 0000"));
    let readdress = frame(0xfefd, 4, 0, &unhex("0102 000e 0001 c0000263 ffffff00 00000000"));
    let reset = frame(0xfefd, 4, 0, &unhex("0505 0002 0000"));
    let refused = frame(0xfefd, 4, 1, &unhex("0504 0003 0505 05 00"));
    let search = frame(0xfefe, 5, 0, &unhex("0202 0004 70756d70"));
    let conversation = [
        (Client, &rename[..]),
        (Client, &readdress),
        (Client, &reset),
        (Server, &refused),
        (Client, &search),
        (Client, &search),
    ];
    let text = converse(&PROTOCOL, &conversation);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("client")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    operation client Configure set-name - "pump" Asked
    fact 192.0.2.10 role = "engineering-station" (profinet-dcp.set, 20%)
    operation client Configure set-ip - "192.0.2.99" Asked
    operation client Configure factory-reset - - Asked
    server set-response {"xid":7,"error":"set-not-possible"}
    operation client Discover identify pump - Asked
    "#);
}

#[test]
fn a_block_that_does_not_fit_is_told_and_cyclic_data_is_left_to_its_own_parser() {
    let broken = frame(0xfeff, 5, 1, &unhex("0202 00ff 0000"));
    assert!(converse(&PROTOCOL, &[(Client, &broken)]).contains("anomaly client length"));
    let cyclic = unhex("8000 00 00 00 0001 35 00");
    let hello = frame(0xfefc, 6, 0, &[]);
    assert!(converse(&PROTOCOL, &[(Client, &hello), (Client, &cyclic)]).ends_with("upgrade\n"));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        noise in packets(),
        service in 3_u8..7,
        kind in 0_u8..2,
        blocks in prop::collection::vec((0_u8..7, 0_u8..8, prop::collection::vec(any::<u8>(), 0..20)), 0..8),
    ) {
        survives(&PROTOCOL, &noise);
        let blocks: Vec<u8> = blocks
            .iter()
            .flat_map(|(option, suboption, value)| {
                [&[*option, *suboption, 0, value.len() as u8][..], value].concat()
            })
            .collect();
        survives(&PROTOCOL, &[(Client, frame(0xfeff, service, kind, &blocks))]);
    }
}
