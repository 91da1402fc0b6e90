"""Reads texts with transformers on torch's CPU, for `cargo bench --bench taps -- MODEL --tokens FILE.json`.

    pip install torch transformers
    python tests/real/torch_speed.py FOLDER FILE.json [--threads 2] [--rounds 3]

FOLDER is a Hugging Face checkpoint of the same model; FILE.json holds token ids, a list for each text. Prints
tokens per second with all hidden states kept: one text at a time, in batches of 16 as they come (shorter texts padded,
padding not counted), and in batches of equal length, the best case.
"""

import argparse
import itertools
import json
import time

import torch
import transformers

arguments = argparse.ArgumentParser()
arguments.add_argument("folder")
arguments.add_argument("tokens")
arguments.add_argument("--threads", type=int, default=2)
arguments.add_argument("--rounds", type=int, default=3)
args = arguments.parse_args()

torch.set_num_threads(args.threads)
model = transformers.AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32).eval()
texts = [torch.tensor([ids]) for ids in json.load(open(args.tokens))]
count = sum(text.shape[1] for text in texts)
lengths = itertools.groupby(sorted(texts, key=lambda text: text.shape[1]), key=lambda text: text.shape[1])
equal = [(torch.cat(list(group)), None) for _, group in lengths]


def padded(group):
    ids = torch.nn.utils.rnn.pad_sequence([text[0] for text in group], batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(text[0]) for text in group], batch_first=True)
    return ids, mask


single = [(text, None) for text in texts]
mixed = [padded(texts[at : at + 16]) for at in range(0, len(texts), 16)]


@torch.inference_mode()
def read(inputs):
    for ids, mask in inputs:
        states = model(ids, attention_mask=mask, output_hidden_states=True, use_cache=False, logits_to_keep=1).hidden_states
        assert len(states) == model.config.num_hidden_layers + 1


for name, inputs in [("one text at a time", single), ("batches of 16, padded", mixed), ("batches of equal length", equal)]:
    best = float("inf")
    for _ in range(args.rounds):
        start = time.perf_counter()
        read(inputs)
        best = min(best, time.perf_counter() - start)
    print(f"torch {torch.__version__}, {name}: {count / best:.0f} tokens/s")
