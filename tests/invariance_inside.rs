//! What a card claims to survive leaves methods of activations as they are: the laundered model reads the
//! same tokens, and what is inside it is measured again.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use candle_core::DType;
use candle_core::Device;
use candle_core::IndexOp;
use candle_core::Tensor;
use kinprobe::evidence as methods;
use kinprobe::evidence::Evidence;
use kinprobe::evidence::Memo;
use kinprobe::evidence::Needs;
use kinprobe::evidence::Outcome;
use kinprobe::evidence::Pair;
use kinprobe::evidence::Subject;
use kinprobe::model::Decoder;
use kinprobe::model::Site;
use kinprobe::model::Tap;
use kinprobe::record::Activations;
use kinprobe::record::SiteActivations;
use kinprobe::stat::random;

use crate::evidence::Checkpoint;
use crate::evidence::Opened;
use crate::invariance::laundered;

const PROMPTS: usize = 40;
const TOKENS: usize = 6;
/// Of the checkpoints.
const VOCABULARY: usize = 64;
/// Weights are stored as f32, and ranks may change places.
const ROUNDING: f64 = 0.02;

/// Keeps the last row of every site of interest, prompt after prompt.
#[derive(Default)]
struct LastRows(BTreeMap<String, (Option<Site>, Vec<f32>)>);

impl Tap for LastRows {
    fn wants(&self, site: Site) -> bool {
        matches!(
            site,
            Site::ResidPost(_) | Site::MlpPre(_) | Site::MlpPreLinear(_) | Site::Value(_)
        )
    }

    fn visit(&mut self, site: Site, value: &Tensor) -> candle_core::Result<()> {
        let last = value.dim(1)? - 1;
        let row = value.i((0, last))?.flatten_all()?.to_dtype(DType::F32)?;
        let row = row.to_vec1::<f32>()?;
        let place = self.0.entry(site.to_string()).or_default();
        place.0 = Some(site);
        place.1.extend(row);
        Ok(())
    }
}

fn read(opened: &Opened) -> Activations {
    let spec = opened.model.plan.as_ref().unwrap();
    let decoder = Decoder::load(&opened.model.weights, spec, &Device::Cpu).unwrap();
    let mut rng = random::stream(1, "tokens");
    let mut rows = LastRows::default();
    for _ in 0..PROMPTS {
        let tokens: Vec<u32> = (0..TOKENS)
            .map(|_| random::below(&mut rng, VOCABULARY) as u32)
            .collect();
        let tokens = Tensor::from_vec(tokens, (1, TOKENS), &Device::Cpu).unwrap();
        decoder.forward(&tokens, None, &mut rows).unwrap();
    }
    let sites = rows.0.into_values().map(|(site, values)| SiteActivations {
        site: site.unwrap(),
        width: values.len() / PROMPTS,
        values,
    });
    Activations {
        suite: "tokens".to_owned(),
        items: (0..PROMPTS).map(|i| format!("item-{i:02}")).collect(),
        offsets: Vec::new(),
        tokens: None,
        key_value_heads: Some(spec.num_key_value_heads),
        sites: sites.collect(),
    }
}

/// A model and what is inside it.
struct Heard {
    opened: Opened,
    activations: Activations,
}

impl Heard {
    fn new(opened: Opened) -> Self {
        Self {
            activations: read(&opened),
            opened,
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            activations: Some(&self.activations),
            ..self.opened.subject()
        }
    }
}

fn statistic(
    method: &dyn Evidence,
    [reference, suspect]: [&Heard; 2],
    others: &[Heard],
) -> Option<f64> {
    let population: Vec<Subject<'_>> = others.iter().map(Heard::subject).collect();
    let pair = Pair {
        reference: reference.subject(),
        suspect: suspect.subject(),
        population: &population,
        derived: None,
        references: &[],
        seed: 0,
        memo: Memo::default(),
    };
    match method.assess(&pair).unwrap() {
        Outcome::Measured(finding) => Some(finding.statistic),
        Outcome::NotApplicable(_) => None,
    }
}

/// Of two random models, kin and strangers; independent models are there for methods that need them.
#[test]
fn what_is_inside_survives_what_the_card_says() {
    let heard: Vec<&dyn Evidence> = methods::methods()
        .filter(|method| {
            let card = method.card();
            card.needs == Needs::Activations || card.id.starts_with("activation.")
        })
        .collect();
    let names: BTreeSet<&str> = heard
        .iter()
        .flat_map(|method| method.card().survives.iter().copied())
        .collect();
    let others: Vec<Heard> = (0..4)
        .map(|at| {
            Heard::new(Opened::new(
                &format!("other-{at}"),
                &Checkpoint::random(70 + at),
            ))
        })
        .collect();
    let parent = Checkpoint::random(1);
    let reference = Heard::new(Opened::new("reference", &parent));
    let suspects = [
        Heard::new(Opened::new("kin", &parent.clone().noised(41))),
        Heard::new(Opened::new("stranger", &Checkpoint::random(51))),
    ];
    let mut claims = 0;
    for suspect in &suspects {
        for name in &names {
            let changed = Heard::new(laundered(&suspect.opened, name, 1));
            for method in &heard {
                let card = method.card();
                if !card.survives.contains(name) {
                    continue;
                }
                let panel = match card.needs {
                    Needs::Panel => &others[..],
                    _ => &[],
                };
                let measured = |suspect| statistic(*method, [&reference, suspect], panel);
                // What was not read here does not apply, before or after.
                let (Some(before), Some(after)) = (measured(suspect), measured(&changed)) else {
                    assert_eq!(
                        measured(suspect),
                        measured(&changed),
                        "{} under {name}",
                        card.id
                    );
                    continue;
                };
                claims += 1;
                assert!(
                    (before - after).abs() <= ROUNDING,
                    "{} under {name}: {before} and {after}",
                    card.id
                );
            }
        }
    }
    assert!(claims >= 100, "{claims}");
}
