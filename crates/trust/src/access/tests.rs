use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Policies {
    Policies::parse(&[("t.cedar", text)]).unwrap()
}

fn refused(text: &str) -> (usize, String) {
    let error = Policies::parse(&[("t.cedar", text)]).unwrap_err();
    assert_eq!(error.file, "t.cedar");
    (error.line, error.what)
}

fn ask(roles: &[&str], action: &str, zone_kind: &str, change: impl FnOnce(&mut Request)) -> Answer {
    let mut request = Request {
        principal: Principal {
            id: "anna".into(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            is_service: false,
        },
        action: action.into(),
        target: Target {
            id: "something".into(),
            zone_kind: zone_kind.into(),
            criticality: 1,
            proposer: Some("berta".into()),
        },
        circumstances: Circumstances { mfa_age: Some(60), posture: Access::Full, new_location: false },
    };
    change(&mut request);
    Policies::built_in().unwrap().decide(&request).unwrap()
}

fn decision(roles: &[&str], action: &str, zone_kind: &str) -> Decision {
    ask(roles, action, zone_kind, |_| {}).decision
}

use Decision::{Allow, Deny, StepUp};

#[test]
fn roles_may_what_their_work_is_and_no_more() {
    for (role, action, zone, expected) in [
        ("viewer", "view-device", "industrial", Allow),
        ("viewer", "judge-finding", "enterprise", Deny),
        ("analyst", "judge-finding", "industrial", Allow),
        ("analyst", "approve-action", "enterprise", Allow),
        ("analyst", "approve-action", "industrial", Deny),
        ("operator", "approve-action", "industrial", Allow),
        ("operator", "write-plc-register", "industrial", Allow),
        ("operator", "write-plc-register", "safety", Deny),
        ("engineer", "write-plc-register", "safety", Allow),
        ("operator", "program-plc", "industrial", Deny),
        ("engineer", "program-plc", "industrial", Allow),
        ("engineer", "approve-policy", "enterprise", Deny),
        ("administrator", "approve-policy", "enterprise", Allow),
        ("administrator", "program-plc", "enterprise", Deny),
        ("auditor", "view-audit-log", "enterprise", Allow),
        ("nobody", "view-device", "enterprise", Deny),
    ] {
        assert_eq!(decision(&[role], action, zone), expected, "{role} {action} {zone}");
    }
    let nobody = ask(&["nobody"], "view-device", "enterprise", |_| {});
    assert_eq!((nobody.policies.len(), nobody.decision), (0, Deny));
    assert!(nobody.explanation.contains("no policy permits"), "{}", nobody.explanation);
}

#[test]
fn nobody_approves_what_he_has_proposed_and_auditors_change_nothing_whatever_else_they_are() {
    let own =
        ask(&["administrator"], "approve-policy", "building", |it| it.target.proposer = Some("anna".into()));
    assert_eq!((own.decision, &*own.policies), (Deny, &["nobody-approves-his-own".to_owned()][..]));
    assert!(own.explanation.contains("who proposes something may not approve it"), "{}", own.explanation);
    let audits = ask(&["administrator", "auditor"], "manage-users", "enterprise", |_| {});
    assert_eq!((audits.decision, &*audits.policies), (Deny, &["auditors-change-nothing".to_owned()][..]));
}

#[test]
fn a_fresh_second_factor_is_asked_for_where_it_would_do_and_only_there() {
    let aged = |age: Option<u32>, action: &str| {
        ask(&["engineer"], action, "industrial", |it| it.circumstances.mfa_age = age)
    };
    assert_eq!(aged(Some(300), "program-plc").decision, Allow);
    let stale = aged(Some(301), "program-plc");
    assert_eq!(
        (stale.decision, &*stale.policies),
        (StepUp, &["sensitive-needs-a-fresh-second-factor".to_owned()][..])
    );
    assert_eq!(aged(None, "program-plc").decision, StepUp);
    assert_eq!(aged(None, "view-device").decision, Allow);
    assert_eq!(aged(None, "manage-users").decision, Deny, "a second factor makes nobody an administrator");
    let critical = |age| {
        ask(&["engineer"], "write-plc-register", "industrial", |it| {
            it.target.criticality = 3;
            it.circumstances.mfa_age = Some(age);
        })
    };
    assert_eq!((critical(300).decision, critical(301).decision), (Allow, StepUp));
    let away = |age| {
        ask(&["viewer"], "view-device", "building", |it| {
            (it.circumstances.new_location, it.circumstances.mfa_age) = (true, Some(age));
        })
    };
    assert_eq!((away(10).decision, away(1_000).decision), (Allow, StepUp));
    let from = |posture, action| {
        ask(&["analyst"], action, "enterprise", |it| {
            (it.circumstances.posture, it.circumstances.mfa_age) = (posture, None);
        })
    };
    let limited = from(Access::Limited, "judge-finding");
    assert_eq!((limited.decision, &*limited.policies), (Deny, &["limited-devices-only-look".to_owned()][..]));
    assert_eq!(from(Access::Limited, "view-device").decision, Allow);
    assert_eq!(from(Access::Quarantine, "view-device").decision, Deny);
}

#[test]
fn services_have_no_second_factor_and_do_only_their_work() {
    let gateway = |action: &str| {
        ask(&[GATEWAY], action, "enterprise", |it| {
            (it.principal.is_service, it.circumstances.mfa_age) = (true, None);
        })
    };
    assert_eq!((gateway("view-device").decision, gateway("change-policy").decision), (Allow, Deny));
    assert_eq!(decision(&[GATEWAY], "view-device", "enterprise"), Deny, "a person is no gateway");
}

#[test]
fn the_table_of_actions_is_that_of_the_schema() {
    let policies = Policies::built_in().unwrap();
    let mut known: Vec<_> = policies.schema.actions().map(|uid| uid.id().escaped().to_string()).collect();
    known.retain(|name| !["read", "change", "sensitive"].contains(&name.as_str()));
    known.sort();
    let mut ours = ACTIONS.map(|(name, _)| name.to_owned()).to_vec();
    ours.sort();
    assert_eq!(known, ours);
    for (action, _) in ACTIONS {
        let reads = action.starts_with("view") || action == "export-data";
        let expected = if reads { Allow } else { Deny };
        assert_eq!(decision(&ROLES[..6], action, "enterprise"), expected, "auditors among them: {action}");
    }
    let unknown = Request { action: "fly".into(), ..analyse_request() };
    assert_eq!(policies.decide(&unknown), Err(RequestError::Action("fly".into())));
}

fn analyse_request() -> Request {
    Request {
        principal: Principal { id: "a".into(), roles: Vec::new(), is_service: false },
        action: "view-device".into(),
        target: Target { id: "b".into(), zone_kind: "safety".into(), criticality: 0, proposer: None },
        circumstances: Circumstances { mfa_age: None, posture: Access::Full, new_location: false },
    }
}

#[test]
fn what_cannot_be_read_or_does_not_fit_is_refused_with_line_and_reason() {
    let (line, what) =
        refused("permit (principal, action, resource);\n\npermit (principal, action resource);");
    assert!(line == 3 && what.contains("unexpected token"), "{line} {what}");
    let (line, what) = refused("\npermit (principal, action, resource)\nwhen { context.mfa_agee > 3 };");
    assert!(line == 3 && what.contains("mfa_agee"), "{line} {what}");
    let (line, what) = refused("permit (\n  principal,\n  action == Action::\"fly\",\n  resource);");
    assert!(line == 3 && what.contains("fly"), "{line} {what}");
    let (line, what) = refused("\npermit (principal == ?principal, action, resource);");
    assert!(line == 2 && what.contains("template"), "{line} {what}");
    let one = "@id(\"a\") permit (principal, action, resource);\n";
    let (line, what) = refused(&one.repeat(2));
    assert!(line == 2 && what.contains("two policies a"), "{line} {what}");
}

#[test]
fn size_number_depth_and_length_are_bounded() {
    let (_, what) = refused(&" ".repeat(MAX_BYTES + 1));
    assert!(what.contains("bytes"), "{what}");
    assert!(Policies::parse(&[("t.cedar", &" ".repeat(MAX_BYTES))]).is_ok());
    let (line, what) = refused(&"permit (principal, action, resource);\n".repeat(MAX_POLICIES + 1));
    assert!(what.contains(&MAX_POLICIES.to_string()), "{line} {what}");
    let deep = |depth: usize| {
        format!(
            "permit (principal, action, resource)\nwhen {{ {}true{} }};",
            "(".repeat(depth),
            ")".repeat(depth)
        )
    };
    assert!(Policies::parse(&[("t.cedar", &deep(MAX_DEPTH - 1))]).is_ok());
    let (line, what) = refused(&deep(MAX_DEPTH));
    assert!(line == 2 && what.contains("brackets"), "{line} {what}");
    let long = |terms: usize| {
        format!("permit (principal, action, resource)\nwhen {{ true{} }};", "&&true".repeat(terms))
    };
    assert!(Policies::parse(&[("t.cedar", &long(300))]).is_ok());
    let (line, what) = refused(&long(MAX_TOKENS));
    assert!(line == 2 && what.contains("words and signs"), "{line} {what}");
    // What stands in comments and texts is neither deep nor long.
    assert!(scan::scan(&format!("// {}\n\"\\\"{}\";", "(".repeat(99), "[".repeat(99))).is_ok());
}

#[test]
fn policies_without_a_name_are_called_by_their_place_and_several_texts_are_one_set() {
    let one = "permit (principal, action, resource);\n@id(\"named\")\nforbid (principal, action, resource);";
    let policies =
        Policies::parse(&[("a.cedar", one), ("b.cedar", one.split('\n').next().unwrap())]).unwrap();
    assert_eq!(policies.ids().collect::<Vec<_>>(), ["a.cedar#1", "b.cedar#1", "named"]);
}

#[test]
fn a_policy_that_cannot_be_evaluated_denies() {
    let text = "permit (principal, action, resource);\n\
                forbid (principal, action, resource) when { context.mfa_age + 9223372036854775807 == 0 };";
    let answer = read(text).decide(&analyse_request()).unwrap();
    assert!(answer.decision == StepUp, "with a fresh one nothing overflows: {answer:?}");
    let text = text.replace("context.mfa_age +", "context.mfa_age + 1 +");
    let answer = read(&text).decide(&analyse_request()).unwrap();
    assert!(answer.decision == Deny && answer.explanation.contains("cannot be evaluated"), "{answer:?}");
}

#[test]
fn every_default_policy_matters_and_the_matrix_is_what_is_decided() {
    let policies = Policies::built_in().unwrap();
    let matrix = matrix(&policies).unwrap();
    assert_eq!(matrix.idle, [""; 0]);
    assert_eq!(matrix.cells.len(), ROLES.len() * ACTIONS.len() * ZONE_KINDS.len());
    for cell in &matrix.cells {
        let mut request = analyse_request();
        request.principal.roles = vec![cell.role.into()];
        request.principal.is_service = cell.role == GATEWAY;
        request.action = cell.action.into();
        request.target.zone_kind = cell.zone.into();
        assert_eq!(policies.decide(&request).unwrap().decision, cell.decision, "{cell:?}");
    }
    assert_eq!(diff(&policies, &policies).unwrap(), []);
}

/// Small policies, of which some make others idle.
const PIECES: [&str; 6] = [
    "permit (principal in Role::\"viewer\", action == Action::\"view-device\", resource);",
    "permit (principal, action in Action::\"read\", resource) when { principal in [Role::\"viewer\", Role::\"analyst\"] };",
    "permit (principal in Role::\"analyst\", action == Action::\"approve-action\", resource) when { context.mfa_age < 7 };",
    "forbid (principal, action in Action::\"sensitive\", resource in ZoneKind::\"safety\");",
    "forbid (principal, action, resource) when { resource has proposer && resource.proposer == principal };",
    "forbid (principal in Role::\"operator\", action, resource) when { context.new_location };",
];

fn pieces(mask: usize) -> Policies {
    let chosen = PIECES.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
    let texts: Vec<_> = chosen.map(|(at, text)| format!("@id(\"{at}\") {text}")).collect();
    read(&texts.join("\n"))
}

#[test]
fn idle_policies_are_those_without_which_nothing_changes() {
    for mask in [0b00_0011, 0b11_1111, 0b10_1100] {
        let whole = pieces(mask);
        let idle = matrix(&whole).unwrap().idle;
        for at in (0..PIECES.len()).filter(|at| mask >> at & 1 == 1) {
            // The numbers of the whole tell the circumstances.
            let differs = !diff(&whole, &pieces(mask & !(1 << at))).unwrap().is_empty();
            assert_eq!(idle.contains(&at.to_string()), !differs, "{mask:b} without {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_difference_is_told_for_whatever_is_decided_otherwise_and_for_nothing_else(
        masks in (0_usize..64, 0_usize..64),
        picks in prop::collection::vec((0..ROLES.len(), 0..ACTIONS.len(), 0..ZONE_KINDS.len(), 0_u32..12, any::<bool>(), any::<bool>()), 60),
    ) {
        let (before, after) = (pieces(masks.0), pieces(masks.1));
        let changed = diff(&before, &after).unwrap();
        for (role, action, zone, age, new_location, own) in picks {
            let mut request = analyse_request();
            request.principal.roles = vec![ROLES[role].into()];
            request.principal.is_service = ROLES[role] == GATEWAY;
            request.action = ACTIONS[action].0.into();
            request.target.zone_kind = ZONE_KINDS[zone].into();
            request.target.proposer = Some(if own && ROLES[role] != GATEWAY { "a" } else { "z" }.into());
            request.circumstances.mfa_age = (age < 11).then_some(age);
            request.circumstances.new_location = new_location;
            let [was, is] = [&before, &after].map(|set| set.decide(&request).unwrap().decision);
            let told = changed.iter().any(|one| {
                (one.role.as_str(), one.action, one.zone, one.before, one.after)
                    == (ROLES[role], ACTIONS[action].0, ZONE_KINDS[zone], was, is)
            });
            prop_assert!(was == is || told, "{request:?}: {was} {is}");
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[a-z(){};,\"@=<>&|!. \n0-9/\\\\]{0,200}") {
        if let Err(error) = Policies::parse(&[("t.cedar", &text)]) {
            prop_assert!((1..=text.split('\n').count()).contains(&error.line));
        }
    }
}
