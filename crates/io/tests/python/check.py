"""Reads what Rhyton wrote with the reference implementations and fails when anything differs.

Usage: check.py FOLDER KERAS_FILES (needs numpy, h5py, ml_dtypes, safetensors; keras when it is there)
"""
import glob
import os
import sys
import warnings
import zipfile

import h5py
import ml_dtypes
import numpy as np
import safetensors.numpy

folder, originals = sys.argv[1:]
DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
          "float16", "float32", "float64"]


def same(a, b):
    a, b = np.asarray(a), np.asarray(b)
    assert a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes(), (a, b)


def values(dtype):
    return np.arange(12).reshape(3, 4).astype(dtype)


npz = np.load(f"{folder}/own.npz")
assert zipfile.ZipFile(f"{folder}/own.npz").testzip() is None
tensors = safetensors.numpy.load_file(f"{folder}/own.safetensors")
with safetensors.safe_open(f"{folder}/own.safetensors", "numpy") as f:
    assert f.metadata() == {"made by": "Rhyton"}
h5 = h5py.File(f"{folder}/own.h5")
for dtype in DTYPES:
    for array in [npz[dtype], tensors[dtype], h5["types"][dtype][()], h5["types"].attrs[dtype]]:
        same(array, values(dtype))
bf16 = values(ml_dtypes.bfloat16)
same(npz["bfloat16"].view(ml_dtypes.bfloat16), bf16)
same(tensors["bfloat16"], bf16)
same(h5["types/bfloat16"][()].view(ml_dtypes.bfloat16), bf16)
assert h5["types/bfloat16"].attrs["dtype"] == "bfloat16"
same(h5["scalar"][()], np.float32(1.5))
assert h5["empty"].shape == (0, 3)
for n, group in h5["many"].items():
    assert len(group) == int(n)
    assert [int(group[str(i)][()]) for i in range(int(n))] == list(range(int(n)))
    assert "missing" not in group and "" not in group
assert h5.attrs["text"] == "ü" and h5.attrs["nothing"] == "" and h5.attrs["long"] == "x" * 70_000
assert list(h5.attrs["texts"]) == [f"layer_{i}" for i in range(4000)] and len(h5.attrs["none"]) == 0
h5.close()

# The HDF5 library can go on writing into the file: its inner lists are whole.
with h5py.File(f"{folder}/own.h5", "r+") as f:
    for i in range(1000):
        f[f"many/257/new_{i}"] = i
    f["types"].attrs["more"] = "text"
    f.attrs["text"] = "another"
    del f["many/600"]
with h5py.File(f"{folder}/own.h5") as f:
    assert len(f["many/257"]) == 1257 and f["types"].attrs["more"] == "text" and f["many/257/256"][()] == 256


def content(path):
    """Every object and attribute of an HDF5 file."""
    out = {}

    def visit(name, item):
        out[name] = (item[()].tobytes(), item.shape, item.dtype) if isinstance(item, h5py.Dataset) else None
        for key, value in item.attrs.items():
            out[f"{name}@{key}"] = np.asarray(value).tolist()

    with h5py.File(path) as f:
        visit("", f)
        f.visititems(visit)
    return out


for path in glob.glob(f"{originals}/*.h5"):
    old, new = content(path), content(f"{folder}/{os.path.basename(path)}")
    # The older format stores bfloat16 without saying so; Rhyton always says it.
    extra = {k: v for k, v in new.items() if k not in old}
    assert all(k.endswith("@dtype") and v == "bfloat16" for k, v in extra.items()), extra
    assert {k: v for k, v in new.items() if k in old} == old, path

try:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    warnings.simplefilter("ignore")
except ImportError:
    print("Keras is not there: its loader was not tried")
    sys.exit(0)
loaded = 0
def load(path):
    # Fresh random states are not in the older files.
    keras.utils.set_random_seed(0)
    return keras.models.load_model(path)


for path in sorted(glob.glob(f"{folder}/*.keras") + glob.glob(f"{folder}/*.h5")):
    name = os.path.basename(path)
    if ".weights." in name or name == "own.h5":
        continue
    try:
        old = load(f"{originals}/{name}")
    except Exception as e:  # Models with custom classes cannot be loaded here at all.
        print(f"{name}: Keras cannot load the original either ({type(e).__name__})")
        continue
    new = load(path)
    optimizer = lambda m: getattr(m, "optimizer", None)
    variables = lambda m: m.variables + (optimizer(m).variables if optimizer(m) else [])
    for a, b in zip(variables(old), variables(new), strict=True):
        same(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
    weights = f"{folder}/{name.rsplit('.', 1)[0]}.weights.h5"
    if os.path.exists(weights):
        old.load_weights(weights)
        loaded += 1
    loaded += 1
print(f"Keras loaded {loaded} files written by Rhyton")
