use super::Overlap;
use super::Settings;
use super::overlap;
use super::table;
use crate::record::import::Sheet;
use crate::record::import::sheet_of;

/// Models' answers to items whose right answer is `0`: one digit per item, `-` for none.
fn sheet(models: &[&str]) -> Sheet {
    let logs = models.iter().map(|answers| {
        let given = answers
            .chars()
            .enumerate()
            .filter(|(_, answer)| *answer != '-');
        let row = |(item, answer): (usize, char)| {
            let suite = if item < 10 { "first" } else { "second" };
            serde_json::json!({"id": item, "suite": suite, "target": "0", "answer": answer})
                .to_string()
        };
        given.map(row).collect::<Vec<_>>().join("\n")
    });
    sheet_of(&logs.collect::<Vec<_>>())
}

fn compared(models: &[&str]) -> Overlap {
    overlap(&sheet(models), &Settings::default())
}

#[test]
fn pairs_are_compared_on_the_items_that_both_answered() {
    let overlap = compared(&["0011200000", "0012-11000", "1111111111"]);
    let pair = &overlap.pairs[0];
    assert_eq!((pair.first.as_str(), pair.second.as_str()), ("m0", "m1"));
    assert_eq!(pair.counts.items, 9);
    assert_eq!((pair.counts.first_wrong, pair.counts.second_wrong), (2, 4));
    assert_eq!(
        (pair.counts.both_wrong, pair.counts.both_wrong_alike),
        (2, 1)
    );
    assert_eq!(pair.exact_match.value().unwrap().value, 6.0 / 9.0);
    assert!(
        overlap
            .notes
            .iter()
            .any(|note| note.contains("both answered"))
    );
    // The third is always wrong: kappa says nothing, and says so.
    let with_third = &overlap.pairs[1];
    assert!(with_third.error_consistency.value().is_none());
    let words = serde_json::to_string(&with_third.error_consistency).unwrap();
    assert!(
        words.contains("missing") && words.contains("wrong"),
        "{words}"
    );
}

#[test]
fn suites_where_all_are_alike_count_for_nothing() {
    let overlap = compared(&["00000000001100", "00000000001010"]);
    assert!(overlap.suites[0].vacuous.is_some() && overlap.suites[1].vacuous.is_none());
    let pair = &overlap.pairs[0];
    assert_eq!(
        (pair.counts.items, pair.exact_match.value().unwrap().n),
        (4, 14)
    );
    let all = compared(&["0000", "0000"]);
    assert!(all.pairs[0].error_consistency.value().is_none());
}

#[test]
fn intersections_hold_every_error_once() {
    let overlap = compared(&["0112003400", "0112003500", "0010000000", "0011000060"]);
    let upset = overlap.upset.value().unwrap();
    assert_eq!((upset.items, &upset.errors[..]), (10, &[5, 5, 1, 3][..]));
    let find = |runs: &[usize]| {
        let found = upset
            .intersections
            .iter()
            .find(|one| one.runs == runs)
            .unwrap();
        (found.items, found.same_answer)
    };
    assert_eq!(find(&[0, 1]), (3, 2));
    assert_eq!(find(&[0, 1, 2, 3]), (1, 1));
    assert_eq!(find(&[0, 1, 3]), (1, 0));
    assert_eq!(find(&[3]), (1, 0));
    assert!(compared(&["01", "10"]).upset.value().is_none());
}

#[test]
fn rare_shared_slips_come_first() {
    // Item 0: all four say 1. Item 1: two say 1, the others 2 and 3. Item 2: two say 1, the others are right.
    let overlap = compared(&["1110", "1110", "1200", "1300"]);
    let order: Vec<&str> = overlap
        .items
        .listed
        .iter()
        .map(|row| row.item.as_str())
        .collect();
    assert_eq!(order, ["2", "1", "0"]);
    let first = &overlap.items.listed[0];
    assert_eq!((first.wrong, first.sharing), (2, 2));
    assert_eq!(first.answers[0].spellings, [("1".to_owned(), vec![0, 1])]);
    assert_eq!(first.answers[1].right, Some(true));
}

#[test]
fn every_item_is_in_the_table_with_harmless_text() {
    let sheet = sheet(&["01-", "0\u{1b}1"]);
    let lines: Vec<Vec<String>> = table(&sheet).collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines[0][..5],
        ["suite", "item", "target", "wrong", "answer m0"]
    );
    assert!(lines.iter().flatten().all(|cell| !cell.contains('\u{1b}')));
    assert_eq!(lines[2][3..], ["2", "1", "no", "\\u{1b}", "no"]);
    assert_eq!(lines[3][4..6], ["", ""]);
}

#[test]
fn naive_numbers_stay_apart_and_say_what_they_lack() {
    let models = ["0011200000", "0011211000"];
    let without = compared(&models);
    assert!(without.not_evidence.pairs[0].same_wrong.value().is_none());
    let stated = overlap(
        &sheet(&models),
        &Settings {
            options: Some(4),
            ..Settings::default()
        },
    );
    let naive = stated.not_evidence.pairs[0].same_wrong.value().unwrap();
    // Three of three alike at one in three.
    assert!((naive.log10_p - (1.0_f64 / 27.0).log10()).abs() < 1e-12);
    let pairs = serde_json::to_string(&stated.pairs).unwrap();
    assert!(!pairs.contains("hypergeometric") && !pairs.contains("log10_p\":-1.43"));
}

#[test]
fn a_seed_repeats_every_number() {
    let models = ["0011200000", "0012011000", "0210200000"];
    let text = |seed: u64| {
        let settings = Settings {
            seed,
            ..Settings::default()
        };
        serde_json::to_string(&overlap(&sheet(&models), &settings).pairs).unwrap()
    };
    assert_eq!(text(4), text(4));
}

#[test]
fn free_answers_are_read_letter_by_letter() {
    let log = |answers: [&str; 3]| {
        let rows = ["the quick fox", "caf\u{e9}", "short"]
            .iter()
            .zip(answers)
            .enumerate();
        let row = |(item, (target, answer)): (usize, (&&str, &str))| {
            serde_json::json!({"id": item, "target": target, "answer": answer}).to_string()
        };
        rows.map(row).collect::<Vec<_>>().join("\n")
    };
    // The accent may be written apart; a family emoji is one letter.
    let logs = [
        log([
            "the qwick fox",
            "cafe\u{301}",
            "sh\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}rt",
        ]),
        log(["thee qwick fx", "coffee", "short"]),
    ];
    let overlap = overlap(&sheet_of(&logs), &Settings::default());
    let first = overlap.runs[0].text_errors.value().unwrap();
    assert_eq!((first.items, first.too_long), (3, 0));
    assert!((first.character_error_rate - 2.0 / 22.0).abs() < 1e-12);
    assert!((first.word_error_rate - 2.0 / 5.0).abs() < 1e-12);
    assert!((first.normalised_edit_distance - (1.0 / 13.0 + 1.0 / 5.0) / 3.0).abs() < 1e-12);
    let slips = overlap.pairs[0].shared_slips.value().unwrap();
    assert_eq!((slips.n, slips.value), (3, 1.0 / 3.0));
    let letters = compared(&["0102", "0012"]);
    assert!(letters.pairs[0].shared_slips.value().is_none());
}

/// Ten items nobody can read: one model has a favourite answer, one often says nothing.
#[test]
fn what_is_said_without_knowing_is_counted() {
    let log = |answers: [&str; 10]| {
        let row = |(item, answer): (usize, &&str)| {
            serde_json::json!({"id": item, "target": "right", "answer": answer}).to_string()
        };
        let rows: Vec<String> = answers.iter().enumerate().map(row).collect();
        rows.join("\n")
    };
    let logs = [
        log([
            "ka", "ka", "ka", "ka", "right", "to", "\u{65e5}", "?", "to", "ka",
        ]),
        log([
            "ka", "lo", "?", "!", "", "right", "right", "mi", "na", "...",
        ]),
    ];
    let overlap = overlap(&sheet_of(&logs), &Settings::default());
    let first = overlap.runs[0].habits.value().unwrap();
    assert_eq!((first.answers, first.favourite.as_str()), (9, "ka"));
    assert!((first.share - 5.0 / 9.0).abs() < 1e-12 && (first.silent - 1.0 / 9.0).abs() < 1e-12);
    assert!((first.share_of_others.unwrap() - 1.0 / 8.0).abs() < 1e-12);
    assert_eq!(first.scripts, [("Latin", 14.0 / 15.0), ("Han", 1.0 / 15.0)]);
    let second = overlap.runs[1].habits.value().unwrap();
    assert!((second.silent - 4.0 / 8.0).abs() < 1e-12, "{second:?}");
    // Of equally frequent answers the first in the order of the alphabet.
    assert_eq!(second.favourite, "ka");
    let right = sheet_of(&[log(["right"; 10]), log(["right"; 10])]);
    let none = super::overlap(&right, &Settings::default());
    assert!(none.runs[0].habits.value().is_none());
}

/// Two models with one rare confusion in common, and a panel that has a common one: what all confuse
/// cancels, what two have for themselves stands out.
#[test]
fn confusions_that_everybody_has_cancel() {
    let log = |answers: [&str; 8]| {
        let row = |(item, answer): (usize, &&str)| {
            let target = if item < 4 { "ka" } else { "lo" };
            serde_json::json!({"id": item, "target": target, "answer": answer}).to_string()
        };
        let rows: Vec<String> = answers.iter().enumerate().map(row).collect();
        rows.join("\n")
    };
    let common = ["ko", "ko", "ka", "ka", "lo", "lo", "lo", "lo"];
    let pair = ["ko", "ko", "ka", "ka", "mi", "mi", "mi", "lo"];
    let of = |answers: [[&str; 8]; 5]| {
        let settings = Settings {
            panel: vec![2, 3, 4],
            ..Settings::default()
        };
        let overlap = overlap(&sheet_of(&answers.map(log)), &settings);
        overlap.panel.value().unwrap().pairs[0].confusion.clone()
    };
    let odd = ["ko", "ka", "na", "na", "lo", "lo", "lo", "lo"];
    let other = ["ko", "ko", "ka", "ka", "lo", "lo", "lo", "na"];
    let found = of([pair, pair, common, odd, other])
        .value()
        .cloned()
        .unwrap();
    assert_eq!((found.classes, found.kinds), (2, 2));
    assert!((found.overlap - 1.0).abs() < 1e-12, "{found:?}");
    let apart = of([pair, common, common, odd, other])
        .value()
        .cloned()
        .unwrap();
    assert!(apart.overlap < 0.3, "{apart:?}");
    let right = ["ka", "ka", "ka", "ka", "lo", "lo", "lo", "lo"];
    let nothing = of([right, right, common, odd, other]);
    assert!(nothing.value().is_none());
}

#[test]
fn without_a_truth_departures_from_the_others_are_counted() {
    let log = |answers: &str| {
        let row = |(item, answer): (usize, char)| {
            serde_json::json!({"id": item, "answer": answer}).to_string()
        };
        answers
            .chars()
            .enumerate()
            .map(row)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let logs = ["xxab", "xxac", "xyaa", "xzaa"].map(log);
    let overlap = overlap(&sheet_of(&logs), &Settings::default());
    let deviation = overlap.pairs[0].deviation_from_consensus.value().unwrap();
    // On the second item the others disagree; on the last both depart, each in its own way.
    assert_eq!(
        (deviation.items, deviation.first, deviation.second),
        (3, 1, 1)
    );
    assert_eq!((deviation.both, deviation.both_alike), (1, 0));
    let last = overlap.pairs[5].deviation_from_consensus.value().unwrap();
    assert_eq!((last.items, last.both, last.both_alike), (3, 1, 0));
}

/// Forty questions in four renderings each. All misread a rendering as its question tempts them to; the second repeats
/// the first's readings rendering by rendering, the third its readings of the question in another order.
#[test]
fn renderings_tell_repetition_from_a_tempting_question() {
    use crate::stat::random::{self, below};
    let mut rng = random::stream(3, "renderings");
    let mut reading = |question: usize| 1 + (question + below(&mut rng, 3)) % 5;
    let mut model = || -> Vec<usize> { (0..160).map(|item| reading(item / 4)).collect() };
    let first = model();
    let shifted: Vec<usize> = (0..160)
        .map(|item| first[item / 4 * 4 + (item + 1) % 4])
        .collect();
    let mut models = vec![first.clone(), first, shifted];
    models.extend((0..5).map(|_| model()));
    let log = |(number, readings): (usize, &Vec<usize>), grouped: bool| {
        let row = |(item, reading): (usize, &usize)| {
            // The fourth question is read rightly by some, so that the suite says something.
            let reading = if item / 4 == 3 && number % 2 == 0 {
                0
            } else {
                *reading
            };
            let mut row =
                serde_json::json!({"id": item, "target": "0", "answer": reading.to_string()});
            if grouped {
                row["group"] = (item / 4).into();
            }
            row.to_string()
        };
        readings
            .iter()
            .enumerate()
            .map(row)
            .collect::<Vec<_>>()
            .join("\n")
    };
    let compared = |grouped: bool| {
        let logs: Vec<String> = models
            .iter()
            .enumerate()
            .map(|one| log(one, grouped))
            .collect();
        let settings = Settings {
            panel: (3..8).collect(),
            ..Settings::default()
        };
        overlap(&sheet_of(&logs), &settings)
    };
    let grouped = compared(true);
    let panel = grouped.panel.value().unwrap();
    let twins = |pair: usize| {
        let row = panel.pairs[pair]
            .indices
            .iter()
            .find(|row| row.index == "twin items");
        *row.unwrap().result.value().unwrap()
    };
    let (repeated, shuffled) = (twins(0), twins(1));
    assert!(repeated.log10_p_calibrated.unwrap() < -6.0, "{repeated:?}");
    assert!(shuffled.log10_p > -2.0, "{shuffled:?}");
    assert!(
        panel
            .calibration
            .iter()
            .any(|row| row.index == "twin items")
    );
    let without = compared(false);
    let row = without.panel.value().unwrap().pairs[0]
        .indices
        .last()
        .unwrap()
        .clone();
    assert!(row.index == "twin items" && row.result.value().is_none());
}
