//! Bad input, on every back-end: each row is a call, the error that it answers (kind, code, and the path of what is
//! wrong), and after each row everything that the library answers is as it was, and so is the log.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::needless_pass_by_value,
    clippy::too_many_lines,
    clippy::large_futures,
    reason = "a test that panics is a test that failed, and a table is as long as it is"
)]

mod support;

use std::time::Duration;

use futures_lite::future::block_on;
use perfectpay::store::LogPosition;
use perfectpay::{
    ApiKeyUpdate, BlockRequest, CardNumber, ConnectorId, ConnectorUpdate, Environment, Error, ErrorKind, Fault,
    IssuedApiKey, MerchantId, MerchantScope, MerchantUpdate, NewConnector, NewMerchant, NewOrganization, NewPayment,
    NewProfile, OrganizationId, OrganizationUpdate, PageRequest, PaymentId, PaymentLinkId, PerfectPay, ProfileId,
    ProfileUpdate, Refusal, Timestamp,
};
use perfectpay_testkit::host::{self, Tenant};
use serde_json::json;
use support::{World, on_every_backend, read, snapshot, told};

/// Two organizations with the same natural keys in each, and enough in the first to stumble over.
struct Fixture<'a> {
    world: &'a World,
    /// `acme`: profiles `default` (the default one) and `Second`, connectors `stripe_default` and `two`, a living key,
    /// an entry `card_bin:411111`, the payment `taken` with a link, the business US/food.
    acme: Tenant,
    second: ProfileId,
    connector: ConnectorId,
    second_connector: ConnectorId,
    /// `paypal` with `TemporaryAuth`, so inactive.
    placeholder: ConnectorId,
    link: PaymentLinkId,
    /// Another account of the same organization.
    sibling: Tenant,
    /// An account of another organization, with the same labels, names, entries and payment ids.
    other: Tenant,
    other_connector: ConnectorId,
    other_link: PaymentLinkId,
    before: Vec<String>,
}

async fn furnish(pay: &PerfectPay, tenant: &Tenant) -> (ConnectorId, PaymentLinkId) {
    let scope = tenant.scope(pay);
    let connector = scope.create_connector(read(&host::connector_body("stripe_default", "sk_live_1")).unwrap());
    let connector = connector.await.unwrap().merchant_connector_id;
    scope.blocklist().add(read(&host::block_body("card_bin", "411111")).unwrap()).await.unwrap();
    let payment = r#"{"payment_id": "taken", "amount": 100, "currency": "EUR", "payment_link": true}"#;
    let payment = scope.create_payment(read(payment).unwrap()).await.unwrap();
    (connector, payment.payment_link.unwrap().payment_link_id)
}

impl<'a> Fixture<'a> {
    async fn new(world: &'a World) -> Self {
        let pay = &world.pay;
        let acme = host::stand_up(pay, "acme").await.unwrap();
        let scope = acme.scope(pay);
        let update = r#"{"primary_business_details": [{"country": "US", "business": "food"}]}"#;
        scope.update(read(update).unwrap()).await.unwrap();
        let (connector, link) = furnish(pay, &acme).await;
        let second = scope.create_profile(read(&host::profile_body("Second")).unwrap()).await.unwrap().profile_id;
        let two = scope.create_connector(read(&host::connector_body("two", "sk_live_2")).unwrap()).await.unwrap();
        let body = r#"{"connector_type": "payment_processor", "connector_name": "paypal",
            "connector_account_details": {"auth_type": "TemporaryAuth"}}"#;
        let placeholder = scope.create_connector(read(body).unwrap()).await.unwrap();
        let sibling = host::merchant_in(pay, &acme.organization, "sibling").await.unwrap();
        furnish(pay, &sibling).await;
        let other = host::stand_up(pay, "other").await.unwrap();
        let (other_connector, other_link) = furnish(pay, &other).await;
        let before = snapshot(pay).await;
        Self {
            world,
            acme,
            second,
            connector,
            second_connector: two.merchant_connector_id,
            placeholder: placeholder.merchant_connector_id,
            link,
            sibling,
            other,
            other_connector,
            other_link,
            before,
        }
    }

    fn scope(&self) -> MerchantScope {
        self.acme.scope(&self.world.pay)
    }

    /// One row: the attempt fails as it is told, and nothing changed.
    async fn refused<T>(
        &self,
        what: &str,
        attempt: impl IntoFuture<Output = Result<T, Error>>,
        kind: ErrorKind,
        code: &str,
        path: &str,
    ) {
        let what = format!("{what} on {}", self.world.name);
        let Err(error) = attempt.await else { panic!("{what}: accepted") };
        assert_eq!((error.kind(), told(&error)), (kind, (code.to_owned(), path.to_owned())), "{what}: {error}");
        let after = snapshot(&self.world.pay).await;
        for (now, before) in after.iter().zip(&self.before) {
            assert_eq!(now, before, "{what} changed something");
        }
        assert_eq!(after.len(), self.before.len(), "{what} changed something");
    }

    async fn conflict<T>(
        &self,
        what: &str,
        attempt: impl IntoFuture<Output = Result<T, Error>>,
        code: &str,
        text: &str,
    ) {
        let text = text.to_owned();
        let told = async {
            let error = attempt.await.err().unwrap_or_else(|| panic!("{what}: accepted"));
            assert_eq!(error.to_string(), text, "{what}");
            Err::<T, _>(error)
        };
        self.refused(what, told, ErrorKind::Conflict, code, "").await;
    }

    async fn absent<T>(&self, what: &str, attempt: impl IntoFuture<Output = Result<T, Error>>) {
        self.refused(what, attempt, ErrorKind::NotFound, "not_found", "").await;
    }

    /// Sends a body the way it would come from outside.
    async fn send(&self, call: Call, body: &str) -> Result<(), Error> {
        let organization = self.acme.organization_scope(&self.world.pay);
        let merchant = self.scope();
        let profile = self.acme.profile_scope(&self.world.pay);
        match call {
            Call::NewOrganization => drop(self.world.pay.create_organization(read(body)?).await?),
            Call::Organization => drop(organization.update(read(body)?).await?),
            Call::NewMerchant => drop(organization.create_merchant(read(body)?).await?),
            Call::Merchant => drop(merchant.update(read(body)?).await?),
            Call::NewProfile => drop(merchant.create_profile(read(body)?).await?),
            Call::Profile => drop(profile.update(read(body)?).await?),
            Call::NewConnector => drop(merchant.create_connector(read(body)?).await?),
            Call::Connector => drop(merchant.connector(&self.connector).update(read(body)?).await?),
            Call::Placeholder => drop(merchant.connector(&self.placeholder).update(read(body)?).await?),
            Call::NewKey => drop(merchant.create_api_key(read(body)?).await?),
            Call::Key => drop(merchant.api_key(&self.acme.key.key_id).update(read(body)?).await?),
            Call::Block => drop(merchant.blocklist().add(read(body)?).await?),
            Call::Unblock => drop(merchant.blocklist().remove(read(body)?).await?),
            Call::Payment => drop(merchant.create_payment(read(body)?).await?),
        }
        Ok(())
    }

    async fn rows(&self, rows: &[Row<'_>]) {
        for (call, body, code, path) in rows {
            let what = format!("{call:?} {}", body.chars().take(200).collect::<String>());
            self.refused(&what, self.send(*call, body), ErrorKind::Invalid, code, path).await;
        }
    }
}

/// What a body is sent to. Updates go to what `acme` has.
#[derive(Debug, Clone, Copy)]
enum Call {
    NewOrganization,
    Organization,
    NewMerchant,
    Merchant,
    NewProfile,
    Profile,
    NewConnector,
    Connector,
    Placeholder,
    NewKey,
    Key,
    Block,
    Unblock,
    Payment,
}

/// Call, body, code, path.
type Row<'a> = (Call, &'a str, &'a str, &'a str);

fn on_fixture(test: impl AsyncFn(&Fixture<'_>)) {
    on_every_backend(async |world| test(&Fixture::new(world).await).await);
}

/// A body with one field that is looked at.
fn with(call: Call, field: &str, value: &str) -> String {
    let mut body = match call {
        Call::NewOrganization => json!({ "organization_name": "n" }),
        Call::NewMerchant => json!({ "merchant_id": "new" }),
        Call::NewConnector => json!({
            "connector_type": "payment_processor",
            "connector_name": "stripe",
            "connector_label": "new",
            "connector_account_details": { "auth_type": "HeaderKey", "api_key": "sk_live_3" },
        }),
        Call::Connector | Call::Placeholder => json!({ "connector_type": "payment_processor" }),
        Call::NewKey => json!({ "name": "n", "expiration": "never" }),
        Call::Block | Call::Unblock => json!({ "type": "card_bin", "data": "422222" }),
        Call::Payment => json!({ "amount": 1, "currency": "EUR" }),
        Call::Organization | Call::Merchant | Call::NewProfile | Call::Profile | Call::Key => json!({}),
    };
    body[field] = serde_json::from_str(value).unwrap();
    body.to_string()
}

fn text(value: &str) -> String {
    json!(value).to_string()
}

async fn fields(fixture: &Fixture<'_>, rows: &[(Call, &str, &str, &str)]) {
    for (call, field, value, code) in rows {
        let body = with(*call, field, value);
        fixture.rows(&[(*call, &body, code, field)]).await;
    }
}

/// The id of this text, of the kind of the other one.
fn same_kind<T: std::str::FromStr<Err = Fault>>(_: &T, text: &str) -> T {
    text.parse().unwrap()
}

const ENTRY_POINTS: [Call; 14] = [
    Call::NewOrganization,
    Call::Organization,
    Call::NewMerchant,
    Call::Merchant,
    Call::NewProfile,
    Call::Profile,
    Call::NewConnector,
    Call::Connector,
    Call::Placeholder,
    Call::NewKey,
    Call::Key,
    Call::Block,
    Call::Unblock,
    Call::Payment,
];

#[test]
fn the_good_bodies_that_rows_are_made_of_are_accepted() {
    // Otherwise a row could pass for another reason than its own.
    on_fixture(async |fixture| {
        for call in ENTRY_POINTS {
            let body = match call {
                Call::Unblock => host::block_body("card_bin", "411111"),
                Call::NewMerchant => with(call, "merchant_name", "\"n\""),
                Call::NewProfile => with(call, "profile_name", "\"free\""),
                Call::NewOrganization
                | Call::Organization
                | Call::Merchant
                | Call::Profile
                | Call::NewConnector
                | Call::Connector
                | Call::Placeholder
                | Call::Payment => with(call, "metadata", "{}"),
                Call::NewKey | Call::Key => with(call, "description", "\"d\""),
                Call::Block => with(call, "data", "\"433333\""),
            };
            let sent = fixture.send(call, &body).await;
            assert!(sent.is_ok(), "{call:?}: {sent:?} on {}", fixture.world.name);
        }
    });
}

#[test]
fn an_id_that_is_malformed_over_long_or_of_another_kind_is_refused_where_it_stands() {
    on_fixture(async |fixture| {
        let long = text(&"x".repeat(65));
        let long_profile = text(&format!("pro_{}", "x".repeat(61)));
        let forms: [(&str, &str); 8] = [
            ("\"\"", "id.empty"),
            (&long, "id.too_long"),
            ("\"a b\"", "id.bad_character"),
            ("\" a\"", "id.bad_character"),
            ("\"a/b\"", "id.bad_character"),
            ("\"a\\u0000\"", "id.bad_character"),
            ("\"ä\"", "id.bad_character"),
            ("\"'; DROP TABLE pp_merchant; --\"", "id.bad_character"),
        ];
        for (value, code) in forms {
            fields(
                fixture,
                &[
                    (Call::NewMerchant, "merchant_id", value, code),
                    (Call::NewMerchant, "parent_merchant_id", value, code),
                    (Call::Merchant, "merchant_id", value, code),
                    (Call::Payment, "payment_id", value, code),
                    (Call::Payment, "customer_id", value, code),
                ],
            )
            .await;
        }
        fields(
            fixture,
            &[
                (Call::NewMerchant, "merchant_id", "7", "json.wrong_type"),
                (Call::NewMerchant, "organization_id", "\"acme\"", "id.wrong_prefix"),
                (Call::Merchant, "default_profile", "\"mca_abc\"", "id.wrong_prefix"),
                (Call::Merchant, "default_profile", "\"pro_\"", "id.wrong_prefix"),
                (Call::NewConnector, "profile_id", "\"mca_abc\"", "id.wrong_prefix"),
                (Call::NewConnector, "profile_id", &long_profile, "id.too_long"),
                (Call::Payment, "profile_id", "\"default\"", "id.wrong_prefix"),
            ],
        )
        .await;
        // 64 characters are an id, and one of any length is looked for.
        let longest: MerchantId = "x".repeat(64).parse().unwrap();
        fixture.absent("the longest id", fixture.world.pay.merchant(&longest).retrieve()).await;
        let shortest: ConnectorId = "mca_a".parse().unwrap();
        fixture.absent("the shortest id", fixture.scope().connector(&shortest).retrieve()).await;
    });
}

#[test]
fn an_id_of_a_path_is_refused_before_there_is_a_handle() {
    let code = |fault: Result<(), Fault>| fault.unwrap_err().code().to_owned();
    let long = "x".repeat(65);
    for (id, expected) in [("", "id.empty"), (&long, "id.too_long"), ("a b", "id.bad_character")] {
        assert_eq!(code(id.parse::<MerchantId>().map(drop)), expected);
        assert_eq!(code(id.parse::<ProfileId>().map(drop)), expected);
        assert_eq!(code(id.parse::<ConnectorId>().map(drop)), expected);
        assert_eq!(code(id.parse::<PaymentId>().map(drop)), expected);
        assert_eq!(code(id.parse::<PaymentLinkId>().map(drop)), expected);
        assert_eq!(code(id.parse::<OrganizationId>().map(drop)), expected);
    }
    assert_eq!(code("acme".parse::<OrganizationId>().map(drop)), "id.wrong_prefix");
    assert_eq!(code("MCA_abc".parse::<ConnectorId>().map(drop)), "id.wrong_prefix");
    assert_eq!(code("abc_x".parse::<perfectpay::ApiKeyId>().map(drop)), "id.wrong_prefix");
    assert_eq!(code("a b".parse::<perfectpay::store::IdempotencyKey>().map(drop)), "idempotency_key.malformed");
}

#[test]
fn a_name_is_visible_text_of_at_most_64_characters() {
    on_fixture(async |fixture| {
        for (value, code) in [
            (text(""), "text.empty"),
            (text(" \t "), "text.empty"),
            (text(&"x".repeat(65)), "text.too_long"),
            (text(&"ä".repeat(65)), "text.too_long"),
            (text(&"x".repeat(20_000)), "text.too_long"),
            (text("a\u{0}b"), "text.bad_character"),
            (text("a\nb"), "text.bad_character"),
            (text("a\u{7f}b"), "text.bad_character"),
            (text("a\u{85}b"), "text.bad_character"),
            (text("a\u{200b}b"), "text.bad_character"),
            (text("a\u{202e}b"), "text.bad_character"),
            (text("a\u{2066}b"), "text.bad_character"),
            (text("\u{feff}ab"), "text.bad_character"),
            ("7".to_owned(), "json.wrong_type"),
            ("[\"a\"]".to_owned(), "json.wrong_type"),
        ] {
            fields(
                fixture,
                &[
                    (Call::NewProfile, "profile_name", &value, code),
                    (Call::Profile, "profile_name", &value, code),
                    (Call::NewKey, "name", &value, code),
                    (Call::Key, "name", &value, code),
                ],
            )
            .await;
        }
        let (long, longer) = (text(&"x".repeat(256)), text(&"x".repeat(257)));
        fields(
            fixture,
            &[
                (Call::NewOrganization, "organization_name", &long, "text.too_long"),
                (Call::Organization, "organization_name", &long, "text.too_long"),
                (Call::NewMerchant, "merchant_name", &long, "text.too_long"),
                (Call::NewConnector, "connector_label", &long, "text.too_long"),
                (Call::NewConnector, "connector_label", "\"a\\u0007\"", "text.bad_character"),
                (Call::Connector, "connector_label", "\"\"", "text.empty"),
                (Call::NewKey, "description", &longer, "text.too_long"),
                (Call::Payment, "description", &long, "text.too_long"),
                (Call::Block, "data", &text(&"x".repeat(65)), "text.too_long"),
            ],
        )
        .await;
        fixture
            .rows(&[
                (
                    Call::NewMerchant,
                    r#"{"merchant_id": "new", "merchant_details": {"address": {"city": ""}}}"#,
                    "text.empty",
                    "merchant_details.address.city",
                ),
                (
                    Call::Profile,
                    r#"{"webhook_details": {"webhook_username": "a\u0000"}}"#,
                    "text.bad_character",
                    "webhook_details.webhook_username",
                ),
            ])
            .await;
    });
    on_every_backend(async |world| {
        let scope = host::stand_up(&world.pay, "acme").await.unwrap().scope(&world.pay);
        let name = "ä".repeat(64);
        let profile = scope.create_profile(read(&host::profile_body(&name)).unwrap()).await.unwrap();
        assert_eq!(profile.profile_name.as_str(), name, "{}", world.name);
        // Names made of what SQL and JSON are made of come back as they are.
        for name in ["'; DROP TABLE pp_profile; --", "\"}{\"", "%_\\", "\u{1f4b3} Ünïcode", "null"] {
            let profile = scope.create_profile(read(&host::profile_body(name)).unwrap()).await.unwrap();
            let read_back = scope.profile(&profile.profile_id).retrieve().await.unwrap();
            assert_eq!(read_back.profile_name.as_str(), name, "{}", world.name);
        }
    });
}

#[test]
fn names_that_look_alike_are_one_name() {
    on_every_backend(async |world| {
        let scope = host::stand_up(&world.pay, "acme").await.unwrap().scope(&world.pay);
        scope.create_profile(read(&host::profile_body("Café")).unwrap()).await.unwrap();
        for name in ["Cafe\u{301}", " Café ", "Café"] {
            let error = scope.create_profile(read(&host::profile_body(name)).unwrap()).await.unwrap_err();
            assert_eq!(error.to_string(), "another business profile has this profile_name", "{name:?}");
        }
        // Case counts, as it does in the contract.
        scope.create_profile(read(&host::profile_body("café")).unwrap()).await.unwrap();
    });
}

#[test]
fn a_url_is_absolute_http_and_without_credentials() {
    on_fixture(async |fixture| {
        let long = format!("https://example.com/{}", "x".repeat(2048));
        for (url, code) in [
            ("", "url.not_absolute"),
            ("shop.example.com/return", "url.not_absolute"),
            ("/return", "url.not_absolute"),
            ("//example.com", "url.not_absolute"),
            ("https:example.com", "url.not_absolute"),
            ("https://", "url.not_absolute"),
            ("https://exa mple.com", "url.not_absolute"),
            ("https://example.com/\nHost: evil", "url.not_absolute"),
            ("https:\\\\example.com", "url.not_absolute"),
            ("ftp://example.com", "url.not_http"),
            ("javascript:alert(1)", "url.not_http"),
            ("data:text/html,x", "url.not_http"),
            ("file:///etc/passwd", "url.not_http"),
            ("https://user@example.com", "url.has_credentials"),
            ("https://user:pass@example.com", "url.has_credentials"),
            ("https://:pass@example.com", "url.has_credentials"),
            (&long, "url.too_long"),
        ] {
            let value = text(url);
            fields(
                fixture,
                &[
                    (Call::NewMerchant, "return_url", &value, code),
                    (Call::Merchant, "return_url", &value, code),
                    (Call::NewProfile, "return_url", &value, code),
                    (Call::Profile, "return_url", &value, code),
                    (Call::Payment, "return_url", &value, code),
                ],
            )
            .await;
            let webhook = json!({ "webhook_details": { "webhook_url": url } }).to_string();
            let logo = json!({ "payment_link_config": { "logo": url } }).to_string();
            let path = "webhook_details.webhook_url";
            fixture
                .rows(&[
                    (Call::NewProfile, &webhook, code, path),
                    (Call::Profile, &webhook, code, path),
                    (Call::Merchant, &webhook, code, path),
                    (Call::Profile, &logo, code, "payment_link_config.logo"),
                ])
                .await;
        }
    });
}

#[test]
fn an_unknown_currency_country_connector_or_status_is_refused() {
    on_fixture(async |fixture| {
        for currency in ["\"usd\"", "\"XXX\"", "\"ZZZ\"", "\"\"", "\"US\"", "\"XAU\"", "\"DEM\""] {
            fields(fixture, &[(Call::Payment, "currency", currency, "currency.unknown")]).await;
        }
        for country in ["us", "ZZ", "USA", "", "Unspecified"] {
            let business = json!({ "primary_business_details": [{ "country": country, "business": "b" }] });
            let path = "primary_business_details[0].country";
            fixture.rows(&[(Call::Merchant, &business.to_string(), "country.unknown", path)]).await;
            let value = text(country);
            fields(
                fixture,
                &[
                    (Call::NewConnector, "business_country", &value, "country.unknown"),
                    (Call::Profile, "merchant_business_country", &value, "country.unknown"),
                ],
            )
            .await;
        }
        let inactive = r#"["active"]"#;
        fields(
            fixture,
            &[
                (Call::NewConnector, "connector_name", "\"nope\"", "connector.unknown_name"),
                (Call::NewConnector, "connector_name", "\"Stripe\"", "connector.malformed_name"),
                (Call::NewConnector, "connector_name", "\"\"", "connector.malformed_name"),
                (Call::NewConnector, "connector_name", "\"stripe_test\"", "connector.test_only"),
                (Call::NewConnector, "connector_type", "\"payment\"", "json.unknown_variant"),
                (Call::Connector, "connector_type", "\"payment\"", "json.unknown_variant"),
                (Call::Connector, "connector_type", "null", "json.wrong_type"),
                (Call::NewConnector, "status", "\"paused\"", "json.unknown_variant"),
                (Call::Connector, "status", "\"paused\"", "json.unknown_variant"),
                (Call::Connector, "status", inactive, "json.wrong_type"),
                (Call::Payment, "capture_method", "\"later\"", "json.unknown_variant"),
                (Call::Payment, "authentication_type", "\"3ds\"", "json.unknown_variant"),
                (Call::Block, "type", "\"iban\"", "json.unknown_variant"),
                (Call::Profile, "merchant_country_code", "\"999\"", "merchant_country_code.unknown"),
                (Call::Profile, "merchant_category_code", "\"54\"", "merchant_category_code.malformed"),
                (Call::Profile, "merchant_category_code", "\"54a1\"", "merchant_category_code.malformed"),
            ],
        )
        .await;
        let taxes = r#"{"connector_type": "payment_processor", "connector_name": "taxjar", "connector_label": "t",
            "connector_account_details": {"auth_type": "HeaderKey", "api_key": "sk_live_4"}}"#;
        let statuses = |field: &str, status: &str| {
            let mut details = json!({});
            details[field] = json!(["failed", status]);
            json!({ "webhook_details": details }).to_string()
        };
        fixture
            .rows(&[
                (Call::NewConnector, taxes, "connector.wrong_type", "connector_type"),
                (
                    Call::Profile,
                    &statuses("payment_statuses_enabled", "done"),
                    "json.unknown_variant",
                    "webhook_details.payment_statuses_enabled[1]",
                ),
                (
                    Call::Profile,
                    &statuses("payment_statuses_enabled", "requires_confirmation"),
                    "webhook.status_not_allowed",
                    "webhook_details.payment_statuses_enabled[1]",
                ),
                (
                    Call::NewProfile,
                    &statuses("payout_statuses_enabled", "pending"),
                    "webhook.status_not_allowed",
                    "webhook_details.payout_statuses_enabled[1]",
                ),
                (
                    Call::NewProfile,
                    r#"{"webhook_details": {"refund_statuses_enabled": ["manual_review"]}}"#,
                    "webhook.status_not_allowed",
                    "webhook_details.refund_statuses_enabled[0]",
                ),
            ])
            .await;
    });
}

#[test]
fn an_amount_or_a_number_out_of_range_is_refused() {
    on_fixture(async |fixture| {
        fields(
            fixture,
            &[
                (Call::Payment, "amount", "-1", "amount.out_of_range"),
                (Call::Payment, "amount", "1000000000", "amount.out_of_range"),
                (Call::Payment, "amount", "9223372036854775807", "amount.out_of_range"),
                (Call::Payment, "amount", "9223372036854775808", "json.wrong_type"),
                (Call::Payment, "amount", "49.99", "json.wrong_type"),
                (Call::Payment, "amount", "\"4999\"", "json.wrong_type"),
                (Call::Payment, "amount", "null", "json.wrong_type"),
                (Call::Payment, "session_expiry", "59", "session_expiry.out_of_range"),
                (Call::Payment, "session_expiry", "7890001", "session_expiry.out_of_range"),
                (Call::Profile, "session_expiry", "59", "session_expiry.out_of_range"),
                (Call::NewProfile, "session_expiry", "-900", "session_expiry.out_of_range"),
                (Call::Profile, "intent_fulfillment_time", "1801", "intent_fulfillment_time.out_of_range"),
                (Call::Profile, "intent_fulfillment_time", "59", "intent_fulfillment_time.out_of_range"),
                (Call::Profile, "dispute_polling_interval", "25", "dispute_polling_interval.out_of_range"),
                (Call::Profile, "max_auto_retries_enabled", "256", "json.wrong_type"),
                (Call::Profile, "max_auto_retries_enabled", "-1", "json.wrong_type"),
            ],
        )
        .await;
        let bounds = |minimum: i64, maximum: i64| {
            json!({
                "connector_type": "payment_processor",
                "payment_methods_enabled": [{
                    "payment_method": "card",
                    "payment_method_types": [
                        { "payment_method_type": "credit", "minimum_amount": minimum, "maximum_amount": maximum },
                    ],
                }],
            })
            .to_string()
        };
        let place = "payment_methods_enabled[0].payment_method_types[0]";
        fixture
            .rows(&[
                (Call::Connector, &bounds(2, 1), "connector.amount_bounds", &format!("{place}.minimum_amount")),
                (Call::Connector, &bounds(-1, 1), "amount.out_of_range", &format!("{place}.minimum_amount")),
            ])
            .await;
    });
    on_every_backend(async |world| {
        let scope = host::stand_up(&world.pay, "acme").await.unwrap().scope(&world.pay);
        for amount in [0, 999_999_999] {
            let payment = scope.create_payment(read(&host::payment_body(amount, "EUR")).unwrap()).await.unwrap();
            assert_eq!(payment.amount.get(), amount, "{}", world.name);
        }
    });
}

#[test]
fn credentials_have_the_shape_that_they_state_and_are_never_blank_or_masked() {
    on_fixture(async |fixture| {
        let long = json!({ "auth_type": "HeaderKey", "api_key": "x".repeat(16 * 1024 + 1) }).to_string();
        let rows: [(&str, &str, &str); 20] = [
            (r#"{"auth_type": "BodyKey", "api_key": "k12345", "key1": "k12345"}"#, "connector.wrong_auth", ""),
            (r#"{"auth_type": "NoKey"}"#, "connector.wrong_auth", ""),
            (r#"{"auth_type": "TemporaryAuth"}"#, "connector.wrong_auth", ""),
            (r#"{"auth_type": "HeaderKey"}"#, "json.missing_field", ".api_key"),
            (r#"{"auth_type": "HeaderKey", "api_key": null}"#, "json.missing_field", ".api_key"),
            (r#"{"auth_type": "BodyKey", "api_key": "k12345"}"#, "json.missing_field", ".key1"),
            (r#"{"auth_type": "HeaderKey", "api_key": "k1", "key1": "k2"}"#, "connector.auth_field", ".key1"),
            (r#"{"auth_type": "HeaderKey", "api_key": "k1", "key3": "k2"}"#, "json.unknown_field", ".key3"),
            (r#"{"auth_type": "headerkey", "api_key": "k1"}"#, "json.unknown_variant", ".auth_type"),
            (r#"{"api_key": "k1"}"#, "json.missing_field", ".auth_type"),
            (r#""sk_live_1""#, "json.wrong_type", ""),
            (r#"{"auth_type": "HeaderKey", "api_key": 7}"#, "json.wrong_type", ".api_key"),
            (r#"{"auth_type": "HeaderKey", "api_key": ""}"#, "connector.blank_credential", ".api_key"),
            (r#"{"auth_type": "HeaderKey", "api_key": " \t "}"#, "connector.blank_credential", ".api_key"),
            (r#"{"auth_type": "HeaderKey", "api_key": "sk*****_1"}"#, "connector.masked_credential", ".api_key"),
            (r#"{"auth_type": "HeaderKey", "api_key": "****"}"#, "connector.masked_credential", ".api_key"),
            (&long, "connector.long_credential", ".api_key"),
            (r#"{"auth_type": "CurrencyAuthKey", "auth_key_map": {}}"#, "connector.no_currency", ".auth_key_map"),
            (
                r#"{"auth_type": "CurrencyAuthKey", "auth_key_map": {"EUR": {}}}"#,
                "connector.blank_credential",
                ".auth_key_map.EUR",
            ),
            (
                r#"{"auth_type": "CurrencyAuthKey", "auth_key_map": {"EUR": {"k": {"deep": [" "]}}}}"#,
                "connector.blank_credential",
                ".auth_key_map.EUR",
            ),
        ];
        for (details, code, place) in rows {
            let path = format!("connector_account_details{place}");
            for call in [Call::NewConnector, Call::Connector] {
                let body = with(call, "connector_account_details", details);
                fixture.rows(&[(call, &body, code, &path)]).await;
            }
        }
        // What was shown cannot be sent back.
        let shown = fixture.scope().connector(&fixture.connector).retrieve().await.unwrap();
        let shown = serde_json::to_string(&shown.connector_account_details).unwrap();
        let body = with(Call::Connector, "connector_account_details", &shown);
        let path = "connector_account_details.api_key";
        fixture.rows(&[(Call::Connector, &body, "connector.masked_credential", path)]).await;

        let nothing = r#"{"connector_type": "payment_processor", "connector_name": "stripe"}"#;
        let webhook = r#"{"merchant_secret": "wh*****et"}"#;
        fixture
            .rows(&[
                (Call::NewConnector, nothing, "json.missing_field", "connector_account_details"),
                (
                    Call::Connector,
                    &with(Call::Connector, "connector_webhook_details", webhook),
                    "secret.masked",
                    "connector_webhook_details.merchant_secret",
                ),
                (
                    Call::Connector,
                    &with(Call::Connector, "connector_webhook_details", "{}"),
                    "json.missing_field",
                    "connector_webhook_details.merchant_secret",
                ),
                (
                    Call::Connector,
                    &with(Call::Connector, "connector_wallets_details", r#"{"apple_pay": "key"}"#),
                    "json.wrong_type",
                    "connector_wallets_details.apple_pay",
                ),
                (
                    Call::Profile,
                    r#"{"webhook_details": {"webhook_password": "co*****ry"}}"#,
                    "secret.masked",
                    "webhook_details.webhook_password",
                ),
                (
                    Call::Profile,
                    r#"{"webhook_details": {"webhook_password": " "}}"#,
                    "secret.blank",
                    "webhook_details.webhook_password",
                ),
                (
                    Call::Profile,
                    r#"{"payment_response_hash_key": "ab****yz"}"#,
                    "secret.masked",
                    "payment_response_hash_key",
                ),
                (Call::Merchant, r#"{"payment_response_hash_key": ""}"#, "secret.blank", "payment_response_hash_key"),
            ])
            .await;
    });
}

#[test]
fn the_rules_of_headers_and_branding_name_the_member() {
    on_fixture(async |fixture| {
        let header = |name: &str, value: &str| {
            let mut headers = json!({});
            headers[name] = value.into();
            json!({ "outgoing_webhook_custom_http_headers": headers }).to_string()
        };
        let config = |field: &str, value: serde_json::Value| {
            let mut config = json!({});
            config[field] = value;
            json!({ "payment_link_config": config }).to_string()
        };
        let at = "outgoing_webhook_custom_http_headers";
        let link = "payment_link_config";
        fixture
            .rows(&[
                (Call::Profile, &header("X-Team", "a\r\nHost: evil"), "webhook.header_value", &format!("{at}.X-Team")),
                (Call::Profile, &header("X-Team", ""), "webhook.header_value", &format!("{at}.X-Team")),
                (Call::Profile, &header("Host", "evil"), "webhook.header", &format!("{at}.Host")),
                (Call::Profile, &header("x team", "a"), "webhook.header_name", &format!("{at}.x team")),
                (Call::Profile, &config("theme", "red;}".into()), "branding.colour", &format!("{link}.theme")),
                (Call::Profile, &config("theme", "url(x)".into()), "branding.colour", &format!("{link}.theme")),
                (
                    Call::Profile,
                    &config("background_colour", "expression(1)".into()),
                    "branding.colour",
                    &format!("{link}.background_colour"),
                ),
                (
                    Call::Profile,
                    &config("allowed_domains", json!(["shop.example", "*"])),
                    "branding.domain",
                    &format!("{link}.allowed_domains[1]"),
                ),
                (
                    Call::Profile,
                    &config("domain_name", "https://pay.example".into()),
                    "branding.domain",
                    &format!("{link}.domain_name"),
                ),
                (
                    Call::Profile,
                    &config("logo", "data:image/svg+xml,<svg/>".into()),
                    "url.not_http",
                    &format!("{link}.logo"),
                ),
                (
                    Call::Payment,
                    r#"{"amount": 1, "currency": "EUR", "payment_link": true,
                        "payment_link_config": {"theme": "javascript:"}}"#,
                    "branding.colour",
                    &format!("{link}.theme"),
                ),
            ])
            .await;
    });
}

#[test]
fn a_name_a_label_or_an_id_that_is_taken_is_a_conflict() {
    on_fixture(async |fixture| {
        let (pay, scope) = (&fixture.world.pay, fixture.scope());
        let organization = fixture.acme.organization_scope(pay);
        let exists = "merchant account `acme` exists already";
        let new = async || organization.create_merchant(read(&host::merchant_body("acme"))?).await;
        fixture.conflict("the id of an account", new(), "already_exists", exists).await;
        let elsewhere = fixture.other.organization_scope(pay);
        let new = async || elsewhere.create_merchant(read(&host::merchant_body("acme"))?).await;
        fixture.conflict("the id of another organization's account", new(), "already_exists", exists).await;

        let name = "another business profile has this profile_name";
        for taken in ["default", "Second"] {
            let new = async || scope.create_profile(read(&host::profile_body(taken))?).await;
            fixture.conflict("the name of a profile", new(), "duplicate", name).await;
        }
        let rename = async || fixture.acme.profile_scope(pay).update(read(&host::profile_body("Second"))?).await;
        fixture.conflict("a new name that is taken", rename(), "duplicate", name).await;

        let label = "another connector account has this connector_label";
        let new = async || scope.create_connector(read(&host::connector_body("two", "sk_live_9"))?).await;
        fixture.conflict("the label of a connector", new(), "duplicate", label).await;
        // `stripe_default` is also what `stripe` in the profile `default` is called where no label is stated.
        let unlabelled = r#"{"connector_type": "payment_processor", "connector_name": "stripe",
            "connector_account_details": {"auth_type": "HeaderKey", "api_key": "sk_live_9"}}"#;
        let new = async || scope.create_connector(read(unlabelled)?).await;
        fixture.conflict("the label that stands for none", new(), "duplicate", label).await;
        let update = r#"{"connector_type": "payment_processor", "connector_label": "stripe_default"}"#;
        let rename = async || scope.connector(&fixture.second_connector).update(read(update)?).await;
        fixture.conflict("a new label that is taken", rename(), "duplicate", label).await;

        let payment = r#"{"payment_id": "taken", "amount": 1, "currency": "EUR"}"#;
        let new = async || scope.create_payment(read(payment)?).await;
        fixture.conflict("the id of a payment", new(), "already_exists", "payment `taken` exists already").await;
        let linked = r#"{"payment_id": "taken", "amount": 1, "currency": "EUR", "payment_link": true}"#;
        let new = async || scope.create_payment(read(linked)?).await;
        fixture.conflict("the same with a link", new(), "already_exists", "payment `taken` exists already").await;

        let add = async || scope.blocklist().add(read(&host::block_body("card_bin", "411111"))?).await;
        let exists = "blocklist entry `card_bin:411111` exists already";
        fixture.conflict("an entry of the blocklist", add(), "already_exists", exists).await;
    });
}

#[test]
fn the_same_name_elsewhere_is_free() {
    on_every_backend(async |world| {
        let fixture = Fixture::new(world).await;
        let second = fixture.scope().profile(&fixture.second);
        // In another profile, of another kind, in another account.
        second.create_connector(read(&host::connector_body("two", "sk_live_9")).unwrap()).await.unwrap();
        let blocklist = fixture.scope();
        let blocklist = blocklist.blocklist();
        blocklist.add(read(&host::block_body("fingerprint", "411111")).unwrap()).await.unwrap();
        let sibling = fixture.sibling.scope(&world.pay);
        sibling.create_profile(read(&host::profile_body("Second")).unwrap()).await.unwrap();
    });
}

#[test]
fn an_unknown_or_foreign_parent_or_child_is_absent() {
    on_fixture(async |fixture| {
        let pay = &fixture.world.pay;
        let (acme, other) = (fixture.scope(), fixture.other.scope(pay));
        let absent: MerchantId = "nobody".parse().unwrap();
        let organization: OrganizationId = "org_nobody".parse().unwrap();

        let unknown = pay.organization(&organization);
        fixture.absent("an organization", unknown.retrieve()).await;
        fixture.absent("its update", unknown.update(OrganizationUpdate::default())).await;
        fixture.absent("its removal", unknown.remove()).await;
        fixture.absent("its accounts", unknown.merchants(PageRequest::default())).await;
        fixture.absent("its log", unknown.log(LogPosition::START, 10)).await;
        let new = async || unknown.create_merchant(read(&host::merchant_body("new"))?).await;
        fixture.absent("an account under it", new()).await;

        // An account by the wrong organization, and one that there is not, are one answer.
        let wrong = fixture.other.organization_scope(pay).merchant(&fixture.acme.merchant.merchant_id);
        for (what, scope) in [
            ("another organization's account", wrong),
            ("no account", fixture.acme.organization_scope(pay).merchant(&absent)),
            ("no account by its id alone", pay.merchant(&absent)),
        ] {
            fixture.absent(what, scope.retrieve()).await;
            fixture.absent(what, scope.organization()).await;
            fixture.absent(what, scope.update(MerchantUpdate::default())).await;
            fixture.absent(what, scope.remove()).await;
            fixture.absent(what, scope.remove().cascade()).await;
            fixture.absent(what, scope.profiles(PageRequest::default())).await;
            fixture.absent(what, scope.connectors(PageRequest::default())).await;
            fixture.absent(what, scope.api_keys(PageRequest::default())).await;
            fixture.absent(what, scope.payments(PageRequest::default())).await;
            fixture.absent(what, scope.payment_links(PageRequest::default())).await;
            fixture.absent(what, scope.blocklist().entries(None, PageRequest::default())).await;
            fixture.absent(what, scope.blocklist().toggle(None)).await;
            fixture.absent(what, scope.blocklist().screen(&"4111111111111111".parse().unwrap())).await;
            fixture.absent(what, scope.log(LogPosition::START, 10)).await;
            fixture.absent(what, async { scope.create_profile(read("{}")?).await }).await;
            fixture.absent(what, async { scope.create_api_key(read(&host::api_key_body("k", "never"))?).await }).await;
            fixture.absent(what, async { scope.create_connector(read(&host::connector_body("l", "k1"))?).await }).await;
            fixture.absent(what, async { scope.create_payment(read(&host::payment_body(1, "EUR"))?).await }).await;
            let add = async { scope.blocklist().add(read(&host::block_body("card_bin", "455555"))?).await };
            fixture.absent(what, add).await;
            let profile = scope.profile(&fixture.acme.profile.profile_id);
            fixture.absent(what, profile.retrieve()).await;
            fixture.absent(what, scope.connector(&fixture.connector).retrieve()).await;
            fixture.absent(what, scope.api_key(&fixture.acme.key.key_id).retrieve()).await;
            fixture.absent(what, scope.payment(&"taken".parse().unwrap()).retrieve()).await;
            fixture.absent(what, scope.payment_link(&fixture.link).retrieve()).await;
        }

        // What belongs to another organization, and what does not exist, differ in nothing but the id that was asked.
        let said = |error: Error, id: &str| format!("{error:?} {error}").replace(id, "ID");
        macro_rules! alike {
            ($foreign:expr, $absent:literal, |$id:ident| $call:expr) => {{
                let foreign = $foreign.clone();
                let answer = {
                    let $id = &foreign;
                    $call.await.err().unwrap()
                };
                let missing = same_kind(&foreign, $absent);
                let never = {
                    let $id = &missing;
                    $call.await.err().unwrap()
                };
                let (foreign, missing) = (foreign.to_string(), missing.to_string());
                assert_eq!(said(answer, &foreign), said(never, &missing));
                {
                    let $id = &$foreign;
                    fixture.absent("a foreign object", $call).await;
                }
            }};
        }
        let connector = fixture.other_connector.clone();
        let profile = fixture.other.profile.profile_id.clone();
        let key = fixture.other.key.key_id.clone();
        let link = fixture.other_link.clone();
        let of_type = || ConnectorUpdate::of(perfectpay::ConnectorType::PaymentProcessor);
        alike!(connector, "mca_nobody", |id| acme.connector(id).retrieve());
        alike!(connector, "mca_nobody", |id| acme.connector(id).reveal_credentials());
        alike!(connector, "mca_nobody", |id| acme.connector(id).update(of_type()));
        alike!(connector, "mca_nobody", |id| acme.connector(id).remove());
        alike!(profile, "pro_nobody", |id| acme.profile(id).retrieve());
        alike!(profile, "pro_nobody", |id| acme.profile(id).update(ProfileUpdate::default()));
        alike!(profile, "pro_nobody", |id| acme.profile(id).remove());
        alike!(profile, "pro_nobody", |id| acme.profile(id).remove().cascade());
        alike!(profile, "pro_nobody", |id| acme.profile(id).connectors(PageRequest::default()));
        alike!(profile, "pro_nobody", |id| async {
            acme.profile(id).create_connector(read(&host::connector_body("l", "k1"))?).await
        });
        alike!(profile, "pro_nobody", |id| async {
            acme.profile(id).create_payment(read(&host::payment_body(1, "EUR"))?).await
        });
        alike!(profile, "pro_nobody", |id| async {
            acme.create_connector(read(&with(Call::NewConnector, "profile_id", &text(id.as_str())))?).await
        });
        alike!(profile, "pro_nobody", |id| async {
            acme.create_payment(read(&with(Call::Payment, "profile_id", &text(id.as_str())))?).await
        });
        alike!(profile, "pro_nobody", |id| async {
            acme.update(read(&with(Call::Merchant, "default_profile", &text(id.as_str())))?).await
        });
        alike!(key, "snd_nobody", |id| acme.api_key(id).retrieve());
        alike!(key, "snd_nobody", |id| acme.api_key(id).update(ApiKeyUpdate::default()));
        alike!(key, "snd_nobody", |id| acme.api_key(id).revoke());
        alike!(link, "plink_nobody", |id| acme.payment_link(id).retrieve());
        // A parent account is one of the same organization, and not the account itself.
        let parent: MerchantId = "other".parse().unwrap();
        alike!(parent, "nobody", |id| async {
            acme.update(read(&with(Call::Merchant, "parent_merchant_id", &text(id.as_str())))?).await
        });
        alike!(parent, "nobody", |id| async {
            let body = with(Call::NewMerchant, "parent_merchant_id", &text(id.as_str()));
            fixture.acme.organization_scope(pay).create_merchant(read(&body)?).await
        });
        let own = async { acme.update(read(&with(Call::Merchant, "parent_merchant_id", "\"acme\""))?).await };
        fixture.absent("an account as its own parent", own).await;

        // Of a sibling profile, likewise.
        let second = acme.profile(&fixture.second);
        fixture.absent("a sibling profile's connector", second.connector(&fixture.connector).retrieve()).await;
        fixture.absent("its removal", second.connector(&fixture.connector).remove()).await;
        fixture.absent("a sibling profile's payment", second.payment(&"taken".parse().unwrap()).retrieve()).await;
        // What both have by the same name is each one's own.
        let entry: BlockRequest = read(&host::block_body("card_bin", "499999")).unwrap();
        fixture.absent("an entry that is not listed", other.blocklist().remove(entry)).await;
    });
}

#[test]
fn a_body_that_contradicts_its_path_is_refused() {
    on_fixture(async |fixture| {
        let second = fixture.scope().profile(&fixture.second);
        let default = text(fixture.acme.profile.profile_id.as_str());
        let connector = with(Call::NewConnector, "profile_id", &default);
        let payment = with(Call::Payment, "profile_id", &default);
        let attempt = async { second.create_connector(read(&connector)?).await };
        fixture.refused("a connector", attempt, ErrorKind::Invalid, "profile.other", "profile_id").await;
        let attempt = async { second.create_payment(read(&payment)?).await };
        fixture.refused("a payment", attempt, ErrorKind::Invalid, "profile.other", "profile_id").await;
        let elsewhere = text(fixture.other.organization.organization_id.as_str());
        let merchant = with(Call::NewMerchant, "organization_id", &elsewhere);
        fixture
            .rows(&[
                (Call::NewMerchant, &merchant, "merchant.other_organization", "organization_id"),
                (Call::Merchant, r#"{"merchant_id": "other"}"#, "merchant.other_id", "merchant_id"),
                (
                    Call::NewMerchant,
                    r#"{"merchant_id": "new", "sub_merchants_enabled": true}"#,
                    "merchant.no_parent",
                    "sub_merchants_enabled",
                ),
                (Call::Merchant, r#"{"sub_merchants_enabled": true}"#, "merchant.no_parent", "sub_merchants_enabled"),
                (
                    Call::NewConnector,
                    &with(Call::NewConnector, "business_country", "\"DE\""),
                    "connector.unknown_business",
                    "business_country",
                ),
                (
                    Call::NewConnector,
                    &with(Call::NewConnector, "business_label", "\"books\""),
                    "connector.unknown_business",
                    "business_label",
                ),
            ])
            .await;
    });
}

#[test]
fn a_stale_version_changes_nothing_and_says_what_the_version_is() {
    on_fixture(async |fixture| {
        let pay = &fixture.world.pay;
        let scope = fixture.scope();
        macro_rules! stale {
            ($name:expr, $found:literal, $command:expr) => {
                for expected in [0, $found - 1, $found + 1, u64::MAX] {
                    let text = format!("{} is at version {}, not {expected}", $name, $found);
                    fixture.conflict($name, $command.expecting(expected), "stale", &text).await;
                }
            };
        }
        let organization = fixture.acme.organization_scope(pay);
        let id = &fixture.acme.organization.organization_id;
        let rename = || read::<OrganizationUpdate>(r#"{"organization_name": "n"}"#).unwrap();
        stale!(&format!("organization `{id}`"), 1, organization.update(rename()));
        stale!(&format!("organization `{id}`"), 1, organization.update(OrganizationUpdate::default()));
        stale!(&format!("organization `{id}`"), 1, organization.remove());
        stale!(&format!("organization `{id}`"), 1, organization.remove().cascade());
        // Its business made the second version.
        let rename = || read::<MerchantUpdate>(r#"{"merchant_name": "n"}"#).unwrap();
        stale!("merchant account `acme`", 2, scope.update(rename()));
        stale!("merchant account `acme`", 2, scope.remove());
        stale!("merchant account `acme`", 2, scope.remove().cascade());
        let profile = fixture.acme.profile_scope(pay);
        let name = format!("business profile `{}`", fixture.acme.profile.profile_id);
        let rename = || read::<ProfileUpdate>(r#"{"profile_name": "n"}"#).unwrap();
        stale!(&name, 1, profile.update(rename()));
        stale!(&name, 1, profile.remove());
        let name = format!("connector account `{}`", fixture.connector);
        let label = || read::<ConnectorUpdate>(&with(Call::Connector, "connector_label", "\"n\"")).unwrap();
        stale!(&name, 1, scope.connector(&fixture.connector).update(label()));
        stale!(&name, 1, scope.connector(&fixture.connector).remove());
        let name = format!("API key `{}`", fixture.acme.key.key_id);
        let key = scope.api_key(&fixture.acme.key.key_id);
        let rename = || read::<ApiKeyUpdate>(r#"{"name": "n"}"#).unwrap();
        stale!(&name, 1, key.update(rename()));
        stale!(&name, 1, key.revoke());
        let entry = || read::<BlockRequest>(&host::block_body("card_bin", "411111")).unwrap();
        stale!("blocklist entry `card_bin:411111`", 1, scope.blocklist().remove(entry()));
    });
}

#[test]
fn an_idempotency_key_answers_the_first_result_and_refuses_another_request() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let (organization, scope) = (tenant.organization_scope(pay), tenant.scope(pay));
        let profile = tenant.profile_scope(pay);
        let key = || "key-1".parse().unwrap();
        macro_rules! once {
            ($handle:ident . $create:ident, $body:expr, $($other:expr),+ $(,)?) => {{
                let first = $handle.$create(read(&$body).unwrap()).idempotency_key(key()).await.unwrap();
                let before = snapshot(pay).await;
                let again = $handle.$create(read(&$body).unwrap()).idempotency_key(key()).await.unwrap();
                assert_eq!(again, first, "{} on {}", stringify!($create), world.name);
                $(
                    let error = $handle.$create(read(&$other).unwrap()).idempotency_key(key()).await.unwrap_err();
                    let told = (error.kind(), error.code().to_owned());
                    let expected = (ErrorKind::Conflict, "idempotency_mismatch".to_owned());
                    assert_eq!(told, expected, "{} with {} on {}", stringify!($create), $other, world.name);
                )+
                assert_eq!(snapshot(pay).await, before, "{} on {}", stringify!($create), world.name);
                first
            }};
        }
        let body = host::organization_body;
        once!(pay.create_organization, body("one"), body("two"), r#"{"organization_name": "one", "metadata": {}}"#);
        once!(
            organization.create_merchant,
            r#"{"merchant_id": "second", "payment_response_hash_key": "secret-1"}"#,
            r#"{"merchant_id": "third", "payment_response_hash_key": "secret-1"}"#,
            // Only the secret differs, and there being one.
            r#"{"merchant_id": "second", "payment_response_hash_key": "secret-2"}"#,
            r#"{"merchant_id": "second"}"#,
            r#"{"merchant_id": "second", "webhook_details": {"webhook_password": "secret-1"}}"#,
        );
        once!(
            scope.create_profile,
            r#"{"profile_name": "P", "webhook_details": {"webhook_password": "secret-1"},
                "outgoing_webhook_custom_http_headers": {"a": "secret-a"}}"#,
            r#"{"profile_name": "Q", "webhook_details": {"webhook_password": "secret-1"},
                "outgoing_webhook_custom_http_headers": {"a": "secret-a"}}"#,
            r#"{"profile_name": "P", "webhook_details": {"webhook_password": "secret-2"},
                "outgoing_webhook_custom_http_headers": {"a": "secret-a"}}"#,
            r#"{"profile_name": "P", "webhook_details": {"webhook_password": "secret-1"},
                "outgoing_webhook_custom_http_headers": {"a": "secret-b"}}"#,
        );
        // Keys belong to the parent: the same one is another one in another account, another one in another parent.
        let new = |label: &str, key: &str, more: &str| {
            let mut body: serde_json::Value = serde_json::from_str(&host::connector_body(label, key)).unwrap();
            let more: serde_json::Value = serde_json::from_str(more).unwrap();
            for (name, value) in more.as_object().unwrap() {
                body[name] = value.clone();
            }
            body.to_string()
        };
        let sibling = host::merchant_in(pay, &tenant.organization, "sibling").await.unwrap().scope(pay);
        let details = r#"{"connector_webhook_details": {"merchant_secret": "secret-1"},
            "connector_wallets_details": {"paze": {"key": "secret-p"}}, "additional_merchant_data": {"k": "secret-a"}}"#;
        once!(
            sibling.create_connector,
            new("c", "sk_live_1", details),
            new("d", "sk_live_1", details),
            new("c", "sk_live_2", details),
            new("c", "sk_live_1", "{}"),
            new("c", "sk_live_1", &details.replace("secret-1", "secret-2")),
            new("c", "sk_live_1", &details.replace("secret-p", "secret-q")),
            new("c", "sk_live_1", &details.replace("secret-a", "secret-b")),
        );
        // Another operation is another request, also through the profile's own handle.
        let error = scope.create_api_key(read(&host::api_key_body("k", "never")).unwrap()).idempotency_key(key()).await;
        assert!(matches!(error, Err(Error::IdempotencyMismatch)), "{}", world.name);
        let connector = || read::<NewConnector>(&host::connector_body("e", "sk_live_5")).unwrap();
        let two = || "key-2".parse().unwrap();
        scope.create_connector(connector()).idempotency_key(two()).await.unwrap();
        let error = profile.create_connector(connector()).idempotency_key(two()).await.unwrap_err();
        assert!(matches!(error, Error::IdempotencyMismatch), "{}", world.name);

        let third = host::merchant_in(pay, &tenant.organization, "third").await.unwrap().scope(pay);
        let first: NewPayment = read(&host::payment_with_link_body(100, "EUR")).unwrap();
        let one = third.create_payment(first.clone()).idempotency_key(key()).await.unwrap();
        world.clock.step(Duration::from_secs(60));
        assert_eq!(third.create_payment(first).idempotency_key(key()).await.unwrap(), one, "{}", world.name);
        assert_eq!(third.payments(PageRequest::default()).await.unwrap().items.len(), 1, "{}", world.name);
        let other: NewPayment = read(&host::payment_with_link_body(101, "EUR")).unwrap();
        let error = third.create_payment(other).idempotency_key(key()).await.unwrap_err();
        assert!(matches!(error, Error::IdempotencyMismatch), "{}", world.name);

        let fourth = host::merchant_in(pay, &tenant.organization, "fourth").await.unwrap().scope(pay);
        let blocklist = fourth.blocklist();
        once!(blocklist.add, host::block_body("card_bin", "411111"), host::block_body("card_bin", "411112"));
        let removed: BlockRequest = read(&host::block_body("card_bin", "411111")).unwrap();
        blocklist.remove(removed.clone()).await.unwrap();
        // The key still answers what it answered, though the entry went since.
        blocklist.add(removed.clone()).idempotency_key(key()).await.unwrap();
        assert_eq!(blocklist.entries(None, PageRequest::default()).await.unwrap().count, 0, "{}", world.name);
    });
}

#[test]
fn a_repeated_creation_of_a_key_answers_the_key_without_its_token() {
    on_every_backend(async |world| {
        let scope = host::stand_up(&world.pay, "acme").await.unwrap().scope(&world.pay);
        let new = || read(&host::api_key_body("k", "never")).unwrap();
        let first = scope.create_api_key(new()).idempotency_key("k1".parse().unwrap()).await.unwrap();
        let again = scope.create_api_key(new()).idempotency_key("k1".parse().unwrap()).await.unwrap();
        let expected = IssuedApiKey { api_key: None, replayed: true, ..first.clone() };
        assert_eq!(again, expected, "{}", world.name);
        assert!(first.api_key.is_some() && !first.replayed);
        assert_eq!(support::shown(&again)["replayed"], true);
        assert!(support::shown(&again).get("api_key").is_none());
        assert!(support::shown(&first).get("replayed").is_none());
        assert_eq!(scope.api_keys(PageRequest::default()).await.unwrap().items.len(), 2, "{}", world.name);
    });
}

#[test]
fn an_idempotency_key_is_free_again_when_its_time_is_over() {
    on_every_backend(async |world| {
        let new = || read::<NewOrganization>(&host::organization_body("one")).unwrap();
        let key = || "k1".parse().unwrap();
        let first = world.pay.create_organization(new()).idempotency_key(key()).await.unwrap();
        world.clock.step(Duration::from_secs(24 * 60 * 60) - Duration::from_millis(1));
        let again = world.pay.create_organization(new()).idempotency_key(key()).await.unwrap();
        assert_eq!(again.organization_id, first.organization_id, "{}", world.name);
        world.clock.step(Duration::from_millis(1));
        let later = world.pay.create_organization(new()).idempotency_key(key()).await.unwrap();
        assert_ne!(later.organization_id, first.organization_id, "{}", world.name);
        let again = world.pay.create_organization(new()).idempotency_key(key()).await.unwrap();
        assert_eq!(again.organization_id, later.organization_id, "{}", world.name);
    });
}

#[test]
fn a_failed_command_leaves_its_idempotency_key_free() {
    on_every_backend(async |world| {
        let scope = host::stand_up(&world.pay, "acme").await.unwrap().scope(&world.pay);
        let key = || "k1".parse().unwrap();
        let taken: NewProfile = read(&host::profile_body("default")).unwrap();
        let error = scope.create_profile(taken).idempotency_key(key()).await.unwrap_err();
        assert_eq!(error.code(), "duplicate", "{}", world.name);
        let free: NewProfile = read(&host::profile_body("free")).unwrap();
        scope.create_profile(free).idempotency_key(key()).await.unwrap();
    });
}

#[test]
fn what_has_children_stays_and_says_which() {
    on_fixture(async |fixture| {
        let pay = &fixture.world.pay;
        let scope = fixture.scope();
        let organization = fixture.acme.organization_scope(pay);
        let id = &fixture.acme.organization.organization_id;
        let text = format!("organization `{id}` still has 2 × merchant account");
        fixture.conflict("an organization", organization.remove(), "has_children", &text).await;
        let text = "merchant account `acme` still has 3 × business profile, 1 × API key, 1 × blocklist entry";
        fixture.conflict("an account", scope.remove(), "has_children", text).await;
        // The one that made its second version is the third profile.
        let default = fixture.acme.profile_scope(pay);
        let text = format!(
            "business profile `{}` is the default profile while there are others",
            fixture.acme.profile.profile_id
        );
        fixture.conflict("the default profile", default.remove(), "profile.is_default", &text).await;
        fixture.conflict("and with a cascade", default.remove().cascade(), "profile.is_default", &text).await;
        let other = fixture.other.profile_scope(pay);
        let text = format!(
            "business profile `{}` still has 1 × connector account, 1 × payment",
            fixture.other.profile.profile_id
        );
        fixture.conflict("the last profile", other.remove(), "has_children", &text).await;
    });
}

#[test]
fn the_default_profile_goes_last_and_a_second_one_leaves_it_alone() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let scope = tenant.scope(&world.pay);
        let default = async || scope.retrieve().await.unwrap().default_profile;
        let first = tenant.profile.profile_id.clone();
        let second = scope.create_profile(read(&host::profile_body("Second")).unwrap()).await.unwrap().profile_id;
        assert_eq!(default().await, Some(first.clone()), "{}", world.name);
        let version = scope.retrieve().await.unwrap().version;
        assert_eq!(version, 1, "a profile is no version of its account");

        let update = with(Call::Merchant, "default_profile", &text(second.as_str()));
        let updated = scope.update(read(&update).unwrap()).await.unwrap();
        assert_eq!(updated.default_profile, Some(second.clone()), "{}", world.name);
        scope.profile(&first).remove().await.unwrap();
        assert_eq!(default().await, Some(second.clone()), "{}", world.name);
        scope.profile(&second).remove().await.unwrap();
        assert_eq!(default().await, None, "{}", world.name);

        // Without any profile what needs one says so, and the next one becomes the default.
        let error = scope.create_payment(read(&host::payment_body(1, "EUR")).unwrap()).await.unwrap_err();
        assert_eq!(told(&error), ("profile.no_default".to_owned(), "profile_id".to_owned()), "{}", world.name);
        let error = scope.create_connector(read(&host::connector_body("l", "sk_live_1")).unwrap()).await.unwrap_err();
        assert_eq!(told(&error), ("profile.no_default".to_owned(), "profile_id".to_owned()), "{}", world.name);
        let third = scope.create_profile(read(&host::profile_body("Third")).unwrap()).await.unwrap().profile_id;
        assert_eq!(default().await, Some(third), "{}", world.name);
    });
}

#[test]
fn every_key_that_is_refused_looks_the_same_to_the_caller() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let scope = tenant.scope(pay);
        let issue = async |expiration: &str| {
            let key = scope.create_api_key(read(&host::api_key_body("k", expiration)).unwrap()).await.unwrap();
            (key.key_id, key.api_key.unwrap().expose().to_owned())
        };
        let good = tenant.token().to_owned();
        let (revoked_id, revoked) = issue("never").await;
        scope.api_key(&revoked_id).revoke().await.unwrap();
        let (_, expired) = issue("2020-01-01T00:00:00Z").await;
        let (_, expiring) = issue("2026-11-23T10:00:00.000Z").await;
        // One that this library would issue, but for another environment, and one of another master key.
        let elsewhere = async |settings: perfectpay::Settings| {
            let pay = PerfectPay::open(world.backend.store.clone(), settings).await.unwrap();
            let scope = pay.merchant(&tenant.merchant.merchant_id);
            let new = read(&host::api_key_body("k", "never")).unwrap();
            scope.create_api_key(new).await.map(|key| key.api_key.unwrap().expose().to_owned())
        };
        let production = host::settings().unwrap().environment(Environment::Production);
        let production = elsewhere(production.entropy(std::sync::Arc::new(host::SeededEntropy::new(2)))).await.unwrap();
        let (rotated_id, rotated) = issue("never").await;
        scope.api_key(&rotated_id).rotate(std::time::Duration::ZERO).await.unwrap();
        let elsewhere_only = r#"{"name": "k", "expiration": "never", "networks": ["203.0.113.0/24"]}"#;
        let elsewhere_only = scope.create_api_key(read(elsewhere_only).unwrap()).await.unwrap().api_key.unwrap();
        let removed = host::stand_up(pay, "removed").await.unwrap();
        removed.scope(pay).remove().cascade().await.unwrap();
        let never_issued = {
            let store = std::sync::Arc::new(perfectpay_memory::MemoryStore::new());
            let settings = host::settings().unwrap().entropy(std::sync::Arc::new(host::SeededEntropy::new(3)));
            let pay = PerfectPay::open(store, settings).await.unwrap();
            host::stand_up(&pay, "x").await.unwrap().token().to_owned()
        };
        let mistyped = {
            let mut text = good.clone();
            let last = if text.ends_with('a') { 'b' } else { 'a' };
            text.pop();
            text.push(last);
            text
        };
        let swapped = good.chars().map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c });
        let swapped: String = swapped.collect();
        let before = snapshot(pay).await;
        let rows = [
            ("nothing", String::new(), Refusal::Malformed),
            ("white space", " ".to_owned(), Refusal::Malformed),
            ("other text", "Bearer abc".to_owned(), Refusal::Malformed),
            ("long text", "x".repeat(1_000_000), Refusal::Malformed),
            ("the key's id", tenant.key.key_id.to_string(), Refusal::Malformed),
            ("a publishable key", tenant.merchant.publishable_key.to_string(), Refusal::Malformed),
            ("one mistyped character", mistyped, Refusal::Malformed),
            ("one character less", good[..good.len() - 1].to_owned(), Refusal::Malformed),
            ("one character more", format!("{good}a"), Refusal::Malformed),
            ("another case", swapped, Refusal::Malformed),
            ("white space within", format!("{} {}", &good[..20], &good[20..]), Refusal::Malformed),
            ("another environment", production, Refusal::WrongEnvironment),
            ("never issued here", never_issued, Refusal::Unknown),
            ("revoked", revoked, Refusal::Unknown),
            ("of a removed account", removed.token().to_owned(), Refusal::Unknown),
            ("expired long ago", expired, Refusal::Expired),
            ("expiring at this moment", expiring, Refusal::Expired),
            ("rotated out", rotated, Refusal::RotatedOut),
            ("from elsewhere", elsewhere_only.expose().to_owned(), Refusal::NetworkNotAllowed),
        ];
        let mut answers = std::collections::BTreeSet::new();
        for (what, token, reason) in rows {
            let error = pay.authenticate(&token).await.err().unwrap_or_else(|| panic!("{what}: accepted"));
            assert_eq!(error.to_string(), "the credential was not accepted", "{what} on {}", world.name);
            assert_eq!((error.kind(), error.code()), (ErrorKind::Unauthorized, "unauthorized"), "{what}");
            assert!(matches!(error, Error::Unauthorized(found) if found == reason), "{what}: {error:?}");
            assert!(std::error::Error::source(&error).is_none(), "{what}");
            answers.insert(format!("{:?}", error.envelope()));
        }
        assert_eq!(answers.len(), 1, "one answer to every refusal: {answers:?}");
        assert_eq!(snapshot(pay).await, before, "{}", world.name);
        // White space around a good one is the header's, not the key's.
        pay.authenticate(&format!(" {good}\n")).await.unwrap();
    });
}

#[test]
fn a_bin_is_six_digits_and_an_extended_one_eight() {
    on_fixture(async |fixture| {
        let too_long = |field: &str| {
            let text = "x".repeat(256);
            format!(r#"{{"type": "card_bin", "data": "422222", "{field}": "{text}"}}"#)
        };
        for (kind, data) in [
            ("card_bin", "41111"),
            ("card_bin", "4111111"),
            ("card_bin", "41111a"),
            ("card_bin", "4111 1"),
            ("card_bin", "-41111"),
            ("card_bin", "+41111"),
            ("card_bin", "４１１１１１"),
            ("card_bin", "٤١١١١١"),
            ("card_bin", "4111111111111111"),
            ("extended_card_bin", "411111"),
            ("extended_card_bin", "411111111"),
            ("extended_card_bin", "4111111x"),
        ] {
            let body = host::block_body(kind, data);
            fixture
                .rows(&[(Call::Block, &body, "blocklist.bin", "data"), (Call::Unblock, &body, "blocklist.bin", "data")])
                .await;
        }
        fixture
            .rows(&[
                (Call::Block, r#"{"type": "card_bin", "data": 411111}"#, "json.wrong_type", "data"),
                (Call::Block, r#"{"type": "card_bin", "data": ""}"#, "text.empty", "data"),
                (Call::Block, r#"{"type": "fingerprint", "data": "a\u0000b"}"#, "text.bad_character", "data"),
                (Call::Block, r#"{"type": "card_bin"}"#, "json.missing_field", "data"),
                (Call::Block, r#"{"type": "card_prefix", "data": "41111"}"#, "blocklist.prefix", "data"),
                (Call::Block, r#"{"type": "card_prefix", "data": "411111111111"}"#, "blocklist.prefix", "data"),
                (Call::Unblock, r#"{"type": "card_range", "data": "411111"}"#, "blocklist.range", "data"),
                (Call::Block, r#"{"type": "card_range", "data": "411112-411111"}"#, "blocklist.range", "data"),
                (Call::Block, r#"{"type": "card_range", "data": "411111-4111112"}"#, "blocklist.range", "data"),
                (
                    Call::Block,
                    r#"{"type": "card_bin", "data": "422222", "action": "deny"}"#,
                    "json.unknown_variant",
                    "action",
                ),
                (
                    Call::Block,
                    r#"{"type": "card_bin", "data": "422222", "expires_at": "tomorrow"}"#,
                    "timestamp.malformed",
                    "expires_at",
                ),
                (Call::Block, r#"{"type": "card_bin", "data": "422222", "reason": ""}"#, "text.empty", "reason"),
                (Call::Block, &too_long("reason"), "text.too_long", "reason"),
                (Call::Block, &too_long("source"), "text.too_long", "source"),
                (
                    Call::Block,
                    r#"{"type": "card_bin", "data": "422222", "metadata": 7}"#,
                    "json.wrong_type",
                    "metadata",
                ),
                (
                    Call::Block,
                    r#"{"type": "card_bin", "data": "422222", "scope": "merchant"}"#,
                    "json.unknown_field",
                    "scope",
                ),
                (Call::Block, r#"{"data": "411111"}"#, "json.missing_field", "type"),
            ])
            .await;
    });
    for (card, code) in [
        ("", "card_number.length"),
        ("41111111111", "card_number.length"),
        ("41111111111111111111", "card_number.length"),
        ("4111111111111112", "card_number.luhn"),
        ("4111x11111111111", "card_number.bad_character"),
    ] {
        assert_eq!(card.parse::<CardNumber>().unwrap_err().code(), code);
    }
}

#[test]
fn a_link_needs_a_return_url_and_a_confirmation_a_payment_method() {
    on_fixture(async |fixture| {
        fixture
            .rows(&[
                (
                    Call::Payment,
                    r#"{"amount": 1, "currency": "EUR", "payment_link": true, "confirm": true}"#,
                    "payment.confirm_link",
                    "confirm",
                ),
                (
                    Call::Payment,
                    r#"{"amount": 1, "currency": "EUR", "confirm": true}"#,
                    "json.missing_field",
                    "payment_method",
                ),
                (
                    Call::Payment,
                    r#"{"amount": 1, "currency": "EUR", "payment_link_config": {"theme": "red"}}"#,
                    "payment.no_link",
                    "payment_link_config",
                ),
                (
                    Call::Payment,
                    r#"{"amount": 1, "currency": "EUR", "payment_link": false, "payment_link_config_id": "eu"}"#,
                    "payment.no_link",
                    "payment_link_config_id",
                ),
                (Call::Payment, r#"{"currency": "EUR", "payment_link": true}"#, "json.missing_field", "amount"),
                (Call::Payment, r#"{"amount": 1, "payment_link": true}"#, "json.missing_field", "currency"),
            ])
            .await;
    });
    on_every_backend(async |world| {
        let scope = host::stand_up(&world.pay, "acme").await.unwrap().scope(&world.pay);
        let bare: NewProfile = read(r#"{"profile_name": "bare"}"#).unwrap();
        let bare = scope.create_profile(bare).await.unwrap().profile_id;
        let bare = scope.profile(&bare);
        bare.update(read(r#"{"return_url": null}"#).unwrap()).await.unwrap();
        let before = snapshot(&world.pay).await;
        let new = || read::<NewPayment>(&host::payment_with_link_body(1, "EUR")).unwrap();
        let error = bare.create_payment(new()).await.unwrap_err();
        let expected = ("payment_link.no_return_url".to_owned(), "return_url".to_owned());
        assert_eq!(told(&error), expected, "{}", world.name);
        assert_eq!(snapshot(&world.pay).await, before, "no payment without its link on {}", world.name);
        // Without a link, or with a return URL of its own, it is made.
        bare.create_payment(read(&host::payment_body(1, "EUR")).unwrap()).await.unwrap();
        let body = with(Call::Payment, "return_url", "\"https://shop.example.com/\"");
        let body = body.replace('}', ", \"payment_link\": true}");
        bare.create_payment(read(&body).unwrap()).await.unwrap();
    });
}

#[test]
fn an_unknown_field_is_refused_with_its_path_at_every_level() {
    on_fixture(async |fixture| {
        for call in ENTRY_POINTS {
            let body = with(call, "nope", "1");
            fixture.rows(&[(call, &body, "json.unknown_field", "nope")]).await;
        }
        let rows: [(Call, &str, &str); 24] = [
            (Call::NewMerchant, "merchant_details.nope", r#"{"merchant_details": {"nope": 1}}"#),
            (Call::NewMerchant, "merchant_details.address.nope", r#"{"merchant_details": {"address": {"nope": 1}}}"#),
            (Call::NewMerchant, "webhook_details.nope", r#"{"webhook_details": {"nope": 1}}"#),
            (Call::Merchant, "webhook_details.nope", r#"{"webhook_details": {"nope": 1}}"#),
            (
                Call::NewMerchant,
                "primary_business_details[1].nope",
                r#"{"primary_business_details":
                    [{"country": "US", "business": "a"}, {"country": "US", "business": "b", "nope": 1}]}"#,
            ),
            (Call::NewProfile, "webhook_details.nope", r#"{"webhook_details": {"nope": 1}}"#),
            (Call::Profile, "webhook_details.nope", r#"{"webhook_details": {"nope": 1}}"#),
            (Call::NewProfile, "payment_link_config.nope", r#"{"payment_link_config": {"nope": 1}}"#),
            (Call::Profile, "payment_link_config.nope", r#"{"payment_link_config": {"nope": 1}}"#),
            (
                Call::Profile,
                "payment_link_config.business_specific_configs.eu.nope",
                r#"{"payment_link_config": {"business_specific_configs": {"eu": {"nope": 1}}}}"#,
            ),
            (
                Call::Profile,
                "payment_link_config.background_image.nope",
                r#"{"payment_link_config": {"background_image": {"url": "https://a.example", "nope": 1}}}"#,
            ),
            (Call::Profile, "card_testing_guard_config.nope", r#"{"card_testing_guard_config": {"nope": 1}}"#),
            (Call::Profile, "payment_method_blocking.nope", r#"{"payment_method_blocking": {"nope": 1}}"#),
            (
                Call::Profile,
                "payment_method_blocking.card.nope",
                r#"{"payment_method_blocking": {"card": {"nope": 1}}}"#,
            ),
            (
                Call::NewConnector,
                "connector_account_details.nope",
                r#"{"connector_account_details": {"auth_type": "NoKey", "nope": 1}}"#,
            ),
            (
                Call::Connector,
                "connector_account_details.nope",
                r#"{"connector_account_details": {"auth_type": "NoKey", "nope": 1}}"#,
            ),
            (
                Call::NewConnector,
                "payment_methods_enabled[0].nope",
                r#"{"payment_methods_enabled": [{"payment_method": "card", "nope": 1}]}"#,
            ),
            (
                Call::NewConnector,
                "payment_methods_enabled[0].payment_method_types[1].nope",
                r#"{"payment_methods_enabled": [{"payment_method": "card", "payment_method_types":
                    ["credit", {"payment_method_type": "debit", "nope": 1}]}]}"#,
            ),
            (
                Call::Connector,
                "payment_methods_enabled[0].payment_method_types[0].accepted_currencies.nope",
                r#"{"payment_methods_enabled": [{"payment_method": "card", "payment_method_types":
                    [{"payment_method_type": "debit", "accepted_currencies": {"type": "all_accepted", "nope": 1}}]}]}"#,
            ),
            (
                Call::NewConnector,
                "connector_webhook_details.nope",
                r#"{"connector_webhook_details": {"merchant_secret": "abcdef", "nope": 1}}"#,
            ),
            (Call::Connector, "connector_wallets_details.nope", r#"{"connector_wallets_details": {"nope": {}}}"#),
            (
                Call::Payment,
                "payment_link_config.nope",
                r#"{"payment_link": true, "payment_link_config": {"nope": 1}}"#,
            ),
            (
                Call::Payment,
                "payment_link_config.allowed_domains",
                r#"{"payment_link": true, "payment_link_config": {"allowed_domains": []}}"#,
            ),
            (
                Call::Payment,
                "payment_link_config.transaction_details[0].ui_configuration.nope",
                r#"{"payment_link": true, "payment_link_config": {"transaction_details":
                    [{"key": "k", "value": "v", "ui_configuration": {"nope": 1}}]}}"#,
            ),
        ];
        for (call, path, more) in rows {
            let mut body: serde_json::Value = serde_json::from_str(&with(call, "x", "1")).unwrap();
            body.as_object_mut().unwrap().remove("x");
            let more: serde_json::Value = serde_json::from_str(more).unwrap();
            for (name, value) in more.as_object().unwrap() {
                body[name] = value.clone();
            }
            fixture.rows(&[(call, &body.to_string(), "json.unknown_field", path)]).await;
        }
        // What may not be changed is not a field of an update.
        fixture
            .rows(&[
                (Call::Key, r#"{"key_id": "snd_abc"}"#, "json.unknown_field", "key_id"),
                (Call::Key, r#"{"merchant_id": "acme"}"#, "json.unknown_field", "merchant_id"),
                (
                    Call::Connector,
                    &with(Call::Connector, "connector_name", "\"stripe\""),
                    "json.unknown_field",
                    "connector_name",
                ),
                (
                    Call::Connector,
                    &with(Call::Connector, "profile_id", "\"pro_abc\""),
                    "json.unknown_field",
                    "profile_id",
                ),
                (Call::Profile, r#"{"profile_id": "pro_abc"}"#, "json.unknown_field", "profile_id"),
                (Call::Merchant, r#"{"organization_id": "org_abc"}"#, "json.unknown_field", "organization_id"),
            ])
            .await;
    });
}

#[test]
fn null_in_an_update_is_refused_where_there_always_is_a_value() {
    on_fixture(async |fixture| {
        fields(
            fixture,
            &[
                (Call::Organization, "organization_name", "null", "field.not_nullable"),
                (Call::Merchant, "payment_response_hash_key", "null", "field.not_nullable"),
                (Call::Merchant, "default_profile", "null", "field.not_nullable"),
                (Call::Profile, "profile_name", "null", "field.not_nullable"),
                (Call::Profile, "payment_response_hash_key", "null", "field.not_nullable"),
                (Call::Connector, "connector_label", "null", "field.not_nullable"),
                (Call::Connector, "connector_account_details", "null", "field.not_nullable"),
                (Call::Key, "name", "null", "field.not_nullable"),
                (Call::Key, "expiration", "null", "field.not_nullable"),
                (Call::NewKey, "expiration", "null", "json.wrong_type"),
                (Call::NewKey, "expiration", "\"soon\"", "expiration.malformed"),
                (Call::NewKey, "expiration", "\"2027-01-01\"", "expiration.malformed"),
                (Call::NewKey, "expiration", "\"2027-01-01T00:00:00\"", "expiration.malformed"),
                (Call::Key, "expiration", "\"2027-13-01T00:00:00Z\"", "expiration.malformed"),
                (Call::NewOrganization, "organization_name", "null", "json.wrong_type"),
                (Call::NewMerchant, "merchant_id", "null", "json.wrong_type"),
            ],
        )
        .await;
    });
}

#[test]
fn null_clears_what_is_nullable_and_resets_what_has_a_default() {
    on_every_backend(async |world| {
        let pay = &world.pay;
        let tenant = host::stand_up(pay, "acme").await.unwrap();
        let scope = tenant.scope(pay);
        let profile = tenant.profile_scope(pay);
        let before = support::shown(&profile.retrieve().await.unwrap());
        let everything = json!({
            "return_url": "https://x.example/",
            "metadata": { "a": 1 },
            "payment_link_config": { "theme": "red" },
            "applepay_verified_domains": ["x.example"],
            "is_connector_agnostic_mit_enabled": true,
            "max_auto_retries_enabled": 3,
            "always_request_extended_authorization": true,
            "is_iframe_redirection_enabled": true,
            "is_manual_retry_enabled": true,
            "always_enable_overcapture": true,
            "merchant_business_country": "DE",
            "merchant_category_code": "5411",
            "merchant_country_code": "276",
            "dispute_polling_interval": 1,
            "payment_method_blocking": { "card": { "card_types": ["credit"] } },
            "webhook_details": { "webhook_url": "https://x.example/", "webhook_password": "secret-1" },
            "outgoing_webhook_custom_http_headers": { "X-A": "secret-2" },
            "enable_payment_response_hash": false,
            "redirect_to_merchant_with_http_post": true,
            "intent_fulfillment_time": 60,
            "session_expiry": 60,
            "use_billing_as_payment_method_billing": false,
            "collect_shipping_details_from_wallet_connector": true,
            "collect_billing_details_from_wallet_connector": true,
            "always_collect_shipping_details_from_wallet_connector": true,
            "always_collect_billing_details_from_wallet_connector": true,
            "is_auto_retries_enabled": true,
            "card_testing_guard_config": {
                "card_ip_blocking_status": "enabled", "card_ip_blocking_threshold": 1,
                "guest_user_card_blocking_status": "enabled", "guest_user_card_blocking_threshold": 1,
                "customer_id_blocking_status": "enabled", "customer_id_blocking_threshold": 1,
                "card_testing_guard_expiry": 1,
            },
            "is_clear_pan_retries_enabled": true,
            "force_3ds_challenge": true,
            "is_debit_routing_enabled": true,
            "is_l2_l3_enabled": true,
        });
        let set = support::shown(&profile.update(read(&everything.to_string()).unwrap()).await.unwrap());
        let mut nulls = everything.clone();
        for (field, value) in nulls.as_object_mut().unwrap() {
            assert_ne!(set[field], before[field], "{field} was set on {}", world.name);
            *value = serde_json::Value::Null;
        }
        let cleared = profile.update(read(&nulls.to_string()).unwrap()).await.unwrap();
        let mut expected = before;
        // The account's return URL is taken when a profile is created; null is null.
        expected["return_url"] = serde_json::Value::Null;
        assert_eq!(support::shown(&cleared), expected, "{}", world.name);
        assert_eq!(cleared.version, 3);

        // A member of the webhook details by itself.
        let details = r#"{"webhook_details": {"webhook_url": "https://x.example/", "webhook_username": "u"}}"#;
        profile.update(read(details).unwrap()).await.unwrap();
        let one = profile.update(read(r#"{"webhook_details": {"webhook_username": null}}"#).unwrap()).await.unwrap();
        let one = support::shown(&one);
        assert_eq!(one["webhook_details"]["webhook_username"], serde_json::Value::Null);
        assert_eq!(one["webhook_details"]["webhook_url"], "https://x.example/");

        let set = json!({
            "merchant_name": "Acme", "merchant_details": { "website": "x" }, "metadata": { "a": 1 },
            "webhook_details": { "webhook_password": "secret-1" }, "enable_payment_response_hash": false,
            "redirect_to_merchant_with_http_post": true,
            "primary_business_details": [{ "country": "US", "business": "food" }],
        });
        let before = support::shown(&scope.retrieve().await.unwrap());
        scope.update(read(&set.to_string()).unwrap()).await.unwrap();
        let mut nulls = set;
        nulls.as_object_mut().unwrap().values_mut().for_each(|value| *value = serde_json::Value::Null);
        let cleared = scope.update(read(&nulls.to_string()).unwrap()).await.unwrap();
        assert_eq!(support::shown(&cleared), before, "{}", world.name);

        let connector = scope.create_connector(read(&host::connector_body("c", "sk_live_1")).unwrap()).await.unwrap();
        let handle = scope.connector(&connector.merchant_connector_id);
        let set = r#"{"connector_type": "payment_processor", "metadata": {"a": 1}, "test_mode": true, "disabled": true,
            "status": "inactive", "connector_webhook_details": {"merchant_secret": "secret-3"},
            "additional_merchant_data": {"a": "secret-4"}, "connector_wallets_details": {"paze": {"a": "secret-5"}}}"#;
        let set = support::shown(&handle.update(read(set).unwrap()).await.unwrap());
        assert_eq!(set["status"], "inactive");
        let nulls = r#"{"connector_type": "payment_processor", "metadata": null, "test_mode": null, "disabled": null,
            "status": null, "connector_webhook_details": null, "additional_merchant_data": null,
            "connector_wallets_details": null}"#;
        let cleared = handle.update(read(nulls).unwrap()).await.unwrap();
        assert_eq!(support::shown(&cleared), support::shown(&connector), "{}", world.name);

        let key = scope.api_key(&tenant.key.key_id);
        key.update(read(r#"{"description": "d"}"#).unwrap()).await.unwrap();
        let cleared = key.update(read(r#"{"description": null}"#).unwrap()).await.unwrap();
        assert_eq!(cleared.description, None, "{}", world.name);

        let organization = tenant.organization_scope(pay);
        let set = r#"{"metadata": {"a": 1}, "organization_details": {"b": 2}}"#;
        organization.update(read(set).unwrap()).await.unwrap();
        let nulls = r#"{"metadata": null, "organization_details": null}"#;
        let cleared = organization.update(read(nulls).unwrap()).await.unwrap();
        assert_eq!((cleared.metadata, cleared.organization_details), (None, None), "{}", world.name);
    });
}

#[test]
fn an_update_that_changes_nothing_makes_no_version_and_no_log_entry() {
    on_every_backend(async |world| {
        let fixture = Fixture::new(world).await;
        let pay = &world.pay;
        // Everything that is sealed, set once; then each of it sent again as it was.
        let profile = r#"{"profile_name": "default", "webhook_details": {"webhook_url": "https://x.example/",
            "webhook_password": "secret-1", "payment_statuses_enabled": ["failed"]},
            "outgoing_webhook_custom_http_headers": {"X-A": "secret \"2\\"}, "payment_response_hash_key": "secret-3",
            "metadata": {"b": 0.1, "a": [1, null, true]}, "session_expiry": 900, "force_3ds_challenge": false}"#;
        let merchant = r#"{"merchant_id": "acme", "merchant_name": "Acme", "merchant_details": {"website": "w"},
            "webhook_details": {"webhook_password": "secret-1"}, "payment_response_hash_key": "secret-2",
            "publishable_key": "pk_snd_x", "metadata": {"a": 1.5}}"#;
        let connector = r#"{"connector_type": "payment_processor", "connector_label": "stripe_default",
            "connector_account_details": {"auth_type": "HeaderKey", "api_key": "sk_live_new"},
            "payment_methods_enabled": [{"payment_method": "card", "payment_method_types": ["credit"]}],
            "connector_webhook_details": {"merchant_secret": "secret-3"}, "metadata": {"a": 1},
            "additional_merchant_data": {"b": "secret-4", "a": 1}, "connector_wallets_details": {"paze": {"a": "s5"}}}"#;
        let connector_again = connector.replace("[\"credit\"]", "[{\"payment_method_type\": \"credit\"}]");
        let key = r#"{"name": "Key", "description": "d", "expiration": "2027-01-01T01:00:00+01:00"}"#;
        let key_again = r#"{"name": "Key", "expiration": "2027-01-01T00:00:00.000Z"}"#;
        let organization = r#"{"organization_name": "O", "metadata": {"a": {"b": 1}}, "platform_merchant_id": "x"}"#;
        let calls = [
            (Call::Organization, organization, organization),
            (Call::Merchant, merchant, merchant),
            (Call::Profile, profile, profile),
            (Call::Connector, connector, &connector_again),
            (Call::Key, key, key_again),
        ];
        for (call, body, _) in calls {
            fixture.send(call, body).await.unwrap();
        }
        let default = with(Call::Merchant, "default_profile", &text(fixture.acme.profile.profile_id.as_str()));
        let before = snapshot(pay).await;
        world.clock.step(Duration::from_secs(1));
        for (call, _, again) in calls {
            fixture.send(call, again).await.unwrap();
            assert_eq!(snapshot(pay).await, before, "{call:?} on {}", world.name);
            let empty = with(call, "x", "1").replace("\"x\":1", "").replace(",}", "}").replace("{,", "{");
            fixture.send(call, &empty).await.unwrap();
            assert_eq!(snapshot(pay).await, before, "{call:?} {empty} on {}", world.name);
        }
        fixture.send(Call::Merchant, &default).await.unwrap();
        assert_eq!(snapshot(pay).await, before, "the default profile as it is, on {}", world.name);
        let scope = fixture.scope();
        scope.blocklist().toggle(Some(false)).await.unwrap();
        assert_eq!(snapshot(pay).await, before, "the guard as it is, on {}", world.name);
    });
}

#[test]
fn status_and_disabled_keep_their_rules() {
    on_fixture(async |fixture| {
        let paypal = |status: &str| {
            json!({
                "connector_type": "payment_processor",
                "connector_name": "paypal",
                "connector_label": "p",
                "connector_account_details": { "auth_type": "TemporaryAuth" },
                "status": status,
            })
            .to_string()
        };
        let inactive = r#"{"connector_type": "payment_processor", "status": "inactive", "disabled": false}"#;
        let new = with(Call::NewConnector, "status", "\"inactive\"").replacen('{', "{\"disabled\": false, ", 1);
        fixture
            .rows(&[
                (Call::NewConnector, &paypal("active"), "connector.temporary_active", "status"),
                (
                    Call::Placeholder,
                    &with(Call::Placeholder, "status", "\"active\""),
                    "connector.temporary_active",
                    "status",
                ),
                (
                    Call::Placeholder,
                    &with(Call::Placeholder, "disabled", "false"),
                    "connector.inactive_enabled",
                    "disabled",
                ),
                (Call::Connector, inactive, "connector.inactive_enabled", "disabled"),
                (Call::NewConnector, &new, "connector.inactive_enabled", "disabled"),
            ])
            .await;
    });
    on_every_backend(async |world| {
        let fixture = Fixture::new(world).await;
        let scope = fixture.scope();
        let standing = async |handle: &perfectpay::ConnectorScope| {
            let connector = handle.retrieve().await.unwrap();
            (connector.status.to_string(), connector.disabled)
        };
        let active = |disabled| ("active".to_owned(), disabled);
        let inactive = || ("inactive".to_owned(), true);
        let stripe = scope.connector(&fixture.connector);
        let update = async |handle: &perfectpay::ConnectorScope, more: &str| {
            let body = format!(r#"{{"connector_type": "payment_processor"{more}}}"#);
            handle.update(read(&body).unwrap()).await.unwrap();
        };
        assert_eq!(standing(&stripe).await, active(false));
        update(&stripe, r#", "disabled": true"#).await;
        assert_eq!(standing(&stripe).await, active(true));
        // An update without `disabled` leaves it alone.
        update(&stripe, r#", "metadata": {"a": 1}"#).await;
        assert_eq!(standing(&stripe).await, active(true), "{}", world.name);
        update(&stripe, r#", "disabled": false"#).await;
        update(&stripe, r#", "status": "inactive""#).await;
        assert_eq!(standing(&stripe).await, inactive(), "{}", world.name);
        update(&stripe, r#", "status": "active""#).await;
        assert_eq!(standing(&stripe).await, active(true), "turning active does not enable, on {}", world.name);
        update(&stripe, r#", "disabled": null"#).await;
        assert_eq!(standing(&stripe).await, active(false), "{}", world.name);

        let paypal = scope.connector(&fixture.placeholder);
        assert_eq!(standing(&paypal).await, inactive());
        let keys = r#", "connector_account_details": {"auth_type": "BodyKey", "api_key": "k12345", "key1": "k23456"}"#;
        update(&paypal, &format!("{keys}, \"status\": \"active\", \"disabled\": false")).await;
        assert_eq!(standing(&paypal).await, active(false), "{}", world.name);
        // Back to a placeholder without saying so is refused: the account is active.
        let back = r#"{"connector_type": "payment_processor",
            "connector_account_details": {"auth_type": "TemporaryAuth"}}"#;
        let error = paypal.update(read(back).unwrap()).await.unwrap_err();
        assert_eq!(told(&error), ("connector.temporary_active".to_owned(), "status".to_owned()), "{}", world.name);
    });
}

#[test]
fn a_body_is_bounded_in_size_and_depth_and_says_everything_once() {
    on_fixture(async |fixture| {
        let padded = |size: usize| {
            let body = host::organization_body("n");
            format!("{body}{}", " ".repeat(size - body.len()))
        };
        let deep = |levels: usize| {
            format!(
                r#"{{"organization_name": "n", "metadata": {{"a": {}{}}}}}"#,
                "[".repeat(levels),
                "]".repeat(levels)
            )
        };
        // Far deeper, the reader itself gives up, wherever it has come to.
        let error = read::<NewOrganization>(&deep(1_000)).unwrap_err();
        assert_eq!(error.code(), "json.too_deep");
        fixture.send(Call::NewOrganization, &deep(1_000)).await.unwrap_err();
        let huge = format!(r#"{{"organization_name": "n", "metadata": {{"a": "{}"}}}}"#, "x".repeat(16 * 1024));
        let many = json!({ "primary_business_details": vec![json!({ "country": "US", "business": "b" }); 65] });
        fixture
            .rows(&[
                (Call::NewOrganization, &padded(32 * 1024 + 1), "json.too_large", ""),
                (Call::NewOrganization, &padded(32 * 1024 * 100), "json.too_large", ""),
                (Call::NewOrganization, &deep(64), "object.too_deep", "metadata"),
                (Call::NewOrganization, &huge, "object.too_large", "metadata"),
                (Call::Merchant, &many.to_string(), "list.too_long", "primary_business_details"),
                (Call::NewOrganization, "", "json.malformed", ""),
                (Call::NewOrganization, "{", "json.malformed", ""),
                (Call::NewOrganization, "null", "json.wrong_type", ""),
                (Call::NewOrganization, "[]", "json.wrong_type", ""),
                (Call::NewOrganization, "7", "json.wrong_type", ""),
                (Call::NewOrganization, "\"n\"", "json.wrong_type", ""),
                (Call::NewOrganization, r#"{"organization_name": "n"} {}"#, "json.malformed", ""),
                (Call::NewOrganization, r#"{"organization_name": "n",}"#, "json.malformed", ""),
                (Call::NewOrganization, "{'organization_name': 'n'}", "json.malformed", ""),
                (
                    Call::NewOrganization,
                    r#"{"organization_name": "n", "organization_name": "m"}"#,
                    "json.duplicate_field",
                    "organization_name",
                ),
                (
                    Call::Profile,
                    r#"{"webhook_details": {"webhook_url": "https://a.example", "webhook_url": "https://b.example"}}"#,
                    "json.duplicate_field",
                    "webhook_details.webhook_url",
                ),
                (
                    Call::Connector,
                    r#"{"connector_type": "payment_processor",
                        "connector_account_details": {"auth_type": "HeaderKey", "api_key": "k12345", "api_key": "k2"}}"#,
                    "json.duplicate_field",
                    "connector_account_details.api_key",
                ),
                (
                    Call::Connector,
                    r#"{"connector_type": "payment_processor", "connector_account_details":
                        {"auth_type": "CurrencyAuthKey", "auth_key_map": {"EUR": {"k": "a1"}, "EUR": {"k": "b1"}}}}"#,
                    "json.duplicate_field",
                    "connector_account_details.auth_key_map.EUR",
                ),
                (
                    Call::Profile,
                    r#"{"payment_link_config": {"business_specific_configs": {"eu": {}, " eu": {}}}}"#,
                    "map.duplicate_key",
                    "payment_link_config.business_specific_configs",
                ),
                (
                    Call::Profile,
                    r#"{"outgoing_webhook_custom_http_headers": {"X-A": "a", "x-a": "b"}}"#,
                    "webhook.header_twice",
                    "outgoing_webhook_custom_http_headers",
                ),
            ])
            .await;
    });
    on_every_backend(async |world| {
        let body = host::organization_body("n");
        let longest = format!("{body}{}", " ".repeat(32 * 1024 - body.len()));
        world.pay.create_organization(read(&longest).unwrap()).await.unwrap();
    });
}

#[test]
fn a_page_has_1_to_100_items_and_a_cursor_is_one_of_ours() {
    for limit in [0, 101, u32::MAX] {
        let fault = PageRequest::of(limit).unwrap_err();
        assert_eq!((fault.code(), fault.path()), ("page.limit", "limit"));
    }
    for text in ["", "x", "AAAA", "=", "../..", &"A".repeat(513)] {
        assert_eq!(text.parse::<perfectpay::Cursor>().unwrap_err().code(), "cursor.malformed", "{text}");
    }
}

/// Whatever an object nests, it comes back, or it was refused: what is accepted once can be read for ever.
#[test]
fn what_is_accepted_however_deep_can_be_read_again() {
    on_every_backend(async |world| {
        let tenant = host::stand_up(&world.pay, "acme").await.unwrap();
        let scope = tenant.scope(&world.pay);
        for levels in [1, 16, 60, 100, 120, 121, 122, 123, 124, 125, 126, 127, 128, 129] {
            let nested = format!("{{\"a\": {}{}}}", "[".repeat(levels), "]".repeat(levels));
            let calls = [
                (Call::NewProfile, format!(r#"{{"profile_name": "p{levels}", "metadata": {nested}}}"#)),
                (Call::NewConnector, with_text(Call::NewConnector, &format!("c{levels}"), "metadata", &nested)),
                (
                    Call::NewConnector,
                    with_text(Call::NewConnector, &format!("d{levels}"), "additional_merchant_data", &nested),
                ),
                (Call::Payment, format!(r#"{{"amount": 1, "currency": "EUR", "metadata": {nested}}}"#)),
                (Call::NewOrganization, format!(r#"{{"organization_name": "n", "metadata": {nested}}}"#)),
                (Call::Merchant, format!(r#"{{"metadata": {nested}}}"#)),
            ];
            for (call, body) in calls {
                let sent = async {
                    match call {
                        Call::NewProfile => drop(scope.create_profile(read(&body)?).await?),
                        Call::NewConnector => drop(scope.create_connector(read(&body)?).await?),
                        Call::Payment => drop(scope.create_payment(read(&body)?).await?),
                        Call::NewOrganization => drop(world.pay.create_organization(read(&body)?).await?),
                        _ => drop(scope.update(read(&body)?).await?),
                    }
                    Ok::<(), Error>(())
                };
                if let Err(error) = sent.await {
                    assert_eq!(error.kind(), ErrorKind::Invalid, "{call:?} {levels} levels on {}", world.name);
                }
                // Panics where anything cannot be read.
                snapshot(&world.pay).await;
            }
        }
    });
}

fn with_text(call: Call, label: &str, field: &str, value: &str) -> String {
    let body = with(call, "connector_label", &text(label));
    // By hand: a value of this depth is deeper than the reader's own limit.
    body.replacen('{', &format!("{{\"{field}\": {value}, "), 1)
}

#[test]
fn a_clock_before_the_first_year_is_no_clock() {
    assert_eq!(Timestamp::from_unix_millis(i64::MIN), None);
    assert_eq!(Timestamp::from_unix_millis(i64::MAX), None);
    assert!(block_on(async { read::<NewMerchant>("{}") }).is_err());
}

#[test]
fn an_array_is_no_body_however_deep_it_stands() {
    let refused = |error: Error| (error.code().to_owned(), error.to_string());
    let of_type = |path: &str| ("json.wrong_type".to_owned(), format!("{path} must be an object"));
    for body in [r#"["Arr"]"#, "[]", r#"["Arr", null, null]"#] {
        let error = read::<perfectpay::NewOrganization>(body).unwrap_err();
        assert_eq!(refused(error), of_type("the input"), "{body}");
        assert_eq!(refused(read::<perfectpay::ProfileUpdate>(body).unwrap_err()), of_type("the input"), "{body}");
    }
    let error = read::<perfectpay::NewApiKey>(r#"["k", null, "never"]"#).unwrap_err();
    assert_eq!(refused(error), of_type("the input"));
    let error = read::<perfectpay::BlockRequest>(r#"["card_bin", "411111"]"#).unwrap_err();
    assert_eq!(refused(error), of_type("the input"));
    let error = read::<perfectpay::NewProfile>(r#"{"webhook_details": ["1.0.1"]}"#).unwrap_err();
    assert_eq!(refused(error), of_type("`webhook_details`:"));
    let error = read::<perfectpay::NewMerchant>(r#"{"merchant_id": "m", "merchant_details": ["Jo"]}"#).unwrap_err();
    assert_eq!(refused(error), of_type("`merchant_details`:"));
    // Where an array belongs it is read as before.
    read::<perfectpay::NewMerchant>(
        r#"{"merchant_id": "m", "primary_business_details": [{"country": "DE", "business": "books"}]}"#,
    )
    .unwrap();
    let error =
        read::<perfectpay::NewMerchant>(r#"{"merchant_id": "m", "primary_business_details": [["DE", "books"]]}"#)
            .unwrap_err();
    assert_eq!(refused(error), of_type("`primary_business_details[0]`:"));
}

#[test]
fn a_field_name_from_outside_forges_no_line_and_fills_no_log() {
    let error = read::<perfectpay::NewOrganization>("{\"a\\nERROR forged \\u001b[31m\": 1}").unwrap_err();
    assert_eq!(error.code(), "json.unknown_field");
    assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
    let long = format!(r#"{{"{}": 1}}"#, "x".repeat(30_000));
    let error = read::<perfectpay::NewOrganization>(&long).unwrap_err();
    assert_eq!(error.code(), "json.unknown_field");
    assert!(error.to_string().len() < 600, "{}", error.to_string().len());
}
