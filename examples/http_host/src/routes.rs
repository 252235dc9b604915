//! The published paths, and what each one does.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use perfectpay::{
    ApiKey, ApiKeyId, ApiKeyUpdate, BlockEntry, BlockKind, BlockRequest, BlocklistGuard, ConfirmPayment, Connector,
    ConnectorId, ConnectorUpdate, EntityKind, Error, IssuedApiKey, Merchant, MerchantUpdate, NewApiKey, NewConnector,
    NewMerchant, NewOrganization, NewPayment, NewProfile, Organization, OrganizationId, OrganizationUpdate, Page,
    PageRequest, Payment, PaymentId, PaymentLink, PaymentLinkId, Profile, ProfileId, ProfileUpdate, RemovedConnector,
    RemovedMerchant, RevokedApiKey,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Answer, Json, Refused};
use crate::ask::{Account, Admin, Body, Id, Once, Query, Reader};
use crate::lists::{BlocklistQuery, KeysQuery, LinksQuery, MOST, whole, window};
use crate::{Host, pages, routing};

pub(crate) fn routes(host: Host) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/organization", get(own_organization).post(create_organization))
        .route("/organization/{organization_id}", get(organization).put(update_organization).post(update_organization))
        .route("/accounts", post(create_merchant))
        .route("/accounts/list", get(merchants))
        .route(
            "/accounts/{account_id}",
            get(merchant).put(update_merchant).post(update_merchant).delete(remove_merchant),
        )
        .route("/account/{account_id}/business_profile", get(profiles).post(create_profile))
        .route(
            "/account/{account_id}/business_profile/{profile_id}",
            get(profile).put(update_profile).post(update_profile).delete(remove_profile),
        )
        .route("/account/{account_id}/connectors", get(connectors).post(create_connector))
        .route(
            "/account/{account_id}/connectors/{merchant_connector_id}",
            get(connector).put(update_connector).post(update_connector).delete(remove_connector),
        )
        .route("/api_keys/{account_id}", post(create_api_key))
        .route("/api_keys/{account_id}/list", get(api_keys))
        .route(
            "/api_keys/{account_id}/{key_id}",
            get(api_key).put(update_api_key).post(update_api_key).delete(revoke_api_key),
        )
        .route("/blocklist", get(blocklist).post(block).delete(unblock))
        .route("/blocklist/toggle", post(toggle_blocklist))
        .route("/payments", post(create_payment))
        .route("/payments/{payment_id}", get(payment))
        .route("/payments/{payment_id}/confirm", post(confirm_payment))
        .route("/payment_link/list", post(payment_links))
        .route("/payment_link/{payment_link_id}", get(payment_link))
        .route("/payment_link/{merchant_id}/{payment_id}", get(pages::page))
        .route("/payment_link/s/{merchant_id}/{payment_id}", get(pages::framed))
        .route("/payment_link/status/{merchant_id}/{payment_id}", get(pages::page))
        .route("/element.js", get(pages::script))
        .route("/routing", get(routing::list).post(routing::create))
        .route("/routing/active", get(routing::active))
        .route("/routing/deactivate", post(routing::deactivate))
        .route("/routing/default", get(routing::fallback).post(routing::set_fallback))
        .route("/routing/default/profile", get(routing::fallbacks))
        .route("/routing/default/profile/{profile_id}", post(routing::set_fallback_of))
        .route("/routing/{routing_id}", get(routing::retrieve))
        .route("/routing/{routing_id}/activate", post(routing::activate))
        .fallback(async || Refused::no_route())
        .method_not_allowed_fallback(async || Refused::no_method())
        .layer(middleware::from_fn(told))
        .with_state(host)
}

/// One event for each request: the path as it is written above, never as it was asked, since a query may hold a secret.
async fn told(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    // Answers hold client secrets, and once a new key.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let path = path.as_ref().map_or("", MatchedPath::as_str);
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(%method, path, status = response.status().as_u16(), micros, "answered");
    response
}

/// Whether requests can be answered: the store can be read.
async fn health(State(host): State<Host>) -> Answer<Value> {
    host.pay.log_head().await?;
    Ok(Json(json!({ "status": "ok" })))
}

async fn own_organization(Account(account): Account) -> Answer<Organization> {
    Ok(Json(account.organization().await?))
}

async fn create_organization(Admin(pay): Admin, once: Once, Body(new): Body<NewOrganization>) -> Answer<Organization> {
    Ok(Json(once.of(pay.create_organization(new)).await?))
}

/// For the platform, and for whoever holds a key of an account of the organization.
async fn organization(
    admin: Result<Admin, Refused>,
    account: Result<Account, Refused>,
    Id(id): Id<OrganizationId>,
) -> Answer<Organization> {
    if let Ok(Admin(pay)) = admin {
        return Ok(Json(pay.organization(&id).retrieve().await?));
    }
    let own = account?.0.organization().await?;
    if own.organization_id == id { Ok(Json(own)) } else { Err(Error::not_found(EntityKind::Organization, &id).into()) }
}

async fn update_organization(
    Admin(pay): Admin,
    Id(id): Id<OrganizationId>,
    Body(update): Body<OrganizationUpdate>,
) -> Answer<Organization> {
    Ok(Json(pay.organization(&id).update(update).await?))
}

async fn create_merchant(Admin(pay): Admin, once: Once, Body(new): Body<NewMerchant>) -> Answer<Merchant> {
    Ok(Json(once.of(pay.create_merchant(new)).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfOrganization {
    organization_id: OrganizationId,
}

async fn merchants(Admin(pay): Admin, Query(of): Query<OfOrganization>) -> Answer<Vec<Merchant>> {
    let organization = pay.organization(&of.organization_id);
    Ok(Json(whole(|page| organization.merchants(page)).await?))
}

async fn merchant(Account(account): Account) -> Answer<Merchant> {
    Ok(Json(account.retrieve().await?))
}

async fn update_merchant(Account(account): Account, Body(update): Body<MerchantUpdate>) -> Answer<Merchant> {
    Ok(Json(account.update(update).await?))
}

/// With everything that is in it, as it is published.
async fn remove_merchant(Account(account): Account) -> Answer<RemovedMerchant> {
    Ok(Json(account.remove().cascade().await?))
}

async fn create_profile(Account(account): Account, once: Once, Body(new): Body<NewProfile>) -> Answer<Profile> {
    Ok(Json(once.of(account.create_profile(new)).await?))
}

async fn profiles(Account(account): Account) -> Answer<Vec<Profile>> {
    Ok(Json(whole(|page| account.profiles(page)).await?))
}

async fn profile(Account(account): Account, Id(id): Id<ProfileId>) -> Answer<Profile> {
    Ok(Json(account.profile(&id).retrieve().await?))
}

async fn update_profile(
    Account(account): Account,
    Id(id): Id<ProfileId>,
    Body(update): Body<ProfileUpdate>,
) -> Answer<Profile> {
    Ok(Json(account.profile(&id).update(update).await?))
}

/// Refused while the profile has connector accounts or payments. The published answer is no more than `true`.
async fn remove_profile(Account(account): Account, Id(id): Id<ProfileId>) -> Answer<bool> {
    account.profile(&id).remove().await?;
    Ok(Json(true))
}

async fn create_connector(Account(account): Account, once: Once, Body(new): Body<NewConnector>) -> Answer<Connector> {
    Ok(Json(once.of(account.create_connector(new)).await?))
}

async fn connectors(Account(account): Account) -> Answer<Vec<Connector>> {
    Ok(Json(whole(|page| account.connectors(page)).await?))
}

async fn connector(Account(account): Account, Id(id): Id<ConnectorId>) -> Answer<Connector> {
    Ok(Json(account.connector(&id).retrieve().await?))
}

async fn update_connector(
    Account(account): Account,
    Id(id): Id<ConnectorId>,
    Body(update): Body<ConnectorUpdate>,
) -> Answer<Connector> {
    Ok(Json(account.connector(&id).update(update).await?))
}

async fn remove_connector(Account(account): Account, Id(id): Id<ConnectorId>) -> Answer<RemovedConnector> {
    Ok(Json(account.connector(&id).remove().await?))
}

async fn create_api_key(Account(account): Account, once: Once, Body(new): Body<NewApiKey>) -> Answer<IssuedApiKey> {
    Ok(Json(once.of(account.create_api_key(new)).await?))
}

async fn api_keys(Account(account): Account, Query(query): Query<KeysQuery>) -> Answer<Vec<ApiKey>> {
    let limit = query.limit.map_or(MOST, usize::from);
    Ok(Json(window(query.skip, limit, |page| account.api_keys(page)).await?))
}

async fn api_key(Account(account): Account, Id(id): Id<ApiKeyId>) -> Answer<ApiKey> {
    Ok(Json(account.api_key(&id).retrieve().await?))
}

async fn update_api_key(
    Account(account): Account,
    Id(id): Id<ApiKeyId>,
    Body(update): Body<ApiKeyUpdate>,
) -> Answer<ApiKey> {
    Ok(Json(account.api_key(&id).update(update).await?))
}

async fn revoke_api_key(Account(account): Account, Id(id): Id<ApiKeyId>) -> Answer<RevokedApiKey> {
    Ok(Json(account.api_key(&id).revoke().await?))
}

async fn block(Account(account): Account, once: Once, Body(new): Body<BlockRequest>) -> Answer<BlockEntry> {
    Ok(Json(once.of(account.blocklist().add(new)).await?))
}

async fn unblock(Account(account): Account, Body(request): Body<BlockRequest>) -> Answer<BlockEntry> {
    Ok(Json(account.blocklist().remove(request).await?))
}

async fn blocklist(Account(account): Account, Query(query): Query<BlocklistQuery>) -> Answer<Value> {
    let kind = query.data_kind.as_deref().map(BlockKind::of_data_kind).transpose()?;
    let list = account.blocklist();
    let total = list.entries(kind, PageRequest::of(1)?).await?.total_count;
    let list = &list;
    let data = window(query.offset, query.limit.unwrap_or(10).into(), |page| async move {
        list.entries(kind, page).await.map(|read| Page { items: read.data, next: read.next })
    });
    let data = data.await?;
    Ok(Json(json!({ "count": data.len(), "total_count": total, "data": data })))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    status: Option<bool>,
}

async fn toggle_blocklist(Account(account): Account, Query(switch): Query<Switch>) -> Answer<BlocklistGuard> {
    Ok(Json(account.blocklist().toggle(switch.status).await?))
}

async fn create_payment(Account(account): Account, once: Once, Body(new): Body<NewPayment>) -> Answer<Payment> {
    decided(once.of(account.create_payment(new)).await?)
}

async fn confirm_payment(
    Account(account): Account,
    once: Once,
    Id(id): Id<PaymentId>,
    Body(body): Body<ConfirmPayment>,
) -> Answer<Payment> {
    decided(once.of(account.payment(&id).confirm(body)).await?)
}

/// A payment as it is answered where it may have been decided: as blocked, if it was screened out.
fn decided(payment: Payment) -> Answer<Payment> {
    if payment.error_code.as_deref() == Some("HE-03") { Err(Refused::blocked(&payment)) } else { Ok(Json(payment)) }
}

async fn payment(reader: Reader, Id(id): Id<PaymentId>) -> Answer<Payment> {
    match reader {
        Reader::Account(account) => Ok(Json(account.payment(&id).retrieve().await?)),
        Reader::Client(payment) if payment.payment_id == id => Ok(Json(*payment)),
        Reader::Client(_) => Err(Refused::other_client_secret()),
    }
}

async fn payment_link(State(host): State<Host>, reader: Reader, Id(id): Id<PaymentLinkId>) -> Answer<PaymentLink> {
    let account = match reader {
        Reader::Account(account) => account,
        Reader::Client(payment) if payment.payment_link.as_ref().is_some_and(|link| link.payment_link_id == id) => {
            host.pay.merchant(&payment.merchant_id)
        }
        Reader::Client(_) => return Err(Refused::other_client_secret()),
    };
    Ok(Json(account.payment_link(&id).retrieve().await?))
}

async fn payment_links(Account(account): Account, Query(query): Query<LinksQuery>) -> Answer<Vec<PaymentLink>> {
    let limit = query.limit.map_or(MOST, usize::from);
    let (account, query) = (&account, &query);
    let read = |page: PageRequest| async move {
        let page = if page.cursor().is_none() { page.after(query.beginning()) } else { page };
        let mut read = account.payment_links(page).await?;
        let found = read.items.len();
        read.items.retain(|link| query.reaches(link.created_at));
        // The newest come first: behind one that is too old there are only older ones.
        read.next = read.next.filter(|_| read.items.len() == found);
        Ok(read)
    };
    Ok(Json(window(0, limit, read).await?))
}
