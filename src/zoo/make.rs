//! Makes a member from its recipe: train or open its parent, transform, write, examine, list.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use candle_core::Device;
use candle_core::Tensor;
use tokenizers::Tokenizer;

use crate::model;
use crate::model::Decoder;
use crate::model::Model;
use crate::model::mapping;
use crate::probe::render::script::Inventory;
use crate::record;
use crate::source;
use crate::source::Locator;
use crate::source::ModelRef;
use crate::source::OpenOptions;

use super::checkpoint::Checkpoint;
use super::checkpoint::Matrix;
use super::corpus::Corpus;
use super::error::Error;
use super::exam;
use super::exam::Score;
use super::list;
use super::list::Member;
use super::list::Training;
use super::recipe::Course;
use super::recipe::Initial;
use super::recipe::Recipe;
use super::recipe::Recipes;
use super::recipe::ScriptRecipe;
use super::recipe::TokenizerRecipe;
use super::sight;
use super::sight::Lessons;
use super::sight::Sight;
use super::train;
use super::train::Lesson;
use super::train::Step;
use super::train::Tensors;
use super::transform::Transformation;
use super::vocabulary;

/// Where recipes and members are.
#[derive(Debug, Clone)]
pub struct Workshop {
    /// The recipes to follow.
    pub recipes: Recipes,
    /// Finished members, for parents that were not made here.
    pub shipped: PathBuf,
    /// Folder that new members are written to.
    pub out: PathBuf,
}

impl Workshop {
    /// Makes `name` and lists it; `watch` hears of every optimiser step.
    ///
    /// # Errors
    /// An unknown name, a parent that is neither in the output folder nor shipped, or whatever
    /// training and writing report.
    pub fn make(&self, name: &str, watch: &mut dyn FnMut(Step)) -> Result<Member, Error> {
        let recipe = self.recipes.get(name)?;
        let mut checkpoint = self.start(recipe)?;
        let preparation = self.transform(&mut checkpoint, &recipe.preparation)?;
        let training = match &recipe.course {
            Some(course) => Some(self.train(&mut checkpoint, recipe, course, watch)?),
            None => None,
        };
        let transformations = self.transform(&mut checkpoint, &recipe.transformations)?;
        let folder = self.out.join(name);
        checkpoint.write(&folder)?;
        let model = self.reopened(&folder, recipe)?;
        let exam_by_domain = self.examine(&model)?;
        let mut exam = Score::default();
        for score in exam_by_domain.values() {
            exam.right += score.right;
            exam.asked += score.asked;
        }
        let member = Member {
            name: name.to_owned(),
            run: self.recipes.run_of(name),
            parent: recipe.parent.clone(),
            relation: recipe.relation.clone(),
            initial: recipe.initial.clone(),
            teacher: recipe.teacher.clone(),
            preparation,
            training,
            transformations,
            parameters: checkpoint.parameters(),
            digest: model.digest(),
            exam,
            exam_by_domain,
            files: model.artefacts.files().cloned().collect(),
        };
        let names: Vec<&str> = self
            .recipes
            .members
            .iter()
            .map(|r| r.name.as_str())
            .collect();
        list::record(&self.out, member.clone(), &names)?;
        Ok(member)
    }

    fn start(&self, recipe: &Recipe) -> Result<Checkpoint, Error> {
        if let Some(initial) = &recipe.initial {
            return self.fresh(initial);
        }
        // Recipes were checked: what has no initial weights has a parent.
        let parent = recipe.parent.as_deref().unwrap_or_default();
        Checkpoint::of(&self.member(parent)?)
    }

    /// A finished member: one made here, or else the shipped one.
    fn member(&self, name: &str) -> Result<Model, Error> {
        let here = self.out.join(name);
        let folder = if here.join("config.json").exists() {
            here
        } else {
            self.shipped.join(name)
        };
        open(&folder)
    }

    fn transform(
        &self,
        checkpoint: &mut Checkpoint,
        transformations: &[Transformation],
    ) -> Result<Vec<Transformation>, Error> {
        let make = |name: &str| {
            let recipe = self.recipes.tokenizers.get(name);
            let missing = || Error::Tokenizer(format!("the recipes have none called {name}"));
            tokenizer(recipe.ok_or_else(missing)?, &self.recipes.scripts)
        };
        transformations
            .iter()
            .map(|transformation| transformation.apply(checkpoint, &make))
            .collect()
    }

    fn fresh(&self, initial: &Initial) -> Result<Checkpoint, Error> {
        let config = &self.recipes.architectures[&initial.architecture];
        let tokenizer = tokenizer(
            &self.recipes.tokenizers[&initial.tokenizer],
            &self.recipes.scripts,
        )?;
        let json = tokenizer.to_string(false).map_err(Error::tokenizer)?;
        let mut checkpoint = Checkpoint::empty(config.clone(), json.into_bytes());
        start(&mut checkpoint, initial.seed)?;
        Ok(checkpoint)
    }

    fn train(
        &self,
        checkpoint: &mut Checkpoint,
        recipe: &Recipe,
        course: &str,
        watch: &mut dyn FnMut(Step),
    ) -> Result<Training, Error> {
        let plan = &self.recipes.courses[course];
        let (_, spec) = checkpoint.described()?;
        let tokenizer = Tokenizer::from_bytes(&checkpoint.tokenizer).map_err(Error::tokenizer)?;
        let start = tensors(checkpoint)?;
        let teacher = match &recipe.teacher {
            Some(name) => Some(self.teacher(name, checkpoint)?),
            None => None,
        };
        let seen = self.seen(checkpoint, plan)?;
        let lesson = Lesson {
            spec: &spec,
            start: &start,
            tokenizer: &tokenizer,
            course: plan,
            teacher: teacher.as_ref(),
            seen: seen.as_ref().map(|(sight, lessons)| (sight, lessons)),
        };
        let trained = train::train(&lesson, watch)?;
        put(checkpoint, trained.tensors)?;
        if let Some((sight, _)) = &seen {
            put_sight(checkpoint, sight.tensors()?)?;
        }
        Ok(Training {
            course: course.to_owned(),
            tokens: (plan.steps * plan.batch * plan.context) as u64,
            loss: trained.loss,
            picture_loss: trained.picture_loss,
            unigram_entropy: trained.unigram_entropy,
        })
    }

    /// The vision part that is trained, and on what, where the course shows pictures.
    fn seen(
        &self,
        checkpoint: &Checkpoint,
        course: &Course,
    ) -> Result<Option<(Sight, Lessons)>, Error> {
        let Some(pictures) = &course.pictures else {
            return Ok(None);
        };
        let Some(spec) = checkpoint.vision()? else {
            let reason = "the course shows pictures and the model sees none".to_owned();
            return Err(Error::Config { reason });
        };
        let tokenizer = model::Tokenizer::from_bytes(&checkpoint.tokenizer, "tokenizer.json");
        let tokenizer = tokenizer.map_err(Error::tokenizer)?;
        let scripts = &self.recipes.scripts;
        let lessons = Lessons::new(&spec, scripts, pictures, &tokenizer, course.order_seed)?;
        let start = checkpoint.sight.iter().map(|(name, weight)| {
            let shape = weight.shape.as_slice();
            Ok((
                name.clone(),
                Tensor::from_slice(&weight.values, shape, &Device::Cpu)?,
            ))
        });
        let start = start.collect::<Result<sight::Tensors, Error>>()?;
        Ok(Some((Sight::new(spec, &start, lessons.signs())?, lessons)))
    }

    /// The model that `pupil` learns from; they must share a tokenizer.
    fn teacher(&self, name: &str, pupil: &Checkpoint) -> Result<Decoder, Error> {
        let model = self.member(name)?;
        if Checkpoint::of(&model)?.tokenizer != pupil.tokenizer {
            let reason = format!("that of the teacher {name} is another");
            return Err(Error::Tokenizer(reason));
        }
        let spec = match &model.spec {
            Ok(spec) => spec,
            Err(reason) => {
                return Err(Error::Config {
                    reason: reason.clone(),
                });
            }
        };
        Ok(Decoder::load(&model.weights, spec, &Device::Cpu)?)
    }

    /// What was written; where no family reads it, as its parent is read.
    fn reopened(&self, folder: &Path, recipe: &Recipe) -> Result<Model, Error> {
        let model = open(folder)?;
        let Some(parent) = recipe.parent.as_deref().filter(|_| model.plan.is_err()) else {
            return Ok(model);
        };
        let known = mapping::with_roles_of(&model, &self.member(parent)?);
        let known = known.map_err(model::Error::from)?;
        Ok(known.unwrap_or(model))
    }

    fn examine(&self, model: &Model) -> Result<exam::Scores, Error> {
        let runner = record::load(model)?;
        let mut scores = exam::scores(&exam::examine(&*runner, &self.recipes.exam)?);
        if runner.sees() {
            scores.extend(exam::signs(
                &*runner,
                &self.recipes.scripts,
                &self.recipes.exam,
            )?);
        }
        Ok(scores)
    }
}

/// Gives a checkpoint the weights that training starts from under `seed`.
pub(super) fn start(checkpoint: &mut Checkpoint, seed: u64) -> Result<(), Error> {
    let (_, spec) = checkpoint.described()?;
    if let Some(vision) = checkpoint.vision()? {
        put_sight(checkpoint, sight::initial(&vision, seed)?)?;
    }
    put(checkpoint, train::initial(&spec, seed)?)
}

/// Trains the tokenizer of a recipe.
///
/// # Errors
/// A recipe that names an unknown domain, or too little text for the vocabulary.
pub fn tokenizer(
    recipe: &TokenizerRecipe,
    scripts: &BTreeMap<String, ScriptRecipe>,
) -> Result<Tokenizer, Error> {
    let mut documents = Vec::with_capacity(recipe.worlds.len() * recipe.documents);
    for &world in &recipe.worlds {
        let corpus = Corpus::new(world, &recipe.mix)?;
        let some = corpus.documents(recipe.order_seed).take(recipe.documents);
        documents.extend(some.map(|document| document.text()));
    }
    let mut words = Vec::new();
    for name in &recipe.words {
        // Names were checked when the recipes were read.
        let script = &scripts[name];
        let signs = Inventory::invented(script.seed, script.signs)?;
        for word in (0..signs.len()).map(|sign| signs.word(sign).to_owned()) {
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    let documents = documents.into_iter();
    vocabulary::train(documents, recipe.vocab_size, &recipe.special, &words)
        .map_err(Error::tokenizer)
}

fn open(folder: &Path) -> Result<Model, Error> {
    let reference = ModelRef {
        label: None,
        locator: Locator::Local(folder.to_path_buf()),
    };
    let artefacts = source::open(&reference, &OpenOptions::default())?;
    Ok(Model::open(artefacts, "member")?)
}

fn tensors(checkpoint: &Checkpoint) -> Result<Tensors, Error> {
    checkpoint
        .weights
        .iter()
        .map(|(role, weight)| {
            let shape = weight.shape.as_slice();
            Ok((
                *role,
                Tensor::from_slice(&weight.values, shape, &Device::Cpu)?,
            ))
        })
        .collect()
}

fn put_sight(checkpoint: &mut Checkpoint, tensors: sight::Tensors) -> Result<(), Error> {
    for (name, tensor) in tensors {
        checkpoint.sight.insert(name, matrix(&tensor)?);
    }
    Ok(())
}

fn put(checkpoint: &mut Checkpoint, tensors: Tensors) -> Result<(), Error> {
    for (role, tensor) in tensors {
        checkpoint.weights.insert(role, matrix(&tensor)?);
    }
    Ok(())
}

fn matrix(tensor: &Tensor) -> Result<Matrix, Error> {
    Ok(Matrix {
        shape: tensor.dims().to_vec(),
        values: tensor.flatten_all()?.to_vec1()?,
    })
}
