//! The order in which a profile's accounts are tried where no program says otherwise.
//!
//! Kept is only what the profile said; the order is made of it and of the accounts that there are. So it grows and
//! shrinks with them, without a second write.

use super::eligibility::RoutableAccount;
use super::program::ConnectorChoice;
use crate::error::Fault;
use crate::id::ConnectorId;

/// The order: first the accounts that the profile listed, then the others as they were created. Accounts that are not
/// there to take payments, whose connector cannot be routed to, that are inactive or disabled have no place in it; one
/// that is enabled again is where it was.
///
/// `accounts` are the profile's, by ascending creation.
pub fn fallback_order(listed: &[ConnectorId], accounts: &[RoutableAccount]) -> Vec<ConnectorId> {
    let has_place = |id: &ConnectorId| accounts.iter().any(|one| one.account == *id && one.is_fallback());
    let mut order: Vec<ConnectorId> = Vec::with_capacity(accounts.len());
    let all = listed.iter().chain(accounts.iter().map(|one| &one.account));
    for id in all {
        if has_place(id) && !order.contains(id) {
            order.push(id.clone());
        }
    }
    order
}

/// The order that was sent, if it is a permutation of the current one. Published as `POST /routing/default`.
///
/// # Errors
///
/// `routing.fallback_length` where it is longer or shorter; at `[…]` of the first choice that is wrong
/// `routing.choice_without_account`, `routing.fallback_members` where it is not in the current order or stands in this
/// one before, `routing.wrong_connector` where the account is of another connector.
pub fn reorder(current: &[ConnectorChoice], wanted: &[ConnectorChoice]) -> Result<Vec<ConnectorId>, Fault> {
    if wanted.len() != current.len() {
        return Err(Fault::new("routing.fallback_length", "must have as many accounts as the order has now"));
    }
    let mut order = Vec::with_capacity(wanted.len());
    for (at, choice) in wanted.iter().enumerate() {
        let refuse = |code: &'static str, message: &'static str| Err(Fault::new(code, message).at(format!("[{at}]")));
        let Some(account) = &choice.merchant_connector_id else {
            return refuse("routing.choice_without_account", "must name an account");
        };
        let known = current.iter().find(|known| known.merchant_connector_id.as_ref() == Some(account));
        match known {
            Some(known) if known.connector != choice.connector => {
                return refuse("routing.wrong_connector", "must name the connector of its account");
            }
            Some(_) if !order.contains(account) => order.push(account.clone()),
            _ => return refuse("routing.fallback_members", "must be an account of the order, once"),
        }
    }
    Ok(order)
}

/// The order with one account at another place: 0 is the first, and what is behind the last place is the last.
///
/// # Errors
///
/// `routing.fallback_members` where the account is not in the order.
pub fn move_to(current: &[ConnectorId], account: &ConnectorId, place: usize) -> Result<Vec<ConnectorId>, Fault> {
    let mut order: Vec<ConnectorId> = current.iter().filter(|id| *id != account).cloned().collect();
    if order.len() == current.len() {
        return Err(Fault::new("routing.fallback_members", "must be an account of the order"));
    }
    order.insert(place.min(order.len()), account.clone());
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{ConnectorStatus, ConnectorType};

    fn account(id: &str) -> RoutableAccount {
        RoutableAccount {
            account: format!("mca_{id}").parse().unwrap(),
            connector: "stripe".parse().unwrap(),
            connector_type: ConnectorType::PaymentProcessor,
            routable: true,
            status: ConnectorStatus::Active,
            disabled: false,
            payment_methods_enabled: None,
        }
    }

    fn ids(ids: &str) -> Vec<ConnectorId> {
        ids.split_whitespace().map(|id| format!("mca_{id}").parse().unwrap()).collect()
    }

    fn choices(ids: &str) -> Vec<ConnectorChoice> {
        let choice = |id: &str| ConnectorChoice {
            connector: "stripe".parse().unwrap(),
            merchant_connector_id: Some(format!("mca_{id}").parse().unwrap()),
        };
        ids.split_whitespace().map(choice).collect()
    }

    #[test]
    fn the_order_grows_and_shrinks_with_the_accounts() {
        let mut accounts = ["a", "b", "c"].map(account).to_vec();
        assert_eq!(fallback_order(&[], &accounts), ids("a b c"));
        assert_eq!(fallback_order(&ids("c a"), &accounts), ids("c a b"));
        accounts.push(account("d"));
        assert_eq!(fallback_order(&ids("c a"), &accounts), ids("c a b d"));
        accounts[2].disabled = true;
        assert_eq!(fallback_order(&ids("c a"), &accounts), ids("a b d"));
        accounts[2].disabled = false;
        accounts.remove(0);
        assert_eq!(fallback_order(&ids("c a"), &accounts), ids("c b d"));
        accounts[0].connector_type = ConnectorType::PayoutProcessor;
        accounts[1].routable = false;
        accounts[2].status = ConnectorStatus::Inactive;
        assert_eq!(fallback_order(&ids("c a c"), &accounts), []);
    }

    #[test]
    fn only_a_permutation_reorders() {
        let current = choices("a b c");
        assert_eq!(reorder(&current, &choices("c a b")).unwrap(), ids("c a b"));
        let mut unnamed = choices("c a b");
        unnamed[1].merchant_connector_id = None;
        let mut renamed = choices("c a b");
        renamed[2].connector = "adyen".parse().unwrap();
        for (wanted, path, code) in [
            (choices("a b"), "", "routing.fallback_length"),
            (choices("a b c d"), "", "routing.fallback_length"),
            (choices("a b d"), "[2]", "routing.fallback_members"),
            (choices("a b a"), "[2]", "routing.fallback_members"),
            (unnamed, "[1]", "routing.choice_without_account"),
            (renamed, "[2]", "routing.wrong_connector"),
        ] {
            let fault = reorder(&current, &wanted).unwrap_err();
            assert_eq!((fault.path(), fault.code()), (path, code));
        }
    }

    #[test]
    fn a_move_keeps_the_order_of_the_others() {
        let current = ids("a b c");
        let moved = |id: &str, place| move_to(&current, &ids(id)[0], place).unwrap();
        assert_eq!(moved("c", 0), ids("c a b"));
        assert_eq!(moved("a", 1), ids("b a c"));
        assert_eq!(moved("a", usize::MAX), ids("b c a"));
        assert_eq!(moved("b", 1), current);
        assert_eq!(move_to(&current, &ids("d")[0], 0).unwrap_err().code(), "routing.fallback_members");
    }
}
