//! Lists, a page at a time, by keyset: a page costs the same wherever it lies, and nothing is skipped or repeated when
//! rows come and go between two pages.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Fault;
use crate::time::Timestamp;

/// How many items a page holds where the caller does not say.
pub const DEFAULT_LIMIT: u32 = 25;
/// The most items that a page holds.
pub const MAX_LIMIT: u32 = 100;

/// Where a page ended: the order key and the id of its last item. Opaque text to everyone but a Store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    /// When the last item was created, or the moment by which the list orders its items otherwise: of pending events when
    /// they are due, of keys that end when they do.
    pub created_at: Timestamp,
    /// The last item's id within its collection.
    pub id: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = format!("{}.{}", self.created_at.unix_millis(), self.id);
        f.write_str(&data_encoding::BASE64URL_NOPAD.encode(plain.as_bytes()))
    }
}

impl FromStr for Cursor {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let read = || {
            let plain = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
            let plain = String::from_utf8(plain).ok()?;
            let (millis, id) = plain.split_once('.')?;
            let created_at = Timestamp::from_unix_millis(millis.parse().ok()?)?;
            Some(Self { created_at, id: id.to_owned() })
        };
        if text.len() > 512 {
            return Err(Fault::new("cursor.malformed", "is not a cursor of this list"));
        }
        read().ok_or_else(|| Fault::new("cursor.malformed", "is not a cursor of this list"))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// Which page of a list is wanted.
///
/// ```
/// use perfectpay::PageRequest;
///
/// let first = PageRequest::default();
/// assert_eq!(first.limit(), 25);
/// assert_eq!(PageRequest::of(10)?.limit(), 10);
/// assert_eq!(PageRequest::of(101).unwrap_err().code(), "page.limit");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    limit: u32,
    after: Option<Cursor>,
}

impl Default for PageRequest {
    /// The first [`DEFAULT_LIMIT`] items.
    fn default() -> Self {
        Self { limit: DEFAULT_LIMIT, after: None }
    }
}

impl PageRequest {
    /// The first `limit` items.
    ///
    /// # Errors
    ///
    /// `page.limit` unless `limit` is 1 to [`MAX_LIMIT`].
    pub fn of(limit: u32) -> Result<Self, Fault> {
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Fault::new("page.limit", "must be 1 to 100").at("limit"));
        }
        Ok(Self { limit, after: None })
    }

    /// The items behind `cursor`, which an earlier [`Page::next`] gave; `None` begins at the front.
    pub fn after(mut self, cursor: impl Into<Option<Cursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// How many items at most.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Behind which item the page begins.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.after.as_ref()
    }
}

/// A page of a list, in the list's documented order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page<T> {
    /// The items, at most as many as were asked for.
    #[serde(rename = "data")]
    pub items: Vec<T>,
    /// Hand this to [`PageRequest::after`] for the next page; `None` when this page is the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The same page of other items.
    pub fn map<U>(self, turn: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(turn).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_from_its_text() {
        let cursor = Cursor { created_at: Timestamp::from_unix_millis(-5).unwrap(), id: "pro_a.b".into() };
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
    }

    #[test]
    fn text_that_is_no_cursor_is_refused() {
        for text in ["", "?", "YQ", &"x".repeat(600)] {
            assert_eq!(text.parse::<Cursor>().unwrap_err().code(), "cursor.malformed");
        }
    }

    #[test]
    fn a_limit_outside_1_to_100_is_refused() {
        assert!(PageRequest::of(0).is_err());
        assert!(PageRequest::of(1).is_ok());
        assert!(PageRequest::of(100).is_ok());
        assert!(PageRequest::of(101).is_err());
    }
}
