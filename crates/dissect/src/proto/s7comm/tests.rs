use model::Side::{Client, Server};
use proptest::prelude::*;

use super::*;
use crate::testing::{converse, survives};
