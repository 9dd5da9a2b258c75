//! Conversations a page at a time, from the latest back.

use model::{FlowRecord, Timestamp};

use crate::segment::{NotASegment, unpack};

/// A place among the conversations that are kept: before the one with this number in this segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowPlace {
    /// The segment's number.
    pub segment: u64,
    /// How many records of the segment come before the place.
    pub record: u32,
}

/// What part of the conversations is looked through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowScan {
    /// Only those before this place; from the latest on if there is none.
    pub before: Option<FlowPlace>,
    /// Only those that were active at or after this moment.
    pub since: Option<Timestamp>,
    /// Only those that began at or before this moment.
    pub until: Option<Timestamp>,
    /// So many are given at most.
    pub limit: usize,
    /// After so many were looked at the page ends, however few were found. A segment is looked at whole.
    pub look_at: u64,
}

/// Conversations, the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlowPage {
    /// Those that were found.
    pub flows: Vec<FlowRecord>,
    /// Where to go on; nothing if there are no more.
    pub next: Option<FlowPlace>,
    /// How many were looked at.
    pub looked_at: u64,
}

impl FlowScan {
    /// Whether a conversation lies in the time that is asked for.
    fn covers(&self, flow: &FlowRecord) -> bool {
        self.since.is_none_or(|since| flow.last >= since)
            && self.until.is_none_or(|until| flow.first <= until)
    }

    /// The last segment that is looked at.
    pub(crate) fn last_segment(&self) -> u64 {
        // As far as SQLite can count.
        self.before.map_or(i64::MAX as u64, |before| before.segment)
    }

    /// Adds what is found in a segment; whether the page goes on to the segment before.
    pub(crate) fn add(
        &self,
        number: u64,
        segment: &[u8],
        matches: &mut dyn FnMut(&FlowRecord) -> bool,
        page: &mut FlowPage,
    ) -> Result<bool, NotASegment> {
        let end =
            self.before.filter(|before| before.segment == number).map_or(u32::MAX, |before| before.record);
        let mut found = Vec::new();
        let mut record = 0;
        unpack(segment, &mut |flow| {
            if record == end {
                return false;
            }
            if self.covers(&flow) && matches(&flow) {
                found.push((record, flow));
            }
            record += 1;
            true
        })?;
        page.looked_at += u64::from(record);
        for (record, flow) in found.into_iter().rev() {
            if page.flows.len() == self.limit {
                return Ok(false);
            }
            page.next = Some(FlowPlace { segment: number, record });
            page.flows.push(flow);
        }
        if page.flows.len() == self.limit {
            return Ok(false);
        }
        page.next = Some(FlowPlace { segment: number, record: 0 });
        Ok(page.looked_at < self.look_at)
    }
}
