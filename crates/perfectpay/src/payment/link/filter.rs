//! Which links a listing shows.

use serde::{Deserialize, Serialize};

use super::state::LinkState;
use crate::id::ProfileId;
use crate::page::Cursor;
use crate::time::Timestamp;

/// Which links of a merchant account are listed: those for which all holds that is stated.
///
/// The times are the published query parameters, with the dots in their names.
///
/// ```
/// use perfectpay::{LinkFilter, json};
///
/// let filter: LinkFilter =
///     json::from_slice(br#"{"created.gte": "2027-01-01T00:00:00Z", "created.lt": "2027-02-01T00:00:00Z", "state": "paid"}"#)?;
/// assert!(filter.admits("2027-01-31T23:59:59.999Z".parse()?));
/// assert!(!filter.admits("2027-02-01T00:00:00Z".parse()?));
/// # Ok::<(), perfectpay::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkFilter {
    /// Only those of this profile.
    pub profile_id: Option<ProfileId>,
    /// Only those that stand so now.
    pub state: Option<LinkState>,
    /// Only those created at this moment.
    pub created: Option<Timestamp>,
    /// Only those created before this moment.
    #[serde(rename = "created.lt")]
    pub created_lt: Option<Timestamp>,
    /// Only those created after it.
    #[serde(rename = "created.gt")]
    pub created_gt: Option<Timestamp>,
    /// Only those created before it, or at it.
    #[serde(rename = "created.lte")]
    pub created_lte: Option<Timestamp>,
    /// Only those created after it, or at it.
    #[serde(rename = "created.gte")]
    pub created_gte: Option<Timestamp>,
}

impl LinkFilter {
    /// Whether a link created at this moment is within the times.
    pub fn admits(&self, created_at: Timestamp) -> bool {
        let held = |bound: Option<Timestamp>, holds: fn(&Timestamp, &Timestamp) -> bool| {
            bound.is_none_or(|bound| holds(&created_at, &bound))
        };
        held(self.created, Timestamp::eq)
            && held(self.created_lt, Timestamp::lt)
            && held(self.created_gt, Timestamp::gt)
            && held(self.created_lte, Timestamp::le)
            && held(self.created_gte, Timestamp::ge)
    }

    /// Where a listing, newest first, begins: in front of everything that is created too late. `None` begins at the
    /// newest.
    pub(crate) fn begins_behind(&self) -> Option<Cursor> {
        let front = |moment: Timestamp| Cursor { created_at: moment, id: String::new() };
        // Behind the last millisecond of all nothing can be left out.
        let after = |moment: Timestamp| Timestamp::from_unix_millis(moment.unix_millis().saturating_add(1)).map(front);
        let before = self.created_lt.map(front);
        [self.created, self.created_lte].into_iter().flatten().filter_map(after).chain(before).min()
    }

    /// Whether a link created at this moment, and everything older, is too old.
    pub(crate) fn is_past(&self, created_at: Timestamp) -> bool {
        [self.created, self.created_gte].into_iter().flatten().any(|least| created_at < least)
            || self.created_gt.is_some_and(|least| created_at <= least)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_unix_millis(millis).unwrap()
    }

    fn any_bound() -> impl Strategy<Value = Option<Timestamp>> {
        let near = (0i64..8).prop_map(at);
        let ends = prop_oneof![Just(Timestamp::MIN), Just(Timestamp::MAX)];
        proptest::option::weighted(0.4, prop_oneof![8 => near, 1 => ends])
    }

    proptest! {
        /// From where a listing begins to where it ends lies exactly what is within the times.
        #[test]
        fn a_listing_begins_and_ends_at_its_bounds(
            created in any_bound(), lt in any_bound(), gt in any_bound(), lte in any_bound(), gte in any_bound(),
        ) {
            let filter = LinkFilter {
                created, created_lt: lt, created_gt: gt, created_lte: lte, created_gte: gte, ..LinkFilter::default()
            };
            let begin = filter.begins_behind();
            for moment in (0..8).map(at).chain([Timestamp::MIN, Timestamp::MAX]) {
                let place = Cursor { created_at: moment, id: "plink_1".into() };
                let listed = begin.as_ref().is_none_or(|begin| place < *begin) && !filter.is_past(moment);
                prop_assert_eq!(listed, filter.admits(moment), "{}", moment);
            }
        }
    }
}
