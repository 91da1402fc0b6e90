//! One laundering with its strength, as the command line writes it: `noise=0.3`.

use std::fmt;
use std::str::FromStr;

use super::super::dice::Dice;
use super::Error;
use super::LAUNDERINGS;
use super::draft::Draft;
use crate::model::Model;

/// One thing that can be done to a model.
pub struct Laundering {
    /// As typed.
    pub name: &'static str,
    /// What it does, in one line.
    pub does: &'static str,
    /// What may follow the name.
    pub strength: Strength,
    /// Whether the function is kept.
    pub kind: Kind,
    /// Changes a draft, or says in words why it cannot.
    pub(super) apply: for<'a> fn(&mut Draft<'a>, &Work<'a>) -> Result<(), Refusal>,
}

/// Whether a laundering keeps the model's function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Up to the rounding of single precision.
    Exact,
    /// It does not.
    Lossy,
    /// It depends on the strength (a number format).
    ByFormat,
}

/// What may follow a laundering's name.
#[derive(Debug, Clone, Copy)]
pub enum Strength {
    /// Nothing.
    None,
    /// A number.
    Number {
        /// What it says.
        meaning: &'static str,
        /// Where nothing is written; `None` where something must be.
        default: Option<f64>,
        /// Least and greatest.
        range: (f64, f64),
        /// Whether it is a whole number.
        whole: bool,
    },
    /// One of some words.
    Word {
        /// What they say.
        meaning: &'static str,
        /// All of them; the first stands where nothing is written.
        words: &'static [&'static str],
    },
}

/// What was written after the name, checked.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Nothing,
    Number(f64),
    Word(&'static str),
}

/// A laundering with its strength. Written as `name` or `name=value`.
///
/// ```
/// use kinprobe::zoo::launder::Step;
///
/// let step: Step = "noise=0.3".parse().unwrap();
/// assert_eq!((step.to_string().as_str(), step.exact()), ("noise=0.3", false));
/// assert!("fold-gains".parse::<Step>().unwrap().exact());
/// ```
#[derive(Clone)]
pub struct Step {
    laundering: &'static Laundering,
    value: Value,
}

/// Why a laundering does not apply, or what failed while it was tried.
#[derive(Debug)]
pub(super) enum Refusal {
    /// In words.
    Words(String),
    /// A weight could not be made.
    Failed(Box<Error>),
}

impl From<String> for Refusal {
    fn from(words: String) -> Self {
        Self::Words(words)
    }
}

impl From<&str> for Refusal {
    fn from(words: &str) -> Self {
        Self::Words(words.to_owned())
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// What a laundering works with besides the draft.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work<'a> {
    value: Value,
    /// Of this step: no two steps of a chain draw the same.
    pub(super) seed: u64,
    /// The model that a merge mixes in.
    pub(super) other: Option<&'a Model>,
    /// The model that both sides of a merge come from.
    pub(super) base: Option<&'a Model>,
}

impl Work<'_> {
    /// The stream for a part of the work.
    pub(super) fn dice(&self, part: &str) -> Dice {
        Dice::named(self.seed, part)
    }

    /// The strength as a number.
    pub(super) fn number(&self) -> f64 {
        match self.value {
            Value::Number(number) => number,
            _ => 0.0,
        }
    }

    /// The strength as a word.
    pub(super) fn word(&self) -> &'static str {
        match self.value {
            Value::Word(word) => word,
            _ => "",
        }
    }
}

impl Step {
    /// Whether the function is kept, up to the rounding of single precision.
    pub fn exact(&self) -> bool {
        match self.laundering.kind {
            Kind::Exact => true,
            Kind::Lossy => false,
            Kind::ByFormat => self.value == Value::Word("f32"),
        }
    }

    /// What is done.
    pub fn laundering(&self) -> &'static Laundering {
        self.laundering
    }

    /// Its strength, where that is a number.
    pub fn number(&self) -> Option<f64> {
        match self.value {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    /// Whether it mixes in a second model.
    pub fn needs_other(&self) -> bool {
        self.laundering.name.starts_with("merge-")
    }

    /// Whether it needs the model that both sides of a merge come from.
    pub fn needs_base(&self) -> bool {
        matches!(self.laundering.name, "merge-ties" | "merge-dare")
    }

    /// Does it to `draft` as the `place`-th of a chain.
    ///
    /// # Errors
    /// [`Error::Refused`] for a model that it cannot be done to.
    pub(super) fn apply<'a>(
        &self,
        draft: &mut Draft<'a>,
        place: usize,
        options: &super::Options<'a>,
    ) -> Result<(), Error> {
        let name = format!("{place} {}", self.laundering.name);
        let work = Work {
            value: self.value,
            seed: options.seed ^ super::super::dice::fnv1a(name.as_bytes()),
            other: options.other,
            base: options.base,
        };
        (self.laundering.apply)(draft, &work).map_err(|refusal| match refusal {
            Refusal::Words(reason) => Error::Refused {
                step: self.to_string(),
                reason,
            },
            Refusal::Failed(error) => *error,
        })
    }
}

impl FromStr for Step {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, written) = match text.split_once('=') {
            Some((name, value)) => (name.trim(), Some(value.trim())),
            None => (text.trim(), None),
        };
        let laundering = LAUNDERINGS.iter().find(|known| known.name == name);
        let Some(&laundering) = laundering else {
            let known: Vec<&str> = LAUNDERINGS.iter().map(|known| known.name).collect();
            return Err(Error::Unknown {
                name: name.to_owned(),
                known: known.join(", "),
            });
        };
        let value = laundering.strength.read(written);
        let value = value.map_err(|reason| Error::Strength {
            name: laundering.name,
            reason,
        })?;
        Ok(Self { laundering, value })
    }
}

impl Strength {
    fn read(&self, written: Option<&str>) -> Result<Value, String> {
        match (self, written) {
            (Self::None, None) => Ok(Value::Nothing),
            (Self::None, Some(_)) => Err("it takes no strength".to_owned()),
            (
                Self::Number {
                    default, meaning, ..
                },
                None,
            ) => default
                .map(Value::Number)
                .ok_or_else(|| format!("write `=` and a number after it: {meaning}")),
            (
                Self::Number {
                    range,
                    whole,
                    meaning,
                    ..
                },
                Some(text),
            ) => {
                let (low, high) = *range;
                let number: Option<f64> = text.parse().ok();
                let fits = |x: &f64| (low..=high).contains(x) && (!whole || x.fract() == 0.0);
                number.filter(fits).map(Value::Number).ok_or_else(|| {
                    let kind = if *whole { "a whole number" } else { "a number" };
                    let text = crate::text::ModelText::new(text).clipped(20);
                    format!("`{text}` is not {kind} from {low} to {high} ({meaning})")
                })
            }
            (Self::Word { words, .. }, None) => {
                Ok(Value::Word(words.first().copied().unwrap_or("")))
            }
            (Self::Word { words, .. }, Some(text)) => {
                let word = words.iter().find(|word| **word == text);
                word.map(|word| Value::Word(word)).ok_or_else(|| {
                    let text = crate::text::ModelText::new(text).clipped(20);
                    format!("`{text}` is not one of {}", words.join(", "))
                })
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.laundering.name)?;
        match self.value {
            Value::Nothing => Ok(()),
            Value::Number(number) => write!(f, "={number}"),
            Value::Word(word) => write!(f, "={word}"),
        }
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Step({self})")
    }
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.laundering.name == other.laundering.name && self.value == other.value
    }
}
