"""Writes answer logs of many models to many items, and measures `kinprobe overlap` on them.

    python tests/real/overlap_logs.py /tmp/logs --run target/release/kinprobe
    python tests/real/overlap_logs.py /tmp/logs --form lm-eval --run target/release/kinprobe

The models share the items' difficulty and their tempting wrong answers, as real ones do; the last is half a
copy of the first. Prints seconds, peak memory and the size of the page. Needs nothing but Python.
"""

import argparse
import hashlib
import json
import math
import pathlib
import random
import resource
import subprocess
import time


def answers(models, items, options, seed):
    """Per model the log-likelihoods of each item's options, and the right option."""
    rng = random.Random(seed)
    gold = [rng.randrange(options) for _ in range(items)]
    shared = []
    for right in gold:
        level = [rng.gauss(0, 1.2) for _ in range(options)]
        level[right] += 1.5 + rng.gauss(0, 1.2)
        shared.append(level)
    first = None
    for model in range(models):
        rng = random.Random(seed + 1 + model)
        own = [[x + rng.gauss(0, 1) for x in level] for level in shared]
        first = first or own
        if model == models - 1:
            own = [a if rng.random() < 0.5 else b for a, b in zip(first, own)]
        yield gold, [[x - math.log(sum(math.exp(y) for y in row)) - 20 for x in row] for row in own]


def plain(folder, model, gold, logs):
    path = folder / f"model{model:02}.jsonl"
    with path.open("w") as file:
        for item, (right, row) in enumerate(zip(gold, logs)):
            best = max(range(len(row)), key=row.__getitem__)
            sample = {
                "id": f"item-{item}",
                "suite": f"suite-{item % 20}",
                "version": 1,
                "prompt": f"Question {item}: which of these? " + "Some words of context. " * 10,
                "target": chr(65 + right),
                "answer": chr(65 + best),
                "logprobs": row,
            }
            file.write(json.dumps(sample) + "\n")
    return f"log:jsonl:{path}"


def harness(folder, model, gold, logs):
    """As lm-evaluation-harness writes it: five examples before each question, one request per option."""
    run = folder / f"model{model:02}"
    run.mkdir(exist_ok=True)
    date = "2025-01-02T03-04-05.000006"
    run.joinpath(f"results_{date}.json").write_text(json.dumps({"versions": {"quiz": 1.0}}))
    with run.joinpath(f"samples_quiz_{date}.jsonl").open("w") as file:
        for item, (right, row) in enumerate(zip(gold, logs)):
            best = max(range(len(row)), key=row.__getitem__)
            prompt = "An example, its options and its answer.\n" * 20 + f"Question {item}\nAnswer:"
            responses = [[str(x), "False"] for x in row]
            sample = {
                "doc_id": item,
                "doc": {"question": f"Question {item}", "choices": [f"option {k} of {item}" for k in range(len(row))], "answer": right},
                "target": str(right),
                "arguments": {f"gen_args_{k}": {"arg_0": prompt, "arg_1": f" option {k} of {item}"} for k in range(len(row))},
                "resps": [[response] for response in responses],
                "filtered_resps": responses,
                "filter": "none",
                "metrics": ["acc"],
                "doc_hash": hashlib.sha256(str(item).encode()).hexdigest(),
                "prompt_hash": hashlib.sha256(prompt.encode()).hexdigest(),
                "target_hash": hashlib.sha256(str(right).encode()).hexdigest(),
                "acc": float(best == right),
            }
            file.write(json.dumps(sample) + "\n")
    return f"log:lm-eval:{run}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--items", type=int, default=20000)
    parser.add_argument("--options", type=int, default=4)
    parser.add_argument("--form", choices=["jsonl", "lm-eval"], default="jsonl")
    parser.add_argument("--run", metavar="KINPROBE", help="program to measure")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    write = {"jsonl": plain, "lm-eval": harness}[args.form]
    runs = [
        write(args.folder, model, gold, logs)
        for model, (gold, logs) in enumerate(answers(args.models, args.items, args.options, 7))
    ]
    if not args.run:
        return print(" ".join(runs))
    out = args.folder / "report"
    start = time.monotonic()
    subprocess.run([args.run, "overlap", *runs, "-o", str(out)], check=True)
    seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    page = out.joinpath("index.html").stat().st_size / 1e6
    logs = sum(f.stat().st_size for f in args.folder.rglob("*.jsonl")) / 1e6
    print(f"{args.models} models x {args.items} items, {logs:.0f} MB of logs: {seconds:.1f} s, peak {peak:.0f} MiB, page {page:.2f} MB")


if __name__ == "__main__":
    main()
