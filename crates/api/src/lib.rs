//! The HTTP contract of Pavise: what can be asked and changed, by whom, and what is told as it happens.
//!
//! The state is read as others write it: [`Mirror`] follows it, and what is asked is answered from a picture that does not change
//! ([`Estate`]). Who asks is known by a session or a token (crate `account`), what he may do is decided by policies in Cedar (crate
//! `trust`), and what he does is written down before it is said to be done (`store::AuditLog`).
//!
//! The contract is made from the code that serves it ([`openapi`]) and checked in as `docs/openapi.json`.

mod app;
mod caller;
mod console;
mod estate;
mod http;
mod limits;
mod list;
mod problem;
mod routes;
mod server;
mod view;

pub use app::{App, NOTICES_WAITING, Peer, Settings};
pub use caller::{CSRF, READ};
pub use console::has_console;
pub use estate::{Estate, Mirror, Notice};
pub use http::{BASE, BODY_MAX, TIME_MAX, URI_MAX, openapi, router};
pub use limits::{ASKING_MAX, BURST, PER_SECOND};
pub use list::{LIMIT_DEFAULT, LIMIT_MAX, ListQuery, Page};
pub use problem::Problem;
pub use server::{CONNECTIONS_MAX, HANDSHAKE_MAX, HEADERS_MAX, ServeError, Tls, serve};
pub use view::{
    DeviceRow, DeviceView, FindingRow, FindingView, FlowView, IncidentRow, IncidentView, Level, Trust,
};
