#!/usr/bin/env python3
"""Explanations and attacks beside Captum's and torchattacks's, on this machine:

    python3 benches/trust.py              Rhyton alone
    python3 benches/trust.py PEERS        beside a script that prints the peers' lines, in the Python that $PYTHON names

Prints a table of samples a second, and the ratio where both are there. Peers' lines are JSON:
{"peer": .., "method": .., "samples_per_s": ..}. The same script may come from anywhere that has torch, captum and
torchattacks.
"""
import json, os, subprocess, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def lines(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, **more)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {f["method"]: f["samples_per_s"] for f in found if "samples_per_s" in f}


def main():
    ours = lines(["cargo", "run", "--release", "-q", "-p", "rhyton", "--example", "trust_speed"], cwd=ROOT)
    peers = lines([os.environ.get("PYTHON", "python3"), sys.argv[1]]) if len(sys.argv) > 1 else {}
    print(f"{'method':<32}{'rhyton':>10}{'peer':>10}{'ratio':>8}")
    for method, rate in ours.items():
        peer = peers.get(method)
        beside = f"{peer:>10.1f}{rate / peer:>8.1f}" if peer else f"{'-':>10}{'-':>8}"
        print(f"{method:<32}{rate:>10.1f}{beside}")


if __name__ == "__main__":
    main()
