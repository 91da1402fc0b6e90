//! Rotary embeddings.

/// A rotary embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct RopeSpec {
    /// Base of the geometric series of wavelengths.
    pub theta: f64,
    /// Change of the frequencies for long contexts.
    pub scaling: RopeScaling,
    /// Share of a head that rotates, its first dimensions; the others know no position.
    pub partial_rotary_factor: f64,
    /// Whether a dimension rotates with the next one (GLM-4, DeepSeek), not one of the first half of
    /// those that rotate with one of the second (Llama).
    pub interleaved: bool,
}

/// Changes of rotary frequencies.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// None.
    Default,
    /// All frequencies divided by `factor`.
    Linear {
        /// Divisor.
        factor: f64,
    },
    /// A greater base in passes that reach beyond the context (bloc97 and emozilla, 2023).
    Dynamic {
        /// How much of the excess the base takes up.
        factor: f64,
        /// Context without a change.
        max_position_embeddings: usize,
    },
    /// Llama 3.1: low frequencies divided, high ones kept, a ramp between.
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context before the change.
        original_max_position_embeddings: usize,
    },
    /// YaRN: as Llama 3.1 with a ramp over pairs, and longer queries and keys (Peng et al., 2023).
    Yarn {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Turns over the original context above which a frequency is kept.
        beta_fast: f64,
        /// Turns over the original context below which a frequency is divided.
        beta_slow: f64,
        /// Whether the ramp begins and ends at whole pairs.
        truncate: bool,
        /// Context before the change.
        original_max_position_embeddings: usize,
        /// Factor on rotated queries and on rotated keys.
        attention_factor: f64,
    },
    /// `LongRoPE`: each frequency divided by its own number, of which there are two lists (Ding et al.,
    /// 2024; Phi-3).
    LongRope {
        /// Of passes within the original context, one per pair.
        short_factor: Vec<f32>,
        /// Of passes that reach beyond it.
        long_factor: Vec<f32>,
        /// Context before the change.
        original_max_position_embeddings: usize,
        /// Factor on rotated queries and on rotated keys.
        attention_factor: f64,
    },
    /// Each frequency divided by its own number, as GGUF files carry it.
    Divided {
        /// One per pair of a head's dimensions.
        by: Vec<f32>,
    },
}

impl RopeSpec {
    /// Of whole heads in two halves, as Llama has it.
    pub const fn new(theta: f64, scaling: RopeScaling) -> Self {
        Self {
            theta,
            scaling,
            partial_rotary_factor: 1.0,
            interleaved: false,
        }
    }

    /// How many dimensions of a head of `head_dim` rotate.
    pub fn rotary_dim(&self, head_dim: usize) -> usize {
        (head_dim as f64 * self.partial_rotary_factor) as usize
    }

    /// Factor on rotated queries and on rotated keys.
    pub const fn attention_factor(&self) -> f64 {
        match self.scaling {
            RopeScaling::Yarn {
                attention_factor, ..
            }
            | RopeScaling::LongRope {
                attention_factor, ..
            } => attention_factor,
            _ => 1.0,
        }
    }

    /// Radians per position of each pair of a head's dimensions that rotates, fastest first, in passes
    /// within the original context: what this rope does, however its config spells it.
    pub fn frequencies(&self, head_dim: usize) -> Vec<f32> {
        self.frequencies_at(head_dim, 1)
    }

    /// As [`RopeSpec::frequencies`], in a pass whose last position is `length - 1`.
    pub fn frequencies_at(&self, head_dim: usize, length: usize) -> Vec<f32> {
        let power = |base: f32, exponent: f32| {
            let power = f64::from(base).powf(f64::from(exponent));
            power as f32
        };
        self.frequencies_by(power, head_dim, length)
    }

    /// With a power function of one's own.
    pub(in crate::model) fn frequencies_by(
        &self,
        power: impl Fn(f32, f32) -> f32,
        head_dim: usize,
        length: usize,
    ) -> Vec<f32> {
        let dim = self.rotary_dim(head_dim);
        let base = self.base(dim, length) as f32;
        (0..dim / 2)
            .map(|pair| {
                let exponent = (2 * pair) as f32 / dim as f32;
                self.scaled(1.0 / power(base, exponent), (pair, dim), length)
            })
            .collect()
    }

    /// The base, which may depend on the length of a pass.
    fn base(&self, dim: usize, length: usize) -> f64 {
        match self.scaling {
            RopeScaling::Dynamic {
                factor,
                max_position_embeddings,
            } if length > max_position_embeddings && dim > 2 => {
                let excess = factor * length as f64 / max_position_embeddings as f64;
                self.theta * (excess - (factor - 1.0)).powf(dim as f64 / (dim - 2) as f64)
            }
            _ => self.theta,
        }
    }

    fn scaled(&self, frequency: f32, (pair, dim): (usize, usize), length: usize) -> f32 {
        match self.scaling {
            RopeScaling::Default | RopeScaling::Dynamic { .. } => frequency,
            RopeScaling::Divided { ref by } => by.get(pair).map_or(frequency, |d| frequency / d),
            RopeScaling::Linear { factor } => frequency / factor as f32,
            RopeScaling::LongRope {
                ref short_factor,
                ref long_factor,
                original_max_position_embeddings: original,
                ..
            } => {
                let long = length > original;
                let by = if long { long_factor } else { short_factor };
                by.get(pair).map_or(frequency, |d| frequency / d)
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings: original,
            } => {
                let original = original as f64;
                let wavelength = 2.0 * std::f64::consts::PI / f64::from(frequency);
                let kept = f64::from(frequency);
                let value = if wavelength < original / high_freq_factor {
                    kept
                } else if wavelength > original / low_freq_factor {
                    kept / factor
                } else {
                    let smooth = (original / wavelength - low_freq_factor)
                        / (high_freq_factor - low_freq_factor);
                    (1.0 - smooth) * kept / factor + smooth * kept
                };
                value as f32
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                truncate,
                original_max_position_embeddings: original,
                ..
            } => {
                // The pair, as a real number, that turns so often over the original context.
                let pair_of = |turns: f64| {
                    let wavelength = original as f64 / (turns * std::f64::consts::TAU);
                    dim as f64 * wavelength.ln() / (2.0 * self.theta.ln())
                };
                let (mut low, mut high) = (pair_of(beta_fast), pair_of(beta_slow));
                if truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                (low, high) = (low.max(0.0), high.min(dim as f64 - 1.0));
                if low == high {
                    high += 0.001;
                }
                let ramp = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
                let kept = f64::from(frequency);
                (ramp * kept / factor + (1.0 - ramp) * kept) as f32
            }
        }
    }
}
