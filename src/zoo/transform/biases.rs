//! Biases taken away: what a family with biases loses on its way into one without.

use serde_json::json;

use crate::model::Param;

use super::super::checkpoint::Checkpoint;
use super::super::error::Error;

/// Turns a Qwen2 into a Llama: the forward pass is the same but for the biases of queries, keys and
/// values.
pub(super) fn drop(checkpoint: &mut Checkpoint) -> Result<(), Error> {
    if checkpoint.model_type() != "qwen2" {
        let reason = format!(
            "biases are dropped from qwen2 models, not from {}",
            checkpoint.model_type()
        );
        return Err(Error::Transformation { reason });
    }
    checkpoint
        .weights
        .retain(|role, _| role.param != Param::Bias);
    let config = &mut checkpoint.config;
    config.insert("architectures".to_owned(), json!(["LlamaForCausalLM"]));
    config.insert("model_type".to_owned(), json!("llama"));
    config.insert("attention_bias".to_owned(), json!(false));
    config.insert("mlp_bias".to_owned(), json!(false));
    config.shift_remove("use_sliding_window");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::super::checkpoint::Matrix;
    use super::super::super::checkpoint::tests::small;
    use crate::model::Part;
    use crate::model::Role;

    #[test]
    fn only_biases_go() {
        let mut checkpoint = small();
        let base = checkpoint.clone();
        assert!(super::drop(&mut checkpoint).is_err(), "a llama has none");
        checkpoint
            .config
            .insert("model_type".to_owned(), json!("qwen2"));
        let bias = Matrix {
            shape: vec![64],
            values: vec![1.0; 64],
        };
        checkpoint
            .weights
            .insert(Role::layer(0, Part::Query).bias(), bias);
        super::drop(&mut checkpoint).expect("qwen2");
        assert_eq!(checkpoint.weights, base.weights);
        assert_eq!(checkpoint.config["model_type"], "llama");
    }
}
