//! Request bodies: the published ones from `published-requests.json`, as they are, and a few of the story's own.

use perfectpay::json;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::tell::Failure;

const REQUESTS: &str = include_str!("../published-requests.json");

/// The published body of an operation, read as a host reads the body of an HTTP request.
pub(crate) fn body<T: DeserializeOwned>(operation: &str) -> Result<T, Failure> {
    let requests: Value = serde_json::from_str(REQUESTS)?;
    let body = requests.pointer(&format!("/{operation}/body")).ok_or_else(|| format!("no body for `{operation}`"))?;
    Ok(json::from_slice(body.to_string().as_bytes())?)
}

/// A body that the story writes itself.
pub(crate) fn own<T: DeserializeOwned>(body: Value) -> Result<T, Failure> {
    Ok(json::from_value(body)?)
}
