"""Independents beside a panel, by many hands: how often strangers are called more alike than the panel.

    python tests/real/hands.py KINPROBE OUT [SEEDS]

Renders the public script of the script zoo by SEEDS hands (20 unless said otherwise), shows it to the seven strangers
of the original, and holds every two of them against the others. KINPROBE is the program; run it
in the repository. OUT is kept, so that an interrupted run goes on.
"""

import itertools
import json
import pathlib
import subprocess
import sys

PUBLIC = [f"script-public-{n}" for n in range(1, 5)]
ALL = [f"script-all-{n}" for n in range(1, 4)]
MODELS = PUBLIC + ALL
PUBLIC_SEED = "5"
ITEMS = "1000"
LEVEL = -3.0


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def main(program, out, seeds):
    out = pathlib.Path(out)
    script = ["--seed", PUBLIC_SEED, "--items", ITEMS]
    pairs, called, least = {"public": 0, "any": 0}, {"public": 0, "any": 0}, 0.0
    for hand in range(1, seeds + 1):
        place = out / str(hand)
        rendered = run(program, "suite", "render", "script", *script, "--writings", str(hand), "-o", str(place), "--json")
        suite = json.loads(rendered)["file"]
        models = [f"{name}=zoo:{name}" for name in MODELS]
        run(program, "run", suite, "--model", *models, "-o", str(place / "runs"))
        for pair in itertools.combinations(MODELS, 2):
            panel = [name for name in MODELS if name not in pair]
            logs = [f"run:{place}/runs/{name}" for name in pair]
            beside = [f"run:{place}/runs/{name}" for name in panel]
            found = json.loads(run(program, "overlap", *logs, "--panel", *beside, "--json"))
            rows = found["panel"]["pairs"][0]["indices"]
            row = next(row for row in rows if row["index"] == "shared_wrong")
            p = row.get("log10_p_calibrated", row["log10_p"])
            least = min(least, p)
            kinds = ["any"] + (["public"] if set(pair) <= set(PUBLIC) else [])
            for kind in kinds:
                pairs[kind] += 1
                called[kind] += p <= LEVEL
        print(f"{hand} hands: {called['public']} of {pairs['public']} pairs with the public script alone, "
              f"{called['any']} of {pairs['any']} of all; least log10 p {least:.2f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 20)
