//! How fast a decoder with taps is beside candle-transformers' plain forward pass, and what taps cost that
//! nobody wants.
//!
//! `cargo bench --bench taps -- MODEL [--texts N] [--rounds N] [--tokens FILE.json] [--threads N]`; a model of
//! the Llama kind. `--tokens` writes the ids, for `python tests/real/torch_speed.py FOLDER FILE.json`.

#![allow(clippy::print_stdout, reason = "a bench prints its figures")]

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use candle_core::DType;
use candle_core::Device;
use candle_core::IndexOp;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_transformers::models::llama;
use kinprobe::model::Decoder;
use kinprobe::model::DecoderSpec;
use kinprobe::model::Model;
use kinprobe::model::Part;
use kinprobe::model::Role;
use kinprobe::model::Site;
use kinprobe::model::Tap;
use kinprobe::model::decoder::Pass;
use kinprobe::probe;
use kinprobe::source;
use kinprobe::source::ModelRef;
use kinprobe::source::OpenOptions;
use rayon::prelude::*;

/// As many texts as `kinprobe run --tap` reads at once.
const TOGETHER: usize = 64;

/// What is asked for.
struct Wanted {
    model: ModelRef,
    texts: usize,
    rounds: usize,
    tokens: Option<String>,
    threads: usize,
}

fn wanted() -> Result<Wanted> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let usage = "usage: cargo bench --bench taps -- MODEL [--texts N] [--rounds N] [--tokens FILE] [--threads N]";
    let mut wanted = Wanted {
        model: words.next().context(usage)?.parse()?,
        texts: 256,
        rounds: 3,
        tokens: None,
        threads: 2,
    };
    while let Some(word) = words.next() {
        let value = words.next().context(usage)?;
        match word.as_str() {
            "--texts" => wanted.texts = value.parse()?,
            "--rounds" => wanted.rounds = value.parse()?,
            "--tokens" => wanted.tokens = Some(value),
            "--threads" => wanted.threads = value.parse()?,
            _ => anyhow::bail!(usage),
        }
    }
    Ok(wanted)
}

fn main() -> Result<()> {
    let wanted = wanted()?;
    let pool = rayon::ThreadPoolBuilder::new();
    pool.num_threads(wanted.threads).build_global()?;
    let root = source::data_root(None)?;
    let mut options = OpenOptions::from_env();
    options.data_root = Some(root.clone());
    let model = Model::open(source::open(&wanted.model, &options)?, "model")?;
    let spec = model
        .spec
        .as_ref()
        .map_err(|why| anyhow::anyhow!("{why}"))?;
    let texts = texts(&model, &root, wanted.texts)?;
    if let Some(path) = &wanted.tokens {
        std::fs::write(path, serde_json::to_string(&texts)?)?;
    }
    let count: usize = texts.iter().map(Vec::len).sum();
    println!(
        "{} texts, {count} tokens, {} threads",
        texts.len(),
        wanted.threads
    );
    let rows = |ids: &Vec<u32>| Ok(Tensor::new(&ids[..], &Device::Cpu)?.unsqueeze(0)?);
    let texts: Vec<Tensor> = texts.iter().map(rows).collect::<Result<_>>()?;
    let ours = Decoder::load(&model.weights, spec, &Device::Cpu)?;
    let theirs = Plain::load(&model, spec)?;
    theirs.same(&ours, &texts[0])?;

    let steps: [(&str, &dyn Fn() -> Result<()>); 6] = [
        ("candle-transformers, one after another", &|| {
            texts.iter().try_for_each(|text| theirs.forward(text))
        }),
        ("candle-transformers, texts in parallel", &|| {
            texts.par_iter().try_for_each(|text| theirs.forward(text))
        }),
        ("ours, no tap, logits of the last token", &|| {
            each(&texts, |text| last(&ours, text, &mut ()))
        }),
        ("ours, a tap that wants nothing", &|| {
            each(&texts, |text| last(&ours, text, &mut Nothing))
        }),
        ("ours, all residuals of all tokens", &|| {
            each(&texts, |text| tapped(&ours, text))
        }),
        ("the same, 64 texts together", &|| {
            let mut lots = texts.chunks(TOGETHER);
            lots.try_for_each(|texts| together(&ours, texts))
        }),
    ];
    let mut best = vec![f64::INFINITY; steps.len()];
    for _ in 0..wanted.rounds {
        for (best, (_, step)) in best.iter_mut().zip(&steps) {
            let start = Instant::now();
            step()?;
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    for ((name, _), seconds) in steps.iter().zip(&best) {
        let speed = count as f64 / seconds;
        println!(
            "{name:<42} {speed:>8.0} tokens/s   {:.2} of the faster plain pass",
            best[0].min(best[1]) / seconds
        );
    }
    let (visits, nanoseconds) = visits(&ours, &texts[0])?;
    let share = visits as f64 * nanoseconds * 1e-9 * texts.len() as f64 / best[2];
    println!(
        "sites that nobody wants: {visits} questions of {nanoseconds:.1} ns in a pass, {:.5} % of its time",
        share * 100.0
    );
    Ok(())
}

/// Beginnings of sentences and programs, then questions.
fn texts(model: &Model, root: &std::path::Path, count: usize) -> Result<Vec<Vec<u32>>> {
    let names = ["next-token".to_owned(), "short-answer".to_owned()];
    let suites = probe::select(root, &names)?;
    let tokenizer = model
        .tokenizer
        .as_ref()
        .map_err(|why| anyhow::anyhow!("{why}"))?;
    let items = suites.iter().flat_map(|suite| &suite.items);
    let ids = items
        .take(count)
        .map(|item| Ok(tokenizer.encode(&item.prompt)?));
    ids.collect()
}

fn each(texts: &[Tensor], step: impl Fn(&Tensor) -> Result<()> + Sync + Send) -> Result<()> {
    texts.par_iter().try_for_each(step)
}

fn last(decoder: &Decoder, text: &Tensor, tap: &mut (dyn Tap + Send)) -> Result<()> {
    let residual = residual(decoder, text, tap)?;
    let last = residual.narrow(1, residual.dim(1)? - 1, 1)?;
    decoder.logits(&[last])?;
    Ok(())
}

fn residual(decoder: &Decoder, text: &Tensor, tap: &mut (dyn Tap + Send)) -> Result<Tensor> {
    let mut passes = [Pass {
        tokens: text,
        splice: None,
        cache: None,
        tap,
    }];
    Ok(decoder.residuals(&mut passes)?.swap_remove(0))
}

/// The residual stream after every block, copied out, and the logits of the last token as well.
fn tapped(decoder: &Decoder, text: &Tensor) -> Result<()> {
    let mut all = All(Vec::new());
    last(decoder, text, &mut all)?;
    anyhow::ensure!(all.0.len() == decoder.spec().num_hidden_layers);
    Ok(())
}

/// The same of all texts, which go through a block together.
fn together(decoder: &Decoder, texts: &[Tensor]) -> Result<()> {
    let mut taps: Vec<All> = texts.iter().map(|_| All(Vec::new())).collect();
    let mut passes: Vec<Pass<'_>> = texts
        .iter()
        .zip(&mut taps)
        .map(|(text, tap)| Pass {
            tokens: text,
            splice: None,
            cache: None,
            tap,
        })
        .collect();
    let residuals = decoder.residuals(&mut passes)?;
    let last = residuals
        .iter()
        .map(|residual| residual.narrow(1, residual.dim(1)? - 1, 1));
    let last: Vec<Tensor> = last.collect::<candle_core::Result<_>>()?;
    decoder.logits(&last)?;
    drop(passes);
    let blocks = decoder.spec().num_hidden_layers;
    anyhow::ensure!(taps.iter().all(|tap| tap.0.len() == blocks));
    Ok(())
}

struct All(Vec<Vec<f32>>);

impl Tap for All {
    fn wants(&self, site: Site) -> bool {
        matches!(site, Site::ResidPost(_))
    }

    fn visit(&mut self, _: Site, value: &Tensor) -> candle_core::Result<()> {
        self.0.push(value.flatten_all()?.to_vec1()?);
        Ok(())
    }
}

struct Nothing;

impl Tap for Nothing {
    fn wants(&self, site: Site) -> bool {
        site == Site::ResidPost(usize::MAX)
    }

    fn visit(&mut self, _: Site, _: &Tensor) -> candle_core::Result<()> {
        Ok(())
    }
}

/// Questions in a pass, and nanoseconds of one.
fn visits(decoder: &Decoder, text: &Tensor) -> Result<(u64, f64)> {
    struct Count(Cell<u64>);
    impl Tap for Count {
        fn wants(&self, _: Site) -> bool {
            self.0.set(self.0.get() + 1);
            false
        }
        fn visit(&mut self, _: Site, _: &Tensor) -> candle_core::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(Cell::new(0));
    residual(decoder, text, &mut count)?;
    let tap: &dyn Tap = std::hint::black_box(&Nothing);
    let start = Instant::now();
    for layer in 0..10_000_000 {
        std::hint::black_box(tap.wants(std::hint::black_box(Site::MlpPost(layer))));
    }
    Ok((count.0.get(), start.elapsed().as_secs_f64() * 1e9 / 1e7))
}

/// candle-transformers' model of the same weights.
struct Plain {
    model: llama::Llama,
    config: llama::Config,
}

impl Plain {
    fn load(model: &Model, spec: &DecoderSpec) -> Result<Self> {
        let mut tensors = HashMap::new();
        for role in model.weights.roles() {
            let Some((rows, columns)) = model.weights.shape(role) else {
                continue;
            };
            let values = model.weights.all(role)?;
            let tensor = match role.is_vector() {
                true => Tensor::from_vec(values, rows, &Device::Cpu)?,
                false => Tensor::from_vec(values, (rows, columns), &Device::Cpu)?,
            };
            tensors.insert(name(role)?, tensor);
        }
        let rope = spec.layers[0]
            .rope
            .as_ref()
            .context("no rotary embedding")?;
        let config = llama::Config {
            hidden_size: spec.hidden_size,
            intermediate_size: spec.intermediate_size,
            vocab_size: spec.vocab_size,
            num_hidden_layers: spec.num_hidden_layers,
            num_attention_heads: spec.num_attention_heads,
            num_key_value_heads: spec.num_key_value_heads,
            use_flash_attn: false,
            rms_norm_eps: spec.norm_eps,
            rope_theta: rope.theta as f32,
            bos_token_id: None,
            eos_token_id: None,
            rope_scaling: None,
            max_position_embeddings: spec.max_position_embeddings,
            tie_word_embeddings: spec.tie_word_embeddings,
        };
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        Ok(Self {
            model: llama::Llama::load(vb, &config)?,
            config,
        })
    }

    /// Logits of the last token, which is all that it gives.
    fn forward(&self, text: &Tensor) -> Result<()> {
        self.logits(text)?;
        Ok(())
    }

    fn logits(&self, text: &Tensor) -> Result<Vec<f32>> {
        let mut cache = llama::Cache::new(false, DType::F32, &self.config, &Device::Cpu)?;
        Ok(self.model.forward(text, 0, &mut cache)?.i(0)?.to_vec1()?)
    }

    /// Both compute the same, or the comparison says nothing.
    fn same(&self, ours: &Decoder, text: &Tensor) -> Result<()> {
        let theirs = self.logits(text)?;
        let all = ours.forward(text, None, &mut ())?.i(0)?;
        let ours: Vec<f32> = all.get(all.dim(0)? - 1)?.to_vec1()?;
        let apart = ours
            .iter()
            .zip(&theirs)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        anyhow::ensure!(apart < 1e-2, "logits differ by {apart}");
        Ok(())
    }
}

/// Hugging Face's name of a Llama's tensor.
fn name(role: &Role) -> Result<String> {
    let part = match role.part {
        Part::Embed => return Ok("model.embed_tokens.weight".to_owned()),
        Part::FinalNorm => return Ok("model.norm.weight".to_owned()),
        Part::Unembed => return Ok("lm_head.weight".to_owned()),
        Part::Query => "self_attn.q_proj",
        Part::Key => "self_attn.k_proj",
        Part::Value => "self_attn.v_proj",
        Part::Output => "self_attn.o_proj",
        Part::Gate => "mlp.gate_proj",
        Part::Up => "mlp.up_proj",
        Part::Down => "mlp.down_proj",
        Part::AttentionNorm => "input_layernorm",
        Part::MlpNorm => "post_attention_layernorm",
        other => anyhow::bail!("{other:?} is in no Llama"),
    };
    let layer = role.layer.context("a block's tensor without its block")?;
    Ok(format!("model.layers.{layer}.{part}.weight"))
}
