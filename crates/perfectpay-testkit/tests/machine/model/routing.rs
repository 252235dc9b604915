//! Routing programs in the model: what may be done with them, what comes of it, and what a profile's payments come to.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::command::{Expecting, Pick, Way};
use super::{
    Answer, Bind, Done, Model, Refused, Road, Stop, Tenant, absent, at, chosen, connector_token, number, profile_token,
    refused, version,
};

/// What may be done. A program selects accounts by their order; the first one is tried first.
#[derive(Debug, Clone)]
pub(crate) enum RoutingCommand {
    Create { way: Way, profile: Option<Pick>, accounts: Vec<Pick>, key: Option<u8> },
    AddVersion { way: Way, program: Pick, accounts: Vec<Pick>, key: Option<u8> },
    Activate { way: Way, program: Pick, number: Option<u8>, expecting: Expecting },
    Deactivate { way: Way, profile: Option<Pick>, expecting: Expecting },
    RollBack { way: Way, profile: Option<Pick>, expecting: Expecting },
    RemoveVersion { way: Way, program: Pick, number: u8, expecting: Expecting },
    RemoveProgram { way: Way, program: Pick, expecting: Expecting },
}

impl RoutingCommand {
    /// Any of them, with the strategies that other commands have.
    pub(crate) fn any(
        way: &BoxedStrategy<Way>,
        pick: &BoxedStrategy<Pick>,
        expecting: &BoxedStrategy<Expecting>,
        key: &BoxedStrategy<Option<u8>>,
    ) -> BoxedStrategy<Self> {
        let profile = || prop::option::weighted(0.6, pick.clone());
        let accounts = || vec(pick.clone(), 1..4);
        prop_oneof![
            4 => (way.clone(), profile(), accounts(), key.clone())
                .prop_map(|(way, profile, accounts, key)| Self::Create { way, profile, accounts, key }),
            3 => (way.clone(), pick.clone(), accounts(), key.clone())
                .prop_map(|(way, program, accounts, key)| Self::AddVersion { way, program, accounts, key }),
            6 => (way.clone(), pick.clone(), prop::option::of(0..4_u8), expecting.clone()).prop_map(
                |(way, program, number, expecting)| Self::Activate { way, program, number, expecting }
            ),
            1 => (way.clone(), profile(), expecting.clone())
                .prop_map(|(way, profile, expecting)| Self::Deactivate { way, profile, expecting }),
            2 => (way.clone(), profile(), expecting.clone())
                .prop_map(|(way, profile, expecting)| Self::RollBack { way, profile, expecting }),
            2 => (way.clone(), pick.clone(), 0..4_u8, expecting.clone()).prop_map(
                |(way, program, number, expecting)| Self::RemoveVersion { way, program, number, expecting }
            ),
            1 => (way.clone(), pick.clone(), expecting.clone())
                .prop_map(|(way, program, expecting)| Self::RemoveProgram { way, program, expecting }),
        ]
        .boxed()
    }
}

/// A command with everyone in it named.
#[derive(Debug, Clone)]
pub(crate) enum RoutingCall {
    Create { road: Road, profile: Option<String>, accounts: Vec<String>, key: Option<String> },
    AddVersion { road: Road, program: String, accounts: Vec<String>, key: Option<String> },
    Activate { road: Road, program: String, number: Option<u32>, expecting: Option<u64> },
    Deactivate { road: Road, profile: Option<String>, expecting: Option<u64> },
    RollBack { road: Road, profile: Option<String>, expecting: Option<u64> },
    RemoveVersion { road: Road, program: String, number: u32, expecting: Option<u64> },
    RemoveProgram { road: Road, program: String, expecting: Option<u64> },
}

#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) alive: bool,
    version: u64,
    created: i64,
    pub(super) profile: usize,
    latest: u32,
    active: Option<u32>,
    served: BTreeSet<u32>,
    /// What decided before it, by its place and number.
    replaced: Option<(usize, u32)>,
    /// The accounts of each version that is there.
    versions: BTreeMap<u32, Vec<String>>,
}

fn program_token(at: usize) -> String {
    format!("‹program {at}›")
}

fn version_id(program: &str, number: u32) -> String {
    format!("{program}.{number:05}")
}

fn updated(at: usize, program: &Program) -> String {
    format!("routing_program {} updated v{}", program_token(at), program.version)
}

impl Model {
    // ---- who is meant -------------------------------------------------------------------------------------------

    fn pick_program(&self, pick: Pick, merchant: Option<usize>) -> String {
        let all: Vec<_> = self.programs.iter().map(|p| (p.alive, self.profiles[p.profile].merchant)).collect();
        Self::pick(pick, merchant, &all).map_or_else(|| "routing_absent".to_owned(), program_token)
    }

    /// An account to select: mostly one of the profile.
    fn pick_account(&self, pick: Pick, profile: Option<usize>) -> String {
        let own: Vec<usize> = (0..self.connectors.len())
            .filter(|&c| self.connectors[c].alive && Some(self.connectors[c].profile) == profile)
            .collect();
        match pick {
            Pick::Own(by) => chosen(&own, by).map_or_else(|| "mca_absent".to_owned(), connector_token),
            other => self.pick_connector(other, profile.map(|p| self.profiles[p].merchant)),
        }
    }

    pub(super) fn named_routing(&self, command: &RoutingCommand) -> RoutingCall {
        let key = |key: &Option<u8>| key.map(|key| format!("key-{key}"));
        let accounts = |picks: &[Pick], profile| picks.iter().map(|pick| self.pick_account(*pick, profile)).collect();
        let handle = |pick: &Option<Pick>, merchant| pick.map(|pick| self.pick_profile(pick, merchant));
        let meant = |token: &str| number("program", token).map(|at| &self.programs[at]);
        let deciding = |merchant: Option<usize>, profile: &Option<String>| {
            let profile = match profile {
                Some(token) => number("profile", token),
                None => merchant.and_then(|m| self.default_of(m)),
            };
            profile.and_then(|p| self.active_program(p)).map(|(at, _)| self.programs[at].version)
        };
        match command {
            RoutingCommand::Create { way, profile, accounts: picks, key: k } => {
                let road = self.road(*way);
                let merchant = self.end_of(&road);
                let profile = handle(profile, merchant);
                let of = match &profile {
                    Some(token) => number("profile", token),
                    None => merchant.and_then(|m| self.default_of(m)),
                };
                RoutingCall::Create { road, profile, accounts: accounts(picks, of), key: key(k) }
            }
            RoutingCommand::AddVersion { way, program, accounts: picks, key: k } => {
                let road = self.road(*way);
                let program = self.pick_program(*program, self.end_of(&road));
                let profile = meant(&program).map(|program| program.profile);
                RoutingCall::AddVersion { road, program, accounts: accounts(picks, profile), key: key(k) }
            }
            RoutingCommand::Activate { way, program, number, expecting } => {
                let road = self.road(*way);
                let program = self.pick_program(*program, self.end_of(&road));
                let expecting = Self::expecting(*expecting, meant(&program).map(|program| program.version));
                RoutingCall::Activate { road, program, number: number.map(u32::from), expecting }
            }
            RoutingCommand::Deactivate { way, profile, expecting } => {
                let road = self.road(*way);
                let merchant = self.end_of(&road);
                let profile = handle(profile, merchant);
                let expecting = Self::expecting(*expecting, deciding(merchant, &profile));
                RoutingCall::Deactivate { road, profile, expecting }
            }
            RoutingCommand::RollBack { way, profile, expecting } => {
                let road = self.road(*way);
                let merchant = self.end_of(&road);
                let profile = handle(profile, merchant);
                let expecting = Self::expecting(*expecting, deciding(merchant, &profile));
                RoutingCall::RollBack { road, profile, expecting }
            }
            RoutingCommand::RemoveVersion { way, program, number, expecting } => {
                let road = self.road(*way);
                let program = self.pick_program(*program, self.end_of(&road));
                let expecting = Self::expecting(*expecting, meant(&program).map(|program| program.version));
                RoutingCall::RemoveVersion { road, program, number: u32::from(*number), expecting }
            }
            RoutingCommand::RemoveProgram { way, program, expecting } => {
                let road = self.road(*way);
                let program = self.pick_program(*program, self.end_of(&road));
                let expecting = Self::expecting(*expecting, meant(&program).map(|program| program.version));
                RoutingCall::RemoveProgram { road, program, expecting }
            }
        }
    }

    // ---- what comes of it ---------------------------------------------------------------------------------------

    /// The program that decides in a profile, by its place, and the number of its version.
    fn active_program(&self, profile: usize) -> Option<(usize, u32)> {
        let mut of = self.programs.iter().enumerate().filter(|(_, one)| one.alive && one.profile == profile);
        of.find_map(|(at, one)| Some((at, one.active?)))
    }

    fn program(&self, road: &Road, token: &str) -> Result<usize, Refused> {
        let merchant = self.enter(road)?;
        number("program", token)
            .filter(|&at| {
                let program = &self.programs[at];
                program.alive && Some(self.profiles[program.profile].merchant) == merchant
            })
            .ok_or_else(|| absent("routing program", token))
    }

    /// The profile that a handle is of, or the default one.
    fn routed_profile(&self, road: &Road, handle: Option<&String>) -> Result<usize, Refused> {
        let merchant = self.enter(road)?;
        match handle {
            Some(token) => self.profile(merchant, token),
            None => self.place(self.merchant(road)?, None, None),
        }
    }

    /// Every account must be one of the profile.
    fn selectable(&self, profile: usize, accounts: &[String]) -> Result<(), Refused> {
        for (at, token) in accounts.iter().enumerate() {
            let known = number("connector", token).map(|c| &self.connectors[c]);
            if known.is_none_or(|one| !one.alive || one.profile != profile) {
                let place = format!("algorithm.data[{at}].merchant_connector_id");
                let text = format!("`{place}`: is not a connector account of the profile");
                return Err(refused("routing.unknown_account", text));
            }
        }
        Ok(())
    }

    /// Whether an account may not be removed alone, since the program that decides names it.
    pub(super) fn is_routed_to(&self, connector: usize) -> bool {
        let active = self.active_program(self.connectors[connector].profile);
        active.is_some_and(|(at, number)| self.programs[at].versions[&number].contains(&connector_token(connector)))
    }

    pub(super) fn programs_of(&self, profile: usize) -> usize {
        self.programs.iter().filter(|one| one.alive && one.profile == profile).count()
    }

    pub(super) fn close_programs(&mut self, profile: usize) {
        self.programs.iter_mut().filter(|one| one.profile == profile).for_each(|one| one.alive = false);
    }

    fn told(&self, at: usize, checked: Option<u32>) -> Done {
        let program = &self.programs[at];
        let mut facts = vec![
            version(program.version),
            ("/id", program_token(at).into()),
            ("/profile_id", profile_token(program.profile).into()),
            ("/latest_version", program.latest.into()),
            ("/active_version", program.active.into()),
        ];
        facts.extend(checked.map(|checked| ("/checked_version", checked.into())));
        Done { facts, ..Done::default() }
    }

    /// Lets a version decide in the place of whatever does.
    fn activation(&mut self, road: &Road, at: usize, number: u32) -> Answer {
        let id = version_id(&program_token(at), number);
        let accounts =
            self.programs[at].versions.get(&number).ok_or_else(|| absent("version of a routing program", &id))?;
        let profile = self.programs[at].profile;
        self.selectable(profile, accounts)?;
        let before = self.active_program(profile);
        let mut changes = Vec::new();
        if let Some((other, _)) = before.filter(|(other, _)| *other != at) {
            self.rest(other);
            changes.push(updated(other, &self.programs[other]));
        }
        let program = &mut self.programs[at];
        program.active = Some(number);
        program.served.insert(number);
        program.replaced = before;
        program.version += 1;
        changes.push(updated(at, program));
        self.commit_in(road, self.profiles[profile].merchant, &changes);
        Ok(self.told(at, Some(number)))
    }

    fn rest(&mut self, at: usize) {
        let program = &mut self.programs[at];
        program.active = None;
        program.replaced = None;
        program.version += 1;
    }

    /// The program that decides, at the version that is expected.
    fn deciding(
        &self,
        road: &Road,
        handle: Option<&String>,
        expecting: Option<u64>,
    ) -> Result<(usize, usize), Refused> {
        let profile = self.routed_profile(road, handle)?;
        let (found, _) = self.active_program(profile).ok_or_else(|| {
            let text = format!("business profile `{}` has no active routing program", profile_token(profile));
            refused("routing.nothing_active", text)
        })?;
        at(expecting, self.programs[found].version, "routing program", &program_token(found))?;
        Ok((profile, found))
    }

    #[allow(clippy::too_many_lines, reason = "one arm for each command")]
    pub(super) fn with_routing(&mut self, call: &RoutingCall) -> Answer {
        match call {
            RoutingCall::Create { road, profile, accounts, key } => {
                let merchant = self.merchant(road)?;
                let request = format!("program {profile:?} {accounts:?}");
                let claiming = self.claiming(Tenant::Merchant(merchant), key.as_ref(), request)?;
                let profile = self.routed_profile(road, profile.as_ref())?;
                self.selectable(profile, accounts)?;
                let token = program_token(self.programs.len());
                self.programs.push(Program {
                    alive: true,
                    version: 1,
                    created: self.now(),
                    profile,
                    latest: 1,
                    active: None,
                    served: BTreeSet::new(),
                    replaced: None,
                    versions: [(1, accounts.clone())].into(),
                });
                let changes = [
                    format!("routing_program {token} created v1"),
                    format!("routing_version {} created v1", version_id(&token, 1)),
                ];
                self.commit_in(road, merchant, &changes);
                self.keep(claiming);
                let told = self.told(self.programs.len() - 1, Some(1));
                Ok(Done { binds: vec![Bind::Member(token, "/id")], ..told })
            }
            RoutingCall::AddVersion { road, program, accounts, key } => {
                let merchant = self.merchant(road)?;
                let request = format!("version {program} {accounts:?}");
                let claiming = self.claiming(Tenant::Merchant(merchant), key.as_ref(), request)?;
                let at = self.program(road, program)?;
                self.selectable(self.programs[at].profile, accounts)?;
                let created = &mut self.programs[at];
                created.latest += 1;
                created.version += 1;
                let number = created.latest;
                created.versions.insert(number, accounts.clone());
                let changes = [
                    updated(at, &self.programs[at]),
                    format!("routing_version {} created v1", version_id(program, number)),
                ];
                self.commit_in(road, merchant, &changes);
                self.keep(claiming);
                Ok(self.told(at, Some(number)))
            }
            RoutingCall::Activate { road, program, number, expecting } => {
                let found = self.program(road, program)?;
                at(*expecting, self.programs[found].version, "routing program", program)?;
                let number = number.unwrap_or(self.programs[found].latest);
                if self.programs[found].active == Some(number) {
                    let text = format!("routing program `{program}` decides by this version already");
                    return Err(refused("routing.already_active", text).into());
                }
                self.activation(road, found, number)
            }
            RoutingCall::Deactivate { road, profile, expecting } => {
                let (profile, found) = self.deciding(road, profile.as_ref(), *expecting)?;
                self.rest(found);
                let change = updated(found, &self.programs[found]);
                self.commit_in(road, self.profiles[profile].merchant, &[change]);
                Ok(self.told(found, None))
            }
            RoutingCall::RollBack { road, profile, expecting } => {
                let (_, found) = self.deciding(road, profile.as_ref(), *expecting)?;
                let before = self.programs[found].replaced.filter(|(other, _)| self.programs[*other].alive);
                let (target, number) = before.ok_or_else(|| {
                    let text = format!("routing program `{}` took the place of nothing", program_token(found));
                    refused("routing.nothing_before", text)
                })?;
                self.activation(road, target, number)
            }
            RoutingCall::RemoveVersion { road, program, number, expecting } => {
                let found = self.program(road, program)?;
                at(*expecting, self.programs[found].version, "routing program", program)?;
                let id = version_id(program, *number);
                let of = &self.programs[found];
                if !of.versions.contains_key(number) {
                    return Err(absent("version of a routing program", &id).into());
                }
                if of.served.contains(number) {
                    let text =
                        format!("routing program `{program}` decided by this version once, and what it decided stays");
                    return Err(refused("routing.served", text).into());
                }
                if of.latest == *number {
                    let text = format!("routing program `{program}` has this version as its newest one");
                    return Err(refused("routing.newest_version", text).into());
                }
                self.programs[found].versions.remove(number);
                let merchant = self.profiles[self.programs[found].profile].merchant;
                self.commit_in(road, merchant, &[format!("routing_version {id} removed v1")]);
                Ok(self.told(found, None))
            }
            RoutingCall::RemoveProgram { road, program, expecting } => {
                let found = self.program(road, program)?;
                let version = self.programs[found].version;
                at(*expecting, version, "routing program", program)?;
                if !self.programs[found].served.is_empty() {
                    let text = format!("routing program `{program}` decided once, and what it decided stays");
                    return Err(Stop::Refused(refused("routing.served", text)));
                }
                self.programs[found].alive = false;
                let merchant = self.profiles[self.programs[found].profile].merchant;
                self.commit_in(road, merchant, &[format!("routing_program {program} removed v{version}")]);
                Ok(Done::default())
            }
        }
    }

    // ---- what there is ------------------------------------------------------------------------------------------

    /// The programs of an account, newest first, each with its versions.
    pub(super) fn program_lines(&self, merchant: usize, real: &dyn Fn(&str) -> String, lines: &mut Vec<String>) {
        let mut programs: Vec<usize> = (0..self.programs.len())
            .filter(|&at| self.programs[at].alive && self.profiles[self.programs[at].profile].merchant == merchant)
            .collect();
        programs.sort_by_key(|&at| std::cmp::Reverse((self.programs[at].created, real(&program_token(at)))));
        for at in programs {
            let program = &self.programs[at];
            lines.push(format!(
                "routing_program {} of {} v{} latest {} active {:?}",
                real(&program_token(at)),
                real(&profile_token(program.profile)),
                program.version,
                program.latest,
                program.active
            ));
            for (number, accounts) in program.versions.iter().rev() {
                let accounts: Vec<String> = accounts.iter().map(|account| real(account)).collect();
                lines.push(format!("routing_version {number} {}", accounts.join(" ")));
            }
        }
    }

    /// What a payment by card comes to in the profile: the accounts that the program selects and are not disabled, then
    /// the others by creation.
    pub(super) fn decided_line(&self, profile: usize, real: &dyn Fn(&str) -> String) -> String {
        let takes = |c: &usize| {
            let one = &self.connectors[*c];
            one.alive && one.profile == profile && !one.disabled
        };
        let mut order: Vec<usize> = Vec::new();
        if let Some((at, number)) = self.active_program(profile) {
            let selected =
                self.programs[at].versions[&number].iter().filter_map(|token| self::number("connector", token));
            for c in selected.filter(takes) {
                if !order.contains(&c) {
                    order.push(c);
                }
            }
        }
        let mut others: Vec<usize> = (0..self.connectors.len()).filter(takes).filter(|c| !order.contains(c)).collect();
        others.sort_by_key(|&c| (self.connectors[c].created, real(&connector_token(c))));
        order.extend(others);
        let order: Vec<String> = order.into_iter().map(|c| real(&connector_token(c))).collect();
        let tried = if order.is_empty() { "no_eligible_connector".to_owned() } else { order.join(" ") };
        format!("decided in {}: {tried}", real(&profile_token(profile)))
    }
}
