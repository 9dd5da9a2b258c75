//! What people have said is not to be, counted by kind: what `policy-violation` and `mud-deviation` share.

use model::{Denied, Ground, Host, Severity, Timestamp};

use crate::hosts::{Addr, PerHost, Who, digest_of};
use crate::judge::{Alarm, Out, Seen};
use crate::rule::Threshold;

/// So many kinds of what is denied of a host are findings of their own; all others are one.
pub(super) const NAMED: usize = 16;
/// The matter of what is told together.
const MORE: &str = "more";
/// A matter has at most so many characters: rules can be long.
const MAX_MATTER: usize = 120;

pub(super) const TIMES: Threshold = Threshold {
    name: "times",
    about: "so often it was done, by one host to another, before it is told",
    unit: "times",
    usual: 1.0,
};
pub(super) const IN_VAIN: Threshold = Threshold {
    name: "in-vain",
    about: "so often it was tried without an answer, with whomever, where only no rule allows it, before it is told",
    unit: "times",
    // As many as host-scan lets pass.
    usual: 12.0,
};
/// Their places in the descriptors of both detectors.
const TIMES_AT: usize = 0;
const IN_VAIN_AT: usize = 1;

/// One kind of what is denied of a host.
#[derive(Debug)]
struct Kind {
    digest: u64,
    times: u64,
    since: Timestamp,
    is_told: bool,
}

/// What is denied of each host.
#[derive(Debug, Default)]
pub(super) struct Denials {
    kinds: PerHost<Vec<Kind>>,
}

impl Denials {
    pub(super) fn forget(&mut self, who: Who) {
        self.kinds.forget(who);
    }

    /// Counts, and raises what was seen often enough. `says` tells what happened, in one sentence.
    pub(super) fn take(
        &mut self,
        denied: &Denied,
        severity: Severity,
        seen: &Seen<'_>,
        out: &mut Out<'_>,
        says: impl FnOnce() -> String,
    ) {
        let (client, server) = (&denied.flow.client.host, &denied.flow.server.host);
        // Strangers come by the thousand: what they do is counted at whom they do it to.
        let is_stranger = seen.site.is_external(client);
        let (who, whose) = if is_stranger { (seen.server, server) } else { (seen.client, client) };
        if !who.is_somebody() {
            return;
        }
        let matter = matter(denied);
        let address = |host: &Host| Addr::of(host).map_or([0; 16], Addr::bytes);
        // Whoever looks for somebody tries many: where it comes to nothing, it does not matter with whom.
        let is_attempt = denied.ground == Ground::Unlisted && !denied.answered;
        if is_attempt && is_stranger {
            // The Internet tries everybody, always; who is within its reach `exposed-address` tells.
            return;
        }
        let ends = if is_attempt { [[0; 16]; 2] } else { [address(client), address(server)] };
        let digest = digest_of(&[matter.as_bytes(), &ends[0], &ends[1]]);
        let kinds = self.kinds.of(who);
        if !kinds.iter().any(|kind| kind.digest == digest) {
            if kinds.len() >= NAMED
                && let Some(untold) = kinds.iter().position(|kind| !kind.is_told)
            {
                kinds.remove(untold);
            }
            if kinds.len() < NAMED {
                kinds.push(Kind { digest, times: 0, since: denied.since, is_told: false });
            } else if is_attempt {
                return;
            }
        }
        let kind = kinds.iter_mut().find(|kind| kind.digest == digest);
        let threshold = if is_attempt { IN_VAIN_AT } else { TIMES_AT };
        let alarm = Alarm::about(*whose).flow(denied.flow.id).severity(severity).factor(
            "decision",
            &denied.why,
            "allowed",
        );
        let alarm = match &denied.zones {
            Some(zones) => alarm.factor("zones", zones, "one zone"),
            None => alarm,
        };
        let Some(kind) = kind else {
            let alarm = alarm.matter(MORE).since(denied.since).times(denied.times);
            let text = || format!("{whose} has a part in more that is not allowed than is told one by one");
            out.raise(alarm, text);
            return;
        };
        let limit = out.limit(threshold, whose);
        let was_told = kind.is_told;
        kind.times = kind.times.saturating_add(denied.times);
        if (kind.times as f64) < limit {
            return;
        }
        kind.is_told = true;
        let (since, times) = if was_told { (denied.since, denied.times) } else { (kind.since, kind.times) };
        let alarm = if is_attempt { alarm } else { Alarm { actor: *client, ..alarm }.to(*server) };
        let alarm = alarm.matter(&matter).since(since).times(times);
        out.raise(alarm.crossed(threshold, kind.times as f64), says);
    }
}

/// What tells it from other findings about the same two: the rule that denies it, or by what they talk.
fn matter(denied: &Denied) -> String {
    let text = match denied.ground {
        Ground::Rule if !denied.rule.is_empty() => &denied.rule,
        _ => &denied.service,
    };
    match text.char_indices().nth(MAX_MATTER) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
