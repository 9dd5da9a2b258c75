//! One attack on many gives few findings.

/// So many victims of one actor get a finding each.
const NAMED: usize = 4;

/// The victims of an actor that get a finding each; what is done to others is counted in one without a victim.
#[derive(Debug, Default)]
pub(super) struct Few {
    named: Vec<u32>,
}

impl Few {
    /// Whether what is done to the victim with this digest is a finding of its own.
    pub(super) fn names(&mut self, digest: u32) -> bool {
        if self.named.contains(&digest) {
            return true;
        }
        let has_room = self.named.len() < NAMED;
        if has_room {
            self.named.push(digest);
        }
        has_room
    }
}
