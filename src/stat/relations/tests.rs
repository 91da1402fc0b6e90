use super::*;
use crate::stat::correlation;
use crate::stat::every::orders;
use crate::stat::random;

const FEATURES: usize = 12;

/// Units that read features: `own` makes the model, `noise` a child of it, `inputs` what was read.
fn units(width: usize, own: u64, noise: f64, inputs: u64, rows: usize) -> Vec<f32> {
    let mut weights = random::stream(own, "weights of relations");
    let mut extra = random::stream(own + 1000, "noise of relations");
    let weights: Vec<f64> = (0..FEATURES * width)
        .map(|_| random::normal(&mut weights) + noise * random::normal(&mut extra))
        .collect();
    let mut features = random::stream(inputs, "inputs of relations");
    let row = |_| {
        let input: [f64; FEATURES] = std::array::from_fn(|_| random::normal(&mut features));
        let unit = |unit| -> f32 {
            let at = |k: usize| input[k] * weights[k * width + unit];
            (0..FEATURES).map(at).sum::<f64>() as f32
        };
        (0..width).map(unit).collect::<Vec<f32>>()
    };
    (0..rows).flat_map(row).collect()
}

fn reordered(values: &[f32], width: usize, order: &[usize]) -> Vec<f32> {
    let row = |row: &[f32]| order.iter().map(|&j| row[j]).collect::<Vec<f32>>();
    values.chunks(width).flat_map(row).collect()
}

fn evidence(x: &[f32], y: &[f32], width: usize) -> f64 {
    let relations = |of| Relations::new(of, width).unwrap();
    ln_evidence(&[(relations(x), relations(y))], 1).unwrap()
}

/// Over all orders of five units of both models the e-value of kin has mean 1.
#[test]
fn evidence_has_mean_one_over_all_orders() {
    let width = 5;
    let (a, b) = (units(width, 1, 0.0, 1, 9), units(width, 1, 0.3, 2, 11));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    orders(width, &mut |order| {
        ours.push(reordered(&a, width, order));
        theirs.push(reordered(&b, width, order));
    });
    let mut payments = Vec::new();
    for x in &ours {
        payments.extend(theirs.iter().map(|y| evidence(x, y, width).exp()));
    }
    let mean = payments.iter().sum::<f64>() / payments.len() as f64;
    assert_eq!(payments.len(), 14_400);
    assert!((mean - 1.0).abs() < 1e-4, "{mean}");
    assert!(payments.iter().any(|payment| *payment > 1.05));
}

/// Kin are found on inputs that they do not share, in either direction alike; in another order, and strangers, not.
#[test]
fn kin_are_found_without_a_shared_input() {
    let width = 60;
    let (a, b) = (units(width, 1, 0.0, 1, 200), units(width, 1, 0.5, 2, 150));
    let found = evidence(&a, &b, width);
    assert!(found > 50.0, "{found}");
    assert!((found - evidence(&b, &a, width)).abs() < 1e-6 * found);
    let mut rng = random::stream(3, "order");
    let order = random::subset_in_any_order(&mut rng, width, width);
    assert!(evidence(&a, &reordered(&b, width, &order), width) < 3.0);
    for own in 2..20 {
        let stranger = units(width, own, 0.0, 1, 200);
        assert!(evidence(&a, &stranger, width) < 5.0);
    }
}

/// Strangers that have the same few large directions, as all models do: no more than one in ten reaches e = 10.
#[test]
fn strangers_seldom_win() {
    let width = 30;
    let wins = (0..400).filter(|own| {
        let (x, y) = (
            units(width, 2 * own, 0.0, 1, 40),
            units(width, 2 * own + 1, 0.0, 1, 40),
        );
        evidence(&x, &y, width) > 10f64.ln()
    });
    assert!(wins.count() <= 40);
}

#[test]
fn the_statistic_is_a_correlation_of_correlations() {
    let width = 7;
    let (a, b) = (units(width, 1, 0.0, 1, 30), units(width, 2, 0.0, 5, 20));
    let pairs = |values: &[f32]| -> Vec<f64> {
        let column = |j: usize| -> Vec<f64> {
            values
                .iter()
                .skip(j)
                .step_by(width)
                .map(|&x| f64::from(x))
                .collect()
        };
        let all = (0..width).flat_map(|i| (0..i).map(move |j| (i, j)));
        all.map(|(i, j)| correlation::pearson(&column(i), &column(j)).unwrap())
            .collect()
    };
    let wanted = correlation::pearson(&pairs(&a), &pairs(&b)).unwrap();
    let [x, y] = [&a, &b].map(|of| Relations::new(of, width).unwrap());
    assert!((x.correlation(&y) - wanted).abs() < 1e-5);
    assert!((x.correlation(&x) - 1.0).abs() < 1e-5);
    assert_eq!(x.units(), width);
}

#[test]
fn what_has_no_relations_is_refused() {
    assert!(Relations::new(&[1.0; 12], 3).is_none());
    assert!(Relations::new(&[1.0, 2.0, f32::NAN, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], 3).is_none());
    assert!(Relations::new(&[1.0; 10], 3).is_none());
    let [x, y] = [5, 6].map(|width| Relations::new(&units(width, 1, 0.0, 1, 20), width).unwrap());
    assert_eq!(x.correlation(&y), 0.0);
    assert_eq!(ln_evidence(&[(x.clone(), x.clone())], 2), None);
    assert_eq!(ln_evidence(&[(x, y)], 1), None);
    assert_eq!(ln_evidence(&[], 1), None);
}

/// Parts in another order are found by trying all orders of them, which costs their number; a random order within
/// the parts is not found. Over all orders within parts the mean is 1.
#[test]
fn within_parts_the_order_is_tested() {
    let (width, parts) = (40, 4);
    let relations = |of: &[f32], width| Relations::new(of, width).unwrap();
    let (a, b) = (units(width, 1, 0.0, 1, 200), units(width, 1, 0.2, 2, 200));
    let (x, y) = (relations(&a, width), relations(&b, width));
    let evidence = |order: &[usize], y: &Relations| {
        ln_evidence(&[(x.clone(), y.in_order(order).unwrap())], parts).unwrap()
    };
    let moved = y.in_order(&[2, 0, 3, 1]).unwrap();
    let mut all = Vec::new();
    orders(parts, &mut |order| all.push(evidence(order, &moved)));
    let mean = tails::log_sum_exp(all.iter().copied()) - (all.len() as f64).ln();
    assert!(
        mean > 20.0 && evidence(&[0, 1, 2, 3], &moved) < 3.0,
        "{mean}"
    );
    let back = moved.in_order(&[1, 3, 0, 2]).unwrap();
    assert_eq!(back, y);
    let within: Vec<usize> = (0..width)
        .map(|unit| unit / 10 * 10 + (unit % 10 * 7 + 3) % 10)
        .collect();
    let hidden = relations(&reordered(&b, width, &within), width);
    assert!(evidence(&[0, 1, 2, 3], &hidden) < 3.0);
    assert!(y.in_order(&[0, 1, 2]).is_none() && y.in_order(&[4, 1, 2, 3]).is_none());

    let (width, parts) = (6, 2);
    let (a, b) = (units(width, 1, 0.0, 1, 9), units(width, 1, 0.3, 2, 11));
    let x = relations(&a, width);
    let mut payments = Vec::new();
    orders(3, &mut |first| {
        orders(3, &mut |second| {
            let order: Vec<usize> = first
                .iter()
                .copied()
                .chain(second.iter().map(|at| 3 + at))
                .collect();
            let y = relations(&reordered(&b, width, &order), width);
            // One direction has mean 1 under orders of the second model alone.
            payments.push(bets(&[(&x, &y)], width, width / parts).map(f64::exp));
        });
    });
    for strength in 0..STRENGTHS {
        let mean = payments.iter().map(|one| one[strength]).sum::<f64>() / 36.0;
        assert!((mean - 1.0).abs() < 1e-4, "{mean}");
    }
}
