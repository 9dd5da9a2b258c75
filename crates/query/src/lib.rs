//! The one small language in which devices, findings, incidents and conversations are selected, for policies and for whoever
//! searches:
//!
//! ```text
//! vendor:siemens and role:plc and seen>24h
//! ip:10.1.0.0/16 not (camera or name:"front door*")
//! ```
//!
//! * `field:value`: one of the field's values is the value, in upper or lower case; `*` stands for anything. Where
//!   the field holds addresses, the value may be a network (RFC 4632).
//! * `field=value`, `field!=value`: one of the values, or none, is exactly the value.
//! * `field>value`, `>=`, `<`, `<=`: numbers, sizes (`10MB`, `4KiB`), ages (`24h`, `7d`), and versions in fields of text
//!   (`firmware<2.4`).
//! * a word alone: it stands somewhere in one of the values.
//! * `and`, `or`, `not`, parentheses; what stands side by side is joined by `and`. `not` binds strongest, `or` weakest.
//! * Text in quotation marks is taken as it stands, but for `*`; `\"`, `\\` and `\*` stand for the characters themselves.
//!
//! An expression is read against a list of fields ([`Field`]), so that a misspelt one is refused rather than never
//! matched, and evaluated against anything that has [`Fields`]. This crate does no input or output and reads no clock: the
//! age of things is told from a moment that is given.

mod device;
mod error;
mod expr;
mod finding;
mod flow;
mod network;
mod parse;
mod pattern;

pub use device::DEVICE;
pub use error::{Error, Span, nearest};
pub use expr::{Datum, Expr, Field, Fields, Kind, Op, Term, Value};
pub use finding::{FINDING, INCIDENT};
pub use flow::FLOW;
pub use network::{Network, NetworkError};
pub use parse::{MAX_DEPTH, MAX_LENGTH, is_plain, parse};
pub use pattern::Pattern;
