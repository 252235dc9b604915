//! The smallest sensible host: open, authenticate, decide, print.
//!
//! ```text
//! cargo run --release --example embedded
//! ```

#![allow(clippy::print_stdout, reason = "an example speaks to people")]

use std::error::Error;
use std::sync::Arc;

use futures_lite::future::block_on;
use perfectpay::{Answer, DecideRequest, MasterKey, NewMerchant, PerfectPay, Settings, json};
use perfectpay_sqlite::SqliteStore;

const KEY: &[u8] = br#"{"name": "Backend", "expiration": "never"}"#;
const PROCESSOR: &[u8] = br#"{
    "connector_type": "payment_processor", "connector_name": "stripe",
    "connector_account_details": {"auth_type": "HeaderKey", "api_key": "sk_test_123"},
    "payment_methods_enabled": [{"payment_method": "card", "payment_method_types": ["credit", "debit"]}]
}"#;
const PAYMENT: &[u8] =
    br#"{"amount": 4999, "currency": "USD", "payment_method": "card", "payment_method_type": "credit"}"#;

fn main() -> Result<(), Box<dyn Error>> {
    block_on(async {
        // Once: one file, and 32 random bytes that the host keeps where it keeps its other secrets.
        let folder = tempfile::tempdir()?;
        let store = SqliteStore::open(folder.path().join("accounts.db"))?;
        let master_key = MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?;
        let pay = PerfectPay::open(Arc::new(store), Settings::new(master_key)).await?;

        // When a merchant comes: an account, a key for its backend, a processor, cards that it does not take.
        let account = pay.create_merchant(NewMerchant::with_id("acme_us".parse()?)).await?;
        let profile = account.default_profile.ok_or("an account has a profile")?;
        let account = pay.merchant(&account.merchant_id);
        let token = account.create_api_key(json::from_slice(KEY)?).await?.api_key.ok_or("a new key shows its token")?;
        account.create_connector(json::from_slice(PROCESSOR)?).await?;
        account.blocklist().add(json::from_slice(br#"{"type": "card_bin", "data": "411111"}"#)?).await?;
        account.blocklist().toggle(Some(true)).await?;

        // For every payment: who calls, and what becomes of it. Both are answered from memory.
        let caller = pay.authenticate(token.expose()).await?;
        for (id, card) in [("pay_1", "4111 1111 1111 1111"), ("pay_2", "5555 5555 5555 4444")] {
            let request = DecideRequest::new(id.parse()?, json::from_slice(PAYMENT)?);
            let decision = caller.merchant().profile(&profile).decide_card(&request, &card.parse()?).await?;
            match decision.answer {
                Answer::Declined { reason, .. } => println!("{id} is declined: {reason}"),
                Answer::Candidates(accounts) => println!("{id} is tried by {} accounts", accounts.len()),
            }
        }
        Ok(())
    })
}
