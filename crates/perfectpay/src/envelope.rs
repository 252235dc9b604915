//! Errors as the published API answers them: a status of HTTP and one JSON object, as values. No transport is in here.
//!
//! ```json
//! {"error": {"type": "invalid_request", "message": "there is no business profile `pro_x`", "code": "HE_02",
//!            "data": {"code": "not_found"}}}
//! ```
//!
//! `type` is `invalid_request` where the caller is to change something, and `api` where it is not its fault. `code` is one
//! of the published [`ErrorCode`]s, which are coarse; `data` says more for machines, the error's own stable code and, for a
//! wrong input, the path of what is wrong with it. A body that is no JSON of its type has `error_type` beside `type`, since
//! both names are published.
//!
//! | error | status | code |
//! |---|---|---|
//! | [`Unauthorized`](Error::Unauthorized) | 401 | `IR_01` |
//! | [`Forbidden`](Error::Forbidden) | 403 | `IR_22` |
//! | [`NotFound`](Error::NotFound): an organization or an entry of a blocklist | 404 | `IR_37` |
//! | of anything else, and an API key that is revoked | 404 | `HE_02` |
//! | [`Invalid`](Error::Invalid): no JSON of its type | 400 | `IR_06` |
//! | an amount or a currency that is missing, a profile that cannot be derived | 400 | `IR_04` |
//! | a blocklist's BIN, a blank credential | 422 | `IR_05` |
//! | an amount that is too large, an object of another profile, an unknown business or parent | 400 | `IR_16` |
//! | a value whose own form is wrong (ids, URLs, times, codes of countries and currencies) | 400 | `IR_06` |
//! | any other value | 422 | `IR_06` |
//! | [`AlreadyExists`](Error::AlreadyExists), [`Duplicate`](Error::Duplicate): an organization or a profile | 400 | `IR_38` |
//! | an entry of a blocklist | 400 | `IR_16` |
//! | anything else | 400 | `HE_01` |
//! | [`Refused`](Error::Refused): the state of a payment | 400 | `IR_14` |
//! | [`Refused`](Error::Refused) otherwise, [`Stale`](Error::Stale), [`HasChildren`](Error::HasChildren), [`IdempotencyMismatch`](Error::IdempotencyMismatch), [`LogPruned`](Error::LogPruned) | 400 | `IR_16` |
//! | [`Unavailable`](Error::Unavailable), [`Moved`](Error::Moved) | 503 | `HE_00` |
//! | [`OutcomeUnknown`](Error::OutcomeUnknown), [`Corrupt`](Error::Corrupt) | 500 | `HE_00` |
//!
//! What the store said of itself is not in the message of the last two lines: it is the host's to log.

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::error::{EntityKind, Error, Fault};
use crate::words::words;

words! { "snake_case"
    /// The published error codes that the library has a reason for.
    ErrorCode {
        /// Who calls is not known, or has no business at this path.
        Ir01 = "IR_01",
        /// The path leads nowhere. For the host's router.
        Ir02 = "IR_02",
        /// The path has no such method. For the host's router.
        Ir03 = "IR_03",
        /// Something required is missing.
        Ir04 = "IR_04",
        /// A value has a wrong format.
        Ir05 = "IR_05",
        /// A value is not acceptable, or the body is no JSON of its type.
        Ir06 = "IR_06",
        /// The client secret has expired. For the host, where it lets customers in.
        Ir08 = "IR_08",
        /// The client secret is another payment's. Likewise.
        Ir09 = "IR_09",
        /// The payment is in a state that does not allow it.
        Ir14 = "IR_14",
        /// What is stored stands against it.
        Ir16 = "IR_16",
        /// Not for this caller.
        Ir22 = "IR_22",
        /// There is no such organization or entry.
        Ir37 = "IR_37",
        /// There is one already: of an organization or a profile.
        Ir38 = "IR_38",
        /// Not the caller's fault.
        He00 = "HE_00",
        /// There is one already.
        He01 = "HE_01",
        /// There is none.
        He02 = "HE_02",
        /// A payment was screened out. For the host, which answers it so: see [`Envelope::blocked`].
        He03 = "HE_03",
    }
}

/// An error as the published API answers it. See the [module](self).
///
/// ```
/// use perfectpay::{EntityKind, Error};
///
/// let envelope = Error::not_found(EntityKind::Profile, "pro_x").envelope();
/// assert_eq!(envelope.status(), 404);
/// assert_eq!(
///     serde_json::to_value(&envelope)?,
///     serde_json::json!({"error": {
///         "type": "invalid_request",
///         "message": "there is no business profile `pro_x`",
///         "code": "HE_02",
///         "data": { "code": "not_found" },
///     }}),
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    status: u16,
    code: ErrorCode,
    message: String,
    /// The error's own code, and the path of a fault.
    detail: Option<(String, Option<String>)>,
    bad_json: bool,
}

impl Envelope {
    /// An answer of the host's own, for what no operation was asked about: a path that leads nowhere, a method that is not
    /// there.
    pub fn new(status: u16, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), detail: None, bad_json: false }
    }

    /// What is answered, with status 200, where a payment was screened out: the message is for the shopper, and says no
    /// more than the payment's own.
    pub fn blocked(message: impl Into<String>) -> Self {
        Self::new(200, ErrorCode::He03, message)
    }

    /// The status of HTTP.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The published code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// The sentence for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    fn kind(&self) -> &'static str {
        match self.status {
            ..400 => "blocked",
            400..500 => "invalid_request",
            _ => "api",
        }
    }
}

/// What `error` holds.
struct Inner<'a>(&'a Envelope);

#[derive(Serialize)]
struct Detail<'a> {
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

impl Serialize for Inner<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let envelope = self.0;
        let members = 3
            + usize::from(envelope.bad_json)
            + usize::from(envelope.status < 400)
            + usize::from(envelope.detail.is_some());
        let mut object = serializer.serialize_struct("Error", members)?;
        object.serialize_field("type", envelope.kind())?;
        if envelope.bad_json {
            object.serialize_field("error_type", envelope.kind())?;
        }
        object.serialize_field("message", &envelope.message)?;
        object.serialize_field("code", &envelope.code)?;
        if envelope.status < 400 {
            object.serialize_field("reason", "Blocked")?;
        }
        if let Some((code, path)) = &envelope.detail {
            object.serialize_field("data", &Detail { code, path: path.as_deref() })?;
        }
        object.end()
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Envelope", 1)?;
        object.serialize_field("error", &Inner(self))?;
        object.end()
    }
}

impl Error {
    /// The error as the published API answers it.
    pub fn envelope(&self) -> Envelope {
        let (status, code) = self.published();
        let message = if status == 500 {
            "something went wrong".to_owned()
        } else if status == 503 {
            "cannot be answered now; nothing was written".to_owned()
        } else {
            self.to_string()
        };
        let path = match self {
            Self::Invalid(fault) if !fault.path().is_empty() => Some(fault.path().to_owned()),
            _ => None,
        };
        let bad_json = matches!(self, Self::Invalid(fault) if fault.code().starts_with("json."));
        Envelope { status, code, message, detail: Some((self.code().to_owned(), path)), bad_json }
    }

    /// The status and the published code.
    fn published(&self) -> (u16, ErrorCode) {
        use ErrorCode::{He00, He01, He02, Ir01, Ir14, Ir16, Ir22, Ir37, Ir38};
        match self {
            Self::Unauthorized(_) => (401, Ir01),
            Self::Forbidden => (403, Ir22),
            Self::NotFound(entity) => match entity.kind {
                EntityKind::Organization | EntityKind::BlockRule => (404, Ir37),
                _ => (404, He02),
            },
            Self::Invalid(fault) => of_fault(fault),
            Self::AlreadyExists(crate::error::Entity { kind, .. }) | Self::Duplicate { kind, .. } => match kind {
                EntityKind::Organization | EntityKind::Profile => (400, Ir38),
                EntityKind::BlockRule => (400, Ir16),
                _ => (400, He01),
            },
            // Where it is published, a key that was revoked is gone.
            Self::Refused { code: "api_key.revoked", .. } => (404, He02),
            Self::Refused { entity, .. } if entity.kind == EntityKind::Payment => (400, Ir14),
            Self::Refused { .. }
            | Self::Stale { .. }
            | Self::HasChildren { .. }
            | Self::IdempotencyMismatch
            | Self::LogPruned { .. } => (400, Ir16),
            Self::Unavailable { .. } | Self::Moved { .. } => (503, He00),
            Self::OutcomeUnknown { .. } | Self::Corrupt { .. } => (500, He00),
        }
    }
}

/// The status and the published code of a wrong input.
fn of_fault(fault: &Fault) -> (u16, ErrorCode) {
    use ErrorCode::{Ir04, Ir05, Ir06, Ir16};
    match (fault.code(), fault.path()) {
        ("json.missing_field", "amount" | "currency") | ("profile.no_default", _) => (400, Ir04),
        (
            "blocklist.bin" | "blocklist.prefix" | "blocklist.range" | "connector.blank_credential" | "secret.blank",
            _,
        ) => (422, Ir05),
        ("amount.out_of_range" | "profile.other" | "connector.unknown_business" | "merchant.no_parent", _) => {
            (400, Ir16)
        }
        (
            "connector.unknown_name"
            | "blocklist.unknown_kind"
            | "merchant_category_code.malformed"
            | "field.not_nullable"
            | "dispute_polling_interval.out_of_range"
            | "idempotency_key.malformed"
            | "page.limit"
            | "routing.empty_list",
            _,
        ) => (400, Ir06),
        (code, _) => match code.split_once('.').map_or(code, |(noun, _)| noun) {
            "json" | "id" | "url" | "timestamp" | "country" | "currency" | "expiration" | "cursor" | "scope"
            | "network" | "card_number" => (400, Ir06),
            _ => (422, Ir06),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::{ChildCount, Entity, Refusal, Unavailability};
    use crate::store::LogPosition;

    fn told(error: &Error) -> (u16, &'static str) {
        let envelope = error.envelope();
        (envelope.status(), envelope.code().into())
    }

    fn entity(kind: EntityKind) -> Entity {
        Entity::new(kind, "x")
    }

    #[test]
    fn every_error_has_its_published_status_and_code() {
        let refused = |kind, code| Error::Refused { entity: entity(kind), code, message: "is not so" };
        let table = [
            (Error::Unauthorized(Refusal::Expired), 401, "IR_01"),
            (Error::Forbidden, 403, "IR_22"),
            (Error::NotFound(entity(EntityKind::Organization)), 404, "IR_37"),
            (Error::NotFound(entity(EntityKind::BlockRule)), 404, "IR_37"),
            (Error::NotFound(entity(EntityKind::Merchant)), 404, "HE_02"),
            (Error::NotFound(entity(EntityKind::Profile)), 404, "HE_02"),
            (Error::NotFound(entity(EntityKind::Connector)), 404, "HE_02"),
            (Error::NotFound(entity(EntityKind::ApiKey)), 404, "HE_02"),
            (Error::NotFound(entity(EntityKind::Payment)), 404, "HE_02"),
            (Error::NotFound(entity(EntityKind::PaymentLink)), 404, "HE_02"),
            (Error::AlreadyExists(entity(EntityKind::Organization)), 400, "IR_38"),
            (Error::AlreadyExists(entity(EntityKind::Merchant)), 400, "HE_01"),
            (Error::AlreadyExists(entity(EntityKind::Payment)), 400, "HE_01"),
            (Error::AlreadyExists(entity(EntityKind::BlockRule)), 400, "IR_16"),
            (Error::Duplicate { kind: EntityKind::Profile, field: "profile_name" }, 400, "IR_38"),
            (Error::Duplicate { kind: EntityKind::Connector, field: "connector_label" }, 400, "HE_01"),
            (refused(EntityKind::ApiKey, "api_key.revoked"), 404, "HE_02"),
            (refused(EntityKind::ApiKey, "api_key.rotated"), 400, "IR_16"),
            (refused(EntityKind::Profile, "profile.is_default"), 400, "IR_16"),
            (refused(EntityKind::Payment, "payment.any"), 400, "IR_14"),
            (Error::Stale { entity: entity(EntityKind::Profile), expected: 1, found: 2 }, 400, "IR_16"),
            (
                Error::HasChildren {
                    entity: entity(EntityKind::Profile),
                    children: vec![ChildCount { kind: EntityKind::Payment, count: 1 }],
                },
                400,
                "IR_16",
            ),
            (Error::IdempotencyMismatch, 400, "IR_16"),
            (Error::LogPruned { through: LogPosition::START }, 400, "IR_16"),
            (Error::Moved { entity: entity(EntityKind::Merchant) }, 503, "HE_00"),
            (Error::unavailable(Unavailability::Busy, "locked"), 503, "HE_00"),
            (Error::OutcomeUnknown { source: "gone".into() }, 500, "HE_00"),
            (Error::corrupt("a row"), 500, "HE_00"),
        ];
        for (error, status, code) in table {
            assert_eq!(told(&error), (status, code), "{error}");
        }
    }

    #[test]
    fn every_wrong_input_has_its_published_status_and_code() {
        let table = [
            ("json.malformed", "", 400, "IR_06"),
            ("json.unknown_field", "a", 400, "IR_06"),
            ("json.missing_field", "merchant_id", 400, "IR_06"),
            ("json.missing_field", "amount", 400, "IR_04"),
            ("json.missing_field", "currency", 400, "IR_04"),
            ("profile.no_default", "profile_id", 400, "IR_04"),
            ("blocklist.bin", "data", 422, "IR_05"),
            ("connector.blank_credential", "connector_account_details.api_key", 422, "IR_05"),
            ("amount.out_of_range", "amount", 400, "IR_16"),
            ("profile.other", "profile_id", 400, "IR_16"),
            ("connector.unknown_business", "business_label", 400, "IR_16"),
            ("merchant.no_parent", "sub_merchants_enabled", 400, "IR_16"),
            ("id.bad_character", "merchant_id", 400, "IR_06"),
            ("url.not_absolute", "return_url", 400, "IR_06"),
            ("currency.unknown", "currency", 400, "IR_06"),
            ("connector.unknown_name", "connector_name", 400, "IR_06"),
            ("merchant_category_code.malformed", "merchant_category_code", 400, "IR_06"),
            ("dispute_polling_interval.out_of_range", "dispute_polling_interval", 400, "IR_06"),
            ("merchant_country_code.unknown", "merchant_country_code", 422, "IR_06"),
            ("session_expiry.out_of_range", "session_expiry", 422, "IR_06"),
            ("text.too_long", "profile_name", 422, "IR_06"),
            ("connector.wrong_auth", "connector_account_details.auth_type", 422, "IR_06"),
            ("connector.wrong_type", "connector_type", 422, "IR_06"),
            ("payment_link.no_return_url", "return_url", 422, "IR_06"),
            ("payment.confirm_link", "confirm", 422, "IR_06"),
        ];
        for (code, path, status, published) in table {
            let error = Error::from(Fault::new(code, "is wrong").at(path));
            assert_eq!(told(&error), (status, published), "{code} at {path}");
        }
    }

    #[test]
    fn a_wrong_input_says_where_it_is_wrong() {
        let error = Error::from(Fault::new("json.unknown_field", "is not a known field").at("a.b"));
        let expected = json!({"error": {
            "type": "invalid_request",
            "error_type": "invalid_request",
            "message": "`a.b`: is not a known field",
            "code": "IR_06",
            "data": { "code": "json.unknown_field", "path": "a.b" },
        }});
        assert_eq!(serde_json::to_value(error.envelope()).unwrap(), expected);
    }

    #[test]
    fn what_a_store_says_of_itself_is_not_answered() {
        let error = Error::unavailable(Unavailability::Inaccessible, "/var/lib/accounts.db is gone");
        let expected = json!({"error": {
            "type": "api",
            "message": "cannot be answered now; nothing was written",
            "code": "HE_00",
            "data": { "code": "unavailable" },
        }});
        assert_eq!(serde_json::to_value(error.envelope()).unwrap(), expected);
        let corrupt = serde_json::to_string(&Error::corrupt("profile row 7").envelope()).unwrap();
        assert!(!corrupt.contains("row 7"), "{corrupt}");
    }

    #[test]
    fn a_payment_that_was_screened_out_is_answered_as_blocked() {
        let envelope = Envelope::blocked("this card is not accepted");
        let expected = json!({"error": {
            "type": "blocked",
            "message": "this card is not accepted",
            "code": "HE_03",
            "reason": "Blocked",
        }});
        assert_eq!((envelope.status(), serde_json::to_value(envelope).unwrap()), (200, expected));
    }

    #[test]
    fn an_answer_of_the_hosts_own_has_no_more_than_it_says() {
        let envelope = Envelope::new(404, ErrorCode::Ir02, "there is nothing at this path");
        let expected = json!({"error": {
            "type": "invalid_request",
            "message": "there is nothing at this path",
            "code": "IR_02",
        }});
        assert_eq!(serde_json::to_value(envelope).unwrap(), expected);
    }
}
