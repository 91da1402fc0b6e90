use super::*;

fn invented(seed: u64, items: usize, labels: Labels) -> Pictures {
    let wish = Wish {
        seed,
        writings: None,
        items,
        labels,
        source: Source::Invented,
    };
    render(&wish).unwrap()
}

#[test]
fn a_seed_repeats_every_byte_and_a_longer_suite_begins_with_a_shorter_one() {
    let long = invented(3, 40, Labels::Invented);
    assert_eq!(long.signs, 5);
    assert_eq!(long.rendered, invented(3, 40, Labels::Invented).rendered);
    let short = invented(3, 16, Labels::Invented).rendered;
    assert!(long.rendered.dataset.starts_with(&short.dataset));
    let other = invented(4, 16, Labels::Invented).rendered;
    assert_ne!(other.dataset, short.dataset);
    // What is asked changes the labels and no picture.
    let likened = invented(3, 16, Labels::Association).rendered;
    let pictures = |dataset: &str| -> Vec<Value> {
        let row = |line: &str| serde_json::from_str::<Value>(line).unwrap()["image"].clone();
        dataset.lines().map(row).collect()
    };
    assert_eq!(pictures(&likened.dataset), pictures(&short.dataset));
    assert!(!likened.dataset.contains("target"));
}

#[test]
fn writings_of_a_sign_share_its_label_and_nothing_else() {
    let rendered = invented(1, 24, Labels::Invented).rendered;
    let rows: Vec<Value> = rendered
        .dataset
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(row["target"], rows[at / WRITINGS * WRITINGS]["target"]);
        assert_eq!(row["sign"], format!("s{:04}", at / WRITINGS));
    }
    let different: std::collections::BTreeSet<&str> = rows
        .iter()
        .map(|row| row["image"].as_str().unwrap())
        .collect();
    assert_eq!(different.len(), 24);
}

#[test]
fn other_hands_write_the_same_signs() {
    let by = |writings: Option<u64>| {
        let wish = Wish {
            seed: 3,
            writings,
            items: 16,
            labels: Labels::Invented,
            source: Source::Invented,
        };
        render(&wish).unwrap().rendered
    };
    let (usual, same, other) = (by(None), by(Some(3)), by(Some(9)));
    assert_eq!(usual, same);
    assert_eq!(other.id, format!("{}-by-9", usual.id));
    let column = |dataset: &str, key: &str| -> Vec<String> {
        let row = |line: &str| serde_json::from_str::<Value>(line).unwrap()[key].to_string();
        dataset.lines().map(row).collect()
    };
    assert_eq!(
        column(&usual.dataset, "target"),
        column(&other.dataset, "target")
    );
    let pairs = column(&usual.dataset, "image").into_iter();
    assert!(
        pairs
            .zip(column(&other.dataset, "image"))
            .all(|(a, b)| a != b)
    );
}

#[test]
fn an_inventory_has_the_signs_of_the_suite() {
    let rendered = invented(3, 24, Labels::Invented).rendered;
    let inventory = Inventory::invented(3, 3).unwrap();
    for (at, line) in rendered.dataset.lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(row["target"], inventory.word(at / WRITINGS));
    }
    let written = |name: &str| inventory.written(1, 5, name);
    assert_eq!(written("one"), written("one"));
    assert_ne!(written("one"), written("two"));
}

fn of_font(bytes: &[u8], signs: Signs, items: usize) -> Result<Pictures, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("toy.ttf");
    std::fs::write(&path, bytes).unwrap();
    let font = Font::read(&path).unwrap();
    let wish = Wish {
        seed: 1,
        writings: None,
        items,
        labels: Labels::True,
        source: Source::Font(&font, signs),
    };
    render(&wish).map_err(|error| error.to_string())
}

/// Four signs of the toy are asked for: one that another looks like, one that is empty.
#[test]
fn a_font_gives_its_signs_once_each() {
    let signs = |first, last| Signs { first, last };
    let toy = toy_font::ttf();
    let made = of_font(&toy, signs(0x17000, 0x17003), 16).unwrap();
    assert_eq!(
        (made.signs, made.rendered.id.as_str()),
        (2, "signs-17000-17003-1-16")
    );
    let manifest = &made.rendered.manifest;
    assert!(manifest.contains("in Toy Script (sha256 ") && manifest.contains("license: OFL-1.1"));
    let targets: std::collections::BTreeSet<String> = made
        .rendered
        .dataset
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["target"].to_string())
        .collect();
    assert_eq!(targets.len(), 2);
    let few = of_font(&toy, signs(0x17000, 0x17003), 17).err().unwrap();
    assert!(
        few.contains("toy.ttf: of those signs the font draws 2 that can be told apart (1 more")
            && few.contains("enough for 16 items"),
        "{few}"
    );
    let none = of_font(&toy, signs(0x1B170, 0x1B2FB), 8).err().unwrap();
    assert!(none.contains("draws none of the signs U+1B170"), "{none}");
    // The same bytes from the same font, another picture from another one.
    let again = of_font(&toy, signs(0x17000, 0x17003), 16).unwrap();
    assert_eq!(again.rendered, made.rendered);
}

/// The bytes that every machine must give.
#[test]
fn the_bytes_are_these() {
    let rendered = invented(0, 16, Labels::Invented).rendered;
    assert_eq!(
        rendered.sha256,
        "656348cb0f8413f769e782eccfbe80976892a7b32f9fcb13748afa14fb1be107"
    );
}
