#!/usr/bin/env python3
"""Rhyton beside PyTorch, Keras, Burn and Candle, on this machine:

    python3 benches/compare.py                    everything; half an hour on two cores
    python3 benches/compare.py -w cnn -e rhyton torch --rounds 1
    python3 benches/compare.py --check            does what was measured last reach what Rhyton must reach?

Makes a virtual environment from requirements.txt (or uses $RHYTON_BENCH_VENV), builds Rhyton and the Rust peers in
release, runs the engines in turn, and writes results.json and the tables of README.md. What is not measured this time
stays from the last. $RHYTON_BENCH_BIN names a Rhyton already built.
"""
import argparse, datetime, json, os, platform, statistics, subprocess, sys, tempfile, time, venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE))
import report

ENGINES = list(report.ENGINES)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-w", "--workloads", nargs="+", choices=report.WORKLOADS, default=report.WORKLOADS)
    p.add_argument("-e", "--engines", nargs="+", choices=ENGINES, default=ENGINES)
    p.add_argument("-p", "--parts", nargs="+", choices=["steps", "scaling", "start"], default=["steps", "scaling", "start"])
    p.add_argument("--rounds", type=int, default=3, help="times each engine is run on a workload")
    p.add_argument("--repeats", type=int, default=5, help="epochs timed in a run")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--timeout", type=int, default=240, help="seconds after which a run is given up")
    p.add_argument("--no-build", action="store_true", help="take the programs as they are")
    p.add_argument("--check", action="store_true", help="measure nothing; exit 1 with what misses its mark")
    return p.parse_args()


def run(command, **more):
    print("+", *map(str, command), file=sys.stderr)
    subprocess.run(list(map(str, command)), check=True, **more)


def python():
    """The interpreter that has the Python peers."""
    home = Path(os.environ.get("RHYTON_BENCH_VENV", HERE / ".venv"))
    program = home / "bin" / "python"
    if not program.exists():
        venv.create(home, with_pip=True)
        run([program, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"])
    return program


def rhyton():
    return Path(os.environ.get("RHYTON_BENCH_BIN", Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/rhyton"))


def build(engines):
    if "RHYTON_BENCH_BIN" not in os.environ:
        run(["cargo", "build", "--release", "-p", "rhyton-cli"], cwd=ROOT)
    if {"burn", "candle"} & set(engines):
        run(["cargo", "build", "--release", "--locked"], cwd=HERE / "peers-rust")


def commands(options):
    """What is run for an engine and a workload, and what is added to its surroundings."""
    interpreter = python() if set(options.engines) - {"rhyton", "burn", "candle"} else None
    peers, rust = HERE / "peers-python", HERE / "peers-rust/target/release"
    return {
        "rhyton": lambda w, repeats: ([rhyton(), "bench", w, "--json", "--repeats", repeats], {}),
        "torch": lambda w, repeats: ([interpreter, peers / "torch_peer.py", w], {}),
        "torch-compile": lambda w, repeats: ([interpreter, peers / "torch_peer.py", "--compile", w], {}),
        "keras-tensorflow": lambda w, repeats: ([interpreter, peers / "keras_peer.py", w], {"KERAS_BACKEND": "tensorflow"}),
        "keras-jax": lambda w, repeats: ([interpreter, peers / "keras_peer.py", w], {"KERAS_BACKEND": "jax"}),
        "burn": lambda w, repeats: ([rust / "burn", w, repeats], {}),
        "candle": lambda w, repeats: ([rust / "candle", w, repeats], {}),
    }


def measure(workload, engine, options, threads):
    """The line that one engine prints for one workload, in a process of its own on `threads` cores."""
    repeats = options.repeats * report.LONGER.get(workload, 1)
    command, extra = engine(workload, str(repeats))
    cores = sorted(os.sched_getaffinity(0))[:threads]
    names = ["RHYTON_THREADS", "RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"]
    around = os.environ | {n: str(threads) for n in names} | {"BENCH_REPEATS": str(repeats)} | extra
    pin = lambda: os.sched_setaffinity(0, cores)
    try:
        done = subprocess.run(
            list(map(str, command)), capture_output=True, text=True, env=around, preexec_fn=pin, timeout=options.timeout
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {options.timeout} s"}
    except OSError as e:
        return {"error": str(e)}
    lines = [l for l in done.stdout.splitlines() if l.startswith("{")]
    if done.returncode or not lines:
        told = [l for l in done.stderr.splitlines() if l.strip()]
        return {"error": (told or [f"exit code {done.returncode}"])[-1][:200]}
    return json.loads(lines[-1])


def compare(workload, options, engines):
    """Rounds of all engines in turn; engines that fail are not tried again."""
    rounds, errors = [], {}
    for number in range(options.rounds):
        row = {}
        for name in options.engines:
            if name in errors:
                continue
            line = measure(workload, engines[name], options, options.threads)
            if "error" in line:
                errors[name] = line["error"]
            else:
                row[name] = line
            told = line.get("error") or f"{line['ms_per_step']:.4f} ms"
            print(f"{workload} {number + 1}/{options.rounds} {name}: {told}", file=sys.stderr)
        rounds.append(row)
    return {"date": str(datetime.date.today()), "rounds": rounds, "errors": errors}


def scaling(options, engines):
    """Rhyton on one thread and on two, in turn."""
    result = {}
    for workload in ["vgg", "resnet20", "gpt"]:
        ratios = []
        for _ in range(options.rounds):
            one, two = (measure(workload, engines["rhyton"], options, n) for n in (1, 2))
            if "error" in one or "error" in two:
                return {"error": one.get("error") or two.get("error")}
            ratios.append(one["min"] / two["min"])
        result[workload] = statistics.median(ratios)
        print(f"scaling {workload}: {result[workload]:.2f}", file=sys.stderr)
    return result


def start():
    """Milliseconds from starting the program to the end of its first prediction by a saved convolutional network."""
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        run([rhyton(), "demo", "--out", folder], **quiet)
        model = next(Path(folder).glob("conv*.keras"))
        script = "import numpy, sys; numpy.savez(sys.argv[1], x0=numpy.zeros((1, 28, 28, 1), 'float32'))"
        run([python(), "-c", script, Path(folder) / "sample.npz"])
        line = [str(rhyton()), "predict", str(model), "--data", "sample.npz", "--out", "p.npz"]
        times = []
        for _ in range(30):
            begin = time.perf_counter()
            subprocess.run(line, check=True, **quiet)
            times.append((time.perf_counter() - begin) * 1e3)
        return {"cold_start_ms": statistics.median(times), "binary_mib": rhyton().stat().st_size / 2**20}


def machine():
    names = [l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")]
    flags = next((l for l in open("/proc/cpuinfo") if l.startswith("flags")), "")
    best = next((n for f, n in [("avx512f", "AVX-512"), ("avx2", "AVX2")] if f in flags), platform.machine())
    return f"{names[0] if names else platform.processor()}, {best}"


def main():
    options = arguments()
    file = HERE / "results.json"
    results = json.loads(file.read_text()) if file.exists() else {"workloads": {}}
    if options.check:
        misses = report.misses(results)
        print("\n".join(misses) or "everything that was measured reaches its mark")
        return 1 if misses else 0
    if not options.no_build:
        build(options.engines)
    engines = commands(options)
    results |= {"machine": machine(), "threads": options.threads}
    if "steps" in options.parts:
        for workload in options.workloads:
            results["workloads"][workload] = compare(workload, options, engines)
            file.write_text(json.dumps(results, indent=1) + "\n")
    if "scaling" in options.parts:
        results["scaling"] = scaling(options, engines)
    if "start" in options.parts:
        results |= start()
    file.write_text(json.dumps(results, indent=1) + "\n")
    report.write(results, ROOT / "README.md")
    return 0


sys.exit(main())
