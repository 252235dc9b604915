//! What a decision knows of a payment. No card number is part of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::connector::{CardNetwork, PaymentMethod, PaymentMethodType};
use crate::error::Fault;
use crate::list::{BoundedMap, null_is_default};
use crate::money::{Country, Currency, MinorUnits, Money};
use crate::payment::{AuthenticationType, CaptureMethod};
use crate::profile::CardType;
use crate::text::Text;
use crate::words::words;

words! { "snake_case"
    /// Whether a payment method is kept for later payments.
    FutureUsage {
        /// For payments while the payer is there.
        OnSession,
        /// For payments while the payer is not.
        OffSession,
    }
}

words! { "snake_case"
    /// What a payment has to do with a mandate.
    PaymentType {
        /// It only sets one up.
        SetupMandate,
        /// Nothing.
        NonMandate,
        /// It is the first under a new one.
        NewMandate,
        /// It changes one.
        UpdateMandate,
        /// It uses a payment token of the processor.
        PptMandate,
    }
}

words! { "snake_case"
    /// How often a mandate may be used.
    MandateType {
        /// Once.
        SingleUse,
        /// More than once.
        MultiUse,
    }
}

words! { "snake_case"
    /// How a mandate was accepted.
    MandateAcceptanceType {
        /// On a page.
        Online,
        /// Elsewhere.
        Offline,
    }
}

words! { "snake_case"
    /// Who starts a payment.
    TransactionInitiator {
        /// The customer.
        Customer,
        /// The merchant.
        Merchant,
    }
}

/// The most leading digits of a card that a decision knows.
const MAX_BIN: usize = 11;

/// The leading digits of a card number: 6 to 11. In JSON a text.
///
/// ```
/// use perfectpay::CardBin;
///
/// let bin: CardBin = "42424242".parse()?;
/// assert_eq!(bin.to_string(), "42424242");
/// assert_eq!("4242".parse::<CardBin>().unwrap_err().code(), "card_bin.length");
/// assert_eq!("4242424242424242".parse::<CardBin>().unwrap_err().code(), "card_bin.length");
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardBin {
    /// The digits as a number.
    number: u64,
    /// How many there are.
    length: u8,
}

impl CardBin {
    /// How many digits are known.
    pub fn length(self) -> u8 {
        self.length
    }

    /// The digits as the first of eleven, zeros behind them.
    pub(super) fn padded(self) -> u64 {
        padded(self.number, self.length)
    }

    /// Whether the card's number begins with these digits; `None` where fewer digits are known, or these are none.
    pub fn begins_with(self, digits: &str) -> Option<bool> {
        let known = self.to_string();
        let decided = !digits.is_empty() && digits.len() <= known.len();
        decided.then(|| known.starts_with(digits))
    }
}

/// `length` digits as the first of eleven, zeros behind them.
pub(super) fn padded(number: u64, length: u8) -> u64 {
    number.saturating_mul(10_u64.saturating_pow(u32::from(11_u8.saturating_sub(length))))
}

impl FromStr for CardBin {
    type Err = Fault;

    /// Reads leading digits.
    ///
    /// # Errors
    ///
    /// `card_bin.length` or `card_bin.bad_character`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        if !(6..=MAX_BIN).contains(&text.len()) {
            return Err(Fault::new("card_bin.length", "must be 6 to 11 digits"));
        }
        let fault = || Fault::new("card_bin.bad_character", "must be digits");
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fault());
        }
        let length = u8::try_from(text.len()).map_err(|_| fault())?;
        Ok(Self { number: text.parse().map_err(|_| fault())?, length })
    }
}

impl fmt::Display for CardBin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0width$}", self.number, width = usize::from(self.length))
    }
}

impl Serialize for CardBin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CardBin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

/// What is known of the card that a payment is made with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KnownCard {
    /// Its leading digits.
    pub bin: Option<CardBin>,
    /// Its network.
    pub card_network: Option<CardNetwork>,
    /// How it is funded. The payment method type `credit` or `debit`, where stated, goes before it.
    pub card_type: Option<CardType>,
    /// Where it was issued.
    pub issuing_country: Option<Country>,
    /// Who issued it. No rule asks for it.
    pub issuer: Option<Text<255>>,
}

/// Pairs that rules can ask for: at most 50, by ascending key.
pub type RoutingMetadata = BoundedMap<Text<64>, Text<512>, 50>;

/// What a decision knows of a payment. What is not known is absent, and a rule that asks for it holds only where it asks
/// for something else (`not_equal`).
///
/// ```
/// use perfectpay::{PaymentFacts, json};
///
/// let facts: PaymentFacts = json::from_slice(br#"{"amount": 4999, "currency": "EUR", "payment_method": "card",
///     "card": {"bin": "424242", "card_network": "Visa"}, "billing_country": "DE"}"#)?;
/// assert_eq!(facts.card.unwrap().bin.unwrap().to_string(), "424242");
/// # Ok::<(), perfectpay::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentFacts {
    /// The amount, in minor units of the currency.
    pub amount: MinorUnits,
    /// The currency.
    pub currency: Currency,
    /// The method; that of the type, where only the type is known and belongs to one method.
    #[serde(default)]
    pub payment_method: Option<PaymentMethod>,
    /// Its type.
    #[serde(default)]
    pub payment_method_type: Option<PaymentMethodType>,
    /// The card.
    #[serde(default)]
    pub card: Option<KnownCard>,
    /// Whether the customer proves who they are.
    #[serde(default)]
    pub authentication_type: Option<AuthenticationType>,
    /// When the money is taken.
    #[serde(default)]
    pub capture_method: Option<CaptureMethod>,
    /// Whether the method is kept for later payments.
    #[serde(default)]
    pub setup_future_usage: Option<FutureUsage>,
    /// What the payment has to do with a mandate.
    #[serde(default)]
    pub payment_type: Option<PaymentType>,
    /// How often the mandate may be used.
    #[serde(default)]
    pub mandate_type: Option<MandateType>,
    /// How the mandate was accepted.
    #[serde(default)]
    pub mandate_acceptance_type: Option<MandateAcceptanceType>,
    /// Who starts the payment.
    #[serde(default)]
    pub transaction_initiator: Option<TransactionInitiator>,
    /// Where the payer is billed.
    #[serde(default)]
    pub billing_country: Option<Country>,
    /// Where the merchant's business is.
    #[serde(default)]
    pub business_country: Option<Country>,
    /// The label of the merchant's business.
    #[serde(default)]
    pub business_label: Option<Text<61>>,
    /// The pairs under `routing_parameters` of the payment's metadata.
    #[serde(default, deserialize_with = "null_is_default")]
    pub metadata: RoutingMetadata,
}

impl PaymentFacts {
    /// A payment of this much, of which nothing else is known.
    pub fn of(money: Money) -> Self {
        Self {
            amount: money.amount,
            currency: money.currency,
            payment_method: None,
            payment_method_type: None,
            card: None,
            authentication_type: None,
            capture_method: None,
            setup_future_usage: None,
            payment_type: None,
            mandate_type: None,
            mandate_acceptance_type: None,
            transaction_initiator: None,
            billing_country: None,
            business_country: None,
            business_label: None,
            metadata: RoutingMetadata::default(),
        }
    }

    /// The method: as stated, or that of the type where it belongs to one method.
    pub fn method(&self) -> Option<PaymentMethod> {
        self.payment_method.or_else(|| match self.payment_method_type?.methods() {
            [method] => Some(*method),
            _ => None,
        })
    }

    /// The type: as stated, or of a card whether it is known to be a credit or a debit card.
    pub fn method_type(&self) -> Option<PaymentMethodType> {
        self.payment_method_type.or_else(|| {
            let funding = self.card.as_ref()?.card_type.filter(|_| self.payment_method == Some(PaymentMethod::Card))?;
            Some(match funding {
                CardType::Credit => PaymentMethodType::Credit,
                CardType::Debit => PaymentMethodType::Debit,
            })
        })
    }

    /// Checks what the fields say together.
    ///
    /// # Errors
    ///
    /// `facts.method_mismatch` at a type that is not one of the method, `facts.no_card` at a card of a payment that is
    /// made otherwise.
    pub fn check(&self) -> Result<(), Fault> {
        if let (Some(method), Some(method_type)) = (self.payment_method, self.payment_method_type)
            && !method_type.methods().contains(&method)
        {
            let fault = Fault::new("facts.method_mismatch", format!("is not a type of {method}"));
            return Err(fault.at("payment_method_type"));
        }
        let by_card = matches!(
            self.method(),
            None | Some(PaymentMethod::Card | PaymentMethod::NetworkToken | PaymentMethod::Wallet)
        );
        if self.card.is_some() && !by_card {
            return Err(Fault::new("facts.no_card", "must be absent where no card is used").at("card"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::assert_published;

    fn facts(json: &str) -> PaymentFacts {
        crate::json::from_slice(json.as_bytes()).unwrap()
    }

    #[test]
    fn the_words_are_the_published_ones() {
        assert_published::<FutureUsage>("on_session off_session");
        assert_published::<PaymentType>("setup_mandate non_mandate new_mandate update_mandate ppt_mandate");
        assert_published::<MandateType>("single_use multi_use");
        assert_published::<MandateAcceptanceType>("online offline");
        assert_published::<TransactionInitiator>("customer merchant");
    }

    #[test]
    fn leading_digits_keep_their_zeros() {
        for text in ["000000", "004242", "42424242424"] {
            assert_eq!(text.parse::<CardBin>().unwrap().to_string(), text);
        }
        let bin: CardBin = "004242".parse().unwrap();
        assert_eq!(["0", "0042", "004242"].map(|digits| bin.begins_with(digits)), [Some(true); 3]);
        assert_eq!(["4", "0043", "004243"].map(|digits| bin.begins_with(digits)), [Some(false); 3]);
        assert_eq!(["", "0042420", "99999999"].map(|digits| bin.begins_with(digits)), [None; 3]);
        for (text, code) in [
            ("", "card_bin.length"),
            ("42424", "card_bin.length"),
            ("424242424242", "card_bin.length"),
            ("42424a", "card_bin.bad_character"),
            ("+42424", "card_bin.bad_character"),
        ] {
            assert_eq!(text.parse::<CardBin>().unwrap_err().code(), code, "{text}");
        }
    }

    #[test]
    fn what_is_stated_goes_before_what_follows_from_it() {
        let read = |rest: &str| facts(&format!(r#"{{"amount": 1, "currency": "USD"{rest}}}"#));
        let debit = r#", "payment_method": "card", "card": {"card_type": "debit"}"#;
        assert_eq!(read(debit).method_type(), Some(PaymentMethodType::Debit));
        let stated = r#", "payment_method": "card", "payment_method_type": "credit", "card": {"card_type": "debit"}"#;
        assert_eq!(read(stated).method_type(), Some(PaymentMethodType::Credit));
        assert_eq!(read(r#", "payment_method_type": "klarna""#).method(), Some(PaymentMethod::PayLater));
        assert_eq!(read(r#", "payment_method_type": "ach""#).method(), None);
        assert_eq!((read("").method(), read("").method_type()), (None, None));
    }

    #[test]
    fn facts_that_contradict_each_other_are_refused() {
        for (rest, path, code) in [
            (r#""payment_method": "pay_later", "payment_method_type": "sofort""#, "payment_method_type", "mismatch"),
            (r#""payment_method": "upi", "card": {"bin": "424242"}"#, "card", "no_card"),
        ] {
            let fault = facts(&format!(r#"{{"amount": 1, "currency": "USD", {rest}}}"#)).check().unwrap_err();
            assert_eq!(fault.path(), path);
            assert!(fault.code().ends_with(code), "{fault}");
        }
        assert_eq!(facts(r#"{"amount": 1, "currency": "USD", "metadata": null}"#).check(), Ok(()));
    }
}
