//! Languages: every word of the page, and how dates and amounts are put together.
//!
//! A language is data alone. The built-in ones stand in one file each below `language/`; a missing text does not
//! compile. A host adds its own as JSON with [`Language::from_json`].

use std::borrow::Cow;

use perfectpay::{Error, Fault};
use serde::{Deserialize, Serialize};

mod ar;
mod en;
mod es;

type Str = Cow<'static, str>;

/// Which way a language is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From left to right.
    Ltr,
    /// From right to left.
    Rtl,
}

impl Direction {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ltr => "ltr",
            Self::Rtl => "rtl",
        }
    }
}

/// A currency's sign in a language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// The currency's ISO 4217 code.
    pub currency: Str,
    /// Its sign, one that no other currency has in this language, such as `$` or `CA$` in English.
    pub sign: Str,
}

/// A language of the page.
///
/// Texts may have places for values, written `{amount}`. Which ones each has is checked by [`Language::from_json`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Language {
    /// The tag by BCP 47, for example `en` or `pt-BR`.
    pub tag: Str,
    /// Which way it is written.
    pub direction: Direction,
    /// The months, from January on, in the form that dates have.
    pub months: [Str; 12],
    /// A moment, of `{day}`, `{month}`, `{year}` and `{time}`. Moments are shown in UTC, and say so.
    pub date: Str,
    /// An amount, of `{sign}` and `{number}`.
    pub money: Str,
    /// The signs of currencies. One that is not among them is shown by its code.
    pub signs: Cow<'static, [Sign]>,
    /// The texts.
    pub texts: Texts,
}

macro_rules! texts {
    ($($(#[$doc:meta])* $field:ident $([$($place:literal),+])?;)+) => {
        /// The texts of the page.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Texts {
            $($(#[$doc])* pub $field: Str,)+
        }

        impl Texts {
            /// Every text with its name and the places that it must have, each once.
            fn each(&self) -> impl Iterator<Item = (&'static str, &str, &'static [&'static str])> {
                [$((stringify!($field), &*self.$field, &[$($($place),+)?] as &[&str]),)+].into_iter()
            }
        }
    };
}

texts! {
    /// The window's title where the page asks for a payment, and for a seller without a name.
    payment;
    /// What is paid to whom: the heading and the window's title.
    pay_seller ["{seller}"];
    /// The link for the keyboard that leads past the order.
    skip;
    /// The heading of the order.
    order;
    /// How many of an article.
    quantity ["{count}"];
    /// The order's sum.
    total;
    /// Until when the page is open.
    expires ["{date}"];
    /// The heading of the payment form.
    method;
    /// The button.
    pay_amount ["{amount}"];
    /// The button where nothing is taken now.
    confirm;
    /// Said while the processor's form is on its way.
    loading;
    /// Said where there is no JavaScript.
    no_script;
    /// The terms of a card payment.
    card_terms ["{seller}"];
    /// The terms of a card that is kept for later payments.
    mandate_terms ["{seller}"];
    /// Stands for the seller in a sentence where there is no name.
    the_seller;
    /// Below the button.
    secured;
    /// The platform's name at the end of the page.
    powered ["{platform}"];
    /// The heading of the QR code.
    other_device;
    /// What the QR code is.
    qr_code;
    /// The label of the field for an open amount.
    amount;
    /// The bounds of an open amount.
    bounds ["{minimum}", "{maximum}"];
    /// The button of the open amount.
    proceed;
    /// The link back to the shop.
    back;
    /// Not open yet: heading.
    scheduled;
    /// Not open yet: sentence.
    scheduled_until ["{date}"];
    /// Taken by another attempt: heading.
    held;
    /// Taken by another attempt: sentence.
    held_why;
    /// Paid: heading.
    paid;
    /// Paid: sentence.
    paid_amount ["{amount}"];
    /// Paid, without an amount: sentence.
    paid_why;
    /// The one payment of the link failed or was cancelled: heading.
    failed;
    /// The one payment of the link failed or was cancelled: sentence.
    failed_why;
    /// Used as often as it may be: heading.
    used_up;
    /// Used as often as it may be: sentence.
    used_up_why;
    /// Expired: heading.
    expired;
    /// Expired: sentence.
    expired_why;
    /// Deactivated: heading.
    deactivated;
    /// Deactivated: sentence.
    deactivated_why;
}

/// The built-in languages: English, Spanish, Arabic.
pub static BUILT_IN: [Language; 3] = [en::LANGUAGE, es::LANGUAGE, ar::LANGUAGE];

impl Language {
    /// Reads a language.
    ///
    /// # Errors
    ///
    /// What [`perfectpay::json::from_slice`] says, and `language.places` at the text whose places are not the ones that
    /// it must have.
    pub fn from_json(json: &[u8]) -> Result<Self, Error> {
        let language: Self = perfectpay::json::from_slice(json)?;
        language.check()?;
        Ok(language)
    }

    /// Checks the places of every text.
    ///
    /// # Errors
    ///
    /// `language.places` at the text.
    pub fn check(&self) -> Result<(), Fault> {
        let patterns = [
            ("date", &*self.date, &["{day}", "{month}", "{year}", "{time}"] as &[&str]),
            ("money", &*self.money, &["{sign}", "{number}"]),
        ];
        let texts = self.texts.each().map(|(name, text, places)| (format!("texts.{name}"), text, places));
        let patterns = patterns.into_iter().map(|(name, text, places)| (name.to_owned(), text, places));
        for (path, text, places) in patterns.chain(texts) {
            let each_once = places.iter().all(|place| text.matches(place).count() == 1);
            if text.is_empty() || !each_once || text.matches(['{', '}']).count() != places.len() * 2 {
                let message = format!("must have each of its places once and no others: {}", places.join(", "));
                return Err(Fault::new("language.places", message).at(path));
            }
        }
        Ok(())
    }

    /// The language for a tag: the one of that tag, else the first of the same primary language, else English; the
    /// host's before the built-in ones.
    pub(crate) fn find<'a>(tag: &str, own: &'a [Language]) -> &'a Language {
        let primary = |tag: &str| tag.split(['-', '_']).next().unwrap_or("").to_ascii_lowercase();
        let wanted = primary(tag);
        let all = || own.iter().chain(&BUILT_IN);
        all()
            .find(|language| language.tag.eq_ignore_ascii_case(tag))
            .or_else(|| all().find(|language| primary(&language.tag) == wanted))
            .unwrap_or(&BUILT_IN[0])
    }
}

/// Puts values in a text's places. A value is not looked into, whatever it holds.
pub(crate) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some((before, from)) = rest.find('{').and_then(|at| rest.split_at_checked(at)) {
        filled.push_str(before);
        let value = values.iter().find_map(|(place, value)| Some((*value, from.strip_prefix(*place)?)));
        match (value, from.strip_prefix('{')) {
            (Some((value, after)), _) => {
                filled.push_str(value);
                rest = after;
            }
            (None, after) => {
                filled.push('{');
                rest = after.unwrap_or("");
            }
        }
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_language_has_its_places_and_its_months() {
        for language in &BUILT_IN {
            assert_eq!(language.check(), Ok(()), "{}", language.tag);
            assert!(language.months.iter().all(|month| !month.is_empty()));
            let mut signs: Vec<_> = language.signs.iter().map(|sign| &sign.sign).collect();
            signs.sort();
            signs.dedup();
            assert_eq!(signs.len(), language.signs.len(), "{}: a sign for two currencies", language.tag);
        }
    }

    #[test]
    fn a_language_is_json_and_must_be_whole() {
        let json = serde_json::to_value(&BUILT_IN[1]).unwrap();
        let read = Language::from_json(json.to_string().as_bytes()).unwrap();
        assert_eq!(read, BUILT_IN[1]);

        let mut missing = json.clone();
        missing["texts"].as_object_mut().unwrap().remove("paid");
        let error = Language::from_json(missing.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.code(), "json.missing_field");

        for text in ["Pagar", "Pagar {amount} {amount}", "Pagar {amount} {seller}", "Pagar {amount", ""] {
            let mut wrong = json.clone();
            wrong["texts"]["pay_amount"] = text.into();
            let error = Language::from_json(wrong.to_string().as_bytes()).unwrap_err();
            let Error::Invalid(fault) = error else { panic!("{error}") };
            assert_eq!((fault.code(), fault.path()), ("language.places", "texts.pay_amount"), "{text}");
        }
    }

    #[test]
    fn a_tag_finds_its_language_and_english_otherwise() {
        for (tag, found) in [("en", "en"), ("es-MX", "es"), ("AR_eg", "ar"), ("fr", "en"), ("", "en"), ("<", "en")] {
            assert_eq!(Language::find(tag, &[]).tag, found, "{tag}");
        }
        let mut own = BUILT_IN[0].clone();
        own.tag = "es-AR".into();
        let own = [own];
        assert_eq!(Language::find("es-AR", &own).tag, "es-AR");
        assert_eq!(Language::find("es", &own).tag, "es");
        assert_eq!(Language::find("es-CL", &own).tag, "es-AR");
    }

    #[test]
    fn a_value_is_not_looked_into() {
        assert_eq!(fill("a {x} {y} {z", &[("{x}", "{y}"), ("{y}", "1")]), "a {y} 1 {z");
    }
}
