//! Which of a model's files hold its weights; the same rules for a folder and for a hub listing.

use super::folder::has_extension;
use crate::text::ModelText;

/// All weights in one file.
pub(super) const SINGLE: &str = "model.safetensors";
/// Names the files that the weights are spread over.
pub(super) const INDEX: &str = "model.safetensors.index.json";
pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
/// Read when they are there.
pub(super) const EXTRAS: [&str; 6] = [
    "chat_template.jinja",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
];
const PICKLES: [&str; 5] = ["bin", "pt", "pth", "ckpt", "pkl"];

/// Where the weights are, by name.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Weights {
    /// One safetensors file.
    File(String),
    /// The files that [`INDEX`] names.
    Sharded,
    /// One GGUF file.
    Gguf(String),
}

/// Chooses among the names at the top of a model's folder; in their order where that matters.
///
/// # Errors
/// The reason and the way out, without the folder's name.
pub(super) fn choose(names: &[String]) -> Result<Weights, String> {
    let has = |name: &str| names.iter().any(|n| n == name);
    if has(INDEX) {
        return Ok(Weights::Sharded);
    }
    if has(SINGLE) {
        return Ok(Weights::File(SINGLE.to_owned()));
    }
    let with = |extensions: &[&str]| -> Vec<&String> {
        names
            .iter()
            .filter(|name| has_extension(name, extensions) && !name.starts_with('.'))
            .collect()
    };
    match with(&["safetensors"])[..] {
        [] => {}
        [only] => return lone_safetensors(only),
        ref several => {
            return Err(format!(
                "{} safetensors files but neither {SINGLE} nor {INDEX}; name one file, or add the index",
                several.len()
            ));
        }
    }
    match with(&["gguf"])[..] {
        [] => {}
        [only] => {
            not_split_gguf(only)?;
            return Ok(Weights::Gguf(only.clone()));
        }
        ref several => {
            // Parts of one model are told apart from several whole ones.
            for name in several {
                not_split_gguf(name)?;
            }
            return Err(format!(
                "{} GGUF files, such as {}; name one of them as `gguf:` and its path",
                several.len(),
                shown(several[0])
            ));
        }
    }
    match with(&PICKLES).first() {
        Some(name) => Err(format!("{}: {}", shown(name), pickle(name))),
        None => Err(format!(
            "no weights: expected {SINGLE}, {INDEX} with its shards, or one .gguf file"
        )),
    }
}

/// A folder with one whole file and shards beside it could mean either.
pub(super) fn not_both<'a>(
    names: &[String],
    mut shards: impl Iterator<Item = &'a str>,
) -> Result<(), String> {
    if names.iter().any(|name| name == SINGLE) && shards.all(|shard| shard != SINGLE) {
        return Err(format!(
            "holds both {SINGLE} and the shards of {INDEX}; name the one file, or move it away"
        ));
    }
    Ok(())
}

/// Whether the name is that of a PyTorch pickle.
pub(super) fn is_pickle(name: &str) -> bool {
    has_extension(name, &PICKLES)
}

/// Why a pickle is refused, and the Python call that writes safetensors.
pub(super) fn pickle(name: &str) -> String {
    let whole_model = name.starts_with("pytorch_model") && name.ends_with(".bin");
    let remedy = if whole_model {
        "transformers.AutoModelForCausalLM.from_pretrained(\"FOLDER\").save_pretrained(\"OUT\")"
    } else {
        "safetensors.torch.save_file(torch.load(\"FILE\", weights_only=True), \"model.safetensors\")"
    };
    format!(
        "PyTorch pickle files are never opened, they can run code; if you trust it, write it once as safetensors in Python: {remedy}"
    )
}

/// Refuses a part of a split GGUF file.
pub(super) fn not_split_gguf(name: &str) -> Result<(), String> {
    match split_part(name, ".gguf") {
        Some((part, total)) => Err(format!(
            "part {part} of a GGUF file in {total} parts; join them first with llama.cpp's `gguf-split --merge`"
        )),
        None => Ok(()),
    }
}

/// Refuses a shard that was named without its index.
pub(super) fn not_a_shard(name: &str) -> Result<(), String> {
    match split_part(name, ".safetensors") {
        Some((_, total)) => Err(format!(
            "one of {total} shards; name the folder that holds all of them and {INDEX}"
        )),
        None => Ok(()),
    }
}

fn lone_safetensors(name: &str) -> Result<Weights, String> {
    if let Some((_, total)) = split_part(name, ".safetensors") {
        return Err(format!(
            "has {}, one of {total} shards, but no {INDEX}; add the index and the other shards",
            shown(name)
        ));
    }
    if name == "adapter_model.safetensors" {
        return Err(
            "a LoRA adapter without its base; merge it into the base first (in Python: PeftModel.merge_and_unload, then save_pretrained)"
                .to_owned(),
        );
    }
    Ok(Weights::File(name.to_owned()))
}

/// `name-00002-of-00005.ext` -> (2, 5), for totals above one.
fn split_part(name: &str, extension: &str) -> Option<(u32, u32)> {
    let stem = name.strip_suffix(extension)?;
    let (rest, total) = stem.rsplit_once("-of-")?;
    let (_, part) = rest.rsplit_once('-')?;
    let number = |digits: &str| {
        (digits.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse::<u32>().ok())
            .flatten()
    };
    let (part, total) = (number(part)?, number(total)?);
    (total > 1).then_some((part, total))
}

fn shown(name: &str) -> String {
    ModelText::new(name).clipped(120)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Result<Weights, String> {
        choose(
            &names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn safetensors_come_before_gguf_and_pickles() {
        let file = |name: &str| Ok(Weights::File(name.to_owned()));
        assert_eq!(
            chosen(&["a.gguf", "b.bin", "model.safetensors"]),
            file(SINGLE)
        );
        assert_eq!(chosen(&["a.gguf", "x.safetensors"]), file("x.safetensors"));
        assert_eq!(
            chosen(&[INDEX, "consolidated.safetensors"]),
            Ok(Weights::Sharded)
        );
        assert_eq!(
            chosen(&["a.GGUF", "b.bin"]),
            Ok(Weights::Gguf("a.GGUF".into()))
        );
    }

    #[test]
    fn hidden_files_are_no_weights() {
        assert!(chosen(&["._model.safetensors"]).is_err());
        assert!(chosen(&[".x.gguf", "y.gguf"]).is_ok());
    }

    #[test]
    fn parts_of_split_files_are_recognised() {
        assert_eq!(split_part("m-00001-of-00003.gguf", ".gguf"), Some((1, 3)));
        assert_eq!(split_part("m-00001-of-00001.gguf", ".gguf"), None);
        assert_eq!(split_part("best-of-3.gguf", ".gguf"), None);
        assert_eq!(split_part("m-00001-of-00003.gguf", ".safetensors"), None);
    }
}
