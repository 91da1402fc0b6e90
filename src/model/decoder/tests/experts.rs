//! Hidden units of experts.

use super::*;
use crate::model::Expert;

/// Every expert's units, of tokens that go there and of others, from what the mixture reads.
#[test]
fn units_of_experts_are_projections_of_what_the_mixture_reads() {
    let spec = deepseek();
    let weights = weights(&spec, DType::F32);
    let decoder = decoder(&spec, &weights, Mode::Inference);
    let mut tap = Keep::default();
    let pass = decoder.forward(&tokens(1, 9), None, &mut tap);
    pass.expect("runs");
    let check = || {
        let mid = tap.0[&Site::ResidMid(1)].i(0)?;
        let square = (mid.sqr()?.mean_keepdim(1)? + spec.norm_eps)?;
        let gain = weights[&Role::layer(1, Part::MlpNorm)].as_tensor();
        let read = mid.broadcast_div(&square.sqrt()?)?.broadcast_mul(gain)?;
        let of = |expert, part| {
            let role = Role {
                expert: Some(expert),
                ..Role::layer(1, part)
            };
            weights[&role].as_tensor().t()
        };
        for expert in 0..6 {
            for (site, part) in [
                (Site::ExpertsPre(1), Part::Gate),
                (Site::ExpertsPreLinear(1), Part::Up),
            ] {
                let wanted = read.matmul(&of(Expert::Routed(expert as u32), part)?)?;
                let seen = tap.0[&site].i((0, .., expert))?.contiguous()?;
                assert!(relative(&seen, &wanted) < 1e-6, "{site} of {expert}");
            }
        }
        let shared = read.matmul(&of(Expert::Shared, Part::Up)?)?;
        let seen = tap.0[&Site::SharedExpertPreLinear(1)].i(0)?;
        assert!(relative(&seen, &shared) < 1e-6);
        Ok::<_, candle_core::Error>(())
    };
    check().expect("shapes fit");
}

/// Keeps what is at the last position.
#[derive(Default)]
struct Last(BTreeMap<Site, Tensor>);

impl Tap for Last {
    fn wants(&self, _: Site) -> bool {
        true
    }

    fn only_last(&self) -> bool {
        true
    }

    fn visit(&mut self, site: Site, value: &Tensor) -> candle_core::Result<()> {
        self.0.insert(site, value.clone());
        Ok(())
    }
}

/// A tap that looks at the last position alone gets that of the whole, and the same logits.
#[test]
fn the_last_position_alone_is_the_last_of_all() {
    let decoder = inference(&moe());
    let (mut all, mut last) = (Keep::default(), Last::default());
    let whole = decoder.forward(&tokens(1, 9), None, &mut all);
    let short = decoder.forward(&tokens(1, 9), None, &mut last);
    assert_eq!(bits(&whole.expect("runs")), bits(&short.expect("runs")));
    let layer = (0..2).find(|at| all.0.contains_key(&Site::ExpertsPre(*at)));
    let site = Site::ExpertsPre(layer.expect("a mixture"));
    let wanted = all.0[&site].narrow(1, 8, 1).expect("nine positions");
    assert_eq!(last.0[&site].dims(), wanted.dims());
    assert!(relative(&last.0[&site], &wanted) < 1e-6);
}
