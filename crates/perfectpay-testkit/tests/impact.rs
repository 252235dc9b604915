//! Reports of removals on every back-end: what they say is what the removal then does.

#![allow(clippy::unwrap_used, reason = "a test that panics is a test that failed")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use perfectpay::{
    BlocklistGuard, ChildCount, ConnectorId, EntityKind, Error, Impact, MerchantScope, MerchantUpdate, PageRequest,
    Patch, PerfectPay, ProfileId,
};
use perfectpay_testkit::faulty::Counting;
use perfectpay_testkit::host::{self, Tenant};
use perfectpay_testkit::layer::Layered;
use support::{World, on_every_backend, read, snapshot};

const fn count(kind: EntityKind, count: u64) -> ChildCount {
    ChildCount { kind, count }
}

fn page() -> PageRequest {
    PageRequest::of(100).unwrap()
}

/// An account with something of every kind: two connector accounts, two payments with links, one of which is expired,
/// three keys, of which one is revoked and one expired, and two entries.
async fn furnish(world: &World, tenant: &Tenant) -> (ProfileId, ConnectorId) {
    let scope = tenant.scope(&world.pay);
    let web = scope.create_profile(read(&host::profile_body("web")).unwrap()).await.unwrap().profile_id;
    let profile = scope.profile(&web);
    profile.create_connector(read(&host::connector_body("one", "sk_live_1")).unwrap()).await.unwrap();
    let connector = profile.create_connector(read(&host::connector_body("two", "sk_live_2")).unwrap()).await.unwrap();
    for name in ["revoked", "expired"] {
        let key = scope.create_api_key(read(&host::api_key_body(name, "2026-11-23T10:01:00Z")).unwrap()).await.unwrap();
        if name == "revoked" {
            scope.api_key(&key.key_id).revoke().await.unwrap();
        }
    }
    for bin in ["411111", "422222"] {
        scope.blocklist().add(read(&host::block_body("card_bin", bin)).unwrap()).await.unwrap();
    }
    let _: BlocklistGuard = scope.blocklist().toggle(Some(true)).await.unwrap();
    profile.create_payment(read(&host::payment_with_link_body(1, "EUR")).unwrap()).await.unwrap();
    world.clock.step(Duration::from_secs(24 * 60 * 60));
    profile.create_payment(read(&host::payment_with_link_body(2, "EUR")).unwrap()).await.unwrap();
    scope.create_payment(read(&host::payment_with_link_body(3, "EUR")).unwrap()).await.unwrap();
    (web, connector.merchant_connector_id)
}

/// What is below an account, by kind, as its lists answer.
async fn below(scope: &MerchantScope) -> BTreeMap<EntityKind, usize> {
    let Ok(profiles) = scope.profiles(page()).await else { return BTreeMap::new() };
    BTreeMap::from([
        (EntityKind::Profile, profiles.items.len()),
        (EntityKind::Connector, scope.connectors(page()).await.unwrap().items.len()),
        (EntityKind::ApiKey, scope.api_keys(page()).await.unwrap().items.len()),
        (EntityKind::BlockRule, scope.blocklist().entries(None, page()).await.unwrap().data.len()),
        (EntityKind::Payment, scope.payments(page()).await.unwrap().items.len()),
        (EntityKind::PaymentLink, scope.payment_links(page()).await.unwrap().items.len()),
    ])
}

/// What is in `before` and not in `after`.
fn gone(before: &BTreeMap<EntityKind, usize>, after: &BTreeMap<EntityKind, usize>) -> Vec<ChildCount> {
    let left = |kind| after.get(kind).copied().unwrap_or_default();
    let gone = before.iter().map(|(kind, n)| count(*kind, u64::try_from(n - left(kind)).unwrap()));
    gone.filter(|c| c.count > 0).collect()
}

/// The removal is refused exactly as the report says.
fn agrees<T>(impact: &Impact, removal: Result<T, Error>) {
    match removal {
        Ok(_) => assert_eq!(impact.refused, None),
        Err(Error::HasChildren { entity, children }) => {
            assert_eq!(impact.refused, Some("has_children"));
            assert_eq!((&impact.entity, &impact.children), (&entity, &children));
        }
        Err(error) => assert_eq!(impact.refused, Some(error.code())),
    }
}

#[test]
fn a_profiles_report_says_what_its_removal_does() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let (web, _) = furnish(world, &tenant).await;
        let scope = tenant.scope(&world.pay);
        let before = (snapshot(&world.pay).await, below(&scope).await);

        let default = scope.profile(&tenant.profile.profile_id);
        let impact = default.removal_impact().await.unwrap();
        assert!(impact.is_default_profile);
        assert_eq!(
            (impact.refused, impact.refused_with_cascade),
            (Some("profile.is_default"), Some("profile.is_default"))
        );
        assert_eq!(impact.children, [count(EntityKind::Payment, 1)]);
        agrees(&impact, default.remove().await);
        agrees(&impact, default.remove().cascade().await);

        let profile = scope.profile(&web);
        let impact = profile.removal_impact().await.unwrap();
        assert_eq!((impact.refused, impact.refused_with_cascade), (Some("has_children"), None), "{}", world.name);
        assert_eq!(impact.children, [count(EntityKind::Connector, 2), count(EntityKind::Payment, 2)]);
        assert_eq!(impact.open_links, 1);
        assert!(!impact.is_default_profile && !impact.is_harmless());
        agrees(&impact, profile.remove().await);
        // A report writes nothing.
        assert_eq!((snapshot(&world.pay).await, below(&scope).await), before, "{}", world.name);
        profile.remove().expecting(impact.version).cascade().await.unwrap();
        let mut gone = gone(&before.1, &below(&scope).await);
        gone.retain(|c| c.kind != EntityKind::Profile);
        assert_eq!(gone, impact.takes_along, "{}", world.name);
        assert_eq!(profile.removal_impact().await.unwrap_err().code(), "not_found");

        // Without anything, and the last one.
        let mut impact = default.removal_impact().await.unwrap();
        assert_eq!((impact.refused, impact.refused_with_cascade), (Some("has_children"), None));
        let empty = scope.create_profile(read(&host::profile_body("empty")).unwrap()).await.unwrap().profile_id;
        let update = MerchantUpdate { default_profile: Patch::Set(empty.clone()), ..MerchantUpdate::default() };
        scope.update(update).await.unwrap();
        default.remove().cascade().await.unwrap();
        impact = scope.profile(&empty).removal_impact().await.unwrap();
        assert!(impact.is_harmless() && impact.is_default_profile);
        agrees(&impact, scope.profile(&empty).remove().await);
    });
}

#[test]
fn an_accounts_report_says_what_its_removal_does() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        furnish(world, &tenant).await;
        let scope = tenant.scope(&world.pay);
        let before = (snapshot(&world.pay).await, below(&scope).await);
        let impact = scope.removal_impact().await.unwrap();
        let expected = [count(EntityKind::Profile, 2), count(EntityKind::ApiKey, 2), count(EntityKind::BlockRule, 2)];
        assert_eq!(impact.children, expected, "{}", world.name);
        assert_eq!((impact.dying_keys, impact.open_links), (1, 2));
        agrees(&impact, scope.remove().await);
        // The holder of a key may ask, too.
        let caller = world.pay.authenticate(tenant.token()).await.unwrap();
        assert_eq!(caller.merchant().removal_impact().await.unwrap(), impact);
        assert_eq!((snapshot(&world.pay).await, below(&scope).await), before, "{}", world.name);
        scope.remove().expecting(impact.version).cascade().await.unwrap();
        assert_eq!(gone(&before.1, &below(&scope).await), impact.takes_along, "{}", world.name);
        assert_eq!(caller.merchant().removal_impact().await.unwrap_err().code(), "unauthorized");
        assert_eq!(scope.removal_impact().await.unwrap_err().code(), "not_found");
    });
}

#[test]
fn an_organizations_report_says_what_its_removal_does() {
    on_every_backend(async |world| {
        let pay: &PerfectPay = &world.pay;
        let acme = host::stand_up(pay, "acme").await.unwrap();
        let sister = host::merchant_in(pay, &acme.organization, "sister").await.unwrap();
        let rival = host::stand_up(pay, "rival").await.unwrap();
        furnish(world, &sister).await;
        let scope = acme.organization_scope(pay);
        let impact = scope.removal_impact().await.unwrap();
        assert_eq!(impact.children, [count(EntityKind::Merchant, 2)], "{}", world.name);
        assert_eq!((impact.dying_keys, impact.open_links), (2, 2));
        agrees(&impact, scope.remove().await);
        let mut expected = BTreeMap::from([(EntityKind::Merchant, 2)]);
        for tenant in [&acme, &sister] {
            for (kind, n) in below(&tenant.scope(pay)).await {
                *expected.entry(kind).or_default() += n;
            }
        }
        assert_eq!(gone(&expected, &BTreeMap::new()), impact.takes_along, "{}", world.name);
        scope.remove().expecting(impact.version).cascade().await.unwrap();
        for tenant in [&acme, &sister] {
            assert!(pay.authenticate(tenant.token()).await.is_err());
            assert_eq!(below(&tenant.scope(pay)).await, BTreeMap::new());
        }
        pay.authenticate(rival.token()).await.unwrap();
        let bare = pay.create_organization(read(&host::organization_body("bare")).unwrap()).await.unwrap();
        assert!(pay.organization(&bare.organization_id).removal_impact().await.unwrap().is_harmless());
    });
}

#[test]
fn a_connectors_report_counts_the_links_that_stay_open() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let (_, id) = furnish(world, &tenant).await;
        let connector = tenant.scope(&world.pay).connector(&id);
        let before = snapshot(&world.pay).await;
        for impact in [connector.removal_impact().await.unwrap(), connector.disabling_impact().await.unwrap()] {
            assert_eq!((impact.refused, impact.open_links, impact.version), (None, 1, 1), "{}", world.name);
            assert_eq!((impact.children, impact.takes_along), (vec![], vec![]));
        }
        assert_eq!(snapshot(&world.pay).await, before, "{}", world.name);
        let mut update = perfectpay::ConnectorUpdate::of(perfectpay::ConnectorType::PaymentProcessor);
        update.disabled = Patch::Set(true);
        connector.update(update).await.unwrap();
        assert!(connector.disabling_impact().await.unwrap().is_harmless());
        agrees(&connector.removal_impact().await.unwrap(), connector.remove().await);
        assert_eq!(connector.removal_impact().await.unwrap_err().code(), "not_found");
    });
}

#[test]
fn a_report_in_a_batch_sees_what_is_staged() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let batch = world.pay.batch();
        let scope = tenant.scope(batch.pay());
        scope.blocklist().add(read(&host::block_body("card_bin", "411111")).unwrap()).await.unwrap();
        let impact = scope.removal_impact().await.unwrap();
        assert_eq!(
            impact.children,
            [count(EntityKind::Profile, 1), count(EntityKind::ApiKey, 1), count(EntityKind::BlockRule, 1)],
            "{}",
            world.name
        );
        assert_eq!(batch.preview().len(), 1);
        agrees(&impact, scope.remove().await);
        scope.remove().cascade().await.unwrap();
        assert_eq!(scope.removal_impact().await.unwrap_err().code(), "not_found");
    });
}

#[test]
fn a_long_blocklist_is_counted_and_not_read() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let counting = Layered::over(world.backend.store.clone(), Counting::default());
        let calls = Arc::clone(&counting.layer);
        let pay = PerfectPay::open(Arc::new(counting), host::settings().unwrap()).await.unwrap();
        let asked = async || {
            calls.take();
            let impact = tenant.scope(&pay).removal_impact().await.unwrap();
            let children = [count(EntityKind::Profile, 1), count(EntityKind::ApiKey, 1)];
            assert!(children.iter().all(|child| impact.children.contains(child)), "{impact:?}");
            let rules = |counts: &[ChildCount]| {
                counts.iter().find(|child| child.kind == EntityKind::BlockRule).map_or(0, |child| child.count)
            };
            assert_eq!(rules(&impact.children), rules(&impact.takes_along));
            (rules(&impact.children), calls.take().reads())
        };
        let (none, short) = asked().await;
        for number in 0..350 {
            let body = read(&host::block_body("card_bin", &format!("{}", 400_000 + number))).unwrap();
            tenant.scope(&world.pay).blocklist().add(body).await.unwrap();
        }
        let (many, long) = asked().await;
        assert_eq!((none, many), (0, 350), "{}", world.name);
        assert_eq!(long, short, "{}", world.name);
    });
}
