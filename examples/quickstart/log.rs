//! The log: who did what, when. One entry a commit, none for what was refused, and never a secret.

use perfectpay::scope::{MerchantScope, OrganizationScope};
use perfectpay::{Entity, EntityKind, LogPosition, PerfectPay};

use crate::tell::{Failure, entry, holds, line, section};

pub(crate) async fn play(pay: &PerfectPay, group: &OrganizationScope, shop: &MerchantScope) -> Result<(), Failure> {
    section("The log");
    line("as a feed, a few entries at a time, from where the reader left off:");
    let mut position = LogPosition::START;
    loop {
        let entries = pay.log(position, 16).await?;
        let Some(last) = entries.last() else { break };
        position = last.position;
        entries.iter().for_each(entry);
    }
    holds(pay.log_head().await?.position == position, "a reader that follows the log ends at its head")?;

    let (of_group, of_shop) = (group.log(LogPosition::START, 1_000).await?, shop.log(LogPosition::START, 1_000).await?);
    line(format_args!("{} entries are the organization's, {} the merchant account's", of_group.len(), of_shop.len()));
    let default = shop.retrieve().await?.default_profile.ok_or("the account has a default profile")?;
    line(format_args!("the history of {default} alone:"));
    let history = shop.log_of(Entity::new(EntityKind::Profile, default), LogPosition::START, 1_000).await?;
    history.iter().for_each(entry);
    Ok(())
}
