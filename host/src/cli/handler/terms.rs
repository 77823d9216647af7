//! What `handler check` says of a manifest under the operator's word.

use serde::Serialize;

use super::super::output;
use super::super::secrets::{Standing, standing};
use crate::config::Config;
use tasq_host::sandbox::terms::{Grant, Holds, Limit, Terms, Verdict};

#[derive(Serialize)]
pub(super) struct TermsView<'a> {
    limits: Vec<LimitView<'a>>,
    grants: Vec<GrantView<'a>>,
}

/// Values are as a manifest has them.
#[derive(Serialize)]
struct LimitView<'a> {
    limit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ceiling: Option<&'a str>,
    /// Absent where there is no limit, and where more is asked for than there is.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<&'a str>,
    refused: bool,
}

#[derive(Serialize)]
struct GrantView<'a> {
    grant: &'a str,
    verdict: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
}

impl TermsView<'_> {
    pub(super) fn of<'a>(terms: &'a Terms, config: &Config) -> TermsView<'a> {
        let grants = terms.grants.iter().map(|grant| GrantView::of(grant, config)).collect();
        TermsView { limits: terms.limits.iter().map(LimitView::of).collect(), grants }
    }

    /// One table, or two where anything is asked for under `[grants]`.
    pub(super) fn text(&self) -> String {
        let limits = std::iter::once(["LIMIT", "ASKED", "CEILING", "HOLDS"].map(String::from).to_vec());
        let limits = output::table(&limits.chain(self.limits.iter().map(LimitView::row)).collect::<Vec<_>>());
        if self.grants.is_empty() {
            return limits;
        }
        let grants = std::iter::once(["GRANT", "VERDICT", "BECAUSE"].map(String::from).to_vec());
        let grants = output::table(&grants.chain(self.grants.iter().map(GrantView::row)).collect::<Vec<_>>());
        format!("{limits}\n\n{grants}")
    }

    /// Whether a worker that is started like this would miss a secret.
    pub(super) fn misses_a_secret(&self) -> bool {
        self.grants.iter().any(|grant| grant.verdict == MISSING)
    }
}

const MISSING: &str = "missing";

impl LimitView<'_> {
    fn of(limit: &Limit) -> LimitView<'_> {
        let holds = match &limit.holds {
            Holds::Value(held) => Some(held.as_str()),
            Holds::Open | Holds::Refused => None,
        };
        let Limit { key, asked, ceiling, .. } = limit;
        let refused = limit.holds == Holds::Refused;
        LimitView { limit: key, asked: asked.as_deref(), ceiling: ceiling.as_deref(), holds, refused }
    }

    fn row(&self) -> Vec<String> {
        let holds = self.holds.unwrap_or(if self.refused { "refused" } else { "-" });
        [self.limit, self.asked.unwrap_or("-"), self.ceiling.unwrap_or("-"), holds].map(String::from).to_vec()
    }
}

impl GrantView<'_> {
    fn of<'a>(grant: &'a Grant, config: &Config) -> GrantView<'a> {
        let (verdict, because) = match &grant.verdict {
            Verdict::Allowed => ("allowed", grant.because.clone()),
            Verdict::InPart => ("in part", grant.because.clone()),
            Verdict::Denied => ("denied", grant.because.clone()),
            Verdict::Refused => ("refused", grant.because.clone()),
            Verdict::Secret(name) => match standing(config, name) {
                Standing::Given => ("allowed", None),
                Standing::NotNamed => (MISSING, Some(format!("the operator hasn't named it: --secret {name}"))),
                Standing::Missing(problem) => (MISSING, Some(problem)),
            },
        };
        GrantView { grant: &grant.asked, verdict, because }
    }

    fn row(&self) -> Vec<String> {
        let because = self.because.as_deref().unwrap_or_default();
        vec![output::one_line(self.grant), self.verdict.into(), output::one_line(because)]
    }
}
