//! What a payment is made with, as it comes in: used for the decision, wiped, and never kept.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use zeroize::Zeroizing;

use crate::blocklist::CardNumber;
use crate::connector::{CardNetwork, PaymentMethod, PaymentMethodType};
use crate::error::Fault;
use crate::json::{join, parsed};
use crate::merchant::Address;
use crate::money::Country;
use crate::profile::CardType;
use crate::routing::{FutureUsage, PaymentType};
use crate::secret::{Request, SecretText};
use crate::text::{Object, Text};
use crate::time::Timestamp;

/// A card's verification code: 3 or 4 digits. Wiped when dropped; hidden in `Debug`, never serialised, never kept.
#[derive(Clone)]
pub struct CardCvc(#[allow(dead_code, reason = "it is checked and wiped; no decision looks at it")] Zeroizing<String>);

impl FromStr for CardCvc {
    type Err = Fault;

    /// Reads a code.
    ///
    /// # Errors
    ///
    /// `card_cvc.malformed`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        if !(3..=4).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Fault::new("card_cvc.malformed", "must be 3 or 4 digits"));
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for CardCvc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardCvc(..)")
    }
}

impl<'de> Deserialize<'de> for CardCvc {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// The month in which a card ends: `01` to `12`, or `1` to `9`. Hidden in `Debug`.
#[derive(Clone, Copy)]
pub struct ExpiryMonth(u8);

impl FromStr for ExpiryMonth {
    type Err = Fault;

    /// Reads a month.
    ///
    /// # Errors
    ///
    /// `card_exp_month.malformed`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("card_exp_month.malformed", "must be a month from 1 to 12");
        let month = digits(text, &[1, 2]).filter(|month| (1..=12).contains(month)).ok_or_else(fault)?;
        Ok(Self(u8::try_from(month).map_err(|_| fault())?))
    }
}

/// The year in which a card ends: two digits, of this century, or four. Hidden in `Debug`.
#[derive(Clone, Copy)]
pub struct ExpiryYear(u16);

impl FromStr for ExpiryYear {
    type Err = Fault;

    /// Reads a year.
    ///
    /// # Errors
    ///
    /// `card_exp_year.malformed`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        let year = digits(text, &[2, 4]).map(|year| if text.len() == 2 { 2_000 + year } else { year });
        year.map(Self).ok_or_else(|| Fault::new("card_exp_year.malformed", "must be two or four digits"))
    }
}

fn digits(text: &str, lengths: &[usize]) -> Option<u16> {
    let is_one = lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_one)
}

macro_rules! hidden {
    ($($name:ident),+) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                parsed(deserializer)
            }
        }
    )+ };
}

hidden!(ExpiryMonth, ExpiryYear);

/// A card, as the published body has it. Its number, code, expiry and holder are hidden in `Debug`; none of it is
/// serialised.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PaymentCard {
    /// The number.
    pub card_number: CardNumber,
    /// The month in which it ends.
    pub card_exp_month: ExpiryMonth,
    /// The year in which it ends.
    pub card_exp_year: ExpiryYear,
    /// Its verification code.
    #[serde(default)]
    pub card_cvc: Option<CardCvc>,
    /// Who holds it.
    #[serde(default)]
    pub card_holder_name: Option<SecretText>,
    /// Its network, where it is known.
    #[serde(default)]
    pub card_network: Option<CardNetwork>,
    /// How it is funded, where it is known.
    #[serde(default)]
    pub card_type: Option<CardType>,
    /// Where it was issued, where it is known.
    #[serde(default)]
    pub card_issuing_country: Option<Country>,
    /// Who issued it, where it is known.
    #[serde(default)]
    pub card_issuer: Option<Text<255>>,
}

impl PaymentCard {
    /// Checks that it has not ended. It is good until the end of its month, by UTC.
    ///
    /// # Errors
    ///
    /// `card.expired` at `card_exp_year` or `card_exp_month`.
    fn check(&self, now: Timestamp) -> Result<(), Fault> {
        let (year, month) = now.year_and_month();
        let (last_year, last_month) = (i32::from(self.card_exp_year.0), u32::from(self.card_exp_month.0));
        if last_year < year {
            return Err(Fault::new("card.expired", "is in the past").at("card_exp_year"));
        }
        if last_year == year && last_month < month {
            return Err(Fault::new("card.expired", "is in the past").at("card_exp_month"));
        }
        Ok(())
    }

    /// What an idempotency key is bound to: everything but the verification code, of which nothing may be kept, not even
    /// under a key.
    fn bound(&self) -> Zeroizing<Vec<u8>> {
        let mut bound = Zeroizing::new(Vec::with_capacity(64));
        bound.extend_from_slice(self.card_number.digits());
        bound.push(self.card_exp_month.0);
        bound.extend_from_slice(&self.card_exp_year.0.to_be_bytes());
        if let Some(name) = &self.card_holder_name {
            bound.extend_from_slice(name.as_bytes());
        }
        bound
    }
}

/// The data of a payment method. Of methods other than cards the host keeps the data to itself: no decision looks at it.
#[derive(Debug, Clone, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PaymentMethodData {
    /// The card, of the method `card`.
    pub card: Option<PaymentCard>,
    /// Where the payer is billed.
    pub billing: Option<Billing>,
}

/// Where a payer is billed. Only the country is looked at, and none of it kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Billing {
    /// The address.
    pub address: Option<Address>,
    /// The telephone number.
    pub phone: Option<Phone>,
    /// The e-mail address.
    pub email: Option<Text<255>>,
}

/// A telephone number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Phone {
    /// The number.
    pub number: Option<Text<255>>,
    /// The country's code.
    pub country_code: Option<Text<8>>,
}

/// Declares what confirms a payment once: for the body of its own, and for the one that creates and confirms.
macro_rules! method_fields {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)+) => {
        /// The body that confirms a payment.
        ///
        /// ```
        /// use perfectpay::{ConfirmPayment, json};
        ///
        /// let body = br#"{"payment_method": "card", "payment_method_type": "credit", "payment_method_data": {"card": {
        ///     "card_number": "4242424242424242", "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "123"}}}"#;
        /// let confirm: ConfirmPayment = json::from_slice(body)?;
        /// assert!(!format!("{confirm:?}").contains("4242"));
        /// # Ok::<(), perfectpay::Error>(())
        /// ```
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(deny_unknown_fields, default)]
        pub struct ConfirmPayment {
            /// The payment method's data. Never serialised.
            #[serde(skip_serializing)]
            pub payment_method_data: Option<PaymentMethodData>,
            $($(#[$doc])* pub $field: Option<$type>,)+
        }
    };
}

method_fields! {
    /// The payment method.
    payment_method: PaymentMethod,
    /// Its type.
    payment_method_type: PaymentMethodType,
    /// Where the payer is billed; that of the payment method's data goes before it.
    billing: Billing,
    /// What is known of the payer's browser. Only `ip_address` is looked at, and none of it kept.
    browser_info: Object,
    /// Whether the payment method is kept for later payments.
    setup_future_usage: FutureUsage,
    /// What the payment has to do with a mandate.
    payment_type: PaymentType,
}

impl ConfirmPayment {
    /// The card.
    pub fn card(&self) -> Option<&PaymentCard> {
        self.payment_method_data.as_ref()?.card.as_ref()
    }

    /// Where the payer is billed.
    pub(crate) fn billing_country(&self) -> Option<Country> {
        let own = self.payment_method_data.as_ref().and_then(|data| data.billing.as_ref());
        own.or(self.billing.as_ref())?.address.as_ref()?.country
    }

    /// Where the payer's browser is.
    ///
    /// # Errors
    ///
    /// `browser_info.ip_address` for what is no address.
    pub(crate) fn ip_address(&self) -> Result<Option<IpAddr>, Fault> {
        let Some(value) = self.browser_info.as_ref().and_then(|info| info.get("ip_address")) else { return Ok(None) };
        if value.is_null() {
            return Ok(None);
        }
        let address = value.as_str().and_then(|text| text.parse().ok());
        let fault = || Fault::new("browser_info.ip_address", "must be an IP address").at("browser_info.ip_address");
        address.map(Some).ok_or_else(fault)
    }

    /// Checks what the fields say together.
    ///
    /// # Errors
    ///
    /// `json.missing_field` without a payment method, or without the card of a card payment; `payment.method_mismatch` at
    /// a type that is not one of the method, `payment.no_card` at a card of another method, those of a card and of
    /// the browser's address.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), Fault> {
        let data = "payment_method_data.card";
        let missing = |path: &str| Err(Fault::new("json.missing_field", "is required").at(path));
        let Some(method) = self.payment_method else { return missing("payment_method") };
        if self.payment_method_type.is_some_and(|kind| !kind.methods().contains(&method)) {
            let fault = Fault::new("payment.method_mismatch", format!("is not a type of {method}"));
            return Err(fault.at("payment_method_type"));
        }
        match (method, self.card()) {
            (PaymentMethod::Card, None) => return missing(data),
            (PaymentMethod::Card, Some(card)) => {
                card.check(now).map_err(|fault| {
                    let path = join(data, fault.path());
                    fault.at(path)
                })?;
            }
            (_, Some(_)) => {
                let fault = Fault::new("payment.no_card", "must be absent where no card is used");
                return Err(fault.at(data));
            }
            (_, None) => {}
        }
        self.ip_address().map(drop)
    }

    /// What serialisation leaves out.
    pub(super) fn bound(&self) -> Vec<Zeroizing<Vec<u8>>> {
        let card = self.card().map_or_else(Zeroizing::default, PaymentCard::bound);
        let country = self.billing_country().map(|country| country.to_string()).unwrap_or_default();
        vec![card, Zeroizing::new(country.into_bytes())]
    }
}

impl Request for ConfirmPayment {
    fn secrets(&self) -> Vec<Zeroizing<Vec<u8>>> {
        self.bound()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn confirm(card: &str) -> ConfirmPayment {
        let body = format!(r#"{{"payment_method": "card", "payment_method_data": {{"card": {card}}}}}"#);
        crate::json::from_slice(body.as_bytes()).unwrap()
    }

    fn ending(month: &str, year: &str) -> ConfirmPayment {
        confirm(&format!(
            r#"{{"card_number": "4242424242424242", "card_exp_month": "{month}", "card_exp_year": "{year}"}}"#
        ))
    }

    #[test]
    fn a_card_is_good_until_its_month_is_over() {
        let now = at("2026-11-30T23:59:59.999Z");
        for (month, year) in [("11", "26"), ("12", "2026"), ("1", "27"), ("01", "2100")] {
            assert_eq!(ending(month, year).check(now), Ok(()), "{month}/{year}");
        }
        for (month, year, path) in [("10", "26", "card_exp_month"), ("12", "25", "card_exp_year")] {
            let fault = ending(month, year).check(now).unwrap_err();
            assert_eq!(
                (fault.path(), fault.code()),
                (format!("payment_method_data.card.{path}").as_str(), "card.expired")
            );
        }
        assert!(ending("11", "26").check(at("2026-12-01T00:00:00Z")).is_err());
    }

    #[test]
    fn what_is_no_part_of_a_card_says_where_and_not_what() {
        let good = r#""card_number": "4242424242424242", "card_exp_month": "10", "card_exp_year": "30""#;
        for (card, path, code) in [
            (r#"{"card_number": "4242424242424241"}"#, "card_number", "card_number.luhn"),
            (r#"{"card_number": 4242424242424242}"#, "card_number", "json.wrong_type"),
            (r#"{"card_number": "4242424242424242"}"#, "card_exp_month", "json.missing_field"),
            (&good.replace("\"10\"", "\"13\""), "card_exp_month", "card_exp_month.malformed"),
            (&good.replace("\"10\"", "\"0\""), "card_exp_month", "card_exp_month.malformed"),
            (&good.replace("\"30\"", "\"030\""), "card_exp_year", "card_exp_year.malformed"),
            (&format!(r#"{good}, "card_cvc": "12""#), "card_cvc", "card_cvc.malformed"),
            (&format!(r#"{good}, "card_cvc": "12a""#), "card_cvc", "card_cvc.malformed"),
            (&format!(r#"{good}, "pin": "1234""#), "pin", "json.unknown_field"),
        ] {
            let card = if card.starts_with('{') { card.to_owned() } else { format!("{{{card}}}") };
            let body = format!(r#"{{"payment_method": "card", "payment_method_data": {{"card": {card}}}}}"#);
            match crate::json::from_slice::<ConfirmPayment>(body.as_bytes()) {
                Err(crate::Error::Invalid(fault)) => {
                    let place = (fault.path(), fault.code());
                    assert_eq!(place, (format!("payment_method_data.card.{path}").as_str(), code), "{body}");
                    assert!(!format!("{fault} {fault:?}").contains("4242"), "{fault}");
                }
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_fields_of_a_confirmation_agree() {
        let now = at("2026-11-30T00:00:00Z");
        for (body, path, code) in [
            ("{}", "payment_method", "json.missing_field"),
            (r#"{"payment_method": "card"}"#, "payment_method_data.card", "json.missing_field"),
            (
                r#"{"payment_method": "wallet", "payment_method_type": "credit"}"#,
                "payment_method_type",
                "payment.method_mismatch",
            ),
            (
                r#"{"payment_method": "wallet", "payment_method_data": {"card": {"card_number": "4242424242424242",
                    "card_exp_month": "10", "card_exp_year": "30"}}}"#,
                "payment_method_data.card",
                "payment.no_card",
            ),
            (
                r#"{"payment_method": "wallet", "browser_info": {"ip_address": "localhost"}}"#,
                "browser_info.ip_address",
                "browser_info.ip_address",
            ),
        ] {
            let confirm: ConfirmPayment = crate::json::from_slice(body.as_bytes()).unwrap();
            let fault = confirm.check(now).unwrap_err();
            assert_eq!((fault.path(), fault.code()), (path, code), "{body}");
        }
        let body = br#"{"payment_method": "wallet", "payment_method_type": "paypal",
            "browser_info": {"ip_address": "203.0.113.9", "user_agent": "x"}}"#;
        let wallet: ConfirmPayment = crate::json::from_slice(body).unwrap();
        assert_eq!(wallet.check(now), Ok(()));
        assert_eq!(wallet.ip_address().unwrap(), Some("203.0.113.9".parse().unwrap()));
    }

    #[test]
    fn nothing_of_a_card_is_printed_serialised_or_bound_by_its_code() {
        let one = confirm(
            r#"{"card_number": "4242424242424242", "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "987",
                "card_holder_name": "Jane Doe"}"#,
        );
        let other = confirm(
            r#"{"card_number": "4242 4242 4242 4242", "card_exp_month": "10", "card_exp_year": "2030",
                "card_holder_name": "Jane Doe"}"#,
        );
        let printed = format!("{one:?} {one:#?} {}", serde_json::to_string(&one).unwrap());
        for secret in ["4242", "987", "30", "Jane"] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert_eq!(one.secrets(), other.secrets());
        assert_ne!(one.secrets(), ending("10", "30").secrets());
    }
}
