//! How far a device is trusted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a device may do in the network, the most first: what the policy engine of NIST SP 800-207 (section 3.3) comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// All that the policy allows.
    #[default]
    Full,
    /// What it needs for its task, and nothing that would harm others if it were taken over.
    Limited,
    /// Nothing but what is needed to look at it and to mend it.
    Quarantine,
}

impl Access {
    /// All, the most first.
    pub const ALL: [Self; 3] = [Self::Full, Self::Limited, Self::Quarantine];

    /// Whether it is all that the policy allows.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Full)
    }

    /// The name as it stands in JSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Limited => "limited",
            Self::Quarantine => "quarantine",
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
