//! What is asked of a policy while conversations go on.

use crate::compile::Compiled;
use crate::decide::{Ask, Decision};
use crate::syntax::Verdict;

impl Compiled {
    /// Whether a conversation that is denied as long as its protocol is not known may turn out to be allowed: a rule is
    /// about a protocol that could be spoken on this port and that no port tells.
    pub fn may_turn_out_allowed(&self, ask: &Ask<'_>) -> bool {
        let (client, server) = self.classes_of(ask);
        self.between(&client, &server).any(|number| {
            let entry = self.entries.get(number as usize).filter(|entry| entry.verdict == Verdict::Allow);
            let services = entry.and_then(|entry| self.services.get(entry.services as usize));
            services.is_some_and(|services| {
                services.protocols().any(|protocol| services.allow(ask.transport, ask.port, Some(protocol)))
            })
        })
    }

    /// The zones between which a conversation leads: the first one of each side; nothing if one side is in none, or both
    /// are in one.
    pub fn crossed_zones(&self, ask: &Ask<'_>) -> Option<(&str, &str)> {
        let (client, server) = self.classes_of(ask);
        if client.zones.iter().any(|zone| server.zones.contains(zone)) {
            return None;
        }
        let name = |zones: &[u32]| self.policy.zones.get(*zones.first()? as usize).map(|zone| &*zone.name);
        Some((name(&client.zones)?, name(&server.zones)?))
    }

    /// The rule of a decision by its label, or in its own words.
    pub fn rule_of(&self, decision: &Decision) -> Option<String> {
        let rule = self.policy.rules.get(decision.rule? as usize)?;
        Some(rule.label.as_deref().map_or_else(|| crate::view::one_line(&rule.to_string()), str::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{compile, decide, device, tcp};

    const POLICY: &str = "zone a { members 10.0.1.0/24 }\nzone b { members 10.0.2.0/24 }\n\
                          allow \"hub\" 10.0.1.5 -> 10.0.2.9 websocket\nallow 10.0.1.5 -> 10.0.2.9 modbus\n\
                          deny 10.0.1.6 -> 10.0.2.9\n";

    #[test]
    fn only_what_no_port_tells_may_turn_out_to_be_allowed() {
        let compiled = compile(POLICY, vec![device(1, "hub", &["10.0.1.5"])]);
        let may = |client, port| compiled.may_turn_out_allowed(&tcp(client, "10.0.2.9", port, None));
        assert!(may("10.0.1.5", 9000) && may("10.0.1.5", 502));
        assert!(!may("10.0.1.6", 9000) && !may("10.0.1.7", 502));
    }

    #[test]
    fn zones_are_crossed_only_between_two() {
        let compiled = compile(POLICY, Vec::new());
        let crossed = |client, server| {
            let zones = compiled.crossed_zones(&tcp(client, server, 502, None));
            zones.map(|(from, to)| format!("{from} {to}"))
        };
        assert_eq!(crossed("10.0.1.5", "10.0.2.9").as_deref(), Some("a b"));
        assert_eq!(crossed("10.0.1.5", "10.0.1.9"), None);
        assert_eq!(crossed("10.0.1.5", "10.0.3.9"), None);
    }

    #[test]
    fn a_rule_is_told_by_its_label_or_its_words() {
        let compiled = compile(POLICY, Vec::new());
        let rule = |client, port| compiled.rule_of(&decide(&compiled, client, "10.0.2.9", port));
        assert_eq!(rule("10.0.1.5", 502).as_deref(), Some("allow 10.0.1.5 -> 10.0.2.9 modbus"));
        assert_eq!(rule("10.0.1.6", 502).as_deref(), Some("deny 10.0.1.6 -> 10.0.2.9"));
        assert_eq!(rule("10.0.1.7", 502), None);
    }
}
