//! Values that one program writes as a string and the next as a number.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;

/// A string, number or truth value as text; borrowed where the input holds it unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar<'a>(pub Cow<'a, str>);

/// One text, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Many<'a>(pub Vec<Cow<'a, str>>);

/// Nested lists of scalars; what is neither a list nor a scalar is [`Tree::Other`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Tree<'a> {
    Leaf(Cow<'a, str>),
    List(Vec<Tree<'a>>),
    Other,
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Tree::deserialize(deserializer)? {
            Tree::Leaf(text) => Ok(Self(text)),
            _ => Err(Error::custom(
                "a string or number is wanted, not a list or object",
            )),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Many<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Tree::deserialize(deserializer)? {
            Tree::Leaf(text) => Ok(Self(vec![text])),
            Tree::List(parts) => {
                let leaf = |part| match part {
                    Tree::Leaf(text) => Ok(text),
                    _ => Err(Error::custom("a list of strings or numbers is wanted")),
                };
                parts
                    .into_iter()
                    .map(leaf)
                    .collect::<Result<_, _>>()
                    .map(Self)
            }
            Tree::Other => Err(Error::custom(
                "a string, a number or a list of them is wanted",
            )),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Tree<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, number, truth value or list")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Tree::Leaf(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Tree::Leaf(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(Tree::Leaf(Cow::Owned(text)))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        self.visit_string(value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        self.visit_string(value.to_string())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        self.visit_string(value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        self.visit_string(value.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Tree::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut parts = Vec::new();
        while let Some(part) = list.next_element()? {
            parts.push(part);
        }
        Ok(Tree::List(parts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Tree::Other)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::Many;
    use super::Scalar;
    use super::Tree;

    #[test]
    fn texts_numbers_and_truth_are_one() {
        let scalar = |json: &'static str| serde_json::from_str::<Scalar<'static>>(json);
        for (json, text) in [
            ("\"x\"", "x"),
            ("7", "7"),
            ("true", "true"),
            ("-0.5", "-0.5"),
        ] {
            assert_eq!(scalar(json).unwrap().0, text);
        }
        assert!(matches!(scalar("\"x\"").unwrap().0, Cow::Borrowed("x")));
        assert!(scalar("[1]").is_err() && scalar("{}").is_err());
        let many: Many<'_> = serde_json::from_str("[\"a\\n\", 2]").unwrap();
        assert_eq!(many.0, ["a\n", "2"]);
        let tree: Tree<'_> = serde_json::from_str("[[\"-1.5\", \"True\"], null]").unwrap();
        let Tree::List(parts) = tree else { panic!() };
        assert_eq!(parts[1], Tree::Other);
    }
}
