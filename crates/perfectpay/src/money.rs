//! Money, currencies and countries.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Fault;

/// The largest amount of a payment, in minor units of its currency.
pub const MAX_AMOUNT: i64 = 999_999_999;

/// An ISO 4217 currency that an amount can be stated in, by its upper-case alphabetic code.
///
/// Funds, metals, the test code and `XXX` have no minor unit and are refused, as are currencies withdrawn from the
/// standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

/// Currencies that the table still knows and ISO 4217 has withdrawn.
const WITHDRAWN: [&str; 4] = ["CUC", "HRK", "SLL", "ZWL"];

impl Currency {
    /// The alphabetic code, for example `USD`.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Its place among all that there are, for compiled programs. It may be another in the next release.
    pub(crate) fn ordinal(self) -> u8 {
        self.0 as u8
    }

    /// How many decimal digits the minor unit has: 2 for `USD`, 0 for `JPY`, 3 for `KWD`. Source: ISO 4217 list one.
    pub fn exponent(self) -> u16 {
        self.0.exponent().unwrap_or(0)
    }
}

impl FromStr for Currency {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        iso_currency::Currency::from_code(text)
            .filter(|c| c.exponent().is_some() && !WITHDRAWN.contains(&c.code()))
            .map(Self)
            .ok_or_else(|| Fault::new("currency.unknown", "must be an ISO 4217 currency code in upper case"))
    }
}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Currency {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.code().cmp(other.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// A country by its ISO 3166-1 alpha-2 code in upper case: the 249 official ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Country(iso_currency::Country);

impl Country {
    /// The numeric code of ISO 3166-1: 4 to 894.
    pub(crate) fn numeric(self) -> u16 {
        self.0 as u16
    }
}

impl FromStr for Country {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        // The table also knows an `Unspecified`, whose text is empty.
        text.parse()
            .ok()
            .filter(|_| text.len() == 2)
            .map(Self)
            .ok_or_else(|| Fault::new("country.unknown", "must be an ISO 3166 alpha-2 country code in upper case"))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Country {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// An amount of a payment: 0 to [`MAX_AMOUNT`] minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MinorUnits(i64);

impl MinorUnits {
    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl TryFrom<i64> for MinorUnits {
    type Error = Fault;

    fn try_from(minor: i64) -> Result<Self, Fault> {
        if !(0..=MAX_AMOUNT).contains(&minor) {
            return Err(Fault::new("amount.out_of_range", "must be 0 to 999999999 minor units"));
        }
        Ok(Self(minor))
    }
}

impl<'de> Deserialize<'de> for MinorUnits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(i64::deserialize(deserializer)?).map_err(|fault| crate::json::refuse(&fault))
    }
}

/// An amount with its currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// How much, in minor units of the currency.
    pub amount: MinorUnits,
    /// Of what.
    pub currency: Currency,
}

impl fmt::Display for Money {
    /// The amount in major units, for example `49.99 USD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = usize::from(self.currency.exponent());
        let digits = format!("{:0width$}", self.amount.get(), width = exponent + 1);
        let (whole, fraction) = digits.split_at(digits.len() - exponent);
        match fraction {
            "" => write!(f, "{whole} {}", self.currency),
            _ => write!(f, "{whole}.{fraction} {}", self.currency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, currency: &str) -> String {
        Money { amount: minor.try_into().unwrap(), currency: currency.parse().unwrap() }.to_string()
    }

    #[test]
    fn money_is_shown_with_its_currencys_digits() {
        assert_eq!(money(4999, "USD"), "49.99 USD");
        assert_eq!(money(5, "USD"), "0.05 USD");
        assert_eq!(money(4999, "JPY"), "4999 JPY");
        assert_eq!(money(4999, "KWD"), "4.999 KWD");
    }

    #[test]
    fn both_ends_of_an_amount() {
        for good in [0, MAX_AMOUNT] {
            assert_eq!(MinorUnits::try_from(good).unwrap().get(), good);
        }
        for bad in [-1, MAX_AMOUNT + 1, i64::MIN, i64::MAX] {
            assert_eq!(MinorUnits::try_from(bad).unwrap_err().code(), "amount.out_of_range");
        }
    }

    #[test]
    fn unknown_and_withdrawn_currencies_are_refused() {
        for bad in ["usd", "US", "XXX", "XAU", "HRK", "ABC", "", "DOLLAR"] {
            assert_eq!(bad.parse::<Currency>().unwrap_err().code(), "currency.unknown", "{bad}");
        }
    }

    #[test]
    fn the_249_official_countries_and_no_others() {
        let letters = b'A'..=b'Z';
        let known = letters
            .clone()
            .flat_map(|a| letters.clone().map(move |b| [a, b]))
            .filter(|code| std::str::from_utf8(code).unwrap().parse::<Country>().is_ok())
            .count();
        assert_eq!(known, 249);
        for bad in ["us", "USA", "XK", ""] {
            assert_eq!(bad.parse::<Country>().unwrap_err().code(), "country.unknown", "{bad}");
        }
    }
}
