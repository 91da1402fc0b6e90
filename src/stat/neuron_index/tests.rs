use super::*;
use crate::stat::every::orders;
use crate::stat::index::{Group, fixed_points_ln_p};

fn normals(rows: usize, width: usize, seed: u64) -> Vec<f32> {
    let mut rng = random::stream(seed, "neuron index tests");
    (0..rows * width)
        .map(|_| random::normal(&mut rng) as f32)
        .collect()
}

/// Columns of `values` in another order.
fn reordered(values: &[f32], width: usize, order: &[usize]) -> Vec<f32> {
    let row = |row: &[f32]| order.iter().map(|&j| row[j]).collect::<Vec<f32>>();
    values.chunks(width).flat_map(row).collect()
}

/// Of all orders of six units the mean and variance are the closed form's.
#[test]
fn equals_all_orders() {
    let (rows, width) = (9, 6);
    // Kin, so that neither model is symmetric in any way.
    let a = normals(rows, width, 1);
    let noise = normals(rows, width, 2);
    let b: Vec<f32> = a.iter().zip(&noise).map(|(x, e)| x + 0.7 * e).collect();
    let ours = Units::new(&a, width).unwrap();
    let closed = ours.agreement(&Units::new(&b, width).unwrap()).unwrap();
    let mut sums = Vec::new();
    orders(width, &mut |order| {
        let theirs = Units::new(&reordered(&b, width, order), width).unwrap();
        sums.push(ours.table(&theirs).unwrap().agreement().excess);
    });
    let n = sums.len() as f64;
    let mean = sums.iter().sum::<f64>() / n;
    let variance = sums.iter().map(|sum| (sum - mean).powi(2)).sum::<f64>() / n;
    assert_eq!(sums.len(), 720);
    assert!(mean.abs() < 1e-5, "{mean}");
    assert!((variance / closed.variance - 1.0).abs() < 1e-5);
    assert!((closed.excess - sums[0]).abs() < 1e-5);
}

/// Over all orders of five units of either model the e-value has mean 1, and under its own order it is what so
/// few units can say at most: 1/120.
#[test]
fn evidence_has_mean_one_over_all_orders() {
    let (rows, width) = (9, 5);
    let a = normals(rows, width, 1);
    let noise = normals(rows, width, 2);
    let b: Vec<f32> = a.iter().zip(&noise).map(|(x, e)| x + 0.7 * e).collect();
    let mut all = Vec::new();
    orders(width, &mut |order| {
        all.push(Units::new(&reordered(&a, width, order), width).unwrap());
        all.push(Units::new(&reordered(&b, width, order), width).unwrap());
    });
    let (ours, theirs): (Vec<_>, Vec<_>) = all.chunks(2).map(|two| (&two[0], &two[1])).unzip();
    let mut payments = Vec::new();
    for x in &ours {
        for y in &theirs {
            payments.push(x.table(y).unwrap().ln_evidence().exp());
        }
    }
    let mean = payments.iter().sum::<f64>() / payments.len() as f64;
    assert!(
        payments.len() == 14_400 && (mean - 1.0).abs() < 1e-4,
        "{mean}"
    );
    let most = payments.iter().copied().fold(0.0, f64::max);
    assert!(most <= 120.0 && payments.iter().any(|e| *e < 0.1), "{most}");
}

/// The formula of the notes: `S = tr C`, its mean the sum of all of `C` over the units.
#[test]
fn the_excess_is_the_sum_of_correlations_less_its_mean() {
    let (rows, width) = (30, 17);
    let (a, b) = (normals(rows, width, 3), normals(rows, width, 4));
    let (a, b) = (
        unit_columns(&a, width).unwrap(),
        unit_columns(&b, width).unwrap(),
    );
    let raw = products(&a, width, &b, width);
    let trace: f64 = (0..width).map(|i| f64::from(raw[i * width + i])).sum();
    let all: f64 = raw.iter().map(|&x| f64::from(x)).sum();
    let (ours, theirs) = (Units::new(&a, width), Units::new(&b, width));
    let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
    let found = ours.agreement(&theirs).unwrap();
    assert!((found.excess - (trace - all / width as f64)).abs() < 1e-5);
    let table = ours.table(&theirs).unwrap().agreement();
    assert!((table.excess - found.excess).abs() < 1e-5);
    assert!((table.variance - found.variance).abs() < 1e-5);
}

/// Units of one cause in `groups` each, some hundred times as strong, on inputs of which one is an outlier;
/// the causes are the same in every model, the units are not.
fn strange(seed: u64, rows: usize, width: usize) -> Vec<f32> {
    let causes = 8;
    let shared = normals(rows, causes, 99);
    let mixing = normals(causes, width, seed);
    let own = normals(rows, width, seed + 1);
    let mut values = Vec::new();
    for row in 0..rows {
        for unit in 0..width {
            let cause: f32 = (0..causes)
                .map(|k| shared[row * causes + k] * mixing[k * width + unit])
                .sum();
            let outlier = if row == 0 { 30.0 } else { 1.0 };
            let strength = if unit % 7 == 0 { 100.0 } else { 1.0 };
            values.push(strength * outlier * (cause + 0.3 * own[row * width + unit]));
        }
    }
    values
}

/// Of 400 pairs of independent models that share all their causes no more reject than the level allows.
#[test]
fn holds_its_level_among_models_that_share_features() {
    let (rows, width, pairs) = (24, 40, 400);
    let (mut by_bet, mut by_draw) = (0, 0);
    for pair in 0..pairs {
        let a = Units::new(&strange(1000 + 2 * pair, rows, width), width).unwrap();
        let b = Units::new(&strange(9000 + 2 * pair, rows, width), width).unwrap();
        let table = a.table(&b).unwrap();
        by_bet += u64::from(-table.ln_evidence() <= 0.05f64.ln());
        by_draw += u64::from(permutation_p(&[table], 199, pair) <= 0.05);
    }
    // 20 of 400 expected; 37 are more than four standard deviations beyond.
    assert!(by_bet <= 20, "{by_bet}");
    assert!((4..37).contains(&by_draw), "{by_draw}");
}

/// A weak relation, of which no unit alone tells, and a strong one, which reaches as far as all orders do.
#[test]
fn sees_kin() {
    let (rows, width) = (40, 120);
    let a = normals(rows, width, 5);
    let noise = normals(rows, width, 6);
    let child = |strength: f32| -> Table {
        let b: Vec<f32> = a
            .iter()
            .zip(&noise)
            .map(|(x, e)| x + strength * e)
            .collect();
        let ours = Units::new(&a, width).unwrap();
        ours.table(&Units::new(&b, width).unwrap()).unwrap()
    };
    let strong = child(0.2);
    let group = Group {
        queries: width as u64,
        units: width as u64,
    };
    let exact = fixed_points_ln_p(strong.fixed_points(), &[group]);
    assert!(strong.fixed_points() > 115 && exact < -400.0);
    assert!(strong.ln_evidence() > 0.95 * tails::ln_factorial(width as u64) - 10.0);
    let weak = child(2.5);
    let z = weak.agreement().excess / weak.agreement().variance.sqrt();
    assert!(weak.fixed_points() < 60 && z > 15.0, "{z}");
    assert!(weak.ln_evidence() > 0.6 * z * z / 2.0, "{z}");
    assert!((permutation_p(&[weak.clone(), weak], 99, 1) - 0.01).abs() < 1e-12);
}

#[test]
fn what_does_not_vary_says_nothing() {
    let still = Units::new(&[3.0; 40], 4).unwrap();
    let table = still.table(&still).unwrap();
    assert_eq!(table.agreement().excess, 0.0);
    assert_eq!(table.ln_evidence(), 0.0);
    assert_eq!(permutation_p(&[table], 9, 0), 1.0);
    assert_eq!(Units::new(&[f32::NAN; 40], 4), None);
    assert_eq!(Units::new(&[1.0; 7], 4), None);
}
