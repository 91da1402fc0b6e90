use super::*;
use crate::evidence::toy::{Open, pair};
use crate::model::toy::{Dims, Toy};

fn measured(reference: &Toy, suspect: &Toy) -> Finding {
    let (a, b) = (Open::new(reference), Open::new(suspect));
    match Restored.assess(&pair(&a, &b)).unwrap() {
        Outcome::Measured(finding) => *finding,
        Outcome::NotApplicable(reason) => panic!("{reason}"),
    }
}

fn parent() -> Toy {
    let dims = Dims {
        width: 64,
        units: 160,
        ..Dims::default()
    };
    Toy::new(1, dims)
}

/// Everything that keeps the function is undone, to the rounding of the fit.
#[test]
fn rewritings_leave_no_difference() {
    let plain = parent();
    for suspect in [
        plain.permuted(4),
        plain.rotated(5),
        plain.with_heads(&[1, 0, 3, 2, 5, 4, 7, 6]),
        plain
            .permuted(4)
            .rotated(5)
            .with_heads(&[3, 2, 1, 0, 7, 6, 5, 4]),
    ] {
        let found = measured(&plain, &suspect);
        assert!(found.statistic > 0.9999, "{found:?}");
        let details = &found.details;
        assert!(details["sigma_share"] < 1e-3, "{details:?}");
        assert!(details["common_query_key"] > 0.9999, "{details:?}");
        assert!(details["common_value_output"] > 0.9999, "{details:?}");
    }
}

/// What was done to the numbers is read off as if nothing had been rewritten.
#[test]
fn noise_is_recovered_below_rewritings() {
    for sigma in [0.002, 0.01] {
        let noisy = parent().shaken(sigma, 4);
        for suspect in [noisy.permuted(6), noisy.permuted(6).rotated(5)] {
            let details = measured(&parent(), &suspect).details;
            assert!((details["sigma"] / sigma - 1.0).abs() < 0.05, "{details:?}");
            assert!((details["kurtosis"] - 3.0).abs() < 0.2, "{details:?}");
        }
    }
}

/// Zeros survive an order, and equal numbers stay equal in it.
#[test]
fn an_order_is_undone_exactly() {
    let details = measured(&parent(), &parent().permuted(4)).details;
    assert_eq!(details["equal_share"], 1.0);
}

#[test]
fn strangers_have_little_in_common() {
    let dims = Dims {
        width: 64,
        units: 160,
        ..Dims::default()
    };
    let found = measured(&parent(), &Toy::new(2, dims));
    assert!(found.statistic < 0.4, "{}", found.statistic);
}
