//! Lists as they are published: a plain array, with a limit and how many to skip. The library's are pages by cursor; a
//! window onto them is read page by page.

use std::future::Future;

use perfectpay::page::MAX_LIMIT;
use perfectpay::{Cursor, Error, Page, PageRequest, Timestamp};
use serde::Deserialize;

/// How many objects a list answers at most, whatever was asked for.
pub(crate) const MOST: usize = 1_000;

/// The items of a list from one place on, at most so many. What is skipped is read, too.
pub(crate) async fn window<T, F>(skip: u16, limit: usize, next: impl Fn(PageRequest) -> F) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<Page<T>, Error>>,
{
    let skip = usize::from(skip);
    let until = skip + limit.min(MOST);
    let mut seen = 0;
    let mut items = Vec::new();
    let mut cursor = None;
    while seen < until {
        let wanted = u32::try_from(until - seen).map_or(MAX_LIMIT, |wanted| wanted.min(MAX_LIMIT));
        let page = next(PageRequest::of(wanted)?.after(cursor)).await?;
        for item in page.items {
            if seen >= skip {
                items.push(item);
            }
            seen += 1;
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    Ok(items)
}

/// All of a list that is published without a limit, up to [`MOST`].
pub(crate) async fn whole<T, F>(next: impl Fn(PageRequest) -> F) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<Page<T>, Error>>,
{
    window(0, MOST, next).await
}

/// The query of a list of API keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeysQuery {
    pub(crate) limit: Option<u16>,
    #[serde(default)]
    pub(crate) skip: u16,
}

/// The query of a blocklist.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlocklistQuery {
    pub(crate) data_kind: Option<String>,
    pub(crate) limit: Option<u16>,
    #[serde(default)]
    pub(crate) offset: u16,
}

/// The query of a list of payment links: from when to when they were created.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinksQuery {
    pub(crate) limit: Option<u16>,
    created: Option<Timestamp>,
    #[serde(rename = "created.lt")]
    before: Option<Timestamp>,
    #[serde(rename = "created.lte")]
    until: Option<Timestamp>,
    #[serde(rename = "created.gt")]
    after: Option<Timestamp>,
    #[serde(rename = "created.gte")]
    since: Option<Timestamp>,
}

impl LinksQuery {
    /// Where a list that has the newest first begins: a cursor behind everything that is too young.
    pub(crate) fn beginning(&self) -> Option<Cursor> {
        let exclusive = [self.until, self.created].into_iter().flatten().map(|end| end.unix_millis() + 1);
        let end = exclusive.chain(self.before.map(Timestamp::unix_millis)).min();
        let created_at = end.and_then(Timestamp::from_unix_millis)?;
        Some(Cursor { created_at, id: String::new() })
    }

    /// Whether what was created then is not too old.
    pub(crate) fn reaches(&self, created: Timestamp) -> bool {
        self.after.is_none_or(|after| created > after)
            && [self.since, self.created].into_iter().flatten().all(|since| created >= since)
    }
}
