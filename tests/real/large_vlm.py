#!/usr/bin/env python3
"""Writes a checkpoint with the shapes of MiniCPM-Llama3-V 2.5 and random bf16 numbers, in shards: 8.5
billion parameters, 17 GB. What it says means nothing; it shows what memory and time such a model takes.

Needs PyPI's numpy. About two minutes; delete OUT afterwards.

  python tests/real/large_vlm.py OUT [--layers 32] [--seed 1]
  kinprobe suite render script --items 1 -o SUITE
  /usr/bin/time -v kinprobe run SUITE/*.yaml --model OUT -o RUNS --memory 4GB
"""

import argparse
import json
from pathlib import Path

import numpy as np

VOCAB, HIDDEN, INNER, HEADS, KV_HEADS = 128256, 4096, 14336, 32, 8
TOWER, TOWER_INNER, TOWER_LAYERS, PATCH, SIDE = 1152, 4304, 27, 14, 70
QUERIES = 96
SHARD = 4 << 30


def tensors(layers):
    """Names and shapes, as the published checkpoint has them."""
    yield "llm.model.embed_tokens.weight", (VOCAB, HIDDEN)
    key = HIDDEN // HEADS * KV_HEADS
    for layer in range(layers):
        at = f"llm.model.layers.{layer}."
        yield at + "input_layernorm.weight", (HIDDEN,)
        for part, shape in (
            ("self_attn.q_proj", (HIDDEN, HIDDEN)),
            ("self_attn.k_proj", (key, HIDDEN)),
            ("self_attn.v_proj", (key, HIDDEN)),
            ("self_attn.o_proj", (HIDDEN, HIDDEN)),
            ("mlp.gate_proj", (INNER, HIDDEN)),
            ("mlp.up_proj", (INNER, HIDDEN)),
            ("mlp.down_proj", (HIDDEN, INNER)),
        ):
            yield f"{at}{part}.weight", shape
        yield at + "post_attention_layernorm.weight", (HIDDEN,)
    yield "llm.model.norm.weight", (HIDDEN,)
    yield "llm.lm_head.weight", (VOCAB, HIDDEN)
    yield from vision()


def vision():
    yield "vpm.embeddings.patch_embedding.weight", (TOWER, 3, PATCH, PATCH)
    yield "vpm.embeddings.patch_embedding.bias", (TOWER,)
    yield "vpm.embeddings.position_embedding.weight", (SIDE * SIDE, TOWER)
    for layer in range(TOWER_LAYERS):
        at = f"vpm.encoder.layers.{layer}."
        for part, shape in (
            ("layer_norm1", (TOWER,)),
            ("self_attn.q_proj", (TOWER, TOWER)),
            ("self_attn.k_proj", (TOWER, TOWER)),
            ("self_attn.v_proj", (TOWER, TOWER)),
            ("self_attn.out_proj", (TOWER, TOWER)),
            ("layer_norm2", (TOWER,)),
            ("mlp.fc1", (TOWER_INNER, TOWER)),
            ("mlp.fc2", (TOWER, TOWER_INNER)),
        ):
            yield f"{at}{part}.weight", shape
            yield f"{at}{part}.bias", shape[:1]
    yield "vpm.post_layernorm.weight", (TOWER,)
    yield "vpm.post_layernorm.bias", (TOWER,)
    yield "resampler.query", (QUERIES, HIDDEN)
    yield "resampler.proj", (HIDDEN, HIDDEN)
    yield "resampler.kv_proj.weight", (HIDDEN, TOWER)
    yield "resampler.attn.in_proj_weight", (3 * HIDDEN, HIDDEN)
    yield "resampler.attn.in_proj_bias", (3 * HIDDEN,)
    yield "resampler.attn.out_proj.weight", (HIDDEN, HIDDEN)
    yield "resampler.attn.out_proj.bias", (HIDDEN,)
    for part in ("ln_q", "ln_kv", "ln_post"):
        yield f"resampler.{part}.weight", (HIDDEN,)
        yield f"resampler.{part}.bias", (HIDDEN,)


def is_gain(name, shape):
    return len(shape) == 1 and "norm" in name.replace("ln_", "norm") and name.endswith("weight")


def numbers(rng, name, shape):
    """Random numbers as bf16, a bounded number at a time: gains about 1, others about 0."""
    total = int(np.prod(shape))
    scale, offset = (0.1, 1.0) if is_gain(name, shape) else (shape[-1] ** -0.5, 0.0)
    if len(shape) == 1 and not offset:
        scale = 0.02
    for start in range(0, total, 1 << 24):
        count = min(1 << 24, total - start)
        values = rng.standard_normal(count, dtype=np.float32)
        values *= np.float32(scale)
        values += np.float32(offset)
        yield (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()


def shards(named):
    """Tensors in groups of at most SHARD bytes."""
    group, size = [], 0
    for name, shape in named:
        own = 2 * int(np.prod(shape))
        if group and size + own > SHARD:
            yield group
            group, size = [], 0
        group.append((name, shape))
        size += own
    yield group


def write(out, layers, seed):
    rng = np.random.Generator(np.random.SFC64(seed))
    groups = list(shards(tensors(layers)))
    places, total = {}, 0
    for number, group in enumerate(groups, 1):
        file = f"model-{number:05}-of-{len(groups):05}.safetensors"
        header, offset = {"__metadata__": {"format": "pt"}}, 0
        for name, shape in group:
            end = offset + 2 * int(np.prod(shape))
            header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
            offset, places[name] = end, file
        raw = json.dumps(header).encode()
        raw += b" " * (-len(raw) % 8)
        with open(out / file, "wb") as shard:
            shard.write(len(raw).to_bytes(8, "little") + raw)
            for name, shape in group:
                for part in numbers(rng, name, shape):
                    shard.write(part)
        total += offset
        print(f"{file}: {offset / 1e9:.2f} GB", flush=True)
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (out / "model.safetensors.index.json").write_text(json.dumps(index))


def config(layers):
    return {
        "architectures": ["MiniCPMV"],
        "model_type": "minicpmv",
        "version": "2.5",
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-05,
        "rope_theta": 500000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "query_num": QUERIES,
        "batch_vision_input": True,
        "drop_vision_last_layer": False,
        "slice_config": {"max_slice_nums": 9, "scale_resolution": 448, "patch_size": PATCH},
        "slice_mode": True,
        "torch_dtype": "bfloat16",
        "vision_config": {
            "hidden_size": TOWER,
            "intermediate_size": TOWER_INNER,
            "num_hidden_layers": TOWER_LAYERS,
            "num_attention_heads": 16,
            "image_size": SIDE * PATCH,
            "patch_size": PATCH,
            "model_type": "idefics2",
        },
    }


def tokenizer():
    """A token for each printable character and the marks of pictures; the others stand for no text."""
    special = ["<unk>", "<image>", "</image>", "<slice>", "</slice>"]
    words = ["\n"] + [chr(code) for code in range(32, 127)]
    vocabulary = {word: at for at, word in enumerate(words + special)}
    for at in range(len(vocabulary), VOCAB):
        vocabulary[f"<{at}>"] = at
    flags = ("single_word", "lstrip", "rstrip", "normalized")
    added = [
        {"id": vocabulary[word], "content": word, "special": True, **dict.fromkeys(flags, False)}
        for word in special
    ]
    each = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": each,
        "post_processor": None,
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "config.json").write_text(json.dumps(config(args.layers), indent=1))
    (args.out / "tokenizer.json").write_text(json.dumps(tokenizer()))
    write(args.out, args.layers, args.seed)


if __name__ == "__main__":
    main()
