//! Sites by patterns of their names.

use super::Site;

impl Site {
    /// The sites of a model of `layers` blocks that `pattern` matches, as a forward pass reaches them; `*` stands
    /// for any text, none included. Gradients take a backward pass, which is made for those who ask for it by
    /// name: a pattern that ends in `.grad`.
    pub fn matching(pattern: &str, layers: usize) -> Vec<Self> {
        let mut known = match pattern.ends_with(".grad") {
            true => Self::gradients(layers),
            false => Self::all(layers),
        };
        known.retain(|site| matches(pattern, &site.to_string()));
        known
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|tail| {
            (0..=tail.len())
                .filter(|at| tail.is_char_boundary(*at))
                .any(|at| matches(rest, &tail[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_match_any_text() {
        let resid_post = "blocks.*.hook_resid_post";
        for (pattern, name, expected) in [
            (resid_post, "blocks.11.hook_resid_post", true),
            (resid_post, "blocks.11.hook_resid_pre", false),
            ("*", "logits", true),
            ("blocks.1.*", "blocks.11.hook_resid_pre", false),
            ("*.attn.*", "blocks.3.attn.hook_q", true),
            ("logits", "logits", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn gradients_are_for_those_who_name_them() {
        let of = |pattern| Site::matching(pattern, 2);
        assert_eq!(of("*"), Site::all(2));
        assert_eq!(of("*.grad"), Site::gradients(2));
        assert_eq!(of("blocks.1.hook_resid_post"), [Site::ResidPost(1)]);
        assert!(of("blocks.2.*").is_empty());
    }
}
