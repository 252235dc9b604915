//! The payment methods that an account is used for.
//!
//! Everything here reads the two published forms and writes one: a type of payment method is a text or an object on the
//! way in, and an object with all its members on the way out.

use std::fmt;
use std::ops::Deref;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::method_type::PaymentMethodType;
use crate::error::Fault;
use crate::json;
use crate::money::{Country, Currency, MinorUnits};
use crate::words::words;

words! { "snake_case"
    /// A way to pay.
    PaymentMethod {
        /// A card, by its number.
        Card,
        /// A card, entered on the issuer's page.
        CardRedirect,
        /// Later, or in parts.
        PayLater,
        /// A wallet.
        Wallet,
        /// Online banking, on the bank's page.
        BankRedirect,
        /// A transfer that the payer starts.
        BankTransfer,
        /// A crypto currency.
        Crypto,
        /// A debit that the payee starts.
        BankDebit,
        /// A reward or cash voucher.
        Reward,
        /// A transfer that arrives at once.
        RealTimePayment,
        /// India's unified payments interface.
        Upi,
        /// A slip that is paid elsewhere.
        Voucher,
        /// A gift card.
        GiftCard,
        /// A bank's open interface.
        OpenBanking,
        /// A mobile phone's bill.
        MobilePayment,
        /// A card, by its network's token.
        NetworkToken,
    }
}

words! { "snake_case"
    /// What the payer is led through.
    PaymentExperience {
        /// Another page.
        RedirectToUrl,
        /// The method's own interface within the page.
        InvokeSdkClient,
        /// A QR code.
        DisplayQrCode,
        /// Nothing but a click.
        OneClick,
        /// Linking the wallet.
        LinkWallet,
        /// Another app.
        InvokePaymentApp,
        /// A page that waits.
        DisplayWaitScreen,
        /// Entering a one-time password.
        CollectOtp,
    }
}

words! { "PascalCase"
    /// A card network.
    CardNetwork {
        /// Visa.
        Visa,
        /// Mastercard.
        Mastercard,
        /// American Express.
        AmericanExpress,
        /// JCB.
        Jcb = "JCB",
        /// Diners Club.
        DinersClub,
        /// Discover.
        Discover,
        /// Cartes Bancaires, of France.
        CartesBancaires,
        /// Union Pay, of China.
        UnionPay,
        /// Interac, of Canada.
        Interac,
        /// Ru Pay, of India.
        RuPay,
        /// Maestro.
        Maestro,
        /// Star, of the United States.
        Star,
        /// Pulse, of the United States.
        Pulse,
        /// Accel, of the United States.
        Accel,
        /// NYCE, of the United States.
        Nyce,
    }
}

/// Which values of a kind are accepted. In JSON `{"type": "enable_only" | "disable_only", "list": […]}`, each value
/// listed once, or `{"type": "all_accepted"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Accepted<T> {
    /// These; all, if the list is empty.
    EnableOnly {
        /// The values.
        list: Vec<T>,
    },
    /// All but these.
    DisableOnly {
        /// The values.
        list: Vec<T>,
    },
    /// All.
    AllAccepted,
}

/// Which currencies are accepted.
pub type AcceptedCurrencies = Accepted<Currency>;

/// Which countries are accepted.
pub type AcceptedCountries = Accepted<Country>;

impl<T: PartialEq> Accepted<T> {
    /// Whether `value` is accepted.
    pub fn accepts(&self, value: &T) -> bool {
        match self {
            Self::EnableOnly { list } => list.is_empty() || list.contains(value),
            Self::DisableOnly { list } => !list.contains(value),
            Self::AllAccepted => true,
        }
    }
}

impl<'de, T: Deserialize<'de> + PartialEq> Deserialize<'de> for Accepted<T> {
    /// Reads the published form.
    ///
    /// # Errors
    ///
    /// `json.missing_field` where the list is missing, `connector.needless_list` where there is nothing to list,
    /// `connector.listed_twice` at the second of two equal values.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Kind {
            EnableOnly,
            DisableOnly,
            AllAccepted,
        }

        // A tagged enum would be buffered by serde, and the buffer would lose the path of what is wrong in it.
        #[derive(Deserialize)]
        #[serde(expecting = "an object with a `type`", deny_unknown_fields)]
        #[serde(bound = "T: Deserialize<'de> + PartialEq")]
        struct Members<T> {
            r#type: Kind,
            list: Option<Once<T>>,
        }

        let Members { r#type, list } = Members::deserialize(deserializer)?;
        match (r#type, list) {
            (Kind::EnableOnly, Some(Once(list))) => Ok(Self::EnableOnly { list }),
            (Kind::DisableOnly, Some(Once(list))) => Ok(Self::DisableOnly { list }),
            (Kind::AllAccepted, None) => Ok(Self::AllAccepted),
            (Kind::EnableOnly | Kind::DisableOnly, None) => {
                Err(json::refuse(&Fault::new("json.missing_field", "is required").at("list")))
            }
            (Kind::AllAccepted, Some(_)) => {
                let fault = Fault::new("connector.needless_list", "must be absent where all are accepted");
                Err(json::refuse(&fault.at("list")))
            }
        }
    }
}

/// A list in which nothing is twice, which also bounds it by the number of values that there are.
struct Once<T>(Vec<T>);

impl<'de, T: Deserialize<'de> + PartialEq> Deserialize<'de> for Once<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(Vec<T>);

        impl<'de, T: Deserialize<'de> + PartialEq> Visitor<'de> for Items<T> {
            type Value = Once<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Once<T>, A::Error> {
                let Self(mut items) = self;
                while let Some(item) = seq.next_element()? {
                    if items.contains(&item) {
                        let fault = Fault::new("connector.listed_twice", "is in the list already");
                        return Err(json::refuse(&fault.at(format!("[{}]", items.len()))));
                    }
                    items.push(item);
                }
                Ok(Once(items))
            }
        }

        deserializer.deserialize_seq(Items(Vec::new()))
    }
}

fn once<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<CardNetwork>>, D::Error> {
    Ok(Option::<Once<CardNetwork>>::deserialize(deserializer)?.map(|Once(items)| items))
}

/// One type of payment method, and when an account is used for it.
///
/// In JSON an object, or as shorthand the text of its `payment_method_type` alone. It is always written as an object,
/// with null for what is not restricted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MethodTypeEnabled {
    /// The type.
    pub payment_method_type: PaymentMethodType,
    /// What the payer is led through; any, if absent.
    pub payment_experience: Option<PaymentExperience>,
    /// The card networks, each once; all, if absent or empty.
    pub card_networks: Option<Vec<CardNetwork>>,
    /// The currencies; all, if absent.
    pub accepted_currencies: Option<AcceptedCurrencies>,
    /// The billing countries; all, if absent. They restrict only where the payer's is known.
    pub accepted_countries: Option<AcceptedCountries>,
    /// The least amount, itself included, in minor units of the payment's currency; no bound, if absent.
    pub minimum_amount: Option<MinorUnits>,
    /// The greatest amount, itself included, in minor units of the payment's currency; no bound, if absent.
    pub maximum_amount: Option<MinorUnits>,
    /// Whether it may recur. Matters only where methods are listed to a payer.
    pub recurring_enabled: Option<bool>,
    /// Whether it may be paid in instalments. Matters only where methods are listed to a payer.
    pub installment_payment_enabled: Option<bool>,
}

impl From<PaymentMethodType> for MethodTypeEnabled {
    /// The type without any restriction.
    fn from(payment_method_type: PaymentMethodType) -> Self {
        Self {
            payment_method_type,
            payment_experience: None,
            card_networks: None,
            accepted_currencies: None,
            accepted_countries: None,
            minimum_amount: None,
            maximum_amount: None,
            recurring_enabled: None,
            installment_payment_enabled: None,
        }
    }
}

impl<'de> Deserialize<'de> for MethodTypeEnabled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(remote = "MethodTypeEnabled", deny_unknown_fields)]
        struct Members {
            payment_method_type: PaymentMethodType,
            payment_experience: Option<PaymentExperience>,
            #[serde(default, deserialize_with = "once")]
            card_networks: Option<Vec<CardNetwork>>,
            accepted_currencies: Option<AcceptedCurrencies>,
            accepted_countries: Option<AcceptedCountries>,
            minimum_amount: Option<MinorUnits>,
            maximum_amount: Option<MinorUnits>,
            recurring_enabled: Option<bool>,
            installment_payment_enabled: Option<bool>,
        }

        struct TextOrObject;

        impl<'de> Visitor<'de> for TextOrObject {
            type Value = MethodTypeEnabled;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a payment method type or an object with one")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<MethodTypeEnabled, E> {
                PaymentMethodType::deserialize(StrDeserializer::new(text)).map(Into::into)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MethodTypeEnabled, A::Error> {
                Members::deserialize(MapAccessDeserializer::new(map))
            }
        }

        deserializer.deserialize_any(TextOrObject)
    }
}

/// One payment method, and the types of it that an account is used for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PaymentMethodsEnabled {
    /// The method.
    pub payment_method: PaymentMethod,
    /// Its types, each once, at most [`MAX_METHOD_TYPES`]. In JSON it may be absent on the way in.
    pub payment_method_types: Vec<MethodTypeEnabled>,
}

/// The most types that one element of [`EnabledMethods`] lists.
pub const MAX_METHOD_TYPES: usize = 128;

impl PaymentMethodsEnabled {
    /// Checks a value that was not read from JSON; one that was is checked already.
    ///
    /// # Errors
    ///
    /// `connector.too_many_types` at the list; `connector.method_mismatch` for a type that is not one of the method,
    /// `connector.method_twice` for one that stands earlier in the list; `connector.amount_bounds` at a minimum above
    /// its maximum.
    pub fn check(&self) -> Result<(), Fault> {
        let list = "payment_method_types";
        if self.payment_method_types.len() > MAX_METHOD_TYPES {
            return Err(Fault::new("connector.too_many_types", "must have at most 128 elements").at(list));
        }
        let mut earlier = Vec::with_capacity(self.payment_method_types.len());
        for (position, one) in self.payment_method_types.iter().enumerate() {
            let fault = if !one.payment_method_type.methods().contains(&self.payment_method) {
                let message = format!("is not a type of {}", self.payment_method);
                Fault::new("connector.method_mismatch", message).at(format!("{list}[{position}]"))
            } else if earlier.contains(&one.payment_method_type) {
                let message = "is enabled earlier in the list";
                Fault::new("connector.method_twice", message).at(format!("{list}[{position}]"))
            } else if one.minimum_amount.zip(one.maximum_amount).is_some_and(|(minimum, maximum)| minimum > maximum) {
                let message = "must be at most the maximum amount";
                Fault::new("connector.amount_bounds", message).at(format!("{list}[{position}].minimum_amount"))
            } else {
                earlier.push(one.payment_method_type);
                continue;
            };
            return Err(fault);
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for PaymentMethodsEnabled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(expecting = "an object with a `payment_method`", deny_unknown_fields)]
        struct Members {
            payment_method: PaymentMethod,
            payment_method_types: Option<Vec<MethodTypeEnabled>>,
        }

        let Members { payment_method, payment_method_types } = Members::deserialize(deserializer)?;
        let enabled = Self { payment_method, payment_method_types: payment_method_types.unwrap_or_default() };
        enabled.check().map_err(|fault| json::refuse(&fault))?;
        Ok(enabled)
    }
}

/// The payment methods that an account is used for: at most [`MAX_METHODS`] elements. One method may stand in several,
/// which add up. Without any the account is never eligible for a payment.
///
/// ```
/// use perfectpay::{EnabledMethods, PaymentMethodType, json};
///
/// let methods: EnabledMethods =
///     json::from_slice(br#"[{"payment_method": "card", "payment_method_types": ["credit"]}]"#)?;
/// assert_eq!(methods[0].payment_method_types, [PaymentMethodType::Credit.into()]);
///
/// let wrong = br#"[{"payment_method": "card", "payment_method_types": ["credit", "pix"]}]"#;
/// let error = json::from_slice::<EnabledMethods>(wrong).unwrap_err();
/// assert_eq!(error.to_string(), "`[0].payment_method_types[1]`: is not a type of card");
/// # Ok::<(), perfectpay::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct EnabledMethods(Vec<PaymentMethodsEnabled>);

/// The most elements of [`EnabledMethods`].
pub const MAX_METHODS: usize = 64;

fn check_number(methods: &[PaymentMethodsEnabled]) -> Result<(), Fault> {
    if methods.len() > MAX_METHODS {
        return Err(Fault::new("connector.too_many_methods", "must have at most 64 elements"));
    }
    Ok(())
}

impl TryFrom<Vec<PaymentMethodsEnabled>> for EnabledMethods {
    type Error = Fault;

    /// Checks each element and their number.
    ///
    /// # Errors
    ///
    /// `connector.too_many_methods`, and those of [`PaymentMethodsEnabled::check`] with the element's position.
    fn try_from(methods: Vec<PaymentMethodsEnabled>) -> Result<Self, Fault> {
        check_number(&methods)?;
        for (position, enabled) in methods.iter().enumerate() {
            enabled.check().map_err(|fault| {
                let path = json::join(&format!("[{position}]"), fault.path());
                fault.at(path)
            })?;
        }
        Ok(Self(methods))
    }
}

impl Deref for EnabledMethods {
    type Target = [PaymentMethodsEnabled];

    fn deref(&self) -> &[PaymentMethodsEnabled] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for EnabledMethods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let methods = Vec::deserialize(deserializer)?;
        check_number(&methods).map_err(|fault| json::refuse(&fault))?;
        Ok(Self(methods))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::error::Error;
    use crate::words::assert_published;

    #[derive(Debug, Deserialize)]
    struct Body {
        payment_methods_enabled: EnabledMethods,
    }

    fn read(methods: &Value) -> Result<EnabledMethods, Fault> {
        let body = json!({ "payment_methods_enabled": methods }).to_string();
        match json::from_slice::<Body>(body.as_bytes()) {
            Ok(body) => Ok(body.payment_methods_enabled),
            Err(Error::Invalid(fault)) => Err(fault),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn refused(methods: &Value) -> (String, String) {
        let fault = read(methods).unwrap_err();
        (fault.path().replace("payment_methods_enabled", "$"), fault.code().to_owned())
    }

    /// What is wrong with a body whose second card type is `second`.
    fn refused_type(second: &Value) -> (String, String) {
        let (path, code) = refused(&json!([{"payment_method": "card", "payment_method_types": ["credit", second]}]));
        (path.replace("$[0].payment_method_types[1]", "@"), code)
    }

    #[test]
    fn the_vocabularies_are_the_published_ones() {
        assert_published::<PaymentMethod>(
            "card card_redirect pay_later wallet bank_redirect bank_transfer crypto bank_debit reward \
             real_time_payment upi voucher gift_card open_banking mobile_payment network_token",
        );
        assert_published::<PaymentExperience>(
            "redirect_to_url invoke_sdk_client display_qr_code one_click link_wallet invoke_payment_app \
             display_wait_screen collect_otp",
        );
        assert_published::<CardNetwork>(
            "Visa Mastercard AmericanExpress JCB DinersClub Discover CartesBancaires UnionPay Interac RuPay Maestro \
             Star Pulse Accel Nyce",
        );
    }

    #[test]
    fn the_two_published_forms_are_one_value() {
        let texts = json!([{"payment_method": "card", "payment_method_types": ["credit", "debit"]}]);
        let objects = json!([{
            "payment_method": "card",
            "payment_method_types": [{"payment_method_type": "credit"}, {"payment_method_type": "debit"}],
        }]);
        let value = read(&texts).unwrap();
        assert_eq!(value, read(&objects).unwrap());
        let types = vec![PaymentMethodType::Credit.into(), PaymentMethodType::Debit.into()];
        let card = PaymentMethodsEnabled { payment_method: PaymentMethod::Card, payment_method_types: types };
        assert_eq!(value, EnabledMethods::try_from(vec![card]).unwrap());
    }

    #[test]
    fn a_type_is_written_as_an_object_with_explicit_nulls() {
        let value = read(&json!([{"payment_method": "crypto", "payment_method_types": ["crypto_currency"]}])).unwrap();
        let written = json!([{"payment_method": "crypto", "payment_method_types": [{
            "payment_method_type": "crypto_currency",
            "payment_experience": null,
            "card_networks": null,
            "accepted_currencies": null,
            "accepted_countries": null,
            "minimum_amount": null,
            "maximum_amount": null,
            "recurring_enabled": null,
            "installment_payment_enabled": null,
        }]}]);
        assert_eq!(serde_json::to_value(&value).unwrap(), written);
        assert_eq!(read(&serde_json::to_value(&value).unwrap()).unwrap(), value);
    }

    #[test]
    fn every_restriction_reads_back() {
        let full = json!([{"payment_method": "card", "payment_method_types": [{
            "payment_method_type": "credit",
            "payment_experience": "redirect_to_url",
            "card_networks": ["Visa", "JCB"],
            "accepted_currencies": {"type": "enable_only", "list": ["USD", "EUR"]},
            "accepted_countries": {"type": "disable_only", "list": ["FR"]},
            "minimum_amount": 100,
            "maximum_amount": 100,
            "recurring_enabled": true,
            "installment_payment_enabled": false,
        }]}]);
        assert_eq!(serde_json::to_value(read(&full).unwrap()).unwrap(), full);
    }

    #[test]
    fn a_method_without_types_has_none() {
        for types in [json!({"payment_method": "upi"}), json!({"payment_method": "upi", "payment_method_types": null})]
        {
            assert_eq!(read(&json!([types])).unwrap()[0].payment_method_types, []);
        }
    }

    #[test]
    fn a_wrong_element_is_named_by_path_and_code() {
        for (element, path, code) in [
            (json!({}), "$[0].payment_method", "json.missing_field"),
            (json!("card"), "$[0]", "json.wrong_type"),
            (json!({"payment_method": "cards"}), "$[0].payment_method", "json.unknown_variant"),
            (json!({"payment_method": "card", "types": []}), "$[0].types", "json.unknown_field"),
        ] {
            assert_eq!(refused(&json!([element])), (path.to_owned(), code.to_owned()), "{element}");
        }
    }

    #[test]
    fn a_wrong_type_is_named_by_path_and_code() {
        let with = |name: &str, value: Value| json!({"payment_method_type": "debit", name: value});
        let list = |kind: &str, list: Value| json!({"type": kind, "list": list});
        for (second, path, code) in [
            (json!("debt"), "@", "json.unknown_variant"),
            (json!(5), "@", "json.wrong_type"),
            (json!("pix"), "@", "connector.method_mismatch"),
            (json!("credit"), "@", "connector.method_twice"),
            (json!({"payment_method_type": "credit"}), "@", "connector.method_twice"),
            (json!({}), "@.payment_method_type", "json.missing_field"),
            (json!({"payment_method_type": "debt"}), "@.payment_method_type", "json.unknown_variant"),
            (with("network", json!(1)), "@.network", "json.unknown_field"),
            (with("card_networks", json!(["Visa", "visa"])), "@.card_networks[1]", "json.unknown_variant"),
            (with("card_networks", json!(["Visa", "Visa"])), "@.card_networks[1]", "connector.listed_twice"),
            (with("minimum_amount", json!(-1)), "@.minimum_amount", "amount.out_of_range"),
            (with("recurring_enabled", json!("yes")), "@.recurring_enabled", "json.wrong_type"),
            (
                with("accepted_currencies", list("enable_only", json!(["USD", "usd"]))),
                "@.accepted_currencies.list[1]",
                "currency.unknown",
            ),
            (
                with("accepted_currencies", list("enable_only", json!(["USD", "USD"]))),
                "@.accepted_currencies.list[1]",
                "connector.listed_twice",
            ),
            (
                with("accepted_countries", list("all_accepted", json!([]))),
                "@.accepted_countries.list",
                "connector.needless_list",
            ),
            (
                with("accepted_countries", json!({"type": "disable_only"})),
                "@.accepted_countries.list",
                "json.missing_field",
            ),
            (with("accepted_countries", json!({"type": "some"})), "@.accepted_countries.type", "json.unknown_variant"),
            (
                json!({"payment_method_type": "debit", "minimum_amount": 2, "maximum_amount": 1}),
                "@.minimum_amount",
                "connector.amount_bounds",
            ),
        ] {
            assert_eq!(refused_type(&second), (path.to_owned(), code.to_owned()), "{second}");
        }
    }

    #[test]
    fn a_shared_type_belongs_to_both_of_its_methods() {
        for method in ["bank_transfer", "bank_debit"] {
            assert!(read(&json!([{"payment_method": method, "payment_method_types": ["ach", "bacs"]}])).is_ok());
        }
    }

    #[test]
    fn both_sides_of_the_most_elements() {
        let methods = |number: usize| Value::from(vec![json!({"payment_method": "upi"}); number]);
        assert_eq!(read(&methods(MAX_METHODS)).unwrap().len(), MAX_METHODS);
        assert_eq!(refused(&methods(MAX_METHODS + 1)), ("$".into(), "connector.too_many_methods".into()));
    }

    #[test]
    fn more_types_than_there_may_be_are_refused_before_they_are_looked_at() {
        let types = vec![PaymentMethodType::Credit.into(); MAX_METHOD_TYPES + 1];
        let card = PaymentMethodsEnabled { payment_method: PaymentMethod::Card, payment_method_types: types };
        let fault = EnabledMethods::try_from(vec![card]).unwrap_err();
        assert_eq!((fault.path(), fault.code()), ("[0].payment_method_types", "connector.too_many_types"));
    }

    #[test]
    fn an_empty_list_restricts_nothing() {
        let euro: Currency = "EUR".parse().unwrap();
        for (accepted, answer) in [
            (Accepted::EnableOnly { list: vec![] }, true),
            (Accepted::EnableOnly { list: vec!["USD".parse().unwrap()] }, false),
            (Accepted::EnableOnly { list: vec![euro] }, true),
            (Accepted::DisableOnly { list: vec![] }, true),
            (Accepted::DisableOnly { list: vec![euro] }, false),
            (Accepted::AllAccepted, true),
        ] {
            assert_eq!(accepted.accepts(&euro), answer, "{accepted:?}");
        }
    }
}
