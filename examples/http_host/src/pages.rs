//! The page that a payment link opens, for whoever has the link.

use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::{CONTENT_TYPE, REFERER};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use perfectpay::{BoundedList, IntentStatus, MerchantId, Object, Payment, PaymentId, PaymentLink, PaymentLinkStatus};
use perfectpay_checkout::{CheckoutPage, Document, Framing, Mount, PageState, PaymentForm, render};
use serde::Deserialize;

use crate::answer::Refused;
use crate::ask::Query;
use crate::{Failure, Host};

/// The processor's element, as a page names it. The sandbox's own says that there is no processor.
pub(crate) fn element(base_url: &str) -> Result<Mount, Failure> {
    Ok(Mount {
        script: format!("{}/element.js", base_url.trim_end_matches('/')).parse()?,
        configuration: Object::default(),
        origins: BoundedList::default(),
    })
}

/// What the sandbox mounts where a processor's element would be.
pub(crate) async fn script() -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("element.js")).into_response()
}

/// Which payment's page. Ids that are none lead nowhere.
pub(crate) struct Opened {
    merchant: MerchantId,
    payment: PaymentId,
}

impl FromRequestParts<Host> for Opened {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, host: &Host) -> Result<Self, Refused> {
        let path = Path::<(String, String)>::from_request_parts(parts, host).await;
        let Path((merchant, payment)) = path.map_err(|_| Refused::no_route())?;
        let merchant = merchant.parse().map_err(|_| Refused::no_route())?;
        Ok(Self { merchant, payment: payment.parse().map_err(|_| Refused::no_route())? })
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Locale {
    #[serde(default)]
    locale: String,
}

/// The page of a link: the form, or what became of it.
pub(crate) async fn page(
    State(host): State<Host>,
    opened: Opened,
    Query(Locale { locale }): Query<Locale>,
) -> Result<Response, Refused> {
    let found = Found::of(&host, opened).await?;
    found.sent(&host, &locale, Framing::Nobody)
}

/// The same page in a frame, where the link has a secure form. Who may frame it is in its headers, and browsers see to it;
/// one that says itself that it is no frame is refused.
pub(crate) async fn framed(
    State(host): State<Host>,
    opened: Opened,
    Query(Locale { locale }): Query<Locale>,
    frame: Frame,
) -> Result<Response, Refused> {
    let found = Found::of(&host, opened).await?;
    if found.link.secure_link.is_none() {
        return Err(Refused::no_route());
    }
    if !frame.0 {
        return Err(Refused::not_framed());
    }
    found.sent(&host, &locale, Framing::secure(&found.link.branding))
}

/// Whether a document is asked for from within a frame of some page.
pub(crate) struct Frame(bool);

impl FromRequestParts<Host> for Frame {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Host) -> Result<Self, Refused> {
        let is_frame = parts.headers.get("sec-fetch-dest").is_some_and(|dest| dest == "iframe");
        Ok(Self(is_frame && parts.headers.contains_key(REFERER)))
    }
}

/// What a page is made of.
struct Found {
    payment: Payment,
    link: PaymentLink,
    publishable_key: String,
}

impl Found {
    async fn of(host: &Host, opened: Opened) -> Result<Self, Refused> {
        let account = host.pay.merchant(&opened.merchant);
        let payment = account.payment(&opened.payment).retrieve().await?;
        let Some(link) = &payment.payment_link else { return Err(Refused::no_route()) };
        let link = account.payment_link(&link.payment_link_id).retrieve().await?;
        let publishable_key = account.retrieve().await?.publishable_key.to_string();
        Ok(Self { payment, link, publishable_key })
    }

    fn state<'a>(&'a self, host: &'a Host) -> PageState<'a> {
        let Payment { payment_id, client_secret, status, .. } = &self.payment;
        match (status, self.link.status) {
            (IntentStatus::Succeeded | IntentStatus::PartiallyCaptured, _) => PageState::Paid,
            (IntentStatus::Cancelled | IntentStatus::Failed, _) => PageState::Failed,
            (IntentStatus::RequiresPaymentMethod, PaymentLinkStatus::Active) => PageState::Active(PaymentForm {
                payment_id,
                publishable_key: &self.publishable_key,
                client_secret,
                mount: &host.element,
            }),
            (IntentStatus::Expired, _) | (IntentStatus::RequiresPaymentMethod, PaymentLinkStatus::Expired) => {
                PageState::Expired
            }
            _ => PageState::Held,
        }
    }

    fn sent(&self, host: &Host, locale: &str, framing: Framing<'_>) -> Result<Response, Refused> {
        let mut page = CheckoutPage::of(&self.link, self.state(host), locale);
        page.return_url = self.payment.return_url.as_ref();
        page.framing = framing;
        Ok(sent(render(&page)?))
    }
}

/// A document as it is sent: its status, its headers, its text.
fn sent(document: Document) -> Response {
    for finding in &document.findings {
        tracing::debug!(?finding, "a page shows something otherwise than its branding asks");
    }
    let status = StatusCode::from_u16(document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, document.html).into_response();
    for (name, value) in document.headers.iter() {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => drop(response.headers_mut().insert(name, value)),
            // Without one of its headers a page is not safe to show.
            _ => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
    response
}
