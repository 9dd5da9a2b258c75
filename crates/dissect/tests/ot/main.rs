//! Industrial protocols on real captures, against the logs that Zeek with the ICSNPP parsers made of
//! them. tshark takes the captures apart here, so that these tests judge the dissectors alone.

mod conversations;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dissect::proto::Yield;
use model::{Attribute, OperationKind, Record, Value};

use conversations::Conversation;

/// What is needed: tshark and a folder of captures.
fn setting(test: &str, below: &str) -> Option<(PathBuf, PathBuf)> {
    Some((testkit::peer(test, "tshark")?, testkit::corpus(test, below)?))
}

/// The rows of a Zeek log as maps of its fields.
fn log(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).expect("a log is text");
    let mut names: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(fields) = line.strip_prefix("#fields\t") {
            names = fields.split('\t').map(str::to_owned).collect();
        } else if !line.starts_with('#') {
            let columns: Vec<&str> = line.split('\t').collect();
            // Some baselines come without the names of their columns: then these are numbers.
            let name = |(index, value): (usize, &&str)| {
                (names.get(index).cloned().unwrap_or_else(|| index.to_string()), (*value).to_owned())
            };
            rows.push(columns.iter().enumerate().map(name).collect());
        }
    }
    rows
}

fn messages<'a>(
    conversations: &'a [Conversation],
    protocol: &'a str,
) -> impl Iterator<Item = (&'a str, &'a Record)> {
    conversations
        .iter()
        .filter(move |conversation| conversation.protocol == Some(protocol))
        .flat_map(|conversation| &conversation.found)
        .filter_map(|(_, item)| match item {
            Yield::Message { kind, fields, .. } => Some((&**kind, fields)),
            _ => None,
        })
}

fn field(fields: &Record, name: &str) -> String {
    match fields.get(name) {
        None => "-".into(),
        Some(Value::Text(text)) => text.to_string(),
        Some(Value::List(values)) => values
            .iter()
            .map(|value| value.as_u64().map_or_else(|| format!("{value:?}"), |number| number.to_string()))
            .collect::<Vec<_>>()
            .join(","),
        Some(Value::Unsigned(number)) => number.to_string(),
        Some(other) => format!("{other:?}"),
    }
}

fn count<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    items.into_iter().fold(BTreeMap::new(), |mut counts, item| {
        *counts.entry(item).or_default() += 1;
        counts
    })
}

/// Everything that a conversation was found to be and is expected to keep being.
fn nothing_is_lost(conversations: &[Conversation]) {
    for conversation in conversations {
        assert_eq!(conversation.lost, None, "{} {:?}", conversation.head.server, conversation.protocol);
    }
}

#[test]
fn modbus_agrees_with_zeek() {
    let Some((tshark, folder)) = setting("modbus_agrees_with_zeek", "icsnpp/modbus/testing") else { return };
    let found = conversations::read(&tshark, &folder.join("traces/modbus_example.pcap"), true);
    nothing_is_lost(&found);
    let rows = log(&folder.join("baseline/analyzer.basic/modbus_detailed.log"));
    let mut requests = BTreeMap::new();
    let mut responses = BTreeMap::new();
    for (kind, fields) in messages(&found, "modbus") {
        let key = (field(fields, "transaction"), field(fields, "unit"));
        (if kind == "request" { &mut requests } else { &mut responses }).insert(key, fields);
    }
    let mut compared = 0;
    for row in &rows {
        let key = (row["tid"].clone(), row["unit"].clone());
        let (request, response) = (requests[&key], responses[&key]);
        // Zeek calls functions by their older names.
        let function = row["func"].to_lowercase().replace('_', "-");
        let function = match function.as_str() {
            "report-slave-id" => "report-server-id",
            "encap-interface-transport" => "encapsulated-interface-transport",
            other => other,
        };
        assert_eq!(field(request, "function"), function);
        for (theirs, ours) in [
            ("address", field(request, "address")),
            ("quantity", field(request, "quantity")),
            ("request_values", field(request, "values")),
            ("response_values", field(response, "values")),
            ("exception_code", field(response, "exception").to_uppercase().replace('-', "_")),
        ] {
            // Some fields Zeek has in other logs.
            if row[theirs] != "-" && row[theirs] != "0" {
                assert_eq!(ours, row[theirs], "{theirs} of {key:?}");
                compared += 1;
            }
        }
    }
    assert_eq!(requests.len(), 24);
    assert!(compared > 30, "{compared}");
}

#[test]
fn s7comm_agrees_with_zeek() {
    let Some((tshark, folder)) = setting("s7comm_agrees_with_zeek", "icsnpp/s7comm/tests") else { return };
    for name in ["snap7", "s7ident", "s7comm_plus"] {
        let found = conversations::read(&tshark, &folder.join(format!("traces/{name}.pcap")), true);
        nothing_is_lost(&found);
        let rows = log(&folder.join(format!("baseline/analyzer.{name}/s7comm.log")));
        let theirs = count(rows.iter().map(|row| {
            let rosctr = match row["rosctr_code"].as_str() {
                "1" => "job",
                "2" => "ack",
                "3" => "ack-data",
                _ => "userdata",
            };
            (rosctr.to_owned(), row["pdu_reference"].clone())
        }));
        let ours = count(
            messages(&found, "s7comm")
                .filter(|(kind, _)| !kind.starts_with("connection"))
                .map(|(kind, fields)| (kind.to_owned(), field(fields, "pdu-reference"))),
        );
        // Zeek tells neither bare acknowledgements nor the parts of a status list behind the first.
        for (row, times) in &ours {
            match row.0.as_str() {
                "ack" => {}
                "userdata" => {
                    assert!(theirs.get(row).is_some_and(|theirs| theirs <= times), "{name}: {row:?}");
                }
                _ => assert_eq!(theirs.get(row), Some(times), "{name}: {row:?}"),
            }
        }
        assert!(theirs.keys().all(|row| ours.contains_key(row)), "{name}");
    }
}

#[test]
fn s7comm_plus_agrees_with_zeek() {
    let Some((tshark, folder)) = setting("s7comm_plus_agrees_with_zeek", "icsnpp/s7comm/tests") else {
        return;
    };
    let found = conversations::read(&tshark, &folder.join("traces/s7comm_plus.pcap"), true);
    let rows = log(&folder.join("baseline/analyzer.s7comm_plus/s7comm_plus.log"));
    let theirs = count(rows.iter().map(|row| {
        (row["opcode_name"].to_lowercase(), row["function_name"].to_lowercase().replace(' ', "-"))
    }));
    let ours = count(
        messages(&found, "s7comm-plus")
            .map(|(_, fields)| (field(fields, "opcode"), field(fields, "function"))),
    );
    assert_eq!(ours, theirs);
}

#[test]
fn cip_agrees_with_zeek() {
    let Some((tshark, folder)) = setting("cip_agrees_with_zeek", "icsnpp/enip/tests") else { return };
    let found = conversations::read(&tshark, &folder.join("traces/enip_cip_example.pcap"), true);
    nothing_is_lost(&found);
    let rows = log(&folder.join("baseline/analyzer.basic/cip.log"));
    let number = |text: &str| {
        let number = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
        number.map_or_else(|| "-".to_owned(), |number| number.to_string())
    };
    let theirs = count(rows.iter().map(|row| {
        let request = row["12"] == "request";
        let (class, instance) =
            if request { (number(&row["19"]), number(&row["21"])) } else { ("-".into(), "-".into()) };
        (request, row["11"].clone(), number(&row["13"]), class, instance)
    }));
    let ours =
        count(messages(&found, "enip").filter(|(kind, _)| kind.starts_with("cip-")).map(|(kind, fields)| {
            let request = kind == "cip-request";
            let (class, instance) = if request {
                (field(fields, "class-id"), field(fields, "instance"))
            } else {
                ("-".into(), "-".into())
            };
            (request, field(fields, "sequence"), field(fields, "service-code"), class, instance)
        }));
    assert_eq!(ours, theirs);
    let io = log(&folder.join("baseline/analyzer.basic/cip_io.log"));
    assert_eq!(
        count(
            messages(&found, "enip")
                .filter(|(kind, _)| *kind == "io-data")
                .map(|(_, fields)| field(fields, "sequence"))
        ),
        count(io.iter().map(|row| row["12"].clone())),
    );
    let commands = log(&folder.join("baseline/analyzer.basic/enip.log"));
    assert_eq!(
        messages(&found, "enip").filter(|(_, fields)| fields.get("sender-context").is_some()).count(),
        commands.len()
    );
}

#[test]
fn dnp3_agrees_with_zeek() {
    let Some((tshark, folder)) = setting("dnp3_agrees_with_zeek", "icsnpp/dnp3/testing") else { return };
    let found = conversations::read(&tshark, &folder.join("traces/dnp3_example.pcap"), true);
    nothing_is_lost(&found);
    let kebab = |text: &str| text.to_lowercase().replace([' ', '_'], "-");
    let rows = log(&folder.join("baseline/analyzer.basic/dnp3_control.log"));
    let theirs = count(rows.iter().map(|row| {
        let fields = [
            "function_code",
            "index_number",
            "trip_control_code",
            "operation_type",
            "execute_count",
            "on_time",
            "off_time",
        ];
        fields.map(|name| kebab(&row[name]))
    }));
    let ours = count(messages(&found, "dnp3").flat_map(|(_, fields)| {
        let function = field(fields, "function");
        let controls = fields.get("controls").and_then(Value::as_list).unwrap_or_default();
        controls
            .iter()
            .filter_map(move |control| {
                let Value::Record(control) = control else { return None };
                let rest = ["index", "trip-close", "operation", "count", "on-time", "off-time"]
                    .map(|name| field(control, name));
                let [a, b, c, d, e, f] = rest;
                Some([function.clone(), a, b, c, d, e, f])
            })
            .collect::<Vec<_>>()
    }));
    assert_eq!(ours, theirs);
    let rows = log(&folder.join("baseline/analyzer.basic/dnp3.log"));
    let replies = count(
        rows.iter()
            .filter(|row| row["fc_reply"] != "-")
            .map(|row| (kebab(&row["fc_reply"]), row["iin"].clone())),
    );
    let ours = count(
        messages(&found, "dnp3")
            .filter(|(kind, _)| *kind == "response")
            .map(|(_, fields)| (field(fields, "function"), field(fields, "internal-indications"))),
    );
    assert_eq!(ours, replies);
}

#[test]
fn bacnet_agrees_with_zeek() {
    let Some((tshark, folder)) = setting("bacnet_agrees_with_zeek", "icsnpp/bacnet/testing") else { return };
    for (trace, baseline) in [
        ("bacnet_example", "basic"),
        ("bacnet_error_reject_abort", "error-reject-abort"),
        ("bacnet_segmented_data", "segmented_data"),
    ] {
        let found = conversations::read(&tshark, &folder.join(format!("traces/{trace}.pcap")), true);
        nothing_is_lost(&found);
        let rows = log(&folder.join(format!("baseline/analyzer.{baseline}/bacnet.log")));
        let theirs = count(rows.iter().map(|row| {
            let kind = row["pdu_type"].to_lowercase().replace("_pdu", "").replace('_', "-");
            (kind, row["invoke_id"].clone())
        }));
        let ours = count(
            messages(&found, "bacnet")
                .filter(|(kind, _)| !matches!(*kind, "bvlc" | "network-message"))
                .map(|(kind, fields)| (kind.to_owned(), field(fields, "invoke-id"))),
        );
        assert_eq!(ours, theirs, "{trace}");
    }
}

/// Captures that are named for what is done in them.
#[test]
fn what_is_done_to_controllers_is_told_apart() {
    let Some((tshark, folder)) = setting("what_is_done_to_controllers_is_told_apart", "ics_pcaps_iti") else {
        return;
    };
    let operations = |capture: &str| -> BTreeMap<OperationKind, usize> {
        let found = conversations::read(&tshark, &folder.join(capture), false);
        nothing_is_lost(&found);
        count(found.iter().flat_map(|conversation| &conversation.found).filter_map(|(_, item)| match item {
            Yield::Operation { kind, .. } => Some(*kind),
            _ => None,
        }))
    };
    use OperationKind::{
        Configure, ProgramDownload, ProgramUpload, Restart, SetTime, Start, Stop, TransferFile,
    };
    for (capture, expected, absent) in [
        ("openics/EIP-ChangeDateAttempt.pcap", &[SetTime][..], &[Stop, ProgramDownload, ProgramUpload][..]),
        ("openics/EIP-ChangeTimeAttempt.pcap", &[SetTime], &[Stop, ProgramDownload, ProgramUpload]),
        ("openics/EIP-SoftwareDownload.pcap", &[Stop, ProgramDownload, Start], &[ProgramUpload]),
        ("openics/EIP-SoftwareUpload.pcap", &[ProgramUpload], &[Stop, ProgramDownload, SetTime]),
        ("modicon/modicon_test.pcap", &[ProgramUpload], &[Stop, ProgramDownload]),
        (
            "s7/snap7_s300_everything.pcapng",
            &[Stop, Restart, SetTime, ProgramUpload, Configure],
            &[ProgramDownload],
        ),
        ("s7/s7comm_reading_setting_plc_time.pcap", &[SetTime], &[Stop, ProgramDownload, ProgramUpload]),
        ("bro/dnp3/dnp3_file_write.pcap", &[TransferFile], &[Restart, SetTime]),
    ] {
        let found = operations(capture);
        for kind in expected {
            assert!(found.contains_key(kind), "{capture}: no {kind:?} in {found:?}");
        }
        for kind in absent {
            assert!(!found.contains_key(kind), "{capture}: {kind:?} in {found:?}");
        }
    }
}

/// What controllers say about themselves when they are asked.
#[test]
fn controllers_are_identified() {
    let Some((tshark, folder)) = setting("controllers_are_identified", "ics_pcaps_iti") else { return };
    for (capture, model, firmware) in [
        ("s7/s7comm_reading_plc_status.pcap", "IM151-8 PN/DP CPU", "3.2.6"),
        ("s7/snap7_s300_everything.pcapng", "CPU 315-2 PN/DP", "3.2.7"),
        ("modicon/modicon_test.pcap", "140 CPU 311 10", "2.70"),
        ("openics/EIP-SoftwareUpload.pcap", "1756-L61/B LOGIX5561", "16.20"),
    ] {
        let found = conversations::read(&tshark, &folder.join(capture), false);
        let says = |wanted: Attribute, text: &str| {
            found.iter().flat_map(|conversation| &conversation.found).any(|(_, item)| {
                matches!(item, Yield::Fact { attribute, value, .. } if *attribute == wanted && **value == *text)
            })
        };
        assert!(says(Attribute::Model, model), "{capture}: {model}");
        assert!(says(Attribute::Firmware, firmware), "{capture}: {firmware}");
    }
}

/// Frames of telecontrol, as many as tshark sees.
#[test]
fn iec104_agrees_with_tshark() {
    let Some((tshark, folder)) = setting("iec104_agrees_with_tshark", "ics_pcaps_iti/IEC60870-5-104") else {
        return;
    };
    for capture in ["090813_diverse.pcap", "TestDissectIec104.pcap"] {
        let path = folder.join(capture);
        let found = conversations::read(&tshark, &path, true);
        nothing_is_lost(&found);
        let arguments = [
            "-r",
            path.to_str().expect("text"),
            "-Y",
            "iec60870_asdu",
            "-T",
            "fields",
            "-e",
            "iec60870_asdu.typeid",
        ];
        let text = testkit::output(&tshark, &arguments).expect("tshark runs");
        // Types 24 and 26 do not exist: tshark reads them out of filler that is too short for an ASDU.
        let theirs = count(
            text.split([',', '\n', '\t'])
                .filter(|item| !matches!(*item, "" | "24" | "26"))
                .map(str::to_owned),
        );
        let ours = count(
            messages(&found, "iec104")
                .filter(|(kind, _)| *kind == "i-frame")
                .map(|(_, fields)| field(fields, "type-code")),
        );
        assert_eq!(ours, theirs, "{capture}");
    }
}

/// `CreateSessionRequest` as these dissectors call it: `create-session`.
fn service(name: &str) -> String {
    let name = name.trim_end_matches("Request").trim_end_matches("Response");
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

#[test]
fn opcua_agrees_with_zeek() {
    let Some((tshark, folder)) = setting("opcua_agrees_with_zeek", "icsnpp/opcua-binary/tests") else {
        return;
    };
    for (trace, baseline) in [
        ("open62541_client-server_mainloop", "basic"),
        ("open62541_client-server_mainloop-no-handshake", "no-handshake"),
        ("open62541_client-server_mainloop-not-localhost-non-standard-port", "non-standard-port"),
    ] {
        let found = conversations::read(&tshark, &folder.join(format!("traces/{trace}.pcap")), true);
        nothing_is_lost(&found);
        // A row holds a request and its response: numbers, and the names of their services.
        let rows = log(&folder.join(format!("baseline/analyzer.{baseline}/opcua_binary.log")));
        let column = |number: &str, sequence: &str| {
            let numbered = rows.iter().filter(|row| row[number] != "-");
            count(numbered.map(|row| (service(&row[number]), row[sequence].clone())))
        };
        for (kind, theirs) in [("request", column("30", "24")), ("response", column("49", "24"))] {
            let ours = messages(&found, "opcua").filter(|(ours, _)| *ours == kind);
            let ours = count(ours.map(|(_, fields)| (field(fields, "service"), field(fields, "request"))));
            assert_eq!(ours, theirs, "{trace} {kind}");
        }
    }
}

#[test]
fn hart_ip_agrees_with_zeek() {
    let Some((tshark, folder)) = setting("hart_ip_agrees_with_zeek", "icsnpp/hart-ip/testing") else {
        return;
    };
    for (trace, baseline) in [
        ("hart-ip.pcap", "hart_ip"),
        ("hart-ip_all_messageIDs.pcapng", "all_message_ids"),
        ("hart-ip_all_types_and_commands_sent.pcapng", "all_types_and_commands_sent"),
    ] {
        let found = conversations::read(&tshark, &folder.join("traces").join(trace), true);
        nothing_is_lost(&found);
        let rows = log(&folder.join(format!("baseline/tests.{baseline}/hart_ip_general.log")));
        let theirs = count(rows.iter().map(|row| (row["10"].to_lowercase(), row["13"].clone())));
        let ours = messages(&found, "hart-ip");
        let ours = count(ours.map(|(kind, fields)| (kind.to_owned(), field(fields, "sequence"))));
        assert_eq!(ours, theirs, "{trace}");
    }
}

#[test]
fn omron_fins_agrees_with_zeek() {
    let Some((tshark, folder)) = setting("omron_fins_agrees_with_zeek", "icsnpp/omron-fins/testing") else {
        return;
    };
    for (trace, baseline) in
        [("omron", "omron_fins"), ("omron_fins_tcp_commands_responses", "omron_fins_tcp")]
    {
        let found = conversations::read(&tshark, &folder.join(format!("traces/{trace}.pcap")), true);
        nothing_is_lost(&found);
        let rows = log(&folder.join(format!("Baseline/tests.{baseline}/omron_fins_general.log")));
        let theirs = count(rows.iter().map(|row| {
            let kind = row["13"].split(' ').next().unwrap_or_default().to_lowercase();
            let code = row["23"].rsplit_once("(0x").map_or("", |(_, code)| code.trim_end_matches(')'));
            let code = u16::from_str_radix(code, 16).unwrap_or(0);
            // The baseline numbers the commands for programs three too low; on the wire is 0x0304 to 0x0308.
            (kind, if code >> 8 == 3 { code + 3 } else { code }.to_string())
        }));
        let ours = messages(&found, "omron-fins").filter(|(kind, _)| *kind != "connection");
        let ours = count(ours.map(|(kind, fields)| (kind.to_owned(), field(fields, "command-code"))));
        assert_eq!(ours, theirs, "{trace}");
    }
}

#[test]
fn synchrophasors_agree_with_zeek() {
    let Some((tshark, folder)) = setting("synchrophasors_agree_with_zeek", "icsnpp/synchrophasor/tests")
    else {
        return;
    };
    for (trace, baseline, station) in [
        ("C37.118_1PMU_TCP", "1PMU_TCP", "Blue PMU"),
        ("C37.118_1PMU_UDP", "1PMU_UDP", "PMU1"),
        ("C37.118_1PMU_UDP_minimal_otherport", "1PMU_UDP_otherport", "PMU1"),
    ] {
        let found = conversations::read(&tshark, &folder.join(format!("traces/{trace}.pcap")), true);
        nothing_is_lost(&found);
        let frames = |start: &str| {
            messages(&found, "synchrophasor").filter(|(kind, _)| kind.starts_with(start)).count()
        };
        for (file, kind) in
            [("cmd", "command"), ("cfg", "configuration"), ("data", "data"), ("hdr", "header")]
        {
            let path = folder.join(format!("baseline/analyzer.{baseline}/synchrophasor_{file}.log"));
            assert_eq!(frames(kind), log(&path).len(), "{trace} {kind}");
        }
        let named = found.iter().flat_map(|conversation| &conversation.found).any(|(_, item)| {
            matches!(item, Yield::Fact { attribute: Attribute::Label, value, .. } if **value == *station)
        });
        assert!(named, "{trace}: {station}");
    }
}
