"""Makes the files of tests/data with the reference implementations: h5py, NumPy, safetensors.

Usage: make.py FOLDER (needs numpy, h5py, ml_dtypes, safetensors)
"""
import sys

import h5py
import ml_dtypes
import numpy as np
import safetensors.numpy

folder = sys.argv[1]
DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
          "float16", "float32", "float64"]


def values(dtype, shape=(3, 4)):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def fill_h5(f):
    for dtype in DTYPES:
        f[f"types/{dtype}"] = values(dtype)
    f["types/big"] = values(">f4")
    f["types/empty"] = np.zeros((0, 3), "float32")
    f["types/scalar"] = np.float32(1.5)
    bf16 = f.create_dataset("types/bfloat16", data=values(ml_dtypes.bfloat16).view("V2"))
    bf16.attrs["dtype"] = "bfloat16"
    for name, options in {"plain": {}, "gzip": dict(compression="gzip"),
                          "filters": dict(compression="gzip", shuffle=True, fletcher32=True),
                          "growing": dict(maxshape=(None, 20)), "growing2": dict(maxshape=(None, None))}.items():
        f.create_dataset(f"chunked/{name}", data=values("float32", (20, 20)), chunks=(8, 8), **options)
    f.create_dataset("unwritten", shape=(10, 10), dtype="float32", fillvalue=2.5)
    for i in range(40):
        f[f"many/{i}"] = np.int32(i)
    f.create_group("nothing")
    f.attrs["text"] = "ü"
    f.attrs["fixed"] = np.bytes_("fixed")
    f.attrs["texts"] = ["a", "", "ccc"]
    f.attrs["fixed_texts"] = np.array([b"a", b"bb"])
    f.attrs["number"] = np.float64(0.5)
    f.attrs["numbers"] = values(">i8")
    f.attrs["none"] = np.zeros((0,))
    f.attrs["flag"] = True
    f.attrs["long"] = "x" * 7000
    f["types"].attrs["reference"] = f["types/big"].ref


for libver in ["earliest", "latest"]:
    with h5py.File(f"{folder}/{libver}.h5", "w", libver=libver) as f:
        fill_h5(f)
    # Links are made in files of their own: they are to be refused.
    for kind, link in [("soft", h5py.SoftLink("/a")), ("dangling", h5py.SoftLink("/b")),
                       ("external", h5py.ExternalLink("other.h5", "/a"))]:
        for n in [0, 10]:
            with h5py.File(f"{folder}/links/{kind}_{n}_{libver}.h5", "w", libver=libver) as f:
                for i in range(n):
                    f[f"g/{i}"] = np.int8(i)
                f["a"] = np.int8(1)
                f.require_group("g")["link"] = link
    with h5py.File(f"{folder}/links/hard_{libver}.h5", "w", libver=libver) as f:
        f["a/b"] = np.int8(1)
        f["c"] = f["a/b"]
    with h5py.File(f"{folder}/links/cycle_{libver}.h5", "w", libver=libver) as f:
        f.create_group("a/b")
        f["a/b/c"] = f["a"]
with h5py.File(f"{folder}/links/external_data.h5", "w") as f:
    f.create_dataset("a", shape=(4,), dtype="float32", external=[("/etc/passwd", 0, 16)])
with h5py.File(f"{folder}/links/virtual.h5", "w", libver="latest") as f:
    layout = h5py.VirtualLayout(shape=(4,), dtype="float32")
    layout[:] = h5py.VirtualSource("other.h5", "a", shape=(4,))
    f.create_virtual_dataset("a", layout)

arrays = {dtype: values(dtype) for dtype in DTYPES}
arrays |= {f"big_{d}": values(d).astype(np.dtype(d).newbyteorder(">")) for d in DTYPES}
arrays |= {f"columns_{d}": np.asfortranarray(values(d)) for d in DTYPES}
arrays |= {"columns3": np.asfortranarray(values("int32", (2, 3, 4))), "scalar": np.float32(1.5),
           "empty": np.zeros((0, 3)), "bfloat16": values(ml_dtypes.bfloat16)}
np.savez(f"{folder}/numpy.npz", **arrays)
np.savez_compressed(f"{folder}/numpy_deflated.npz", **arrays)
np.savez(f"{folder}/pickle.npz", a=np.array([{}], dtype=object))

tensors = {dtype: values(dtype) for dtype in DTYPES} | {
    "bfloat16": values(ml_dtypes.bfloat16), "scalar": np.array(1.5, "float32"), "empty": np.zeros((0, 3), "float32")}
safetensors.numpy.save_file(tensors, f"{folder}/python.safetensors", metadata={"made by": "Python"})
