"""Whether a baseline that this program wrote holds of the same weights behind another engine.

    pip install torch "transformers[serving]"
    python tests/real/other_engine.py target/release/kinprobe

Accepts `zoo:base-a` from its files, has `transformers serve` (PyTorch, f32) answer for the same files and then for
another model of the zoo, and checks both endpoints against what was accepted. Prints what each check says; exit code 1
unless the first passes and the second fails.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def served(model, command):
    """The address of a server of `model`, a path below the repository."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [command, "serve", model, "--port", str(port), "--dtype", "float32", "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(300):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"{address}/health", timeout=5).close()
                    break
                if server.poll() is not None:
                    log.seek(0)
                    sys.exit(f"{command} serve ended: {log.read().decode(errors='replace')[-400:]}")
                time.sleep(1)
            yield f"openai:{model}@{address}/v1"
        finally:
            server.terminate()
            server.wait()


def kinprobe(program, *words):
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    run = subprocess.run([program, *words, "--json"], cwd=ROOT, env=environment, capture_output=True, text=True)
    if run.returncode not in (0, 1, 3):
        sys.exit(f"{' '.join(words)}: {run.stderr.strip().splitlines()[-1]}")
    return json.loads(run.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--suite", default="short-answer")
    parser.add_argument("--accepted", default="base-a", help="of the zoo")
    parser.add_argument("--swapped", default="base-a-finetuned-light", help="of the zoo")
    parser.add_argument("--transformers", default=shutil.which("transformers"), help="the command")
    arguments = parser.parse_args()
    if arguments.transformers is None:
        parser.error("no command `transformers`: install it, or name it with --transformers")
    verdicts = []
    with tempfile.TemporaryDirectory() as baselines:
        accept = ["accept", f"m=zoo:{arguments.accepted}", "--suite", arguments.suite, "--to", baselines]
        kinprobe(arguments.program, *accept, "--reason", "another engine")
        for name in [arguments.accepted, arguments.swapped]:
            with served(f"datasets/zoo/{name}", arguments.transformers) as model:
                check = ["check", f"m={model}", "--suite", arguments.suite, "--baseline", baselines]
                said = kinprobe(arguments.program, *check)
            verdicts.append(said["verdict"])
            print(f"{name} behind transformers: {said['verdict']}, {said['suites'][0]['reason']}", flush=True)
    sys.exit(int(verdicts != ["pass", "fail"]))


if __name__ == "__main__":
    main()
