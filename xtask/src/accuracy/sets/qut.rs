//! What the two sets of the Queensland University of Technology share: a log of attack scripts, each
//! with the local time of its start and of its end.

use std::collections::BTreeSet;
use std::path::Path;

use crate::accuracy::label::{Attack, Name, Span, moment};
use crate::accuracy::pcap::Capture;
use crate::accuracy::trial::Trial;
use crate::run::Failure;

/// Brisbane is ten hours before UTC all the year.
const ZONE: &str = "+10:00";

/// The attacks of a log. Its lines are `2016-12-15 17:26:09.303479 KIND [HOST…] START`, and the same with
/// `END`; `hosts` are those that the log leaves out.
pub(crate) fn read_log(log: &str, hosts: &[&str]) -> Result<Vec<Attack>, Failure> {
    let known: BTreeSet<Name> = hosts.iter().filter_map(|host| Name::read(host)).collect();
    let mut open: Vec<(String, Attack)> = Vec::new();
    let mut attacks = Vec::new();
    for line in log.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let &[date, time, kind, ref named @ .., mark] = &words[..] else {
            return Err(Failure(format!("a line of the log is not understood: {line}")));
        };
        let at = moment(&format!("{date}T{time}{ZONE}"))?;
        let script = format!("{kind} {}", named.join(" "));
        let running = open.iter().position(|(name, _)| *name == script);
        match (mark, running) {
            ("START", None) => {
                let named = named.iter().filter_map(|host| Name::read(host));
                let hosts = known.iter().copied().chain(named).collect();
                open.push((script, Attack { kind: kind.to_owned(), span: Span::at(at), hosts }));
            }
            ("END", Some(running)) => {
                let (_, mut attack) = open.swap_remove(running);
                attack.span.last = attack.span.last.max(at);
                attacks.push(attack);
            }
            _ => return Err(Failure(format!("the log starts or ends something twice: {line}"))),
        }
    }
    if open.is_empty() { Ok(attacks) } else { Err(Failure("the log ends within an attack".into())) }
}

/// Puts a clean capture before what a trial watches, moved by whole days if it is later.
pub(crate) fn learn_from(
    trial: &mut Trial,
    mut capture: Capture,
    folder: &Path,
    name: &str,
) -> Result<(), Failure> {
    if let Some(begin) = trial.watched.iter().map(|span| span.first).min() {
        capture.end_before(begin);
    }
    let path = folder.join(name);
    std::fs::write(&path, capture.bytes())?;
    trial.watched.extend(capture.span());
    trial.clean.push(path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2016-08-12 11:23:00.8 nmap START\n2016-08-12 11:23:03.5 nmap END\n\
        2016-08-12 14:06:51 push 10.0.0.2 10.0.0.1 START\n2016-08-12 14:07:12 push 10.0.0.2 10.0.0.1 END\n";

    #[test]
    fn a_log_tells_attacks_in_local_time_with_the_hosts_it_names() {
        let attacks = read_log(LOG, &["10.0.0.66"]).map_err(|failure| failure.0).unwrap();
        assert_eq!(attacks.len(), 2);
        assert_eq!(attacks[0].span.first, moment("2016-08-12T01:23:00.8Z").unwrap());
        assert_eq!((attacks[0].kind.as_str(), attacks[0].hosts.len()), ("nmap", 1));
        assert_eq!(attacks[1].span.last, moment("2016-08-12T04:07:12Z").unwrap());
        assert_eq!(attacks[1].hosts.len(), 3);
    }

    #[test]
    fn a_log_that_does_not_add_up_is_refused() {
        let lines: Vec<&str> = LOG.lines().collect();
        for wrong in [lines[0].to_owned(), lines[1].to_owned(), [lines[0], lines[0]].join("\n"), "x".into()] {
            assert!(read_log(&wrong, &[]).is_err(), "{wrong}");
        }
        assert!(read_log("", &[]).map_err(|failure| failure.0).unwrap().is_empty());
    }
}
