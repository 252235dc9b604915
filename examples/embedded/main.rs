//! The smallest sensible host: open, authenticate, decide, print.
//!
//! ```text
//! cargo run --release --example embedded
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use std::error::Error;
use std::sync::Arc;

use futures_lite::future::block_on;
use perfectpay::{CardNumber, CardVerdict, MasterKey, NewMerchant, PerfectPay, Settings, json};
use perfectpay_sqlite::SqliteStore;

fn main() -> Result<(), Box<dyn Error>> {
    block_on(async {
        // Once: one file, and 32 random bytes that the host keeps where it keeps its other secrets.
        let folder = tempfile::tempdir()?;
        let store = SqliteStore::open(folder.path().join("accounts.db"))?;
        let master_key = MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?;
        let pay = PerfectPay::open(Arc::new(store), Settings::new(master_key)).await?;

        // When a merchant comes: an account, a key for its backend, a list of cards that it does not take.
        let account = pay.create_merchant(NewMerchant::with_id("acme_us".parse()?)).await?;
        let account = pay.merchant(&account.merchant_id);
        let key = account.create_api_key(json::from_slice(br#"{"name": "Backend", "expiration": "never"}"#)?).await?;
        let token = key.api_key.ok_or("a new key shows its token")?;
        account.blocklist().add(json::from_slice(br#"{"type": "card_bin", "data": "411111"}"#)?).await?;
        account.blocklist().toggle(Some(true)).await?;

        // For every payment: who calls, and what becomes of it. Both are answered from memory.
        let caller = pay.authenticate(token.expose()).await?;
        for number in ["4111 1111 1111 1111", "5555 5555 5555 4444"] {
            let card: CardNumber = number.parse()?;
            let verdict = match caller.merchant().blocklist().screen(&card).await?.verdict() {
                CardVerdict::Allowed => "goes on".to_owned(),
                CardVerdict::Blocked { entry } => format!("is declined by a {}", entry.kind),
            };
            println!("{}: a card that begins with {} {verdict}", caller.merchant_id(), card.bin());
        }
        Ok(())
    })
}
