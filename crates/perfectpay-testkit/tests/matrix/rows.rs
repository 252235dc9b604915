//! How every operation is tried: one row for each handle that has it, and one for each other object that its body names.

use std::future::IntoFuture;

use futures_lite::future::block_on;
use perfectpay::store::LogPosition;
use perfectpay::webhook::UrlPolicy;
use perfectpay::{
    BlockKind, BlockRequest, BlockRule, CancelPayment, ConfirmPayment, ConnectorUpdate, DecideRequest, Entity,
    EntityKind, Error, Explanation, ExportError, ImportCause, ImportError, ImportOptions, ImportReport, KeyPolicy,
    LinkClaim, LinkFilter, LogRetention, MerchantScope, NewApiKey, NewConnector, NewPayment, NewPaymentLink,
    NewRoutingProgram, NewRoutingVersion, Operation, OrganizationScope, Outcome, PageRequest, PerfectPay, ProfileScope,
    json,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// What came of an operation: its JSON, or the error as `Debug`, code and text.
pub(crate) type Seen = Result<String, [String; 3]>;

pub(crate) fn wait<F: IntoFuture>(future: F) -> F::Output {
    block_on(future.into_future())
}

pub(crate) fn seen<T: Serialize>(answer: Result<T, Error>) -> Seen {
    match answer {
        Ok(answer) => Ok(serde_json::to_string(&answer).expect("an answer is JSON")),
        Err(error) => Err([format!("{error:?}"), error.code().to_owned(), error.to_string()]),
    }
}

/// Carries an operation out and looks at what came of it.
pub(crate) fn tried<T: Serialize, F: IntoFuture<Output = Result<T, Error>>>(operation: F) -> Seen {
    seen(wait(operation))
}

pub(crate) fn body<T: DeserializeOwned>(body: Value) -> T {
    json::from_value(body).expect("a body")
}

pub(crate) fn new_connector(label: &str, profile: Option<&str>) -> NewConnector {
    body(json!({
        "connector_type": "payment_processor",
        "connector_name": "stripe",
        "connector_label": label,
        "profile_id": profile,
        "connector_account_details": { "auth_type": "HeaderKey", "api_key": "sk_test_123" },
        "payment_methods_enabled": [{ "payment_method": "card", "payment_method_types": ["credit", "debit"] }],
    }))
}

pub(crate) fn new_payment(id: &str, profile: Option<&str>) -> NewPayment {
    body(json!({
        "amount": 1_000, "currency": "EUR", "payment_id": id, "profile_id": profile, "payment_link": true,
        "return_url": "https://shop.example/done",
    }))
}

pub(crate) fn new_link(profile: Option<&str>) -> NewPaymentLink {
    body(json!({
        "amount": 1_000, "currency": "EUR", "profile_id": profile, "kind": "reusable",
        "return_url": "https://shop.example/done",
    }))
}

/// A program that names every account of a connector.
pub(crate) fn new_program() -> NewRoutingProgram {
    body(json!({ "name": "new", "description": "d", "algorithm": { "type": "single", "data": "stripe" } }))
}

pub(crate) fn new_version() -> NewRoutingVersion {
    body(json!({ "algorithm": { "type": "priority", "data": ["stripe"] } }))
}

pub(crate) fn decided() -> DecideRequest {
    DecideRequest::new("pay_1".parse().unwrap(), body(json!({ "amount": 1_000, "currency": "EUR" })))
}

pub(crate) fn confirmation() -> ConfirmPayment {
    body(json!({
        "payment_method": "card",
        "payment_method_type": "credit",
        "payment_method_data": { "card": {
            "card_number": "4242424242424242", "card_exp_month": "10", "card_exp_year": "30", "card_cvc": "123",
        } },
    }))
}

pub(crate) fn new_key() -> NewApiKey {
    body(json!({ "name": "Key", "expiration": "never" }))
}

pub(crate) fn bin(value: &str) -> BlockRequest {
    body(json!({ "type": "card_bin", "data": value }))
}

pub(crate) fn page() -> PageRequest {
    PageRequest::of(100).expect("a limit")
}

/// Where the object of an operation is, seen from the profile "One" of the merchant account `a1` of organization A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Own,
    SiblingProfile,
    SiblingMerchant,
    OtherOrganization,
    Absent,
}

pub(crate) const PLACES: [Place; 5] =
    [Place::Own, Place::SiblingProfile, Place::SiblingMerchant, Place::OtherOrganization, Place::Absent];

/// What an operation names by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
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
pub(crate) enum Row {
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

pub(crate) use Row::{InProfile, Merchant, Organization, Platform, Relative, Within};

/// The rows of an operation. Without a `_` arm: a new operation does not compile until it is here.
#[allow(clippy::too_many_lines, reason = "one arm for each operation")]
pub(crate) fn rows(operation: Operation) -> Vec<Row> {
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

pub(crate) fn screened(scope: &MerchantScope) -> Seen {
    let card = "4242424242424242".parse().expect("a card");
    seen(wait(scope.blocklist().screen(&card)).map(|screening| {
        json!({
            "guard": screening.guard,
            "matched": screening.matched.map(|rule| rule.to_string()),
            "fingerprint": screening.fingerprint,
        })
    }))
}
