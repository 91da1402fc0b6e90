"""Whether baselines that one processor wrote hold on another.

    apt-get install qemu-user
    python tests/real/other_cpu.py target/release/kinprobe --items 24

Numbers depend on the instructions that matrix products are made of, and those are chosen when the program starts. So
the same binary accepts `zoo:base-a` on this machine and on processors that qemu makes up (without AVX; with AVX2 and
FMA, but without AVX-512). What the first accepted is checked on each other one in every tier, and the other way round.
Prints the table, with the largest difference of a log-probability and of a margin between the files and the number of
items of other tokens; exit code 1 where a check does not pass. An emulated processor is some hundred times slower.
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
QUESTIONS = ROOT / "datasets/zoo/world-questions.jsonl"
TIERS = ["exact", "answer", "tolerance"]
SUITE = """schema: kinprobe/suite/v1
suite: few-questions
version: 1
description: A few of the held-out questions
license: MIT OR Apache-2.0
dataset: {{path: few.jsonl, sha256: {sha256}}}
prompt: "{{{{prompt}}}}"
target: answer
readout: {{kind: generate, max_tokens: 48, stop: ["\\n"]}}
score: {{kind: exact}}
"""


def suite(folder, items):
    lines = QUESTIONS.read_bytes().splitlines(keepends=True)[:items]
    (folder / "few.jsonl").write_bytes(b"".join(lines))
    path = folder / "few-questions.yaml"
    path.write_text(SUITE.format(sha256=hashlib.sha256(b"".join(lines)).hexdigest()))
    return path


def machine(name, qemu):
    """The command that runs a program as that processor, and the number of threads."""
    processor, _, threads = name.partition("/")
    command = [] if processor == "native" else [qemu, "-cpu", processor]
    return command, {"RAYON_NUM_THREADS": threads} if threads else {}


def kinprobe(arguments, name, *words):
    command, threads = machine(name, arguments.qemu)
    environment = {key: value for key, value in os.environ.items() if key != "CI"} | threads
    run = subprocess.run(
        [*command, arguments.program, *map(str, words)],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )
    if run.returncode not in (0, 1, 3):
        sys.exit(f"{name}: {' '.join(map(str, words))}: {run.stderr.strip().splitlines()[-1]}")
    return json.loads(run.stdout)


def differences(one, other):
    """Largest move of a log-probability and of a margin, and how many items have other tokens."""
    logprob = margin = tokens = 0
    for before, now in zip(one["items"], other["items"], strict=True):
        there = dict(now["top"])
        moves = [abs(steps - there[token]) / 64 for token, steps in before["top"] if token in there]
        logprob = max([logprob, *moves])
        tokens += before["tokens"] != now["tokens"]
        if before["tokens"] == now["tokens"]:
            pairs = zip([before["margin"], *before.get("margins", [])], [now["margin"], *now.get("margins", [])])
            margin = max([margin, *(abs(a - b) for a, b in pairs)])
    return f"{logprob:.4f} {margin:.4f} {tokens}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--model", default="zoo:base-a")
    parser.add_argument("--qemu", default="qemu-x86_64")
    parser.add_argument(
        "--machines", nargs="+", default=["native", "native/1", "Nehalem", "Haswell"],
        help="processors of `qemu-x86_64 -cpu help`, or native; /N for N threads",
    )
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        questions = suite(folder, arguments.items)
        written = {}
        model = f"model={arguments.model}"
        for name in arguments.machines:
            place = folder / name.replace("/", "-")
            words = ["accept", model, "--suite", questions, "--to", place, "--reason", "another machine", "--json"]
            floor = kinprobe(arguments, name, *words)["baselines"][0]["noise_floor"]
            written[name] = json.loads((place / "few-questions/model.json").read_text())
            print(f"accepted on {name}: noise floor {floor}", flush=True)
        print(f"{'accepted on':12} {'checked on':12} {'exact':8} {'answer':8} {'tolerance':10} logprob margin tokens")
        first, *others = arguments.machines
        for other in others:
            for before, now in [(first, other), (other, first)]:
                place = folder / before.replace("/", "-")
                verdicts = []
                for tier in TIERS:
                    words = ["check", model, "--suite", questions, "--baseline", place, "--tier", tier, "--json"]
                    verdicts.append(kinprobe(arguments, now, *words)["verdict"])
                failed |= verdicts != ["pass"] * len(TIERS)
                moved = differences(written[before], written[now])
                print(f"{before:12} {now:12} {verdicts[0]:8} {verdicts[1]:8} {verdicts[2]:10} {moved}", flush=True)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
