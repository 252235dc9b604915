//! The guard against card testing: failed attempts are counted by card, customer and address, and what was counted too
//! often is declined before it is screened and routed.
//!
//! What is counted under is a [`GuardKey`], a keyed digest: no card number, customer or address is kept or handed to
//! whoever counts. A profile says what is counted and when it is enough
//! ([`CardTestingGuard`]); nothing is unless it does.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Fault;
use crate::id::CustomerId;
use crate::profile::{CardTestingGuard, GuardStatus};
use crate::routing::GuardReason;
use crate::seal::mac;
use crate::time::Timestamp;

/// What failed attempts are counted under: a digest under the secret of the profile. In JSON 22 characters of base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuardKey([u8; 16]);

impl GuardKey {
    /// The 16 bytes, for a counter that is kept elsewhere.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A digest of what is counted, of which no part can be taken for another one.
    fn of(secret: &[u8], reason: GuardReason, card: &[u8], last: &[u8]) -> Self {
        let reason: &str = reason.into();
        let length = u64::try_from(card.len()).unwrap_or(u64::MAX).to_be_bytes();
        let digest = mac(secret, &[reason.as_bytes(), &[0], &length, card, last]);
        let mut key = [0; 16];
        key.iter_mut().zip(digest.iter()).for_each(|(place, byte)| *place = *byte);
        Self(key)
    }
}

impl fmt::Display for GuardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", data_encoding::BASE64URL_NOPAD.encode_display(&self.0))
    }
}

impl std::str::FromStr for GuardKey {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("guard_key.malformed", "must be 22 characters of base64url");
        let bytes = data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| fault())?;
        Ok(Self(bytes.try_into().map_err(|_| fault())?))
    }
}

impl Serialize for GuardKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GuardKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// What one attempt is counted under if it fails: of each check of the profile that is on and concerns the attempt, its
/// key, and for how long it counts. Empty where none does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuardKeys {
    /// The card, from this address.
    pub card_and_address: Option<GuardKey>,
    /// The card, of guests.
    pub guest_card: Option<GuardKey>,
    /// The customer.
    pub customer: Option<GuardKey>,
    /// The address, of guests.
    pub guest_address: Option<GuardKey>,
    /// For how many seconds a failed attempt counts.
    pub expiry_seconds: u32,
}

/// Who attempts to pay, with what, from where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// What stands for the card: its fingerprint.
    pub(crate) card: Option<&'a [u8]>,
    /// The customer; a guest if none.
    pub(crate) customer: Option<&'a CustomerId>,
    /// The customer's address.
    pub(crate) address: Option<IpAddr>,
}

/// Whether any check of a profile is on.
pub(crate) fn is_on(guard: &CardTestingGuard) -> bool {
    [
        guard.card_ip_blocking_status,
        guard.guest_user_card_blocking_status,
        guard.customer_id_blocking_status,
        guard.guest_ip_blocking_status,
    ]
    .contains(&GuardStatus::Enabled)
}

impl GuardKeys {
    /// What an attempt is counted under, under the secret of its profile.
    pub(crate) fn of(guard: &CardTestingGuard, secret: &[u8], attempt: Attempt<'_>) -> Self {
        let on = |status| Some(()).filter(|()| status == GuardStatus::Enabled);
        let (v4, v6);
        let address: Option<&[u8]> = match attempt.address.map(|address| address.to_canonical()) {
            None => None,
            Some(IpAddr::V4(address)) => {
                v4 = address.octets();
                Some(&v4)
            }
            Some(IpAddr::V6(address)) => {
                v6 = address.octets();
                Some(&v6)
            }
        };
        let card = attempt.card;
        let guest = Some(()).filter(|()| attempt.customer.is_none());
        let key = |reason, card: &[u8], last: &[u8]| GuardKey::of(secret, reason, card, last);
        Self {
            card_and_address: on(guard.card_ip_blocking_status)
                .and_then(|()| Some(key(GuardReason::CardAndAddress, card?, address?))),
            guest_card: on(guard.guest_user_card_blocking_status)
                .and_then(|()| guest.and_then(|()| Some(key(GuardReason::GuestCard, card?, &[])))),
            customer: on(guard.customer_id_blocking_status)
                .and_then(|()| Some(key(GuardReason::Customer, &[], attempt.customer?.as_str().as_bytes()))),
            guest_address: on(guard.guest_ip_blocking_status)
                .and_then(|()| guest.and_then(|()| Some(key(GuardReason::GuestAddress, &[], address?)))),
            expiry_seconds: guard.card_testing_guard_expiry.get(),
        }
    }

    fn each(&self) -> impl Iterator<Item = &GuardKey> {
        [&self.card_and_address, &self.guest_card, &self.customer, &self.guest_address].into_iter().flatten()
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.each().next().is_none()
    }

    /// Why the attempt is declined: the first check, in the contract's order, that has counted as much as its threshold.
    pub(crate) fn tripped(
        &self,
        guard: &CardTestingGuard,
        counters: &dyn GuardCounters,
        now: Timestamp,
    ) -> Option<GuardReason> {
        let checks = [
            (GuardReason::CardAndAddress, self.card_and_address, guard.card_ip_blocking_threshold),
            (GuardReason::GuestCard, self.guest_card, guard.guest_user_card_blocking_threshold),
            (GuardReason::Customer, self.customer, guard.customer_id_blocking_threshold),
            (GuardReason::GuestAddress, self.guest_address, guard.guest_ip_blocking_threshold),
        ];
        let reached =
            |key: Option<GuardKey>, threshold: u32| key.is_some_and(|key| counters.count(&key, now) >= threshold);
        checks.into_iter().find(|(_, key, threshold)| reached(*key, threshold.get())).map(|(reason, ..)| reason)
    }

    /// Counts an attempt that failed.
    pub(crate) fn count(&self, counters: &dyn GuardCounters, now: Timestamp) {
        let expires_at = now.plus_seconds(self.expiry_seconds);
        self.each().for_each(|key| counters.add(key, now, expires_at));
    }
}

/// Counts failed attempts. Both methods answer from memory and wait for nobody: a host whose processes share counters
/// keeps them in memory, too, and passes them on behind.
pub trait GuardCounters: fmt::Debug + Send + Sync {
    /// How many failed attempts count under the key at this moment.
    fn count(&self, key: &GuardKey, now: Timestamp) -> u32;

    /// One more. From then on the count holds until `expires_at`, and begins anew after it.
    fn add(&self, key: &GuardKey, now: Timestamp, expires_at: Timestamp);
}

/// The counters of one process, gone with it: bounded, and without a thread of their own.
///
/// They are in parts, each of an older and a newer half. A count moves to the newer half when it grows; when that is full
/// the older half goes, so that what goes did not grow for as many other counts as a half has.
pub struct MemoryCounters {
    parts: Vec<Mutex<Part>>,
    half: usize,
}

#[derive(Default)]
struct Part {
    newer: HashMap<GuardKey, Count>,
    older: HashMap<GuardKey, Count>,
}

#[derive(Clone, Copy)]
struct Count {
    attempts: u32,
    expires_at: Timestamp,
}

/// The parts of [`MemoryCounters`].
const PARTS: usize = 64;

impl MemoryCounters {
    /// Room for about so many counts, of some 64 bytes each.
    pub fn with_room_for(counts: usize) -> Self {
        let half = (counts / PARTS / 2).max(1);
        Self { parts: (0..PARTS).map(|_| Mutex::default()).collect(), half }
    }

    fn part(&self, key: &GuardKey) -> Option<MutexGuard<'_, Part>> {
        let [first, ..] = key.0;
        let part = self.parts.get(usize::from(first) % PARTS)?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for MemoryCounters {
    /// Room for 200,000 counts.
    fn default() -> Self {
        Self::with_room_for(200_000)
    }
}

impl Part {
    fn live(&self, key: &GuardKey, now: Timestamp) -> u32 {
        let found = self.newer.get(key).or_else(|| self.older.get(key));
        found.filter(|count| count.expires_at > now).map_or(0, |count| count.attempts)
    }
}

impl GuardCounters for MemoryCounters {
    fn count(&self, key: &GuardKey, now: Timestamp) -> u32 {
        self.part(key).map_or(0, |part| part.live(key, now))
    }

    fn add(&self, key: &GuardKey, now: Timestamp, expires_at: Timestamp) {
        let Some(mut part) = self.part(key) else { return };
        let attempts = part.live(key, now).saturating_add(1);
        part.older.remove(key);
        part.newer.insert(*key, Count { attempts, expires_at });
        if part.newer.len() > self.half {
            part.older = std::mem::take(&mut part.newer);
        }
    }
}

impl fmt::Debug for MemoryCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCounters").field("half", &self.half).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_millis(seconds * 1_000).unwrap()
    }

    fn guard(on: &[&str]) -> CardTestingGuard {
        let mut json = serde_json::to_value(CardTestingGuard::default()).unwrap();
        for check in on {
            json[format!("{check}_blocking_status")] = json!("enabled");
            json[format!("{check}_blocking_threshold")] = json!(2);
        }
        serde_json::from_value(json).unwrap()
    }

    fn keys(guard: &CardTestingGuard, card: &str, customer: Option<&str>, address: &str) -> GuardKeys {
        let customer: Option<CustomerId> = customer.map(|id| id.parse().unwrap());
        let attempt = Attempt {
            card: Some(card.as_bytes()).filter(|card| !card.is_empty()),
            customer: customer.as_ref(),
            address: address.parse().ok(),
        };
        GuardKeys::of(guard, b"secret", attempt)
    }

    const ALL: [&str; 4] = ["card_ip", "guest_user_card", "customer_id", "guest_ip"];

    #[test]
    fn what_is_off_or_unknown_is_not_counted() {
        let set = |keys: GuardKeys| {
            [keys.card_and_address, keys.guest_card, keys.customer, keys.guest_address].map(|key| key.is_some())
        };
        assert_eq!(set(keys(&guard(&[]), "card", Some("c"), "203.0.113.9")), [false; 4]);
        assert!(keys(&guard(&[]), "card", None, "203.0.113.9").is_empty());
        for (card, customer, address, expected) in [
            ("card", None, "203.0.113.9", [true, true, false, true]),
            ("card", Some("c"), "203.0.113.9", [true, false, true, false]),
            ("card", None, "", [false, true, false, false]),
            ("", None, "203.0.113.9", [false, false, false, true]),
            ("", Some("c"), "", [false, false, true, false]),
        ] {
            assert_eq!(set(keys(&guard(&ALL), card, customer, address)), expected, "{card} {customer:?} {address}");
        }
        // One check alone.
        for (check, place) in ALL.into_iter().zip(0..) {
            let customer = if check == "customer_id" { Some("c") } else { None };
            let on = set(keys(&guard(&[check]), "card", customer, "2001:db8::1"));
            assert_eq!(on, std::array::from_fn(|at| at == place));
        }
    }

    #[test]
    fn keys_differ_by_everything_that_is_counted_apart_and_say_none_of_it() {
        let guard = guard(&ALL);
        let one = keys(&guard, "card", None, "203.0.113.9");
        assert_eq!(keys(&guard, "card", None, "::ffff:203.0.113.9"), one, "one address in two forms");
        for other in [keys(&guard, "card2", None, "203.0.113.9"), keys(&guard, "card", None, "203.0.113.8")] {
            assert_ne!(other.card_and_address, one.card_and_address);
        }
        assert_ne!(one.guest_card, one.card_and_address);
        let attempt = Attempt { card: Some(b"card"), customer: None, address: None };
        assert_ne!(GuardKeys::of(&guard, b"other", attempt).guest_card, one.guest_card);
        let json = serde_json::to_string(&one).unwrap();
        assert!(!json.contains("203") && !json.contains("card2"), "{json}");
        assert_eq!(serde_json::from_str::<GuardKeys>(&json).unwrap(), one);
    }

    #[test]
    fn the_first_check_that_has_counted_enough_declines() {
        let (guard, counters) = (guard(&ALL), MemoryCounters::default());
        let one = keys(&guard, "card", None, "203.0.113.9");
        let tripped = |keys: &GuardKeys, seconds| keys.tripped(&guard, &counters, at(seconds));
        assert_eq!(tripped(&one, 0), None);
        one.count(&counters, at(0));
        assert_eq!(tripped(&one, 0), None);
        one.count(&counters, at(10));
        assert_eq!(tripped(&one, 10), Some(GuardReason::CardAndAddress));
        // The same card from elsewhere, and another card from there.
        assert_eq!(tripped(&keys(&guard, "card", None, "203.0.113.8"), 10), Some(GuardReason::GuestCard));
        assert_eq!(tripped(&keys(&guard, "card2", None, "203.0.113.9"), 10), Some(GuardReason::GuestAddress));
        assert_eq!(tripped(&keys(&guard, "card2", Some("c"), "203.0.113.9"), 10), None);
        // An hour after the last one, to the second.
        assert_eq!(tripped(&one, 10 + 3_599), Some(GuardReason::CardAndAddress));
        assert_eq!(tripped(&one, 10 + 3_600), None);
        one.count(&counters, at(4_000));
        assert_eq!(tripped(&one, 4_000), None, "it begins anew");
    }

    #[test]
    fn the_counters_have_a_bound_and_what_grows_stays() {
        let counters = MemoryCounters::with_room_for(PARTS * 2 * 10);
        let key = |number: u32| GuardKey::of(b"", GuardReason::Customer, &[], &number.to_be_bytes());
        for number in 0..50_000 {
            counters.add(&key(number), at(0), at(10));
            counters.add(&key(u32::MAX), at(0), at(10));
        }
        let kept: usize = counters.parts.iter().map(|p| p.lock().unwrap()).map(|p| p.newer.len() + p.older.len()).sum();
        assert!(kept <= PARTS * 22, "{kept} are kept");
        assert_eq!(counters.count(&key(u32::MAX), at(9)), 50_000);
        assert_eq!(counters.count(&key(0), at(9)), 0);
    }
}
