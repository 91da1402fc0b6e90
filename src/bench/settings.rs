//! `datasets/bench.yaml`: which changes, how much of everything in each tier.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::change::Change;
use super::error::Error;
use super::listening::Listening;
use super::measure::Work;
use super::overlap::Overlap;
use crate::evidence::Evidence;
use crate::probe;
use crate::probe::Suite;
use crate::record::tapped::Pool;
use crate::source::Collection;

/// Where the settings lie below the data root.
pub const PATH: &str = "datasets/bench.yaml";

const SCHEMA: &str = "kinprobe/bench/v1";

/// Everything in `bench.yaml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    schema: String,
    /// What is done to suspects, besides nothing.
    pub changes: Vec<Change>,
    /// How near a recovered number must come to count as recovered.
    #[serde(default)]
    pub bars: Bars,
    /// What `--simulate overlap` simulates.
    #[serde(default)]
    pub overlap: Option<Overlap>,
    /// By name.
    pub tiers: BTreeMap<String, Tier>,
}

/// How near is near enough, for the table of what was recovered; no verdict reads it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bars {
    /// Largest error of a noise's size, as a share of it.
    pub noise: f64,
    /// Largest error of a parent's share in a merge.
    pub share: f64,
}

/// How much is measured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// The first so many pairs of each relation and change; all when absent.
    #[serde(default)]
    pub pairs_of_each_relation: Option<usize>,
    /// The first so many changes that keep the function, and as many that do not; all when absent.
    #[serde(default)]
    pub changes_of_each_kind: Option<usize>,
    /// Whose members are measured.
    #[serde(default)]
    pub collection: Collection,
    /// Its own changes, in place of all.
    #[serde(default)]
    pub changes: Vec<Change>,
    /// Only pairs of these known relations; all when empty.
    #[serde(default)]
    pub relations: Vec<String>,
    /// Whether a changed suspect is compared with itself as it was, and with nothing else.
    #[serde(default)]
    pub changed_beside_itself: bool,
    /// Methods that are run; all when empty.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Items asked by suite: an id, or a file below the folder that holds `probes/`.
    #[serde(default)]
    pub suites: BTreeMap<String, usize>,
    /// What methods read, by id, where that is not what is recorded while suites are asked.
    #[serde(default)]
    pub taps: BTreeMap<String, Tapped>,
}

/// What is recorded for one method.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tapped {
    /// An id, or a file below the folder that holds `probes/`.
    pub suite: String,
    /// How many of its items.
    pub items: usize,
    /// With stars, as `kinprobe run --tap` takes them.
    pub sites: Vec<String>,
    /// Which rows of a prompt.
    pub pool: Pool,
}

impl Settings {
    /// Reads `datasets/bench.yaml` below `data_root`.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Settings`].
    pub fn load(data_root: &Path) -> Result<Self, Error> {
        let path = data_root.join(PATH);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        Self::parse(&text).map_err(|reason| Error::Settings { path, reason })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let settings: Self = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        if settings.schema != SCHEMA {
            return Err(format!("its schema is not {SCHEMA}"));
        }
        if let Some(fault) = settings.overlap.as_ref().and_then(Overlap::fault) {
            return Err(fault);
        }
        let mut names: Vec<&str> = settings.changes.iter().map(Change::name).collect();
        names.push(super::change::NONE);
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|two| two[0] == two[1]) {
            return Err(format!("the change {} occurs twice", twice[0]));
        }
        Ok(settings)
    }

    /// The changes of a tier: none first, then the tier's share in the order of the file.
    pub fn changes_of(&self, tier: &Tier) -> Vec<Change> {
        let most = tier.changes_of_each_kind.unwrap_or(usize::MAX);
        let mut taken = BTreeMap::from([(true, 0), (false, 0)]);
        let mut chosen = vec![Change::none()];
        let own = [&tier.changes, &self.changes];
        let listed = own.into_iter().find(|list| !list.is_empty());
        for change in listed.into_iter().flatten() {
            let count = taken.entry(change.exact()).or_default();
            if *count < most {
                *count += 1;
                chosen.push(change.clone());
            }
        }
        chosen
    }
}

impl Tier {
    /// The suites of the tier, each cut to its number of items.
    ///
    /// # Errors
    /// A suite that does not exist or does not load.
    pub fn load_suites(&self, data_root: &Path) -> Result<Vec<Suite>, Error> {
        let mut suites = Vec::new();
        for (id, items) in &self.suites {
            suites.extend(load(data_root, id, *items)?);
        }
        Ok(suites)
    }

    /// What is recorded for those of `methods` that read something of their own.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`] where the tier names one; a suite that does not exist or does not load.
    pub fn load_taps(
        &self,
        data_root: &Path,
        methods: &[&'static dyn Evidence],
    ) -> Result<Vec<Listening>, Error> {
        let named: Vec<String> = self.taps.keys().cloned().collect();
        Work::methods(&named)?;
        let mut wanted = Vec::new();
        for method in methods.iter().map(|method| method.card().id) {
            let Some(tapped) = self.taps.get(method) else {
                continue;
            };
            for suite in load(data_root, &tapped.suite, tapped.items)? {
                wanted.push(Listening {
                    method,
                    suite,
                    sites: tapped.sites.clone(),
                    pool: tapped.pool,
                });
            }
        }
        Ok(wanted)
    }
}

fn load(data_root: &Path, id: &str, items: usize) -> Result<Vec<Suite>, Error> {
    let found = match id.ends_with(".yaml") {
        true => vec![probe::load(&data_root.join(id))?],
        false => probe::select(data_root, &[id.to_owned()])?,
    };
    Ok(found.iter().map(|suite| suite.reduced(items)).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Settings;
    use crate::bench::Work;
    use crate::model::Site;

    #[test]
    fn the_shipped_settings_have_both_tiers_and_all_suites() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let settings = Settings::load(root).unwrap();
        let full = &settings.tiers["full"];
        let quick = &settings.tiers["quick"];
        assert_eq!(settings.changes_of(full).len(), settings.changes.len() + 1);
        assert!(settings.changes_of(quick).len() <= 3);
        for tier in [full, quick] {
            let suites = tier.load_suites(root).unwrap();
            assert!(
                suites
                    .iter()
                    .all(|suite| suite.items.len() == tier.suites[&suite.id])
            );
        }
    }

    #[test]
    fn what_methods_of_a_tier_listen_for_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let settings = Settings::load(root).unwrap();
        let tier = &settings.tiers["activations"];
        let methods = Work::methods(&tier.methods).unwrap();
        let taps = tier.load_taps(root, &methods).unwrap();
        assert_eq!(
            taps.len(),
            tier.taps.len(),
            "of methods that it does not run"
        );
        for one in &taps {
            assert_eq!(one.suite.items.len(), tier.taps[one.method].items);
            let found = |pattern: &String| !Site::matching(pattern, 1).is_empty();
            assert!(one.sites.iter().all(found), "{one}");
        }
        let none = tier.load_taps(root, &methods[..1]).unwrap();
        assert!(none.is_empty(), "one method's, if it is the only one");

        let mut misspelt = tier.clone();
        let (_, own) = misspelt.taps.pop_first().unwrap();
        misspelt.taps.insert("activation.magic".to_owned(), own);
        let error = misspelt.load_taps(root, &methods).unwrap_err();
        assert!(error.to_string().contains("activation.magic"), "{error}");
    }

    #[test]
    fn wrong_settings_are_refused_with_the_reason() {
        let good = "schema: kinprobe/bench/v1\nchanges: []\ntiers: {}\n";
        assert!(Settings::parse(good).is_ok());
        for (from, to, reason) in [
            ("bench/v1", "bench/v9", "schema"),
            ("changes: []", "changes: [none]", "twice"),
            ("changes: []", "changes: [permute-magic]", "permute-magic"),
            ("changes: []", "changes: [noise=0.1, noise=0.1]", "twice"),
            ("tiers: {}", "tiers: {full: {suits: {}}}", "suits"),
        ] {
            let error = Settings::parse(&good.replace(from, to)).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
