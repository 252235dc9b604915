//! Amounts, numbers and moments as a reader of the page's language writes them.
//!
//! Digits and their grouping come from the Unicode CLDR by way of `icu_decimal`; how a sign, a number, a month stand
//! together is the language's own. The decimals are the currency's by ISO 4217.

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use fixed_decimal::Decimal;
use icu_decimal::options::GroupingStrategy;
use icu_decimal::{DecimalFormatter, DecimalFormatterPreferences};
use icu_locale_core::Locale;
use perfectpay::{Money, Timestamp};

use crate::language::{Language, fill};

/// Writes numbers in one locale.
#[derive(Debug)]
pub(crate) struct Numbers<'a> {
    language: &'a Language,
    /// None only where the tables know nothing of any locale: numbers are plain digits then.
    grouped: Option<DecimalFormatter>,
    plain: Option<DecimalFormatter>,
}

impl<'a> Numbers<'a> {
    /// The language's numbers, as they are written in the region of `tag` where it is of the same language.
    pub(crate) fn of(language: &'a Language, tag: &str) -> Self {
        let read = |tag: &str| Locale::try_from_str(tag).ok();
        let own = read(&language.tag).unwrap_or(Locale::UNKNOWN);
        let asked = read(tag).filter(|locale| locale.id.language == own.id.language);
        let preferences = DecimalFormatterPreferences::from(&asked.unwrap_or(own));
        let formatter = |grouping: GroupingStrategy| DecimalFormatter::try_new(preferences, grouping.into()).ok();
        Self { language, grouped: formatter(GroupingStrategy::Auto), plain: formatter(GroupingStrategy::Never) }
    }

    fn plain(&self, number: &Decimal) -> String {
        written(self.plain.as_ref(), number)
    }

    /// A count.
    pub(crate) fn count(&self, count: u32) -> String {
        written(self.grouped.as_ref(), &Decimal::from(count))
    }

    /// An amount with its currency's sign, or its code where the language has no sign for it.
    pub(crate) fn money(&self, money: Money) -> String {
        let exponent = i16::try_from(money.currency.exponent()).unwrap_or(0);
        let mut number = Decimal::from(money.amount.get());
        number.absolute.multiply_pow10(-exponent);
        number.absolute.pad_end(-exponent);
        let number = written(self.grouped.as_ref(), &number);
        let code = money.currency.code();
        let sign = self.language.signs.iter().find(|sign| sign.currency == code).map_or(code, |sign| &*sign.sign);
        // A sign of letters does not touch the digits.
        let apart = self.language.money.contains("{sign}{number}") && sign.ends_with(char::is_alphabetic);
        let pattern = if apart { "{sign}\u{a0}{number}" } else { &*self.language.money };
        fill(pattern, &[("{sign}", sign), ("{number}", &number)])
    }

    /// A moment, in UTC to the minute.
    pub(crate) fn moment(&self, moment: Timestamp) -> String {
        let moment = DateTime::<Utc>::from_timestamp_millis(moment.unix_millis()).unwrap_or_default();
        let two = |number: u32| {
            let mut number = Decimal::from(number);
            number.absolute.pad_start(2);
            self.plain(&number)
        };
        let month = usize::try_from(moment.month0()).ok().and_then(|at| self.language.months.get(at));
        fill(
            &self.language.date,
            &[
                ("{day}", &self.plain(&Decimal::from(moment.day()))),
                ("{month}", month.map_or("", |month| month)),
                ("{year}", &self.plain(&Decimal::from(moment.year()))),
                ("{time}", &format!("{}:{}", two(moment.hour()), two(moment.minute()))),
            ],
        )
    }
}

fn written(formatter: Option<&DecimalFormatter>, number: &Decimal) -> String {
    formatter.map_or_else(|| number.to_string(), |formatter| formatter.format(number).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(tag: &str, minor: i64, currency: &str) -> String {
        let numbers = Numbers::of(Language::find(tag, &[]), tag);
        numbers.money(Money { amount: minor.try_into().unwrap(), currency: currency.parse().unwrap() })
    }

    #[test]
    fn an_amount_is_written_as_its_language_and_its_currency_want() {
        for (tag, minor, currency, written) in [
            ("en", 123_456_789, "USD", "$1,234,567.89"),
            ("en", 5, "USD", "$0.05"),
            ("en", 0, "USD", "$0.00"),
            ("en", 1_234_500, "JPY", "¥1,234,500"),
            ("en", 1_234_567, "KWD", "KWD\u{a0}1,234.567"),
            ("en", 4999, "CHF", "CHF\u{a0}49.99"),
            ("en", 4999, "CAD", "CA$49.99"),
            ("en-IN", 123_456_789, "INR", "₹12,34,567.89"),
            ("es", 123_456, "EUR", "1234,56\u{a0}€"),
            ("es", 1_234_567, "EUR", "12.345,67\u{a0}€"),
            ("es-MX", 1_234_567, "MXN", "12,345.67\u{a0}MXN"),
            ("ar-EG", 123_456, "EGP", "\u{200f}١٬٢٣٤٫٥٦\u{a0}ج.م."),
            ("ar-AE", 123_456, "AED", "\u{200f}1,234.56\u{a0}د.إ."),
            ("ar-EG-u-nu-latn", 123_456, "USD", "\u{200f}1,234.56\u{a0}US$"),
            ("de", 4999, "EUR", "€49.99"),
        ] {
            assert_eq!(money(tag, minor, currency), written, "{tag}");
        }
    }

    #[test]
    fn a_moment_is_written_in_utc_with_the_languages_month_and_digits() {
        let moment: Timestamp = "2026-12-05T09:07:59Z".parse().unwrap();
        for (tag, written) in [
            ("en", "5 December 2026, 09:07 UTC"),
            ("es", "5 de diciembre de 2026, 09:07 UTC"),
            ("ar-EG", "٥ ديسمبر ٢٠٢٦، ٠٩:٠٧ بالتوقيت العالمي"),
        ] {
            assert_eq!(Numbers::of(Language::find(tag, &[]), tag).moment(moment), written);
        }
    }
}
