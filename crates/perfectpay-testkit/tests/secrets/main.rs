//! Secrets: a whole life is driven with canaries for secrets, and none of them is anywhere it could be read: not in what
//! is printed, not in an error, not in the log, not in an event of `tracing`, not in a record, not in a byte of a file. What
//! is sealed opens only
//! where it was sealed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics is a test that failed"
)]

mod errors;
mod events;
mod life;
mod moved;
mod planted;
#[path = "../support/mod.rs"]
mod support;
mod tapped;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_lite::future::block_on;
use perfectpay::store::{Actor, Extent, LogBound, Prune, Record, Store as _, copy};
use perfectpay::{EntityKind, MasterKey, PerfectPay, Settings};
use perfectpay_memory::MemoryStore;
use perfectpay_testkit::host::{self, SeededEntropy};
use perfectpay_testkit::watch::{Watch, canary, files};
use strum::VariantArray as _;
use support::{World, backends};

use crate::life::live;
use crate::planted::{CARD, CARDS, CONTROL};
use crate::tapped::{Recorded, Tapped, records};

fn holds(bytes: &[u8], form: &[u8]) -> bool {
    bytes.windows(form.len()).any(|window| window == form)
}

#[test]
fn no_secret_is_printed_logged_or_stored() {
    events::listen();
    for backend in backends() {
        let tapped = Arc::new(Tapped { inner: backend.store.clone(), crossed: Mutex::default() });
        let entropy = Arc::new(Recorded { inner: SeededEntropy::new(11), drawn: Mutex::default() });
        let settings = host::settings().unwrap().entropy(entropy.clone());
        let mut printed = vec![("Debug of Settings".to_owned(), format!("{settings:?} {settings:#?}"))];
        let world = World::on(backend);
        let pay = block_on(PerfectPay::open(tapped.clone(), settings)).unwrap();
        let mut watch = Watch::default();
        // Tokens and client secrets are found by what they are, too.
        watch.add_forms();
        block_on(live(&pay, &mut watch, &mut printed));
        let copied = Tapped { inner: Arc::new(MemoryStore::new()), crossed: Mutex::default() };
        let report = block_on(copy(&*tapped, &copied, &Extent::Everything, |_| ())).unwrap();
        printed.push(("Debug of a copy's report".to_owned(), format!("{report:?}")));
        let bound = LogBound::Before(block_on(tapped.head()).unwrap().position);
        let step = Prune::Log { bound, limit: 1, at: perfectpay_testkit::records::now(), by: Actor::Host };
        block_on(tapped.prune(&step)).unwrap();

        watch.add("master key", host::MASTER_KEY_HEX);
        watch.add_bytes("master key's bytes", &unhex(host::MASTER_KEY_HEX));
        for number in [CARD, CARDS[1], CARDS[2]] {
            watch.add_bytes("card number", number.as_bytes());
        }
        for member in ["\"card_cvc\"", "\"card_exp_month\""] {
            watch.add_bytes("a member of a card", member.as_bytes());
        }
        entropy.watch(&mut watch);
        assert!(watch.canaries() > 100, "{} canaries", watch.canaries());
        let name = world.name;
        for (place, text) in &printed {
            watch.look(&format!("{place} on {name}"), text);
        }
        assert!(!copied.crossed.lock().unwrap().is_empty());
        for text in tapped.crossed.lock().unwrap().iter().chain(copied.crossed.lock().unwrap().iter()) {
            watch.look(&format!("the Store trait on {name}"), text);
        }

        let heard = events::heard();
        for text in &heard {
            watch.look(&format!("an event of tracing on {name}"), text);
        }
        for operation in ["create_connector", "confirm_payment", "reveal_connector_credentials", "revoke_api_key"] {
            assert!(heard.iter().any(|text| text.contains(operation)), "what is done is heard: {operation}");
        }

        // At rest there is also nothing of the people of the account.
        watch.add("e-mail address", &canary("email"));
        let stored = block_on(records(&*world.backend.store));
        let kinds: BTreeSet<EntityKind> = stored.iter().map(Record::kind).collect();
        let every: BTreeSet<EntityKind> = EntityKind::VARIANTS.iter().copied().collect();
        assert_eq!(kinds, every, "one of every kind of record is looked at");
        for record in &stored {
            let body = record.body().unwrap();
            // A link names its seller in clear, since its page does; nothing else does.
            let named = body.contains(&canary("name"));
            assert_eq!(named, record.kind() == EntityKind::PaymentLink, "{body}");
            watch.look(&format!("a record on {name}"), body);
            watch.print(&format!("Debug of a record on {name}"), record);
        }
        assert!(stored.iter().any(|record| record.body().unwrap().contains(CONTROL)), "the search finds what is there");
        if let Some(folder) = &world.backend.folder {
            let files = files(folder);
            for (path, bytes) in &files {
                watch.look(path, bytes);
            }
            let control = files.iter().filter(|(_, bytes)| holds(bytes, CONTROL.as_bytes())).count();
            assert!(
                control > 0,
                "the search finds what is there: {:?}",
                files.iter().map(|f| &f.0).collect::<Vec<_>>()
            );
            // Sealed anew and wrapped anew, and removed: nothing comes out of it on the way.
            let account = pay.merchant(&"acme".parse().unwrap());
            block_on(account.rotate_data_key(|_| {})).unwrap();
            entropy.watch(&mut watch);
            watch.folder(folder);
            block_on(pay.rewrap(|_| {})).unwrap();
            watch.folder(folder);
            block_on(async { account.remove().cascade().await }).unwrap();
            watch.folder(folder);
        }
        assert!(watch.looks() > 200, "{} looks", watch.looks());
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).unwrap()).collect()
}

#[test]
fn the_same_card_has_another_fingerprint_at_every_account_and_none_under_another_settings() {
    for backend in backends() {
        let world = World::on(backend);
        let pay = &world.pay;
        block_on(async {
            let acme = host::stand_up(pay, "acme").await.unwrap();
            let sibling = host::merchant_in(pay, &acme.organization, "sibling").await.unwrap();
            let print = async |tenant: &host::Tenant, card: &str| {
                tenant
                    .scope(pay)
                    .blocklist()
                    .screen(&card.parse().unwrap())
                    .await
                    .unwrap()
                    .fingerprint
                    .unwrap()
                    .to_string()
            };
            let first = print(&acme, CARD).await;
            assert!(first.starts_with("fp1_") && first.len() == 4 + 43, "{first}");
            assert_eq!(print(&acme, "4242 4242-4242 4242").await, first, "{}", world.name);
            assert_ne!(print(&sibling, CARD).await, first, "{}", world.name);
            assert_ne!(print(&acme, "4111111111111111").await, first, "{}", world.name);
            let again = PerfectPay::open(world.backend.store.clone(), host::settings().unwrap()).await.unwrap();
            let card = CARD.parse().unwrap();
            let same = acme.scope(&again).blocklist().screen(&card).await.unwrap().fingerprint.unwrap().to_string();
            assert_eq!(same, first, "{}", world.name);
            let wrong = MasterKey::from_hex("test-1", &"0123456789abcdef".repeat(4)).unwrap();
            let error = PerfectPay::open(world.backend.store.clone(), Settings::new(wrong)).await.unwrap_err();
            assert_eq!(error.kind(), perfectpay::ErrorKind::Corrupt, "{}", world.name);
        });
    }
}
