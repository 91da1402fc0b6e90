#!/usr/bin/env python3
"""Makes, from one llama-type GGUF file, the variants that the real-model runs compare it with:

  OUT/bf16/            a Hugging Face folder: dequantised, rows of q and k un-permuted, bf16
  OUT/q8_0.gguf        the bf16 weights quantised again, llama.cpp naming
  OUT/q4_0.gguf        the same at 4 bit

Needs PyPI's gguf, torch, safetensors and tokenizers.

  python tests/real/variants.py SmolLM2-135M-Instruct.Q4_1.gguf OUT
"""

import json
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def main(path, out):
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    heads = fields["llama.attention.head_count"]
    kv_heads = fields["llama.attention.head_count_kv"]
    tensors = {t.name: dequantize(t.data, t.tensor_type) for t in reader.tensors}

    folder = out / "bf16"
    folder.mkdir(parents=True, exist_ok=True)
    weights = {}
    for name, value in tensors.items():
        count = heads if "attn_q" in name else kv_heads if "attn_k." in name else None
        weights[hugging_face(name)] = bf16(unpermute(value, count) if count else value)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config(fields, tensors), indent=2) + "\n")
    tokenizer(fields).save(str(folder / "tokenizer.json"))

    kinds = {t.name: t.tensor_type for t in reader.tensors}
    for label, kind in (("q8_0", "Q8_0"), ("q4_0", "Q4_0")):
        write_gguf(out / f"{label}.gguf", reader, tensors, kinds, gguf.GGMLQuantizationType[kind])


def unpermute(value, heads):
    """Undoes llama.cpp's interleaving of rotary pairs within each head."""
    rows, columns = value.shape
    return value.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def bf16(value):
    return torch.from_numpy(np.ascontiguousarray(value)).to(torch.bfloat16)


def hugging_face(name):
    whole = {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
    if name in whole:
        return whole[name]
    _, layer, part, _ = name.split(".")
    return f"model.layers.{layer}.{NAMES[part]}.weight"


def config(fields, tensors):
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": fields["llama.embedding_length"],
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": fields["llama.attention.head_count"],
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "max_position_embeddings": fields["llama.context_length"],
        "rms_norm_eps": round(float(fields["llama.attention.layer_norm_rms_epsilon"]), 10),
        "rope_theta": float(fields["llama.rope.freq_base"]),
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": "output.weight" not in tensors,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": fields["tokenizer.ggml.bos_token_id"],
        "eos_token_id": fields["tokenizer.ggml.eos_token_id"],
        "torch_dtype": "bfloat16",
    }


def tokenizer(fields):
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    made = Tokenizer(models.BPE({text: i for i, text in enumerate(tokens)}, merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    made.decoder = decoders.ByteLevel()
    control = [i for i, kind in enumerate(fields["tokenizer.ggml.token_type"]) if kind == 3]
    made.add_special_tokens([AddedToken(tokens[i], normalized=False, special=True) for i in control])
    return made


def write_gguf(path, reader, tensors, kinds, kind):
    writer = gguf.GGUFWriter(path, "llama")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kept = field.types[0]
        sub = field.types[-1] if kept == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), kept, sub_type=sub)
    for name, value in tensors.items():
        rounded = bf16(value).to(torch.float32).numpy()
        if kinds[name] == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(name, rounded)
        else:
            writer.add_tensor(name, quantize(rounded, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
