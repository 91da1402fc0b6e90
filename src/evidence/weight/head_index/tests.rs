use super::*;
use crate::evidence::toy::{Open, pair};
use crate::evidence::weight::alignment;
use crate::model::toy::{Dims, Toy};

fn outcome(reference: &Toy, suspect: &Toy) -> Outcome {
    let (a, b) = (Open::new(reference), Open::new(suspect));
    HeadIndex.assess(&pair(&a, &b)).unwrap()
}

fn measured(reference: &Toy, suspect: &Toy) -> Finding {
    match outcome(reference, suspect) {
        Outcome::Measured(finding) => *finding,
        Outcome::NotApplicable(reason) => panic!("{reason}"),
    }
}

fn wide() -> Dims {
    Dims {
        width: 32,
        ..Dims::default()
    }
}

/// Four heads in each of four layers, all in place: `(1/4!)^4`.
#[test]
fn kin_in_any_basis_keep_their_heads() {
    let parent = Toy::new(1, wide());
    let all = -4.0 * 24f64.log10();
    for child in [
        parent.noised(0.3, 8),
        parent.permuted(3).noised(0.3, 8),
        parent.rotated(5),
    ] {
        let finding = measured(&parent, &child);
        assert_eq!((finding.statistic, finding.n), (1.0, 16));
        assert!((finding.log10_p.unwrap() - all).abs() < 1e-9);
        assert!((finding.details["least_log10_p"] - all).abs() < 1e-9);
        assert!(finding.details["heads_partner"] > 0.9);
        assert!(!finding.details.contains_key("exact_log10_p_next"));
    }
}

#[test]
fn heads_in_another_order_are_seen_and_give_no_p_value() {
    let parent = Toy::new(1, wide());
    let finding = measured(&parent, &parent.with_heads(&[1, 0, 3, 2]).noised(0.3, 8));
    assert_eq!(finding.statistic, 0.0);
    assert_eq!(finding.log10_p, Some(0.0));
    assert!(finding.details["heads_moved"] > 0.9);
}

/// Two groups of two heads: a group's place and a head's place in it are two counts of two each.
#[test]
fn groups_and_their_heads_are_counted_apart() {
    let parent = Toy::new(1, wide()).grouped(2);
    let finding = measured(&parent, &parent.noised(0.3, 8));
    assert_eq!((finding.statistic, finding.n), (1.0, 4 * 6));
    // Each of three pairs in each of four layers is in order or is not.
    assert!((finding.log10_p.unwrap() + 12.0 * 2f64.log10()).abs() < 1e-9);
}

#[test]
fn experts_are_counted_with_the_heads() {
    let parent = Toy::new(1, wide()).with_experts(3, 5);
    let finding = measured(&parent, &parent.noised(0.3, 8));
    assert_eq!((finding.statistic, finding.n), (1.0, 4 * (4 + 3)));
    let all = -4.0 * (24f64.log10() + 6f64.log10());
    assert!((finding.log10_p.unwrap() - all).abs() < 1e-9);
    assert!(finding.details["experts_partner"] > 0.9);
}

#[test]
fn a_single_head_has_no_order() {
    let dims = Dims {
        width: 8,
        ..Dims::default()
    };
    let (a, b) = (Toy::new(1, dims), Toy::new(2, dims));
    assert!(
        matches!(outcome(&a, &b), Outcome::NotApplicable(reason) if reason.contains("one alone"))
    );
}

/// Over many independent pairs the counts follow the law that the p-value is read off: no number of
/// fixed points is more frequent than five standard deviations allow.
#[test]
fn counts_of_independent_pairs_follow_the_law() {
    let dims = Dims {
        layers: 1,
        width: 32,
        units: 40,
        vocab: 8,
    };
    let trials = 300u64;
    let mut counts = [0.0; 7];
    let mut law = Law::zero();
    for seed in 0..trials {
        let (a, _one) = Toy::new(2 * seed, dims).grouped(2).open();
        let (b, _two) = Toy::new(2 * seed + 1, dims).grouped(2).open();
        let found = alignment::align(&a, &b, seed).unwrap().unwrap();
        let count = Count {
            layers: run(&found, &a, &b, seed).unwrap(),
        };
        counts[count.kept(None) as usize] += 1.0;
        law = count.law();
    }
    let n = trials as f64;
    for (kept, count) in counts.iter().enumerate() {
        let kept = kept as u64;
        let p = law.ln_tail(kept).exp() - law.ln_tail(kept + 1).exp();
        let room = 5.0 * (n * p * (1.0 - p)).sqrt() + 1e-9;
        assert!(
            (count - n * p).abs() <= room,
            "{kept}: {count} against {}",
            n * p
        );
    }
}
