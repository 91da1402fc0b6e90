//! Training a decoder with candle's autograd, on the CPU.
//!
//! Deterministic: initial weights, documents and their order come from the recipe's seeds, and no
//! sum depends on the number of threads. Another processor (other vector instructions) rounds
//! differently and ends at other weights with nearly the same loss.

use std::collections::BTreeMap;

use candle_core::Device;
use candle_core::Tensor;
use tokenizers::Tokenizer;

use crate::model::Decoder;
use crate::model::DecoderSpec;
use crate::model::Param;
use crate::model::Part;
use crate::model::Role;

use super::corpus::Corpus;
use super::corpus::Piece;
use super::dice::Dice;
use super::error::Error;
use super::loss::Target;
use super::loss::cross_entropy;
use super::loss::soft_cross_entropy;
use super::optimiser::Optimiser;
use super::pupil::Pupil;
use super::recipe::Course;
use super::sight::Lessons;
use super::sight::Sight;

/// Weights by role, each with its shape.
pub type Tensors = BTreeMap<Role, Tensor>;

/// One finished optimiser step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Counted from 1.
    pub step: usize,
    /// How many there will be.
    pub steps: usize,
    /// Tokens read so far.
    pub tokens: usize,
    /// Mean over the step's tokens, in nats; none where only signs are told apart.
    pub loss: Option<f64>,
    /// Mean over the tokens of the words that its pictures show, or over its pictures where there are no
    /// words yet, in nats.
    pub picture_loss: Option<f64>,
}

/// What training leaves.
#[derive(Debug)]
pub struct Trained {
    /// In f32.
    pub tensors: Tensors,
    /// Mean loss of the last twentieth of the steps, in nats per token, weighted as in training.
    pub loss: f64,
    /// Likewise of the words that pictures show.
    pub picture_loss: Option<f64>,
    /// Entropy of the text's token frequencies, weighted likewise: the loss of a model that knows
    /// nothing else.
    pub unigram_entropy: f64,
}

/// Random weights for `spec`.
///
/// Gains are 1 and biases 0. Matrices are normal with variance `1 / in`, those that write to the residual stream
/// with `1 / (2 layers in)` (Radford et al. 2019); embeddings have standard deviation 0.02.
///
/// # Errors
/// What candle reports.
pub fn initial(spec: &DecoderSpec, seed: u64) -> Result<Tensors, Error> {
    let mut tensors = Tensors::new();
    for (role, (rows, cols)) in spec.roles() {
        let mut dice = Dice::named(seed, &role.to_string());
        let vector = role.is_vector();
        let deviation = match role.part {
            _ if vector => 0.0,
            Part::Embed | Part::PositionEmbed | Part::Unembed => 0.02,
            Part::Output | Part::Down => {
                ((2 * spec.num_hidden_layers * cols) as f64).sqrt().recip()
            }
            _ => (cols as f64).sqrt().recip(),
        };
        let tensor = if vector {
            let value = if role.param == Param::Bias { 0f32 } else { 1.0 };
            Tensor::full(value, rows, &Device::Cpu)?
        } else {
            let values: Vec<f32> = (0..rows * cols)
                .map(|_| (deviation * dice.normal()) as f32)
                .collect();
            Tensor::from_vec(values, (rows, cols), &Device::Cpu)?
        };
        tensors.insert(role, tensor);
    }
    Ok(tensors)
}

/// What is to be trained, and how.
pub struct Lesson<'a> {
    /// Of the model.
    pub spec: &'a DecoderSpec,
    /// Weights to start from.
    pub start: &'a Tensors,
    /// Of the model, and of its teacher.
    pub tokenizer: &'a Tokenizer,
    /// Text, order, steps, rates.
    pub course: &'a Course,
    /// A model whose next-token distribution is the target, instead of the next token (Hinton,
    /// Vinyals & Dean, "Distilling the knowledge in a neural network", 2015, temperature 1).
    pub teacher: Option<&'a Decoder>,
    /// What it learns to see, where the course shows pictures.
    pub(super) seen: Option<(&'a Sight, &'a Lessons)>,
}

/// Trains a model; `watch` hears of every step.
///
/// # Errors
/// A recipe that names an unknown domain, a tokenizer that does not fit, or a loss that is no
/// longer a number.
pub fn train(lesson: &Lesson<'_>, watch: &mut dyn FnMut(Step)) -> Result<Trained, Error> {
    let course = lesson.course;
    let text = read(lesson.tokenizer, course)?;
    let pupil = Pupil::new(lesson.start, course.lora.as_ref())?;
    if let Some((sight, lessons)) = lesson.seen {
        look(sight, lessons, course, watch)?;
    }
    let mut vars = pupil.vars();
    vars.extend(lesson.seen.iter().flat_map(|(sight, _)| sight.vars()));
    let mut optimiser = Optimiser::new(vars, course)?;
    let mut losses = Losses::default();
    for step in 0..course.steps {
        let (inputs, targets) = batch(&text, course, step)?;
        let decoder = pupil.decoder(lesson.spec)?;
        let logits = decoder.forward(&inputs, None, &mut ())?.flatten(0, 1)?;
        let read = match lesson.teacher {
            None => cross_entropy(&logits, targets)?,
            Some(teacher) => {
                let theirs = teacher.forward(&inputs, None, &mut ())?;
                soft_cross_entropy(&logits, &theirs.flatten(0, 1)?)?
            }
        };
        let (mut all, mut seen) = (read.clone(), None);
        if let Some((sight, lessons)) = lesson.seen {
            let [words, guide] = sight.losses(&decoder, lessons, before(course) + step)?;
            all = ((all + &words)? + guide)?;
            seen = Some(words);
        }
        optimiser.step(&all, step)?;
        let loss = losses.note(&read, seen.as_ref())?;
        if !all.to_scalar::<f32>()?.is_finite() {
            return Err(Error::Diverged { step: step + 1 });
        }
        watch(Step {
            step: step + 1,
            steps: course.steps,
            tokens: (step + 1) * course.batch * course.context,
            loss: Some(loss),
            picture_loss: losses.seen.last().copied(),
        });
    }
    Ok(Trained {
        loss: last_twentieth(&losses.read).unwrap_or(f64::NAN),
        picture_loss: last_twentieth(&losses.seen),
        unigram_entropy: entropy(&text, lesson.spec.vocab_size),
        tensors: pupil.tensors()?,
    })
}

/// Steps in which a model looks before it reads.
fn before(course: &Course) -> usize {
    course
        .pictures
        .as_ref()
        .map_or(0, |pictures| pictures.before)
}

/// Teaches the vision part to tell signs apart, before there is a word for any.
fn look(
    sight: &Sight,
    lessons: &Lessons,
    course: &Course,
    watch: &mut dyn FnMut(Step),
) -> Result<(), Error> {
    let first = Course {
        steps: before(course),
        ..course.clone()
    };
    let mut optimiser = Optimiser::new(sight.vars(), &first)?;
    for step in 0..first.steps {
        let loss = sight.guide_loss(lessons, step)?;
        optimiser.step(&loss, step)?;
        watch(Step {
            step: step + 1,
            steps: first.steps,
            tokens: 0,
            loss: None,
            picture_loss: Some(f64::from(loss.to_scalar::<f32>()?)),
        });
    }
    Ok(())
}

/// Of every step so far, in nats.
#[derive(Default)]
struct Losses {
    read: Vec<f64>,
    seen: Vec<f64>,
}

impl Losses {
    /// Adds a step; that of its text is given back.
    fn note(&mut self, read: &Tensor, seen: Option<&Tensor>) -> Result<f64, Error> {
        let read = f64::from(read.to_scalar::<f32>()?);
        self.read.push(read);
        if let Some(seen) = seen {
            self.seen.push(f64::from(seen.to_scalar::<f32>()?));
        }
        Ok(read)
    }
}

/// Mean of the last twentieth, of at least one.
fn last_twentieth(losses: &[f64]) -> Option<f64> {
    let last = &losses[losses.len() - losses.len().div_ceil(20)..];
    (!last.is_empty()).then(|| last.iter().sum::<f64>() / last.len() as f64)
}

/// The course's documents, each behind an end-of-text token, until every step has its windows.
fn read(tokenizer: &Tokenizer, course: &Course) -> Result<Vec<Target>, Error> {
    let wanted = course.steps * course.batch * course.context + 1;
    let corpus = Corpus::new(course.world_seed, &course.mix)?;
    let mut text = Vec::with_capacity(wanted + 4096);
    for document in corpus.documents(course.order_seed) {
        if text.len() >= wanted {
            break;
        }
        for (place, piece) in document.0.iter().enumerate() {
            // The tokenizer puts the end-of-text token before the first piece.
            let encoded = tokenizer
                .encode_fast(piece.text(), place == 0)
                .map_err(Error::tokenizer)?;
            let weight = match piece {
                Piece::Prompt(_) => course.prompt_weight,
                Piece::Text(_) | Piece::Answer(_) => 1.0,
            };
            let tokens = encoded.get_ids().iter();
            text.extend(tokens.map(|&token| Target { token, weight }));
        }
    }
    text.truncate(wanted);
    Ok(text)
}

/// Inputs `[batch, context]` of one step, and the token that follows each.
fn batch(text: &[Target], course: &Course, step: usize) -> Result<(Tensor, Vec<Target>), Error> {
    let size = course.batch * course.context;
    let start = step * size;
    let inputs: Vec<u32> = text[start..start + size].iter().map(|t| t.token).collect();
    let inputs = Tensor::from_vec(inputs, (course.batch, course.context), &Device::Cpu)?;
    Ok((inputs, text[start + 1..=start + size].to_vec()))
}

fn entropy(text: &[Target], vocab_size: usize) -> f64 {
    let mut weights = vec![0f64; vocab_size];
    for target in text {
        weights[target.token as usize] += f64::from(target.weight);
    }
    let total: f64 = weights.iter().sum();
    weights
        .iter()
        .filter(|&&weight| weight > 0.0)
        .map(|weight| weight / total)
        .map(|share| -share * share.ln())
        .sum()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use tokenizers::Tokenizer;

    use super::super::corpus::Corpus;
    use super::super::recipe::Course;
    use super::super::vocabulary;
    use super::Lesson;
    use super::Trained;
    use super::initial;
    use super::train;
    use crate::model::spec;

    pub(in crate::zoo) fn course(steps: usize) -> Course {
        Course {
            world_seed: 1,
            order_seed: 2,
            mix: BTreeMap::from([("everyday".to_owned(), 1)]),
            steps,
            batch: 2,
            context: 32,
            prompt_weight: 0.5,
            learning_rate: 5e-3,
            warmup: 5,
            final_share: 0.1,
            weight_decay: 0.1,
            lora: None,
            pictures: None,
        }
    }

    fn tokenizer(course: &Course) -> Tokenizer {
        let corpus = Corpus::new(course.world_seed, &course.mix).expect("known domain");
        let documents: Vec<String> = corpus.documents(9).take(200).map(|d| d.text()).collect();
        vocabulary::train(documents.into_iter(), 320, &[], &[]).expect("trains")
    }

    fn micro() -> spec::DecoderSpec {
        let layer = spec::LayerSpec {
            sliding_window: None,
            rope: Some(spec::RopeSpec::new(10_000.0, spec::RopeScaling::Default)),
            sparse: false,
        };
        spec::DecoderSpec {
            family: "llama",
            kind: spec::Kind::Decoder,
            vocab_size: 320,
            hidden_size: 16,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            num_key_value_heads: 1,
            head_dim: 8,
            intermediate_size: 24,
            hidden_act: spec::Activation::Silu,
            gated_mlp: true,
            norm: spec::Norm::Rms,
            norm_eps: 1e-5,
            norm_place: spec::NormPlace::Before,
            parallel_residual: false,
            qk_norm: None,
            latent: None,
            position: spec::Position::Rotary,
            type_vocab_size: None,
            layers: vec![layer; 2],
            attention_scale: 8f64.sqrt().recip(),
            embed_scale: None,
            tie_word_embeddings: true,
            normalised_head: false,
            moe: None,
            max_position_embeddings: 64,
            biases: spec::Biases::default(),
            unsupported: Vec::new(),
            caveats: Vec::new(),
        }
    }

    fn trained(seed: u64) -> (Trained, f64) {
        let course = course(60);
        let start = initial(&micro(), seed).expect("weights");
        let mut first = f64::NAN;
        let lesson = Lesson {
            spec: &micro(),
            start: &start,
            tokenizer: &tokenizer(&course),
            course: &course,
            teacher: None,
            seen: None,
        };
        let trained = train(&lesson, &mut |step| {
            if step.step == 1 {
                first = step.loss.expect("reads");
            }
        });
        (trained.expect("trains"), first)
    }

    #[test]
    fn the_loss_falls_and_a_seed_decides_every_bit() {
        let bits = |trained: &Trained| -> Vec<u32> {
            let values = trained.tensors.values();
            values
                .flat_map(|t| {
                    t.flatten_all()
                        .and_then(|t| t.to_vec1::<f32>())
                        .expect("f32")
                })
                .map(f32::to_bits)
                .collect()
        };
        let (one, first) = trained(7);
        assert!(
            (first - 320f64.ln()).abs() < 0.5,
            "starts near chance: {first}"
        );
        assert!(one.loss < first - 1.0, "{first} -> {}", one.loss);
        assert!(one.unigram_entropy < first);
        let (again, _) = trained(7);
        assert_eq!(bits(&one), bits(&again));
        let (other, _) = trained(8);
        assert_ne!(bits(&one), bits(&other));
    }
}
