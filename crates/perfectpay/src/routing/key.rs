//! What a rule can ask of a payment: the keys, and the words that each takes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use strum::VariantArray as _;

use crate::connector::PaymentMethod;
use crate::error::Fault;

macro_rules! keys {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// A key of a comparison. In JSON its text; `country` is read as `business_country`, `bin_country` as
        /// `issuer_country`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, strum::VariantArray)]
        pub enum RoutingKey {
            $($(#[$doc])* $variant,)+
        }

        impl RoutingKey {
            /// The key's text.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

keys! {
    /// The amount, in minor units of the payment's currency.
    Amount = "amount",
    /// The currency, by its alphabetic code.
    Currency = "currency",
    /// The payment method.
    PaymentMethod = "payment_method",
    /// How the card is funded: `credit` or `debit`.
    CardType = "card_type",
    /// The card's network.
    CardNetwork = "card_network",
    /// The card's first six digits.
    CardBin = "card_bin",
    /// The card's first eight digits.
    ExtendedCardBin = "extended_card_bin",
    /// Any number of the card's leading digits, 1 to 11. Not published.
    CardPrefix = "card_prefix",
    /// The type, where the method is pay later.
    PayLater = "pay_later",
    /// The type, where the method is a wallet.
    Wallet = "wallet",
    /// The type, where the method is UPI.
    Upi = "upi",
    /// The type, where the method is a bank redirect.
    BankRedirect = "bank_redirect",
    /// The type, where the method is a bank debit.
    BankDebit = "bank_debit",
    /// The type, where the method is a bank transfer.
    BankTransfer = "bank_transfer",
    /// The type, where the method is a crypto currency.
    Crypto = "crypto",
    /// The type, where the method is a reward: `classic_reward` or `evoucher`.
    Reward = "reward",
    /// The type, where the method is a voucher.
    Voucher = "voucher",
    /// The type, where the method is a card on the issuer's page.
    CardRedirect = "card_redirect",
    /// The type, where the method is a payment that arrives at once.
    RealTimePayment = "real_time_payment",
    /// The type, where the method is a network's token.
    NetworkToken = "network_token",
    /// Whether the customer proves who they are.
    AuthenticationType = "authentication_type",
    /// When the money is taken.
    CaptureMethod = "capture_method",
    /// Where the payer is billed, by the country's published name (`Germany`).
    BillingCountry = "billing_country",
    /// Where the card was issued.
    IssuerCountry = "issuer_country",
    /// Where the merchant's business is.
    BusinessCountry = "business_country",
    /// The label of the merchant's business.
    BusinessLabel = "business_label",
    /// The pairs under `routing_parameters` of the payment's metadata.
    Metadata = "metadata",
    /// Whether the method is kept for later payments.
    SetupFutureUsage = "setup_future_usage",
    /// What the payment has to do with a mandate.
    PaymentType = "payment_type",
    /// How often a mandate may be used.
    MandateType = "mandate_type",
    /// How a mandate was accepted.
    MandateAcceptanceType = "mandate_acceptance_type",
    /// Who starts the payment.
    TransactionInitiator = "transaction_initiator",
}

/// Published keys that are for programs of other kinds.
const ELSEWHERE: [&str; 6] =
    ["gift_card", "open_banking", "mobile_payment", "issuer_name", "card_discovery", "connector"];

impl RoutingKey {
    /// The method whose types the key takes, of a key of that sort.
    pub fn types_of(self) -> Option<PaymentMethod> {
        Some(match self {
            Self::PayLater => PaymentMethod::PayLater,
            Self::Wallet => PaymentMethod::Wallet,
            Self::Upi => PaymentMethod::Upi,
            Self::BankRedirect => PaymentMethod::BankRedirect,
            Self::BankDebit => PaymentMethod::BankDebit,
            Self::BankTransfer => PaymentMethod::BankTransfer,
            Self::Crypto => PaymentMethod::Crypto,
            Self::Reward => PaymentMethod::Reward,
            Self::Voucher => PaymentMethod::Voucher,
            Self::CardRedirect => PaymentMethod::CardRedirect,
            Self::RealTimePayment => PaymentMethod::RealTimePayment,
            Self::NetworkToken => PaymentMethod::NetworkToken,
            _ => return None,
        })
    }
}

impl FromStr for RoutingKey {
    type Err = Fault;

    /// Reads a key.
    ///
    /// # Errors
    ///
    /// `routing.forbidden_key` for a published one that has no place in a program that selects connectors,
    /// `routing.unknown_key` for any other.
    fn from_str(text: &str) -> Result<Self, Fault> {
        match text {
            "country" => return Ok(Self::BusinessCountry),
            "bin_country" => return Ok(Self::IssuerCountry),
            _ => {}
        }
        if let Some(key) = Self::VARIANTS.iter().find(|key| key.as_str() == text) {
            return Ok(*key);
        }
        let elsewhere =
            ELSEWHERE.contains(&text) || text.starts_with("acquirer_") || text.starts_with("customer_device_");
        Err(if elsewhere {
            Fault::new("routing.forbidden_key", "is a key of other programs than those that select connectors")
        } else {
            Fault::new("routing.unknown_key", "is not a known key")
        })
    }
}

impl fmt::Display for RoutingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RoutingKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RoutingKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::json::parsed(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_reads_back_from_its_text() {
        for key in RoutingKey::VARIANTS {
            assert_eq!(key.as_str().parse::<RoutingKey>().unwrap(), *key);
        }
        assert_eq!(RoutingKey::VARIANTS.len(), 31 + 1, "the published ones and the prefix");
        assert_eq!("country".parse::<RoutingKey>().unwrap(), RoutingKey::BusinessCountry);
        assert_eq!("bin_country".parse::<RoutingKey>().unwrap(), RoutingKey::IssuerCountry);
    }

    #[test]
    fn a_key_of_other_programs_is_told_from_one_that_is_unknown() {
        for (text, code) in [
            ("issuer_name", "routing.forbidden_key"),
            ("acquirer_country", "routing.forbidden_key"),
            ("customer_device_type", "routing.forbidden_key"),
            ("card_discovery", "routing.forbidden_key"),
            ("colour", "routing.unknown_key"),
            ("Amount", "routing.unknown_key"),
            ("", "routing.unknown_key"),
        ] {
            assert_eq!(text.parse::<RoutingKey>().unwrap_err().code(), code, "{text}");
        }
    }
}
