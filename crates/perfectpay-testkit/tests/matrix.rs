//! Every operation against every place that its object may be in: one's own, a sibling profile, a sibling merchant
//! account, another organization, nowhere. One's own works and touches nobody else; what is foreign is answered exactly
//! as what is not there, and nothing anywhere changes.
//!
//! The tenants have everything in common that can be: names, labels, BINs, payment ids, idempotency keys.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test says that it cannot go on by panicking"
)]

#[path = "machine/host.rs"]
mod host;

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::sync::Arc;

use futures_lite::future::block_on;
use host::{BACKENDS, Engine, SetClock, open, open_with};
use perfectpay::api_key::{Resource, Right, Touch};
use perfectpay::store::{Extent, LogPosition, copy};
use perfectpay::webhook::UrlPolicy;
use perfectpay::{
    BlockKind, BlockRequest, BlockRule, Caller, CancelPayment, ConfirmPayment, ConnectorUpdate, DecideRequest, Entity,
    EntityKind, Error, Explanation, ExportError, ImportCause, ImportError, ImportOptions, ImportReport, KeyPolicy,
    LinkClaim, LinkFilter, LogRetention, MerchantScope, Need, NewApiKey, NewConnector, NewMerchant, NewOrganization,
    NewPayment, NewPaymentLink, NewProfile, NewRoutingProgram, NewRoutingVersion, Operation, OrganizationScope,
    Outcome, PageRequest, PerfectPay, ProfileScope, json,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strum::VariantArray as _;

/// What came of an operation: its JSON, or the error as `Debug`, code and text.
type Seen = Result<String, [String; 3]>;

fn wait<F: IntoFuture>(future: F) -> F::Output {
    block_on(future.into_future())
}

fn seen<T: Serialize>(answer: Result<T, Error>) -> Seen {
    match answer {
        Ok(answer) => Ok(serde_json::to_string(&answer).expect("an answer is JSON")),
        Err(error) => Err([format!("{error:?}"), error.code().to_owned(), error.to_string()]),
    }
}

/// Carries an operation out and looks at what came of it.
fn tried<T: Serialize, F: IntoFuture<Output = Result<T, Error>>>(operation: F) -> Seen {
    seen(wait(operation))
}

fn body<T: DeserializeOwned>(body: Value) -> T {
    json::from_value(body).expect("a body")
}

fn new_connector(label: &str, profile: Option<&str>) -> NewConnector {
    body(json!({
        "connector_type": "payment_processor",
        "connector_name": "stripe",
        "connector_label": label,
        "profile_id": profile,
        "connector_account_details": { "auth_type": "HeaderKey", "api_key": "sk_test_123" },
        "payment_methods_enabled": [{ "payment_method": "card", "payment_method_types": ["credit", "debit"] }],
    }))
}

fn new_payment(id: &str, profile: Option<&str>) -> NewPayment {
    body(json!({
        "amount": 1_000, "currency": "EUR", "payment_id": id, "profile_id": profile, "payment_link": true,
        "return_url": "https://shop.example/done",
    }))
}

fn new_link(profile: Option<&str>) -> NewPaymentLink {
    body(json!({
        "amount": 1_000, "currency": "EUR", "profile_id": profile, "kind": "reusable",
        "return_url": "https://shop.example/done",
    }))
}

/// A program that names every account of a connector.
fn new_program() -> NewRoutingProgram {
    body(json!({ "name": "new", "description": "d", "algorithm": { "type": "single", "data": "stripe" } }))
}

fn new_version() -> NewRoutingVersion {
    body(json!({ "algorithm": { "type": "priority", "data": ["stripe"] } }))
}

fn decided() -> DecideRequest {
    DecideRequest::new("pay_1".parse().unwrap(), body(json!({ "amount": 1_000, "currency": "EUR" })))
}

fn confirmation() -> ConfirmPayment {
    body(json!({
        "payment_method": "card",
        "payment_method_type": "credit",
        "payment_method_data": { "card": {
            "card_number": "4242424242424242", "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "123",
        } },
    }))
}

fn new_key() -> NewApiKey {
    body(json!({ "name": "Key", "expiration": "never" }))
}

fn bin(value: &str) -> BlockRequest {
    body(json!({ "type": "card_bin", "data": value }))
}

fn page() -> PageRequest {
    PageRequest::of(100).expect("a limit")
}

/// Where the object of an operation is, seen from the profile "One" of the merchant account `a1` of organization A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Own,
    SiblingProfile,
    SiblingMerchant,
    OtherOrganization,
    Absent,
}

const PLACES: [Place; 5] =
    [Place::Own, Place::SiblingProfile, Place::SiblingMerchant, Place::OtherOrganization, Place::Absent];

/// What an operation names by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Merchant,
    Profile,
    Connector,
    Program,
    ApiKey,
    Entry,
    Payment,
    /// A payment that is confirmed, with its attempt under way.
    Confirmed,
    Event,
    Link,
    /// A link of its own that can be used again and again.
    OwnLink,
    /// A use of it.
    Use,
}

/// How an operation is tried. One operation may have several rows: one for each handle that has it, and one for each
/// other object that its body names.
enum Row {
    /// Of the root handle: there is nothing foreign to it.
    Platform(fn(&PerfectPay) -> Seen),
    Organization(fn(&OrganizationScope) -> Seen),
    /// Of an organization, naming another account of it.
    Relative(fn(&OrganizationScope, &str) -> Seen),
    Merchant(fn(&MerchantScope) -> Seen),
    /// Of a merchant account, naming something in it.
    Within(What, fn(&MerchantScope, &str) -> Seen),
    /// Of a profile, naming something in it.
    InProfile(What, fn(&ProfileScope, &str) -> Seen),
}

use Row::{InProfile, Merchant, Organization, Platform, Relative, Within};

/// The rows of an operation. Without a `_` arm: a new operation does not compile until it is here.
#[allow(clippy::too_many_lines, reason = "one arm for each operation")]
fn rows(operation: Operation) -> Vec<Row> {
    match operation {
        Operation::CreateOrganization => {
            vec![Platform(|pay| tried(pay.create_organization(body(json!({ "organization_name": "Group" })))))]
        }
        Operation::RetrieveOrganization => {
            vec![Organization(|scope| tried(scope.retrieve())), Merchant(|scope| tried(scope.organization()))]
        }
        Operation::ListOrganizations => vec![Platform(|pay| tried(pay.organizations(page())))],
        Operation::UpdateOrganization => {
            vec![Organization(|scope| tried(scope.update(body(json!({ "organization_name": "Other" })))))]
        }
        Operation::RemoveOrganization => vec![Organization(|scope| tried(scope.remove().cascade()))],
        Operation::CreateMerchant => vec![
            Organization(|scope| tried(scope.create_merchant(body(json!({ "merchant_id": "new" }))))),
            Relative(|scope, id| {
                tried(scope.create_merchant(body(json!({ "merchant_id": "new", "parent_merchant_id": id }))))
            }),
        ],
        Operation::RetrieveMerchant => vec![Merchant(|scope| tried(scope.retrieve()))],
        Operation::ListMerchants => vec![Organization(|scope| tried(scope.merchants(page())))],
        Operation::UpdateMerchant => vec![
            Merchant(|scope| tried(scope.update(body(json!({ "merchant_name": "Other" }))))),
            Within(What::Profile, |scope, id| tried(scope.update(body(json!({ "default_profile": id }))))),
            Within(What::Merchant, |scope, id| tried(scope.update(body(json!({ "parent_merchant_id": id }))))),
        ],
        Operation::RemoveMerchant => vec![Merchant(|scope| tried(scope.remove().cascade()))],
        Operation::RotatePublishableKey => {
            vec![Merchant(|scope| tried(scope.rotate_publishable_key(std::time::Duration::from_secs(60))))]
        }
        Operation::EndFormerPublishableKey => vec![Merchant(|scope| {
            tried(async {
                scope.rotate_publishable_key(std::time::Duration::from_secs(60)).await?;
                scope.end_former_publishable_key().await
            })
        })],
        Operation::CreateProfile => {
            vec![Merchant(|scope| tried(scope.create_profile(body(json!({ "profile_name": "Three" })))))]
        }
        Operation::RetrieveProfile => {
            vec![Within(What::Profile, |scope, id| tried(scope.profile(&id.parse().unwrap()).retrieve()))]
        }
        Operation::ListProfiles => vec![Merchant(|scope| tried(scope.profiles(page())))],
        Operation::UpdateProfile => vec![Within(What::Profile, |scope, id| {
            tried(scope.profile(&id.parse().unwrap()).update(body(json!({ "profile_name": "Three" }))))
        })],
        Operation::RemoveProfile => {
            vec![Within(What::Profile, |scope, id| tried(scope.profile(&id.parse().unwrap()).remove().cascade()))]
        }
        Operation::RevealWebhookSecrets => vec![Within(What::Profile, |scope, id| {
            seen(wait(scope.profile(&id.parse().unwrap()).reveal_webhook_secrets()).map(|_| "revealed"))
        })],
        Operation::CreateConnector => vec![
            Merchant(|scope| tried(scope.create_connector(new_connector("new", None)))),
            Within(What::Profile, |scope, id| tried(scope.create_connector(new_connector("new", Some(id))))),
            Within(What::Profile, |scope, id| {
                tried(scope.profile(&id.parse().unwrap()).create_connector(new_connector("new", None)))
            }),
        ],
        Operation::RetrieveConnector => vec![
            Within(What::Connector, |scope, id| tried(scope.connector(&id.parse().unwrap()).retrieve())),
            InProfile(What::Connector, |scope, id| tried(scope.connector(&id.parse().unwrap()).retrieve())),
        ],
        Operation::ListConnectors => vec![
            Merchant(|scope| tried(scope.connectors(page()))),
            Within(What::Profile, |scope, id| tried(scope.profile(&id.parse().unwrap()).connectors(page()))),
        ],
        Operation::UpdateConnector => {
            fn update() -> ConnectorUpdate {
                body(json!({ "connector_type": "payment_processor", "disabled": true, "connector_label": "other" }))
            }
            vec![
                Within(What::Connector, |scope, id| tried(scope.connector(&id.parse().unwrap()).update(update()))),
                InProfile(What::Connector, |scope, id| tried(scope.connector(&id.parse().unwrap()).update(update()))),
            ]
        }
        Operation::RemoveConnector => vec![
            Within(What::Connector, |scope, id| tried(scope.connector(&id.parse().unwrap()).remove())),
            InProfile(What::Connector, |scope, id| tried(scope.connector(&id.parse().unwrap()).remove())),
        ],
        Operation::RevealConnectorCredentials => vec![
            Within(What::Connector, |scope, id| {
                seen(wait(scope.connector(&id.parse().unwrap()).reveal_credentials()).map(|auth| auth.masked()))
            }),
            InProfile(What::Connector, |scope, id| {
                seen(wait(scope.connector(&id.parse().unwrap()).reveal_credentials()).map(|auth| auth.masked()))
            }),
        ],
        Operation::RevealConnectorSecrets => vec![
            Within(What::Connector, |scope, id| {
                seen(wait(scope.connector(&id.parse().unwrap()).reveal_secrets()).map(|_| "revealed"))
            }),
            InProfile(What::Connector, |scope, id| {
                seen(wait(scope.connector(&id.parse().unwrap()).reveal_secrets()).map(|_| "revealed"))
            }),
        ],
        Operation::StageConnectorCredentials => {
            fn auth() -> perfectpay::ConnectorAuth {
                body(json!({ "auth_type": "HeaderKey", "api_key": "sk_test_456" }))
            }
            vec![
                Within(What::Connector, |scope, id| {
                    tried(scope.connector(&id.parse().unwrap()).stage_credentials(auth()))
                }),
                InProfile(What::Connector, |scope, id| {
                    tried(scope.connector(&id.parse().unwrap()).stage_credentials(auth()))
                }),
            ]
        }
        Operation::ActivateConnectorCredentials => vec![
            Within(What::Connector, |scope, id| tried(scope.connector(&id.parse().unwrap()).activate_credentials())),
            InProfile(What::Connector, |scope, id| tried(scope.connector(&id.parse().unwrap()).activate_credentials())),
        ],
        Operation::RollBackConnectorCredentials => vec![
            Within(What::Connector, |scope, id| tried(scope.connector(&id.parse().unwrap()).roll_back_credentials())),
            InProfile(What::Connector, |scope, id| {
                tried(scope.connector(&id.parse().unwrap()).roll_back_credentials())
            }),
        ],
        Operation::CreateRoutingProgram => vec![Within(What::Profile, |scope, id| {
            tried(scope.profile(&id.parse().unwrap()).routing().create(new_program()))
        })],
        Operation::RetrieveRoutingProgram => vec![
            Within(What::Program, |scope, id| tried(scope.routing().program(&id.parse().unwrap()).retrieve())),
            InProfile(What::Program, |scope, id| tried(scope.routing().program(&id.parse().unwrap()).retrieve())),
        ],
        Operation::ListRoutingPrograms => vec![
            Merchant(|scope| tried(scope.routing().list(page()))),
            Within(What::Profile, |scope, id| tried(scope.profile(&id.parse().unwrap()).routing().list(page()))),
        ],
        Operation::RemoveRoutingProgram => vec![
            Within(What::Program, |scope, id| tried(scope.routing().program(&id.parse().unwrap()).remove())),
            InProfile(What::Program, |scope, id| tried(scope.routing().program(&id.parse().unwrap()).remove())),
        ],
        Operation::AddRoutingVersion => vec![
            Within(What::Program, |scope, id| {
                tried(scope.routing().program(&id.parse().unwrap()).add_version(new_version()))
            }),
            InProfile(What::Program, |scope, id| {
                tried(scope.routing().program(&id.parse().unwrap()).add_version(new_version()))
            }),
        ],
        Operation::RetrieveRoutingVersion => vec![
            Within(What::Program, |scope, id| tried(scope.routing().program(&id.parse().unwrap()).version(1))),
            InProfile(What::Program, |scope, id| tried(scope.routing().program(&id.parse().unwrap()).version(1))),
        ],
        Operation::ListRoutingVersions => vec![
            Within(What::Program, |scope, id| tried(scope.routing().program(&id.parse().unwrap()).versions(page()))),
            InProfile(What::Program, |scope, id| tried(scope.routing().program(&id.parse().unwrap()).versions(page()))),
        ],
        Operation::RetrieveRoutingDiff => {
            vec![Within(What::Program, |scope, id| tried(scope.routing().program(&id.parse().unwrap()).diff(1, 2)))]
        }
        Operation::RemoveRoutingVersion => vec![
            Within(What::Program, |scope, id| tried(scope.routing().program(&id.parse().unwrap()).remove_version(1))),
            InProfile(What::Program, |scope, id| {
                tried(scope.routing().program(&id.parse().unwrap()).remove_version(1))
            }),
        ],
        Operation::ActivateRouting => vec![
            Within(What::Program, |scope, id| tried(scope.routing().program(&id.parse().unwrap()).activate(None))),
            InProfile(What::Program, |scope, id| {
                tried(scope.routing().program(&id.parse().unwrap()).activate(Some(1)))
            }),
        ],
        Operation::RetrieveActiveRouting => {
            vec![Within(What::Profile, |scope, id| tried(scope.profile(&id.parse().unwrap()).routing().active()))]
        }
        Operation::DeactivateRouting => {
            vec![Within(What::Profile, |scope, id| tried(scope.profile(&id.parse().unwrap()).routing().deactivate()))]
        }
        Operation::RollBackRouting => {
            vec![Within(What::Profile, |scope, id| tried(scope.profile(&id.parse().unwrap()).routing().roll_back()))]
        }
        Operation::RetrieveFallback => {
            vec![Within(What::Profile, |scope, id| tried(scope.profile(&id.parse().unwrap()).routing().fallback()))]
        }
        Operation::ReorderFallback => vec![Within(What::Profile, |scope, id| {
            let routing = scope.profile(&id.parse().unwrap()).routing();
            tried(async move {
                let mut order = routing.fallback().await?.connectors;
                order.reverse();
                routing.set_fallback(order).await
            })
        })],
        Operation::DryRunRouting => vec![Within(What::Profile, |scope, id| {
            let (algorithm, request) = (new_program().algorithm, decided());
            let routing = scope.profile(&id.parse().unwrap()).routing();
            seen(wait(routing.dry_run(&algorithm, &request.payment_id, &request.facts)).map(|dry| dry.answer))
        })],
        Operation::DecidePayment => vec![
            Within(What::Profile, |scope, id| {
                seen(wait(scope.profile(&id.parse().unwrap()).decide(&decided())).map(|decision| decision.answer))
            }),
            Within(What::Profile, |scope, id| {
                let card = "4242424242424242".parse().unwrap();
                let decision = wait(scope.profile(&id.parse().unwrap()).decide_card(&decided(), &card));
                seen(decision.map(|decision| decision.answer))
            }),
        ],
        Operation::ExplainDecision => vec![Within(What::Profile, |scope, id| {
            tried(scope.profile(&id.parse().unwrap()).explain_decision(&decided()))
        })],
        Operation::CountFailedAttempt => vec![Within(What::Profile, |scope, id| {
            tried(scope.profile(&id.parse().unwrap()).count_failed_attempt(&perfectpay::GuardKeys::default()))
        })],
        Operation::RewrapDataKeys => vec![Platform(|pay| seen(block_on(pay.rewrap(|_| {})).map(|r| r.done)))],
        Operation::CountDataKeys => {
            vec![Platform(|pay| seen(block_on(pay.left_under(&"2026-11".parse().unwrap())).map(|left| left.data_keys)))]
        }
        Operation::RotateDataKey => vec![
            Organization(|scope| seen(block_on(scope.rotate_data_key()).map(|()| "rotated"))),
            Merchant(|scope| seen(block_on(scope.rotate_data_key(|_| {})).map(|rotated| rotated.done))),
        ],
        Operation::CreateApiKey => vec![Merchant(|scope| tried(scope.create_api_key(new_key())))],
        Operation::RetrieveApiKey => {
            vec![Within(What::ApiKey, |scope, id| tried(scope.api_key(&id.parse().unwrap()).retrieve()))]
        }
        Operation::ListApiKeys => vec![
            Merchant(|scope| tried(scope.api_keys(page()))),
            Merchant(|scope| tried(scope.api_keys_ending(perfectpay::Timestamp::MAX, page()))),
            Merchant(|scope| tried(scope.api_keys_unused(perfectpay::Timestamp::MAX, page()))),
            Platform(|pay| tried(pay.api_keys_ending(perfectpay::Timestamp::MAX, page()))),
            Platform(|pay| tried(pay.api_keys_unused(perfectpay::Timestamp::MAX, page()))),
        ],
        Operation::UpdateApiKey => vec![Within(What::ApiKey, |scope, id| {
            tried(scope.api_key(&id.parse().unwrap()).update(body(json!({ "name": "Other" }))))
        })],
        Operation::RotateApiKey => vec![Within(What::ApiKey, |scope, id| {
            tried(scope.api_key(&id.parse().unwrap()).rotate(std::time::Duration::from_secs(60)))
        })],
        Operation::RetrieveKeyPolicy => vec![Merchant(|scope| tried(scope.key_policy()))],
        Operation::SetKeyPolicy => {
            vec![Merchant(|scope| tried(scope.set_key_policy(KeyPolicy { refuse_past: true, ..KeyPolicy::default() })))]
        }
        Operation::RevokeApiKey => {
            vec![Within(What::ApiKey, |scope, id| tried(scope.api_key(&id.parse().unwrap()).revoke()))]
        }
        Operation::AddBlockRule => vec![
            Merchant(|scope| tried(scope.blocklist().add(bin("999999")))),
            Within(What::Profile, |scope, id| {
                tried(scope.profile(&id.parse().unwrap()).blocklist().add(bin("999999")))
            }),
            Organization(|scope| tried(scope.blocklist().add(bin("999999")))),
        ],
        Operation::RetrieveBlockRule => {
            fn rule(rule: Result<BlockRule, Error>) -> Seen {
                seen(rule.map(|rule| rule.id.to_string()))
            }
            vec![
                Merchant(|scope| rule(wait(scope.blocklist().rule(BlockKind::CardBin, "424242")))),
                Within(What::Entry, |scope, value| rule(wait(scope.blocklist().rule(BlockKind::CardBin, value)))),
                Organization(|scope| rule(wait(scope.blocklist().rule(BlockKind::CardBin, "303030")))),
            ]
        }
        Operation::ListBlockRules => vec![
            Merchant(|scope| tried(scope.blocklist().entries(None, page()))),
            Within(What::Profile, |scope, id| {
                tried(scope.profile(&id.parse().unwrap()).blocklist().entries(None, page()))
            }),
            Organization(|scope| tried(scope.blocklist().entries(None, page()))),
        ],
        Operation::RemoveBlockRule => vec![
            Merchant(|scope| tried(scope.blocklist().remove(bin("424242")))),
            Within(What::Entry, |scope, value| tried(scope.blocklist().remove(bin(value)))),
            Organization(|scope| tried(scope.blocklist().remove(bin("303030")))),
        ],
        Operation::ToggleBlocklist => vec![Merchant(|scope| tried(scope.blocklist().toggle(None)))],
        Operation::ScreenCard => vec![
            Merchant(screened),
            Merchant(|scope| {
                let cards = ["4242424242424242".parse().expect("a card")];
                let screenings = wait(scope.blocklist().screen_many(&cards));
                seen(screenings.map(|screenings| screenings[0].matched.as_ref().map(ToString::to_string)))
            }),
            Within(What::Profile, |scope, id| {
                let card = "4242424242424242".parse().expect("a card");
                let screening = wait(scope.profile(&id.parse().unwrap()).blocklist().screen(&card));
                seen(screening.map(|screening| screening.matched.map(|rule| rule.to_string())))
            }),
        ],
        Operation::ExplainCard => {
            fn told(explained: Result<Explanation, Error>) -> Seen {
                seen(explained.map(|told| told.rules.iter().map(|e| e.rule.id.to_string()).collect::<Vec<_>>()))
            }
            vec![
                Merchant(|scope| told(wait(scope.blocklist().explain(&"4242424242424242".parse().unwrap())))),
                Within(What::Profile, |scope, id| {
                    let blocklist = scope.profile(&id.parse().unwrap()).blocklist();
                    told(wait(blocklist.explain(&"4242424242424242".parse().unwrap())))
                }),
            ]
        }
        Operation::ImportBlockRules => {
            fn told(done: Result<ImportReport, ImportError>) -> Seen {
                seen(done.map(|report| report.inserted).map_err(|error| match error.cause {
                    ImportCause::Store(error) => error,
                    other => panic!("{other}"),
                }))
            }
            const FILE: &[u8] = b"type,data\ncard_bin,989898\n";
            vec![
                Merchant(|scope| told(wait(scope.blocklist().import_csv(FILE, ImportOptions::default(), |_| {})))),
                Within(What::Profile, |scope, id| {
                    let blocklist = scope.profile(&id.parse().unwrap()).blocklist();
                    told(wait(blocklist.import_csv(FILE, ImportOptions::default(), |_| {})))
                }),
                Organization(|scope| {
                    told(wait(scope.blocklist().import([bin("989898")], ImportOptions::default(), |_| {})))
                }),
            ]
        }
        Operation::ExportBlockRules => {
            fn told(done: impl FnOnce(&mut Vec<u8>) -> Result<u64, ExportError>) -> Seen {
                let mut file = Vec::new();
                let done = done(&mut file).map(|_| String::from_utf8(file).expect("text"));
                seen(done.map_err(|error| match error {
                    ExportError::Store(error) => error,
                    ExportError::Write(error) => panic!("{error}"),
                }))
            }
            vec![
                Merchant(|scope| told(|file| wait(scope.blocklist().export_csv(file, |_| {})))),
                Organization(|scope| told(|file| wait(scope.blocklist().export_csv(file, |_| {})))),
            ]
        }
        Operation::PurgeBlockRules => vec![
            Merchant(|scope| tried(scope.blocklist().purge_expired(10))),
            Organization(|scope| tried(scope.blocklist().purge_expired(10))),
        ],
        Operation::RotateFingerprintSecret => {
            vec![Merchant(|scope| tried(scope.blocklist().rotate_fingerprint_secret()))]
        }
        Operation::ListFingerprintVersions => vec![Merchant(|scope| {
            seen(wait(scope.blocklist().fingerprint_versions()).map(|versions| format!("{versions:?}")))
        })],
        Operation::DropFingerprintVersion => vec![Merchant(|scope| {
            let blocklist = scope.blocklist();
            tried(async move {
                let newest = blocklist.rotate_fingerprint_secret().await?;
                blocklist.drop_fingerprint_version(newest - 1).await
            })
        })],
        Operation::CreatePayment => vec![
            Merchant(|scope| tried(scope.create_payment(new_payment("new", None)))),
            Within(What::Profile, |scope, id| tried(scope.create_payment(new_payment("new", Some(id))))),
            Within(What::Profile, |scope, id| {
                tried(scope.profile(&id.parse().unwrap()).create_payment(new_payment("new", None)))
            }),
        ],
        Operation::RetrievePayment => vec![
            Within(What::Payment, |scope, id| tried(scope.payment(&id.parse().unwrap()).retrieve())),
            InProfile(What::Payment, |scope, id| tried(scope.payment(&id.parse().unwrap()).retrieve())),
        ],
        Operation::ListPayments => vec![Merchant(|scope| tried(scope.payments(page())))],
        Operation::ConfirmPayment => vec![
            Within(What::Payment, |scope, id| tried(scope.payment(&id.parse().unwrap()).confirm(confirmation()))),
            InProfile(What::Payment, |scope, id| tried(scope.payment(&id.parse().unwrap()).confirm(confirmation()))),
        ],
        Operation::RecordAttempt => vec![
            Within(What::Confirmed, |scope, id| {
                tried(scope.payment(&id.parse().unwrap()).record_attempt(1, Outcome::Approved))
            }),
            InProfile(What::Confirmed, |scope, id| {
                tried(scope.payment(&id.parse().unwrap()).record_attempt(1, Outcome::Approved))
            }),
        ],
        Operation::CancelPayment => vec![
            Within(What::Payment, |scope, id| {
                tried(scope.payment(&id.parse().unwrap()).cancel(CancelPayment::default()))
            }),
            InProfile(What::Payment, |scope, id| {
                tried(scope.payment(&id.parse().unwrap()).cancel(CancelPayment::default()))
            }),
        ],
        Operation::ExpirePayments => vec![Merchant(|scope| tried(scope.expire_payments()))],
        Operation::RetrieveDecision => vec![Within(What::Confirmed, |scope, id| {
            let payment = scope.payment(&id.parse().unwrap());
            tried(async move {
                let decision = payment.retrieve().await?.attempts[0].decision_id.clone();
                payment.decision(&decision).await
            })
        })],
        Operation::ReplayDecision => vec![Within(What::Confirmed, |scope, id| {
            let payment = scope.payment(&id.parse().unwrap());
            tried(async move {
                let decision = payment.retrieve().await?.attempts[0].decision_id.clone();
                payment.replay_decision(&decision).await
            })
        })],
        Operation::ListOutbox => {
            vec![Platform(|pay| tried(pay.outbox(page()))), Merchant(|scope| tried(scope.outbox(page())))]
        }
        Operation::ListEvents => vec![Merchant(|scope| tried(scope.events(page())))],
        Operation::RetrieveEvent => {
            vec![Within(What::Event, |scope, id| tried(scope.event(&id.parse().unwrap()).retrieve()))]
        }
        Operation::RevealWebhookMessage => vec![Within(What::Event, |scope, id| {
            let message = wait(scope.event(&id.parse().unwrap()).message(&UrlPolicy::default()));
            seen(message.map(|message| message.url().to_string()))
        })],
        Operation::AcknowledgeEvent => {
            vec![Within(What::Event, |scope, id| tried(scope.event(&id.parse().unwrap()).acknowledge()))]
        }
        Operation::FailEvent => {
            vec![Within(What::Event, |scope, id| tried(scope.event(&id.parse().unwrap()).failed()))]
        }
        Operation::RetrievePaymentLink => {
            vec![Within(What::Link, |scope, id| tried(scope.payment_link(&id.parse().unwrap()).retrieve()))]
        }
        Operation::CreatePaymentLink => vec![
            Merchant(|scope| tried(scope.create_payment_link(new_link(None)))),
            Within(What::Profile, |scope, id| tried(scope.create_payment_link(new_link(Some(id))))),
            Within(What::Profile, |scope, id| {
                tried(scope.profile(&id.parse().unwrap()).create_payment_link(new_link(None)))
            }),
        ],
        Operation::ListPaymentLinks => vec![
            Merchant(|scope| tried(scope.payment_links(page()))),
            Within(What::Profile, |scope, id| {
                let filter = LinkFilter { profile_id: Some(id.parse().unwrap()), ..LinkFilter::default() };
                tried(scope.payment_links_where(&filter, page()))
            }),
        ],
        Operation::DeactivatePaymentLink => {
            vec![Within(What::OwnLink, |scope, id| tried(scope.payment_link(&id.parse().unwrap()).deactivate()))]
        }
        Operation::ReactivatePaymentLink => {
            vec![Within(What::OwnLink, |scope, id| tried(scope.payment_link(&id.parse().unwrap()).reactivate()))]
        }
        Operation::ClaimPaymentLink => [What::Link, What::OwnLink]
            .map(|what| {
                Within(what, |scope, id| tried(scope.payment_link(&id.parse().unwrap()).claim(LinkClaim::default())))
            })
            .into(),
        Operation::RetrieveLinkUse => {
            vec![Within(What::Use, |scope, id| tried(scope.link_use(&id.parse().unwrap()).retrieve()))]
        }
        Operation::ListLinkUses => {
            vec![Within(What::OwnLink, |scope, id| tried(scope.payment_link(&id.parse().unwrap()).uses(page())))]
        }
        Operation::ConfirmLinkUse => {
            vec![Within(What::Use, |scope, id| tried(scope.link_use(&id.parse().unwrap()).confirm()))]
        }
        Operation::ReleaseLinkUse => {
            vec![Within(What::Use, |scope, id| tried(scope.link_use(&id.parse().unwrap()).release()))]
        }
        Operation::PurgeLinkUses => {
            vec![Within(What::OwnLink, |scope, id| {
                tried(scope.payment_link(&id.parse().unwrap()).purge_lapsed(page()))
            })]
        }
        Operation::CommitBatch => vec![
            Platform(|pay| {
                let batch = pay.batch();
                let staged = tried(batch.pay().create_organization(body(json!({ "organization_name": "Group" }))));
                if staged.is_err() { staged } else { seen(wait(batch.commit()).map(|done| done.changes.len())) }
            }),
            Merchant(|scope| {
                let batch = scope.batch();
                let staged = tried(batch.merchant().blocklist().add(bin("999999")));
                if staged.is_err() { staged } else { seen(wait(batch.commit()).map(|done| done.changes.len())) }
            }),
            Merchant(|scope| {
                let done = wait(scope.committed_batch(&"batch".parse().expect("a key")));
                seen(done.map(|done| done.map(|done| done.changes.len())))
            }),
            Within(What::Connector, |scope, id| {
                let batch = scope.batch();
                let staged = tried(batch.merchant().connector(&id.parse().unwrap()).remove());
                if staged.is_err() { staged } else { seen(wait(batch.commit()).map(|done| done.changes.len())) }
            }),
        ],
        Operation::VerifySeals => vec![Platform(|pay| tried(pay.verify_seals(|_| {})))],
        Operation::ReportImpact => vec![
            Organization(|scope| seen(wait(scope.removal_impact()).map(|impact| format!("{impact:?}")))),
            Merchant(|scope| seen(wait(scope.removal_impact()).map(|impact| format!("{impact:?}")))),
            Within(What::Profile, |scope, id| {
                let impact = wait(scope.profile(&id.parse().unwrap()).removal_impact());
                seen(impact.map(|impact| format!("{impact:?}")))
            }),
            Within(What::Connector, |scope, id| {
                let impact = wait(scope.connector(&id.parse().unwrap()).removal_impact());
                seen(impact.map(|impact| format!("{impact:?}")))
            }),
            InProfile(What::Connector, |scope, id| {
                let impact = wait(scope.connector(&id.parse().unwrap()).disabling_impact());
                seen(impact.map(|impact| format!("{impact:?}")))
            }),
        ],
        Operation::PruneLog => vec![
            // The log is everybody's: a step that removes some of it changes what each reads, and is tried elsewhere.
            Platform(|pay| tried(pay.prune_log(LogRetention::Before(LogPosition::START)))),
        ],
        Operation::PurgeClaims => vec![Platform(|pay| tried(pay.purge_claims()))],
        Operation::Maintain => vec![Platform(|pay| tried(pay.maintain()))],
        Operation::CatchUp => vec![Platform(|pay| seen(wait(pay.catch_up()).map(|fresh| fresh.position.as_u64() > 0)))],
        Operation::ReadLog => vec![
            Platform(|pay| tried(pay.log(LogPosition::START, 1_000))),
            Platform(|pay| tried(async { pay.log_tail(LogPosition::START).next(1_000).await })),
            Organization(|scope| tried(scope.log(LogPosition::START, 1_000))),
            Merchant(|scope| tried(scope.log(LogPosition::START, 1_000))),
            Within(What::Profile, |scope, id| {
                tried(scope.log_of(Entity::new(EntityKind::Profile, id), LogPosition::START, 1_000))
            }),
            Within(What::Connector, |scope, id| {
                tried(scope.log_of(Entity::new(EntityKind::Connector, id), LogPosition::START, 1_000))
            }),
            Within(What::Payment, |scope, id| {
                tried(scope.log_of(Entity::new(EntityKind::Payment, id), LogPosition::START, 1_000))
            }),
        ],
    }
}

fn screened(scope: &MerchantScope) -> Seen {
    let card = "4242424242424242".parse().expect("a card");
    seen(wait(scope.blocklist().screen(&card)).map(|screening| {
        json!({
            "guard": screening.guard,
            "matched": screening.matched.map(|rule| rule.to_string()),
            "fingerprint": screening.fingerprint,
        })
    }))
}

/// What a profile has, by id.
#[derive(Debug, Clone)]
struct Ids {
    merchant: String,
    profile: String,
    connector: String,
    program: String,
    api_key: String,
    entry: String,
    payment: String,
    confirmed: String,
    event: String,
    link: String,
    own_link: String,
    link_use: String,
}

impl Ids {
    fn of(&self, what: What) -> &str {
        match what {
            What::Merchant => &self.merchant,
            What::Profile => &self.profile,
            What::Connector => &self.connector,
            What::Program => &self.program,
            What::ApiKey => &self.api_key,
            What::Entry => &self.entry,
            What::Payment => &self.payment,
            What::Confirmed => &self.confirmed,
            What::Event => &self.event,
            What::Link => &self.link,
            What::OwnLink => &self.own_link,
            What::Use => &self.link_use,
        }
    }
}

/// Two organizations, three merchant accounts, each with the profiles "default", "One" and "Two", alike in everything
/// that may be alike.
struct World {
    engine: Engine,
    fresh: fn() -> Engine,
    pay: PerfectPay,
    a: String,
    b: String,
    one: Ids,
    two: Ids,
    sibling: Ids,
    other: Ids,
    absent: Ids,
    caller: Caller,
    token: String,
}

const MERCHANTS: [(&str, &str); 3] = [("a1", "a"), ("a2", "a"), ("b1", "b")];

impl World {
    fn new(fresh: fn() -> Engine) -> Self {
        let engine = fresh();
        let pay = open(Arc::clone(&engine.store), SetClock::new());
        let organization = |key: &str| {
            let new = NewOrganization::named("Group".parse().expect("a name"));
            let made = wait(pay.create_organization(new).idempotency_key(key.parse().expect("a key")));
            made.expect("an organization").organization_id
        };
        let (a, b) = (organization("a"), organization("b"));
        for id in [&a, &b] {
            wait(pay.organization(id).blocklist().add(bin("303030"))).expect("an entry");
        }
        let (one, two, token) = Self::fill(&pay.organization(&a), "a1", "411111");
        let (sibling, ..) = Self::fill(&pay.organization(&a), "a2", "555555");
        let (other, ..) = Self::fill(&pay.organization(&b), "b1", "666666");
        let absent = Ids {
            merchant: "nobody".to_owned(),
            profile: "pro_nobody".to_owned(),
            connector: "mca_nobody".to_owned(),
            program: "routing_nobody".to_owned(),
            api_key: "snd_nobody".to_owned(),
            entry: "777777".to_owned(),
            payment: "nobody".to_owned(),
            confirmed: "nobody-else".to_owned(),
            event: "evt_nobody".to_owned(),
            link: "plink_nobody".to_owned(),
            own_link: "plink_no_one".to_owned(),
            link_use: "use_nobody".to_owned(),
        };
        let caller = wait(pay.authenticate(&token)).expect("a caller");
        // That the key was used is written down once, and is no matter of what is tried.
        wait(pay.maintain()).expect("it was used");
        let (a, b) = (a.to_string(), b.to_string());
        Self { engine, fresh, pay, a, b, one, two, sibling, other, absent, caller, token }
    }

    /// The same world again, in a fresh store of the same kind: a copy is made in a fraction of the time.
    fn copied(&self) -> Self {
        let engine = (self.fresh)();
        wait(copy(&*self.engine.store, &*engine.store, &Extent::Everything, |_| ())).expect("copied");
        // Randomness that went on as it did for the first one would make ids that are taken.
        let pay = open_with(Arc::clone(&engine.store), SetClock::new(), 8);
        let caller = wait(pay.authenticate(&self.token)).expect("a caller");
        let Self { fresh, a, b, one, two, sibling, other, absent, token, .. } = self;
        let (a, b, token) = (a.clone(), b.clone(), token.clone());
        let [one, two, sibling, other, absent] = [one, two, sibling, other, absent].map(Ids::clone);
        Self { engine, fresh: *fresh, pay, a, b, one, two, sibling, other, absent, caller, token }
    }

    /// Makes an account with all there is. The idempotency keys are the same in every one.
    fn fill(organization: &OrganizationScope, id: &str, entry: &str) -> (Ids, Ids, String) {
        let key = |name: &str| name.parse().expect("a key");
        let new = NewMerchant::with_id(id.parse().expect("an id"));
        wait(organization.create_merchant(new).idempotency_key(key(id))).expect("an account");
        let scope = organization.merchant(&id.parse().expect("an id"));
        let api_key = wait(scope.create_api_key(new_key()).idempotency_key(key("key"))).expect("a key");
        for value in ["424242", entry] {
            wait(scope.blocklist().add(bin(value)).idempotency_key(key(value))).expect("an entry");
        }
        let profile = |name: &str| {
            let new: NewProfile = body(json!({
                "profile_name": name,
                "webhook_details": { "webhook_url": "https://shop.example/webhooks" },
            }));
            let profile = wait(scope.create_profile(new).idempotency_key(key(name))).expect("a profile");
            let handle = scope.profile(&profile.profile_id);
            let connector = new_connector("main", None);
            let connector = wait(handle.create_connector(connector).idempotency_key(key(&format!("c{name}"))));
            let exchanged = handle.connector(&connector.as_ref().expect("a connector").merchant_connector_id);
            let auth = || body(json!({ "auth_type": "HeaderKey", "api_key": "sk_test_next" }));
            wait(exchanged.stage_credentials(auth())).expect("staged");
            wait(exchanged.activate_credentials()).expect("activated");
            wait(exchanged.stage_credentials(auth())).expect("staged");
            // One program decides, and did before; another one never has.
            let spare =
                wait(handle.create_connector(new_connector("spare", None))).expect("a connector").merchant_connector_id;
            let named = json!({ "type": "single", "data": { "connector": "stripe", "merchant_connector_id": spare } });
            let decides = json!({ "name": "decides", "description": "d", "algorithm": named });
            let decides = wait(handle.routing().create(body(decides))).expect("a program").record.id;
            let decides = handle.routing().program(&decides);
            wait(decides.activate(None)).expect("active");
            wait(decides.add_version(body(json!({ "algorithm": named })))).expect("a version");
            wait(decides.activate(None)).expect("active");
            let program = wait(handle.routing().create(new_program()).idempotency_key(key(&format!("r{name}"))));
            let program = program.expect("a program").record.id;
            wait(handle.routing().program(&program).add_version(new_version())).expect("a version");
            let payment = new_payment(&format!("p-{name}"), None);
            wait(handle.create_payment(payment).idempotency_key(key(&format!("p{name}")))).expect("a payment");
            // And one whose id is nobody else's.
            let own = format!("p-{id}-{name}");
            let payment = wait(handle.create_payment(new_payment(&own, None))).expect("a payment");
            let confirmed =
                wait(handle.create_payment(new_payment(&format!("c-{id}-{name}"), None))).expect("a payment");
            wait(handle.payment(&confirmed.payment_id).confirm(confirmation())).expect("confirmed");
            let events = wait(scope.events(page())).expect("events").items;
            let event = events.into_iter().find(|event| event.object_id == confirmed.payment_id).expect("an event");
            let own_link = wait(handle.create_payment_link(new_link(None)).idempotency_key(key(&format!("l{name}"))));
            let own_link = own_link.expect("a link").payment_link_id;
            let held = wait(scope.payment_link(&own_link).claim(LinkClaim::default())).expect("a use");
            Ids {
                merchant: id.to_owned(),
                profile: profile.profile_id.to_string(),
                connector: connector.expect("a connector account").merchant_connector_id.to_string(),
                program: program.to_string(),
                api_key: api_key.key_id.to_string(),
                entry: entry.to_owned(),
                link: payment.payment_link.expect("a link").payment_link_id.to_string(),
                payment: own,
                confirmed: confirmed.payment_id.to_string(),
                event: event.event_id.to_string(),
                own_link: own_link.to_string(),
                link_use: held.link_use.link_use_id.to_string(),
            }
        };
        let (one, two) = (profile("One"), profile("Two"));
        (one, two, api_key.api_key.as_ref().expect("a token").expose().to_owned())
    }

    fn at(&self, place: Place) -> &Ids {
        match place {
            Place::Own => &self.one,
            Place::SiblingProfile => &self.two,
            Place::SiblingMerchant => &self.sibling,
            Place::OtherOrganization => &self.other,
            Place::Absent => &self.absent,
        }
    }

    fn organization(&self, id: &str) -> OrganizationScope {
        self.pay.organization(&id.parse().expect("an id"))
    }

    fn merchant(&self, organization: &str, merchant: &str) -> MerchantScope {
        self.organization(organization).merchant(&merchant.parse().expect("an id"))
    }

    /// Every handle on `a1`.
    fn handles(&self) -> Vec<(&'static str, MerchantScope)> {
        let root = self.pay.merchant(&"a1".parse().expect("an id"));
        vec![
            ("through its organization", self.merchant(&self.a, "a1")),
            ("through the root", root),
            ("as a caller", self.caller.merchant().clone()),
        ]
    }

    /// All that can be read of anyone, by whose it is.
    fn snapshot(&self) -> BTreeMap<&'static str, String> {
        let mut all = BTreeMap::new();
        let pay = &self.pay;
        all.insert("platform", format!("{:?} {:?}", tried(pay.organizations(page())), tried(pay.log_head())));
        for (name, id) in [("a", &self.a), ("b", &self.b)] {
            let scope = self.organization(id);
            let organization = tried(scope.retrieve());
            let log = tried(scope.log(LogPosition::START, 1_000));
            all.insert(name, format!("{organization:?} {:?} {log:?}", tried(scope.merchants(page()))));
        }
        for (id, organization) in MERCHANTS {
            let scope = self.merchant(if organization == "a" { &self.a } else { &self.b }, id);
            let mut parts = vec![
                tried(scope.retrieve()),
                tried(scope.profiles(page())),
                tried(scope.connectors(page())),
                tried(scope.routing().list(page())),
                tried(scope.api_keys(page())),
                tried(scope.blocklist().entries(None, page())),
                tried(scope.payments(page())),
                tried(scope.payment_links(page())),
                tried(scope.events(page())),
                tried(scope.log(LogPosition::START, 1_000)),
                screened(&scope),
            ];
            for place in PLACES {
                let ids = self.at(place);
                if ids.merchant == id {
                    let connector = scope.connector(&ids.connector.parse().expect("an id"));
                    let of = |found: &perfectpay::Connector| format!("{:?}", found.credentials);
                    parts.push(seen(wait(connector.retrieve()).map(|found| of(&found))));
                    let routing = scope.profile(&ids.profile.parse().expect("an id")).routing();
                    parts.extend([tried(routing.active()), tried(routing.fallback())]);
                    parts.push(tried(routing.program(&ids.program.parse().expect("an id")).versions(page())));
                }
            }
            // A merchant account's own part of its organization is its own; the others' must not be in it.
            all.insert(id, format!("{parts:?}"));
        }
        all
    }

    /// Checks that at most the parts named changed.
    fn only_changed(&self, before: &BTreeMap<&'static str, String>, may: &[&str], doing: &str) {
        let after = self.snapshot();
        for (part, old) in before {
            assert!(may.contains(part) || after.get(part) == Some(old), "{doing} changed {part}");
        }
    }
}

/// The same with an id put out of sight.
fn without(seen: Seen, id: &str) -> Seen {
    seen.map(|json| json.replace(id, "{id}")).map_err(|error| error.map(|text| text.replace(id, "{id}")))
}

/// Whether the operation only reads. What says so and writes all the same is found out by [`Matrix::run`].
fn reads(operation: Operation) -> bool {
    let name: &str = operation.into();
    ["retrieve", "list", "screen", "read", "count"].iter().any(|verb| name.starts_with(verb))
}

struct Matrix {
    /// In which nothing ever changes.
    still: World,
    before: BTreeMap<&'static str, String>,
    head: Seen,
    /// Through how many of the account's handles writes are tried: what a handle is worth is decided above the store, so
    /// that one back-end answers for all.
    writing: usize,
    cells: usize,
}

impl Matrix {
    fn new(still: World, writing: usize) -> Self {
        let (before, head) = (still.snapshot(), tried(still.pay.log_head()));
        assert_eq!(still.copied().snapshot(), before, "a copy is the same world");
        Self { still, before, head, writing, cells: 0 }
    }

    /// What must work and touch nobody else: a write in a world of its own.
    fn works(&mut self, operation: Operation, doing: &str, may: &[&str], act: impl Fn(&World) -> Seen) {
        if reads(operation) {
            let seen = act(&self.still);
            assert!(seen.is_ok(), "{doing}: {seen:?}");
            self.cells += 1;
            return;
        }
        let world = self.still.copied();
        let seen = act(&world);
        assert!(seen.is_ok(), "{doing}: {seen:?}");
        world.only_changed(&self.before, may, doing);
        self.cells += 1;
    }

    /// Whether the operation is tried through this one of the handles that an account has.
    fn through(&self, operation: Operation, handle: usize) -> bool {
        reads(operation) || handle >= self.still.handles().len() - self.writing
    }

    /// What must be answered as if it were not there, and change nothing.
    fn like_absent(&mut self, doing: &str, foreign: (Seen, &str), absent: (Seen, &str)) {
        let (foreign, absent) = (without(foreign.0, foreign.1), without(absent.0, absent.1));
        assert_eq!(foreign, absent, "{doing} is not answered as what is absent");
        match &foreign {
            Err([debug, code, _]) => {
                assert!(code == "not_found" && debug.starts_with("NotFound"), "{doing}: {foreign:?}");
            }
            // The log of an object that nobody has is empty.
            Ok(json) => assert_eq!(json, "[]", "{doing}"),
        }
        assert_eq!(tried(self.still.pay.log_head()), self.head, "{doing} left an entry in the log");
        self.cells += 1;
    }

    fn run(&mut self, operation: Operation, row: &Row) {
        match row {
            Platform(act) => self.works(operation, &format!("{operation}"), &["platform"], |world| act(&world.pay)),
            Organization(act) => self.organization(operation, *act),
            Relative(act) => self.relative(operation, *act),
            Merchant(act) => self.merchant(operation, *act),
            Within(what, act) => self.within(operation, *what, *act),
            InProfile(what, act) => self.in_profile(operation, *what, *act),
        }
        self.still.only_changed(&self.before, &[], &format!("{operation}"));
    }

    fn organization(&mut self, operation: Operation, act: fn(&OrganizationScope) -> Seen) {
        // Only the root handle makes handles of organizations: to it neither is foreign, but neither touches the other.
        self.works(operation, &format!("{operation} of A"), &["platform", "a", "a1", "a2"], |w| {
            act(&w.organization(&w.a))
        });
        self.works(operation, &format!("{operation} of B"), &["platform", "b", "b1"], |w| act(&w.organization(&w.b)));
        let absent = |id: &str| (act(&self.still.organization(id)), id.to_owned());
        let (first, second) = (absent("org_nobody"), absent("org_no-one"));
        self.like_absent(&format!("{operation} of nobody"), (first.0, &first.1), (second.0, &second.1));
    }

    fn relative(&mut self, operation: Operation, act: fn(&OrganizationScope, &str) -> Seen) {
        for place in PLACES {
            let doing = format!("{operation} naming an account: {place:?}");
            match place {
                Place::Own | Place::SiblingProfile | Place::SiblingMerchant => {
                    self.works(operation, &doing, &["platform", "a"], |w| {
                        act(&w.organization(&w.a), &w.at(place).merchant)
                    });
                }
                Place::OtherOrganization | Place::Absent => {
                    let scope = self.still.organization(&self.still.a);
                    let id = self.still.at(place).merchant.clone();
                    let (foreign, absent) = (act(&scope, &id), act(&scope, "nobody"));
                    self.like_absent(&doing, (foreign, &id), (absent, "nobody"));
                }
            }
        }
    }

    fn merchant(&mut self, operation: Operation, act: fn(&MerchantScope) -> Seen) {
        for (at, (name, _)) in self.still.handles().into_iter().enumerate() {
            if !self.through(operation, at) {
                continue;
            }
            // Removing the account makes the caller's handle end with it, but not before.
            self.works(
                operation,
                &format!("{operation} {name}"),
                &["platform", "a", "a1"],
                |w| act(&w.handles()[at].1),
            );
        }
        let doing = format!("{operation} of the sibling account");
        self.works(operation, &doing, &["platform", "a", "a2"], |w| act(&w.merchant(&w.a, "a2")));
        for (organization, merchant) in [("a", "b1"), ("b", "a1"), ("b", "a2"), ("org_nobody", "a1"), ("a", "nobody")] {
            let id = match organization {
                "a" => self.still.a.clone(),
                "b" => self.still.b.clone(),
                other => other.to_owned(),
            };
            let foreign = act(&self.still.merchant(&id, merchant));
            let absent = act(&self.still.merchant(&id, "no-one"));
            let doing = format!("{operation} of {merchant} through {organization}");
            self.like_absent(&doing, (foreign, merchant), (absent, "no-one"));
        }
    }

    fn within(&mut self, operation: Operation, what: What, act: fn(&MerchantScope, &str) -> Seen) {
        for place in PLACES {
            for (at, (name, scope)) in self.still.handles().into_iter().enumerate() {
                let doing = format!("{operation} {name}, {what:?}: {place:?}");
                // An account is no parent of itself; any other of its organization may be.
                let own = match place {
                    Place::Own | Place::SiblingProfile => what != What::Merchant,
                    Place::SiblingMerchant => what == What::Merchant,
                    Place::OtherOrganization | Place::Absent => false,
                };
                if own {
                    if self.through(operation, at) {
                        self.works(operation, &doing, &["platform", "a", "a1"], |w| {
                            act(&w.handles()[at].1, w.at(place).of(what))
                        });
                    }
                } else {
                    let id = self.still.at(place).of(what).to_owned();
                    let none = self.still.absent.of(what).to_owned();
                    let (foreign, absent) = (act(&scope, &id), act(&scope, &none));
                    self.like_absent(&doing, (foreign, &id), (absent, &none));
                }
            }
        }
        // A path that does not match leads nowhere, whoever owns what lies at its end.
        for (organization, ids) in [
            (self.still.a.clone(), self.still.other.clone()),
            (self.still.b.clone(), self.still.one.clone()),
            (self.still.b.clone(), self.still.sibling.clone()),
        ] {
            let id = ids.of(what);
            let merchant = &ids.merchant;
            let foreign = act(&self.still.merchant(&organization, merchant), id);
            let absent = act(&self.still.merchant(&organization, "no-one"), id);
            let doing = format!("{operation} of {merchant} through another organization, {what:?}");
            if what == What::Merchant {
                self.like_absent(&doing, (foreign, merchant), (absent, "no-one"));
            } else {
                let (foreign, absent) = (without(foreign, id), without(absent, id));
                self.like_absent(&doing, (foreign, merchant), (absent, "no-one"));
            }
        }
    }

    fn in_profile(&mut self, operation: Operation, what: What, act: fn(&ProfileScope, &str) -> Seen) {
        let profile = |world: &World, at: usize, id: &str| world.handles()[at].1.profile(&id.parse().expect("an id"));
        for place in PLACES {
            for at in 0..self.still.handles().len() {
                let doing = format!("{operation} through the profile, handle {at}, {what:?}: {place:?}");
                if place == Place::Own {
                    if self.through(operation, at) {
                        self.works(operation, &doing, &["platform", "a", "a1"], |w| {
                            act(&profile(w, at, &w.one.profile), w.one.of(what))
                        });
                    }
                } else {
                    let scope = profile(&self.still, at, &self.still.one.profile);
                    let id = self.still.at(place).of(what).to_owned();
                    let none = self.still.absent.of(what).to_owned();
                    let (foreign, absent) = (act(&scope, &id), act(&scope, &none));
                    self.like_absent(&doing, (foreign, &id), (absent, &none));
                }
            }
        }
        // Through profiles of other accounts and profiles that are not there, even one's own is absent.
        for place in [Place::SiblingMerchant, Place::OtherOrganization, Place::Absent] {
            for at in 0..self.still.handles().len() {
                let scope = profile(&self.still, at, &self.still.at(place).profile);
                let id = self.still.one.of(what).to_owned();
                let none = self.still.absent.of(what).to_owned();
                let (foreign, absent) = (act(&scope, &id), act(&scope, &none));
                let doing = format!("{operation} through the profile of {place:?}, {what:?}");
                self.like_absent(&doing, (foreign, &id), (absent, &none));
            }
        }
    }
}

/// A fresh world on one kind of back-end.
fn world(backend: usize) -> World {
    World::new(BACKENDS[backend])
}

fn every_operation(backend: usize, writing: usize) {
    let mut matrix = Matrix::new(world(backend), writing);
    for &operation in Operation::VARIANTS {
        let rows = rows(operation);
        assert!(!rows.is_empty(), "{operation} is not tried");
        for row in &rows {
            matrix.run(operation, row);
        }
    }
    assert!(matrix.cells > 400, "{} cells", matrix.cells);
}

#[test]
fn every_operation_keeps_to_its_tenant_in_memory() {
    every_operation(0, 3);
}

#[test]
fn every_operation_keeps_to_its_tenant_on_sqlite_in_memory() {
    every_operation(1, 1);
}

#[test]
fn every_operation_keeps_to_its_tenant_on_a_sqlite_file() {
    every_operation(2, 1);
}

/// Runs a test in a world on every back-end.
fn everywhere(test: impl Fn(World)) {
    for fresh in BACKENDS {
        test(World::new(fresh));
    }
}

#[test]
fn an_idempotency_key_belongs_to_one_tenant() {
    everywhere(|world| {
        let key = || "shared".parse().expect("a key");
        let name = |name: &str| NewProfile::named(name.parse().expect("a name"));
        let scopes = [world.merchant(&world.a, "a1"), world.merchant(&world.a, "a2"), world.merchant(&world.b, "b1")];
        let made: Vec<_> = scopes
            .iter()
            .map(|scope| wait(scope.create_profile(name("Shared")).idempotency_key(key())).expect("a profile"))
            .collect();
        for (scope, profile) in scopes.iter().zip(&made) {
            let again = wait(scope.create_profile(name("Shared")).idempotency_key(key())).expect("the same profile");
            assert_eq!(&again, profile);
            let ids = made.iter().filter(|one| one.profile_id == profile.profile_id).count();
            assert_eq!(ids, 1, "each has a profile of its own");
            // Within the tenant the key is taken, whatever is created.
            let other = wait(scope.create_api_key(new_key()).idempotency_key(key()));
            assert_eq!(other.unwrap_err().code(), "idempotency_mismatch");
            let other = wait(scope.create_profile(name("Other")).idempotency_key(key()));
            assert_eq!(other.unwrap_err().code(), "idempotency_mismatch");
        }
        // A profile's handle is a place of its own, within the same keys.
        let scope = &scopes[0];
        let [one, two] = [&world.one, &world.two].map(|ids| scope.profile(&ids.profile.parse().expect("an id")));
        let key = || "payment".parse().expect("a key");
        wait(one.create_payment(new_payment("x", None)).idempotency_key(key())).expect("a payment");
        let other = wait(two.create_payment(new_payment("x", None)).idempotency_key(key()));
        assert_eq!(other.unwrap_err().code(), "idempotency_mismatch");
    });
}

#[test]
fn natural_keys_are_unique_where_they_belong_and_nowhere_else() {
    everywhere(|world| {
        let own = world.merchant(&world.a, "a1");
        let code = |seen: Seen| seen.map_err(|[_, code, _]| code).expect_err("taken");
        let profile = own.profile(&world.one.profile.parse().expect("an id"));
        assert_eq!(code(tried(own.create_profile(body(json!({ "profile_name": "One" }))))), "duplicate");
        assert_eq!(code(tried(profile.create_connector(new_connector("main", None)))), "duplicate");
        assert_eq!(code(tried(own.blocklist().add(bin("424242")))), "already_exists");
        assert_eq!(code(tried(own.create_payment(new_payment("p-Two", None)))), "already_exists");
        // What only the sibling and the other have, is free here: uniqueness tells nothing about anyone else.
        wait(own.blocklist().add(bin(&world.sibling.entry))).expect("an entry");
        wait(own.blocklist().add(bin(&world.other.entry))).expect("an entry");
        wait(own.create_payment(new_payment(&world.sibling.payment, None))).expect("a payment");
        wait(own.create_payment(new_payment(&world.other.payment, None))).expect("a payment");
        for (organization, id, count) in [(&world.a, "a1", 4), (&world.a, "a2", 2), (&world.b, "b1", 2)] {
            let entries = wait(world.merchant(organization, id).blocklist().entries(None, page())).expect("entries");
            assert_eq!((entries.total_count, entries.count), (count, count));
        }
        // The one exception: a merchant account's id is unique over the whole store.
        let new = NewMerchant::with_id("b1".parse().expect("an id"));
        let taken = tried(world.organization(&world.a).create_merchant(new));
        assert_eq!(code(taken), "already_exists");
    });
}

#[test]
fn a_new_owner_of_an_id_sees_nothing_of_the_old_one() {
    everywhere(|world| {
        let old = world.merchant(&world.a, "a1");
        let pinned = world.caller.merchant().clone();
        wait(old.remove().cascade()).expect("removed");
        let refused = |seen: Seen| assert_eq!(seen.expect_err("refused")[2], "the credential was not accepted");
        refused(tried(pinned.retrieve()));
        let new = NewMerchant::with_id("a1".parse().expect("an id"));
        wait(world.organization(&world.b).create_merchant(new)).expect("an account");
        // Neither the old key nor the old handle leads to the new owner, and to the old organization it is absent.
        assert_eq!(wait(world.pay.authenticate(&world.token)).unwrap_err().code(), "unauthorized");
        refused(tried(pinned.retrieve()));
        refused(tried(pinned.remove().cascade()));
        refused(tried(pinned.blocklist().toggle(Some(true))));
        assert_eq!(wait(old.retrieve()).unwrap_err().code(), "not_found");
        let scope = world.merchant(&world.b, "a1");
        for ids in [&world.one, &world.two] {
            for what in [
                What::Profile,
                What::Connector,
                What::Program,
                What::ApiKey,
                What::Entry,
                What::Payment,
                What::Confirmed,
                What::Event,
                What::Link,
                What::Use,
            ] {
                let id = ids.of(what);
                let seen = match what {
                    What::Profile => tried(scope.profile(&id.parse().unwrap()).retrieve()),
                    What::Connector => tried(scope.connector(&id.parse().unwrap()).retrieve()),
                    What::Program => tried(scope.routing().program(&id.parse().unwrap()).retrieve()),
                    What::ApiKey => tried(scope.api_key(&id.parse().unwrap()).retrieve()),
                    What::Entry => tried(scope.blocklist().remove(bin(id))),
                    What::Payment | What::Confirmed => tried(scope.payment(&id.parse().unwrap()).retrieve()),
                    What::Event => tried(scope.event(&id.parse().unwrap()).retrieve()),
                    What::Link => tried(scope.payment_link(&id.parse().unwrap()).retrieve()),
                    What::Use => tried(scope.link_use(&id.parse().unwrap()).retrieve()),
                    What::Merchant | What::OwnLink => continue,
                };
                assert_eq!(seen.expect_err("absent")[1], "not_found");
            }
        }
        assert_eq!(wait(scope.log(LogPosition::START, 1_000)).expect("a log").len(), 1);
        assert_eq!(wait(scope.profiles(page())).expect("profiles").items.len(), 1);
        assert_eq!(wait(scope.blocklist().entries(None, page())).expect("entries").total_count, 0);
        // The old idempotency keys are gone with their tenant: this one made a profile of the old account.
        let profile = NewProfile::named("Fresh".parse().expect("a name"));
        wait(scope.create_profile(profile).idempotency_key("One".parse().expect("a key"))).expect("a new profile");
    });
}

#[test]
fn a_callers_handle_ends_with_its_key() {
    everywhere(|world| {
        let caller = world.caller.merchant();
        wait(caller.retrieve()).expect("its own account");
        let key = world.merchant(&world.a, "a1").api_key(&world.one.api_key.parse().expect("an id"));
        wait(key.revoke()).expect("revoked");
        let before = world.snapshot();
        for &operation in Operation::VARIANTS {
            for row in rows(operation) {
                let seen = match row {
                    Merchant(act) => act(caller),
                    Within(what, act) => act(caller, world.one.of(what)),
                    InProfile(what, act) => {
                        act(&caller.profile(&world.one.profile.parse().expect("an id")), world.one.of(what))
                    }
                    Platform(_) | Organization(_) | Relative(_) => continue,
                };
                let [_, code, text] = seen.expect_err("no operation of a revoked key works");
                assert_eq!((code.as_str(), text.as_str()), ("unauthorized", "the credential was not accepted"));
            }
        }
        world.only_changed(&before, &[], "a revoked key");
    });
}

/// The holder of a new key of `a1`, made by the host.
fn holder(world: &World, restricted: &Value) -> Caller {
    let mut new = json!({ "name": "Key", "expiration": "never" });
    new.as_object_mut().expect("an object").extend(restricted.as_object().expect("an object").clone());
    let issued = wait(world.merchant(&world.a, "a1").create_api_key(body(new))).expect("a key");
    wait(world.pay.authenticate(issued.api_key.expect("a token").expose())).expect("a caller")
}

/// Tries a row as a caller on the profile's objects; `None` where no caller gets there.
fn as_caller(row: &Row, caller: &Caller, ids: &Ids) -> Option<Seen> {
    let scope = caller.merchant();
    match row {
        Platform(_) | Organization(_) | Relative(_) | Within(What::Merchant, _) => None,
        Merchant(act) => Some(act(scope)),
        Within(what, act) => Some(act(scope, ids.of(*what))),
        InProfile(what, act) => Some(act(&scope.profile(&ids.profile.parse().expect("an id")), ids.of(*what))),
    }
}

fn is_forbidden(seen: &Seen) -> bool {
    matches!(seen, Err([_, code, text]) if code == "forbidden" && text == "the caller may not do this")
}

#[test]
fn a_key_does_what_its_scopes_say_and_nothing_else() {
    let (fresh, still) = (world(0), world(0));
    let every: Vec<Right> = Resource::VARIANTS
        .iter()
        .flat_map(|resource| Touch::VARIANTS.iter().map(|touch| Right::new(*resource, *touch)))
        .collect();
    let callers: Vec<(Right, Caller)> =
        every.iter().map(|right| (*right, holder(&still, &json!({ "scopes": [right.to_string()] })))).collect();
    let before = still.snapshot();
    let (mut allowed, mut forbidden) = (0, 0);
    for &operation in Operation::VARIANTS {
        for row in rows(operation) {
            let needed = match operation.need() {
                Need::Host => None,
                // A batch: its commands are rows of their own.
                Need::Nothing => continue,
                Need::Account(right) | Need::Profile(right) => Some(right),
            };
            for (right, caller) in &callers {
                // To write includes to read.
                let suffices = needed.is_some_and(|needed| {
                    needed.resource == right.resource && (needed.touch == right.touch || right.touch == Touch::Write)
                });
                let doing = format!("{operation} with {right}");
                if !suffices {
                    let Some(seen) = as_caller(&row, caller, &still.one) else { continue };
                    assert!(is_forbidden(&seen), "{doing}: {seen:?}");
                    forbidden += 1;
                    continue;
                }
                let world = fresh.copied();
                let caller = holder(&world, &json!({ "scopes": [right.to_string()] }));
                let Some(seen) = as_caller(&row, &caller, &world.one) else { continue };
                if matches!(operation, Operation::UpdateApiKey | Operation::RotateApiKey) {
                    // The key there may do everything: more than the caller.
                    assert!(is_forbidden(&seen), "{doing}: {seen:?}");
                    continue;
                }
                assert!(seen.is_ok(), "{doing}: {seen:?}");
                allowed += 1;
            }
        }
    }
    still.only_changed(&before, &[], "what is forbidden");
    assert!(allowed > 50 && forbidden > 500, "{allowed} allowed, {forbidden} forbidden");
}

#[test]
fn a_key_for_a_profile_reaches_that_profile_and_nothing_else() {
    let only = |world: &World| holder(world, &json!({ "profile_ids": [world.one.profile] }));
    let (fresh, still) = (world(0), world(0));
    let caller = only(&still);
    let before = still.snapshot();
    for &operation in Operation::VARIANTS {
        for row in rows(operation) {
            let seen = |caller: &Caller, ids: &Ids| as_caller(&row, caller, ids);
            match operation.need() {
                Need::Host | Need::Nothing => {}
                Need::Account(_) => {
                    let Some(seen) = seen(&caller, &still.one) else { continue };
                    assert!(is_forbidden(&seen), "{operation}: {seen:?}");
                }
                Need::Profile(_) => {
                    let named = matches!(row, Within(..) | InProfile(..));
                    if named {
                        let other = seen(&caller, &still.two).expect("a caller gets there");
                        assert!(is_forbidden(&other), "{operation} in a sibling profile: {other:?}");
                        let absent = seen(&caller, &still.other).expect("a caller gets there");
                        assert!(matches!(&absent, Err([_, code, _]) if code == "not_found"), "{operation}: {absent:?}");
                    }
                    let world = fresh.copied();
                    // The host's own way to what an account has, too.
                    let Some(own) = seen(&only(&world), &world.one) else { continue };
                    match operation {
                        // Without a profile it is the default one, which the key is not for.
                        Operation::CreatePayment | Operation::CreatePaymentLink | Operation::CreateConnector
                            if !named =>
                        {
                            assert!(is_forbidden(&own), "{operation}: {own:?}");
                        }
                        _ => {
                            let own = own.unwrap_or_else(|error| panic!("{operation}: {error:?}"));
                            let parts = |ids: &Ids| {
                                let Ids { profile, connector, program, payment, link, own_link, link_use, .. } = ids;
                                [profile, connector, program, payment, link, own_link, link_use].map(String::clone)
                            };
                            let shows = |ids: &Ids| parts(ids).iter().any(|id| own.contains(&format!("\"{id}\"")));
                            assert!(!shows(&world.two), "{operation} shows a sibling profile: {own}");
                            if operation.to_string().starts_with("list") {
                                assert!(shows(&world.one), "{operation} hides its own profile: {own}");
                            }
                        }
                    }
                }
            }
        }
    }
    still.only_changed(&before, &[], "what is forbidden");
}

#[test]
fn no_key_gives_what_it_has_not() {
    everywhere(|world| {
        let own = world.merchant(&world.a, "a1");
        let ids = json!({ "scopes": ["api_keys:write", "payments:read"], "networks": ["203.0.113.0/24"] });
        let mut new = json!({ "name": "Key", "expiration": "never" });
        new.as_object_mut().expect("an object").extend(ids.as_object().expect("an object").clone());
        let issued = wait(own.create_api_key(body(new))).expect("a key");
        let token = issued.api_key.as_ref().expect("a token").expose().to_owned();
        let caller = wait(world.pay.authenticate_from(&token, "203.0.113.9".parse().expect("an address")));
        let caller = caller.expect("a caller");
        let scope = caller.merchant();
        let before = world.snapshot();
        for more in [
            json!({ "scopes": ["*"] }),
            json!({ "scopes": ["payments:write"] }),
            json!({ "scopes": ["log:read", "payments:read"] }),
            json!({ "networks": ["0.0.0.0/0"] }),
            json!({ "networks": ["203.0.113.0/24", "198.51.100.7"] }),
            json!({ "networks": ["203.0.112.0/23"] }),
        ] {
            let mut new = json!({ "name": "Key", "expiration": "never" });
            new.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            let seen = tried(scope.create_api_key(body(new)));
            assert!(is_forbidden(&seen), "{more}: {seen:?}");
            let seen = tried(scope.api_key(&issued.key_id).update(body(more.clone())));
            assert!(is_forbidden(&seen), "an update of itself to {more}: {seen:?}");
        }
        // Nor does it take over one that has more.
        let full = scope.api_key(&world.one.api_key.parse().expect("an id"));
        assert!(is_forbidden(&tried(full.rotate(std::time::Duration::ZERO))));
        assert!(is_forbidden(&tried(full.update(body(json!({ "scopes": ["payments:read"] }))))));
        world.only_changed(&before, &[], "what is forbidden");
        // What it leaves out is what it has itself.
        let child = wait(scope.create_api_key(new_key())).expect("a key");
        assert_eq!(child.access, issued.access);
        let child = wait(scope.api_key(&child.key_id).rotate(std::time::Duration::ZERO)).expect("a key");
        assert_eq!(child.access, issued.access);
    });
}
