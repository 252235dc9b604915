//! English. The signs are those of the Unicode CLDR where they are unambiguous.

use super::{Direction, Language, Sign, Str, Texts};
use std::borrow::Cow::Borrowed;

const fn sign(currency: &'static str, sign: &'static str) -> Sign {
    Sign { currency: Str::Borrowed(currency), sign: Str::Borrowed(sign) }
}

pub(super) const LANGUAGE: Language = Language {
    tag: Borrowed("en"),
    direction: Direction::Ltr,
    months: [
        Borrowed("January"),
        Borrowed("February"),
        Borrowed("March"),
        Borrowed("April"),
        Borrowed("May"),
        Borrowed("June"),
        Borrowed("July"),
        Borrowed("August"),
        Borrowed("September"),
        Borrowed("October"),
        Borrowed("November"),
        Borrowed("December"),
    ],
    date: Borrowed("{day} {month} {year}, {time} UTC"),
    money: Borrowed("{sign}{number}"),
    signs: Borrowed(&[
        sign("AUD", "A$"),
        sign("BRL", "R$"),
        sign("CAD", "CA$"),
        sign("CNY", "CN¥"),
        sign("EUR", "€"),
        sign("GBP", "£"),
        sign("HKD", "HK$"),
        sign("ILS", "₪"),
        sign("INR", "₹"),
        sign("JPY", "¥"),
        sign("KRW", "₩"),
        sign("MXN", "MX$"),
        sign("NZD", "NZ$"),
        sign("PHP", "₱"),
        sign("TWD", "NT$"),
        sign("USD", "$"),
        sign("VND", "₫"),
    ]),
    texts: Texts {
        payment: Borrowed("Payment"),
        pay_seller: Borrowed("Pay {seller}"),
        skip: Borrowed("Skip to the payment form"),
        order: Borrowed("Your order"),
        quantity: Borrowed("Quantity: {count}"),
        total: Borrowed("Total"),
        expires: Borrowed("Open until {date}"),
        method: Borrowed("Payment method"),
        pay_amount: Borrowed("Pay {amount}"),
        confirm: Borrowed("Confirm"),
        loading: Borrowed("Loading the payment form"),
        no_script: Borrowed(
            "The payment form needs JavaScript. Please switch it on in your browser and load this page again.",
        ),
        card_terms: Borrowed(
            "By paying with a card you allow {seller} to charge it with this amount, in accordance with their terms.",
        ),
        mandate_terms: Borrowed(
            "By confirming you allow {seller} to charge your card for this payment and for later ones, in accordance with their terms.",
        ),
        the_seller: Borrowed("the seller"),
        secured: Borrowed("Your details go straight to the payment processor, encrypted."),
        powered: Borrowed("Powered by {platform}"),
        other_device: Borrowed("Pay on another device"),
        qr_code: Borrowed("QR code that opens this page"),
        amount: Borrowed("Amount"),
        bounds: Borrowed("From {minimum} to {maximum}"),
        proceed: Borrowed("Continue"),
        back: Borrowed("Return to the shop"),
        scheduled: Borrowed("Not open yet"),
        scheduled_until: Borrowed("This payment page opens on {date}."),
        held: Borrowed("A payment is under way"),
        held_why: Borrowed(
            "Somebody is paying with this link at the moment. If it was not you, please try again in a few minutes.",
        ),
        paid: Borrowed("Payment received"),
        paid_amount: Borrowed("{amount} has been paid. Thank you."),
        paid_why: Borrowed("This has been paid. Thank you."),
        used_up: Borrowed("This link has been used"),
        used_up_why: Borrowed("It has been paid as often as it may be. Please ask the seller for a new one."),
        expired: Borrowed("This link has expired"),
        expired_why: Borrowed("It is not open any more. Please ask the seller for a new one."),
        deactivated: Borrowed("This link is switched off"),
        deactivated_why: Borrowed("The seller has closed it. Please get in touch with them if you still want to pay."),
    },
};
