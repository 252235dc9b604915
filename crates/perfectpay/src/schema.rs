//! JSON schemas of every body and answer, by the feature `schema`: what [`schemars`] asks of a type, so that a host can
//! publish a description of its own API.
//!
//! Where serde's derive reads and writes a type, the schema is derived, too, and the documentation of its fields becomes
//! their description. What is read by hand is described here by hand, and a test holds the two together. A schema says what
//! JSON Schema can say: rules across fields, checksums and the sum of a split are told by the library when it reads the
//! body.
//!
//! A body is described as it is read, an answer as it is written:
//!
//! ```
//! use perfectpay::{NewProfile, Profile};
//! use schemars::generate::SchemaSettings;
//!
//! let body = SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<NewProfile>();
//! assert_eq!(body.get("additionalProperties"), Some(&false.into()));
//! let answer = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Profile>();
//! assert!(answer.get("required").is_some());
//! ```

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use strum::VariantArray as _;

use crate::api_key::{Expiration, Network, Resource, Scopes, Touch};
use crate::blocklist::CardNumber;
use crate::connector::{
    Accepted, AuthType, CardNetwork, ConnectorAuth, ConnectorName, EnabledMethods, MAX_CONNECTOR_NAME,
    MAX_METHOD_TYPES, MAX_METHODS, MaskedAuth, MethodTypeEnabled, PaymentExperience, PaymentMethod, PaymentMethodType,
    PaymentMethodsEnabled, WALLETS, WalletDetails,
};
use crate::envelope::{Envelope, ErrorCode};
use crate::list::{BoundedList, BoundedMap, UniqueList};
use crate::merchant::PublishableKey;
use crate::money::{Country, Currency, MAX_AMOUNT, MinorUnits};
use crate::page::Cursor;
use crate::patch::Patch;
use crate::payment::{
    AmountBounds, CardCvc, ExpiryMonth, ExpiryYear, LinkAmount, LinkKind, LinkState, PaymentLink, PaymentLinkStatus,
    Uses,
};
use crate::profile::{
    AllowedDomain, BackgroundSize, Colour, Domain, MerchantCategoryCode, NumericCountryCode, WebhookHeaders,
};
use crate::routing::{ConnectorChoice, RoutingKey, RoutingVersionId, Rule, Selection, Statement};
use crate::secret::{Disclosed, SecretObject, SecretText};
use crate::text::{Name, Object, Text};
use crate::time::Timestamp;
use crate::web_url::{MAX_URL, WebUrl};
use crate::webhook::{DeliverableStatus, StatusFilter};

/// The name of a type that is not derived, and its schema.
macro_rules! schemas {
    ($($name:ident: $schema:expr;)+) => { $(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let schema: fn(&mut SchemaGenerator) -> Schema = $schema;
                schema(generator)
            }
        }
    )+ };
}

/// A text of at most so many characters, of this form.
fn text(longest: usize, pattern: Option<&str>, description: &str) -> Schema {
    let mut schema = json_schema!({ "type": "string", "maxLength": longest, "description": description });
    if let Some(pattern) = pattern {
        schema.insert("pattern".to_owned(), pattern.into());
    } else {
        schema.insert("minLength".to_owned(), 1.into());
    }
    schema
}

/// An id with one of these prefixes.
pub(crate) fn id(prefixes: &[&str], what: &str) -> Schema {
    let pattern = format!("^({})[A-Za-z0-9_-]+$", prefixes.join("|"));
    text(64, Some(&pattern), &format!("The id of {what}."))
}

/// The texts that credentials of this kind have.
fn members(kind: AuthType) -> &'static [&'static str] {
    match kind {
        AuthType::HeaderKey => &["api_key"],
        AuthType::BodyKey => &["api_key", "key1"],
        AuthType::SignatureKey => &["api_key", "key1", "api_secret"],
        AuthType::MultiAuthKey => &["api_key", "key1", "api_secret", "key2"],
        AuthType::CertificateAuth => &["certificate", "private_key"],
        AuthType::CurrencyAuthKey | AuthType::NoKey | AuthType::TemporaryAuth => &[],
    }
}

schemas! {
    Cursor: |_| text(512, None, "Where a page begins.");
    Object: |_| json_schema!({
        "type": "object",
        "description": "Kept and not read: at most 16 KiB as text, and 64 objects and lists within each other.",
    });
    SecretObject: |_| json_schema!({ "type": "object", "description": "Kept sealed.", "writeOnly": true });
    SecretText: |_| json_schema!({ "type": "string", "minLength": 1, "maxLength": 255, "writeOnly": true });
    Disclosed: |_| json_schema!({ "type": "string", "description": "A secret, shown here." });
    WebUrl: |_| json_schema!({
        "type": "string", "format": "uri", "maxLength": MAX_URL, "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://",
        "description": "An absolute http or https URL without user name and password.",
    });
    Timestamp: |_| json_schema!({
        "type": "string", "format": "date-time",
        "description": "A moment: ISO 8601 with a zone; written in UTC with exactly three digits of a second.",
    });
    MinorUnits: |_| json_schema!({
        "type": "integer", "minimum": 0, "maximum": MAX_AMOUNT, "description": "An amount in minor units.",
    });
    Currency: |_| json_schema!({
        "type": "string", "pattern": "^[A-Z]{3}$", "description": "A currency: its ISO 4217 code in upper case.",
    });
    Country: |_| json_schema!({
        "type": "string", "pattern": "^[A-Z]{2}$", "description": "A country: its ISO 3166-1 alpha-2 code in upper case.",
    });
    NumericCountryCode: |_| text(3, Some("^[0-9]{3}$"), "A country: its ISO 3166-1 numeric code.");
    MerchantCategoryCode: |_| text(4, Some("^[0-9]{4}$"), "What a merchant sells: an ISO 18245 category.");
    PublishableKey: |_| text(128, Some("^pk_(dev|integ|snd|prd)_[A-Za-z0-9_]+$"), "A publishable key.");
    Expiration: |_| json_schema!({
        "description": "When a key ends: `never`, or a moment with a zone.",
        "anyOf": [{ "type": "string", "const": "never" }, { "type": "string", "format": "date-time" }],
    });
    Scopes: |_| {
        let rights = Resource::VARIANTS.iter().flat_map(|resource| {
            Touch::VARIANTS.iter().map(move |touch| Value::from(format!("{resource}:{touch}")))
        });
        let words: Vec<Value> = std::iter::once("*".into()).chain(rights).collect();
        json_schema!({ "type": "array", "maxItems": 64, "items": { "type": "string", "enum": words } })
    };
    Network: |_| json_schema!({
        "type": "string", "minLength": 2, "maxLength": 64, "pattern": "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
        "description": "An IP address, or a network as in `203.0.113.0/24`.",
    });
    Colour: |_| text(64, None, "A CSS colour: `#rrggbb`, `rgb()`, `hsl()`, or a name.");
    Domain: |_| text(253, Some("^[A-Za-z0-9.-]+$"), "A domain by itself.");
    AllowedDomain: |_| text(261, Some("^(\\*\\.)?[A-Za-z0-9.-]+(:[0-9]{1,5})?$"), "A domain, perhaps with a port or a `*`.");
    BackgroundSize: |_| text(12, Some("^(cover|contain|[0-9]+(%|px))$"), "How large a background image is.");
    ConnectorName: |_| text(MAX_CONNECTOR_NAME, Some("^[a-z0-9_]+$"), "A connector, of those in the catalogue.");
    WebhookHeaders: |_| json_schema!({
        "type": "object", "maxProperties": 32, "writeOnly": true,
        "propertyNames": { "maxLength": 128, "pattern": "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" },
        "additionalProperties": { "type": "string", "minLength": 1, "maxLength": 4096, "pattern": "^[ -~]+$" },
    });
    WalletDetails: |_| {
        let wallets: serde_json::Map<String, Value> =
            WALLETS.iter().map(|wallet| ((*wallet).to_owned(), json!({ "type": ["object", "null"] }))).collect();
        json_schema!({ "type": "object", "properties": wallets, "additionalProperties": false, "writeOnly": true })
    };
    CardNumber: |_| json_schema!({
        "type": "string", "maxLength": 40, "pattern": "^[ -]*([0-9][ -]*){12,19}$", "writeOnly": true,
        "description": "A card number: 12 to 19 digits that satisfy the Luhn check, spaces and dashes between them.",
    });
    CardCvc: |_| json_schema!({ "type": "string", "pattern": "^[0-9]{3,4}$", "writeOnly": true });
    ExpiryMonth: |_| json_schema!({ "type": "string", "pattern": "^(0?[1-9]|1[0-2])$", "writeOnly": true });
    ExpiryYear: |_| json_schema!({ "type": "string", "pattern": "^([0-9]{2}|[0-9]{4})$", "writeOnly": true });
    RoutingVersionId: |_| text(70, Some("^routing_[A-Za-z0-9_-]+\\.[0-9]{5}$"), "A version of a routing program.");
    RoutingKey: |generator| {
        let mut words: Vec<Value> = RoutingKey::VARIANTS.iter().map(|key| key.as_str().into()).collect();
        if generator.contract().is_deserialize() {
            words.extend(["country".into(), "bin_country".into()]);
        }
        json_schema!({ "type": "string", "enum": words, "description": "What a rule looks at." })
    };
    Rule: |generator| {
        let selection = generator.subschema_for::<Selection>();
        let properties = json!({
            "name": generator.subschema_for::<Name>(),
            "statements": { "type": "array", "items": generator.subschema_for::<Statement>() },
            "connectorSelection": selection,
        });
        let description = "What is selected where any of its statements holds.";
        if generator.contract().is_serialize() {
            return json_schema!({
                "type": "object", "description": description, "properties": properties,
                "required": ["name", "statements", "connectorSelection"], "additionalProperties": false,
            });
        }
        // It is read by either name of the selection, one at a time.
        let named = |name: &str| {
            let mut properties = properties.clone();
            if let Some(members) = properties.as_object_mut() {
                members.remove("connectorSelection");
                members.insert(name.to_owned(), selection.clone().to_value());
            }
            json!({
                "type": "object", "properties": properties,
                "required": ["name", "statements", name], "additionalProperties": false,
            })
        };
        json_schema!({ "description": description, "oneOf": [named("connectorSelection"), named("routingOutput")] })
    };
    ConnectorChoice: |generator| {
        let object = json!({
            "type": "object",
            "properties": {
                "connector": generator.subschema_for::<ConnectorName>(),
                "merchant_connector_id": generator.subschema_for::<Option<crate::id::ConnectorId>>(),
            },
            "required": required(generator, &["connector"], &["merchant_connector_id"]),
            "additionalProperties": false,
        });
        or_text::<ConnectorName>(generator, object, "A connector account: an object, or the connector's name alone.")
    };
    MethodTypeEnabled: |generator| {
        let optional = [
            "payment_experience", "card_networks", "accepted_currencies", "accepted_countries", "minimum_amount",
            "maximum_amount", "recurring_enabled", "installment_payment_enabled",
        ];
        let amount = generator.subschema_for::<Option<MinorUnits>>();
        let flag = generator.subschema_for::<Option<bool>>();
        let network = generator.subschema_for::<CardNetwork>();
        let object = json!({
            "type": "object",
            "properties": {
                "payment_method_type": generator.subschema_for::<PaymentMethodType>(),
                "payment_experience": generator.subschema_for::<Option<PaymentExperience>>(),
                "card_networks": { "type": ["array", "null"], "uniqueItems": true, "items": network },
                "accepted_currencies": generator.subschema_for::<Option<Accepted<Currency>>>(),
                "accepted_countries": generator.subschema_for::<Option<Accepted<Country>>>(),
                "minimum_amount": amount,
                "maximum_amount": amount,
                "recurring_enabled": flag,
                "installment_payment_enabled": flag,
            },
            "required": required(generator, &["payment_method_type"], &optional),
            "additionalProperties": false,
        });
        let description = "A type of payment method: an object, or its name alone.";
        or_text::<PaymentMethodType>(generator, object, description)
    };
    PaymentMethodsEnabled: |generator| {
        let types = generator.subschema_for::<MethodTypeEnabled>();
        let kind = if generator.contract().is_deserialize() { json!(["array", "null"]) } else { json!("array") };
        json_schema!({
            "type": "object",
            "description": "One payment method, and the types of it that an account is used for.",
            "properties": {
                "payment_method": generator.subschema_for::<PaymentMethod>(),
                "payment_method_types": { "type": kind, "maxItems": MAX_METHOD_TYPES, "items": types },
            },
            "required": required(generator, &["payment_method"], &["payment_method_types"]),
            "additionalProperties": false,
        })
    };
    EnabledMethods: |generator| json_schema!({
        "type": "array", "maxItems": MAX_METHODS, "items": generator.subschema_for::<PaymentMethodsEnabled>(),
    });
    ConnectorAuth: |generator| {
        let currencies = generator.subschema_for::<Currency>();
        let shape = |kind: AuthType, members: &[&str]| {
            let secret = |name: &&str| ((*name).to_owned(), json!({ "type": "string", "minLength": 1, "maxLength": 16_384 }));
            let mut properties: serde_json::Map<String, Value> = members.iter().map(secret).collect();
            if kind == AuthType::CurrencyAuthKey {
                let map = json!({
                    "type": "object", "minProperties": 1, "propertyNames": currencies,
                    "additionalProperties": { "type": "object" },
                });
                properties.insert("auth_key_map".to_owned(), map);
            }
            let required: Vec<String> =
                std::iter::once("auth_type".to_owned()).chain(properties.keys().cloned()).collect();
            properties.insert("auth_type".to_owned(), json!({ "type": "string", "const": kind.to_string() }));
            json!({
                "type": "object", "properties": properties, "required": required, "additionalProperties": false,
                "writeOnly": true,
            })
        };
        let shapes: Vec<Value> = AuthType::VARIANTS.iter().map(|kind| shape(*kind, members(*kind))).collect();
        json_schema!({ "description": "A connector account's credentials.", "oneOf": shapes })
    };
    MaskedAuth: |generator| json_schema!({
        "type": "object",
        "description": "A connector account's credentials, masked.",
        "properties": { "auth_type": generator.subschema_for::<AuthType>() },
        "required": ["auth_type"],
    });
    LinkAmount: |generator| json_schema!({
        "description": "An amount in minor units, or bounds between which who pays chooses.",
        "anyOf": [generator.subschema_for::<MinorUnits>(), generator.subschema_for::<AmountBounds>()],
    });
    AmountBounds: |generator| {
        let bound = if generator.contract().is_deserialize() {
            generator.subschema_for::<Option<MinorUnits>>()
        } else {
            generator.subschema_for::<MinorUnits>()
        };
        json_schema!({
            "type": "object",
            "description": "Between which amounts who pays may choose, both included.",
            "properties": { "minimum": bound, "maximum": bound },
            "required": required(generator, &[], &["minimum", "maximum"]),
            "additionalProperties": false,
        })
    };
    PaymentLink: |generator| json_schema!({
        "type": "object",
        "description": "A payment link. One of its own, and not of a payment, has `state`, `kind`, `opens_at` and `uses`, too.",
        "properties": {
            "payment_link_id": generator.subschema_for::<crate::id::PaymentLinkId>(),
            "merchant_id": generator.subschema_for::<crate::id::MerchantId>(),
            "link_to_pay": { "type": "string", "description": "Where the page is." },
            "secure_link": { "type": ["string", "null"], "description": "Where it is to be shown in a frame." },
            "amount": generator.subschema_for::<LinkAmount>(),
            "currency": generator.subschema_for::<Currency>(),
            "created_at": generator.subschema_for::<Timestamp>(),
            "expiry": generator.subschema_for::<Timestamp>(),
            "description": generator.subschema_for::<Option<Text<255>>>(),
            "status": generator.subschema_for::<PaymentLinkStatus>(),
            "state": generator.subschema_for::<LinkState>(),
            "kind": generator.subschema_for::<LinkKind>(),
            "opens_at": generator.subschema_for::<Option<Timestamp>>(),
            "uses": generator.subschema_for::<Uses>(),
        },
        "required": [
            "payment_link_id", "merchant_id", "link_to_pay", "secure_link", "amount", "currency", "created_at", "expiry",
            "description", "status",
        ],
        "dependentRequired": { "state": ["kind", "opens_at", "uses"] },
        "additionalProperties": false,
    });
    Envelope: |generator| {
        let kinds = json!({ "type": "string", "enum": ["invalid_request", "api", "blocked"] });
        json_schema!({
            "type": "object",
            "description": "An error.",
            "properties": { "error": {
                "type": "object",
                "properties": {
                    "type": kinds,
                    "error_type": kinds,
                    "message": { "type": "string", "description": "A sentence for people." },
                    "code": generator.subschema_for::<ErrorCode>(),
                    "reason": { "type": "string", "description": "Only where a payment was screened out." },
                    "data": {
                        "type": "object",
                        "properties": {
                            "code": { "type": "string", "description": "The library's own, finer code." },
                            "path": { "type": "string", "description": "Where in the body." },
                        },
                        "required": ["code"],
                        "additionalProperties": false,
                    },
                },
                "required": ["type", "message", "code"],
                "additionalProperties": false,
            } },
            "required": ["error"],
            "additionalProperties": false,
        })
    };
}

/// Which members must be there: what is read may leave out the optional ones, what is written never does.
fn required(generator: &SchemaGenerator, always: &[&str], written: &[&str]) -> Value {
    let written: &[&str] = if generator.contract().is_deserialize() { &[] } else { written };
    always.iter().chain(written).copied().collect()
}

/// What is read as an object or as a text, and written as an object.
fn or_text<T: JsonSchema>(generator: &mut SchemaGenerator, object: Value, description: &str) -> Schema {
    if generator.contract().is_deserialize() {
        return json_schema!({ "description": description, "anyOf": [generator.subschema_for::<T>(), object] });
    }
    let mut schema = Schema::try_from(object).unwrap_or_default();
    schema.insert("description".to_owned(), description.into());
    schema
}

impl<const MAX: usize> JsonSchema for Text<MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Text{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": MAX })
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for BoundedList<T, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{MAX}{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "maxItems": MAX, "items": generator.subschema_for::<T>() })
    }
}

/// One given twice counts once, so that the length of what is read is not bounded.
impl<T: JsonSchema, const MAX: usize> JsonSchema for UniqueList<T, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("SetOf{MAX}{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "array", "items": generator.subschema_for::<T>() })
    }
}

impl<K: JsonSchema, V: JsonSchema, const MAX: usize> JsonSchema for BoundedMap<K, V, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{MAX}{}By{}", V::schema_name(), K::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object", "maxProperties": MAX, "propertyNames": generator.subschema_for::<K>(),
            "additionalProperties": generator.subschema_for::<V>(),
        })
    }
}

/// Null clears.
impl<T: JsonSchema> JsonSchema for Patch<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("PatchOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Option::<T>::json_schema(generator)
    }
}

impl<S: JsonSchema + DeliverableStatus + strum::VariantArray + serde::Serialize> JsonSchema for StatusFilter<S> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("FilterOf{}", S::schema_name()).into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = S::VARIANTS.iter().filter(|status| status.is_deliverable());
        let words: Vec<Value> = words.filter_map(|status| serde_json::to_value(status).ok()).collect();
        json_schema!({ "type": "array", "items": { "type": "string", "enum": words } })
    }
}

impl<T: JsonSchema> JsonSchema for Accepted<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("Accepted{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = json!({ "type": "array", "uniqueItems": true, "items": generator.subschema_for::<T>() });
        json_schema!({
            "description": "Which values of a kind are accepted.",
            "oneOf": [
                {
                    "type": "object",
                    "properties": { "type": { "enum": ["enable_only", "disable_only"] }, "list": list },
                    "required": ["type", "list"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": { "type": { "const": "all_accepted" } },
                    "required": ["type"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
