//! Training on pictures of signs: what a model that sees learns beside its text.

use candle_core::Device;
use candle_core::Tensor;
use candle_core::Var;
use std::collections::BTreeMap;

use crate::model::Decoder;
use crate::model::Mode;
use crate::model::Splice;
use crate::model::Tokenizer;
use crate::model::vision::IMAGE_MARK;
use crate::model::vision::Image;
use crate::model::vision::Patches;
use crate::model::vision::Prompt;
use crate::model::vision::Vision;
use crate::model::vision::VisionSpec;
use crate::probe::Rgb;
use crate::probe::render::script::Inventory;

use super::dice::Dice;
use super::error::Error;
use super::loss::Target;
use super::loss::cross_entropy;
use super::recipe::Pictures;
use super::recipe::ScriptRecipe;

/// Tensors of a vision part by the family's names.
pub type Tensors = BTreeMap<String, Tensor>;

/// Standard deviation of learned positions: of the size of what patches bring, so that places are told apart
/// from the first step on.
const POSITIONS: f64 = 0.5;

/// Of learned queries, which a norm follows.
const QUERIES: f64 = 0.02;

/// What the resampler's queries and keys are larger by than other matrices: its heads look at few patches each
/// from the first step on, where they would average over all.
const SHARPNESS: f64 = 2.5;

/// Random weights for `spec`: gains 1 and biases 0, matrices normal with variance `1 / in`, but for what the
/// constants above say.
///
/// # Errors
/// What candle reports.
pub(super) fn initial(spec: &VisionSpec, seed: u64) -> Result<Tensors, Error> {
    let mut tensors = Tensors::new();
    for (name, shape) in spec.tensors() {
        let count: usize = shape.iter().product();
        let mut dice = Dice::named(seed, &name);
        let mut normal = |deviation: f64| (deviation * dice.normal()) as f32;
        let spread = (shape[0] as f64 / count as f64).sqrt();
        let values: Vec<f32> = match name.as_str() {
            name if name.ends_with("bias") => vec![0.0; count],
            _ if shape.len() == 1 => vec![1.0; count],
            name if name.contains("position_embedding") => {
                (0..count).map(|_| normal(POSITIONS)).collect()
            }
            name if name.ends_with(".query") => (0..count).map(|_| normal(QUERIES)).collect(),
            name if name.ends_with("in_proj_weight") => {
                let sharp = |at: usize| if at < 2 * count / 3 { SHARPNESS } else { 1.0 };
                (0..count).map(|at| normal(sharp(at) * spread)).collect()
            }
            _ => (0..count).map(|_| normal(spread)).collect(),
        };
        tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu)?);
    }
    Ok(tensors)
}

/// A vision part that is trained.
pub(super) struct Sight {
    spec: VisionSpec,
    vars: BTreeMap<String, Var>,
    /// Reads which sign it is off the embeddings, `[signs, query_num * hidden_size]`, and is thrown away at
    /// the end. Real models begin with a tower that was taught to see before; through words alone, a new one
    /// hardly begins to learn.
    guide: Var,
}

impl Sight {
    /// From the tensors of `spec`, to tell so many `signs` apart.
    pub(super) fn new(spec: VisionSpec, start: &Tensors, signs: usize) -> Result<Self, Error> {
        let vars = start
            .iter()
            .map(|(name, tensor)| Ok((name.clone(), Var::from_tensor(tensor)?)))
            .collect::<Result<_, Error>>()?;
        let width = spec.resampler.query_num * spec.resampler.embed_dim;
        let mut dice = Dice::named(signs as u64, "guide");
        let deviation = (width as f64).sqrt().recip();
        let guide: Vec<f32> = (0..signs * width)
            .map(|_| (deviation * dice.normal()) as f32)
            .collect();
        let guide = Tensor::from_vec(guide, (signs, width), &Device::Cpu)?;
        Ok(Self {
            guide: Var::from_tensor(&guide)?,
            spec,
            vars,
        })
    }

    /// The variables, in the order of their names.
    pub(super) fn vars(&self) -> Vec<Var> {
        self.vars.values().chain([&self.guide]).cloned().collect()
    }

    /// The weights as they stand.
    pub(super) fn tensors(&self) -> Result<Tensors, Error> {
        self.vars
            .iter()
            .map(|(name, var)| Ok((name.clone(), var.as_tensor().detach().copy()?)))
            .collect()
    }

    fn vision(&self) -> Result<Vision, Error> {
        let get = |name: &str| match self.vars.get(name) {
            Some(var) => Ok(var.as_tensor().clone()),
            None => candle_core::bail!("the vision part has no {name}"),
        };
        let mode = Mode::Differentiable;
        Ok(Vision::from_tensors(
            self.spec.clone(),
            mode,
            &Device::Cpu,
            &get,
        )?)
    }

    /// The losses of `decoder` and of the guide on the pictures of one step of `lessons`.
    pub(super) fn losses(
        &self,
        decoder: &Decoder,
        lessons: &Lessons,
        step: usize,
    ) -> Result<[Tensor; 2], Error> {
        let vision = self.vision()?;
        let lesson = lessons.lesson(&vision, step)?;
        let embeddings = embedded(&vision, &lesson)?;
        let splice = Splice {
            places: &lessons.prompt.places,
            embeddings: &embeddings,
        };
        let logits = decoder.forward_spliced(&lesson.tokens, splice, None, &mut ())?;
        Ok([
            cross_entropy(&logits.flatten(0, 1)?, lesson.targets.clone())?,
            self.guided(&embeddings, &lesson)?,
        ])
    }

    /// The loss of the guide alone.
    pub(super) fn guide_loss(&self, lessons: &Lessons, step: usize) -> Result<Tensor, Error> {
        let vision = self.vision()?;
        let lesson = lessons.lesson(&vision, step)?;
        self.guided(&embedded(&vision, &lesson)?, &lesson)
    }

    fn guided(&self, embeddings: &Tensor, lesson: &Lesson) -> Result<Tensor, Error> {
        let told = embeddings.reshape((lesson.signs.len(), ()))?;
        let told = told.matmul(&self.guide.as_tensor().t()?)?;
        let sign = |&token: &u32| Target { token, weight: 1.0 };
        Ok(cross_entropy(
            &told,
            lesson.signs.iter().map(sign).collect(),
        )?)
    }
}

/// Embeddings of the pictures, those of each behind the one before.
fn embedded(vision: &Vision, lesson: &Lesson) -> Result<Tensor, Error> {
    let size = (lesson.patches.rows, lesson.patches.columns);
    let features = vision.tower().forward(&lesson.patches, 0, &mut ())?;
    Ok(vision.resampler().forward(&features, size)?)
}

/// Signs, and how they are shown and asked about.
pub(super) struct Lessons {
    scripts: Vec<(Inventory, u32)>,
    /// Tokens of each script's words.
    words: Vec<Vec<Vec<u32>>>,
    prompt: Prompt,
    batch: usize,
    seed: u64,
}

/// The pictures of one step.
struct Lesson {
    patches: Patches,
    /// `[pictures, pos]`: the prompt, then the word, filled up behind.
    tokens: Tensor,
    /// What follows each token; none but those of the word count.
    targets: Vec<Target>,
    /// Which sign each picture shows, counted over all scripts.
    signs: Vec<u32>,
}

impl Lessons {
    /// Pictures of `scripts` as `pictures` mixes them, by hands of `seed`.
    ///
    /// # Errors
    /// A script with too few signs, a tokenizer that does not know the words for slices.
    pub(super) fn new(
        spec: &VisionSpec,
        scripts: &BTreeMap<String, ScriptRecipe>,
        pictures: &Pictures,
        tokenizer: &Tokenizer,
        seed: u64,
    ) -> Result<Self, Error> {
        let mut mixed = Vec::new();
        for (name, weight) in &pictures.scripts {
            // Names were checked when the recipes were read.
            let script = &scripts[name];
            mixed.push((Inventory::invented(script.seed, script.signs)?, *weight));
        }
        let words = mixed
            .iter()
            .map(|(signs, _)| words(signs, tokenizer))
            .collect::<Result<_, Error>>()?;
        let shown = image(&mixed[0].0.written(0, seed, "first"))?;
        let text = format!("{IMAGE_MARK}\n{}", Inventory::prompt());
        let blank = initial(spec, 0)?;
        let vision = Sight::new(spec.clone(), &blank, 1)?.vision()?;
        Ok(Self {
            prompt: vision.prompt(tokenizer, &shown, &text)?,
            scripts: mixed,
            words,
            batch: pictures.batch,
            seed,
        })
    }

    fn lesson(&self, vision: &Vision, step: usize) -> Result<Lesson, Error> {
        let mut dice = Dice::named(self.seed, &format!("step {step}"));
        let (mut images, mut answers, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        for place in 0..self.batch {
            let script = self.script(&mut dice);
            let signs = &self.scripts[script].0;
            let sign = dice.below(signs.len());
            let name = format!("lesson {step} {place}");
            images.push(image(&signs.written(sign, self.seed, &name))?);
            answers.push(&self.words[script][sign]);
            let before = self.scripts[..script].iter();
            let before: usize = before.map(|(signs, _)| signs.len()).sum();
            shown.push((before + sign) as u32);
        }
        let before = &self.prompt.tokens;
        let longest = answers.iter().map(|word| word.len()).max().unwrap_or(0);
        let pos = before.len() + longest - 1;
        let (mut tokens, mut targets) = (Vec::new(), Vec::new());
        for word in answers {
            let row = before.iter().chain(word.iter());
            let row: Vec<u32> = row.copied().collect();
            for at in 0..pos {
                tokens.push(row.get(at).copied().unwrap_or(0));
                let next = row.get(at + 1).filter(|_| at + 1 >= before.len());
                targets.push(Target {
                    token: next.copied().unwrap_or(0),
                    weight: if next.is_some() { 1.0 } else { 0.0 },
                });
            }
        }
        Ok(Lesson {
            patches: vision.whole(&images)?,
            tokens: Tensor::from_vec(tokens, (self.batch, pos), &Device::Cpu)?,
            targets,
            signs: shown,
        })
    }

    /// Signs of all scripts together.
    pub(super) fn signs(&self) -> usize {
        self.scripts.iter().map(|(signs, _)| signs.len()).sum()
    }

    /// One of the scripts, by their weights.
    fn script(&self, dice: &mut Dice) -> usize {
        let total: u32 = self.scripts.iter().map(|(_, weight)| weight).sum();
        let mut left = dice.below(total as usize) as u32;
        for (at, (_, weight)) in self.scripts.iter().enumerate() {
            if left < *weight {
                return at;
            }
            left -= weight;
        }
        0
    }
}

/// The word of each sign as it follows the prompt, with the end of the line.
fn words(signs: &Inventory, tokenizer: &Tokenizer) -> Result<Vec<Vec<u32>>, Error> {
    let empty = tokenizer.encode("").map_err(Error::tokenizer)?;
    (0..signs.len())
        .map(|sign| {
            let word = format!(" {}\n", signs.word(sign));
            let tokens = tokenizer.encode(&word).map_err(Error::tokenizer)?;
            // What the tokenizer puts before every text is not before a word.
            Ok(tokens[empty.len()..].to_vec())
        })
        .collect()
}

fn image(rgb: &Rgb) -> Result<Image, Error> {
    let image = Image::new(rgb.width as u32, rgb.height as u32, rgb.pixels.clone());
    Ok(image?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RawConfig;
    use crate::zoo::vocabulary;

    fn spec() -> VisionSpec {
        let config = serde_json::json!({
            "model_type": "minicpmv", "version": "2.5", "hidden_size": 24, "query_num": 6,
            "resampler_num_heads": 2, "batch_vision_input": true, "drop_vision_last_layer": false,
            "slice_config": {"max_slice_nums": 1, "patch_size": 16, "scale_resolution": 48},
            "vision_config": {"hidden_size": 16, "image_size": 144, "intermediate_size": 24,
                "num_attention_heads": 2, "num_hidden_layers": 1, "patch_size": 16}
        });
        let serde_json::Value::Object(config) = config else {
            panic!("an object")
        };
        VisionSpec::new(&RawConfig::new(config)).expect("a vision part")
    }

    fn lessons(words: &[String]) -> Lessons {
        let documents = (0..200).map(|at| format!("What is sign {at}?\n"));
        let marks = ["<unk>", "<image>", "</image>", "<slice>", "</slice>"];
        let tokenizer = vocabulary::train(
            documents.into_iter().collect::<Vec<_>>().into_iter(),
            270 + words.len(),
            &marks.map(str::to_owned),
            words,
        );
        let json = tokenizer.and_then(|t| t.to_string(false)).expect("trains");
        let tokenizer = Tokenizer::from_bytes(json.as_bytes(), "t").expect("a tokenizer");
        let scripts = BTreeMap::from([("some".to_owned(), ScriptRecipe { seed: 3, signs: 4 })]);
        let pictures = Pictures {
            scripts: BTreeMap::from([("some".to_owned(), 1)]),
            batch: 8,
            before: 0,
        };
        Lessons::new(&spec(), &scripts, &pictures, &tokenizer, 5).expect("lessons")
    }

    fn words() -> Vec<String> {
        let signs = Inventory::invented(3, 4).expect("signs");
        (0..4).map(|sign| signs.word(sign).to_owned()).collect()
    }

    #[test]
    fn a_word_is_one_token_and_alone_counts() {
        let lessons = lessons(&words());
        let vision = Sight::new(spec(), &initial(&spec(), 1).expect("weights"), 4)
            .and_then(|sight| sight.vision())
            .expect("sees");
        let lesson = lessons.lesson(&vision, 0).expect("a lesson");
        assert_eq!(lesson.tokens.dims()[0], 8);
        let counted = lesson.targets.iter().filter(|target| target.weight > 0.0);
        // The word, and the end of its line.
        assert_eq!(counted.count(), 16);
        assert_eq!(lessons.prompt.places.len(), 6);
        let again = lessons.lesson(&vision, 0).expect("a lesson");
        assert_eq!(lesson.signs, again.signs);
    }

    #[test]
    fn what_is_trained_together_is_run_alone() {
        let start = initial(&spec(), 1).expect("weights");
        let trained = Sight::new(spec(), &start, 4).expect("starts");
        let lessons = lessons(&[]);
        let trains = trained.vision().expect("sees");
        let lesson = lessons.lesson(&trains, 0).expect("a lesson");
        let together = embedded(&trains, &lesson).expect("embeddings");
        let get = |name: &str| Ok(start[name].clone());
        let runs = Vision::from_tensors(spec(), Mode::Inference, &Device::Cpu, &get);
        let runs = runs.expect("sees");
        let size = (lesson.patches.rows, lesson.patches.columns);
        for picture in 0..8 {
            let patches = Patches {
                values: lesson.patches.values.get(picture).expect("a picture"),
                rows: size.0,
                columns: size.1,
            };
            let features = runs.tower().forward(&patches, 0, &mut ()).expect("runs");
            let alone = runs.resampler().forward(&features, size).expect("runs");
            let row = together.narrow(0, 6 * picture, 6).expect("rows");
            let apart = (row - alone).and_then(|d| d.abs()?.max_all()?.to_scalar::<f32>());
            assert!(apart.expect("a number") < 1e-5);
        }
    }

    #[test]
    fn signs_are_told_apart_after_some_steps() {
        let start = initial(&spec(), 1).expect("weights");
        let sight = Sight::new(spec(), &start, 4).expect("starts");
        let lessons = lessons(&[]);
        let params = candle_nn::ParamsAdamW {
            lr: 5e-3,
            ..Default::default()
        };
        let mut optimiser =
            <candle_nn::AdamW as candle_nn::Optimizer>::new(sight.vars(), params).expect("vars");
        let mut losses = Vec::new();
        for step in 0..60 {
            let loss = sight.guide_loss(&lessons, step).expect("a loss");
            candle_nn::Optimizer::backward_step(&mut optimiser, &loss).expect("a step");
            losses.push(loss.to_scalar::<f32>().expect("a number"));
        }
        let mean = |some: &[f32]| some.iter().sum::<f32>() / some.len() as f32;
        let (first, last) = (mean(&losses[..5]), mean(&losses[50..]));
        assert!(last < 0.5 * first, "{first} -> {last}");
        let kept = sight.tensors().expect("tensors");
        assert_eq!(kept.len(), start.len(), "the guide is not kept");
    }
}
