//! The page as its template sees it: every text chosen, every value formatted.

use askama::Template;
use perfectpay::{Branding, DetailsLayout, Fault, Level, MessageMode, Money, ShowTerms, TransactionDetail, WebUrl};

use crate::amount::Numbers;
use crate::config::Configuration;
use crate::language::{Language, Texts, fill};
use crate::page::{AmountForm, CheckoutPage, PageState, PaymentForm};
use crate::policy::{Images, Script};
use crate::rules;
use crate::style::Sheets;

#[derive(Template)]
#[template(path = "page.html")]
pub(crate) struct View<'a> {
    language: &'a Language,
    texts: &'a Texts,
    base: &'a str,
    own: &'a str,
    title: String,
    layout: &'static str,
    seller: Option<&'a str>,
    logo: Option<&'a str>,
    /// The heading above the amount.
    heading: String,
    amount: Option<String>,
    /// The currency's code, where the formatted amount does not hold it.
    code: Option<&'static str>,
    description: Option<&'a str>,
    items: Vec<Item<'a>>,
    details: Vec<Detail<'a>>,
    expires: Option<Until>,
    qr_code: Option<String>,
    platform: Option<String>,
    return_url: Option<&'a str>,
    content: Content<'a>,
}

struct Item<'a> {
    name: &'a str,
    quantity: Option<String>,
    amount: String,
}

struct Detail<'a> {
    key: &'a str,
    value: &'a str,
    bold_key: bool,
    bold_value: bool,
}

struct Until {
    machine: String,
    text: String,
}

/// What the page is about.
enum Content<'a> {
    Pay(Box<Pay<'a>>),
    Amount(Open<'a>),
    Closed(Closed<'a>),
}

struct Pay<'a> {
    heading: &'a str,
    script: &'a str,
    configuration: Configuration<'a>,
    messages: Vec<Message<'a>>,
    terms: Option<String>,
    button: String,
    waits: bool,
}

/// A text at a payment method.
struct Message<'a> {
    method: &'static str,
    kind: &'static str,
    text: &'a str,
}

struct Open<'a> {
    action: &'a str,
    label: String,
    bounds: String,
}

struct Closed<'a> {
    icon: &'static str,
    heading: &'a str,
    sentence: String,
}

impl<'a> View<'a> {
    pub(crate) fn of(
        page: &'a CheckoutPage<'a>,
        language: &'a Language,
        sheets: &'a Sheets,
        images: &'a Images<'a>,
        script: Option<&'a Script<'a>>,
    ) -> Self {
        let (branding, texts) = (page.branding, &language.texts);
        let numbers = Numbers::of(language, page.locale);
        // Who says that the name is not to be shown means all of the page; the built-in default means beside a logo.
        let shown = &branding.show_merchant_name;
        let hidden = !shown.value && shown.level != Level::BuiltIn;
        let seller = branding.seller_name.value.as_deref().filter(|_| !hidden);
        let heading = match seller {
            Some(seller) => fill(&texts.pay_seller, &[("{seller}", seller)]),
            None => texts.payment.to_string(),
        };
        let content = content(page, texts, &numbers, script);
        let title = match &content {
            Content::Closed(closed) => closed.heading.to_owned(),
            Content::Pay(_) | Content::Amount(_) => heading.clone(),
        };
        let money = |minor| page.amount.map(|of| numbers.money(Money { amount: minor, currency: of.currency }));
        let amount = page.amount.map(|money| numbers.money(money));
        let items = page.items.iter().filter_map(|item| {
            Some(Item {
                name: &item.name,
                quantity: (item.quantity != 1)
                    .then(|| fill(&texts.quantity, &[("{count}", &numbers.count(item.quantity))])),
                amount: money(item.amount)?,
            })
        });
        let open = !matches!(content, Content::Closed(_));
        let code = page.amount.map(|money| money.currency.code());
        Self {
            language,
            texts,
            base: &sheets.base.text,
            own: &sheets.own.text,
            title,
            layout: layout(branding, open, images.background.is_some()),
            seller: seller.filter(|_| shown.value || images.logo.is_none()),
            logo: images.logo.as_ref().map(|(url, _)| url.as_str()),
            heading,
            code: code.filter(|code| amount.as_ref().is_some_and(|amount| !amount.contains(code))),
            amount,
            description: page.description.map(|description| &**description),
            items: items.collect(),
            details: details(branding),
            expires: page.expires_at.filter(|_| open).map(|moment| Until {
                machine: moment.to_string(),
                text: fill(&texts.expires, &[("{date}", &numbers.moment(moment))]),
            }),
            qr_code: page.qr_code.filter(|_| open).map(|code| code.inline(&texts.qr_code)),
            platform: page
                .platform
                .filter(|_| branding.branding_visibility.value != Some(false))
                .map(|platform| fill(&texts.powered, &[("{platform}", platform)])),
            return_url: page.return_url.map(WebUrl::as_str),
            content,
        }
    }

    /// The document.
    pub(crate) fn html(&self) -> Result<String, Fault> {
        self.render().map_err(|error| Fault::new("checkout.template", error.to_string()))
    }
}

/// The classes of the body. A page that is closed shows no image.
fn layout(branding: &Branding, open: bool, image: bool) -> &'static str {
    match (open, branding.display_sdk_only.value, branding.details_layout.value, image) {
        (false, _, _, _) => "layout2 closed",
        (true, true, _, false) => "layout2 alone",
        (true, true, _, true) => "layout2 alone image",
        (true, false, Some(DetailsLayout::Layout2), false) => "layout2",
        (true, false, Some(DetailsLayout::Layout2), true) => "layout2 image",
        (true, false, Some(DetailsLayout::Layout1) | None, false) => "layout1",
        (true, false, Some(DetailsLayout::Layout1) | None, true) => "layout1 image",
    }
}

/// The rows about the order, those with a place first, by it; the others after them as they were given.
fn details(branding: &Branding) -> Vec<Detail<'_>> {
    let mut rows: Vec<&TransactionDetail> =
        branding.transaction_details.value.iter().flat_map(|rows| rows.iter()).collect();
    rows.sort_by_key(|row| {
        let place = row.ui_configuration.and_then(|style| style.position);
        (place.is_none(), place)
    });
    let bold = |flag: Option<bool>| flag == Some(true);
    rows.into_iter()
        .map(|row| {
            let style = row.ui_configuration.unwrap_or_default();
            Detail {
                key: &row.key,
                value: &row.value,
                bold_key: bold(style.is_key_bold),
                bold_value: bold(style.is_value_bold),
            }
        })
        .collect()
}

fn content<'a>(
    page: &'a CheckoutPage<'a>,
    texts: &'a Texts,
    numbers: &Numbers<'_>,
    script: Option<&'a Script<'a>>,
) -> Content<'a> {
    let closed = |icon, heading: &'a str, sentence: String| Content::Closed(Closed { icon, heading, sentence });
    match &page.state {
        PageState::Active(form) => match script {
            Some(script) => Content::Pay(Box::new(pay(page, form, texts, numbers, script))),
            // The script's origin was looked at before the view is made.
            None => closed("wait", &texts.payment, texts.no_script.to_string()),
        },
        PageState::OpenAmount(form) => Content::Amount(open(form, texts, numbers)),
        PageState::Scheduled { opens_at } => {
            let sentence = fill(&texts.scheduled_until, &[("{date}", &numbers.moment(*opens_at))]);
            closed("wait", &texts.scheduled, sentence)
        }
        PageState::Held => closed("wait", &texts.held, texts.held_why.to_string()),
        PageState::Paid => {
            let sentence = match page.amount {
                Some(money) => fill(&texts.paid_amount, &[("{amount}", &numbers.money(money))]),
                None => texts.paid_why.to_string(),
            };
            closed("done", &texts.paid, sentence)
        }
        PageState::Failed => closed("over", &texts.failed, texts.failed_why.to_string()),
        PageState::UsedUp => closed("over", &texts.used_up, texts.used_up_why.to_string()),
        PageState::Expired => closed("over", &texts.expired, texts.expired_why.to_string()),
        PageState::Deactivated => closed("over", &texts.deactivated, texts.deactivated_why.to_string()),
    }
}

fn pay<'a>(
    page: &'a CheckoutPage<'a>,
    form: &'a PaymentForm<'a>,
    texts: &'a Texts,
    numbers: &Numbers<'_>,
    script: &'a Script<'a>,
) -> Pay<'a> {
    let branding = page.branding;
    let mandate = branding.is_setup_mandate_flow.value == Some(true);
    let button = match (&branding.payment_button_text.value, page.amount) {
        (Some(text), _) => text.to_string(),
        (None, Some(money)) if money.amount.get() > 0 => {
            fill(&texts.pay_amount, &[("{amount}", &numbers.money(money))])
        }
        (None, _) => texts.confirm.to_string(),
    };
    let terms = terms(branding, texts, mandate);
    // Findings of the element's rules are told by `inspect`, and with the document.
    let rules = rules::element(branding, &mut Vec::new());
    Pay {
        heading: branding.payment_form_header_text.value.as_deref().unwrap_or(&texts.method),
        script: script.mount.script.as_str(),
        configuration: Configuration::of(
            form,
            branding,
            page.amount,
            page.locale,
            page.return_url,
            rules,
            terms.is_some(),
        ),
        messages: messages(branding),
        terms,
        button,
        waits: branding.enable_button_only_on_form_ready.value,
    }
}

/// The texts at payment methods that the page shows: those that are stated for it.
fn messages(branding: &Branding) -> Vec<Message<'_>> {
    let methods = branding.custom_message_for_payment_method_types.value.iter().flat_map(|methods| methods.iter());
    let types = methods.flat_map(|method| method.payment_method_types.iter().map(move |kind| (method, kind)));
    types
        .filter(|(_, kind)| kind.message.display_mode == MessageMode::Custom)
        .map(|(method, kind)| Message {
            method: method.payment_method.into(),
            kind: kind.payment_method_type.into(),
            text: &kind.message.value,
        })
        .collect()
}

/// The terms that the page shows; none where they are left to the processor's element.
fn terms(branding: &Branding, texts: &Texts, mandate: bool) -> Option<String> {
    let own = branding.custom_message_for_card_terms.value.as_deref();
    let seller = branding.seller_name.value.as_deref().unwrap_or(&texts.the_seller);
    let general = if mandate { &texts.mandate_terms } else { &texts.card_terms };
    match branding.show_card_terms.value {
        Some(ShowTerms::Never) => None,
        Some(ShowTerms::Always) => Some(own.map_or_else(|| fill(general, &[("{seller}", seller)]), str::to_owned)),
        Some(ShowTerms::Auto) | None if mandate => {
            Some(own.map_or_else(|| fill(general, &[("{seller}", seller)]), str::to_owned))
        }
        Some(ShowTerms::Auto) | None => own.map(str::to_owned),
    }
}

fn open<'a>(form: &'a AmountForm<'a>, texts: &'a Texts, numbers: &Numbers<'_>) -> Open<'a> {
    let money = |amount| numbers.money(Money { amount, currency: form.currency });
    Open {
        action: form.action.as_str(),
        label: format!("{} ({})", texts.amount, form.currency),
        bounds: fill(&texts.bounds, &[("{minimum}", &money(form.minimum)), ("{maximum}", &money(form.maximum))]),
    }
}
