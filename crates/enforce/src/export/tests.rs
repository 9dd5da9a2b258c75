use super::*;
use crate::Class;

fn class(name: &str, members: &[&str]) -> Class {
    Class { name: name.into(), members: members.iter().map(|text| text.parse().unwrap()).collect() }
}

fn allow(name: &str, from: End, to: End, service: Service) -> Allow {
    Allow { name: name.into(), from, to, service }
}

/// Something of everything.
fn scene() -> Ruleset {
    let of = |name: &str| End::Class(name.into());
    let nets = |texts: &[&str]| End::Networks(texts.iter().map(|text| text.parse().unwrap()).collect());
    Ruleset {
        mode: crate::Mode::Enforce,
        classes: vec![
            class("Cameras, hall 1", &["10.0.1.5", "10.0.1.6", "fd00:1::5"]),
            class("PLCs", &["10.0.2.0/24", "02:00:00:00:00:07"]),
        ],
        allows: vec![
            allow(
                "video",
                of("Cameras, hall 1"),
                nets(&["10.0.9.0/24", "fd00:9::/64"]),
                Service::Tcp(vec![Ports::one(554)]),
            ),
            allow(
                "media",
                of("Cameras, hall 1"),
                nets(&["10.0.9.7"]),
                Service::Udp(vec![Ports { first: 5000, last: 6000 }, Ports::one(123)]),
            ),
            allow(
                "time",
                of("Cameras, hall 1"),
                End::Name("time.example".into()),
                Service::Udp(vec![Ports::one(123)]),
            ),
            allow("ping", of("PLCs"), End::Anyone, Service::Icmp(vec![8])),
            allow("ping 6", of("Cameras, hall 1"), End::Anyone, Service::Icmpv6(vec![128])),
            allow("peers", of("PLCs"), of("PLCs"), Service::Tcp(vec![])),
            allow("goose", of("PLCs"), of("PLCs"), Service::Ether(0x88b8)),
            allow("tunnel", of("PLCs"), nets(&["10.0.9.1"]), Service::Ip(47)),
            allow("engineering", nets(&["10.0.8.4"]), of("PLCs"), Service::Any),
        ],
        guard: vec!["10.0.0.1".parse().unwrap()],
        ..Ruleset::default()
    }
}

macro_rules! golden {
    ($name:ident, $export:expr) => {
        #[test]
        fn $name() {
            let export: Export = $export.unwrap();
            let left_out: String = export.left_out.iter().map(|text| format!("left out: {text}\n")).collect();
            insta::assert_snapshot!(format!("{}\n{left_out}", export.text));
        }
    };
}

golden!(the_text_for_cisco, cisco_ios(&scene(), "pavise in"));
golden!(the_text_for_aruba, aruba_cx(&scene(), "pavise in"));
golden!(the_text_for_iptables, iptables_restore(&scene(), Version::V4));
golden!(
    the_text_for_ip6tables,
    iptables_restore(&Ruleset { strict: true, mode: crate::Mode::Observe, ..scene() }, Version::V6)
);
golden!(the_text_for_kubernetes, kubernetes(&scene(), "plant"));
golden!(the_text_for_radius, radius_attributes(&scene(), &Vlans::from([("PLCs".into(), 20)])));

/// What is said in no export stands in its list of what is left out.
#[test]
fn nothing_is_left_out_in_silence() {
    let ruleset = scene();
    let exports: [(&str, Export); 5] = [
        ("cisco", cisco_ios(&ruleset, "x").unwrap()),
        ("aruba", aruba_cx(&ruleset, "x").unwrap()),
        ("kubernetes", kubernetes(&ruleset, "x").unwrap()),
        ("radius", radius_attributes(&ruleset, &Vlans::new()).unwrap()),
        ("iptables", {
            let [mut four, six] =
                [Version::V4, Version::V6].map(|version| iptables_restore(&ruleset, version).unwrap());
            four.text += &six.text;
            four
        }),
    ];
    for (format, export) in exports {
        for rule in ["time", "goose"].into_iter().chain((format == "kubernetes").then_some("ping")) {
            let told = export.left_out.iter().any(|text| text.contains(&format!("{rule:?}")));
            assert!(told, "{format}: {rule}: {:?}", export.left_out);
        }
        assert!(!export.text.contains("time.example"), "{format}");
    }
}

#[test]
fn an_empty_list_of_networks_allows_nobody() {
    let mut ruleset = scene();
    ruleset.allows = vec![allow("none", End::Class("PLCs".into()), End::Networks(vec![]), Service::Any)];
    let cisco = cisco_ios(&ruleset, "x").unwrap().text;
    assert!(!cisco.contains("remark none"), "{cisco}");
    let kubernetes = kubernetes(&ruleset, "x").unwrap().text;
    let list: serde_json::Value = serde_json::from_str(&kubernetes).unwrap();
    assert!(
        list["items"].as_array().unwrap().iter().all(|item| item["spec"]["egress"] == serde_json::json!([]))
    );
}

#[test]
fn an_export_has_no_more_lines_than_the_limit() {
    let host = |base: u32, number: u32| Network::host(std::net::IpAddr::V4((base + 2 * number).into()));
    let members: Vec<Address> = (0..400).map(|number| Address::Net(host(0x0a00_0000, number))).collect();
    let to: Vec<Network> = (0..300).map(|number| host(0xc000_0200, number)).collect();
    let ruleset = Ruleset {
        classes: vec![Class { name: "many".into(), members }],
        allows: vec![allow("many", End::Class("many".into()), End::Networks(to), Service::Any)],
        ..Ruleset::default()
    };
    assert_eq!(cisco_ios(&ruleset, "x"), Err(ExportError::TooLong));
    assert_eq!(iptables_restore(&ruleset, Version::V4), Err(ExportError::TooLong));
}
