//! A finding: how bad it is, what was found where, and what to do about it; and how findings are printed.

use serde_json::json;

use crate::error::CtlError;
use crate::output::{Answer, Text};

/// How bad it is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Something does not work, or is about to stop working.
    Error,
    /// It works, and will not if this goes on.
    Warning,
    /// Worth knowing; also what could not be looked at.
    Note,
    /// Looked at, and well.
    Ok,
}

impl Severity {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
            Self::Ok => "ok",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// What was looked at: `endpoint`, `member`, `leader`, `read`, `clock`, `disk`, `space`, `alarm`, `lease`, `version`,
    /// `certificate`, `hash` or `login`.
    pub(super) check: &'static str,
    /// An endpoint, a member, or the cluster.
    pub(super) subject: String,
    /// What was found, and what it means.
    pub(super) told: String,
    /// What to do; empty where nothing is to be done.
    pub(super) mend: String,
}

impl Finding {
    pub(super) fn new(severity: Severity, check: &'static str, subject: &str, told: String) -> Self {
        Self { severity, check, subject: subject.to_owned(), told, mend: String::new() }
    }

    pub(super) fn error(check: &'static str, subject: &str, told: String) -> Self {
        Self::new(Severity::Error, check, subject, told)
    }

    pub(super) fn warning(check: &'static str, subject: &str, told: String) -> Self {
        Self::new(Severity::Warning, check, subject, told)
    }

    pub(super) fn note(check: &'static str, subject: &str, told: String) -> Self {
        Self::new(Severity::Note, check, subject, told)
    }

    pub(super) fn ok(check: &'static str, subject: &str, told: String) -> Self {
        Self::new(Severity::Ok, check, subject, told)
    }

    /// With what to do about it.
    pub(super) fn mend(self, mend: impl Into<String>) -> Self {
        Self { mend: mend.into(), ..self }
    }
}

/// All that was found, the worst first.
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn has_error(&self) -> bool {
        self.0.iter().any(|finding| finding.severity == Severity::Error)
    }
}

impl Answer for Findings {
    fn simple(&self, text: &mut Text) {
        for Finding { severity, check, subject, told, mend } in &self.0 {
            let mend = if mend.is_empty() { String::new() } else { format!(" -- to do: {mend}") };
            text.row(&format!("{:<7} {check:<11} {subject}: {told}{mend}", severity.name()));
        }
    }

    fn fields(&self, text: &mut Text) {
        for finding in &self.0 {
            text.quoted("Severity", finding.severity.name().as_bytes());
            text.quoted("Check", finding.check.as_bytes());
            text.quoted("Subject", finding.subject.as_bytes());
            text.quoted("Finding", finding.told.as_bytes());
            text.quoted("ToDo", finding.mend.as_bytes());
            text.line("");
        }
    }

    fn json(&self) -> Result<String, CtlError> {
        let object = |finding: &Finding| {
            json!({
                "severity": finding.severity.name(),
                "check": finding.check,
                "subject": finding.subject,
                "finding": finding.told,
                "todo": finding.mend,
            })
        };
        Ok(serde_json::Value::from(self.0.iter().map(object).collect::<Vec<_>>()).to_string())
    }

    fn rows(&self) -> Option<(Vec<&'static str>, Vec<Vec<String>>)> {
        let cells = |finding: &Finding| {
            let Finding { severity, check, subject, told, mend } = finding.clone();
            vec![severity.name().to_owned(), check.to_owned(), subject, told, mend]
        };
        Some((vec!["SEVERITY", "CHECK", "SUBJECT", "FINDING", "TO DO"], self.0.iter().map(cells).collect()))
    }
}
