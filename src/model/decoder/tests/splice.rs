//! Embeddings in place of those of tokens.

use super::*;

#[test]
fn what_is_spliced_in_is_run_as_a_token_would_be() {
    for spec in all() {
        let decoder = inference(&spec);
        let tokens = tokens(1, 9);
        let mut tap = Keep::default();
        let whole = decoder.forward(&tokens, None, &mut tap).expect("runs");
        // Behind the factor of the embedding, which is not applied to what comes from elsewhere.
        let embed = &tap.0[&Site::Embed];
        let rows = Tensor::cat(
            &[
                embed.i((0, 5..6)).expect("row"),
                embed.i((0, 2..3)).expect("row"),
            ],
            0,
        );
        let rows = rows.expect("two");
        let mut ids: Vec<u32> = tokens.flatten_all().and_then(|t| t.to_vec1()).expect("ids");
        (ids[5], ids[2]) = (0, 0);
        let holes = Tensor::from_vec(ids, (1, 9), &Device::Cpu).expect("sized");
        let splice = Splice {
            places: &[5, 2],
            embeddings: &rows,
        };
        let spliced = decoder.forward_spliced(&holes, splice, None, &mut ());
        assert_eq!(
            bits(&spliced.expect("runs")),
            bits(&whole),
            "{}",
            spec.family
        );

        // With a cache, in two parts, the latter at positions that count on.
        let mut cache = KvCache::default();
        let part = |from, len| holes.narrow(1, from, len).expect("part");
        let row = |row| rows.narrow(0, row, 1).expect("row");
        let splice = Splice {
            places: &[2],
            embeddings: &row(1),
        };
        decoder
            .next_logits_spliced(&part(0, 4), splice, &mut cache, &mut ())
            .expect("runs");
        let splice = Splice {
            places: &[1],
            embeddings: &row(0),
        };
        let last = decoder.next_logits_spliced(&part(4, 5), splice, &mut cache, &mut ());
        let error = relative(&last.expect("runs"), &whole.i((.., 8)).expect("last"));
        assert!(error < 1e-5, "{}: {error}", spec.family);
    }
}

#[test]
fn a_batch_is_spliced_row_by_row() {
    let spec = llama();
    let decoder = inference(&spec);
    let (batch, rows) = (tokens(2, 6), tokens(2, 4));
    let rows = rows.to_dtype(DType::F32).expect("numbers");
    let rows = Tensor::cat(&vec![rows.reshape((4, 2)).expect("sized"); 8], 1).expect("wide");
    let run = |batch: &Tensor, rows: &Tensor| {
        let splice = Splice {
            places: &[4, 1],
            embeddings: rows,
        };
        let logits = decoder.forward_spliced(batch, splice, None, &mut ());
        bits(&logits.expect("runs"))
    };
    let both = run(&batch, &rows);
    let alone: Vec<u32> = (0..2)
        .flat_map(|row| {
            let own = rows.narrow(0, 2 * row, 2).expect("two");
            run(&batch.narrow(0, row, 1).expect("row"), &own)
        })
        .collect();
    assert_eq!(both, alone);
}

#[test]
fn what_does_not_fit_is_not_spliced_in() {
    let spec = llama();
    let decoder = inference(&spec);
    let rows =
        |count, width| Tensor::zeros((count, width), DType::F32, &Device::Cpu).expect("zeros");
    for (batch, places, embeddings) in [
        (2, &[1][..], rows(1, 16)),
        (1, &[1, 2], rows(1, 16)),
        (1, &[1], rows(1, 15)),
        (1, &[9], rows(1, 16)),
        (1, &[3, 3], rows(2, 16)),
    ] {
        let splice = Splice {
            places,
            embeddings: &embeddings,
        };
        let error = decoder.forward_spliced(&tokens(batch, 9), splice, None, &mut ());
        assert!(matches!(error, Err(Error::Splice { .. })), "{places:?}");
    }
}
