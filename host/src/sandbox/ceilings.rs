//! What a host's operator sets above all manifests: defaults, ceilings, and what may be granted at all.

use std::time::Duration;

use bytesize::ByteSize;

use super::http::Rule;
use super::manifest::Grants;
use super::{CPU, MEMORY, Manifest, TIMEOUT};
use crate::task::{Backoff, Name};

/// The operator's word. The default one says nothing: no ceilings, and manifests may be granted whatever they ask for but
/// secrets and addresses inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operator {
    /// For what neither a task nor its handler's manifest says.
    pub defaults: Defaults,
    /// What no handler and no task gets more of.
    pub ceilings: Ceilings,
    /// Where handlers' requests may go at most, whatever manifests grant; none for anywhere outside.
    pub http: Option<Vec<Rule>>,
    /// Handlers whose tasks a handler may be let enqueue; none for all.
    pub enqueue: Option<Vec<Name>>,
    /// Whether handlers may be let use a store; none for yes.
    pub store: Option<bool>,
}

/// What a handler gets whose manifest doesn't say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Where tasks for it go unless the producer says otherwise.
    pub queue: Option<Name>,
    /// Runs allowed after the first failed one.
    pub max_retries: Option<u32>,
    /// Delays between attempts.
    pub backoff: Option<Backoff>,
    /// Wall time of one run.
    pub timeout: Option<Duration>,
    /// CPU time of one run.
    pub cpu: Option<Duration>,
    /// All memories and tables of one run together.
    pub memory: Option<ByteSize>,
}

/// The most that there is. A manifest that asks for more is refused, so that its author hears of it; a task's own option
/// is cut down to it as it runs, because its producer may be anyone, and a task that was accepted has to have an end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Runs allowed after the first failed one.
    pub max_retries: Option<u32>,
    /// Wall time of one run.
    pub timeout: Option<Duration>,
    /// CPU time of one run.
    pub cpu: Option<Duration>,
    /// All memories and tables of one run together.
    pub memory: Option<ByteSize>,
    /// Runs of one handler at once in one process.
    pub concurrency: Option<usize>,
}

impl Operator {
    /// `asked` with what it leaves open filled in; or why it asks for too much, in one line.
    pub(super) fn settle(&self, asked: Manifest) -> Result<Manifest, String> {
        self.check_grants(&asked)?;
        let (defaults, ceilings) = (&self.defaults, &self.ceilings);
        let span = |span| humantime::format_duration(span).to_string();
        within("max_retries", asked.max_retries, ceilings.max_retries, |retries| retries.to_string())?;
        within("timeout", asked.timeout, ceilings.timeout, span)?;
        within("cpu", asked.cpu, ceilings.cpu, span)?;
        within("memory", asked.memory, ceilings.memory, |memory| memory.to_string())?;
        within("concurrency", asked.concurrency, ceilings.concurrency, |runs| runs.to_string())?;
        Ok(Manifest {
            queue: asked.queue.or_else(|| defaults.queue.clone()),
            max_retries: asked.max_retries.or(least(defaults.max_retries, ceilings.max_retries)),
            backoff: asked.backoff.or(defaults.backoff),
            timeout: asked.timeout.or(least(defaults.timeout.or(Some(TIMEOUT)), ceilings.timeout)),
            cpu: asked.cpu.or(least(defaults.cpu.or(Some(CPU)), ceilings.cpu)),
            memory: asked.memory.or(least(defaults.memory.or(Some(ByteSize::b(MEMORY))), ceilings.memory)),
            concurrency: asked.concurrency.or(ceilings.concurrency),
            ..asked
        })
    }

    /// A manifest ships with other people's code: what it asks for is granted only as far as the operator would.
    fn check_grants(&self, asked: &Manifest) -> Result<(), String> {
        let Grants { http, enqueue, store, .. } = &asked.grants;
        let problem = http
            .iter()
            .find_map(|rule| self.inside_problem(rule))
            .map(|why| format!("grants.http: {why}"))
            .or_else(|| {
                enqueue.iter().find_map(|name| self.enqueue_problem(name)).map(|why| format!("grants.enqueue: {why}"))
            })
            .or_else(|| self.store_problem().filter(|_| *store).map(|why| format!("grants.store: {why}")));
        problem.map_or(Ok(()), Err)
    }

    /// Why this rule isn't granted: what listens on this machine and beside it trusts whoever can reach it, so that is
    /// nothing that a manifest could grant by itself.
    pub(super) fn inside_problem(&self, rule: &Rule) -> Option<String> {
        let (address, what) = rule.inside()?;
        let named = self.http.iter().flatten().any(|ceiling| ceiling.address() == Some(address));
        (!named).then(|| {
            format!("{address} is inside ({what}): expected the operator to name it in [grants] http (TASQ_GRANT_HTTP)")
        })
    }

    pub(super) fn enqueue_problem(&self, name: &Name) -> Option<String> {
        let allowed = self.enqueue.as_ref()?;
        (!allowed.contains(name)).then(|| format!("\"{name}\" is not among what the operator lets be granted"))
    }

    pub(super) fn store_problem(&self) -> Option<String> {
        (self.store == Some(false)).then(|| "the operator lets no handler use the store".into())
    }
}

impl Ceilings {
    /// `retries`, or as many as there are.
    pub fn max_retries(&self, retries: u32) -> u32 {
        self.max_retries.map_or(retries, |most| retries.min(most))
    }

    /// `timeout`, or as long as there is.
    pub fn timeout(&self, timeout: Duration) -> Duration {
        self.timeout.map_or(timeout, |most| timeout.min(most))
    }

    /// `cpu`, or as long as there is.
    pub fn cpu(&self, cpu: Duration) -> Duration {
        self.cpu.map_or(cpu, |most| cpu.min(most))
    }
}

/// The smaller of what is there.
pub(super) fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

fn within<T: Ord + Copy>(
    key: &str,
    asked: Option<T>,
    ceiling: Option<T>,
    shown: impl Fn(T) -> String,
) -> Result<(), String> {
    match (asked, ceiling) {
        (Some(asked), Some(most)) if asked > most => {
            let (most, found) = (shown(most), shown(asked));
            Err(format!("{key}: expected at most the operator's ceiling of {most}, found {found}"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ceilings() -> Operator {
        let ceilings = Ceilings {
            max_retries: Some(3),
            timeout: Some(10 * SECOND),
            cpu: Some(60 * SECOND),
            memory: Some(ByteSize::mib(64)),
            concurrency: Some(2),
        };
        Operator { ceilings, ..Operator::default() }
    }

    #[test]
    fn what_a_manifest_leaves_open_is_the_operators_then_the_hosts() {
        let queue = |name: &str| Some(name.parse::<Name>().unwrap());
        let (timeout, max_retries) = (Some(7 * SECOND), Some(1));
        let defaults = Defaults { queue: queue("bulk"), timeout, max_retries, ..Defaults::default() };
        let operator = Operator { defaults, ..Operator::default() };
        let settled = operator.settle(Manifest { timeout: Some(SECOND), ..Manifest::default() }).unwrap();
        assert_eq!((settled.timeout, settled.max_retries, settled.cpu), (Some(SECOND), Some(1), Some(CPU)));
        let open = operator.settle(Manifest::default()).unwrap();
        assert_eq!((open.timeout, open.queue), (Some(7 * SECOND), queue("bulk")));
        let mail = operator.settle(Manifest { queue: queue("mail"), ..Manifest::default() }).unwrap();
        assert_eq!(mail.queue, queue("mail"));
        assert_eq!(Operator::default().settle(Manifest::default()).unwrap().concurrency, None);
    }

    #[test]
    fn a_default_is_cut_down_to_the_ceiling() {
        let settled = ceilings().settle(Manifest::default()).unwrap();
        assert_eq!((settled.timeout, settled.cpu), (Some(10 * SECOND), Some(CPU)));
        assert_eq!((settled.memory, settled.concurrency), (Some(ByteSize::mib(64)), Some(2)));
        assert_eq!(ceilings().ceilings.max_retries(25), 3);
    }

    #[test]
    fn a_manifest_above_a_ceiling_is_refused() {
        for (manifest, want) in [
            (Manifest { timeout: Some(11 * SECOND), ..Manifest::default() }, "timeout: expected at most"),
            (Manifest { cpu: Some(61 * SECOND), ..Manifest::default() }, "ceiling of 1m, found 1m 1s"),
            (Manifest { memory: Some(ByteSize::mib(65)), ..Manifest::default() }, "memory: expected"),
            (Manifest { concurrency: Some(3), ..Manifest::default() }, "concurrency: expected"),
            (Manifest { max_retries: Some(4), ..Manifest::default() }, "ceiling of 3, found 4"),
        ] {
            let refused = ceilings().settle(manifest).unwrap_err();
            assert!(refused.contains(want), "{refused}");
        }
        assert!(ceilings().settle(Manifest { timeout: Some(10 * SECOND), ..Manifest::default() }).is_ok());
    }

    #[test]
    fn a_task_gets_no_more_than_there_is() {
        let Operator { ceilings, .. } = ceilings();
        assert_eq!((ceilings.timeout(SECOND), ceilings.timeout(99 * SECOND)), (SECOND, 10 * SECOND));
        assert_eq!((ceilings.cpu(SECOND), ceilings.cpu(99 * SECOND)), (SECOND, 60 * SECOND));
        assert_eq!((ceilings.max_retries(2), ceilings.max_retries(9)), (2, 3));
        assert_eq!(Ceilings::default().max_retries(9), 9);
    }

    #[test]
    fn what_the_operator_does_not_grant_cannot_be_asked_for() {
        let grants = Grants { enqueue: vec!["mail".parse().unwrap()], ..Grants::default() };
        let asked = Manifest { grants, ..Manifest::default() };
        let granting = |names: Option<&[&str]>| Operator {
            enqueue: names.map(|names| names.iter().map(|name| name.parse().unwrap()).collect()),
            ..Operator::default()
        };
        assert!(granting(None).settle(asked.clone()).is_ok());
        assert!(granting(Some(&["add", "mail"])).settle(asked.clone()).is_ok());
        assert!(granting(Some(&["add"])).settle(asked.clone()).unwrap_err().contains("grants.enqueue: \"mail\""));
        assert!(granting(Some(&[])).settle(asked).is_err());
        assert!(granting(Some(&[])).settle(Manifest::default()).is_ok());
    }

    #[test]
    fn an_address_inside_needs_the_operators_word() {
        let rules = |rules: &[&str]| rules.iter().map(|rule| rule.parse().unwrap()).collect::<Vec<Rule>>();
        let asking = |http: &str| {
            let grants = Grants { http: rules(&[http]), ..Grants::default() };
            Manifest { grants, ..Manifest::default() }
        };
        let naming = |http: &[&str]| Operator { http: Some(rules(http)), ..Operator::default() };
        for inside in ["http://127.0.0.1:8080", "http://10.1.2.3", "GET https://[::1]/v1", "https://[fd00::1]"] {
            let refused = Operator::default().settle(asking(inside)).unwrap_err();
            assert!(refused.starts_with("grants.http: ") && refused.contains(" is inside ("), "{refused}");
            assert!(naming(&["http://*", "https://*", "http://10.1.2.4"]).settle(asking(inside)).is_err(), "{inside}");
            assert!(naming(&["https://*", inside]).settle(asking(inside)).is_ok(), "{inside}");
        }
        for outside in ["http://8.8.8.8", "https://[2606:4700::1111]", "https://api.example.com", "https://*"] {
            assert!(Operator::default().settle(asking(outside)).is_ok(), "{outside}");
        }
    }
}
