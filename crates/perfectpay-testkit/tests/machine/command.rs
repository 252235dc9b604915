//! What may be done, drawn at random: who and what is named by a number that the model turns into someone.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::model::RoutingCommand;

/// Which object a command names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pick {
    /// A living one of the merchant account that the command goes through.
    Own(u8),
    /// A living one, whoever's.
    Living(u8),
    /// Any that ever lived.
    Any(u8),
    /// One that never was.
    Absent,
}

/// Through which handle a command goes to its merchant account.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    /// A living account through its own organization.
    Own(u8),
    /// An id through the root handle.
    Root(u8),
    /// An id through some organization, which need not have it.
    Through(Pick, u8),
    /// The handle of a caller who authenticated before.
    Caller(u8),
}

/// Which version an update or a removal expects.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expecting {
    Nothing,
    Right,
    Wrong(u8),
}

/// What a text is to become: left as it is, cleared, or one of the alphabet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edit {
    Keep,
    Clear,
    Set(u8),
}

#[derive(Debug, Clone)]
pub(crate) enum MerchantEdit {
    Nothing,
    Name(Edit),
    OtherId,
    Parent(Option<u8>),
    Default(Pick),
    NoDefault,
    Businesses(Vec<u8>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum ConnectorEdit {
    Label(Edit),
    Disabled(bool),
    Credential(u8),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyEdit {
    Name(Edit),
    /// `None` is never.
    Expires(Option<u8>),
    ExpiresNull,
}

/// What a blocklist entry is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RulePick {
    Bin(u8),
    ExtendedBin(u8),
    Fingerprint(u8),
    BadBin,
}

/// What is read alone.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Thing {
    Merchant,
    Organization,
    Profile(Pick),
    Connector(Option<Pick>, Pick),
    ApiKey(Pick),
    Payment(Option<Pick>, Pick),
    Link(Pick),
}

#[derive(Debug, Clone)]
pub(crate) enum Command {
    Clock {
        seconds: i32,
    },
    CreateOrganization {
        name: u8,
        key: Option<u8>,
    },
    UpdateOrganization {
        organization: Pick,
        name: Edit,
        expecting: Expecting,
    },
    RemoveOrganization {
        organization: Pick,
        cascade: bool,
        expecting: Expecting,
    },
    CreateMerchant {
        organization: Pick,
        id: u8,
        parent: Option<u8>,
        stated: Option<Pick>,
        businesses: Vec<u8>,
        key: Option<u8>,
    },
    UpdateMerchant {
        way: Way,
        edit: MerchantEdit,
        expecting: Expecting,
    },
    RemoveMerchant {
        way: Way,
        cascade: bool,
        expecting: Expecting,
    },
    CreateProfile {
        way: Way,
        name: u8,
        key: Option<u8>,
    },
    UpdateProfile {
        way: Way,
        profile: Pick,
        name: Edit,
        expecting: Expecting,
    },
    RemoveProfile {
        way: Way,
        profile: Pick,
        cascade: bool,
        expecting: Expecting,
    },
    CreateConnector {
        way: Way,
        handle: Option<Pick>,
        body: Option<Pick>,
        label: Option<u8>,
        key: Option<u8>,
    },
    UpdateConnector {
        way: Way,
        handle: Option<Pick>,
        connector: Pick,
        edit: ConnectorEdit,
        expecting: Expecting,
    },
    RemoveConnector {
        way: Way,
        handle: Option<Pick>,
        connector: Pick,
        cascade: bool,
        expecting: Expecting,
    },
    CreateApiKey {
        way: Way,
        name: u8,
        expires: Option<u8>,
        key: Option<u8>,
    },
    UpdateApiKey {
        way: Way,
        api_key: Pick,
        edit: KeyEdit,
        expecting: Expecting,
    },
    RevokeApiKey {
        way: Way,
        api_key: Pick,
        expecting: Expecting,
    },
    Authenticate {
        api_key: Pick,
    },
    AddRule {
        way: Way,
        rule: RulePick,
        key: Option<u8>,
    },
    RemoveRule {
        way: Way,
        rule: RulePick,
        expecting: Expecting,
    },
    Toggle {
        way: Way,
        status: Option<bool>,
    },
    Screen {
        way: Way,
        card: u8,
    },
    CreatePayment {
        way: Way,
        handle: Option<Pick>,
        body: Option<Pick>,
        id: Option<u8>,
        link: bool,
        return_url: bool,
        confirm: bool,
        key: Option<u8>,
    },
    Read {
        way: Way,
        thing: Thing,
    },
    Routing(RoutingCommand),
    /// A creation under an idempotency key, once more.
    Repeat {
        which: u8,
    },
}

// Boxed one by one: together the trees of all commands are too large for a test thread's stack.

fn pick() -> BoxedStrategy<Pick> {
    prop_oneof![
        8 => any::<u8>().prop_map(Pick::Own),
        2 => any::<u8>().prop_map(Pick::Living),
        1 => any::<u8>().prop_map(Pick::Any),
        1 => Just(Pick::Absent),
    ]
    .boxed()
}

fn way() -> BoxedStrategy<Way> {
    prop_oneof![
        8 => any::<u8>().prop_map(Way::Own),
        2 => (0..4_u8).prop_map(Way::Root),
        2 => (pick(), 0..4_u8).prop_map(|(pick, id)| Way::Through(pick, id)),
        3 => any::<u8>().prop_map(Way::Caller),
    ]
    .boxed()
}

fn expecting() -> BoxedStrategy<Expecting> {
    prop_oneof![
        5 => Just(Expecting::Nothing),
        2 => Just(Expecting::Right),
        1 => (0..3_u8).prop_map(Expecting::Wrong),
    ]
    .boxed()
}

fn edit(alphabet: u8) -> BoxedStrategy<Edit> {
    prop_oneof![1 => Just(Edit::Keep), 1 => Just(Edit::Clear), 6 => (0..alphabet).prop_map(Edit::Set)].boxed()
}

fn key() -> BoxedStrategy<Option<u8>> {
    option::weighted(0.4, 0..3_u8).boxed()
}

fn rule() -> BoxedStrategy<RulePick> {
    prop_oneof![
        4 => (0..4_u8).prop_map(RulePick::Bin),
        4 => (0..4_u8).prop_map(RulePick::ExtendedBin),
        4 => (0..4_u8).prop_map(RulePick::Fingerprint),
        1 => Just(RulePick::BadBin),
    ]
    .boxed()
}

fn cascade() -> BoxedStrategy<bool> {
    prop::bool::weighted(0.4).boxed()
}

/// A profile that is named in passing, mostly none.
fn passing() -> BoxedStrategy<Option<Pick>> {
    option::weighted(0.4, pick()).boxed()
}

fn thing() -> BoxedStrategy<Thing> {
    prop_oneof![
        Just(Thing::Merchant),
        Just(Thing::Organization),
        pick().prop_map(Thing::Profile),
        (passing(), pick()).prop_map(|(handle, id)| Thing::Connector(handle, id)),
        pick().prop_map(Thing::ApiKey),
        (passing(), pick()).prop_map(|(handle, id)| Thing::Payment(handle, id)),
        pick().prop_map(Thing::Link),
    ]
    .boxed()
}

fn merchant_edit() -> BoxedStrategy<MerchantEdit> {
    prop_oneof![
        1 => Just(MerchantEdit::Nothing),
        2 => edit(2).prop_map(MerchantEdit::Name),
        1 => Just(MerchantEdit::OtherId),
        2 => option::weighted(0.8, 0..4_u8).prop_map(MerchantEdit::Parent),
        6 => pick().prop_map(MerchantEdit::Default),
        1 => Just(MerchantEdit::NoDefault),
        3 => vec(0..3_u8, 0..3).prop_map(MerchantEdit::Businesses),
    ]
    .boxed()
}

fn tenants() -> BoxedStrategy<Command> {
    prop_oneof![
        3 => (0..2_u8, key()).prop_map(|(name, key)| Command::CreateOrganization { name, key }),
        1 => (pick(), edit(3), expecting()).prop_map(|(organization, name, expecting)| {
            Command::UpdateOrganization { organization, name, expecting }
        }),
        1 => (pick(), cascade(), expecting()).prop_map(|(organization, cascade, expecting)| {
            Command::RemoveOrganization { organization, cascade, expecting }
        }),
        9 => (
            pick(),
            0..4_u8,
            option::weighted(0.15, 0..4_u8),
            option::weighted(0.15, pick()),
            prop_oneof![3 => Just(Vec::new()), 1 => vec(0..3_u8, 0..3)],
            key(),
        )
            .prop_map(|(organization, id, parent, stated, businesses, key)| Command::CreateMerchant {
                organization, id, parent, stated, businesses, key,
            }),
        6 => (way(), merchant_edit(), expecting())
            .prop_map(|(way, edit, expecting)| Command::UpdateMerchant { way, edit, expecting }),
        2 => (way(), cascade(), expecting())
            .prop_map(|(way, cascade, expecting)| Command::RemoveMerchant { way, cascade, expecting }),
        3 => (-5_400..5_400_i32).prop_map(|seconds| Command::Clock { seconds }),
        3 => (way(), thing()).prop_map(|(way, thing)| Command::Read { way, thing }),
    ]
    .boxed()
}

fn profiles() -> BoxedStrategy<Command> {
    prop_oneof![
        6 => (way(), 0..5_u8, key()).prop_map(|(way, name, key)| Command::CreateProfile { way, name, key }),
        3 => (way(), pick(), edit(5), expecting())
            .prop_map(|(way, profile, name, expecting)| Command::UpdateProfile { way, profile, name, expecting }),
        4 => (way(), pick(), cascade(), expecting()).prop_map(|(way, profile, cascade, expecting)| {
            Command::RemoveProfile { way, profile, cascade, expecting }
        }),
        6 => (way(), passing(), passing(), option::of(0..2_u8), key()).prop_map(|(way, handle, body, label, key)| {
            Command::CreateConnector { way, handle, body, label, key }
        }),
        3 => (way(), passing(), pick(), prop_oneof![
            edit(2).prop_map(ConnectorEdit::Label),
            any::<bool>().prop_map(ConnectorEdit::Disabled),
            (0..2_u8).prop_map(ConnectorEdit::Credential),
        ], expecting())
            .prop_map(|(way, handle, connector, edit, expecting)| {
                Command::UpdateConnector { way, handle, connector, edit, expecting }
            }),
        2 => (way(), passing(), pick(), cascade(), expecting()).prop_map(
            |(way, handle, connector, cascade, expecting)| {
                Command::RemoveConnector { way, handle, connector, cascade, expecting }
            }
        ),
        6 => (
            (way(), passing(), passing(), option::weighted(0.7, 0..3_u8)),
            (any::<bool>(), prop::bool::weighted(0.8), prop::bool::weighted(0.1), key()),
        )
            .prop_map(|((way, handle, body, id), (link, return_url, confirm, key))| Command::CreatePayment {
                way, handle, body, id, link, return_url, confirm, key,
            }),
    ]
    .boxed()
}

fn keys_and_rules() -> BoxedStrategy<Command> {
    prop_oneof![
        4 => (way(), 0..2_u8, option::of(0..4_u8), key())
            .prop_map(|(way, name, expires, key)| Command::CreateApiKey { way, name, expires, key }),
        2 => (way(), pick(), prop_oneof![
            3 => edit(2).prop_map(KeyEdit::Name),
            3 => option::of(0..6_u8).prop_map(KeyEdit::Expires),
            1 => Just(KeyEdit::ExpiresNull),
        ], expecting())
            .prop_map(|(way, api_key, edit, expecting)| Command::UpdateApiKey { way, api_key, edit, expecting }),
        1 => (way(), pick(), expecting())
            .prop_map(|(way, api_key, expecting)| Command::RevokeApiKey { way, api_key, expecting }),
        4 => pick().prop_map(|api_key| Command::Authenticate { api_key }),
        5 => (way(), rule(), key()).prop_map(|(way, rule, key)| Command::AddRule { way, rule, key }),
        2 => (way(), rule(), expecting()).prop_map(|(way, rule, expecting)| {
            Command::RemoveRule { way, rule, expecting }
        }),
        2 => (way(), option::of(any::<bool>())).prop_map(|(way, status)| Command::Toggle { way, status }),
        3 => (way(), 0..4_u8).prop_map(|(way, card)| Command::Screen { way, card }),
    ]
    .boxed()
}

/// What fills an empty store.
fn beginnings() -> BoxedStrategy<Command> {
    let id = 0..4_u8;
    prop_oneof![
        1 => (0..2_u8, key()).prop_map(|(name, key)| Command::CreateOrganization { name, key }),
        3 => (any::<u8>().prop_map(Pick::Living), id, prop_oneof![2 => Just(Vec::new()), 1 => vec(0..3_u8, 0..3)], key())
            .prop_map(|(organization, id, businesses, key)| {
                Command::CreateMerchant { organization, id, parent: None, stated: None, businesses, key }
            }),
    ]
    .boxed()
}

/// Any command, where `merchants` accounts live: of few, more are made.
pub(crate) fn command(merchants: usize) -> BoxedStrategy<Command> {
    let begin = match merchants {
        0 => 60,
        1 => 10,
        _ => 1,
    };
    let repeat = any::<u8>().prop_map(|which| Command::Repeat { which });
    prop_oneof![
        begin => beginnings(),
        5 => tenants(),
        8 => profiles(),
        8 => keys_and_rules(),
        6 => RoutingCommand::any(&way(), &pick(), &expecting(), &key()).prop_map(Command::Routing),
        1 => repeat,
    ]
    .boxed()
}
