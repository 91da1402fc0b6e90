use super::*;

/// A member as the list has it.
fn member(name: &str, rest: Value) -> Member {
    let mut entry = serde_json::json!({
        "name": name, "run": name, "parameters": 1, "digest": "sha256:00",
        "exam": {"right": 0, "asked": 0}, "exam_by_domain": {}, "files": [],
    });
    if let (Value::Object(entry), Value::Object(rest)) = (&mut entry, rest) {
        entry.extend(rest);
    }
    serde_json::from_value(entry).unwrap()
}

fn base(name: &str, seed: u64) -> Member {
    let initial = serde_json::json!({"architecture": "a", "tokenizer": "t", "seed": seed});
    member(name, serde_json::json!({"initial": initial}))
}

fn child(name: &str, parent: &str, relation: &str) -> Member {
    member(
        name,
        serde_json::json!({
            "run": "x", "parent": parent, "relation": relation,
            "transformations": [{"gaussian_noise": {"relative_sigma": 0.1, "seed": 1}}],
        }),
    )
}

fn family() -> Kinship {
    Kinship::of(&[
        base("x", 1),
        base("y", 2),
        base("twin", 1),
        child("tuned", "x", "fine_tuned"),
        child("noised", "x", "noised"),
        child("again", "tuned", "pruned"),
        child("student", "y", "distilled"),
        child("pupil", "student", "noised"),
    ])
}

fn says(a: &str, b: &str) -> (String, String) {
    let pair = family().pair(a, b);
    (pair.relation, pair.direction)
}

#[test]
fn every_kind_of_relation_is_told_in_both_directions() {
    let down = "reference_to_suspect";
    let up = "suspect_to_reference";
    for (a, b, relation, direction) in [
        ("x", "tuned", "fine_tuned", down),
        ("tuned", "x", "fine_tuned", up),
        ("x", "again", GRANDCHILD, down),
        ("tuned", "again", "pruned", down),
        ("again", "noised", SIBLINGS, "none"),
        ("x", "y", INDEPENDENT, "none"),
        ("x", "twin", SHARED_INITIALISATION, "none"),
        ("again", "twin", SHARED_INITIALISATION, "none"),
        ("y", "student", DISTILLED, down),
        ("pupil", "y", DISTILLED, up),
        ("student", "pupil", "noised", down),
        ("x", "student", INDEPENDENT, "none"),
    ] {
        assert_eq!(
            says(a, b),
            (relation.to_owned(), direction.to_owned()),
            "{a} {b}"
        );
    }
    let way = family().pair("x", "again").transformations;
    assert_eq!(way, "gaussian_noise;gaussian_noise");
    assert_eq!(
        family().runs("pupil"),
        BTreeSet::from(["student".to_owned()])
    );
}

#[test]
fn a_teacher_gives_answers_and_no_weights() {
    let initial = serde_json::json!({"architecture": "a", "tokenizer": "t", "seed": 9});
    let pupil = serde_json::json!({"initial": initial, "teacher": "x", "relation": "distilled"});
    let kinship = Kinship::of(&[base("x", 1), base("y", 2), member("pupil", pupil)]);
    assert_eq!(kinship.runs("pupil"), BTreeSet::from(["pupil".to_owned()]));
    let taught = kinship.pair("x", "pupil");
    assert_eq!(
        (taught.relation.as_str(), taught.direction.as_str()),
        (DISTILLED, "reference_to_suspect")
    );
    assert_eq!(kinship.pair("y", "pupil").relation, INDEPENDENT);
}

/// A transformation that names a member mixes that member in.
#[test]
fn a_merge_descends_from_both() {
    let members = [base("x", 1), base("y", 2), child("m", "x", "merged")];
    let mut found = BTreeSet::new();
    let entry = serde_json::json!({"transformations": [{"merge": {"other": "y", "share": 0.5}}]});
    mentions(&entry, &BTreeSet::from(["x", "y", "m"]), &mut found);
    assert_eq!(found, BTreeSet::from(["y".to_owned()]));
    let mut kinship = Kinship::of(&members);
    kinship.members.get_mut("m").unwrap().parents.extend(found);
    assert_eq!(
        kinship.runs("m"),
        BTreeSet::from(["x".to_owned(), "y".to_owned()])
    );
    assert_eq!(kinship.pair("y", "m").relation, "merged");
    assert_eq!(kinship.pair("x", "y").relation, INDEPENDENT);
}

#[test]
fn the_committed_list_is_what_the_zoo_says() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let members = super::super::list::members(&root.join("datasets/zoo")).unwrap();
    let expected = to_csv(&Kinship::of(&members).pairs()).unwrap();
    let committed = std::fs::read_to_string(root.join(PATH)).unwrap();
    assert!(
        committed == expected,
        "{PATH} is not what zoo.json says: write it anew with `kinprobe zoo pairs > {PATH}`"
    );
}
