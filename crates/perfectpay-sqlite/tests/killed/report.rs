//! What hosts told before they were killed: which commands they began, which change sets went to the store, and what
//! was answered.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use perfectpay::Error;
use perfectpay::store::{Actor, Change, ChangeSet, Committed, EntityRef, Store};
use perfectpay_testkit::layer::Layer;
use serde_json::{Value, json};

/// Where lines go.
pub(crate) enum Sink {
    /// The pipe of a process.
    Pipe,
    /// Here.
    Kept(Mutex<Vec<String>>),
}

impl Sink {
    pub(crate) fn tell(&self, line: &str) {
        match self {
            Self::Pipe => {
                // One write a line, flushed by its end; a process without a reader has nothing left to do.
                let line = format!("@{line}\n");
                let mut out = std::io::stdout().lock();
                out.write_all(line.as_bytes()).unwrap();
                out.flush().unwrap();
            }
            Self::Kept(lines) => lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned()),
        }
    }

    /// A command begins: which kinds of object it makes, if it is one that makes some, and how it is repeated.
    pub(crate) fn begins(&self, actor: &str, makes: &[&str], command: Option<&Create>) {
        self.tell(
            &json!({ "t": "begins", "by": actor, "makes": makes, "command": command.map(Create::told) }).to_string(),
        );
    }

    /// A command was answered: this is its acknowledgement.
    pub(crate) fn answered(&self, actor: &str, answer: &Result<String, Error>) {
        let line = match answer {
            Ok(id) => json!({ "t": "answered", "by": actor, "id": id }),
            Err(error) => json!({ "t": "answered", "by": actor, "code": error.code(), "error": format!("{error:?}") }),
        };
        self.tell(&line.to_string());
    }
}

/// A command that creates something, in a form in which another process can repeat it.
#[derive(Debug, Clone)]
pub(crate) struct Create {
    pub(crate) noun: String,
    pub(crate) organization: String,
    pub(crate) merchant: String,
    pub(crate) body: String,
    pub(crate) key: Option<String>,
}

impl Create {
    fn told(&self) -> Value {
        json!([self.noun, self.organization, self.merchant, self.body, self.key])
    }

    fn heard(told: &Value) -> Option<Self> {
        let text = |at: usize| told.get(at)?.as_str().map(str::to_owned);
        Some(Self { noun: text(0)?, organization: text(1)?, merchant: text(2)?, body: text(3)?, key: text(4) })
    }
}

/// How an object is named here: its kind, its tenant, and its id if it is not the tenant.
pub(crate) fn name(entity: &EntityRef) -> String {
    let bytes = entity.tenant.as_bytes().iter();
    let digits = bytes.flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(digit.into(), 16));
    let tenant: String = digits.collect();
    named(&entity.kind.to_string(), &tenant, &entity.id)
}

pub(crate) fn named(kind: &str, tenant: &str, id: &str) -> String {
    format!("{kind}/{tenant}/{}", if matches!(kind, "organization" | "merchant") { "" } else { id })
}

/// Tells every change set before it goes to the store, and what came of it.
pub(crate) struct Recorder {
    pub(crate) sink: Sink,
    sets: AtomicU64,
}

impl Recorder {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { sink, sets: AtomicU64::new(0) }
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

#[async_trait]
impl Layer for Recorder {
    async fn commit(&self, next: &dyn Store, set: ChangeSet) -> Result<Committed, Error> {
        let number = self.sets.fetch_add(1, Ordering::Relaxed);
        let Actor::Operator(actor) = set.actor.clone() else { panic!("a command without its name") };
        let changes: Vec<Value> = set.changes.iter().map(|change| told(change, &set)).collect();
        self.sink.tell(&json!({ "t": "set", "by": actor.to_string(), "n": number, "changes": changes }).to_string());
        let answer = next.commit(set).await;
        let end = match &answer {
            Ok(Committed::Applied(receipt)) => json!(receipt.position.as_u64()),
            Ok(Committed::Replayed(_)) => json!("replayed"),
            Err(error) => json!(error.code()),
        };
        self.sink.tell(&json!({ "t": "end", "by": actor.to_string(), "n": number, "end": end }).to_string());
        answer
    }
}

fn told(change: &Change, set: &ChangeSet) -> Value {
    let (entity, parent) = match change {
        Change::Create(record) | Change::Update(record) => (record.entity(), record.parent(&set.owner)),
        Change::Remove { .. }
        | Change::Reveal { .. }
        | Change::AddBlockRules(_)
        | Change::AddStagedRules(_)
        | Change::PurgeBlockRules(_)
        | Change::MarkUsed(_) => (change.entity(), None),
    };
    let logged = change.logged();
    json!({ "name": name(&entity), "parent": parent.as_ref().map(name), "verb": logged.verb, "version": logged.version })
}

/// One change of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) verb: String,
    pub(crate) version: u64,
}

/// What became of a set, as far as it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Untold,
    Applied(u64),
    NotApplied(String),
}

#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) number: u64,
    pub(crate) steps: Vec<Step>,
    pub(crate) end: End,
}

/// All that was told of one command.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) makes: Vec<String>,
    pub(crate) command: Option<Create>,
    pub(crate) sets: Vec<Set>,
    pub(crate) answer: Option<Result<String, String>>,
    /// Whether the check looked at it already.
    pub(crate) settled: bool,
}

/// All that was told of the commands on one file.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) commands: BTreeMap<String, Told>,
    /// What each object was made below.
    pub(crate) parents: BTreeMap<String, String>,
}

impl Report {
    pub(crate) fn take_down(&mut self, lines: &[String]) {
        for line in lines {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let told = self.commands.entry(text(&line["by"])).or_default();
            match line["t"].as_str().unwrap() {
                "begins" => {
                    told.makes = line["makes"].as_array().unwrap().iter().map(text).collect();
                    told.makes.sort();
                    told.command = Create::heard(&line["command"]);
                }
                "set" => {
                    let mut steps = Vec::new();
                    for change in line["changes"].as_array().unwrap() {
                        let name = text(&change["name"]);
                        if let Some(parent) = change["parent"].as_str() {
                            self.parents.insert(name.clone(), parent.to_owned());
                        }
                        let version = change["version"].as_u64().unwrap();
                        steps.push(Step { name, verb: text(&change["verb"]), version });
                    }
                    told.sets.push(Set { number: line["n"].as_u64().unwrap(), steps, end: End::Untold });
                }
                "end" => {
                    let number = line["n"].as_u64().unwrap();
                    let set = told.sets.iter_mut().find(|set| set.number == number).unwrap();
                    set.end = match line["end"].as_u64() {
                        Some(position) => End::Applied(position),
                        None => End::NotApplied(text(&line["end"])),
                    };
                }
                "answered" => {
                    told.answer = Some(match line["id"].as_str() {
                        Some(id) => Ok(id.to_owned()),
                        None => Err(format!("{} {}", text(&line["code"]), text(&line["error"]))),
                    });
                }
                other => panic!("{other}"),
            }
        }
    }
}
