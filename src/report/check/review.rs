//! One changed item, what was accepted beside what is answered now.

use comfy_table::ColumnConstraint;
use comfy_table::ContentArrangement;
use comfy_table::ContentLineStyle;
use comfy_table::Table;
use comfy_table::Width;
use comfy_table::presets::NOTHING;

use super::inert::inert;
use super::terminal::decided;
use crate::baseline::check::ItemChange;
use crate::report::COLUMNS;
use crate::report::Style;

/// Characters of a question.
const PROMPT: usize = 400;
/// Characters of an answer.
const ANSWER: usize = 400;
/// Characters of an item's id.
const ID: usize = 60;

/// A changed item that a person looks at.
#[derive(Debug, Clone, Copy)]
pub struct Card<'a> {
    /// What changed.
    pub change: &'a ItemChange,
    /// The question.
    pub prompt: &'a str,
    /// Which of how many it is, from 1.
    pub place: (usize, usize),
}

impl Card<'_> {
    /// The item on a terminal, ending in a newline.
    pub fn text(&self, style: Style) -> String {
        let change = self.change;
        let (at, of) = self.place;
        let mut head = format!("({at} of {of})  item {}", inert(&change.item, ID));
        if change.knife_edge {
            head += "  on the knife's edge";
        }
        if let Some(decided) = decided(change) {
            head += &format!("  {decided}");
        }
        let mut lines = vec![style.bold(&head)];
        lines.push(style.dim(&format!("  {}", inert(self.prompt, PROMPT))));
        let mut table = Table::new();
        table.load_style(NOTHING.content_lines(ContentLineStyle::none().junction('│')));
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(COLUMNS as u16);
        table.add_row(["accepted", "now"]);
        table.add_row([&change.before, &change.now].map(|answer| inert(answer, ANSWER)));
        table.add_row(change.correct.map(right));
        let half = ColumnConstraint::Absolute(Width::Fixed((COLUMNS / 2 - 2) as u16));
        table.set_constraints([half, half]);
        lines.extend(table.lines().map(|line| format!("  {}", line.trim_end())));
        if change.before == change.now {
            lines.push(format!("  {}", inert(&change.why, ANSWER)));
        }
        lines.join("\n") + "\n"
    }
}

fn right(correct: Option<bool>) -> &'static str {
    match correct {
        Some(true) => "(right)",
        Some(false) => "(wrong)",
        None => "(unscored)",
    }
}
