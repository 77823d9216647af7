//! A manifest held against the operator's word, for people: what it asks for, what there is, and what holds.

use bytesize::ByteSize;

use super::ceilings::{Ceilings, Operator};
use super::http::Rule;
use super::manifest::{Manifest, Setting};
use super::{CPU, MEMORY, TIMEOUT};

/// What a handler gets of what its manifest asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Every limit, asked for or not.
    pub limits: Vec<Limit>,
    /// What is asked for under `[grants]`, a line or name each.
    pub grants: Vec<Grant>,
}

/// One limit, as a manifest would write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The manifest's key.
    pub key: &'static str,
    /// None where the manifest says nothing.
    pub asked: Option<String>,
    /// None where the operator sets none.
    pub ceiling: Option<String>,
    /// What a run gets: asked for, or a default that was cut down to the ceiling.
    pub holds: Holds,
}

/// What becomes of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A run gets this.
    Value(String),
    /// Nobody has set one.
    Open,
    /// More is asked for than there is: the handler isn't served.
    Refused,
}

/// One thing that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// As a manifest would write it: `enqueue = "mail"`.
    pub asked: String,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Why it isn't simply allowed.
    pub because: Option<String>,
}

/// What becomes of a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Allowed,
    /// The operator allows some of the requests.
    InPart,
    /// The operator allows none of these requests: each is answered as denied.
    Denied,
    /// The operator doesn't let it be granted: the handler isn't served.
    Refused,
    /// It holds if the secret of this name was given to the worker.
    Secret(String),
}

impl Operator {
    /// What `asked` gets here.
    pub(super) fn terms(&self, asked: &Manifest) -> Terms {
        let (defaults, ceilings) = (&self.defaults, &self.ceilings);
        let span = |span| humantime::format_duration(span).to_string();
        let (timeout, cpu) = (defaults.timeout.or(Some(TIMEOUT)), defaults.cpu.or(Some(CPU)));
        let memory = defaults.memory.or(Some(ByteSize::b(MEMORY)));
        let Ceilings { max_retries, timeout: longest, cpu: most, memory: largest, concurrency } = ceilings;
        let limits = vec![
            limit("timeout", asked.timeout, timeout, *longest, span),
            limit("cpu", asked.cpu, cpu, *most, span),
            limit("memory", asked.memory, memory, *largest, |memory| memory.to_string()),
            limit("max_retries", asked.max_retries, defaults.max_retries, *max_retries, |retries| retries.to_string()),
            limit("concurrency", asked.concurrency, None, *concurrency, |runs| runs.to_string()),
        ];
        Terms { limits, grants: self.grants(asked) }
    }

    fn grants(&self, asked: &Manifest) -> Vec<Grant> {
        let told = |asked: String, problem: Option<(Verdict, String)>| {
            let (verdict, because) = problem.map_or((Verdict::Allowed, None), |(verdict, why)| (verdict, Some(why)));
            Grant { asked, verdict, because }
        };
        let refused = |why: Option<String>| why.map(|why| (Verdict::Refused, why));
        let http = asked.grants.http.iter().map(|rule| told(format!("http = \"{rule}\""), self.http_problem(rule)));
        let settings = asked.grants.config.iter().map(|(name, setting)| match setting {
            Setting::Text(_) => told(format!("config.{name}"), None),
            Setting::Secret(secret) => Grant {
                asked: format!("config.{name} = {{ secret = \"{secret}\" }}"),
                verdict: Verdict::Secret(secret.clone()),
                because: None,
            },
        });
        let enqueue = asked.grants.enqueue.iter();
        let enqueue = enqueue.map(|name| told(format!("enqueue = \"{name}\""), refused(self.enqueue_problem(name))));
        let store = asked.grants.store.then(|| told("store = true".into(), refused(self.store_problem())));
        http.chain(settings).chain(enqueue).chain(store).collect()
    }

    fn http_problem(&self, rule: &Rule) -> Option<(Verdict, String)> {
        if let Some(why) = self.inside_problem(rule) {
            return Some((Verdict::Refused, why));
        }
        let allowed = self.http.as_ref()?;
        if allowed.iter().any(|ceiling| ceiling.covers(rule)) {
            return None;
        }
        let met: Vec<String> = allowed.iter().filter(|ceiling| ceiling.meets(rule)).map(Rule::to_string).collect();
        Some(match met.is_empty() {
            true => (Verdict::Denied, "not within the operator's [grants] http".to_owned()),
            false => (Verdict::InPart, format!("the operator allows {}", met.join(", "))),
        })
    }
}

fn limit<T: Ord + Copy>(
    key: &'static str,
    asked: Option<T>,
    default: Option<T>,
    ceiling: Option<T>,
    shown: impl Fn(T) -> String,
) -> Limit {
    let holds = match (asked, ceiling) {
        (Some(asked), Some(most)) if asked > most => Holds::Refused,
        _ => asked.or(super::ceilings::least(default, ceiling)).map_or(Holds::Open, |held| Holds::Value(shown(held))),
    };
    Limit { key, asked: asked.map(&shown), ceiling: ceiling.map(&shown), holds }
}
