//! Many prompts in step, for a model whose layers are read from files: one reading of all layers answers
//! them all, or takes each by one token.

use std::ops::Range;

use candle_core::Tensor;
use rayon::prelude::*;

use super::Continuation;
use super::Error;
use super::LastRow;
use super::LocalRunner;
use super::eyes::seen;
use super::first_row;
use super::lens;
use super::words_only;
use crate::model::KvCache;
use crate::model::Splice;
use crate::model::decoder::Pass;
use crate::model::decoder::last;
use crate::model::vision::Prompt;
use crate::model::vision::Seen;
use crate::probe::Picture;
use crate::probe::Readout;
use crate::record::Answer;
use crate::record::Failure;
use crate::record::Place;
use crate::record::Question;

/// Most prompts in step. With as many, arithmetic takes longer than reading layers does, and what a kill
/// costs grows with them.
const MOST: usize = 64;

/// A prompt as the decoder takes it.
enum Input {
    Text(Vec<u32>),
    Picture(Seen),
}

/// A prompt that was read, and what is read off it beside the answer.
struct Read<'q> {
    continuation: Continuation<'q>,
    inside: Option<Vec<f32>>,
    places: Vec<Place>,
}

/// An answer underway, or why there is none; `None` until its prompt is read.
type Slot<'q> = Option<Result<Read<'q>, Failure>>;

impl LocalRunner<'_> {
    /// How many of `questions`, from the first on, have room beside each other.
    pub(super) fn in_step(&self, questions: &[Question<'_>], readout: &Readout) -> usize {
        let answer = match readout {
            Readout::NextToken => 0,
            Readout::Generate { max_tokens, .. } => *max_tokens,
        };
        // The other half is for logits.
        let mut room = self.room / 2;
        let mut count = 0;
        for question in questions.iter().take(MOST) {
            let text = self.tokenizer.encode(question.prompt);
            let picture = question.picture.map(Picture::sides);
            let picture = picture.and_then(|sides| self.eyes.tokens(sides));
            let tokens = text.map_or(0, |text| text.len()) + picture.unwrap_or(0) + answer;
            let Some(left) = room.checked_sub(tokens as u64 * self.footprint.token) else {
                break;
            };
            room = left;
            count += 1;
        }
        count.max(1)
    }

    /// Answers all questions, in step.
    pub(super) fn answers_in_step(
        &self,
        questions: &[Question<'_>],
        readout: &Readout,
        done: &(dyn Fn(usize) + Sync),
    ) -> Vec<Result<Answer, Failure>> {
        let answers = self.inputs(questions, readout).and_then(|inputs| {
            let mut slots = self.read(questions, inputs, readout)?;
            self.go_on(&mut slots, done)?;
            Ok(slots)
        });
        match answers {
            Ok(slots) => slots.into_iter().flatten().map(answer).collect(),
            Err(error) => vec![Err(Failure::Run(error))],
        }
    }

    /// Prompts as tokens, with what the vision part makes of pictures.
    fn inputs(
        &self,
        questions: &[Question<'_>],
        readout: &Readout,
    ) -> Result<Vec<Result<Input, Failure>>, Error> {
        let text = |question: &Question<'_>| self.encode(question.prompt).map(Input::Text);
        if questions.iter().all(|question| question.picture.is_none()) {
            return Ok(questions.iter().map(text).collect());
        }
        let inputs = self.eyes.with(&self.device, |vision| {
            let input = |question: &Question<'_>| {
                let Some(picture) = question.picture else {
                    return text(question);
                };
                words_only(readout)?;
                let shown = self.with_picture(vision, question.prompt, picture)?;
                Ok(Input::Picture(seen(vision, shown)?))
            };
            Ok(questions.iter().map(input).collect())
        });
        match inputs {
            Ok(inputs) => Ok(inputs),
            Err(Failure::Run(error)) => Err(error),
            Err(Failure::Item(reason)) => Err(Error::NotRunnable(reason)),
        }
    }

    /// Every prompt through all blocks, and what follows it.
    fn read<'q>(
        &self,
        questions: &[Question<'_>],
        inputs: Vec<Result<Input, Failure>>,
        readout: &'q Readout,
    ) -> Result<Vec<Slot<'q>>, Error> {
        let mut slots: Vec<Slot<'q>> = Vec::with_capacity(inputs.len());
        let mut prompts = Vec::with_capacity(inputs.len());
        for (at, input) in inputs.into_iter().enumerate() {
            match input {
                Ok(input) => {
                    prompts.push((at, input));
                    slots.push(None);
                }
                Err(failure) => slots.push(Some(Err(failure))),
            }
        }
        let tokens = prompts.iter().map(|(_, input)| self.tensor(input.ids()));
        let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
        let mut caches = vec![KvCache::default(); prompts.len()];
        let of_each = prompts.iter().map(|_| LastRow::new(&self.sites));
        let mut taps: Vec<LastRow<'_>> = of_each.collect();
        let mut passes = Vec::with_capacity(prompts.len());
        let beside = tokens.iter().zip(&mut caches).zip(&mut taps);
        for ((_, input), ((tokens, cache), tap)) in prompts.iter().zip(beside) {
            passes.push(Pass {
                tokens,
                splice: input.splice(),
                cache: Some(cache),
                tap,
            });
        }
        let residuals = self.decoder.residuals(&mut passes)?;
        drop(passes);
        let along = matches!(readout, Readout::NextToken);
        let asked = residuals.iter().zip(&taps);
        let asked = asked.map(|(residual, tap)| match along {
            true => self.asked_along(residual, tap),
            false => Ok(vec![last(residual)?]),
        });
        let asked = asked.collect::<Result<Vec<_>, Error>>()?;
        let mut after = caches.into_iter().zip(taps);
        for group in self.groups(&asked)? {
            let logits = self.logits(&asked[group.clone()])?;
            let prompts = &prompts[group];
            let caches: Vec<_> = after.by_ref().take(prompts.len()).collect();
            let whole = prompts.par_iter().zip(logits).zip(caches);
            let read = whole.map(|(((at, input), logits), (cache, mut tap))| {
                let read = || {
                    let places = match logits.get(1) {
                        None => Vec::new(),
                        Some(all) => self.along(questions[*at].prompt, input.ids(), all)?,
                    };
                    if let Some(logits) = logits.get(2) {
                        let numbers = lens::numbers(logits).map_err(Error::from)?;
                        tap.values.extend(numbers);
                    }
                    let after = (cache, next_row(&logits)?);
                    let ids = input.ids().to_vec();
                    Ok(Read {
                        continuation: Continuation::new(self, ids, after, readout)?,
                        inside: along.then_some(tap.values),
                        places,
                    })
                };
                (*at, read())
            });
            for (at, read) in read.collect::<Vec<_>>() {
                slots[at] = Some(read);
            }
        }
        Ok(slots)
    }

    /// Takes all by one token at a time, until each has come to its end.
    fn go_on(&self, slots: &mut [Slot<'_>], done: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        let mut going: Vec<usize> = (0..slots.len()).collect();
        loop {
            going.retain(|&at| {
                let more = match &mut slots[at] {
                    Some(Ok(read)) => match read.continuation.take(self) {
                        Ok(true) => true,
                        Ok(false) => {
                            read.continuation.cache = KvCache::default();
                            false
                        }
                        Err(failure) => {
                            slots[at] = Some(Err(failure));
                            false
                        }
                    },
                    _ => false,
                };
                if !more {
                    done(at);
                }
                more
            });
            if going.is_empty() {
                return Ok(());
            }
            self.step_all(slots, &going)?;
        }
    }

    /// The logits after the last token of each of `going`.
    fn step_all(&self, slots: &mut [Slot<'_>], going: &[usize]) -> Result<(), Error> {
        let mut reads: Vec<(usize, &mut Continuation<'_>)> = Vec::with_capacity(going.len());
        for (at, slot) in slots.iter_mut().enumerate() {
            if let (Ok(_), Some(Ok(read))) = (going.binary_search(&at), slot) {
                reads.push((at, &mut read.continuation));
            }
        }
        let tokens = reads.iter().map(|(_, read)| self.tensor(&[read.last()]));
        let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
        let mut taps = vec![(); reads.len()];
        let mut passes = Vec::with_capacity(reads.len());
        for (((_, read), tokens), tap) in reads.iter_mut().zip(&tokens).zip(&mut taps) {
            passes.push(Pass {
                tokens,
                splice: None,
                cache: Some(&mut read.cache),
                tap,
            });
        }
        let residuals = self.decoder.residuals(&mut passes)?;
        drop(passes);
        let mut failed = Vec::new();
        let asked = residuals.iter().map(|residual| Ok(vec![last(residual)?]));
        let asked = asked.collect::<Result<Vec<_>, Error>>()?;
        for group in self.groups(&asked)? {
            let logits = self.logits(&asked[group.clone()])?;
            for ((at, read), logits) in reads[group].iter_mut().zip(logits) {
                match next_row(&logits) {
                    Ok(logits) => read.logits = logits,
                    Err(failure) => failed.push((*at, failure)),
                }
            }
        }
        for (at, failure) in failed {
            slots[at] = Some(Err(failure));
        }
        Ok(())
    }

    /// What the head is asked for along a prompt: the next token, all of the prompt, and, where it is kept, the
    /// residual stream behind every block.
    fn asked_along(&self, residual: &Tensor, tap: &LastRow<'_>) -> Result<Vec<Tensor>, Error> {
        let mut asked = vec![last(residual)?, residual.clone()];
        if let Some(lens) = &self.lens {
            asked.push(lens.rows(&tap.values, &self.device)?);
        }
        Ok(asked)
    }

    /// Prompts whose logits have room beside each other; each asks for those of some rows, `[1, rows, hidden_size]`.
    fn groups(&self, asked: &[Vec<Tensor>]) -> Result<Vec<Range<usize>>, Error> {
        let mut groups: Vec<Range<usize>> = Vec::new();
        let mut left = 0;
        for (at, rows) in asked.iter().enumerate() {
            let rows = rows.iter().map(|rows| rows.dim(1));
            let positions: usize = rows.sum::<candle_core::Result<usize>>()?;
            let bytes = positions as u64 * self.footprint.logits;
            match groups.last_mut() {
                Some(group) if bytes <= left => {
                    group.end = at + 1;
                    left -= bytes;
                }
                _ => {
                    groups.push(at..at + 1);
                    left = (self.room / 2).saturating_sub(bytes);
                }
            }
        }
        Ok(groups)
    }

    /// Logits `[1, rows, vocab_size]` of all that each prompt asks for, in one reading of the head.
    fn logits(&self, asked: &[Vec<Tensor>]) -> Result<Vec<Vec<Tensor>>, Error> {
        let mut logits = self.decoder.logits(&asked.concat())?.into_iter();
        let each = asked
            .iter()
            .map(|rows| logits.by_ref().take(rows.len()).collect());
        Ok(each.collect())
    }
}

/// The logits of the next token, which every prompt asks for first.
fn next_row(logits: &[Tensor]) -> Result<Vec<f32>, Failure> {
    let next = logits
        .first()
        .ok_or_else(|| Failure::Item("the model has no head".to_owned()))?;
    first_row(&next.squeeze(1).map_err(Error::from)?)
}

impl Input {
    fn ids(&self) -> &[u32] {
        match self {
            Self::Text(ids) => ids,
            Self::Picture(Seen {
                prompt: Prompt { tokens, .. },
                ..
            }) => tokens,
        }
    }

    fn splice(&self) -> Option<Splice<'_>> {
        match self {
            Self::Text(_) => None,
            Self::Picture(seen) => Some(seen.splice()),
        }
    }
}

fn answer(read: Result<Read<'_>, Failure>) -> Result<Answer, Failure> {
    let read = read?;
    Ok(Answer {
        inside: read.inside,
        places: read.places,
        ..read.continuation.answer()
    })
}
