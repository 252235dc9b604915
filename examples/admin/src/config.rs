//! What holds in a profile, and which level each value comes from.

use perfectpay::{Branding, MerchantId, NewProfile, PerfectPay, ProfileId};
use serde::Serialize;
use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::show::{Show, Table};

#[derive(Debug, Serialize)]
struct Effective {
    field: String,
    value: Value,
    level: Value,
}

pub(crate) async fn show(
    pay: &PerfectPay,
    merchant: &MerchantId,
    profile: Option<&ProfileId>,
    show: &Show,
) -> Result<(), Failure> {
    let account = pay.merchant(merchant).retrieve().await?;
    let absent = || Failure::new(Exit::Absent, "no_default", format!("`{merchant}` has no default profile: name one"));
    let id = profile.or(account.default_profile.as_ref()).ok_or_else(absent)?;
    let own = pay.merchant(merchant).profile(id).retrieve().await?;
    let branding =
        Branding::resolve(None, own.settings.payment_link_config.as_ref(), None, account.merchant_name.as_deref());

    // What a profile would have that says nothing itself: made in a batch that is dropped, and so never made.
    let batch = pay.batch();
    let blank = NewProfile::named(format!("blank beside {id}").parse()?);
    let blank = serde_json::to_value(batch.pay().merchant(merchant).create_profile(blank).await?)?;
    let account = serde_json::to_value(&account)?;

    let mut rows = Vec::new();
    for (field, value) in members(serde_json::to_value(&own)?) {
        // Who it is; the account makes every profile a key of its own, and branding follows field by field.
        if ["merchant_id", "profile_id", "profile_name", "payment_link_config"].contains(&field.as_str()) {
            continue;
        }
        let level = if blank.get(&field) != Some(&value) {
            "profile"
        } else if account.get(&field).is_some_and(|given| !given.is_null() && *given == value) {
            "account"
        } else {
            "built_in"
        };
        rows.push(Effective { field, value, level: level.into() });
    }
    for (field, resolved) in members(serde_json::to_value(&branding)?) {
        let [value, level] = ["value", "level"].map(|part| resolved.get(part).cloned().unwrap_or_default());
        rows.push(Effective { field: format!("payment_link_config.{field}"), value, level });
    }
    show.answer(&rows, |rows| {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let rows = rows.iter().map(|row| [row.field.clone(), text(&row.level), text(&row.value)]);
        Table::new(["FIELD", "LEVEL", "VALUE"], rows)
    })
}

fn members(value: Value) -> impl Iterator<Item = (String, Value)> {
    match value {
        Value::Object(members) => members.into_iter(),
        _ => serde_json::Map::new().into_iter(),
    }
}
