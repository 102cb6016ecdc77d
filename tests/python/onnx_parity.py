#!/usr/bin/env python3
"""ONNX files against onnxruntime: what gsnet imports, predicts and exports must be what the runtime computes.

usage: onnx_parity.py GSNET [SHARED]. Exit code 77 when onnx or onnxruntime is missing. Files are made here with
onnx.helper, one a family of operators and an opset, and, where PyTorch is there, by torch.onnx.export.
"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

GSNET = sys.argv[1]
SHARED = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 and sys.argv[2] else None
RANDOM = np.random.default_rng(7)
FAILED = []


def save_tensors(path, tensors):
    header, data = {}, b""
    for name, x in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [len(data), len(data) + x.nbytes]}
        data += np.ascontiguousarray(x, np.float32).tobytes()
    text = json.dumps(header).encode()
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


def load_tensor(path, name):
    raw = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    entry = json.loads(raw[8 : 8 + length])[name]
    begin, end = entry["data_offsets"]
    return np.frombuffer(raw[8 + length + begin : 8 + length + end], np.float32).reshape(entry["shape"])


def gsnet(*arguments):
    done = subprocess.run([GSNET, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"gsnet {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def predicted(folder, model, x):
    save_tensors(folder / "x.safetensors", {"input": x})
    gsnet("predict", model, "--input", folder / "x.safetensors", "--output", folder / "y.safetensors")
    return load_tensor(folder / "y.safetensors", "logits")


def run(path, x, rows=None):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = rows or len(x)
    return np.concatenate([session.run(None, {name: x[i : i + rows]})[0] for i in range(0, len(x), rows)])


def close(case, what, found, wanted, tolerance):
    """Largest difference over the largest number."""
    found, wanted = found.reshape(len(found), -1), wanted.reshape(len(wanted), -1)
    error = np.abs(found - wanted).max() / max(1e-3, np.abs(wanted).max()) if found.shape == wanted.shape else np.inf
    print(f"  {case:<44} {what:<10} {error:.1e}")
    if not error <= tolerance:
        FAILED.append(f"{case}: {what} differs by {error:.2e}, {found.shape} and {wanted.shape}")


def check_file(folder, case, path, x, rows=None, tolerance=1e-5, opset=17):
    """import -> predict; export -> onnxruntime; import again -> predict: all equal to the file in onnxruntime."""
    try:
        wanted = run(path, x, rows)
        gsnet("import", path, "--out", folder / "model")
        close(case, "imported", predicted(folder, folder / "model", x), wanted, tolerance)
        gsnet("export", folder / "model", "--onnx", folder / "again.onnx", "--opset", opset)
        onnx.checker.check_model(str(folder / "again.onnx"))
        close(case, "exported", run(folder / "again.onnx", x), wanted, tolerance)
    except Exception as error:
        FAILED.append(f"{case}: {error}")


class Net:
    """A graph under construction; every method adds one node."""

    def __init__(self, opset, shape, batch="N"):
        self.opset, self.nodes, self.constants, self.shape, self.batch = opset, [], [], shape, batch
        self.last = "x"

    def const(self, value, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def weights(self, *shape, scale=None):
        fan = int(np.prod(shape[1:])) or 1
        return self.const(RANDOM.standard_normal(shape) * (scale or fan**-0.5))

    def add(self, op, *inputs, name=None, **attributes):
        """Reads the last value unless inputs are given; they may hold None for it."""
        names = [self.last if one is None else one for one in (inputs or (None,))]
        made = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, names, [made], name=name or f"/{op}_{len(self.nodes)}", **attributes))
        self.last = made
        return made

    def axes(self, op, axes, since, **attributes):
        if self.opset < since:
            return self.add(op, axes=axes, **attributes)
        return self.add(op, None, self.const(axes, np.int64), **attributes)

    def clip(self, low, high):
        if self.opset < 11:
            return self.add("Clip", min=low, max=high)
        return self.add("Clip", None, self.const(low), self.const(high))

    def save(self, path):
        dims = [self.batch, *self.shape]
        graph = helper.make_graph(self.nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, dims)],
                                  [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8 if self.opset < 20 else 10)
        onnx.save(model, str(path))


def convolutions(net):
    net.add("Sub", None, net.const([[[0.5]], [[0.4]], [[0.3]]]))
    net.add("Mul", None, net.const(2.0))
    net.add("Div", None, net.const([[[[0.9]], [[1.1]], [[1.3]]]]))
    net.add("Conv", None, net.weights(16, 3, 3, 3), net.weights(16), kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
    net.clip(0.0, 6.0)
    net.add("Conv", None, net.weights(16, 1, 3, 5), group=16, pads=[1, 2, 1, 2])
    norm = [net.const(1 + 0.1 * RANDOM.standard_normal(16)), net.weights(16), net.weights(16), net.const(RANDOM.uniform(0.5, 2, 16))]
    before = net.add("BatchNormalization", None, *norm, epsilon=1e-3)
    net.add("PRelu", None, net.const(RANDOM.uniform(0, 0.5, (16, 1, 1))))
    net.add("Conv", None, net.weights(16, 8, 3, 3), group=2, dilations=[2, 2], pads=[2, 2, 2, 2])
    net.add("Conv", None, net.weights(16, 16, 2, 2), auto_pad="SAME_LOWER")
    net.add("Add", None, before)
    net.add("Conv", None, net.weights(8, 16, 1, 1))
    net.add("Add", None, net.const(RANDOM.standard_normal((1, 8, 1, 1))))
    net.add("Relu")
    net.add("GlobalAveragePool")
    net.add("Flatten")
    net.add("Gemm", None, net.weights(5, 8), net.weights(5), transB=1, alpha=0.5, beta=2.0)
    net.add("Dropout")
    net.add("Softmax", axis=1)


def pools(net):
    net.add("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    if net.opset >= 10:
        net.add("MaxPool", kernel_shape=[2, 3], strides=[2, 2], ceil_mode=1)
    net.add("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    net.add("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    if net.opset >= 19:
        net.add("AveragePool", kernel_shape=[2, 2], strides=[1, 1], ceil_mode=1, pads=[0, 1, 0, 0])
    sides = [0, 0, 1, 0, 0, 0, 2, 1]
    if net.opset < 11:
        net.add("Pad", pads=sides, mode="constant", value=0.25)
    else:
        net.add("Pad", None, net.const(sides, np.int64), net.const(0.25))
    net.add("LpPool", kernel_shape=[2, 2], strides=[2, 2], p=2)
    net.axes("ReduceMean", [2, 3] if net.opset < 11 else [-2, -1], 18, keepdims=0)
    net.add("MatMul", None, net.weights(3, 4))
    net.add("Add", None, net.weights(4))


def activations(net):
    net.add("LeakyRelu", alpha=0.2)
    net.add("Sigmoid")
    first = net.add("Conv", None, net.weights(6, 3, 3, 3), net.weights(6), pads=[1, 1, 1, 1])
    net.add("Tanh")
    net.add("Sub", None, first)
    net.add("HardSigmoid", alpha=1 / 6, beta=0.5)
    net.add("Mul", first, None)
    if net.opset >= 14:
        net.add("HardSwish")
    net.add("HardSigmoid")
    net.add("Sub", net.const(1.0), None)
    gate = net.add("Sigmoid", net.add("GlobalAveragePool"))
    net.add("Mul", gate, first)
    net.add("Identity")
    net.add("Concat", None, first, axis=1)
    net.add("GlobalMaxPool")
    net.axes("Squeeze", [2, 3], 13)
    net.axes("Unsqueeze", [2, 3], 13)
    net.add("Reshape", None, net.const([0, -1], np.int64))
    net.add("Gemm", None, net.weights(12, 4), *([] if net.opset >= 11 else [net.weights(4)]))


def shapes(net):
    """The chains of older exporters: x.view(x.size(0), -1), fixed batches, transposes."""
    net.add("Transpose", perm=[0, 2, 3, 1])
    net.add("Transpose", perm=[0, 3, 1, 2])
    value = net.add("Conv", None, net.weights(4, 3, 3, 3))
    net.add("Shape")
    net.add("Gather", None, net.const(0, np.int64), axis=0)
    count = net.axes("Unsqueeze", [0], 13)
    net.add("Concat", count, net.const([-1], np.int64), axis=0)
    net.add("Reshape", value, None)
    flat = net.last
    net.add("Reshape", flat, net.const([-1, 4, 14 * 14], np.int64))
    net.add("Transpose", perm=[0, 2, 1])
    net.add("Flatten", axis=1)
    net.add("Gemm", None, net.weights(784, 6), net.const([0.5]))


def fixed_batch(net):
    net.add("Conv", None, net.weights(4, 3, 3, 3), strides=[3, 3])
    net.add("Relu")
    net.add("Reshape", None, net.const([1, -1], np.int64))
    net.add("Gemm", None, net.weights(7, 100), net.weights(7), transB=1)


def made_here(folder):
    for opset in (7, 10, 11, 13, 17, 18, 21):
        for build in (convolutions, pools, activations, shapes, fixed_batch):
            net = Net(opset, (3, 16, 16), 1 if build is fixed_batch else "N")
            build(net)
            net.save(folder / "net.onnx")
            x = RANDOM.standard_normal((4, 3, 16, 16)).astype(np.float32)
            check_file(folder, f"{build.__name__}, opset {opset}", folder / "net.onnx", x,
                       1 if build is fixed_batch else None, opset=max(13, opset))


def half_and_beside(folder):
    """f16 weights, and weights in a file beside."""
    net = Net(13, (3, 16, 16))
    half = net.add("Cast", net.const(RANDOM.standard_normal((4, 3, 3, 3)) * 0.2, np.float16), to=TensorProto.FLOAT)
    net.add("Conv", "x", half)
    net.add("Conv", None, net.weights(4, 4, 3, 3))
    net.save(folder / "plain.onnx")
    model = onnx.load(str(folder / "plain.onnx"))
    onnx.save(model, str(folder / "beside.onnx"), save_as_external_data=True, location="beside.bin", size_threshold=0)
    x = RANDOM.standard_normal((2, 3, 16, 16)).astype(np.float32)
    check_file(folder, "f16 and external data", folder / "beside.onnx", x)


def by_torch(folder):
    try:
        import torch
    except ImportError:
        print("  PyTorch is missing: no files of its exporter")
        return

    class Residual(torch.nn.Module):
        def __init__(self, n):
            super().__init__()
            self.conv1 = torch.nn.Conv2d(n, n, 3, padding=1, bias=False)
            self.bn1 = torch.nn.BatchNorm2d(n)
            self.act = torch.nn.PReLU(n)
            self.conv2 = torch.nn.Conv2d(n, n, 3, padding=1, groups=n, bias=False)
            self.bn2 = torch.nn.BatchNorm2d(n)

        def forward(self, x):
            return x + self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))

    class Small(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3, 2, 1), torch.nn.BatchNorm2d(16), torch.nn.ReLU6())
            self.layer1 = torch.nn.Sequential(Residual(16), Residual(16))
            self.pool = torch.nn.AvgPool2d(2)
            self.fc = torch.nn.Linear(16 * 16, 10)
            self.features = torch.nn.BatchNorm1d(10)

        def forward(self, x):
            y = self.pool(self.layer1(self.stem(x)))
            return self.features(self.fc(y.view(y.size(0), -1)))

    torch.manual_seed(3)
    net = Small()
    net.train()
    for _ in range(3):
        net(torch.randn(8, 3, 16, 16))
    net.eval()
    x = RANDOM.standard_normal((4, 3, 16, 16)).astype(np.float32)
    for dynamo in (False, True):
        for opset in (11, 13, 17, 18) if not dynamo else (18, 20):
            path = folder / f"torch_{dynamo}_{opset}.onnx"
            try:
                settings = {"dynamic_axes": {"x": {0: "N"}}} if not dynamo else {}
                for fold in ((True,) if dynamo else (True, False)):
                    extra = {} if dynamo else {"do_constant_folding": fold, "training": torch.onnx.TrainingMode.EVAL if fold else torch.onnx.TrainingMode.PRESERVE}
                    torch.onnx.export(net, (torch.from_numpy(x[:1]),), str(path), opset_version=opset, input_names=["x"],
                                      dynamo=dynamo, **settings, **extra)
                    check_file(folder, f"torch, dynamo {dynamo}, opset {opset}, folded {fold}", path, x, 1 if dynamo else None)
            except Exception as error:  # an exporter that this PyTorch no longer has
                print(f"  torch, dynamo {dynamo}, opset {opset}: not exported ({type(error).__name__}: {str(error)[:90]})")


RECIPE = """
[data]
glyphs = 100
validation = 16
[model]
width = 8
%s
[run]
epochs = 1
batch = 16
"""
ORTHOGONAL = {
    "gs (4,-)": 'groups = 4',
    "gs (4,1)": 'groups = 4\ngroups2 = 1',
    "gs (4,2), householder": 'groups = 4\ngroups2 = 2\nactivation = "householder"',
    "lpr, min first": 'groups = 2\nvariant = "lpr"\norder = "min_first"',
    "soc": 'variant = "soc"\nactivation = "maxmin_halves"',
    "taylor, orthogonal head": 'groups = 2\ndepth = 10\neval_series = "taylor"\neval_degree = 12\nhead = "orthogonal"',
}


def orthogonal(folder):
    for case, settings in ORTHOGONAL.items():
        try:
            (folder / "recipe.toml").write_text(RECIPE % settings)
            gsnet("train", folder / "recipe.toml", "--out", folder / case)
            check_export(folder, f"LipConvNet {case}", folder / case / "model.safetensors")
        except Exception as error:
            FAILED.append(f"{case}: {error}")


def check_export(folder, case, model, tolerance=1e-5):
    x = RANDOM.standard_normal((4, 3, 32, 32)).astype(np.float32)
    wanted = predicted(folder, model, x)
    for opset in (13, 17, 18, 21):
        gsnet("export", model, "--onnx", folder / "out.onnx", "--opset", opset)
        onnx.checker.check_model(str(folder / "out.onnx"))
        close(f"{case}, opset {opset}", "exported", run(folder / "out.onnx", x), wanted, tolerance)


def pixels(folder):
    """A file that normalises by itself."""
    net = Net(13, (3, 16, 16))
    net.add("Conv", None, net.weights(4, 3, 3, 3))
    net.save(folder / "net.onnx")
    gsnet("import", folder / "net.onnx", "--out", folder / "model", "--mean", "0.5,0.4,0.3", "--stddev", "0.2,0.25,0.3")
    gsnet("export", folder / "model", "--onnx", folder / "pixels.onnx", "--pixels")
    x = RANDOM.integers(0, 256, (2, 3, 16, 16)).astype(np.float32)
    mean, deviation = np.array([0.5, 0.4, 0.3]).reshape(3, 1, 1), np.array([0.2, 0.25, 0.3]).reshape(3, 1, 1)
    wanted = run(folder / "net.onnx", ((x / 255 - mean) / deviation).astype(np.float32))
    close("pixels", "exported", run(folder / "pixels.onnx", x), wanted, 1e-5)


def real_files(folder):
    if SHARED is None or not SHARED.is_dir():
        print("  the shared folder with real data is missing: no published networks")
        return
    face = SHARED / "data/weights/MobileFaceNet.onnx"
    if face.exists():
        x = RANDOM.standard_normal((4, 3, 112, 112)).astype(np.float32)
        check_file(folder, "MobileFaceNet", face, x, 1)
    for path in sorted((SHARED / "golden").glob("official_net_*.safetensors")):
        gsnet("import", path, "--out", folder / "official")
        check_export(folder, path.stem, folder / "official")


def main():
    onnxruntime.set_default_logger_severity(3)
    for part in (made_here, half_and_beside, by_torch, pixels, orthogonal, real_files):
        print(part.__name__)
        with tempfile.TemporaryDirectory() as name:
            part(pathlib.Path(name))
    print("\n".join(FAILED) if FAILED else "all equal")
    return 1 if FAILED else 0


if __name__ == "__main__":
    sys.exit(main())
