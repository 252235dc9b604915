//! What goes back: a value as JSON, or an error in the published envelope.

use std::error::Error as StdError;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use perfectpay::{Envelope, Error, ErrorCode, ErrorKind, Fault, Payment};
use serde::Serialize;

/// The answer of a handler.
pub(crate) type Answer<T> = Result<Json<T>, Refused>;

/// A value as JSON. axum's own writes it piece by piece into a shared buffer; into bytes of its own takes half the time.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(4_096);
        match serde_json::to_writer(&mut body, &self.0) {
            Ok(()) => ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response(),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// An error, as it is answered.
#[derive(Debug)]
pub(crate) struct Refused(Envelope);

impl Refused {
    /// No handler is at this path.
    pub(crate) fn no_route() -> Self {
        Self(Envelope::new(404, ErrorCode::Ir02, "there is nothing at this path"))
    }

    /// The path has other methods.
    pub(crate) fn no_method() -> Self {
        Self(Envelope::new(405, ErrorCode::Ir03, "this path has no such method"))
    }

    /// The credential is missing, or has no business at this path.
    pub(crate) fn unauthorized() -> Self {
        Self(Envelope::new(401, ErrorCode::Ir01, "the credential was not accepted"))
    }

    /// A page that is shown in a frame only, asked for in another way.
    pub(crate) fn not_framed() -> Self {
        Self(Envelope::new(403, ErrorCode::Ir22, "this page opens in a frame only"))
    }

    /// A publishable key does nothing without a payment's client secret.
    pub(crate) fn no_client_secret() -> Self {
        Self(Envelope::new(400, ErrorCode::Ir04, "`client_secret` is required with a publishable key"))
    }

    /// A secret key needs none, and whoever sends both mixes them up.
    pub(crate) fn needless_client_secret() -> Self {
        Self(Envelope::new(422, ErrorCode::Ir06, "`client_secret` goes with a publishable key only"))
    }

    /// The payment that the client secret opens is over.
    pub(crate) fn expired_client_secret() -> Self {
        Self(Envelope::new(400, ErrorCode::Ir08, "the client secret has expired"))
    }

    /// What is asked for is not what the client secret opens.
    pub(crate) fn other_client_secret() -> Self {
        Self(Envelope::new(400, ErrorCode::Ir09, "the client secret is another payment's"))
    }

    /// The payment was screened out.
    pub(crate) fn blocked(payment: &Payment) -> Self {
        Self(Envelope::blocked(payment.error_message.as_deref().unwrap_or("this payment is not accepted")))
    }

    /// The query cannot be read.
    pub(crate) fn bad_query(message: String) -> Self {
        Self(Envelope::new(400, ErrorCode::Ir06, message))
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match (&error, error.kind()) {
            // Why is for the log alone.
            (Error::Unauthorized(refusal), _) => tracing::debug!(%refusal, "a credential was refused"),
            (_, ErrorKind::Unavailable | ErrorKind::UnknownOutcome | ErrorKind::Corrupt) => {
                tracing::error!(error = %chain(&error), code = error.code(), "an operation failed");
            }
            _ => {}
        }
        Self(error.envelope())
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Error::from(fault).into()
    }
}

/// The error with what caused it.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(self.0)).into_response()
    }
}
