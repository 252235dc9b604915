//! What comes in: who calls, for which account, about which object, with which body.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use axum::body::to_bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use perfectpay::json::{self, MAX_BODY};
use perfectpay::store::IdempotencyKey;
use perfectpay::{Caller, Create, Error, Fault, MerchantId, MerchantScope, Payment, PerfectPay, Refusal};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Host;
use crate::answer::Refused;

/// The platform itself, by the admin key.
pub(crate) struct Admin(pub(crate) PerfectPay);

impl FromRequestParts<Host> for Admin {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, host: &Host) -> Result<Self, Refused> {
        if host.is_admin(api_key(parts)?) { Ok(Self(host.platform.clone())) } else { Err(Refused::unauthorized()) }
    }
}

/// The account that the call is about: the one that the path names, and whoever calls by one of its keys or by the admin
/// key; or where the path names none, the key's.
pub(crate) struct Account(pub(crate) MerchantScope);

impl FromRequestParts<Host> for Account {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, host: &Host) -> Result<Self, Refused> {
        let named = match params(parts, host).await?.iter().find(|(name, _)| *name == "account_id") {
            Some((_, id)) => Some(id.parse::<MerchantId>().map_err(|_| Refused::no_route())?),
            None => None,
        };
        let key = api_key(parts)?;
        let account = if host.is_admin(key) {
            named.map(|id| host.platform.merchant(&id)).ok_or_else(Refused::unauthorized)?
        } else {
            let caller = by_key(parts, host, key).await?;
            if named.is_some_and(|id| id != *caller.merchant_id()) {
                return Err(Refused::unauthorized());
            }
            caller.merchant().clone()
        };
        bound(account, parts).await.map(Self)
    }
}

/// The account's handle for the profile that the `x-profile-id` header names, if there is one. A profile that is not there
/// is a credential that is not accepted, as it is published.
async fn bound(account: MerchantScope, parts: &Parts) -> Result<MerchantScope, Refused> {
    let Some(value) = parts.headers.get("x-profile-id") else { return Ok(account) };
    let profile = value.to_str().ok().and_then(|id| id.trim().parse().ok()).ok_or_else(Refused::unauthorized)?;
    match account.bound_to(&profile).await {
        Err(Error::NotFound(_)) => Err(Refused::unauthorized()),
        bound => Ok(bound?),
    }
}

/// Whoever reads a payment or its link: the account, or a customer's browser with the account's publishable key and the
/// client secret of the one payment that it reads.
pub(crate) enum Reader {
    Account(MerchantScope),
    Client(Box<Payment>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientSecret {
    client_secret: Option<String>,
}

impl FromRequestParts<Host> for Reader {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, host: &Host) -> Result<Self, Refused> {
        let Query(ClientSecret { client_secret }) = Query::from_request_parts(parts, host).await?;
        let key = api_key(parts)?;
        match (key.starts_with("pk_"), client_secret) {
            (false, None) => Ok(Self::Account(Account::from_request_parts(parts, host).await?.0)),
            (false, Some(_)) => Err(Refused::needless_client_secret()),
            (true, None) => Err(Refused::no_client_secret()),
            (true, Some(secret)) => match host.pay.authenticate_client(key, &secret).await {
                Err(Error::Unauthorized(Refusal::Expired)) => Err(Refused::expired_client_secret()),
                client => Ok(Self::Client(Box::new(client?.retrieve().await?))),
            },
        }
    }
}

/// The object that the path ends in.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: FromStr> FromRequestParts<Host> for Id<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, host: &Host) -> Result<Self, Refused> {
        let params = params(parts, host).await?;
        // What is no id of the kind leads nowhere.
        let id = params.iter().last().and_then(|(_, id)| id.parse().ok());
        id.map(Self).ok_or_else(Refused::no_route)
    }
}

async fn params(parts: &mut Parts, host: &Host) -> Result<RawPathParams, Refused> {
    RawPathParams::from_request_parts(parts, host).await.map_err(|_| Refused::no_route())
}

fn api_key(parts: &Parts) -> Result<&str, Refused> {
    let key = parts.headers.get("api-key").and_then(|value| value.to_str().ok()).map(str::trim);
    key.filter(|key| !key.is_empty()).ok_or_else(Refused::unauthorized)
}

async fn by_key(parts: &Parts, host: &Host, key: &str) -> Result<Caller, Refused> {
    match peer(parts) {
        Some(peer) => Ok(host.pay.authenticate_from(key, peer).await?),
        None => Ok(host.pay.authenticate(key).await?),
    }
}

/// Where the connection comes from. Behind a proxy that would be the proxy: a host there takes the address from the header
/// that its own proxy sets.
fn peer(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip())
}

/// The body. No body at all is an empty object.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Host> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &Host) -> Result<Self, Refused> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is_json = kind.eq_ignore_ascii_case("application/json");
        let body = to_bytes(request.into_body(), MAX_BODY).await;
        let body = body.map_err(|_| Fault::new("json.too_large", "must be at most 32 KiB"))?;
        if body.is_empty() {
            return Ok(Self(json::from_slice(b"{}")?));
        }
        if !is_json {
            return Err(Fault::new("json.content_type", "must be sent as `application/json`").into());
        }
        Ok(Self(json::from_slice(&body)?))
    }
}

/// The query of the URL.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Host> for Query<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, host: &Host) -> Result<Self, Refused> {
        let query = axum::extract::Query::from_request_parts(parts, host).await;
        query.map(|query| Self(query.0)).map_err(|rejection| Refused::bad_query(rejection.body_text()))
    }
}

/// The `idempotency-key` header of a call that creates something: repeated with it, the call happens once.
pub(crate) struct Once(Option<IdempotencyKey>);

impl Once {
    /// The command under the key, if there is one.
    pub(crate) fn of<T>(self, command: Create<T>) -> Create<T> {
        match self.0 {
            Some(key) => command.idempotency_key(key),
            None => command,
        }
    }
}

impl FromRequestParts<Host> for Once {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &Host) -> Result<Self, Refused> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(Self(None)) };
        Ok(Self(Some(value.to_str().unwrap_or_default().parse()?)))
    }
}
