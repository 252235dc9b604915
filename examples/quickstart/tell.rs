//! How the story is told: headings, lines, answers as JSON, refusals. Nothing else prints.

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use std::error::Error as StdError;
use std::fmt::Display;

use perfectpay::{Error, LogEntry};
use serde::Serialize;
use serde_json::Value;

/// Whatever ends the story early.
pub(crate) type Failure = Box<dyn StdError>;

pub(crate) fn section(title: &str) {
    println!("\n== {title}");
}

pub(crate) fn line(text: impl Display) {
    println!("   {text}");
}

/// An answer in the contract's JSON, its nulls left out. Answers hold credentials masked; one that holds a secret in
/// clear does not come here.
pub(crate) fn answer(value: &impl Serialize) -> Result<(), Failure> {
    let value = without_nulls(serde_json::to_value(value)?);
    for text in serde_json::to_string_pretty(&value)?.lines() {
        println!("   | {text}");
    }
    Ok(())
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        Value::Object(members) => {
            members.into_iter().filter(|(_, v)| !v.is_null()).map(|(name, v)| (name, without_nulls(v))).collect()
        }
        plain => plain,
    }
}

/// A call that must be refused with this code: says how, and fails the story if it was accepted or refused otherwise.
pub(crate) fn refused<T>(what: &str, outcome: Result<T, Error>, code: &str) -> Result<(), Failure> {
    match outcome {
        Ok(_) => Err(format!("{what}: was accepted, not refused with `{code}`").into()),
        Err(error) if error.code() != code => Err(format!("{what}: `{}`, not `{code}`", error.code()).into()),
        Err(error) => {
            println!("   refused: {what}");
            println!("            {error}  [{}, {code}]", error.kind());
            Ok(())
        }
    }
}

pub(crate) fn entry(entry: &LogEntry) {
    let changes: Vec<String> = entry.changes.iter().map(|c| format!("{} {} v{}", c.verb, c.kind, c.version)).collect();
    let place = entry.merchant_id.as_deref().or(entry.organization_id.as_deref()).unwrap_or("platform");
    println!(
        "   {:>4}  {}  {:<20.20}  {:<20.20}  {}",
        entry.position,
        entry.at,
        entry.actor.to_string(),
        place,
        changes.join(", ")
    );
}

/// The story's own claims, checked as it goes.
pub(crate) fn holds(claim: bool, what: &str) -> Result<(), Failure> {
    if claim { Ok(()) } else { Err(format!("it should be that {what}").into()) }
}
