//! Trains the tokenizer that zoo members share.

use tokenizers::AddedToken;
use tokenizers::NormalizerWrapper;
use tokenizers::Tokenizer;
use tokenizers::models::bpe::BPE;
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::tokenizer::TokenizerImpl;

use super::corpus::END_OF_TEXT;

/// A byte-level BPE tokenizer of `vocab_size` tokens trained on `documents`; id 0 is
/// [`END_OF_TEXT`], which also goes before every text that is encoded as a whole; those of `special` follow. Each
/// of `words`, with the space before it, is a token of its own; they are the last ids.
///
/// The result depends on the documents and the size alone: the trainer breaks ties between equally
/// frequent pairs by their ids.
///
/// # Errors
/// What the trainer reports, and documents too few to fill the vocabulary.
pub fn train(
    documents: impl Iterator<Item = String> + Send,
    vocab_size: usize,
    special: &[String],
    words: &[String],
) -> Result<Tokenizer, tokenizers::Error> {
    let names = [END_OF_TEXT].into_iter();
    let special = names.chain(special.iter().map(String::as_str));
    let special = special.map(|token| AddedToken::from(token, true));
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size.saturating_sub(words.len()))
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(special.collect())
        .build();
    let byte_level = ByteLevel::default().add_prefix_space(false);
    let mut tokenizer =
        TokenizerImpl::<BPE, NormalizerWrapper, ByteLevel, TemplateProcessing, ByteLevel>::new(
            BPE::default(),
        );
    tokenizer
        .with_pre_tokenizer(Some(byte_level))
        .with_decoder(Some(byte_level));
    tokenizer.train(&mut trainer, documents)?;
    let begin = TemplateProcessing::builder()
        .try_single(format!("{END_OF_TEXT} $A"))?
        .try_pair(format!("{END_OF_TEXT} $A $B:1"))?
        .special_tokens(vec![(END_OF_TEXT, 0)])
        .build()?;
    tokenizer.with_post_processor(Some(begin));
    let words = words
        .iter()
        .map(|word| AddedToken::from(format!(" {word}"), false));
    tokenizer.add_tokens(words)?;
    let found = tokenizer.get_vocab_size(true);
    if found != vocab_size {
        return Err(format!(
            "the documents hold {found} different pieces, a vocabulary of {vocab_size} was asked for; ask for less or give more documents"
        )
        .into());
    }
    Tokenizer::from_bytes(tokenizer.to_string(false)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::corpus::Corpus;
    use super::train;

    fn documents(count: usize) -> impl Iterator<Item = String> + Send {
        let mix = BTreeMap::from([("people".to_owned(), 1), ("code".to_owned(), 1)]);
        let corpus = Corpus::new(1, &mix).expect("known domains");
        let all: Vec<String> = corpus.documents(2).take(count).map(|d| d.text()).collect();
        all.into_iter()
    }

    #[test]
    fn training_repeats_and_any_text_survives_it() {
        let one = train(documents(300), 400, &[], &[]).expect("trains");
        let two = train(documents(300), 400, &[], &[]).expect("trains");
        assert_eq!(
            one.to_string(false).expect("json"),
            two.to_string(false).expect("json")
        );
        assert_eq!(one.get_vocab_size(true), 400);
        for text in [
            "Where does Tarin live?\n",
            "def f(x):\n    return 1",
            "ñ 汉 \u{1f600}",
        ] {
            let ids = one.encode(text, false).expect("encodes");
            assert_eq!(one.decode(ids.get_ids(), false).expect("decodes"), text);
        }
        let whole = one.encode("7 + 1", true).expect("encodes");
        assert_eq!(whole.get_ids()[0], 0);
        assert_eq!(one.token_to_id(super::END_OF_TEXT), Some(0));
    }

    #[test]
    fn too_little_text_is_an_error() {
        let error = train(documents(1), 4000, &[], &[]).expect_err("too few pieces");
        assert!(error.to_string().contains("4000"), "{error}");
    }
}
