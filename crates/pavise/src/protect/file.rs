//! The file that says how to respond.

use std::fs;
use std::path::{Path, PathBuf};

use enforce::respond::{ACTIONS_PER_HOUR, Kind, ResponsePolicy};
use enforce::{Address, Family, Mode};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tell::{Endpoint, Poster, Tell, Text as TellText};
use toml::Spanned;

use super::revoke;
use super::rules::Kept;
use super::telling;
use crate::output::Problem;

/// How to respond.
pub(crate) struct Protection {
    pub(crate) family: Family,
    /// Whether what is chosen is done, or only told.
    pub(crate) is_real: bool,
    pub(crate) guard: Vec<Address>,
    pub(crate) per_hour: usize,
    pub(crate) policy: ResponsePolicy,
    pub(crate) tell: Tell,
    /// Who revokes credentials.
    pub(crate) revoke: Option<Poster>,
    /// The policy that is kept in force, if one is.
    pub(crate) kept: Option<Kept>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    family: Family,
    #[serde(default)]
    mode: Mode,
    policy: Option<PathBuf>,
    /// As `mode`, unless given.
    policy_mode: Option<Mode>,
    #[serde(default)]
    guard: Vec<Address>,
    #[serde(default = "per_hour")]
    per_hour: Spanned<usize>,
    tell: Option<Spanned<TellText>>,
    revoke: Option<Spanned<Endpoint>>,
    // These are the policy's.
    #[serde(default, rename = "industrial")]
    _industrial: IgnoredAny,
    #[serde(default, rename = "rule")]
    _rule: IgnoredAny,
}

fn per_hour() -> Spanned<usize> {
    Spanned::new(0..0, ACTIONS_PER_HOUR)
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Protection, Problem> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        Problem::Other(format!("cannot read {name}: {error}; name another file with --protect"))
    })?;
    parse(&name, &text).map_err(|why| Problem::Other(format!("{why}; docs/protect.toml is an example")))
}

fn parse(name: &str, text: &str) -> Result<Protection, String> {
    let wrong = |at: usize, why: &str| {
        let line = 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        format!("{name}, line {line}: {why}")
    };
    let read: Text = toml::from_str(text)
        .map_err(|error| wrong(error.span().map_or(0, |span| span.start), error.message()))?;
    let policy = ResponsePolicy::parse_part(name, text).map_err(|error| error.to_string())?;
    let revoke = match &read.revoke {
        Some(endpoint) => {
            Some(revoke::open(endpoint.get_ref()).map_err(|why| wrong(endpoint.span().start, &why))?)
        }
        None => None,
    };
    let revokes = policy.rules.iter().find(|rule| rule.choice.kind == Kind::RevokeCredential);
    if let Some(rule) = revokes.filter(|_| revoke.is_none()) {
        return Err(format!(
            "{name}: rule {:?} revokes credentials, and nobody who issues them is named: say whom to ask by [revoke] with \
             url = \"https://...\", or let the rule ask or notify",
            rule.name
        ));
    }
    if *read.per_hour.get_ref() == 0 {
        return Err(wrong(
            read.per_hour.span().start,
            "per_hour = 0 allows no action: take it out, or use mode = \"observe\"",
        ));
    }
    let tell = match read.tell {
        Some(tell) => {
            tell.get_ref().open(telling::techniques).map_err(|why| wrong(tell.span().start, &why))?
        }
        None => Tell::default(),
    };
    Ok(Protection {
        family: read.family,
        is_real: matches!(read.mode, Mode::Enforce),
        guard: read.guard,
        per_hour: *read.per_hour.get_ref(),
        policy,
        tell,
        revoke,
        kept: read.policy.map(|file| Kept { file, mode: read.policy_mode.unwrap_or(read.mode) }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_read_and_without_a_mode_nothing_is_done() {
        let path = testkit::workspace().join("docs/protect.toml");
        let read = read(&path).unwrap();
        assert_eq!(read.family, Family::Bridged);
        assert!(!read.is_real && !read.guard.is_empty() && !read.policy.rules.is_empty());
        let least = parse("p.toml", "family = \"routed\"").unwrap();
        assert!(!least.is_real && least.guard.is_empty());
        assert_eq!((least.policy, least.per_hour), (ResponsePolicy::default(), ACTIONS_PER_HOUR));
        assert!(parse("p.toml", "family = \"routed\"\nmode = \"enforce\"").unwrap().is_real);
        for (more, mode) in [("", Mode::Enforce), ("policy_mode = \"observe\"", Mode::Observe)] {
            let text = format!("family = \"routed\"\nmode = \"enforce\"\npolicy = \"p.policy\"\n{more}");
            let kept = Some(Kept { file: "p.policy".into(), mode });
            assert_eq!(parse("p.toml", &text).unwrap().kept, kept);
        }
    }

    #[test]
    fn what_the_documentation_says_is_read() {
        for (name, number) in [("enforcement.md", 1), ("tell.md", 1)] {
            let text = fs::read_to_string(testkit::workspace().join("docs").join(name)).unwrap();
            let blocks = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
            let told: Vec<_> =
                blocks.filter(|block| block.contains("[tell") || block.contains("[revoke]")).collect();
            assert_eq!(told.len(), number, "{name}");
            for block in told {
                let read: Text = toml::from_str(&format!("family = \"routed\"\n{block}")).unwrap();
                assert!(read.tell.is_some() || read.revoke.is_some());
            }
        }
        // What stands in the example as a comment can be used as it stands.
        let text = fs::read_to_string(testkit::workspace().join("docs/protect.toml")).unwrap();
        let given = ["# eve =", "# otlp =", "# severity =", "# keep-"];
        let mut count = 0;
        let lines = text.lines().map(|line| match line.strip_prefix("# ") {
            Some(rest) if given.iter().any(|begin| line.starts_with(begin)) => {
                count += 1;
                rest
            }
            _ => line,
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        assert_eq!(count, 6);
        assert_eq!(parse("p.toml", &text).unwrap().tell.receivers.len(), 6);
    }

    #[test]
    fn credentials_are_revoked_where_it_is_named_who_does_so() {
        let authority = testkit::tls::Authority::new();
        let text = format!(
            "family = \"routed\"\n[revoke]\nurl = \"https://ca.plant.example/revoke\"\nca = \"{}\"\n[[rule]]\nname = \"a\"\n\
             action = \"revoke-credential\"",
            authority.text("ca.pem")
        );
        let read = parse("p.toml", &text).unwrap();
        assert_eq!(read.revoke.unwrap().name(), "https://ca.plant.example");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let of = |text: &str| parse("p.toml", text).err().unwrap();
        assert!(of("mode = \"observe\"").contains("missing field `family`"));
        assert!(of("family = \"routed\"\nmode = \"maybe\"").starts_with("p.toml, line 2: unknown variant"));
        assert!(of("family = \"routed\"\nguard = [\"nobody\"]").starts_with("p.toml, line 2: "));
        assert!(of("family = \"routed\"\n\ncolour = 1").starts_with("p.toml, line 3: unknown field"));
        assert!(of("family = \"routed\"\nper_hour = 0").starts_with("p.toml, line 2: per_hour = 0"));
        let rule = "family = \"routed\"\n[[rule]]\nname = \"a\"\naction = ";
        assert!(of(&format!("{rule}\"explode\"")).starts_with("p.toml, line 4: unknown variant"));
        assert!(of(&format!("{rule}\"revoke-credential\"")).contains("rule \"a\" revokes credentials"));
        let tell = "family = \"routed\"\n[tell]\n";
        assert!(of(&format!("{tell}syslog = \"a:514\"")).starts_with("p.toml, line 2: tell.syslog.url"));
        assert!(of(&format!("{tell}pager = 1")).starts_with("p.toml, line 3: unknown field `pager`"));
        let unknown = of(&format!("{tell}[tell.eve]\nfile = \"x\"\ncolour = 1"));
        assert!(unknown.starts_with("p.toml, line 5: unknown field `colour`"), "{unknown}");
        let severity = of(&format!("{tell}severity = \"loud\""));
        assert!(severity.starts_with("p.toml, line 3: unknown variant `loud`"), "{severity}");
        assert!(of(&format!("{tell}keep-days = 0")).starts_with("p.toml, line 2: tell.keep-days = 0"));
        let missing = of(&format!("{tell}[tell.webhook]\nurl = \"https://a/\"\nsecret-file = \"none\""));
        assert!(missing.contains("tell.webhook.secret-file = \"none\": cannot read it"), "{missing}");
        let revoke = format!("{rule}\"revoke-credential\"\n[revoke]\n");
        assert!(of(&format!("{revoke}url = \"http://127.0.0.1/\"")).contains("revoke.url: "));
        assert!(
            of(&format!("{revoke}url = \"https://a/\"\nca = \"none\""))
                .contains("revoke.ca = \"none\": cannot")
        );
        assert!(of(&format!("{revoke}URL = 1")).contains("unknown field `URL`"));
    }
}
