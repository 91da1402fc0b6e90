//! Key-value pairs of a GGUF header.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::cursor::{Cursor, Fault};
use crate::text::ModelText;

/// All key-value pairs, by key.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata(BTreeMap<String, Value>);

/// One value; numbers of all widths are kept as the widest of their kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Unsigned or signed integer of any width that is not negative.
    Unsigned(u64),
    /// Negative integer.
    Negative(i64),
    /// 32 or 64 bits.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    Text(String),
    /// Texts.
    Texts(Vec<String>),
    /// Integers.
    Integers(Vec<i64>),
    /// Floats (32 bits kept; nothing in use needs more).
    Floats(Vec<f32>),
    /// Truth values.
    Bools(Vec<bool>),
    /// An array of arrays: skipped, nothing in use has one.
    Nested,
}

/// Deepest array of arrays that is walked over.
const MAX_DEPTH: u32 = 4;

impl Metadata {
    /// Key length, type, one byte of value.
    pub(super) const MIN_PAIR_BYTES: u64 = 8 + 4 + 1;

    pub(super) fn read(cursor: &mut Cursor<'_>, pairs: u64) -> Result<Self, Fault> {
        let mut map = BTreeMap::new();
        for _ in 0..pairs {
            let key = cursor.string()?;
            let shown = ModelText::new(&key).clipped(80);
            let kind = cursor.u32()?;
            let value = Value::read(cursor, kind, &shown)?;
            match map.entry(key) {
                Entry::Vacant(place) => place.insert(value),
                Entry::Occupied(_) => {
                    return Err(Fault::malformed(format!(
                        "metadata key `{shown}` occurs twice"
                    )));
                }
            };
        }
        Ok(Self(map))
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// All pairs, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A non-negative integer.
    pub fn u64(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(Value::as_u64)
    }

    /// A number.
    pub fn f64(&self, key: &str) -> Option<f64> {
        match self.get(key)? {
            Value::Unsigned(value) => Some(*value as f64),
            Value::Negative(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// A text.
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Value::Text(value) => Some(value),
            _ => None,
        }
    }

    /// An array of texts.
    pub fn texts(&self, key: &str) -> Option<&[String]> {
        match self.get(key)? {
            Value::Texts(values) => Some(values),
            _ => None,
        }
    }
}

impl Value {
    /// As a non-negative integer.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Unsigned(value) => Some(*value),
            _ => None,
        }
    }

    fn read(cursor: &mut Cursor<'_>, kind: u32, key: &str) -> Result<Self, Fault> {
        Ok(match kind {
            0..=5 | 10 | 11 => match integer(cursor, kind)? {
                Integer::Unsigned(value) => Self::Unsigned(value),
                Integer::Signed(value) => {
                    u64::try_from(value).map_or(Self::Negative(value), Self::Unsigned)
                }
            },
            6 | 12 => Self::Float(float(cursor, kind)?),
            7 => Self::Bool(truth(cursor, key)?),
            8 => Self::Text(cursor.string()?),
            9 => Self::read_array(cursor, key, 0)?,
            _ => return Err(unknown(kind, key)),
        })
    }

    fn read_array(cursor: &mut Cursor<'_>, key: &str, depth: u32) -> Result<Self, Fault> {
        let kind = cursor.u32()?;
        let width = width(kind).ok_or_else(|| unknown(kind, key))?;
        let len = cursor.count(&format!("elements of `{key}`"), width)?;
        cursor.spend(len)?;
        let each = 0..len;
        Ok(match kind {
            6 | 12 => Self::Floats(
                each.map(|_| float(cursor, kind).map(|value| value as f32))
                    .collect::<Result<_, _>>()?,
            ),
            7 => Self::Bools(each.map(|_| truth(cursor, key)).collect::<Result<_, _>>()?),
            8 => Self::Texts(each.map(|_| cursor.string()).collect::<Result<_, _>>()?),
            9 if depth >= MAX_DEPTH => {
                let reason = format!("`{key}` nests arrays more than {MAX_DEPTH} deep");
                return Err(Fault::malformed(reason));
            }
            9 => {
                for _ in each {
                    Self::read_array(cursor, key, depth + 1)?;
                }
                Self::Nested
            }
            _ => Self::Integers(
                each.map(|_| {
                    integer(cursor, kind).map(|value| match value {
                        Integer::Unsigned(value) => value.cast_signed(),
                        Integer::Signed(value) => value,
                    })
                })
                .collect::<Result<_, _>>()?,
            ),
        })
    }
}

/// Fewest bytes of one value of a type of the format.
fn width(kind: u32) -> Option<u64> {
    Some(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        8 | 10..=12 => 8,
        9 => 12,
        _ => return None,
    })
}

enum Integer {
    Unsigned(u64),
    Signed(i64),
}

fn integer(cursor: &mut Cursor<'_>, kind: u32) -> Result<Integer, Fault> {
    Ok(match kind {
        0 => Integer::Unsigned(u8::from_le_bytes(cursor.bytes()?).into()),
        1 => Integer::Signed(i8::from_le_bytes(cursor.bytes()?).into()),
        2 => Integer::Unsigned(u16::from_le_bytes(cursor.bytes()?).into()),
        3 => Integer::Signed(i16::from_le_bytes(cursor.bytes()?).into()),
        4 => Integer::Unsigned(cursor.u32()?.into()),
        5 => Integer::Signed(i32::from_le_bytes(cursor.bytes()?).into()),
        10 => Integer::Unsigned(cursor.u64()?),
        _ => Integer::Signed(i64::from_le_bytes(cursor.bytes()?)),
    })
}

fn float(cursor: &mut Cursor<'_>, kind: u32) -> Result<f64, Fault> {
    Ok(match kind {
        6 => f32::from_le_bytes(cursor.bytes()?).into(),
        _ => f64::from_le_bytes(cursor.bytes()?),
    })
}

fn truth(cursor: &mut Cursor<'_>, key: &str) -> Result<bool, Fault> {
    match cursor.bytes::<1>()? {
        [0] => Ok(false),
        [1] => Ok(true),
        [other] => Err(Fault::malformed(format!(
            "`{key}` has the truth value {other}"
        ))),
    }
}

fn unknown(kind: u32, key: &str) -> Fault {
    Fault::malformed(format!("`{key}` has the unknown value type {kind}"))
}
