//! Prompt templates: text with `{{field}}` holes, nothing else.

use serde_json::Value;

use super::dataset::Row;
use super::suggest::instead_of;

/// A parsed template.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(String),
}

impl Template {
    /// Splits `source` at its holes.
    pub(super) fn parse(source: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = source;
        while let Some((text, after)) = rest.split_once("{{") {
            let (name, tail) = after
                .split_once("}}")
                .ok_or("the prompt has a `{{` without `}}`: close it")?;
            let name = name.trim();
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(
                    "the prompt has a `{{…}}` that is not a field name: only `{{field}}` is replaced"
                        .to_owned(),
                );
            }
            pieces.push(Piece::Text(text.to_owned()));
            pieces.push(Piece::Field(name.to_owned()));
            rest = tail;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// Fills the holes with one row's fields.
    pub(super) fn render(&self, row: &Row) -> Result<String, String> {
        let mut prompt = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => prompt.push_str(text),
                Piece::Field(name) => match row.fields.get(name) {
                    Some(Value::String(text)) => prompt.push_str(text),
                    Some(Value::Number(number)) => prompt.push_str(&number.to_string()),
                    Some(_) => {
                        return Err(format!(
                            "the prompt names field `{name}`, which is neither text nor a number here"
                        ));
                    }
                    None => {
                        let known = row.fields.keys().map(String::as_str);
                        return Err(format!(
                            "the prompt names a field this row lacks: {}",
                            instead_of(name, known)
                        ));
                    }
                },
            }
        }
        Ok(prompt)
    }
}

#[cfg(test)]
mod tests {
    use super::Template;
    use crate::probe::dataset::Row;

    fn row(json: &str) -> Row {
        Row {
            line: 1,
            fields: serde_json::from_str(json).expect("test row"),
        }
    }

    #[test]
    fn fills_holes_once() {
        let template = Template::parse("Q: {{ q }}\n{{n}}: {x}").expect("valid");
        let filled = template.render(&row(r#"{"q":"{{n}}?","n":3}"#));
        assert_eq!(filled.as_deref(), Ok("Q: {{n}}?\n3: {x}"));
    }

    #[test]
    fn refuses_what_it_cannot_fill() {
        for broken in ["{{q", "{{}}", "{{a b}}", "{{q|upper}}", "{{q.x}}"] {
            assert!(Template::parse(broken).is_err(), "{broken}");
        }
        let template = Template::parse("{{questoin}}").expect("valid");
        let missing = template.render(&row(r#"{"question":"?"}"#));
        assert!(
            missing
                .expect_err("no such field")
                .contains("did you mean `question`")
        );
        let list = Template::parse("{{q}}")
            .expect("valid")
            .render(&row(r#"{"q":[1]}"#));
        assert!(list.expect_err("a list").contains("neither text"));
    }
}
