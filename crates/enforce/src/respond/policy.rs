//! Which incident gets which response.

use std::collections::BTreeSet;
use std::time::Duration;

use model::Severity;
use serde::Deserialize;
use toml::Spanned;

use crate::respond::{LIFE_MAX, LIFE_MIN};

/// Most rules of a policy.
pub const RULES_MAX: usize = 1_000;

/// What kind of action is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Nothing is done.
    None,
    /// Tell people.
    Notify,
    /// [`super::Action::Contain`].
    Contain,
    /// [`super::Action::Quarantine`].
    Quarantine,
    /// [`super::Action::RateLimit`].
    RateLimit,
    /// [`super::Action::BlockDestination`].
    BlockDestination,
    /// [`super::Action::KillSession`].
    KillSession,
    /// [`super::Action::RevokeCredential`].
    RevokeCredential,
}

/// What is chosen for an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// By which rule.
    pub rule: String,
    /// What is done.
    pub choice: Choice,
}

/// What is done, whether a person is asked first, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What is done.
    pub kind: Kind,
    /// Whether a person is asked first.
    pub ask: bool,
    /// For how long it is done; a question is open for as long.
    pub life: Duration,
    /// For [`Kind::RateLimit`]: packets in a second that pass.
    pub packets_per_s: u32,
}

/// Rules in order: the first one that matches decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponsePolicy {
    /// Zones in which physical processes are controlled: by default nothing is cut there without a person.
    pub industrial: BTreeSet<String>,
    /// The rules.
    pub rules: Vec<ResponseRule>,
}

/// What is done about which incidents. What is not given does not restrict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseRule {
    /// Its name.
    pub name: String,
    /// For incidents at least this bad.
    pub severity: Severity,
    /// For incidents that have come to one of these tactics of MITRE ATT&CK; empty for all.
    pub stages: BTreeSet<String>,
    /// For incidents in which one of these detectors found something; empty for all.
    pub detectors: BTreeSet<String>,
    /// For incidents in one of these zones; empty for all.
    pub zones: BTreeSet<String>,
    /// For incidents in industrial zones only, or outside of them only.
    pub industrial: Option<bool>,
    /// What is done.
    pub choice: Choice,
}

/// Why a policy cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}, line {line}: {reason}")]
pub struct PolicyError {
    /// Which file.
    pub path: String,
    /// Which line, counted from 1.
    pub line: usize,
    /// Why, and what is expected.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    industrial: BTreeSet<String>,
    #[serde(default)]
    rule: Vec<Spanned<RuleText>>,
}

/// The same within a file that holds other things, too.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    industrial: BTreeSet<String>,
    #[serde(default)]
    rule: Vec<Spanned<RuleText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    name: Spanned<String>,
    severity: Option<Severity>,
    #[serde(default)]
    stages: BTreeSet<String>,
    #[serde(default)]
    detectors: BTreeSet<String>,
    #[serde(default)]
    zones: BTreeSet<String>,
    industrial: Option<bool>,
    action: Kind,
    #[serde(default)]
    ask: bool,
    life: Option<Spanned<String>>,
    packets_per_s: Option<Spanned<u32>>,
}

/// For how long an action holds if nothing else is said.
const LIFE: Duration = Duration::from_secs(3_600);

impl Default for ResponsePolicy {
    /// In industrial zones a person is asked before anything is cut: what stops there may be what keeps people safe (IEC
    /// 62443-3-3, SR 5.2 and 7.1). Elsewhere a likely attack is contained for an hour. People are told of what is less.
    fn default() -> Self {
        let rule = |name: &str, severity, industrial, kind, ask| ResponseRule {
            name: name.into(),
            severity,
            stages: BTreeSet::new(),
            detectors: BTreeSet::new(),
            zones: BTreeSet::new(),
            industrial,
            choice: Choice { kind, ask, life: LIFE, packets_per_s: 0 },
        };
        Self {
            industrial: BTreeSet::new(),
            rules: vec![
                rule("industrial", Severity::High, Some(true), Kind::Contain, true),
                rule("elsewhere", Severity::High, Some(false), Kind::Contain, false),
                rule("less", Severity::Medium, None, Kind::Notify, false),
            ],
        }
    }
}

impl ResponsePolicy {
    /// Reads a policy from TOML; `path` is told in errors. Without rules of its own it has those of the default.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its line.
    pub fn parse(path: &str, text: &str) -> Result<Self, PolicyError> {
        Self::read(path, text, |text| toml::from_str(text))
    }

    /// The same of a file that holds other things, too, which are left to their own reader.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its line.
    pub fn parse_part(path: &str, text: &str) -> Result<Self, PolicyError> {
        let part =
            |text: &str| toml::from_str(text).map(|Part { industrial, rule }| Text { industrial, rule });
        Self::read(path, text, part)
    }

    fn read(
        path: &str,
        text: &str,
        take: impl Fn(&str) -> Result<Text, toml::de::Error>,
    ) -> Result<Self, PolicyError> {
        let wrong = |at: usize, reason: String| PolicyError {
            path: path.into(),
            line: 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count(),
            reason,
        };
        let read: Text = take(text)
            .map_err(|error| wrong(error.span().map_or(0, |span| span.start), error.message().into()))?;
        if let Some(beyond) = read.rule.get(RULES_MAX) {
            return Err(wrong(beyond.span().start, format!("more than {RULES_MAX} rules: merge some")));
        }
        let mut policy = Self { industrial: read.industrial, rules: Vec::new() };
        for rule in read.rule {
            let begin = rule.span().start;
            let rule = rule.into_inner();
            let name = rule.name.get_ref().clone();
            if policy.rules.iter().any(|other| other.name == name) {
                return Err(wrong(
                    rule.name.span().start,
                    format!("there are two rules {name:?}: rename one"),
                ));
            }
            let life = match &rule.life {
                Some(life) => duration(life.get_ref()).map_err(|reason| wrong(life.span().start, reason))?,
                None => LIFE,
            };
            let packets_per_s = match (&rule.packets_per_s, rule.action) {
                (Some(rate), Kind::RateLimit) if *rate.get_ref() > 0 => *rate.get_ref(),
                (Some(rate), Kind::RateLimit) => {
                    return Err(wrong(
                        rate.span().start,
                        "a rate of 0 passes nothing: use quarantine".into(),
                    ));
                }
                (None, Kind::RateLimit) => {
                    return Err(wrong(
                        begin,
                        format!("rule {name:?} limits a rate: say which by packets_per_s"),
                    ));
                }
                (Some(rate), _) => {
                    return Err(wrong(
                        rate.span().start,
                        "packets_per_s is for the action rate-limit only".into(),
                    ));
                }
                (None, _) => 0,
            };
            if rule.ask && matches!(rule.action, Kind::None | Kind::Notify) {
                return Err(wrong(begin, format!("rule {name:?} cuts nothing: take out ask")));
            }
            policy.rules.push(ResponseRule {
                name,
                severity: rule.severity.unwrap_or(Severity::Info),
                stages: rule.stages,
                detectors: rule.detectors,
                zones: rule.zones,
                industrial: rule.industrial,
                choice: Choice { kind: rule.action, ask: rule.ask, life, packets_per_s },
            });
        }
        if policy.rules.is_empty() {
            policy.rules = Self::default().rules;
        }
        Ok(policy)
    }

    /// What is done about an incident: how bad it is, to which tactic it has come, who found its findings, and in which zones its
    /// parties are. An incident that touches an industrial zone is one of an industrial zone. `None` if no rule matches.
    pub fn decide(
        &self,
        severity: Severity,
        stage: &str,
        detectors: &[&str],
        zones: &[&str],
    ) -> Option<Decision> {
        let any = |wanted: &BTreeSet<String>, have: &[&str]| {
            wanted.is_empty() || have.iter().any(|have| wanted.contains(*have))
        };
        let industrial = zones.iter().any(|zone| self.industrial.contains(*zone));
        let rule = self.rules.iter().find(|rule| {
            severity >= rule.severity
                && any(&rule.stages, &[stage])
                && any(&rule.detectors, detectors)
                && any(&rule.zones, zones)
                && rule.industrial.is_none_or(|wanted| wanted == industrial)
        })?;
        Some(Decision { rule: rule.name.clone(), choice: rule.choice })
    }
}

/// A time such as `90s`, `15m`, `1h` or `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time: expected 90s, 15m, 1h or 7d, from 1s to 30d");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let life = Duration::from_secs(number.checked_mul(seconds).ok_or_else(wrong)?);
    if (LIFE_MIN..=LIFE_MAX).contains(&life) { Ok(life) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_industrial_zones_ask_and_others_contain() {
        let policy = ResponsePolicy::parse("p.toml", "industrial = [\"cell\"]").unwrap();
        let of = |severity, zones: &[&str]| {
            policy
                .decide(severity, "impact", &["port-scan"], zones)
                .map(|decision| (decision.choice.kind, decision.choice.ask))
        };
        assert_eq!(of(Severity::Critical, &["cell"]), Some((Kind::Contain, true)));
        assert_eq!(of(Severity::High, &["office", "cell"]), Some((Kind::Contain, true)));
        assert_eq!(of(Severity::High, &["office"]), Some((Kind::Contain, false)));
        assert_eq!(of(Severity::High, &[]), Some((Kind::Contain, false)));
        assert_eq!(of(Severity::Medium, &["cell"]), Some((Kind::Notify, false)));
        assert_eq!(of(Severity::Low, &["office"]), None);
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = ResponsePolicy::parse(
            "p.toml",
            r#"
industrial = ["cell"]
[[rule]]
name = "scanners"
detectors = ["port-scan"]
stages = ["discovery"]
zones = ["guests"]
action = "rate-limit"
packets_per_s = 50
life = "15m"
[[rule]]
name = "rest"
severity = "critical"
industrial = false
action = "quarantine"
ask = true
"#,
        )
        .unwrap();
        let decision = policy.decide(Severity::Low, "discovery", &["x", "port-scan"], &["guests"]).unwrap();
        let choice =
            Choice { kind: Kind::RateLimit, ask: false, life: Duration::from_secs(900), packets_per_s: 50 };
        assert_eq!(decision, Decision { rule: "scanners".into(), choice });
        assert_eq!(policy.decide(Severity::Low, "impact", &["port-scan"], &["guests"]), None);
        assert_eq!(policy.decide(Severity::Critical, "impact", &[], &[]).unwrap().rule, "rest");
        assert_eq!(policy.decide(Severity::Critical, "impact", &[], &["cell"]), None);
    }

    #[test]
    fn within_a_file_of_other_things_only_the_policy_is_read() {
        let text = "mode = \"observe\"\nindustrial = [\"cell\"]\n[tell]\nfile = \"x\"";
        let policy = ResponsePolicy::parse_part("p.toml", text).unwrap();
        assert_eq!(policy, ResponsePolicy::parse("p.toml", "industrial = [\"cell\"]").unwrap());
        assert!(
            ResponsePolicy::parse("p.toml", text).unwrap_err().to_string().contains("line 1: unknown field")
        );
        let wrong = ResponsePolicy::parse_part("p.toml", "mode = 3\nindustrial = 3").unwrap_err();
        assert!(wrong.to_string().starts_with("p.toml, line 2: "), "{wrong}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let of = |text: &str| ResponsePolicy::parse("p.toml", text).unwrap_err().to_string();
        let rule = |more: &str| format!("[[rule]]\nname = \"a\"\naction = \"contain\"\n{more}\n");
        assert!(of("industrial = 3").starts_with("p.toml, line 1: "));
        assert!(of(&rule("life = \"soon\"")).starts_with("p.toml, line 4: \"soon\" is no time"));
        assert!(of(&rule("life = \"31d\"")).contains("to 30d"));
        assert!(of(&rule("colour = \"red\"")).starts_with("p.toml, line 4: unknown field"));
        assert!(of(&rule("packets_per_s = 5")).contains("line 4: packets_per_s is for"));
        assert!(of("[[rule]]\nname = \"a\"\naction = \"explode\"").contains("line 3: unknown variant"));
        assert!(
            of("\n[[rule]]\nname = \"a\"\naction = \"rate-limit\"").contains("say which by packets_per_s")
        );
        assert!(of("[[rule]]\nname = \"a\"\naction = \"notify\"\nask = true").contains("take out ask"));
        assert!(of(&(rule("") + &rule(""))).starts_with("p.toml, line 6: there are two rules"));
        let many: String = (0..=RULES_MAX)
            .map(|number| format!("[[rule]]\nname = \"{number}\"\naction = \"none\"\n"))
            .collect();
        assert!(of(&many).contains("more than 1000 rules"));
    }
}
