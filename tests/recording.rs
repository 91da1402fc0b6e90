//! Recordings: what is kept, what a kill costs, and what never mixes.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;

use kinprobe::model::Site;
use kinprobe::probe::Item;
use kinprobe::probe::Readout;
use kinprobe::probe::Score;
use kinprobe::probe::Suite;
use kinprobe::record::Activations;
use kinprobe::record::Answer;
use kinprobe::record::Candidate;
use kinprobe::record::Error;
use kinprobe::record::Failure;
use kinprobe::record::PROJECTED;
use kinprobe::record::Place;
use kinprobe::record::Recording;
use kinprobe::record::RecordingStore;
use kinprobe::record::Runner;
use kinprobe::record::header;
use kinprobe::record::read;
use kinprobe::record::run_suite;
use kinprobe::source::Silent;
use safetensors::SafeTensors;

/// Answers by a fixed rule and remembers what it was asked.
struct Parrot {
    digest: &'static str,
    sites: Vec<(Site, usize)>,
    asked: Mutex<Vec<String>>,
    /// Ends the run at the prompt with this number.
    dies_at: Option<usize>,
    /// Added to every activation.
    shift: f32,
}

impl Parrot {
    fn new(digest: &'static str) -> Self {
        Self {
            digest,
            sites: (0..3)
                .map(|layer| (Site::ResidPost(layer), WIDTH))
                .collect(),
            asked: Mutex::new(Vec::new()),
            dies_at: None,
            shift: 0.0,
        }
    }

    fn questions(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

const WIDTH: usize = 5;

impl Runner for Parrot {
    fn identity(&self) -> &str {
        self.digest
    }

    fn engine(&self) -> String {
        "parrot 1".to_owned()
    }

    fn sites(&self) -> &[(Site, usize)] {
        &self.sites
    }

    fn reads_places(&self) -> bool {
        true
    }

    fn vocabulary(&self) -> Option<&str> {
        Some("signs over numbers")
    }

    fn token_text(&self, token: u32) -> Option<String> {
        (token != 3).then(|| format!("token {token}"))
    }

    fn answer(&self, prompt: &str, readout: &Readout) -> Result<Answer, Failure> {
        self.asked.lock().unwrap().push(prompt.to_owned());
        let number: usize = prompt.rsplit(' ').next().unwrap().parse().unwrap();
        if Some(number) == self.dies_at {
            return Err(Failure::Run(Error::NotRunnable("power cut".to_owned())));
        }
        if number % 11 == 7 {
            return Err(Failure::Item("the prompt is too long".to_owned()));
        }
        let text = format!("answer {} ü\"\n{}", number % 3, self.digest);
        let inside = (0..self.sites.len() * WIDTH)
            .map(|at| (number * 100 + at) as f32 / 7.0 + self.shift)
            .collect();
        Ok(Answer {
            prompt_tokens: Some(number),
            tokens: vec![number as u32, 1],
            top: vec![Candidate {
                token: Some(9),
                text: text.clone(),
                logprob: -(number as f64 + 1.0).sqrt(),
            }],
            margins: vec![number as f64 / 3.0, 0.25],
            text,
            inside: (*readout == Readout::NextToken).then_some(inside),
            places: match readout {
                Readout::NextToken => vec![expected(number)],
                Readout::Generate { .. } => Vec::new(),
            },
        })
    }
}

/// What is expected after the prompt of that number.
fn expected(number: usize) -> Place {
    Place {
        offset: 15 + number as u32,
        surprisal: number as f32 / 3.0,
        top: (0..number as u32 % 3).map(|at| (at + 2, -1.5)).collect(),
        projection: vec![number as f32 / 2.0; PROJECTED],
    }
}

fn suite(readout: Readout) -> Suite {
    let items = (0..53)
        .map(|n| Item {
            id: format!("q{n}"),
            prompt: format!("Question number {n}"),
            targets: vec![format!("answer {}", n % 2)],
            tags: Vec::new(),
            picture: None,
            group: None,
        })
        .collect();
    Suite {
        id: "numbers".to_owned(),
        version: 1,
        description: String::new(),
        license: "CC0-1.0".to_owned(),
        readout,
        score: Score::Prefix,
        items,
        sha256: "ab".repeat(32),
    }
}

fn generate() -> Readout {
    Readout::Generate {
        max_tokens: 3,
        stop: vec!["\n".to_owned()],
    }
}

fn run(
    runner: &Parrot,
    suite: &Suite,
    store: &RecordingStore,
) -> Result<(Recording, Option<Activations>), Error> {
    run_suite(runner, suite, store, &Silent)
}

/// The JSONL file of a finished run in a folder of its own, with its folder.
fn finished(suite: &Suite) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = RecordingStore::named(folder.path(), "m");
    run(&Parrot::new("sha256:a"), suite, &store).unwrap();
    let path = folder.path().join("m/numbers.jsonl");
    (folder, path)
}

#[test]
fn a_recording_holds_every_item_in_suite_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = RecordingStore::keyed(folder.path());
    let suite = suite(Readout::NextToken);
    let parrot = Parrot::new("sha256:a");
    let (recording, activations) = run(&parrot, &suite, &store).unwrap();
    let ids: Vec<&str> = recording.records.iter().map(|r| r.item.as_str()).collect();
    let wanted: Vec<String> = (0..53).map(|n| format!("q{n}")).collect();
    assert_eq!(ids, wanted);
    let broken = &recording.records[7];
    assert_eq!(broken.error.as_deref(), Some("the prompt is too long"));
    assert_eq!((broken.correct, broken.answer.as_str()), (None, ""));
    assert_eq!(recording.records[1].correct, Some(false));
    let activations = activations.unwrap();
    assert_eq!(activations.items.len(), 53 - 5);
    assert!(!activations.items.contains(&"q7".to_owned()));
    let names: Vec<String> = activations
        .sites
        .iter()
        .map(|s| s.site.to_string())
        .collect();
    let wanted = [0, 1, 2].map(|layer| format!("blocks.{layer}.hook_resid_post"));
    assert_eq!(names, wanted);
    for (layer, site) in activations.sites.iter().enumerate() {
        assert_eq!(site.values.len(), 48 * WIDTH);
        // Row 7 is item 8, because item 7 has none.
        assert_eq!(site.values[7 * WIDTH], (800 + layer * WIDTH) as f32 / 7.0);
    }
    let asked = parrot.questions();
    let again = run(&parrot, &suite, &store).unwrap();
    assert_eq!(parrot.questions(), asked, "nothing is asked twice");
    assert_eq!(again, (recording.clone(), Some(activations)));
    // What was expected along the prompts, and the texts of the tokens that have one.
    for (number, record) in recording.records.iter().enumerate() {
        let wanted = record.error.is_none().then(|| expected(number));
        assert_eq!(record.places, wanted.into_iter().collect::<Vec<_>>());
    }
    let texts: Vec<(u32, &str)> = recording
        .texts
        .iter()
        .map(|(id, text)| (*id, &text[..]))
        .collect();
    assert_eq!(texts, [(2, "token 2")]);
    // The lines alone know nothing of it.
    let stored = read(&store.path(&recording.header)).unwrap();
    let mut bare = recording.clone();
    bare.texts.clear();
    bare.vocabulary = None;
    bare.records
        .iter_mut()
        .for_each(|record| record.places.clear());
    assert_eq!(stored, bare);
}

#[test]
fn after_a_kill_only_the_rest_is_asked_and_the_files_are_the_same() {
    let suite = suite(Readout::NextToken);
    let (_kept, path) = finished(&suite);
    let whole = fs::read(&path).unwrap();
    let tensors = fs::read(path.with_extension("safetensors")).unwrap();
    // Every kind of cut: nothing, inside the header, at and beside line ends, anywhere.
    let lines: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    let mut cuts = vec![
        0,
        1,
        lines[0],
        lines[0] + 1,
        lines[20],
        lines[20] + 1,
        whole.len() - 1,
    ];
    cuts.extend((0..20).map(|n| (n * 7919 + 13) % whole.len()));
    for cut in cuts {
        let folder = tempfile::tempdir().unwrap();
        let store = RecordingStore::named(folder.path(), "m");
        let torn = folder.path().join("m/numbers.jsonl");
        fs::create_dir(folder.path().join("m")).unwrap();
        fs::write(&torn, &whole[..cut]).unwrap();
        let parrot = Parrot::new("sha256:a");
        let (recording, _) = run(&parrot, &suite, &store).unwrap();
        assert_eq!(recording.records.len(), 53);
        assert_eq!(fs::read(&torn).unwrap(), whole, "cut at {cut}");
        let again = fs::read(torn.with_extension("safetensors")).unwrap();
        assert_eq!(again, tensors, "cut at {cut}");
    }
}

#[test]
fn a_run_that_dies_keeps_what_was_answered() {
    let suite = suite(Readout::NextToken);
    let (_kept, path) = finished(&suite);
    let folder = tempfile::tempdir().unwrap();
    let store = RecordingStore::named(folder.path(), "m");
    let mortal = Parrot {
        dies_at: Some(40),
        ..Parrot::new("sha256:a")
    };
    let error = run(&mortal, &suite, &store).unwrap_err();
    assert!(error.to_string().contains("power cut"));
    let torn = folder.path().join("m/numbers.jsonl");
    assert_eq!(read(&torn).unwrap().records.len(), 40);
    assert!(!torn.with_extension("safetensors").exists());
    // The rows file is cut too, as a kill between two writes leaves it.
    let rows = torn.with_extension("rows");
    let bytes = fs::read(&rows).unwrap();
    fs::write(&rows, &bytes[..bytes.len() - 300]).unwrap();
    let heir = Parrot::new("sha256:a");
    run(&heir, &suite, &store).unwrap();
    // Two rows of 200 bytes and more were cut, thirteen items were never reached.
    assert_eq!(heir.questions(), 13 + 2);
    assert_eq!(fs::read(&torn).unwrap(), fs::read(&path).unwrap());
    assert_eq!(
        fs::read(torn.with_extension("safetensors")).unwrap(),
        fs::read(path.with_extension("safetensors")).unwrap()
    );
    let names: Vec<_> = fs::read_dir(folder.path().join("m"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "nothing else is left: {names:?}");
}

#[test]
fn rows_that_a_kill_left_beside_their_end_are_cleared_away() {
    let suite = suite(Readout::NextToken);
    let (folder, path) = finished(&suite);
    let whole = fs::read(path.with_extension("safetensors")).unwrap();
    let rows = path.with_extension("rows");
    fs::write(&rows, b"what the last step would have deleted").unwrap();
    let store = RecordingStore::named(folder.path(), "m");
    let parrot = Parrot::new("sha256:a");
    run(&parrot, &suite, &store).unwrap();
    assert_eq!(parrot.questions(), 0);
    assert!(!rows.exists());
    assert_eq!(fs::read(path.with_extension("safetensors")).unwrap(), whole);
}

#[test]
fn lost_or_foreign_activations_are_recorded_again() {
    let suite = suite(Readout::NextToken);
    let (folder, path) = finished(&suite);
    let store = RecordingStore::named(folder.path(), "m");
    let tensors = path.with_extension("safetensors");
    let whole = fs::read(&tensors).unwrap();
    let mut foreign = whole.clone();
    let key = whole.windows(7).position(|w| w == b"sha256:").unwrap() + 10;
    foreign[key] ^= 1;
    for bad in [None, Some(&whole[..100]), Some(&foreign[..]), Some(&[][..])] {
        match bad {
            Some(bytes) => fs::write(&tensors, bytes).unwrap(),
            None => fs::remove_file(&tensors).unwrap(),
        }
        let (_, activations) = run(&Parrot::new("sha256:a"), &suite, &store).unwrap();
        assert_eq!(activations.unwrap().items.len(), 48);
        assert_eq!(fs::read(&tensors).unwrap(), whole);
    }
}

/// A recording of before places were read is completed, its answers kept.
#[test]
fn places_that_are_not_there_yet_are_read() {
    let suite = suite(Readout::NextToken);
    let (folder, path) = finished(&suite);
    let store = RecordingStore::named(folder.path(), "m");
    let tensors = path.with_extension("safetensors");
    let whole = fs::read(&tensors).unwrap();
    let answers = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&whole).unwrap();
    let sites: Vec<_> = file
        .tensors()
        .into_iter()
        .filter(|(name, _)| name.starts_with("blocks."))
        .collect();
    let (_, metadata) = SafeTensors::read_metadata(&whole).unwrap();
    let bare = safetensors::serialize(sites, metadata.metadata().clone()).unwrap();
    fs::write(&tensors, bare).unwrap();
    let parrot = Parrot::new("sha256:a");
    let (recording, _) = run(&parrot, &suite, &store).unwrap();
    assert_eq!(
        parrot.questions(),
        48,
        "items that cannot be answered are not asked again"
    );
    assert_eq!(recording.records[4].places, [expected(4)]);
    assert_eq!(fs::read(&tensors).unwrap(), whole);
    assert_eq!(fs::read(&path).unwrap(), answers);
}

#[test]
fn damage_that_no_kill_leaves_is_an_error_with_its_line() {
    let suite = suite(generate());
    let (folder, path) = finished(&suite);
    let store = RecordingStore::named(folder.path(), "m");
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let swapped = whole
        .replace(lines[3], "@")
        .replace(lines[4], lines[3])
        .replace('@', lines[4]);
    let cases = [
        (whole.replacen("\"q3\"", "\"q4\"", 1), 5),
        (whole.replace(lines[9], &lines[9][..20]), 10),
        (whole.replace(lines[9], ""), 10),
        (whole.replace(lines[9], "{}"), 10),
        (format!("{whole}{}\n", lines[53]), 55),
        (swapped, 4),
        (whole.replace(lines[0], "{}"), 1),
    ];
    for (bad, line) in cases {
        assert_ne!(bad, whole);
        fs::write(&path, &bad).unwrap();
        let error = run(&Parrot::new("sha256:a"), &suite, &store).unwrap_err();
        assert!(error.is_integrity(), "{error}");
        let place = format!("{}:{line}: ", path.display());
        assert!(error.to_string().starts_with(&place), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), bad, "left as it was");
    }
    let mut bytes = whole.into_bytes();
    bytes[400] = 0xff;
    fs::write(&path, bytes).unwrap();
    assert!(run(&Parrot::new("sha256:a"), &suite, &store).is_err());
}

#[test]
fn two_models_never_share_an_entry() {
    let folder = tempfile::tempdir().unwrap();
    let suite = suite(generate());
    let keyed = RecordingStore::keyed(folder.path());
    let (a, b) = (Parrot::new("sha256:a"), Parrot::new("sha256:b"));
    let (of_a, _) = run(&a, &suite, &keyed).unwrap();
    let (of_b, _) = run(&b, &suite, &keyed).unwrap();
    assert_eq!((a.questions(), b.questions()), (53, 53));
    assert_ne!(of_a.header.key, of_b.header.key);
    assert_ne!(of_a.records[0].answer, of_b.records[0].answer);
    // Not even when one's file is put in the other's place.
    fs::copy(keyed.path(&of_a.header), keyed.path(&of_b.header)).unwrap();
    let error = run(&b, &suite, &keyed).unwrap_err();
    assert!(error.is_integrity(), "{error}");
    assert!(error.to_string().contains("another model"), "{error}");
    // Nor under one name in a run folder.
    let named = RecordingStore::named(folder.path().join("run"), "same");
    run(&a, &suite, &named).unwrap();
    let error = run(&b, &suite, &named).unwrap_err();
    assert!(error.to_string().contains("another model"), "{error}");
    assert_eq!(b.questions(), 53, "refused before anything is asked");
}

#[test]
fn a_changed_suite_or_readout_is_another_recording() {
    let parrot = Parrot::new("sha256:a");
    let base = header(&parrot, &suite(generate()));
    assert_eq!(base, header(&Parrot::new("sha256:a"), &suite(generate())));
    assert!(
        base.decoding.contains("no chat template"),
        "{}",
        base.decoding
    );
    let mut other = suite(generate());
    other.sha256 = "cd".repeat(32);
    assert_ne!(base.key, header(&parrot, &other).key);
    assert_ne!(base.key, header(&parrot, &suite(Readout::NextToken)).key);
    let shorter = Readout::Generate {
        max_tokens: 2,
        stop: vec!["\n".to_owned()],
    };
    assert_ne!(base.key, header(&parrot, &suite(shorter)).key);
}

#[test]
fn another_answer_to_a_recorded_question_is_noticed() {
    let suite = suite(Readout::NextToken);
    let (folder, path) = finished(&suite);
    let store = RecordingStore::named(folder.path(), "m");
    fs::remove_file(path.with_extension("safetensors")).unwrap();
    let edited = fs::read_to_string(&path)
        .unwrap()
        .replacen("answer 2", "answer 5", 2);
    fs::write(&path, edited).unwrap();
    let error = run(&Parrot::new("sha256:a"), &suite, &store).unwrap_err();
    assert!(error.is_integrity(), "{error}");
    assert!(error.to_string().contains("`q2`"), "{error}");
}

#[test]
fn a_second_writer_is_refused() {
    let suite = suite(generate());
    let (folder, path) = finished(&suite);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let writer = fs::OpenOptions::new().append(true).open(&path).unwrap();
    writer.lock().unwrap();
    let store = RecordingStore::named(folder.path(), "m");
    let error = run(&Parrot::new("sha256:a"), &suite, &store).unwrap_err();
    assert!(error.to_string().contains("another run"), "{error}");
    drop(writer);
    run(&Parrot::new("sha256:a"), &suite, &store).unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn a_runner_without_taps_records_answers_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = RecordingStore::named(folder.path(), "m");
    let blind = Parrot {
        sites: Vec::new(),
        ..Parrot::new("sha256:a")
    };
    let (recording, activations) = run(&blind, &suite(Readout::NextToken), &store).unwrap();
    assert_eq!((recording.records.len(), activations), (53, None));
    assert!(!Path::new(&folder.path().join("m/numbers.safetensors")).exists());
}
