//! The root handle and its settings.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use perfectpay_macros::observed;

use super::caller::{Caller, Verdict, Verified, verdict};
use super::command::Create;
use super::follow::{Follower, Follows, Freshness};
use super::keys::KeyIndex;
use super::lists::Lists;
use super::merchant::MerchantScope;
use super::meters;
use super::operation::Operation;
use super::organization::{self, OrganizationScope};
use super::payment::PaymentClient;
use super::routers::Routers;
use super::session::{Claimed, Inner, Lanes, Session, canonical};
use super::vault::Vault;
use crate::api_key::Environment;
use crate::card_testing::{GuardCounters, MemoryCounters};
use crate::connector::Catalogue;
use crate::error::Error;
use crate::event::RetryPlan;
use crate::id::{Incarnation, MerchantId, OrganizationId};
use crate::keyring::{Keyring, LocalKeyring};
use crate::merchant::{DataKeyState, Merchant, NewMerchant};
use crate::organization::{NewOrganization, Organization, OrganizationState};
use crate::page::{Page, PageRequest};
use crate::seal::MasterKey;
use crate::store::{
    Actor, CommitClass, Head, LogEntry, LogPosition, LogQuery, LogScope, MerchantPath, OrganizationPath, Owner, Query,
    Store,
};
use crate::time::{Clock, Entropy, SystemClock, SystemEntropy};
use crate::web_url::WebUrl;

/// What a host chooses when it opens the library.
///
/// ```
/// use perfectpay::{Environment, MasterKey, Settings};
///
/// let settings = Settings::new(MasterKey::from_hex("2026-11", &"5fa1".repeat(16))?)
///     .environment(Environment::Production)
///     .base_url("https://pay.example.com".parse()?);
/// # Ok::<(), perfectpay::Fault>(())
/// ```
#[derive(Debug)]
pub struct Settings {
    keyring: Arc<dyn Keyring>,
    environment: Environment,
    base_url: Option<WebUrl>,
    catalogue: Catalogue,
    test_connectors: bool,
    idempotency_seconds: u32,
    staleness: Duration,
    cached_keys: usize,
    overlap_seconds: u32,
    blocklist_bytes: usize,
    router_bytes: usize,
    counters: Arc<dyn GuardCounters>,
    lints_block: bool,
    webhook_retries: RetryPlan,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Settings {
    /// The sandbox environment, the published connectors without the test ones, idempotency keys and former credentials
    /// kept for 24 hours, other processes' commits seen within one second, 512 MiB for compiled blocklists and 128
    /// MiB for compiled routing, failed attempts counted in memory, routing programs activated whatever is strange in them,
    /// the system's
    /// clock and randomness, and payment links below `http://localhost/`.
    pub fn new(master_key: MasterKey) -> Self {
        Self::with_keyring(Arc::new(LocalKeyring::new(master_key)))
    }

    /// As [`Self::new`], with the keys of a keyring: a [`LocalKeyring`] of several master keys, or one of the host's own
    /// before a key service.
    pub fn with_keyring(keyring: Arc<dyn Keyring>) -> Self {
        Self {
            keyring,
            environment: Environment::Sandbox,
            base_url: None,
            catalogue: Catalogue::published(),
            test_connectors: false,
            idempotency_seconds: 24 * 60 * 60,
            staleness: Duration::from_secs(1),
            cached_keys: 1_000_000,
            overlap_seconds: 24 * 60 * 60,
            blocklist_bytes: 512 << 20,
            router_bytes: 128 << 20,
            counters: Arc::new(MemoryCounters::default()),
            lints_block: false,
            webhook_retries: RetryPlan::published(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }

    /// Which environment the keys are for. Keys of another one do not authenticate.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Where the host serves payment links: `{base_url}/payment_link/{merchant_id}/{payment_id}`.
    pub fn base_url(mut self, base_url: WebUrl) -> Self {
        self.base_url = Some(base_url);
        self
    }

    /// Which connectors there are.
    pub fn catalogue(mut self, catalogue: Catalogue) -> Self {
        self.catalogue = catalogue;
        self
    }

    /// Whether connectors that only pretend may have accounts.
    pub fn test_connectors(mut self, allowed: bool) -> Self {
        self.test_connectors = allowed;
        self
    }

    /// For how long, in seconds, idempotency keys are kept.
    pub fn idempotency_seconds(mut self, seconds: u32) -> Self {
        self.idempotency_seconds = seconds;
        self
    }

    /// How long ago the log may have been looked at when a call answers from memory: after that time at the latest, what
    /// another process committed is seen. Zero looks at every call. Commits through the handles of this library are seen
    /// at once in any case.
    pub fn staleness(mut self, bound: Duration) -> Self {
        self.staleness = bound;
        self
    }

    /// About how many API keys are kept in memory once they were used; unless said otherwise a million, each of some
    /// hundred bytes. A key that is not kept costs a read.
    pub fn cached_keys(mut self, keys: usize) -> Self {
        self.cached_keys = keys;
        self
    }

    /// For how long, in seconds, a connector account's former credentials stay readable, and can be rolled back to, after
    /// others took their place.
    pub fn credential_overlap_seconds(mut self, seconds: u32) -> Self {
        self.overlap_seconds = seconds;
        self
    }

    /// How many bytes compiled blocklists may take: some 24 for each entry, and 2 KiB for each merchant account. Beyond,
    /// those that were not asked for longest go, and are loaded again when they are asked; the one that is asked is kept
    /// in any case.
    pub fn blocklist_bytes(mut self, bytes: usize) -> Self {
        self.blocklist_bytes = bytes;
        self
    }

    /// How many bytes the compiled routing of profiles may take: some kilobytes for each that decides payments. Beyond,
    /// those that were not asked for longest go, and are loaded again when they are asked.
    pub fn router_bytes(mut self, bytes: usize) -> Self {
        self.router_bytes = bytes;
        self
    }

    /// Where failed attempts are counted for the guard against card testing; unless said otherwise in the memory of this
    /// process.
    pub fn guard_counters(mut self, counters: Arc<dyn GuardCounters>) -> Self {
        self.counters = counters;
        self
    }

    /// Whether a routing program in which something is strange can be activated. Unless said otherwise it can: lints are
    /// told, and that is all.
    pub fn lints_block_activation(mut self, block: bool) -> Self {
        self.lints_block = block;
        self
    }

    /// When the delivery of a webhook that failed is due again; the published plan unless stated.
    pub fn webhook_retries(mut self, plan: RetryPlan) -> Self {
        self.webhook_retries = plan;
        self
    }

    /// Where the time is read.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Where randomness is drawn: ids, keys and nonces. Only a test has a reason to set it.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }
}

/// The library, opened on a store: the platform's own handle. Cloning it is cheap, and clones share everything.
#[derive(Debug, Clone)]
pub struct PerfectPay {
    pub(super) session: Session,
}

impl PerfectPay {
    /// Opens the library on a store, which may hold what earlier runs left.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Corrupt`] if the store cannot be read; [`Error::Corrupt`], which names the key that
    /// is needed, if its accounts were sealed under another master key; [`Error::Invalid`] with code `keyring.empty` for a
    /// keyring without keys, and whatever the keyring answers.
    pub async fn open(store: Arc<dyn Store>, settings: Settings) -> Result<Self, Error> {
        meters::register();
        let now = settings.clock.now();
        let head = store.head().await?;
        let base_url = match settings.base_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => "http://localhost".to_owned(),
        };
        let vault = Vault::open(settings.keyring).await?;
        let keys = Arc::new(KeyIndex::new(vault.peppers(), settings.cached_keys));
        let lists = Arc::new(Lists::new(&*settings.entropy, settings.blocklist_bytes));
        let routers = Arc::new(Routers::new(settings.router_bytes));
        let owners: Vec<Arc<dyn Follows>> =
            vec![Arc::clone(&keys) as _, Arc::clone(&lists) as _, Arc::clone(&routers) as _];
        let inner = Inner {
            vault,
            environment: settings.environment,
            base_url,
            catalogue: settings.catalogue,
            test_connectors: settings.test_connectors,
            idempotency_seconds: settings.idempotency_seconds,
            overlap_seconds: settings.overlap_seconds,
            webhook_retries: settings.webhook_retries,
            entropy: settings.entropy,
            follower: Follower::new(owners, settings.clock, settings.staleness, now, &head),
            keys,
            lists,
            routers,
            counters: settings.counters,
            lints_block: settings.lints_block,
            lanes: Lanes::default(),
        };
        let pay = Self { session: Session::host(Arc::new(inner), store) };
        pay.check_keyring().await?;
        Ok(pay)
    }

    /// Opens one data key of the store under each key of the keyring, so that a wrong one is noticed before anything is
    /// sealed under it; and that of the first organization, whatever wrapped it, so that a missing one is, too.
    async fn check_keyring(&self) -> Result<(), Error> {
        let session = &self.session;
        let vault = &session.inner.vault;
        let one = PageRequest::of(1)?;
        let mut keys = Vec::new();
        for id in vault.key_ids() {
            let found = session.list::<DataKeyState>(&Query::DataKeys(id.clone(), one.clone())).await?;
            keys.extend(found.into_iter().flat_map(|page| page.items).map(|row| (row.tenant, row.id)));
        }
        let first = session.list::<OrganizationState>(&Query::Organizations(one)).await?;
        keys.extend(first.into_iter().flat_map(|page| page.items).map(|row| (row.tenant, row.state.data_key)));
        for (tenant, id) in keys {
            match vault.data_key(session.store(), tenant, id.as_str()).await {
                // The tenant went meanwhile; whoever removed it had the key.
                Ok(_) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The same handle on behalf of `actor`, whom the log names for everything done through it.
    pub fn acting_as(&self, actor: Actor) -> Self {
        Self { session: self.session.clone().by(actor) }
    }

    /// The connectors there are.
    pub fn catalogue(&self) -> &Catalogue {
        &self.session.inner.catalogue
    }

    /// Creates an organization.
    ///
    /// # Errors
    ///
    /// Those of a commit: [`Error::IdempotencyMismatch`], and the store's.
    pub fn create_organization(&self, new: NewOrganization) -> Create<Organization> {
        let session = self.session.clone();
        Create::new(async move |options: super::CreateOptions| {
            let moment = session.begin(Operation::CreateOrganization).await?;
            session.may_state(&options)?;
            let stated = options.stated::<OrganizationId>()?;
            let claimed = Claimed {
                operation: Operation::CreateOrganization,
                tenant: Incarnation::PLATFORM,
                path: options.id.as_deref().unwrap_or_default().to_owned(),
                key: options.idempotency_key,
            };
            let request = canonical(&new)?;
            if let Some(first) = session.replay(&claimed, &request).await? {
                return Ok(first);
            }
            let mut set = session.changes(Owner::default(), moment, CommitClass::Configuration);
            let (_, answer) = organization::draft(&session, stated, new, &mut set).await?;
            session.commit_claimed(set, &claimed, &request, answer).await
        })
    }

    /// Creates a merchant account in the organization that the body names; where it names none, in one that is made for it
    /// in the same commit, and called as the account is: by its name, or else its id.
    ///
    /// # Errors
    ///
    /// As [`OrganizationScope::create_merchant`].
    pub fn create_merchant(&self, new: NewMerchant) -> Create<Merchant> {
        let pay = self.clone();
        Create::new(async move |options: super::CreateOptions| match &new.organization_id {
            Some(id) => super::merchant::create(&pay.organization(id), new, options).await,
            None => super::merchant::create_alone(&pay.session, new, options).await,
        })
    }

    /// A handle on an organization, whether it exists or not.
    pub fn organization(&self, id: &OrganizationId) -> OrganizationScope {
        OrganizationScope::new(self.session.clone(), OrganizationPath::Id(id.clone()), id.to_string())
    }

    /// A handle on a merchant account by its id alone, which is unique over the whole store.
    pub fn merchant(&self, id: &MerchantId) -> MerchantScope {
        MerchantScope::new(self.session.clone(), MerchantPath::Id(id.clone()), id.to_string())
    }

    /// Lists the organizations, oldest first.
    ///
    /// # Errors
    ///
    /// Those of the store.
    #[observed]
    pub async fn organizations(&self, page: PageRequest) -> Result<Page<Organization>, Error> {
        self.session.begin(Operation::ListOrganizations).await?;
        let rows = self.session.list::<OrganizationState>(&Query::Organizations(page)).await?;
        let rows = rows.unwrap_or(Page { items: Vec::new(), next: None });
        let mut items = Vec::with_capacity(rows.items.len());
        for row in rows.items {
            match organization::view(&self.session, row).await {
                Ok(organization) => items.push(organization),
                // It was removed while the page was put together.
                Err(Error::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Page { items, next: rows.next })
    }

    /// Who holds this API key, as a handle that may do what the key may.
    ///
    /// White space around the token is ignored. A token that is malformed, mistyped or of another environment is refused
    /// without asking the store. The key is checked again by every operation of the handle, so that a key revoked
    /// meanwhile is refused by the next one. A key with a list of networks is refused: its peer must be told with
    /// [`Self::authenticate_from`].
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`], which prints the same for every reason; those of the store.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, Error> {
        self.accepted(token, None).await
    }

    /// As [`Self::authenticate`], of a token that came from this address.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn authenticate_from(&self, token: &str, peer: IpAddr) -> Result<Caller, Error> {
        self.accepted(token, Some(peer)).await
    }

    async fn accepted(&self, token: &str, peer: Option<IpAddr>) -> Result<Caller, Error> {
        match self.verify(token, peer).await? {
            Verdict::Valid(verified) => Ok(self.caller(verified)),
            Verdict::Refused(refusal) => Err(Error::Unauthorized(refusal)),
        }
    }

    /// What comes of a token, and why, for the host's own decisions and records: what its caller is told must be the same
    /// for every refusal.
    ///
    /// A key that was used lately is in memory. Then this is ready at first poll and allocates nothing, unless the log
    /// must be looked at: see [`Settings::staleness`].
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn verify(&self, token: &str, peer: Option<IpAddr>) -> Result<Verdict, Error> {
        verdict(&self.session, token, peer).await
    }

    /// The handle of whoever holds a key that was verified.
    pub fn caller(&self, verified: Verified) -> Caller {
        Caller::new(&self.session, verified)
    }

    /// Who holds a payment's client secret, with the publishable key of its account: a handle that reads this payment and
    /// does nothing else.
    ///
    /// # Errors
    ///
    /// [`Error::Unauthorized`], which prints the same for every reason; those of the store.
    pub async fn authenticate_client(&self, publishable_key: &str, secret: &str) -> Result<PaymentClient, Error> {
        PaymentClient::authenticate(&self.session, publishable_key, secret).await
    }

    /// Reads the log of the whole store, oldest first, at most 1,000 entries behind `after`.
    ///
    /// # Errors
    ///
    /// [`Error::LogPruned`] if entries behind `after` were pruned, and the store's.
    #[observed]
    pub async fn log(&self, after: LogPosition, limit: u32) -> Result<Vec<LogEntry>, Error> {
        self.session.begin(Operation::ReadLog).await?;
        self.session.store().log(&LogQuery { scope: LogScope::All, after, limit }).await
    }

    /// Where the log ends, and how far, when and by whom it was pruned.
    ///
    /// # Errors
    ///
    /// Those of the store.
    #[observed]
    pub async fn log_head(&self) -> Result<Head, Error> {
        self.session.begin(Operation::ReadLog).await?;
        self.session.store().head().await
    }

    /// Looks at the log and brings what is kept in memory up to it: every commit that was visible when this was called is
    /// seen by the next call. A host needs it after a commit within a transaction of its own; everything else is seen by
    /// itself, see [`Settings::staleness`].
    ///
    /// # Errors
    ///
    /// Those of the store; nothing has moved then.
    #[observed]
    pub async fn catch_up(&self) -> Result<Freshness, Error> {
        self.session.begin(Operation::CatchUp).await?;
        self.session.inner.follower.catch_up(self.session.store()).await
    }

    /// Catches up again and again, so that no other call has to look at the log. `pause` is the runtime's timer, and is
    /// told to wait for half of the bound: `pay.follow(tokio::time::sleep)`. Ends only with an error, or dropped; without
    /// it everything works, and one call in a while looks.
    ///
    /// # Errors
    ///
    /// Those of the store. It may be called again.
    pub async fn follow<P: Future<Output = ()>>(&self, pause: impl Fn(Duration) -> P) -> Result<Infallible, Error> {
        loop {
            self.catch_up().await?;
            pause(self.session.inner.follower.pause()).await;
        }
    }

    /// How current answers from memory are. Asks nothing of the store.
    pub fn freshness(&self) -> Freshness {
        self.session.inner.follower.freshness()
    }
}
