//! The HTTP contract of Pavise.

mod estate;
mod list;
mod problem;

pub use estate::{Estate, Mirror, Notice};
pub use list::{LIMIT_DEFAULT, LIMIT_MAX, ListQuery, Page};
pub use problem::Problem;
