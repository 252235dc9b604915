//! Routing programs and fallback orders, by the published paths.

use perfectpay::{
    CheckedRouting, ConnectorChoice, FallbackOrder, MerchantScope, NewRoutingProgram, ProfileId, RoutingId,
    RoutingProgram, RoutingRecord, RoutingScope, TransactionType,
};
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, Json};
use crate::ask::{Account, Body, Id, Once, Query};
use crate::lists::{MOST, whole, window};

/// The query of a list of programs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgramsQuery {
    limit: Option<u16>,
    #[serde(default)]
    offset: u8,
    profile_id: Option<ProfileId>,
}

/// Which profile; the default one, unless stated.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfProfile {
    profile_id: Option<ProfileId>,
}

/// The body of an activation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activation {
    /// Payments are all that is routed; anything else is refused by its type.
    #[serde(default, rename = "transaction_type")]
    _transaction_type: Option<TransactionType>,
}

/// The body of a deactivation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deactivation {
    profile_id: ProfileId,
    #[serde(default, rename = "transaction_type")]
    _transaction_type: Option<TransactionType>,
}

/// What `/routing/active` answers: the program, or an empty list where none decides.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Active {
    Program(Box<RoutingProgram>),
    None([RoutingRecord; 0]),
}

fn of(account: &MerchantScope, profile: Option<&ProfileId>) -> RoutingScope {
    profile.map_or_else(|| account.routing(), |id| account.profile(id).routing())
}

pub(crate) async fn create(
    Account(account): Account,
    once: Once,
    Body(new): Body<NewRoutingProgram>,
) -> Answer<CheckedRouting> {
    Ok(Json(once.of(account.routing().create(new)).await?))
}

pub(crate) async fn list(Account(account): Account, Query(query): Query<ProgramsQuery>) -> Answer<Vec<RoutingRecord>> {
    let routing = of(&account, query.profile_id.as_ref());
    let limit = query.limit.map_or(MOST, usize::from);
    Ok(Json(window(query.offset.into(), limit, |page| routing.list(page)).await?))
}

pub(crate) async fn active(Account(account): Account, Query(query): Query<OfProfile>) -> Answer<Active> {
    let active = of(&account, query.profile_id.as_ref()).active().await?;
    Ok(Json(active.map_or(Active::None([]), |program| Active::Program(Box::new(program)))))
}

pub(crate) async fn retrieve(Account(account): Account, Id(id): Id<RoutingId>) -> Answer<RoutingProgram> {
    Ok(Json(account.routing().program(&id).retrieve().await?))
}

pub(crate) async fn activate(
    Account(account): Account,
    Id(id): Id<RoutingId>,
    Body(_): Body<Activation>,
) -> Answer<CheckedRouting> {
    Ok(Json(account.routing().program(&id).activate(None).await?))
}

pub(crate) async fn deactivate(
    Account(account): Account,
    Body(deactivation): Body<Deactivation>,
) -> Answer<RoutingRecord> {
    Ok(Json(account.profile(&deactivation.profile_id).routing().deactivate().await?))
}

/// The default profile's fallback order, as the account's.
pub(crate) async fn fallback(Account(account): Account) -> Answer<Vec<ConnectorChoice>> {
    Ok(Json(account.routing().fallback().await?.connectors))
}

pub(crate) async fn set_fallback(
    Account(account): Account,
    Body(order): Body<Vec<ConnectorChoice>>,
) -> Answer<Vec<ConnectorChoice>> {
    Ok(Json(account.routing().set_fallback(order).await?.connectors))
}

pub(crate) async fn fallbacks(Account(account): Account) -> Answer<Vec<FallbackOrder>> {
    let mut orders = Vec::new();
    for profile in whole(|page| account.profiles(page)).await? {
        orders.push(account.profile(&profile.profile_id).routing().fallback().await?);
    }
    Ok(Json(orders))
}

pub(crate) async fn set_fallback_of(
    Account(account): Account,
    Id(id): Id<ProfileId>,
    Body(order): Body<Vec<ConnectorChoice>>,
) -> Answer<FallbackOrder> {
    Ok(Json(account.profile(&id).routing().set_fallback(order).await?))
}
