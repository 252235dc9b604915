//! Settings of a profile that have rules of their own.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Fault;
use crate::json::refuse;
use crate::list::{UniqueList, null_is_default};
use crate::money::Country;
use crate::text::Text;

/// Declares whole numbers with a least and a most.
macro_rules! numbers {
    ($(
        $(#[$doc:meta])*
        $name:ident: $inner:ty, $min:literal to $max:literal $(default $default:literal)?, $code:literal, $unit:literal;
    )+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name($inner);

        impl $name {
            /// The least.
            pub const MIN: $inner = $min;
            /// The most.
            pub const MAX: $inner = $max;

            #[doc = concat!("How many ", $unit, ".")]
            pub fn get(self) -> $inner {
                self.0
            }
        }

        $(impl Default for $name {
            #[doc = concat!("The contract's default, ", $default, " ", $unit, ".")]
            fn default() -> Self {
                Self($default)
            }
        })?

        impl TryFrom<i64> for $name {
            type Error = Fault;

            #[doc = concat!("Takes that many ", $unit, ".")]
            ///
            /// # Errors
            ///
            #[doc = concat!("`", $code, "`.")]
            fn try_from(number: i64) -> Result<Self, Fault> {
                <$inner>::try_from(number)
                    .ok()
                    .filter(|number| (Self::MIN..=Self::MAX).contains(number))
                    .map(Self)
                    .ok_or_else(|| Fault::new($code, concat!("must be ", $min, " to ", $max, " ", $unit)))
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "integer", "minimum": $min, "maximum": $max })
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::try_from(i64::deserialize(deserializer)?).map_err(|fault| refuse(&fault))
            }
        }
    )+ };
}

pub(crate) use numbers;

numbers! {
    /// How long a payment's session lasts: 60 to 7,890,000 seconds, 900 unless stated.
    SessionExpiry: u32, 60 to 7_890_000 default 900, "session_expiry.out_of_range", "seconds";
    /// How long a customer has to complete a payment: 60 to 1,800 seconds, 900 unless stated.
    FulfillmentTime: u32, 60 to 1800 default 900, "intent_fulfillment_time.out_of_range", "seconds";
    /// How often disputes are asked for: every 0 to 24 hours, 24 unless stated.
    DisputePollingInterval: u8, 0 to 24 default 24, "dispute_polling_interval.out_of_range", "hours";
    /// How many attempts the card-testing guard lets pass: 1 to 10,000. Each of its checks has a default of its own.
    GuardThreshold: u32, 1 to 10_000, "card_testing_guard.threshold", "attempts";
    /// How long the card-testing guard counts an attempt: 1 to 31,536,000 seconds (a year), 3,600 unless stated.
    GuardExpiry: u32, 1 to 31_536_000 default 3600, "card_testing_guard.expiry", "seconds";
}

/// Whether a check of the card-testing guard is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GuardStatus {
    /// It is on.
    Enabled,
    /// It is off.
    #[default]
    Disabled,
}

/// The card-testing guard: how often a card, a guest or a customer may fail before further attempts are blocked.
///
/// A profile without one has the default, in which every check is off. When it is sent, every member is required but
/// the two about a guest's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CardTestingGuard {
    /// Whether one card from one address is counted.
    pub card_ip_blocking_status: GuardStatus,
    /// After how many attempts; 3 unless stated.
    pub card_ip_blocking_threshold: GuardThreshold,
    /// Whether one card of guests is counted.
    pub guest_user_card_blocking_status: GuardStatus,
    /// After how many attempts; 10 unless stated.
    pub guest_user_card_blocking_threshold: GuardThreshold,
    /// Whether one customer is counted.
    pub customer_id_blocking_status: GuardStatus,
    /// After how many attempts; 5 unless stated.
    pub customer_id_blocking_threshold: GuardThreshold,
    /// Whether one address of guests is counted; off unless stated.
    #[serde(default, deserialize_with = "null_is_default")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<GuardStatus>"))]
    pub guest_ip_blocking_status: GuardStatus,
    /// After how many attempts; 10 unless stated.
    #[serde(default = "guest_ip_threshold", deserialize_with = "null_is_guest_ip_threshold")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<GuardThreshold>"))]
    pub guest_ip_blocking_threshold: GuardThreshold,
    /// How long an attempt counts.
    pub card_testing_guard_expiry: GuardExpiry,
}

fn guest_ip_threshold() -> GuardThreshold {
    GuardThreshold(10)
}

fn null_is_guest_ip_threshold<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GuardThreshold, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_else(guest_ip_threshold))
}

impl Default for CardTestingGuard {
    fn default() -> Self {
        Self {
            card_ip_blocking_status: GuardStatus::Disabled,
            card_ip_blocking_threshold: GuardThreshold(3),
            guest_user_card_blocking_status: GuardStatus::Disabled,
            guest_user_card_blocking_threshold: GuardThreshold(10),
            customer_id_blocking_status: GuardStatus::Disabled,
            customer_id_blocking_threshold: GuardThreshold(5),
            guest_ip_blocking_status: GuardStatus::Disabled,
            guest_ip_blocking_threshold: guest_ip_threshold(),
            card_testing_guard_expiry: GuardExpiry::default(),
        }
    }
}

/// How a card is funded, as far as the contract tells cards apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::Display)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CardType {
    /// A credit card.
    Credit,
    /// A debit card.
    Debit,
}

/// Which means of payment a profile does not take, by what is known of them. It is looked at only while the blocklist
/// guard is on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PaymentMethodBlocking {
    /// Which cards.
    pub card: Option<CardBlocking>,
    /// Which cards in wallets.
    pub wallet: Option<WalletBlocking>,
}

/// Which cards a profile does not take. A list that is absent or null is empty, and an empty one blocks nothing; each
/// has at most 256 entries, and one given twice counts once.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CardBlocking {
    /// Cards issued in these countries.
    #[serde(deserialize_with = "null_is_default")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<UniqueList<Country, 256>>"))]
    pub issuing_country: UniqueList<Country, 256>,
    /// Cards of these types.
    #[serde(deserialize_with = "null_is_default")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<UniqueList<CardType, 256>>"))]
    pub card_types: UniqueList<CardType, 256>,
    /// Cards of these subtypes, by their words in the contract, at most 64 characters each.
    #[serde(deserialize_with = "null_is_default")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<UniqueList<Text<64>, 256>>"))]
    pub card_subtypes: UniqueList<Text<64>, 256>,
    /// Cards of these issuers, at most 255 characters each.
    #[serde(deserialize_with = "null_is_default")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<UniqueList<Text<255>, 256>>"))]
    pub issuers: UniqueList<Text<255>, 256>,
    /// Whether a card of which nothing is known is blocked, too; it is not unless stated.
    #[serde(deserialize_with = "null_is_default")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<bool>"))]
    pub block_if_bin_info_unavailable: bool,
}

/// Which cards in wallets a profile does not take.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct WalletBlocking {
    /// Cards of these types; empty for none.
    #[serde(deserialize_with = "null_is_default")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<UniqueList<CardType, 256>>"))]
    pub card_types: UniqueList<CardType, 256>,
}

/// A number of exactly so many digits, which is a text in JSON.
fn digits(text: &str, count: usize) -> Option<u16> {
    // `parse` alone would take a sign.
    text.parse().ok().filter(|_| text.len() == count && text.bytes().all(|b| b.is_ascii_digit()))
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident: $count:literal, $valid:expr, $fault:literal, $message:literal;)+) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u16);

        impl FromStr for $name {
            type Err = Fault;

            /// Parses a code.
            ///
            /// # Errors
            ///
            #[doc = concat!("`", $fault, "`.")]
            fn from_str(text: &str) -> Result<Self, Fault> {
                let valid: fn(&u16) -> bool = $valid;
                digits(text, $count).filter(valid).map(Self).ok_or_else(|| Fault::new($fault, $message))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:0width$}", self.0, width = $count)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::json::parsed(deserializer)
            }
        }
    )+ };
}

codes! {
    /// What a merchant sells, by its ISO 18245 category: exactly 4 digits. Which codes are assigned is not looked at.
    MerchantCategoryCode: 4, |_| true, "merchant_category_code.malformed", "must be exactly 4 digits";
    /// A country by its ISO 3166-1 numeric code: exactly 3 digits, one of the 249 official ones.
    NumericCountryCode: 3, |code| COUNTRIES.binary_search(code).is_ok(),
        "merchant_country_code.unknown", "must be an ISO 3166 numeric country code";
}

/// The numeric codes of ISO 3166-1; sorted, because they are searched.
#[rustfmt::skip]
const COUNTRIES: [u16; 249] = [
    4, 8, 10, 12, 16, 20, 24, 28, 31, 32, 36, 40, 44, 48, 50, 51, 52, 56, 60, 64, 68, 70, 72, 74, 76, 84, 86, 90,
    92, 96, 100, 104, 108, 112, 116, 120, 124, 132, 136, 140, 144, 148, 152, 156, 158, 162, 166, 170, 174, 175, 178,
    180, 184, 188, 191, 192, 196, 203, 204, 208, 212, 214, 218, 222, 226, 231, 232, 233, 234, 238, 239, 242, 246,
    248, 250, 254, 258, 260, 262, 266, 268, 270, 275, 276, 288, 292, 296, 300, 304, 308, 312, 316, 320, 324, 328,
    332, 334, 336, 340, 344, 348, 352, 356, 360, 364, 368, 372, 376, 380, 384, 388, 392, 398, 400, 404, 408, 410,
    414, 417, 418, 422, 426, 428, 430, 434, 438, 440, 442, 446, 450, 454, 458, 462, 466, 470, 474, 478, 480, 484,
    492, 496, 498, 499, 500, 504, 508, 512, 516, 520, 524, 528, 531, 533, 534, 535, 540, 548, 554, 558, 562, 566,
    570, 574, 578, 580, 581, 583, 584, 585, 586, 591, 598, 600, 604, 608, 612, 616, 620, 624, 626, 630, 634, 638,
    642, 643, 646, 652, 654, 659, 660, 662, 663, 666, 670, 674, 678, 682, 686, 688, 690, 694, 702, 703, 704, 705,
    706, 710, 716, 724, 728, 729, 732, 740, 744, 748, 752, 756, 760, 762, 764, 768, 772, 776, 780, 784, 788, 792,
    795, 796, 798, 800, 804, 807, 818, 826, 831, 832, 833, 834, 840, 850, 854, 858, 860, 862, 876, 882, 887, 894,
];

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Error;
    use crate::json::from_value;

    fn place<T: DeserializeOwned + fmt::Debug>(body: Value) -> (String, String) {
        match from_value::<T>(body).unwrap_err() {
            Error::Invalid(fault) => (fault.path().to_owned(), fault.code().to_owned()),
            other => panic!("{other}"),
        }
    }

    fn fault(path: &str, code: &str) -> (String, String) {
        (path.to_owned(), code.to_owned())
    }

    #[test]
    fn both_sides_of_every_range() {
        fn check<T: DeserializeOwned + fmt::Debug>(least: i64, most: i64, code: &str) {
            for inside in [least, most] {
                from_value::<T>(inside.into()).unwrap();
            }
            for outside in [least - 1, most + 1, i64::from(u32::MAX) + 1 + least] {
                assert_eq!(place::<T>(outside.into()), fault("", code));
            }
            assert_eq!(place::<T>("60".into()).1, "json.wrong_type");
        }
        check::<SessionExpiry>(60, 7_890_000, "session_expiry.out_of_range");
        check::<FulfillmentTime>(60, 1800, "intent_fulfillment_time.out_of_range");
        check::<DisputePollingInterval>(0, 24, "dispute_polling_interval.out_of_range");
        check::<GuardThreshold>(1, 10_000, "card_testing_guard.threshold");
        check::<GuardExpiry>(1, 31_536_000, "card_testing_guard.expiry");
        assert_eq!(SessionExpiry::try_from(59).unwrap_err().message(), "must be 60 to 7890000 seconds");
    }

    #[test]
    fn the_defaults_are_the_contracts() {
        assert_eq!(SessionExpiry::default().get(), 900);
        assert_eq!(FulfillmentTime::default().get(), 900);
        assert_eq!(DisputePollingInterval::default().get(), 24);
        assert_eq!(
            serde_json::to_value(CardTestingGuard::default()).unwrap(),
            json!({
                "card_ip_blocking_status": "disabled", "card_ip_blocking_threshold": 3,
                "guest_user_card_blocking_status": "disabled", "guest_user_card_blocking_threshold": 10,
                "customer_id_blocking_status": "disabled", "customer_id_blocking_threshold": 5,
                "guest_ip_blocking_status": "disabled", "guest_ip_blocking_threshold": 10,
                "card_testing_guard_expiry": 3600,
            })
        );
    }

    #[test]
    fn every_member_of_the_card_testing_guard_is_required_but_those_about_a_guests_address() {
        let whole = serde_json::to_value(CardTestingGuard::default()).unwrap();
        for name in whole.as_object().unwrap().keys() {
            let mut part = whole.clone();
            part.as_object_mut().unwrap().remove(name);
            if name.starts_with("guest_ip") {
                assert_eq!(from_value::<CardTestingGuard>(part.clone()).unwrap(), CardTestingGuard::default());
                part[name] = Value::Null;
                assert_eq!(from_value::<CardTestingGuard>(part).unwrap(), CardTestingGuard::default());
            } else {
                assert_eq!(place::<CardTestingGuard>(part), fault(name, "json.missing_field"));
            }
        }
        let mut wrong = whole.clone();
        wrong["card_ip_blocking_threshold"] = 0.into();
        assert_eq!(
            place::<CardTestingGuard>(wrong),
            fault("card_ip_blocking_threshold", "card_testing_guard.threshold")
        );
        let mut wrong = whole;
        wrong["enabled"] = true.into();
        assert_eq!(place::<CardTestingGuard>(wrong), fault("enabled", "json.unknown_field"));
    }

    #[test]
    fn blocking_lists_are_sets_and_empty_unless_stated() {
        let blocking: PaymentMethodBlocking = from_value(json!({
            "card": {"issuing_country": ["US", "DE", "US"], "card_types": null, "issuers": ["A", "A"]},
        }))
        .unwrap();
        assert_eq!(
            serde_json::to_value(&blocking).unwrap(),
            json!({
                "card": {
                    "issuing_country": ["US", "DE"], "card_types": [], "card_subtypes": [], "issuers": ["A"],
                    "block_if_bin_info_unavailable": false,
                },
                "wallet": null,
            })
        );
        assert_eq!(from_value::<PaymentMethodBlocking>(serde_json::to_value(&blocking).unwrap()).unwrap(), blocking);
    }

    #[test]
    fn what_is_wrong_in_a_blocking_rule_is_named_by_its_path() {
        let issuers: Vec<String> = (0..257).map(|i| i.to_string()).collect();
        for (body, path, code) in [
            (json!({"card": {"issuing_country": ["US", "us"]}}), "card.issuing_country[1]", "country.unknown"),
            (json!({"wallet": {"card_types": ["prepaid"]}}), "wallet.card_types[0]", "json.unknown_variant"),
            (json!({"wallet": {"issuers": []}}), "wallet.issuers", "json.unknown_field"),
            (json!({"card": {"issuers": issuers}}), "card.issuers", "list.too_long"),
        ] {
            assert_eq!(place::<PaymentMethodBlocking>(body), fault(path, code));
        }
    }

    #[test]
    fn a_category_has_exactly_four_digits() {
        assert_eq!("0742".parse::<MerchantCategoryCode>().unwrap().to_string(), "0742");
        for text in ["", "742", "07420", "+742", "07a2", "٠٧٤٢"] {
            assert_eq!(text.parse::<MerchantCategoryCode>().unwrap_err().code(), "merchant_category_code.malformed");
        }
    }

    #[test]
    fn a_numeric_country_is_one_of_the_standard() {
        assert!(COUNTRIES.is_sorted());
        for text in ["004", "276", "840", "894"] {
            let code: NumericCountryCode = from_value(text.into()).unwrap();
            assert_eq!(serde_json::to_value(code).unwrap(), text);
        }
        for text in ["", "4", "000", "999", "280", "+40", "0840"] {
            assert_eq!(text.parse::<NumericCountryCode>().unwrap_err().code(), "merchant_country_code.unknown");
        }
    }
}
