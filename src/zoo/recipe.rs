//! Recipes: how each member is made, as data.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use super::error::Error;
use super::transform::Transformation;

const SCHEMA: &str = "kinprobe/zoo-recipes/v1";

/// Everything in `recipes.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipes {
    schema: String,
    /// Tokenizers by name.
    pub tokenizers: BTreeMap<String, TokenizerRecipe>,
    /// `config.json` of each architecture, as it is written.
    pub architectures: BTreeMap<String, Map<String, Value>>,
    /// Invented scripts by name.
    #[serde(default)]
    pub scripts: BTreeMap<String, ScriptRecipe>,
    /// Stretches of training by name.
    pub courses: BTreeMap<String, Course>,
    /// Questions that every member is examined with.
    pub exam: ExamRecipe,
    /// Members, parents before children.
    pub members: Vec<Recipe>,
}

/// How one member is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name after `zoo:`, and of its folder.
    pub name: String,
    /// The member it is made from; absent for a base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What it is to its parent, in the words of `findings.lineage.relation`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
    /// Initial weights of a base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<Initial>,
    /// A member whose output distribution it learns instead of the text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<String>,
    /// What is done to the weights, in order, before any training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preparation: Vec<Transformation>,
    /// Training, by the name of its course.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<String>,
    /// What is done to the weights and their storage, in order, after any training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transformations: Vec<Transformation>,
}

/// Where a base starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Initial {
    /// Name of the architecture.
    pub architecture: String,
    /// Name of the tokenizer.
    pub tokenizer: String,
    /// Of the random weights.
    pub seed: u64,
}

/// Text for a tokenizer: documents of several worlds, so that names it has not seen stay short.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerRecipe {
    /// Tokens, special ones included.
    pub vocab_size: usize,
    /// World seeds.
    pub worlds: Vec<u64>,
    /// Documents of each world.
    pub documents: usize,
    /// Order seed of the documents.
    pub order_seed: u64,
    /// Relative number of documents by domain.
    pub mix: BTreeMap<String, u32>,
    /// Scripts each of whose words is one token, as characters of a script in use are.
    #[serde(default)]
    pub words: Vec<String>,
    /// Special tokens besides the end of text.
    #[serde(default)]
    pub special: Vec<String>,
}

/// An invented script.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptRecipe {
    /// Of its signs and their words, as in `suite render script --seed`.
    pub seed: u64,
    /// How many signs.
    pub signs: usize,
}

/// Pictures of signs beside the text of every step.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pictures {
    /// Relative number of pictures by script.
    pub scripts: BTreeMap<String, u32>,
    /// Pictures per step.
    pub batch: usize,
    /// Steps before the first, in which the vision part alone learns to tell signs apart.
    #[serde(default)]
    pub before: usize,
}

/// A stretch of training.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// Of the facts.
    pub world_seed: u64,
    /// Of the order of the documents.
    pub order_seed: u64,
    /// Relative number of documents by domain.
    pub mix: BTreeMap<String, u32>,
    /// Optimiser steps.
    pub steps: usize,
    /// Windows per step.
    pub batch: usize,
    /// Tokens per window.
    pub context: usize,
    /// How much a token of a question counts beside one of running text or of an answer.
    pub prompt_weight: f32,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Steps of linear rise to it.
    pub warmup: usize,
    /// Share of the highest rate that the cosine decay ends at.
    pub final_share: f64,
    /// Decoupled weight decay of matrices; gains have none.
    pub weight_decay: f64,
    /// Trains low-rank differences alone and adds them to the weights at the end.
    #[serde(default)]
    pub lora: Option<Lora>,
    /// For a model that sees.
    #[serde(default)]
    pub pictures: Option<Pictures>,
}

/// Low-rank adaptation (Hu et al., "LoRA", 2021): `W + alpha / rank * B A`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// Rows of `A`, columns of `B`.
    pub rank: usize,
    /// Strength of the difference.
    pub alpha: f64,
    /// Of the initial `A`; `B` is zero.
    pub seed: u64,
}

/// The exam: held-out questions of one world.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExamRecipe {
    /// Of the facts that are right.
    pub world_seed: u64,
    /// Of the choice of questions.
    pub seed: u64,
    /// Questions.
    pub questions: usize,
    /// Domains asked about; the shares are equal whatever the weights.
    pub mix: BTreeMap<String, u32>,
    /// Pictures of each sign of each script, for models that see.
    #[serde(default)]
    pub writings: usize,
}

impl Recipes {
    /// Reads and checks `recipes.yaml`.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Recipes`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
        Self::parse(&text).map_err(|reason| Error::Recipes {
            path: path.to_path_buf(),
            reason,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let recipes: Self = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        if recipes.schema != SCHEMA {
            return Err(format!("its schema is not {SCHEMA}"));
        }
        recipes.check_parts()?;
        for (place, recipe) in recipes.members.iter().enumerate() {
            let before = &recipes.members[..place];
            recipes
                .check(recipe, before)
                .map_err(|reason| format!("member {}: {reason}", recipe.name))?;
        }
        Ok(recipes)
    }

    /// What would otherwise end in an empty corpus or a training without steps.
    fn check_parts(&self) -> Result<(), String> {
        let tokenizers = self
            .tokenizers
            .iter()
            .map(|(name, t)| (name.as_str(), &t.mix));
        let courses = self.courses.iter().map(|(name, c)| (name.as_str(), &c.mix));
        for (name, mix) in tokenizers.chain(courses).chain([("exam", &self.exam.mix)]) {
            if mix.values().all(|&weight| weight == 0) {
                return Err(format!("the mix of {name} is empty"));
            }
        }
        self.check_scripts()?;
        for (name, course) in &self.courses {
            if let Some(pictures) = &course.pictures {
                self.check_pictures(pictures)
                    .map_err(|reason| format!("course {name}: {reason}"))?;
            }
            let rank = course.lora.as_ref().map_or(1, |lora| lora.rank);
            if course.steps == 0 || course.batch == 0 || course.context == 0 || rank == 0 {
                return Err(format!(
                    "course {name} has no steps, windows, tokens or rank"
                ));
            }
        }
        Ok(())
    }

    fn check_scripts(&self) -> Result<(), String> {
        for (name, tokenizer) in &self.tokenizers {
            let known = |script: &&String| self.scripts.contains_key(*script);
            if let Some(unknown) = tokenizer.words.iter().find(|script| !known(script)) {
                return Err(format!("tokenizer {name}: no script {unknown}"));
            }
        }
        match self.scripts.values().any(|script| script.signs == 0) {
            true => Err("a script without signs".to_owned()),
            false => Ok(()),
        }
    }

    fn check_pictures(&self, pictures: &Pictures) -> Result<(), String> {
        if let Some(unknown) = pictures
            .scripts
            .keys()
            .find(|name| !self.scripts.contains_key(*name))
        {
            return Err(format!("no script {unknown}"));
        }
        if pictures.batch == 0 || pictures.scripts.values().all(|&weight| weight == 0) {
            return Err("its pictures are none".to_owned());
        }
        Ok(())
    }

    fn check(&self, recipe: &Recipe, before: &[Recipe]) -> Result<(), String> {
        if before.iter().any(|other| other.name == recipe.name) {
            return Err("its name occurs twice".to_owned());
        }
        match (&recipe.initial, &recipe.parent) {
            (Some(initial), None) => {
                if !self.architectures.contains_key(&initial.architecture) {
                    return Err(format!("no architecture {}", initial.architecture));
                }
                if !self.tokenizers.contains_key(&initial.tokenizer) {
                    return Err(format!("no tokenizer {}", initial.tokenizer));
                }
            }
            (None, Some(parent)) => {
                if !before.iter().any(|other| other.name == *parent) {
                    return Err(format!("its parent {parent} is not listed before it"));
                }
            }
            _ => return Err("it needs either `initial` or `parent`".to_owned()),
        }
        match (&recipe.teacher, &recipe.course) {
            (_, Some(course)) if !self.courses.contains_key(course) => {
                Err(format!("no course {course}"))
            }
            (Some(_), None) => Err("it has a teacher but no course".to_owned()),
            (Some(teacher), _) if !before.iter().any(|other| other.name == *teacher) => {
                Err(format!("its teacher {teacher} is not listed before it"))
            }
            _ => Ok(()),
        }
    }

    /// The recipe called `name`.
    ///
    /// # Errors
    /// [`Error::UnknownRecipe`].
    pub fn get(&self, name: &str) -> Result<&Recipe, Error> {
        self.members
            .iter()
            .find(|recipe| recipe.name == name)
            .ok_or_else(|| Error::UnknownRecipe {
                name: name.to_owned(),
                known: self
                    .members
                    .iter()
                    .map(|recipe| recipe.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// The base that a member descends from: its pre-training run.
    pub fn run_of(&self, name: &str) -> String {
        let mut name = name;
        // Parents stand before children, so this ends.
        while let Some(parent) = self
            .members
            .iter()
            .find(|recipe| recipe.name == name)
            .and_then(|recipe| recipe.parent.as_deref())
        {
            name = parent;
        }
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Recipes;

    const GOOD: &str = "
schema: kinprobe/zoo-recipes/v1
tokenizers:
  t: {vocab_size: 300, worlds: [1], documents: 10, order_seed: 1, mix: {numbers: 1}}
architectures:
  a: {model_type: llama, hidden_size: 8}
courses:
  c: {world_seed: 1, order_seed: 1, mix: {numbers: 1}, steps: 1, batch: 1, context: 8,
      prompt_weight: 0.5, learning_rate: 1e-3, warmup: 1, final_share: 0.1, weight_decay: 0.1}
exam: {world_seed: 1, seed: 1, questions: 8, mix: {numbers: 1}}
members:
  - {name: base, initial: {architecture: a, tokenizer: t, seed: 1}, course: c}
  - name: child
    parent: base
    relation: noised
    transformations: [{gaussian_noise: {relative_sigma: 0.1, seed: 4}}]
  - {name: grandchild, parent: child, course: c}
";

    #[test]
    fn recipes_are_read_and_runs_found() {
        let recipes = Recipes::parse(GOOD).expect("good");
        assert_eq!(recipes.members.len(), 3);
        assert_eq!(recipes.run_of("grandchild"), "base");
        assert_eq!(recipes.courses["c"].learning_rate, 1e-3);
        let error = recipes.get("nobody").expect_err("unknown").to_string();
        assert!(error.contains("base, child, grandchild"), "{error}");
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        for (from, to, reason) in [
            ("parent: base", "parent: orphan", "orphan"),
            (
                "course: c}\n  - name: child",
                "course: d}\n  - name: child",
                "no course d",
            ),
            ("name: grandchild", "name: child", "twice"),
            ("recipes/v1", "recipes/v9", "schema"),
            ("seed: 4", "seed: 4, strength: 2", "strength"),
            ("gaussian_noise", "magic", "magic"),
            ("steps: 1", "steps: 0", "no steps"),
            (
                "parent: child,",
                "parent: child, teacher: nobody,",
                "nobody",
            ),
            (
                "relation: noised",
                "relation: noised\n    teacher: base",
                "no course",
            ),
            (
                "questions: 8, mix: {numbers: 1}",
                "questions: 8, mix: {}",
                "exam is empty",
            ),
        ] {
            let error = Recipes::parse(&GOOD.replace(from, to)).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }
}
