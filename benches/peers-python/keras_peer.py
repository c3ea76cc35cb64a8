"""Keras side of workloads.md (KERAS_BACKEND=tensorflow|jax|torch). usage: keras_peer.py [names...]; prints one JSON line a workload.
Times model.fit itself, as a Keras user would run it (verbose=0), and model(x)/predict_on_batch for one sample."""
import os, sys, time, json, statistics
os.environ.setdefault("KERAS_BACKEND", "tensorflow"); os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np, keras
from keras import layers as L
if os.environ["KERAS_BACKEND"] == "torch":
    import torch; torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
keras.utils.set_random_seed(0)
def peak():
    """MiB this process has used at most; the high-water mark of its own memory, not its parent's."""
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"): return int(line.split()[1]) / 1024
repeats = int(os.environ.get("BENCH_REPEATS", "7"))
names = sys.argv[1:]
S = keras.Sequential
def resnet20():
    i = x = keras.Input((32, 32, 3)); x = L.Conv2D(16, 3, padding="same", use_bias=False)(x); x = L.ReLU()(L.BatchNormalization()(x)); c = 16
    for o, st in ((16, 1), (32, 2), (64, 2)):
        for k in range(3):
            s = st if k == 0 else 1
            y = L.ReLU()(L.BatchNormalization()(L.Conv2D(o, 3, s, padding="same", use_bias=False)(x)))
            y = L.BatchNormalization()(L.Conv2D(o, 3, padding="same", use_bias=False)(y))
            z = x if c == o else L.BatchNormalization()(L.Conv2D(o, 1, s, use_bias=False)(x))
            x = L.ReLU()(L.Add()([y, z])); c = o
    return keras.Model(i, L.Dense(10, activation="softmax")(L.GlobalAveragePooling2D()(x)))
class Pos(L.Layer):
    def __init__(s, T, d): super().__init__(); s.e = L.Embedding(T, d); s.T = T
    def call(s, x): return x + s.e(keras.ops.arange(s.T))
def gpt(V=65, d=128, T=64):
    i = keras.Input((T,), dtype="int32"); x = Pos(T, d)(L.Embedding(V, d)(i))
    for _ in range(4):
        h = L.LayerNormalization(epsilon=1e-5)(x); x = L.Add()([x, L.MultiHeadAttention(4, d // 4)(h, h, use_causal_mask=True)])
        h = L.LayerNormalization(epsilon=1e-5)(x); x = L.Add()([x, L.Dense(d)(L.Dense(4 * d, activation="gelu")(h))])
    return keras.Model(i, L.Dense(V, activation="softmax")(L.LayerNormalization(epsilon=1e-5)(x)))
def vgg():
    m = [keras.Input((32, 32, 3))]
    for o in (64, 128, 256): m += [L.Conv2D(o, 3, padding="same", activation="relu"), L.Conv2D(o, 3, padding="same", activation="relu"), L.MaxPooling2D()]
    return S(m + [L.Flatten(), L.Dense(256, activation="relu"), L.Dense(10, activation="softmax")])
def rnn(cell): return S([keras.Input((50, 16)), cell(64, return_sequences=True), cell(64), L.Dense(1)])
r = np.random.default_rng(0); R = lambda *s: r.standard_normal(s, dtype="float32"); C = lambda n: r.integers(0, 10, n)
W = {"mlp": (lambda: S([keras.Input((100,)), L.Dense(64, activation="relu"), L.Dense(64, activation="relu"), L.Dense(10, activation="softmax")]), lambda n: (R(n, 100), C(n)), 32, 100),
     "cnn": (lambda: S([keras.Input((28, 28, 1)), L.Conv2D(32, 3, activation="relu"), L.MaxPooling2D(), L.Flatten(), L.Dense(64, activation="relu"), L.Dense(10, activation="softmax")]), lambda n: (R(n, 28, 28, 1), C(n)), 32, 40),
     "lstm": (lambda: rnn(L.LSTM), lambda n: (R(n, 50, 16), R(n, 1)), 32, 20), "gru": (lambda: rnn(L.GRU), lambda n: (R(n, 50, 16), R(n, 1)), 32, 20),
     "resnet20": (resnet20, lambda n: (R(n, 32, 32, 3), C(n)), 64, 4), "gpt": (gpt, lambda n: (r.integers(0, 65, (n, 64)), r.integers(0, 65, (n, 64))), 12, 10),
     "vgg": (vgg, lambda n: (R(n, 32, 32, 3), C(n)), 32, 3)}
for name, (mk, data, bs, steps) in W.items():
    if names and name not in names: continue
    m = mk(); x, y = data(bs * steps)
    m.compile("adam", "mse" if name in ("lstm", "gru") else "sparse_categorical_crossentropy", metrics=["mae" if name in ("lstm", "gru") else "accuracy"])
    fit = lambda: m.fit(x, y, batch_size=bs, epochs=1, verbose=0)
    fit(); fit(); ts = []
    for _ in range(repeats):
        t = time.perf_counter(); fit(); ts.append((time.perf_counter() - t) / steps * 1e3)
    for _ in range(5): m.predict_on_batch(x[:1])
    ps = []
    for _ in range(30):
        t = time.perf_counter(); m.predict_on_batch(x[:1]); ps.append((time.perf_counter() - t) * 1e3)
    print(json.dumps({"peer": "keras-" + keras.backend.backend(), "workload": name, "ms_per_step": round(statistics.median(ts), 4), "min": round(min(ts), 4), "predict1_ms": round(statistics.median(ps), 4), "peak_mib": round(peak(), 1)}), flush=True)
