//! What is kept of one object: its state, with its place and its history.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Entity, EntityKind, Error};
use crate::id::Incarnation;
use crate::seal::Sealed;
use crate::time::Timestamp;

/// What is kept of one kind of object. Everything in it goes into one JSON column; what a back-end searches, constrains
/// or orders is told by [`Record`](crate::store::Record) besides.
pub trait State: Serialize + DeserializeOwned + Clone + PartialEq + Debug + Send + Sync + 'static {
    /// The kind.
    const KIND: EntityKind;
    /// How objects of the kind are named.
    type Id: std::fmt::Display + std::str::FromStr<Err = crate::error::Fault> + Clone + PartialEq + Debug + Send + Sync;

    /// Every sealed value in the state, with the field that it is sealed for: whoever opens all of them, or seals them
    /// anew, goes through here. It takes the state apart field by field, so that a new field does not compile until it is
    /// said to be sealed or not.
    fn sealed_fields(&mut self) -> Vec<(&'static str, &mut Sealed)>;
}

/// A state with its place and its history.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<S: State> {
    /// The tenant: of an organization and of a merchant account their own incarnation, of all else the merchant's.
    pub tenant: Incarnation,
    /// The object's id.
    pub id: S::Id,
    /// 1 when created, one more with every update.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last updated.
    pub modified_at: Timestamp,
    /// What is kept of it.
    pub state: S,
}

impl<S: State> Stored<S> {
    /// A new object, at version 1.
    pub fn new(tenant: Incarnation, id: S::Id, now: Timestamp, state: S) -> Self {
        Self { tenant, id, version: 1, created_at: now, modified_at: now, state }
    }

    /// The object after an update: the next version, with another state.
    pub fn next(&self, now: Timestamp, state: S) -> Self {
        Self {
            version: self.version.saturating_add(1),
            modified_at: now.max(self.modified_at),
            state,
            tenant: self.tenant,
            id: self.id.clone(),
            created_at: self.created_at,
        }
    }

    /// The data keys that its sealed values name, each one once.
    pub(crate) fn data_keys(&mut self) -> Result<Vec<Box<str>>, Error> {
        let mut ids: Vec<Box<str>> = Vec::new();
        for (_, sealed) in self.state.sealed_fields() {
            let id = sealed.key_id()?;
            if !ids.iter().any(|known| **known == *id) {
                ids.push(id.into());
            }
        }
        Ok(ids)
    }

    /// How commits and errors name the object.
    pub fn entity(&self) -> EntityRef {
        EntityRef { kind: S::KIND, tenant: self.tenant, id: self.id.to_string() }
    }
}

/// One living object, exactly: its tenant's incarnation is part of it.
///
/// Two are equal when kind, tenant and id are; of an organization or a merchant account kind and incarnation say it
/// all, and the id is only its name.
#[derive(Debug, Clone)]
pub struct EntityRef {
    /// The kind.
    pub kind: EntityKind,
    /// The tenant's incarnation.
    pub tenant: Incarnation,
    /// The id.
    pub id: String,
}

impl EntityRef {
    fn identity(&self) -> (EntityKind, Incarnation, &str) {
        let is_tenant = matches!(self.kind, EntityKind::Organization | EntityKind::Merchant);
        (self.kind, self.tenant, if is_tenant { "" } else { &self.id })
    }

    /// The object as an error names it.
    pub fn named(&self) -> Entity {
        Entity::new(self.kind, &self.id)
    }
}

impl PartialEq for EntityRef {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for EntityRef {}

impl PartialOrd for EntityRef {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for EntityRef {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl std::hash::Hash for EntityRef {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        self.identity().hash(hasher);
    }
}

/// The version of everything that was just created, for answers that are kept as JSON without it.
pub(crate) fn first_version() -> u64 {
    1
}
