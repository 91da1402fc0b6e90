//! The checks as JUnit XML: a test suite per probe suite, one test case for its gate.

use quick_junit::NonSuccessKind;
use quick_junit::Property;
use quick_junit::Report;
use quick_junit::TestCase;
use quick_junit::TestCaseStatus;
use quick_junit::TestSuite;

use super::Checked;
use super::Document;
use super::inert::inert;
use super::terminal::change_line;
use super::terminal::facts;
use super::weights;
use crate::baseline::check::Verdict;
use crate::report::Error;

/// Changed items that are listed.
const LISTED: usize = 100;
/// Characters of a label or a place.
const NAME: usize = 200;

/// The document as JUnit XML. A gate that could not decide is a skipped case.
///
/// # Errors
/// Only for text that XML has no form for.
pub fn junit(document: &Document) -> Result<String, Error> {
    let mut report = Report::new("kinprobe check");
    for checked in &document.suites {
        let mut suite = suite(checked);
        if let Some(lineage) = &document.weights {
            suite.add_property(Property::new("weights", weights::words(lineage)));
        }
        report.add_test_suite(suite);
    }
    let xml = report
        .to_string()
        .map_err(|error| Error::Junit(error.to_string()))?;
    // Stands first at the root, whose name is ours. Jenkins' schema knows it of a suite alone.
    let skipped = format!(" skipped=\"{}\"", report.skipped);
    Ok(xml.replacen(&skipped, "", 1))
}

fn suite(checked: &Checked) -> TestSuite {
    let outcome = &checked.outcome;
    let mut suite = TestSuite::new(checked.suite.as_str());
    let conditions = outcome.conditions.changes.iter();
    let changed = conditions.map(|change| {
        let value = format!("{} -> {}", change.before, change.now);
        Property::new(format!("changed.{}", change.what), inert(&value, NAME))
    });
    suite.add_properties(changed);
    for (name, value) in [
        ("baseline", checked.baseline.as_str()),
        ("accepted", checked.accepted.as_str()),
        ("tier", outcome.gate.tier.name()),
    ] {
        suite.add_property(Property::new(name, inert(value, NAME)));
    }
    let mut status = match outcome.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Inconclusive => TestCaseStatus::skipped(),
        Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
    };
    if outcome.verdict != Verdict::Pass {
        status.set_message(inert(&outcome.reason, NAME));
        status.set_type(format!("{:?}", outcome.verdict).to_lowercase());
        status.set_description(description(checked));
    }
    let name = inert(&checked.label, NAME);
    let mut case = TestCase::new(format!("{name} ({})", outcome.gate.tier.name()), status);
    case.set_classname(format!("kinprobe.{}", checked.suite));
    suite.add_test_case(case);
    suite
}

/// What the terminal says, with more items.
fn description(checked: &Checked) -> String {
    let changed = &checked.outcome.changed;
    let mut lines = facts(&checked.outcome);
    lines.extend(changed.iter().take(LISTED).map(change_line));
    if changed.len() > LISTED {
        lines.push(format!("and {} more", changed.len() - LISTED));
    }
    lines.join("\n")
}
