//! Routing programs on a back-end: does what the model names, and shows what there is.

use perfectpay::{
    Answer, CheckedRouting, DecideRequest, Error, MerchantScope, ProfileScope, RoutingRecord, RoutingScope, json,
};
use serde_json::json;

use super::super::model::RoutingCall;
use super::{Backend, Found, Names, Road, Seen, all, create, seen, seen_as, seen_version, wait};

fn checked(answer: Result<CheckedRouting, Error>) -> Seen {
    seen_as(answer, |answer| Some(answer.record.version))
}

fn record(answer: Result<RoutingRecord, Error>) -> Seen {
    seen_version(answer)
}

fn algorithm(accounts: &[String], names: &Names) -> serde_json::Value {
    let choice = |account: &String| json!({ "connector": "stripe", "merchant_connector_id": names.real(account) });
    json!({ "type": "priority", "data": accounts.iter().map(choice).collect::<Vec<_>>() })
}

impl Backend {
    fn routing(&self, road: &Road, profile: Option<&String>, names: &Names) -> RoutingScope {
        match profile {
            Some(profile) => self.profile(road, profile, names).routing(),
            None => self.merchant(road, names).routing(),
        }
    }

    pub(super) fn perform_routing(&self, call: &RoutingCall, names: &Names) -> Seen {
        macro_rules! expecting {
            ($command:expr, $expecting:expr) => {{
                let command = $command;
                wait(match $expecting {
                    Some(version) => command.expecting(*version),
                    None => command,
                })
            }};
        }
        match call {
            RoutingCall::Create { road, profile, accounts, key } => {
                let body = json!({ "name": "p", "description": "d", "algorithm": algorithm(accounts, names) });
                let new = json::from_value(body).expect("a body");
                checked(create(self.routing(road, profile.as_ref(), names).create(new), key.as_ref()))
            }
            RoutingCall::AddVersion { road, program, accounts, key } => {
                let new = json::from_value(json!({ "algorithm": algorithm(accounts, names) })).expect("a body");
                let program = self.routing(road, None, names).program(&names.id(program));
                checked(create(program.add_version(new), key.as_ref()))
            }
            RoutingCall::Activate { road, program, number, expecting } => {
                let program = self.routing(road, None, names).program(&names.id(program));
                checked(expecting!(program.activate(*number), expecting))
            }
            RoutingCall::Deactivate { road, profile, expecting } => {
                record(expecting!(self.routing(road, profile.as_ref(), names).deactivate(), expecting))
            }
            RoutingCall::RollBack { road, profile, expecting } => {
                checked(expecting!(self.routing(road, profile.as_ref(), names).roll_back(), expecting))
            }
            RoutingCall::RemoveVersion { road, program, number, expecting } => {
                let program = self.routing(road, None, names).program(&names.id(program));
                record(expecting!(program.remove_version(*number), expecting))
            }
            RoutingCall::RemoveProgram { road, program, expecting } => {
                let program = self.routing(road, None, names).program(&names.id(program));
                seen(expecting!(program.remove(), expecting))
            }
        }
    }

    /// The programs of an account, newest first, each with its versions.
    pub(super) fn program_lines(scope: &MerchantScope, limit: u32, found: &mut Found) {
        for record in all(limit, |page| wait(scope.routing().list(page))) {
            let name = format!("routing_program {}", record.id);
            let line = format!(
                "{name} of {} v{} latest {} active {:?}",
                record.profile_id, record.version, record.latest_version, record.active_version
            );
            let program = scope.routing().program(&record.id);
            found.add(name, line, seen_version(Ok(record)));
            for version in all(limit, |page| wait(program.versions(page))) {
                let choices = version.algorithm.choices();
                let accounts = choices.iter().filter_map(|(_, choice)| choice.merchant_connector_id.as_ref());
                let accounts: Vec<&str> = accounts.map(perfectpay::ConnectorId::as_str).collect();
                found.lines.push(format!("routing_version {} {}", version.number, accounts.join(" ")));
            }
        }
    }

    /// What a payment by card comes to in the profile, out of memory.
    pub(super) fn decided_line(scope: &ProfileScope, profile: &str) -> String {
        let facts = json::from_value(json!({ "amount": 100, "currency": "USD", "payment_method": "card" }));
        let request = DecideRequest::new("pay_1".parse().expect("an id"), facts.expect("facts"));
        let tried = match wait(scope.decide(&request)).expect("a decision").answer {
            Answer::Declined { reason, .. } => reason.to_string(),
            Answer::Candidates(all) => {
                let accounts: Vec<&str> = all.iter().map(|one| one.account.as_str()).collect();
                accounts.join(" ")
            }
        };
        format!("decided in {profile}: {tried}")
    }
}
