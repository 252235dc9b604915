//! The blocklist of a merchant account.

use perfectpay::scope::{BlocklistScope, Caller};
use perfectpay::{BlockKind, CardNumber, GuardStatus, PageRequest};
use serde_json::json;

use crate::published::{body, own};
use crate::tell::{Failure, holds, line, section};

pub(crate) async fn play(caller: &Caller) -> Result<(), Failure> {
    section("The blocklist");
    let blocklist = caller.merchant().blocklist();
    let added = blocklist.add(body("add_to_blocklist")?).idempotency_key("block-1".parse()?).await?;
    line(format_args!("added {} {} from the published body", added.data_kind, added.fingerprint_id));
    screen(&blocklist, "4111 1111 1111 1111").await?;
    let guard = blocklist.toggle(None).await?;
    holds(guard.blocklist_guard_status == GuardStatus::Enabled, "a bare toggle turns the guard over")?;
    line("turned the guard over: it is on now");
    screen(&blocklist, "4111 1111 1111 1111").await?;

    let card: CardNumber = "5555 5555 5555 4444".parse()?;
    let fingerprint = blocklist.screen(&card).await?.fingerprint;
    blocklist.add(own(json!({"type": "fingerprint", "data": fingerprint}))?).await?;
    blocklist.add(own(json!({"type": "extended_card_bin", "data": "42424242"}))?).await?;
    line("added an extended BIN, and one single card by its fingerprint");
    screen(&blocklist, "5555 5555 5555 4444").await?;
    screen(&blocklist, "4242 4242 4242 4242").await?;

    let removed = blocklist.remove(own(json!({"type": "extended_card_bin", "data": "42424242"}))?).await?;
    line(format_args!("removed {} {}", removed.data_kind, removed.fingerprint_id));
    screen(&blocklist, "4242 4242 4242 4242").await?;
    let all = blocklist.entries(None, PageRequest::default()).await?;
    let bins = blocklist.entries(Some(BlockKind::CardBin), PageRequest::default()).await?;
    line(format_args!("{} entries are left, {} of them a BIN", all.total_count, bins.total_count));
    let guard = blocklist.toggle(Some(true)).await?;
    holds(guard.blocklist_guard_status == GuardStatus::Enabled, "a toggle with a status sets it")
}

async fn screen(blocklist: &BlocklistScope, number: &str) -> Result<(), Failure> {
    let card: CardNumber = number.parse()?;
    let screening = blocklist.screen(&card).await?;
    let matched = screening.matched.as_ref().map_or("nothing".to_owned(), |rule| rule.kind.to_string());
    let verdict = if screening.is_blocked() { "blocked" } else { "passes" };
    line(format_args!("  card {}…: {verdict} (matches {matched}, guard on: {})", card.bin(), screening.guard));
    Ok(())
}
