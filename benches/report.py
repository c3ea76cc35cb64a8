"""What results.json says: medians, ratios, the tables of README.md and what misses its mark."""
import re, statistics
from pathlib import Path

HERE = Path(__file__).resolve().parent
WORKLOADS = ["mlp", "cnn", "lstm", "gru", "resnet20", "gpt", "vgg"]
ENGINES = {
    "rhyton": "Rhyton",
    "torch": "PyTorch",
    "torch-compile": "torch.compile",
    "keras-tensorflow": "Keras, TensorFlow",
    "keras-jax": "Keras, JAX",
    "burn": "Burn",
    "candle": "Candle",
}
# An epoch of these is so short that more of them are timed.
LONGER = {"mlp": 10, "cnn": 2}
PYTHON = ["torch", "torch-compile", "keras-tensorflow", "keras-jax"]
# Rhyton's time of a step must be this part of the better of PyTorch's two.
MUST = {
    "mlp": 0.05 / 0.57,
    "cnn": 1.6 / 6.3,
    "lstm": 4.5 / 12.2,
    "gru": 3.5 / 16.3,
    "resnet20": 105 / 134,
    "gpt": 25 / 35,
    "vgg": 145 / 177,
}
SCALING, COLD_START_MS, BINARY_MB, MEMORY = 1.8, 50, 20, 5
MARKS = ("<!-- benches: begin -->", "<!-- benches: end -->")


def figures(workload, engine, key):
    return [row[engine][key] for row in workload["rounds"] if engine in row]


def middle(workload, engine, key):
    values = figures(workload, engine, key)
    return statistics.median(values) if values else None


def best(workload, engines, key):
    """The peer with the least median."""
    known = {e: middle(workload, e, key) for e in engines}
    known = {e: x for e, x in known.items() if x is not None}
    return min(known, key=known.get) if known else None


def ratio(workload, engines, key):
    """Rhyton's part of the best peer's figure, the median over rounds of figures taken side by side."""
    rounds = [r for r in workload["rounds"] if "rhyton" in r and any(e in r for e in engines)]
    parts = [r["rhyton"][key] / min(r[e][key] for e in engines if e in r) for r in rounds]
    return statistics.median(parts) if parts else None


def peers():
    return [e for e in ENGINES if e != "rhyton"]


def misses(results):
    """A line for everything that falls short or was not measured."""
    found = []
    for name in WORKLOADS:
        w = results["workloads"].get(name)
        if w is None:
            found.append(f"{name}: not measured")
            continue
        step, one = ratio(w, ["torch", "torch-compile"], "ms_per_step"), ratio(w, peers(), "predict1_ms")
        memory = ratio(w, PYTHON, "peak_mib")
        marks = [
            ("a step, of PyTorch's time", step, MUST[name]),
            ("predicting one, of the best peer's time", one, 1.0),
            ("memory, of the leanest Python peer's", memory, 1 / MEMORY),
        ]
        found += [f"{name}: {what}: not measured" for what, x, _ in marks if x is None]
        found += [f"{name}: {what}: {x:.3f}, must be at most {m:.3f}" for what, x, m in marks if x is not None and x > m]
        left = [r["rhyton"]["allocations_per_step"] for r in w["rounds"] if "rhyton" in r]
        found += [f"{name}: {max(left)} allocations a step, must be none"] if left and max(left) > 0 else []
    scaling = results.get("scaling", {})
    for name in ["vgg", "resnet20", "gpt"]:
        x = scaling.get(name)
        if x is None or x < SCALING:
            found.append(f"{name}: 1 to 2 threads: {'not measured' if x is None else f'{x:.2f}, must be {SCALING}'}")
    for key, most, scale in [("cold_start_ms", COLD_START_MS, 1), ("binary_mib", BINARY_MB, 1.048576)]:
        x = results.get(key)
        if x is None or x * scale > most:
            found.append(f"{key}: {'not measured' if x is None else f'{x * scale:.1f}, must be at most {most}'}")
    return found


def digits(x):
    if x is None:
        return "-"
    return f"{x:.3f}" if x < 1 else f"{x:.2f}" if x < 10 else f"{x:.1f}" if x < 100 else f"{x:.0f}"


def table(workloads, key, extra):
    engines = [e for e in ENGINES if any(figures(w, e, key) or e in w["errors"] for w in workloads.values())]
    rows = [["network"] + [ENGINES[e] for e in engines] + [extra], ["---"] * (len(engines) + 2)]
    for name, w in workloads.items():
        others = PYTHON if key == "peak_mib" else peers()
        part = ratio(w, others, key)
        last = "-" if part is None else f"{part:.2f} ({ENGINES[best(w, others, key)]})"
        rows.append([name] + [digits(middle(w, e, key)) for e in engines] + [last])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def versions():
    pins = (HERE / "requirements.txt").read_text() + (HERE / "peers-rust/Cargo.toml").read_text()
    find = lambda name: re.search(rf'^{name}\W.*?=+"?([0-9.]+)', pins, re.M).group(1)
    names = {"PyTorch": "torch", "Keras": "keras", "TensorFlow": "tensorflow-cpu", "JAX": "jax", "Burn": "burn", "Candle": "candle-core"}
    return ", ".join(f"{shown} {find(name)}" for shown, name in names.items())


def text(results):
    workloads = {n: results["workloads"][n] for n in WORKLOADS if n in results["workloads"]}
    dates = sorted({w["date"] for w in workloads.values()})
    gaps = [f"{n}, {ENGINES[e]}: {why}" for n, w in workloads.items() for e, why in w["errors"].items()]
    parts = [
        f"Measured {' to '.join(dict.fromkeys([dates[0], dates[-1]]))} on {results['machine']}, {results['threads']} threads, float32, the median of runs"
        f" in turn; {versions()}.",
        "Milliseconds a training step, and Rhyton's part of the best peer's time:",
        table(workloads, "ms_per_step", "Rhyton / best"),
        "Milliseconds to predict one sample:",
        table(workloads, "predict1_ms", "Rhyton / best"),
        "Most memory of the process in MiB, and Rhyton's part of the leanest Python peer's:",
        table(workloads, "peak_mib", "Rhyton / best"),
    ]
    if gaps:
        parts.append("Not measured: " + "; ".join(gaps) + ".")
    scaling = results.get("scaling", {})
    if scaling and "error" not in scaling:
        parts.append("From one thread to two: " + ", ".join(f"{n} {x:.2f} times" for n, x in scaling.items()) + ".")
    if "cold_start_ms" in results:
        parts.append(
            f"From starting the program to the end of its first prediction by a saved cnn: {results['cold_start_ms']:.0f} ms."
            f" The program is one file of {results['binary_mib'] * 1.048576:.0f} MB."
        )
    return "\n\n".join(parts)


def write(results, readme):
    """Puts the tables between their marks."""
    whole = readme.read_text()
    before, rest = whole.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    readme.write_text(f"{before}{MARKS[0]}\n{text(results)}\n{MARKS[1]}{after}")
