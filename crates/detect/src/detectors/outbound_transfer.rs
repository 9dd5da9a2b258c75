//! Files go out: see [`DETECTOR`].

use model::{OperationKind, Outcome, Severity, What};

use super::services;
use crate::judge::{Alarm, Out, Seen};
use crate::rule::{Detector, Kind, Rule};

/// Finds files that are sent to the Internet in the clear.
pub(super) const DETECTOR: Rule = Rule {
    id: "outbound-transfer",
    title: "Files sent to the Internet",
    severity: Severity::Medium,
    attack: &["T1048", "T1567"],
    finds: "A host of the organisation puts a file on a server in the Internet by FTP, TFTP or SMB, which hide nothing.",
    matters: "Files rarely have to leave a network so, and thieves like it: in 2013 the card numbers of forty million \
              customers of a retailer went to FTP servers elsewhere. What is sent can be read on its way.",
    fix: "Find out who sends what to whom. If it is meant to be, say so with a verdict and move it to an encrypted protocol; \
          if not, block the destination and look at how the files came to that host.",
    thresholds: &[],
    listens: &[Kind::Operation],
    keeps: "nothing",
    start: || Box::new(OutboundTransfer),
};

struct OutboundTransfer;

impl Detector for OutboundTransfer {
    fn observe(&mut self, seen: &Seen<'_>, out: &mut Out<'_>) {
        let What::Operation(operation) = seen.what else { return };
        if operation.kind != OperationKind::TransferFile
            || operation.outcome == Outcome::Refused
            || !services::PUTS.contains(&&*operation.name)
        {
            return;
        }
        let asked = seen.asked(operation);
        let (actor, to) = (&asked.asker.host, &asked.asked.host);
        if seen.site.is_external(actor) || !seen.site.is_external(to) {
            return;
        }
        let alarm = Alarm::about(*actor).to(*to).flow(operation.flow.id);
        out.raise(alarm, || {
            let what = operation.target.as_deref().unwrap_or("a file");
            format!("{actor} put {what} on {to} in the Internet by {}", operation.protocol)
        });
    }
}

#[cfg(test)]
mod tests {
    use model::{OperationKind, Outcome};

    use super::DETECTOR;
    use crate::testing::{On, Story, operation};

    fn transfer(to: &str, name: &'static str, outcome: Outcome) -> model::Operation {
        operation("10.0.0.9", to, "ftp", OperationKind::TransferFile, name, outcome).on("cards.zip")
    }

    #[test]
    fn a_file_that_goes_out_is_found_and_more_to_the_same_server_are_one_finding() {
        let story = Story::of(&DETECTOR).with_host("10.0.0.9");
        let story = story.asks(transfer("198.51.100.9", "stor", Outcome::Done));
        let story = story.asks(transfer("198.51.100.9", "stor", Outcome::Done));
        let finding = story.only();
        assert_eq!(finding.count, 2);
        assert_eq!(&*finding.summary, "10.0.0.9 put cards.zip on 198.51.100.9 in the Internet by ftp");
    }

    #[test]
    fn what_comes_in_what_stays_and_what_was_refused_is_not() {
        Story::of(&DETECTOR)
            .with_host("10.0.0.9")
            .asks(transfer("198.51.100.9", "retr", Outcome::Done))
            .asks(transfer("10.0.0.8", "stor", Outcome::Done))
            .asks(transfer("198.51.100.9", "stor", Outcome::Refused))
            .silent();
    }
}
