//! Keeps panics of the tokenizer library inside.
//!
//! It indexes tables that a `tokenizer.json` fills without checking them all (a template that names a
//! special token it does not define, a prefix longer than the merged token, an empty pattern), so a
//! damaged or hostile file can make it panic when it is loaded or used. Here that is an error.

use std::any::Any;
use std::cell::Cell;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::sync::Once;

use crate::text::ModelText;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic in it is an error in words and prints nothing.
///
/// What `work` borrows may be left half changed by a panic. The library's only inner state is a cache
/// behind a lock, which is poisoned then, so that later calls fail and do not give wrong answers.
pub(super) fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    silence_contained_panics();
    CONTAINED.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(false);
    result.map_err(|panic| {
        let reason = ModelText::new(message(panic.as_ref())).clipped(120);
        format!("the file is damaged or was not made for this: {reason}")
    })
}

/// Installed once, in front of whatever hook there is: it speaks for every other panic.
fn silence_contained_panics() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CONTAINED.get() {
                others(info);
            }
        }));
    });
}

fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::contained;

    #[test]
    fn panics_become_words() {
        assert_eq!(contained(|| 7), Ok(7));
        let empty: Vec<u8> = Vec::new();
        let reason = contained(|| empty[3]).unwrap_err();
        assert!(reason.contains("index out of bounds"), "{reason}");
        assert_eq!(contained(|| "again"), Ok("again"));
    }
}
