//! Organizations, merchant accounts and API keys.

use perfectpay::{ApiKey, Error, NewApiKey, NewMerchant, NewOrganization, Page, PageRequest, PerfectPay};
use serde_json::json;

use crate::args;
use crate::failure::{Exit, Failure};
use crate::show::{Show, Table};

/// All of a list. It is put together in memory, since a table is as wide as its widest row.
pub(crate) async fn all<T, F>(next: impl Fn(PageRequest) -> F) -> Result<Vec<T>, Error>
where
    F: Future<Output = Result<Page<T>, Error>>,
{
    let (mut items, mut cursor) = (Vec::new(), None);
    loop {
        let page = next(PageRequest::of(100)?.after(cursor)).await?;
        items.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(items);
        }
    }
}

pub(crate) async fn organization(pay: &PerfectPay, command: args::Organization, show: &Show) -> Result<(), Failure> {
    let found = match command {
        args::Organization::Create { name } => vec![pay.create_organization(NewOrganization::named(name)).await?],
        args::Organization::List => all(|page| pay.organizations(page)).await?,
    };
    show.answer(&found, |found| {
        let rows = found.iter().map(|found| {
            [found.organization_id.to_string(), found.created_at.to_string(), found.organization_name.to_string()]
        });
        Table::new(["ORGANIZATION", "CREATED", "NAME"], rows)
    })
}

pub(crate) async fn merchant(pay: &PerfectPay, command: args::Merchant, show: &Show) -> Result<(), Failure> {
    let found = match command {
        args::Merchant::Create { id, organization, name } => {
            let new = NewMerchant { organization_id: organization, merchant_name: name, ..NewMerchant::with_id(id) };
            vec![pay.create_merchant(new).await?]
        }
        args::Merchant::List { organization } => {
            let organization = pay.organization(&organization);
            all(|page| organization.merchants(page)).await?
        }
    };
    show.answer(&found, |found| {
        let rows = found.iter().map(|found| {
            let profile = found.default_profile.as_ref().map(ToString::to_string).unwrap_or_default();
            let name = found.merchant_name.as_deref().unwrap_or_default().to_owned();
            [found.merchant_id.to_string(), found.organization_id.to_string(), profile, name]
        });
        Table::new(["MERCHANT", "ORGANIZATION", "DEFAULT PROFILE", "NAME"], rows)
    })
}

pub(crate) async fn key(pay: &PerfectPay, command: args::Key, show: &Show) -> Result<(), Failure> {
    match command {
        args::Key::Create { merchant, name, expires } => {
            let issued = pay.merchant(&merchant).create_api_key(NewApiKey::new(name, expires)).await?;
            let token = issued.api_key.as_ref().map(|token| token.expose().to_owned());
            let token = token.ok_or_else(|| Failure::new(Exit::Damaged, "no_token", "a new key shows its token"))?;
            show.answer(&issued, |issued| {
                Table::pairs([
                    ("key", issued.key_id.to_string()),
                    ("account", issued.merchant_id.to_string()),
                    ("token", token),
                    ("", "The token is shown this once: keep it now.".to_owned()),
                ])
            })
        }
        args::Key::List { merchant } => {
            let account = pay.merchant(&merchant);
            let keys = all(|page| account.api_keys(page)).await?;
            show.answer(&keys, |keys| {
                let rows = keys.iter().map(|key| {
                    [
                        key.key_id.to_string(),
                        key.prefix.clone(),
                        state(key),
                        key.created.to_string(),
                        key.name.to_string(),
                    ]
                });
                Table::new(["KEY", "PREFIX", "STATE", "CREATED", "NAME"], rows)
            })
        }
        args::Key::Revoke { merchant, key } => {
            let revoked = pay.merchant(&merchant).api_key(&key).revoke().await?;
            show.answer(
                &json!({ "key_id": revoked.key_id, "merchant_id": revoked.merchant_id, "revoked": true }),
                |_| Table::pairs([("revoked", key.to_string())]),
            )
        }
    }
}

fn state(key: &ApiKey) -> String {
    match (&key.revoked, &key.expiration) {
        (Some(at), _) => format!("revoked {at}"),
        (None, perfectpay::Expiration::Never) => "lives".to_owned(),
        (None, perfectpay::Expiration::At(end)) => format!("ends {end}"),
    }
}
