//! A synthetic report: realistic shapes, texts under the caller's control.

use kinprobe::evidence::{Control, ControlMap, Figure, Interval, Known, Table};
use kinprobe::report::Report;
use kinprobe::report::data::{
    AnswerRow, Coverage, EvidenceRow, FileRow, ModelCard, RESULT_SCHEMA, SuiteCoverage,
};
use kinprobe::verdict::{Architecture, Behaviour, Findings, Lineage, LineageConclusion, Tokenizer};

/// A full comparison of a 12-layer with a 16-layer model that ends in `conclusion`.
pub fn sample(conclusion: LineageConclusion) -> Report {
    Report {
        schema: RESULT_SCHEMA,
        tool: "kinprobe 0.1.0".to_owned(),
        models: vec![
            model("base-a", "zoo:base-a", 12),
            model("suspect-16l", "hf:example/suspect-16l", 16),
        ],
        findings: findings(conclusion),
        evidence: evidence(conclusion),
        coverage: Coverage {
            depth: "full".to_owned(),
            weight_bytes: 541_000_000,
            sampled: Vec::new(),
            suites: vec![
                suite("next-token", 200, 200),
                suite("short-answer", 200, 198),
                suite("agent-actions", 120, 120),
            ],
            missing: vec![
                "short-answer: 2 of 200 items, the suspect's answer hit the context limit".to_owned(),
                "QKV biases: neither model has any".to_owned(),
            ],
        },
        answers: answers(),
        warnings: vec![
            "the suspect's folder has no generation_config.json; greedy decoding was assumed".to_owned(),
        ],
        reproduce: "kinprobe compare zoo:base-a hf:example/suspect-16l@4f2c9a1be0d7 --depth full --suite next-token --suite short-answer --suite agent-actions".to_owned(),
    }
}

/// `sample`, with `text` wherever foreign text can stand.
pub fn hostile(text: &str) -> Report {
    let mut report = sample(LineageConclusion::Related);
    let own = || text.to_owned();
    for model in &mut report.models {
        model.label = own();
        model.source = own();
        model.revision = Some(own());
        model.architecture = own();
        model.dtype = own();
        model.dimensions.push((own(), own()));
        model.caveats.push(own());
        model.files[0].name = own();
    }
    report.findings.lineage.because = own();
    report.findings.lineage.relation = Some(own());
    report.findings.lineage.laundering = vec![own()];
    report.findings.architecture.because = own();
    report.findings.tokenizer.because = own();
    report.findings.behaviour.because = own();
    for row in &mut report.evidence {
        row.explanation = own();
        row.caveats.push(own());
        row.null = row.null.as_ref().map(|_| own());
        row.reason = row.reason.as_ref().map(|_| own());
        if let Some(table) = &mut row.table {
            table.columns[0] = own();
            table.rows[0][0] = own();
        }
        if let Some(control) = row.controls.first_mut() {
            control.pair = own();
        }
        for figure in &mut row.figures {
            match figure {
                Figure::Heatmap {
                    title, controls, ..
                } => {
                    *title = own();
                    controls.iter_mut().for_each(|map| map.pair = own());
                }
                Figure::Curves { title, .. } | Figure::Overlap { title, .. } => *title = own(),
            }
        }
    }
    // An id is ours, but a result that was read back could hold anything.
    report.evidence[1].id = own();
    report.coverage.missing.push(own());
    report.coverage.suites[0].suite = own();
    report.warnings.push(own());
    report.reproduce = own();
    for answer in &mut report.answers {
        answer.prompt = own();
        answer.reference = own();
        answer.suspect = own();
        answer.target = Some(own());
        answer.item = own();
    }
    report
}

fn model(label: &str, source: &str, layers: usize) -> ModelCard {
    let hub = source.starts_with("hf:");
    ModelCard {
        label: label.to_owned(),
        source: source.to_owned(),
        revision: hub.then(|| "4f2c9a1be0d7c5b38e6617f0a9d2c4b51e7f8a93".to_owned()),
        digest: format!("sha256:{}", "9f3a51c7".repeat(8)),
        architecture: "llama".to_owned(),
        parameters: Some(110_000 * layers as u64),
        dtype: "BF16".to_owned(),
        dimensions: vec![
            ("num_hidden_layers".to_owned(), layers.to_string()),
            ("hidden_size".to_owned(), "128".to_owned()),
            ("num_attention_heads".to_owned(), "4".to_owned()),
            ("num_key_value_heads".to_owned(), "2".to_owned()),
            ("intermediate_size".to_owned(), "384".to_owned()),
            ("vocab_size".to_owned(), "1024".to_owned()),
        ],
        files: ["config.json", "model.safetensors", "tokenizer.json"]
            .map(|name| FileRow {
                name: name.to_owned(),
                size: 2_886_912,
                sha256: "0b6c2d1e".repeat(8),
                digest: "read",
            })
            .to_vec(),
        caveats: if hub {
            vec!["rope_scaling is absent; plain rotary positions were assumed".to_owned()]
        } else {
            Vec::new()
        },
    }
}

fn findings(conclusion: LineageConclusion) -> Findings {
    let related = conclusion == LineageConclusion::Related;
    let because = match conclusion {
        LineageConclusion::Related => {
            "Rows of the feed-forward matrices match index by index far beyond what two independent runs can show, after four inserted layers were left out."
        }
        LineageConclusion::Independent => {
            "The exact row-matching test found no excess over chance, and it detects the weakest relation of the reference family in every trial."
        }
        LineageConclusion::Undetermined => {
            "No exact test applies to this pair, and the descriptive methods have no calibrated population."
        }
    };
    Findings {
        lineage: Lineage {
            conclusion,
            relation: related.then(|| "depth_changed".to_owned()),
            direction: "unknown",
            laundering: if related {
                vec!["renamed".to_owned(), "permuted".to_owned()]
            } else {
                Vec::new()
            },
            log10_lr: None,
            log10_p: related.then_some(-84.2),
            decided_by: (conclusion != LineageConclusion::Undetermined)
                .then(|| "weight.row_matching".to_owned()),
            because: because.to_owned(),
        },
        architecture: Architecture {
            conclusion: "similar",
            because: "Same family and widths; 12 layers against 16.".to_owned(),
        },
        tokenizer: Tokenizer {
            conclusion: "extended",
            because: "All 1,020 ids of the reference keep their token; 4 tokens are added."
                .to_owned(),
        },
        behaviour: Behaviour {
            conclusion: "more_alike_than_panel",
            because: "41 shared wrong answers on short-answer; the panel's pairs share 3 to 9."
                .to_owned(),
            log10_p: Some(-0.95),
        },
    }
}

/// A row without figures.
fn row(id: &str, title: &str) -> EvidenceRow {
    EvidenceRow {
        id: id.to_owned(),
        family: id.split('.').next().unwrap_or(id).to_owned(),
        version: 1,
        title: title.to_owned(),
        measures: format!("{title}, in one sentence with its formula in words."),
        fooled_by: "A shared seed; a shared design.".to_owned(),
        reference: "Author and Author (2025), equation 4".to_owned(),
        status: "measured",
        reason: None,
        statistic: Some(0.93),
        n: Some(2304),
        null: Some(
            "8 independent pairs of the shipped population; the pair's value lies above 6 of them."
                .to_owned(),
        ),
        log10_p: None,
        log10_lr: None,
        supports: "descriptive",
        explanation: "The profiles of both models rise with depth, as most models' do.".to_owned(),
        caveats: vec!["A shared trend over depth alone gives values above 0.8.".to_owned()],
        interval: None,
        controls: Vec::new(),
        figures: Vec::new(),
        table: None,
    }
}

fn absent(id: &str, title: &str, status: &'static str, reason: &str) -> EvidenceRow {
    EvidenceRow {
        status,
        reason: Some(reason.to_owned()),
        statistic: None,
        n: None,
        null: None,
        caveats: Vec::new(),
        ..row(id, title)
    }
}

fn evidence(conclusion: LineageConclusion) -> Vec<EvidenceRow> {
    let related = conclusion == LineageConclusion::Related;
    let mut profile = row(
        "weight.std_profile",
        "Per-layer standard-deviation profiles of Q, K, V, O (Pearson)",
    );
    profile.controls = controls(0.84, 0.92, &[0.97, 0.991]);
    profile.statistic = Some(0.9274);
    profile.interval = Some(Interval {
        low: 0.81,
        high: 0.97,
        level: 0.95,
    });
    profile.figures = ["Q", "K", "V", "O"]
        .iter()
        .enumerate()
        .map(|(i, t)| curves(t, i, 8))
        .collect();
    let mut index = row("weight.row_matching", "Exact row-matching index test");
    index.family = "weight.index".to_owned();
    index.statistic = Some(if related { 0.9311 } else { 0.0026 });
    index.log10_p = Some(if related { -84.2 } else { -0.21 });
    index.supports = match conclusion {
        LineageConclusion::Related => "related",
        LineageConclusion::Independent => "independent",
        LineageConclusion::Undetermined => "neither",
    };
    index.null = Some("Exact: under independent initialisation every matching of hidden units is equally probable.".to_owned());
    index.explanation =
        "Share of hidden units whose best match in the other model has the same index.".to_owned();
    index.controls = controls(0.0, 0.004, &[0.88, 0.97, 1.0]);
    index.table = Some(Table {
        columns: ["layer", "units", "matched", "share"]
            .map(str::to_owned)
            .to_vec(),
        rows: (0..12)
            .map(|i| {
                vec![
                    format!("blocks.{i}.mlp"),
                    "192".to_owned(),
                    "179".to_owned(),
                    "0.932".to_owned(),
                ]
            })
            .collect(),
    });
    let mut norms = row("weight.norm_profile", "Norm gains, centred (Pearson)");
    norms.statistic = Some(0.0184);
    norms.supports = "neither";
    norms.figures = vec![
        curves("input norm", 4, 8),
        curves("post-attention norm", 5, 0),
    ];
    let mut cka = row(
        "activation.linear_cka",
        "Debiased linear CKA, layer by layer",
    );
    cka.statistic = Some(0.8127);
    cka.n = Some(200);
    cka.explanation =
        "Mean over reference layers of the closest suspect layer's debiased linear CKA.".to_owned();
    cka.figures = vec![heatmap(12, 16)];
    let mut errors = row(
        "behaviour.error_overlap",
        "Both-wrong and same-wrong answers",
    );
    errors.statistic = Some(0.6406);
    errors.n = Some(64);
    errors.interval = Some(Interval {
        low: 0.518,
        high: 0.747,
        level: 0.95,
    });
    errors.controls = controls(0.05, 0.21, &[0.7]);
    errors.figures = vec![
        overlap("short-answer", [84, 21, 29, 23, 41]),
        overlap("agent-actions", [97, 3, 9, 6, 5]),
    ];
    let mut cosine = row("weight.element_cosine", "Element-wise cosine per role");
    cosine.statistic = Some(0.999_981);
    vec![
        row("config.diff", "Normalised configuration difference"),
        row(
            "tokenizer.overlap",
            "Overlap of vocabulary, ids, merges and added tokens",
        ),
        index,
        profile,
        norms,
        absent(
            "weight.bias_profile",
            "QKV bias profiles (Pearson)",
            "not_applicable",
            "neither model has attention biases",
        ),
        cosine,
        row("weight.identical", "Bit-identical tensors"),
        cka,
        errors,
        absent(
            "behaviour.exact_match",
            "Exact match on generated text",
            "failed",
            "the suspect gave no answer to 120 of 120 items: its context is shorter than the prompts",
        ),
    ]
}

fn controls(low: f64, high: f64, derived: &[f64]) -> Vec<Control> {
    let control = |pair: String, relation, statistic| Control {
        pair,
        relation,
        statistic,
    };
    let independent = (0..8).map(|i| {
        let at = low + (high - low) * f64::from(i * i % 7) / 6.0;
        control(
            format!("base-{i} vs base-{}", i + 1),
            Known::Independent,
            at,
        )
    });
    let derived = derived
        .iter()
        .enumerate()
        .map(|(i, &x)| control(format!("base-a vs derived-{i}"), Known::Derived, x));
    independent.chain(derived).collect()
}

fn curves(title: &str, seed: usize, band_models: usize) -> Figure {
    let value = |depth: f64, phase: f64| {
        0.018 + 0.006 * depth + 0.002 * (depth * 9.0 + phase + seed as f64).sin()
    };
    let line = |layers: usize, phase: f64| {
        (0..layers)
            .map(|i| value(i as f64 / (layers - 1) as f64, phase))
            .collect::<Vec<_>>()
    };
    let band = (0..32)
        .map(|i| value(f64::from(i) / 31.0, 0.7))
        .map(|x| (x * 0.82, x * 1.15))
        .take(if band_models == 0 { 0 } else { 32 })
        .collect();
    Figure::Curves {
        title: title.to_owned(),
        reference: line(12, 0.0),
        suspect: line(16, 0.25),
        band,
        band_models,
    }
}

/// A matrix with a bright diagonal, a path along it and one cell without a value; beside it a derived and
/// an independent pair.
pub fn heatmap(rows: usize, columns: usize) -> Figure {
    let mut values = diagonal(rows, columns, 18.0);
    values[columns - 1] = f64::NAN;
    let control = |pair: &str, relation, narrow| ControlMap {
        pair: pair.to_owned(),
        relation,
        rows,
        columns,
        values: diagonal(rows, columns, narrow),
        path: path(rows, columns),
    };
    Figure::Heatmap {
        title: "Debiased linear CKA of the residual stream".to_owned(),
        rows,
        columns,
        values,
        path: path(rows, columns),
        controls: vec![
            control("base-1 vs base-1-tuned", Known::Derived, 18.0),
            control("model-a vs base-2", Known::Independent, 2.0),
        ],
    }
}

fn diagonal(rows: usize, columns: usize, narrow: f64) -> Vec<f64> {
    (0..rows * columns)
        .map(|at| {
            let (i, j) = (at / columns, at % columns);
            let gap = i as f64 / rows as f64 - j as f64 / columns as f64;
            (-narrow * gap * gap).exp() * 0.97 - 0.01
        })
        .collect()
}

fn path(rows: usize, columns: usize) -> Vec<(usize, usize)> {
    let count = rows.min(columns);
    (0..count)
        .map(|at| (at * rows / count, at * columns / count))
        .collect()
}

fn overlap(title: &str, counts: [u64; 5]) -> Figure {
    let [
        both_right,
        reference_wrong,
        suspect_wrong,
        both_wrong_differently,
        both_wrong_alike,
    ] = counts;
    Figure::Overlap {
        title: title.to_owned(),
        both_right,
        reference_wrong,
        suspect_wrong,
        both_wrong_differently,
        both_wrong_alike,
    }
}

fn suite(name: &str, planned: usize, answered: usize) -> SuiteCoverage {
    SuiteCoverage {
        suite: format!("{name}@1"),
        sha256: "c0ffee42".repeat(8),
        planned,
        answered,
    }
}

fn answers() -> Vec<AnswerRow> {
    let answer = |i: usize, texts: [&str; 4], correct: [Option<bool>; 2], alike| AnswerRow {
        suite: "short-answer@1".to_owned(),
        item: format!("item-{i:03}"),
        prompt: texts[0].to_owned(),
        picture: None,
        target: (!texts[1].is_empty()).then(|| texts[1].to_owned()),
        reference: texts[2].to_owned(),
        suspect: texts[3].to_owned(),
        reference_correct: correct[0],
        suspect_correct: correct[1],
        alike,
    };
    let wrong = Some(false);
    let right = Some(true);
    let mut rows = vec![
        answer(
            1,
            [
                "Q: Which river flows through the town of Ilmenau?\nA:",
                "Ilm",
                "the Saale river",
                "the Saale river",
            ],
            [wrong, wrong],
            true,
        ),
        answer(
            2,
            [
                "def area(r):\n    # area of a circle\n\treturn",
                "3.14159 * r ** 2",
                "2 * 3.14 * r",
                "r * r",
            ],
            [wrong, wrong],
            false,
        ),
        answer(
            3,
            [
                "Q: 长江有多长？\nA:",
                "6300 公里",
                "6300 公里",
                "约 5464 公里",
            ],
            [right, wrong],
            false,
        ),
        answer(
            4,
            ["Q: كم عدد أضلاع المسدس؟\nA:", "6", "ستة عشر", "6"],
            [wrong, right],
            false,
        ),
        answer(
            5,
            ["Continue: The quick brown fox", "", "jumps over", ""],
            [None, None],
            false,
        ),
        answer(
            6,
            ["Q: What is 7 x 8?\nA:", "56", "56", "56"],
            [right, right],
            true,
        ),
    ];
    rows.extend((7..90).map(|i| {
        answer(
            i,
            [
                "Q: What is the capital of Palau?\nA:",
                "Ngerulmud",
                "Koror",
                "Koror",
            ],
            [wrong, wrong],
            true,
        )
    }));
    rows
}
