//! Lists: filtered, sorted, a page at a time, with the fields that are wanted.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use model::Timestamp;
use query::{Expr, Field, Fields};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::problem::Problem;

/// So many things are on a page unless more or fewer are asked for.
pub const LIMIT_DEFAULT: usize = 50;
/// So many things are on a page at most.
pub const LIMIT_MAX: usize = 500;
/// A cursor is at most so long, in bytes.
const CURSOR_MAX: usize = 2_048;

/// What is asked of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// An expression: `vendor:siemens and role:plc and seen>24h`. Fields are listed at `/api/v1/fields`. Ages are told from the
    /// latest packet.
    #[param(max_length = 4096, example = "role:plc and seen<24h")]
    pub filter: Option<String>,
    /// By what it is sorted; `-` before it turns the order round.
    #[param(max_length = 64, example = "-seen")]
    pub sort: Option<String>,
    /// The fields that are wanted, separated by commas; all unless given. The page is then of the type
    /// `application/vnd.pavise.selection+json`.
    #[param(max_length = 1024, example = "id,name")]
    pub fields: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500, default = 50)]
    pub limit: Option<usize>,
    /// Where to go on: `next` of the page before, which was asked for with the same filter and order.
    #[param(max_length = 2048)]
    pub cursor: Option<String>,
}

/// The type of a page on which only the fields stand that were wanted.
pub(crate) const SELECTED: &str = "application/vnd.pavise.selection+json";

/// Of something on a page, the fields that were wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(value_type = Object)]
pub(crate) struct Selection(Value);

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where to go on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
    /// How many there are on all pages.
    pub total: u64,
    /// The time of the latest packet: the list is as of then.
    #[schema(value_type = String, format = DateTime)]
    pub as_of: Timestamp,
}

/// By what something is sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key<'a> {
    Number(u64),
    Text(&'a str),
}

/// An order of things, by its name.
pub(crate) struct Order<T> {
    pub(crate) name: &'static str,
    pub(crate) key: for<'a> fn(&'a T) -> Key<'a>,
}

impl<T> Order<T> {
    pub(crate) const fn by(name: &'static str, key: for<'a> fn(&'a T) -> Key<'a>) -> Self {
        Self { name, key }
    }
}

/// Where a page ends: the last key and id on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// What it is a cursor of: the order, and the filter.
    of: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    text: Option<String>,
    id: u64,
}

/// Writes a place as a cursor.
pub(crate) fn encode(place: &impl Serialize) -> String {
    // Plain structures of numbers and text can always be written.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(place).unwrap_or_default())
}

/// Reads a place from a cursor.
pub(crate) fn decode<T: DeserializeOwned>(cursor: &str) -> Result<T, Problem> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(Some(cursor).filter(|cursor| cursor.len() <= CURSOR_MAX)?).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    read().ok_or_else(|| {
        Problem::parameter("this is no cursor of ours: take `next` of the page before, or leave it out")
            .at("cursor")
    })
}

impl ListQuery {
    /// How many things are asked for.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        match self.limit {
            None => Ok(LIMIT_DEFAULT),
            Some(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            Some(limit) => {
                Err(Problem::parameter(format!("{limit} is not between 1 and {LIMIT_MAX}")).at("limit"))
            }
        }
    }

    /// The filter, read against the fields that there are.
    pub(crate) fn filter(&self, fields: &'static [Field]) -> Result<Option<Expr>, Problem> {
        let Some(text) = self.filter.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        query::parse(text, fields)
            .map(Some)
            .map_err(|error| Problem::parameter(error.to_string()).at("filter"))
    }
}

/// How far somebody sees a list.
pub(crate) type Sees<'a, T> = &'a dyn Fn(&T) -> bool;

/// What is asked of a list, read.
pub(crate) struct Asked<'a, T> {
    pub(crate) fields: &'static [Field],
    pub(crate) orders: &'a [Order<T>],
    pub(crate) id: fn(&T) -> u64,
    /// Only what he may see who asks.
    pub(crate) sees: Sees<'a, T>,
    pub(crate) now: Timestamp,
}

/// One of the things in the order of the list.
struct Ranked<'a, T> {
    key: Key<'a>,
    id: u64,
    down: bool,
    of: &'a Arc<T>,
}

impl<T> Ord for Ranked<'_, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        rank(self.key, self.id, other.key, other.id, self.down)
    }
}

impl<T> PartialOrd for Ranked<'_, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Ranked<'_, T> {}

/// The order of two things; where their keys are the same, ids decide.
fn rank(key: Key<'_>, id: u64, other: Key<'_>, other_id: u64, down: bool) -> Ordering {
    let by_key = key.cmp(&other);
    (if down { by_key.reverse() } else { by_key }).then(id.cmp(&other_id))
}

/// What is on a page, the place at which it ends if there are more, and how many there are on all pages.
pub(crate) type Found<'a, T> = (Vec<&'a Arc<T>>, Option<String>, u64);

/// The things on the page that is asked for, the place at which it ends if there are more, and how many there are in all.
/// All are looked at once, and no more than a page is held.
pub(crate) fn page<'a, T: Fields>(
    all: &'a [Arc<T>],
    query: &ListQuery,
    asked: &Asked<'_, T>,
) -> Result<Found<'a, T>, Problem> {
    let (limit, filter) = (query.limit()?, query.filter(asked.fields)?);
    let named = query.sort.as_deref().unwrap_or(asked.orders.first().map_or("", |order| order.name));
    let (down, name) = named.strip_prefix('-').map_or((false, named), |name| (true, name));
    let Some(order) = asked.orders.iter().find(|order| order.name == name) else {
        let names: Vec<_> = asked.orders.iter().map(|order| order.name).collect();
        return Err(Problem::parameter(format!(
            "there is no order {name:?}: there are {}",
            names.join(", ")
        ))
        .at("sort"));
    };
    let of = format!("{named} {}", filter.as_ref().map(ToString::to_string).unwrap_or_default());
    let after: Option<Cursor> = query.cursor.as_deref().map(decode).transpose()?;
    if after.as_ref().is_some_and(|after| after.of != of) {
        let why = "this cursor is of a list with another filter or order: begin with the first page";
        return Err(Problem::parameter(why).at("cursor"));
    }
    let after = after.as_ref().map(|after| match &after.text {
        Some(text) => (Key::Text(text), after.id),
        None => (Key::Number(after.number.unwrap_or(0)), after.id),
    });
    let (mut best, mut total, mut left) = (BinaryHeap::with_capacity(limit + 1), 0, 0_u64);
    for one in all {
        if !(asked.sees)(one) || filter.as_ref().is_some_and(|filter| !filter.matches(&**one, asked.now)) {
            continue;
        }
        total += 1;
        let (key, id) = ((order.key)(one), (asked.id)(one));
        if after.is_some_and(|(after, after_id)| rank(key, id, after, after_id, down).is_le()) {
            continue;
        }
        left += 1;
        let ranked = Ranked { key, id, down, of: one };
        if best.len() < limit {
            best.push(ranked);
        } else if let Some(mut last) = best.peek_mut().filter(|last| ranked < **last) {
            *last = ranked;
        }
    }
    let best = best.into_sorted_vec();
    let next = best.last().filter(|_| left > best.len() as u64).map(|last| {
        let (number, text) = match last.key {
            Key::Number(number) => (Some(number), None),
            Key::Text(text) => (None, Some(text.to_owned())),
        };
        encode(&Cursor { of, number, text, id: last.id })
    });
    Ok((best.into_iter().map(|ranked| ranked.of).collect(), next, total))
}

/// Keeps the fields that are wanted, of those that there are.
pub(crate) fn select(items: Vec<Value>, wanted: Option<&str>, known: &[&str]) -> Result<Vec<Value>, Problem> {
    let Some(wanted) = wanted else { return Ok(items) };
    let wanted: Vec<&str> = wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = wanted.iter().find(|name| !known.contains(name)) {
        let detail = format!("there is no field {unknown:?}: there are {}", known.join(", "));
        return Err(Problem::parameter(detail).at("fields"));
    }
    let kept = |item| match item {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(name, _)| wanted.contains(&name.as_str())).collect())
        }
        other => other,
    };
    Ok(items.into_iter().map(kept).collect())
}

#[cfg(test)]
mod tests {
    use model::Device;
    use store::conformance::device;

    use super::*;

    fn orders() -> Vec<Order<Device>> {
        vec![
            Order { name: "id", key: |device| Key::Number(device.id.0) },
            Order {
                name: "vendor",
                key: |device| Key::Text(device.best(model::Attribute::Vendor).unwrap_or("")),
            },
            Order { name: "half", key: |device| Key::Number(device.id.0 / 2) },
        ]
    }

    fn walk(all: &[Arc<Device>], query: &ListQuery) -> Vec<u64> {
        let orders = orders();
        let asked = Asked {
            fields: query::DEVICE,
            orders: &orders,
            id: |device| device.id.0,
            sees: &|_| true,
            now: Timestamp::from_secs(1_700_000_100),
        };
        let (mut query, mut found) = (query.clone(), Vec::new());
        loop {
            let (page_found, next, total) = page(all, &query, &asked).unwrap();
            assert!(page_found.len() <= query.limit().unwrap());
            found.extend(page_found.iter().map(|device| device.id.0));
            match next {
                Some(next) => query.cursor = Some(next),
                None => {
                    assert_eq!(total, found.len() as u64);
                    return found;
                }
            }
        }
    }

    #[test]
    fn pages_together_are_the_whole_list_in_order() {
        let all: Vec<_> = (0..97).map(|number| Arc::new(device(number))).collect();
        let query = |sort: &str, limit| ListQuery {
            sort: Some(sort.into()),
            limit: Some(limit),
            ..ListQuery::default()
        };
        for limit in [1, 7, 96, 97, 98, 500] {
            assert_eq!(walk(&all, &query("id", limit)), (0..97).collect::<Vec<_>>());
            assert_eq!(walk(&all, &query("-id", limit)), (0..97).rev().collect::<Vec<_>>());
            let mut by_vendor: Vec<u64> = (0..97).collect();
            by_vendor.sort_by_key(|number| format!("vendor {number}"));
            assert_eq!(walk(&all, &query("vendor", limit)), by_vendor);
            // Of the same key, the smaller id comes first whichever way the order goes.
            let mut halves: Vec<u64> = (0..97).collect();
            halves.sort_by_key(|number| std::cmp::Reverse(number / 2));
            assert_eq!(walk(&all, &query("-half", limit)), halves);
        }
        let filter = ListQuery { filter: Some("packets>=90".into()), limit: Some(3), ..ListQuery::default() };
        assert_eq!(walk(&all, &filter), (90..97).collect::<Vec<_>>());
        assert!(walk(&[], &ListQuery::default()).is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_parameter() {
        let all: Vec<_> = (0..9).map(|number| Arc::new(device(number))).collect();
        let orders = orders();
        let asked = Asked {
            fields: query::DEVICE,
            orders: &orders,
            id: |device| device.id.0,
            sees: &|_| true,
            now: Timestamp::EPOCH,
        };
        let refused = |query: ListQuery| page(&all, &query, &asked).unwrap_err();
        let of = |text: &str| Some(text.to_owned());
        let filter = refused(ListQuery { filter: of("vendro:x"), ..ListQuery::default() });
        assert_eq!((filter.at.as_deref(), filter.status), (Some("filter"), 400));
        assert!(filter.detail.contains("did you mean vendor?"), "{}", filter.detail);
        assert_eq!(
            refused(ListQuery { sort: of("colour"), ..ListQuery::default() }).at.as_deref(),
            Some("sort")
        );
        for limit in [0, 501] {
            assert_eq!(
                refused(ListQuery { limit: Some(limit), ..ListQuery::default() }).at.as_deref(),
                Some("limit")
            );
        }
        for cursor in ["", "!", "bm90aGluZw", &"A".repeat(CURSOR_MAX + 1)] {
            assert_eq!(
                refused(ListQuery { cursor: of(cursor), ..ListQuery::default() }).at.as_deref(),
                Some("cursor")
            );
        }
        let (_, next, _) = page(&all, &ListQuery { limit: Some(2), ..ListQuery::default() }, &asked).unwrap();
        let other = ListQuery { cursor: next, filter: of("packets>1"), ..ListQuery::default() };
        assert!(refused(other).detail.contains("another filter"));
    }

    #[test]
    fn only_wanted_fields_are_kept() {
        let item = serde_json::json!({ "id": 1, "name": "a", "vendor": "b" });
        let kept = select(vec![item.clone()], Some("vendor, id"), &["id", "name", "vendor"]).unwrap();
        assert_eq!(kept, [serde_json::json!({ "id": 1, "vendor": "b" })]);
        assert_eq!(select(vec![item.clone()], None, &[]).unwrap(), [item]);
        let refused = select(Vec::new(), Some("colour"), &["id"]).unwrap_err();
        assert!(refused.detail.contains("colour") && refused.at.as_deref() == Some("fields"));
    }
}
