//! The sources from outside: every real capture, every kind of damage, folders, pipes and interfaces.

mod corpus;
mod files;
mod folders;
mod help;
mod live;
mod pipes;
mod properties;
mod writing;
