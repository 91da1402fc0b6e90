//! A model's tensors as candle's builders ask for them: by name and shape, checked before they are read.

use std::collections::HashMap;

use candle_core::DType;
use candle_core::Device;
use candle_core::Shape;
use candle_core::Tensor;
use candle_nn::Init;
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;

use super::Error;
use crate::model::tensors::TensorStore;

/// The tensors of a model, or stand-ins that have nothing but their shapes.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'a> {
    store: &'a TensorStore,
    reads: bool,
}

impl<'a> Stored<'a> {
    /// Zeros of the stored shapes, which take no memory: what is built of them shows whether all fits.
    pub(super) fn shapes_of(store: &'a TensorStore) -> Self {
        Self {
            store,
            reads: false,
        }
    }

    /// The stored numbers as f32.
    pub(super) fn numbers_of(store: &'a TensorStore) -> Self {
        Self { store, reads: true }
    }

    /// Whether there is a tensor of this name.
    pub(super) fn has(self, name: &str) -> bool {
        self.store.info(name).is_some()
    }

    /// For candle's builders.
    pub(super) fn builder(self) -> VarBuilder<'a> {
        VarBuilder::from_backend(Box::new(Backend(self)), DType::F32, Device::Cpu)
    }

    /// All tensors whose names begin with `prefix`, by name.
    pub(super) fn under(self, prefix: &str) -> Result<HashMap<String, Tensor>, Error> {
        let chosen = self
            .store
            .iter()
            .filter(|(name, _)| name.starts_with(prefix));
        let taken = chosen.map(|(name, info)| Ok((name.to_owned(), self.take(name, &info.shape)?)));
        taken.collect()
    }

    /// The tensor `name`, which must have this shape; in candle's errors, of which [`Error`] makes its own.
    fn take(self, name: &str, shape: &[usize]) -> candle_core::Result<Tensor> {
        let Some(info) = self.store.info(name) else {
            let path = name.to_owned();
            return Err(candle_core::Error::CannotFindTensor { path });
        };
        if info.shape != shape {
            return Err(candle_core::Error::UnexpectedShape {
                msg: name.to_owned(),
                expected: shape.into(),
                got: info.shape.as_slice().into(),
            });
        }
        if !self.reads {
            return stand_in(shape);
        }
        let values = self.store.elements(name, 0..info.elements);
        let values = values.map_err(candle_core::Error::wrap)?;
        Tensor::from_vec(values, shape, &Device::Cpu)
    }
}

/// Zeros that take no memory.
pub(super) fn stand_in(shape: &[usize]) -> candle_core::Result<Tensor> {
    Tensor::zeros((), DType::F32, &Device::Cpu)?.broadcast_as(shape)
}

struct Backend<'a>(Stored<'a>);

impl SimpleBackend for Backend<'_> {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        _: DType,
        _: &Device,
    ) -> candle_core::Result<Tensor> {
        self.0.take(name, shape.dims())
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        let shape = self.0.store.info(name).map(|info| info.shape.clone());
        self.0.take(name, &shape.unwrap_or_default())
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.has(name)
    }
}
