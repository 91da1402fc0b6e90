//! What the numbers of a pair are held against.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Bench;
use super::Dossier;
use crate::cli::exit;
use crate::cli::references;
use crate::model::DecoderSpec;
use crate::model::Model;
use crate::model::SERVED;
use crate::record::grams::ReferenceGrams;
use crate::record::tapped::Pool;
use crate::source;
use crate::source::Collection;
use crate::source::ModelRef;
use crate::source::ZooMember;
use crate::source::ZooStart;

/// Models that the numbers of a pair are held against.
pub struct Panel {
    /// Independent pre-training runs, one model each.
    pub population: Vec<Dossier>,
    /// A pair known to be related.
    pub derived: Option<(Dossier, Dossier)>,
}

impl Bench<'_> {
    /// The models named for it and the shipped ones of runs other than those of `pair`, each once, and a
    /// shipped derived pair.
    pub fn panel(&self, pair: [&Dossier; 2], extra: &[ModelRef]) -> Result<Panel> {
        let mut panel = Panel {
            population: Vec::new(),
            derived: None,
        };
        // A model that stood in the panel twice would agree with itself as no two strangers do.
        let mut known = pair.map(|dossier| dossier.model.digest()).to_vec();
        for (index, reference) in extra.iter().enumerate() {
            let model = self.open(reference, &format!("panel-{}", index + 1))?;
            if model.is_served() && !pair.iter().any(|dossier| dossier.model.is_served()) {
                return Err(exit::usage(format!(
                    "--panel {reference}: {SERVED}, and the two models that are compared show more: name one with files"
                )));
            }
            if known[..pair.len()].contains(&model.digest()) {
                return Err(exit::usage(format!(
                    "--panel {reference} is one of the two models that are compared: a panel is of others"
                )));
            }
            if !known.contains(&model.digest()) {
                known.push(model.digest());
                panel.population.push(self.record(model)?);
            }
        }
        // Those who read pictures are held against those who do.
        let collection = match pair.iter().all(|dossier| dossier.model.sees()) {
            true => Collection::Script,
            false => Collection::Text,
        };
        let members = source::zoo_members(&self.data, collection)?;
        let runs: Vec<&str> = pair
            .iter()
            .filter_map(|dossier| dossier.model.artefacts.run.as_deref())
            .collect();
        let strangers = strangers(&members, &runs).into_iter();
        let mut strangers = strangers
            .map(|base| self.open(&format!("zoo:{}", base.name).parse()?, &base.name))
            .collect::<Result<Vec<Model>>>()?;
        let alike = |model: &Model| pair.iter().any(|one| same_construction(&one.model, model));
        if strangers.iter().filter(|model| alike(model)).count() >= LEAST_ALIKE {
            strangers.retain(alike);
        }
        for model in strangers {
            if !known.contains(&model.digest()) {
                panel.population.push(self.record(model)?);
            }
        }
        if let Some(child) = members
            .iter()
            .find(|member| member.relation.as_deref() == Some("fine_tuned"))
            && let Some(parent) = &child.parent
        {
            panel.derived = Some((self.zoo(parent)?, self.zoo(&child.name)?));
        }
        Ok(panel)
    }

    fn zoo(&self, name: &str) -> Result<Dossier> {
        let reference: ModelRef = format!("zoo:{name}").parse()?;
        self.record(self.open(&reference, name)?)
    }

    /// Shipped Gram matrices of runs that neither the pair nor the panel is of.
    pub(super) fn references(
        &self,
        pair: [&Dossier; 2],
        panel: &Panel,
    ) -> Result<Vec<ReferenceGrams>> {
        let Some(read) = &pair[0].activations else {
            return Ok(Vec::new());
        };
        let recordings = pair[0].recordings.iter();
        let records = recordings
            .filter(|recording| recording.header.suite == read.suite)
            .flat_map(|recording| &recording.records);
        let prompts = records.map(|record| (record.item.clone(), record.prompt_sha256.clone()));
        let all = || pair.into_iter().chain(&panel.population);
        let digests: Vec<String> = all().map(|one| one.model.digest()).collect();
        let digests: Vec<&str> = digests.iter().map(String::as_str).collect();
        let runs: Vec<&str> = all()
            .filter_map(|one| one.model.artefacts.run.as_deref())
            .collect();
        references::of_other_runs(
            self.global,
            (Pool::Last, &prompts.collect()),
            &digests,
            &runs,
        )
    }
}

/// With fewer bases built like the pair than this, the null is all bases there are.
const LEAST_ALIKE: usize = 3;

/// Bases that share neither a run nor initial weights with the pair or with each other, and whose
/// answers none of them learnt.
pub(in crate::cli) fn strangers<'m>(members: &'m [ZooMember], runs: &[&str]) -> Vec<&'m ZooMember> {
    let ours = |member: &&ZooMember| member.run.as_deref().is_some_and(|run| runs.contains(&run));
    let teachers = members
        .iter()
        .filter(ours)
        .filter_map(|m| m.teacher.as_deref());
    let teachers: Vec<&str> = teachers.collect();
    let starts = members
        .iter()
        .filter(ours)
        .filter_map(|m| m.initial.as_ref());
    let mut starts: BTreeSet<&ZooStart> = starts.collect();
    members
        .iter()
        .filter(|member| member.parent.is_none() && member.teacher.is_none())
        .filter(|member| !teachers.contains(&member.name.as_str()))
        .filter(|member| {
            member
                .initial
                .as_ref()
                .is_none_or(|start| starts.insert(start))
        })
        .collect()
}

/// Whether two models have the same configuration, so that nothing but their weights differs.
fn same_construction(one: &Model, other: &Model) -> bool {
    match (&one.spec, &other.spec) {
        (Ok(one), Ok(other)) => {
            let bare = |spec: &DecoderSpec| DecoderSpec {
                caveats: Vec::new(),
                ..spec.clone()
            };
            bare(one) == bare(other)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::ZooMember;
    use super::ZooStart;
    use super::strangers;

    fn member(name: &str, seed: Option<u64>, teacher: Option<&str>) -> ZooMember {
        ZooMember {
            name: name.to_owned(),
            run: Some(name.to_owned()),
            parent: None,
            relation: None,
            initial: seed.map(|seed| ZooStart {
                architecture: "a".to_owned(),
                seed,
            }),
            teacher: teacher.map(str::to_owned),
        }
    }

    #[test]
    fn the_null_is_of_runs_that_share_nothing() {
        let mut members = vec![
            member("one", Some(1), None),
            member("two", Some(2), None),
            member("twin-of-one", Some(1), None),
            member("three", Some(3), None),
            member("twin-of-three", Some(3), None),
            member("pupil", Some(4), Some("two")),
        ];
        members.push(ZooMember {
            parent: Some("two".to_owned()),
            initial: None,
            ..member("child", None, None)
        });
        let names = |runs: &[&str]| -> Vec<String> {
            let found = strangers(&members, runs).into_iter();
            found.map(|member| member.name.clone()).collect()
        };
        assert_eq!(names(&["one"]), ["two", "three"]);
        assert_eq!(names(&["pupil"]), ["one", "three"]);
        assert_eq!(names(&[]), ["one", "two", "three"]);
    }
}
