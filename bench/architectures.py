"""Which public model architectures are scored in batches: small versions of them, exported as users export them.

    python -m bench.architectures [--only ResNet] [--keep]

Each network takes a table, as the runtimes serve it: its columns are the pixels, steps, tokens or fields of one
example. It is exported to ONNX, traced to TorchScript and exported by ``torch.export``, with random weights. ``yes``:
requests are scored together; ``no table``: PyTorch's runtime finds no width of the table in the weights, and answers
requests one by one. Classical models are converted by skl2onnx and onnxmltools, where these are installed
(``pip install skl2onnx onnxmltools``). Answers of batches are compared with those of single rows as well.
"""

import argparse
import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import tables
from tidegate.domain.errors import ArtifactError
from tidegate.serving.runtimes import onnx as onnx_runtime
from tidegate.serving.runtimes import pytorch

Forward = Callable[[Tensor], Tensor]
COUNT = 50
"""Codes of an embedding."""


class Net(nn.Module):  # type: ignore[misc]
    """A network made of parts, and a function of them and the table."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **parts: Any) -> None:
        super().__init__()
        self.compute = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, rows: Tensor) -> Tensor:
        return self.compute(self, rows)


def conv(inside: int, out: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    padding = size // 2
    return nn.Sequential(
        nn.Conv2d(inside, out, size, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(out), nn.ReLU()
    )


def image(*layers: nn.Module, side: int = 16) -> nn.Module:
    """A classifier of images of three channels."""
    return nn.Sequential(nn.Unflatten(1, (3, side, side)), *layers)


def head(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5)]


def residual(*layers: nn.Module) -> nn.Module:
    return Net(lambda net, x: x + net.body(x), body=nn.Sequential(*layers))


def parallel(*branches: nn.Module) -> nn.Module:
    return Net(
        lambda net, x: torch.cat([branch(x) for branch in net.branches], 1), branches=nn.ModuleList(branches)
    )


def squeeze_excite(width: int) -> nn.Module:
    gate = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(width, 2, 1), nn.SiLU(), nn.Conv2d(2, width, 1), nn.Sigmoid()
    )
    return Net(lambda net, x: x * net.gate(x), gate=gate)


def inverted(width: int, *more: nn.Module) -> nn.Module:
    wide = 2 * width
    return residual(conv(width, wide, 1), conv(wide, wide, 3, groups=wide), *more, nn.Conv2d(wide, width, 1))


def shuffle(net: Any, x: Tensor) -> Tensor:
    found = torch.cat([net.left(x), net.right(x)], 1)
    _, width, high, wide = found.shape
    return found.view(-1, 2, width // 2, high, wide).transpose(1, 2).reshape(-1, width, high, wide)


def unet(net: Any, x: Tensor) -> Tensor:
    x = x.view(-1, 3, 16, 16)
    upper = net.down(x)
    lower = functional.interpolate(net.lower(functional.max_pool2d(upper, 2)), scale_factor=2.0, mode="nearest")
    return net.out(torch.cat([upper, lower], 1)).mean((2, 3))


class ConvNext(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int) -> None:
        super().__init__()
        self.depth, self.norm = nn.Conv2d(width, width, 7, padding=3, groups=width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm(self.depth(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.down(functional.gelu(self.up(inner)))).permute(0, 3, 1, 2)


class Attention(nn.Module):  # type: ignore[misc]
    """As in timm and transformers: heads by a reshape of (rows, steps, width)."""

    def __init__(self, width: int, heads: int = 2, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        rows, steps, width = x.shape
        q, k, v = (
            self.qkv(x).reshape(rows, steps, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        )
        scores = q @ k.transpose(-2, -1) / (width // self.heads) ** 0.5
        if self.causal:
            scores = scores.masked_fill(torch.ones(steps, steps).triu(1).bool(), -1e9)
        if mask is not None:
            scores = scores + (1.0 - mask[:, None, None, :]) * -1e9
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(rows, steps, width))


class Block(nn.Module):  # type: ignore[misc]
    def __init__(self, width: int, causal: bool = False) -> None:
        super().__init__()
        self.attend = Attention(width, causal=causal)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        x = x + self.attend(self.first(x), mask)
        return x + self.mlp(self.second(x))


def vit(net: Any, x: Tensor) -> Tensor:
    patches = net.patch(x.view(-1, 3, 16, 16)).flatten(2).transpose(1, 2)
    x = torch.cat([net.token.expand(patches.shape[0], -1, -1), patches], 1) + net.place
    return net.head(net.blocks(x)[:, 0])


def swin(net: Any, x: Tensor) -> Tensor:
    """Windows of 4 x 4 that are shifted, as in torchvision."""
    x = net.patch(x.view(-1, 3, 16, 16)).permute(0, 2, 3, 1)
    for block in net.blocks:
        x = torch.roll(x, (-2, -2), (1, 2))
        rows, high, wide, width = x.shape
        windows = x.view(rows, high // 4, 4, wide // 4, 4, width).permute(0, 1, 3, 2, 4, 5)
        found = block(windows.reshape(rows * (high // 4) * (wide // 4), 16, width))
        found = found.view(rows, high // 4, wide // 4, 4, 4, width).permute(0, 1, 3, 2, 4, 5)
        x = torch.roll(found.reshape(rows, high, wide, width), (2, 2), (1, 2))
    return net.head(x.mean((1, 2)))


def mixer(net: Any, x: Tensor) -> Tensor:
    x = net.patch(x.view(-1, 3, 16, 16)).flatten(2).transpose(1, 2)
    x = x + net.tokens(net.first(x).transpose(1, 2)).transpose(1, 2)
    return net.head((x + net.channels(net.second(x))).mean(1))


def recurrent(kind: Any, **options: Any) -> nn.Module:
    layer = kind(4, 8, batch_first=True, **options)
    width = 16 if options.get("bidirectional") else 8
    return Net(
        lambda net, x: net.head(net.layer(x.view(-1, 6, 4))[0][:, -1]), layer=layer, head=nn.Linear(width, 2)
    )


def crnn(net: Any, x: Tensor) -> Tensor:
    """Convolutions, then steps along the width."""
    found = net.conv(x.view(-1, 3, 16, 16)).mean(2).permute(0, 2, 1)
    return net.head(net.layer(found)[0]).flatten(1)


def codes(x: Tensor) -> Tensor:
    return x.abs().long().clamp(0, COUNT - 1)


def bert(net: Any, x: Tensor) -> Tensor:
    tokens = codes(x)
    mask = (tokens != 0).float()
    found = net.embed(tokens) + net.place(torch.arange(tokens.shape[1]).unsqueeze(0))
    for block in net.blocks:
        found = block(found, mask)
    return torch.tanh(net.pool(found[:, 0]))


def gpt(net: Any, x: Tensor) -> Tensor:
    found = net.embed(codes(x)) + net.place.weight
    for block in net.blocks:
        found = block(found)
    return net.norm(found)[:, -1] @ net.embed.weight.T


def fields(net: Any, x: Tensor) -> Tensor:
    """An embedding for each of four columns: (rows, 4, 8)."""
    return torch.stack([table(codes(x[:, at])) for at, table in enumerate(net.embeds)], 1)


def embeddings(width: int = 8) -> nn.ModuleList:
    return nn.ModuleList(nn.Embedding(COUNT, width) for _ in range(4))


def dlrm(net: Any, x: Tensor) -> Tensor:
    """Four categories and four numbers; pairs by products of each row's vectors."""
    dense = net.bottom(x[:, 4:])
    vectors = torch.cat([dense.unsqueeze(1), fields(net, x)], 1)
    pairs = torch.bmm(vectors, vectors.transpose(1, 2))
    left, right = torch.tril_indices(5, 5, -1)
    return torch.sigmoid(net.top(torch.cat([dense, pairs[:, left, right]], 1)))


def factorization(net: Any, x: Tensor) -> Tensor:
    vectors = fields(net, x)
    pairs = 0.5 * (vectors.sum(1) ** 2 - (vectors**2).sum(1)).sum(1, keepdim=True)
    return torch.sigmoid(pairs + net.deep(vectors.flatten(1)))


def two_towers(net: Any, x: Tensor) -> Tensor:
    user, item = net.user(codes(x[:, 0])), net.item(codes(x[:, 1]))
    return torch.sigmoid(net.top(torch.cat([user, item], 1)) + (user * item).sum(1, keepdim=True))


def tabnet(net: Any, x: Tensor) -> Tensor:
    """Masks of columns, one after the other."""
    x, total, prior = net.norm(x), torch.zeros(1), torch.ones(1)
    state = x
    for mask, step in zip(net.masks, net.steps, strict=True):
        chosen = torch.softmax(mask(state) * prior, -1)
        prior, state = prior * (1.3 - chosen), step(chosen * x)
        total = total + functional.relu(state)
    return net.head(total)


def ft_transformer(net: Any, x: Tensor) -> Tensor:
    tokens = x.unsqueeze(-1) * net.weight + net.bias
    tokens = torch.cat([net.token.expand(x.shape[0], -1, -1), tokens], 1)
    return net.head(net.blocks(tokens)[:, 0])


def siamese(net: Any, x: Tensor) -> Tensor:
    left, right = net.body(x[:, :8]), net.body(x[:, 8:])
    return torch.cat([functional.cosine_similarity(left, right).unsqueeze(1), (left - right).abs()], 1)


def mlp(inside: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inside, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, out))


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * 0.1)


IMAGE = 3 * 16 * 16
NETWORKS: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "MLP": (
        8,
        lambda: nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(1)),
    ),
    "LeNet": (
        IMAGE,
        lambda: image(nn.Conv2d(3, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(216, 5)),
    ),
    "VGG": (
        IMAGE,
        lambda: image(
            conv(3, 8),
            conv(8, 8),
            nn.MaxPool2d(2),
            conv(8, 16),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            mlp(256, 5),
        ),
    ),
    "ResNet": (
        IMAGE,
        lambda: image(
            conv(3, 8, 7, 2),
            nn.MaxPool2d(3, 2, 1),
            residual(conv(8, 8), nn.Conv2d(8, 8, 3, 1, 1)),
            nn.ReLU(),
            *head(8),
        ),
    ),
    "MobileNetV2": (
        IMAGE,
        lambda: image(conv(3, 8, stride=2), inverted(8), inverted(8), nn.Hardswish(), *head(8)),
    ),
    "EfficientNet": (
        IMAGE,
        lambda: image(conv(3, 8, stride=2), inverted(8, squeeze_excite(16)), nn.SiLU(), *head(8)),
    ),
    "DenseNet": (
        IMAGE,
        lambda: image(
            conv(3, 8),
            parallel(nn.Identity(), conv(8, 4)),
            parallel(nn.Identity(), conv(12, 4)),
            nn.AvgPool2d(2),
            *head(16),
        ),
    ),
    "Inception": (
        IMAGE,
        lambda: image(
            parallel(
                conv(3, 4, 1), conv(3, 4), conv(3, 4, 5), nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(3, 4, 1))
            ),
            *head(16),
        ),
    ),
    "ShuffleNet": (IMAGE, lambda: image(Net(shuffle, left=conv(3, 4), right=conv(3, 4, 1)), *head(8))),
    "U-Net": (IMAGE, lambda: Net(unet, down=conv(3, 8), lower=conv(8, 8), out=nn.Conv2d(16, 2, 1))),
    "ConvNeXt": (IMAGE, lambda: image(nn.Conv2d(3, 8, 4, 4), ConvNext(8), ConvNext(8), *head(8))),
    "ViT": (
        IMAGE,
        lambda: Net(
            vit,
            patch=nn.Conv2d(3, 8, 4, 4),
            token=parameter(1, 1, 8),
            place=parameter(1, 17, 8),
            blocks=nn.Sequential(Block(8), Block(8)),
            head=nn.Linear(8, 5),
        ),
    ),
    "Swin": (
        IMAGE,
        lambda: Net(
            swin, patch=nn.Conv2d(3, 8, 2, 2), blocks=nn.ModuleList([Block(8), Block(8)]), head=nn.Linear(8, 5)
        ),
    ),
    "MLP-Mixer": (
        IMAGE,
        lambda: Net(
            mixer,
            patch=nn.Conv2d(3, 8, 4, 4),
            first=nn.LayerNorm(8),
            second=nn.LayerNorm(8),
            tokens=mlp(16, 16),
            channels=mlp(8, 8),
            head=nn.Linear(8, 5),
        ),
    ),
    "LSTM": (24, lambda: recurrent(nn.LSTM, num_layers=2)),
    "GRU": (24, lambda: recurrent(nn.GRU)),
    "BiLSTM": (24, lambda: recurrent(nn.LSTM, bidirectional=True)),
    "TCN": (
        24,
        lambda: nn.Sequential(
            nn.Unflatten(1, (4, 6)),
            nn.ConstantPad1d((2, 0), 0.0),
            nn.Conv1d(4, 8, 3),
            nn.ReLU(),
            nn.Conv1d(8, 8, 3, dilation=2, padding=2),
            nn.Flatten(),
            nn.Linear(48, 2),
        ),
    ),
    "Transformer encoder": (
        24,
        lambda: Net(
            lambda net, x: net.layers(x.view(-1, 6, 4)).mean(1),
            layers=nn.TransformerEncoder(
                nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2, enable_nested_tensor=False
            ),
        ),
    ),
    "BERT": (
        12,
        lambda: Net(
            bert,
            embed=nn.Embedding(COUNT, 8),
            place=nn.Embedding(12, 8),
            blocks=nn.ModuleList([Block(8), Block(8)]),
            pool=nn.Linear(8, 8),
        ),
    ),
    "GPT": (
        12,
        lambda: Net(
            gpt,
            embed=nn.Embedding(COUNT, 8),
            place=nn.Embedding(12, 8),
            blocks=nn.ModuleList([Block(8, True), Block(8, True)]),
            norm=nn.LayerNorm(8),
        ),
    ),
    "Autoencoder": (16, lambda: nn.Sequential(mlp(16, 4), mlp(4, 16))),
    "VAE (mean)": (
        IMAGE,
        lambda: image(
            nn.Conv2d(3, 8, 3, 2, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 3, 4, 2, 1),
            nn.Sigmoid(),
            nn.Flatten(),
            nn.Linear(IMAGE, 5),
        ),
    ),
    "DLRM": (8, lambda: Net(dlrm, embeds=embeddings(), bottom=mlp(4, 8), top=mlp(18, 1))),
    "Wide & Deep": (
        8,
        lambda: Net(
            lambda net, x: torch.sigmoid(
                net.wide(x) + net.deep(torch.cat([x[:, 4:], fields(net, x).flatten(1)], 1))
            ),
            embeds=embeddings(),
            wide=nn.Linear(8, 1),
            deep=mlp(36, 1),
        ),
    ),
    "DeepFM": (4, lambda: Net(factorization, embeds=embeddings(), deep=mlp(32, 1))),
    "NCF": (2, lambda: Net(two_towers, user=nn.Embedding(COUNT, 8), item=nn.Embedding(COUNT, 8), top=mlp(16, 1))),
    "TabNet": (
        8,
        lambda: Net(
            tabnet,
            norm=nn.BatchNorm1d(8),
            masks=nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]),
            steps=nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)]),
            head=nn.Linear(8, 2),
        ),
    ),
    "FT-Transformer": (
        8,
        lambda: Net(
            ft_transformer,
            weight=parameter(8, 8),
            bias=parameter(8, 8),
            token=parameter(1, 1, 8),
            blocks=nn.Sequential(Block(8), Block(8)),
            head=nn.Linear(8, 2),
        ),
    ),
    "Siamese network": (16, lambda: Net(siamese, body=mlp(8, 8))),
    "CRNN": (
        IMAGE,
        lambda: Net(
            crnn, conv=conv(3, 8), layer=nn.GRU(8, 4, batch_first=True, bidirectional=True), head=nn.Linear(8, 3)
        ),
    ),
}
"""Name -> columns, and a maker."""


def save_onnx(name: str, path: Path) -> None:
    width, make = NETWORKS[name]
    torch.manual_seed(1)
    axes = {"rows": {0: "n"}, "out": {0: "n"}}
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            make().eval(),
            (torch.randn(3, width),),
            str(path),
            dynamo=False,
            input_names=["rows"],
            output_names=["out"],
            dynamic_axes=axes,
            opset_version=17,
        )


def save_networks(name: str, folder: Path) -> dict[str, Path]:
    """The network in each form, with the same weights."""
    width, make = NETWORKS[name]
    paths = {form: folder / form.partition(" ")[0] / file for form, file in _FILES.items()}
    for path in paths.values():
        path.parent.mkdir(exist_ok=True)
    save_onnx(name, paths["ONNX"])
    torch.manual_seed(1)
    model, example = make().eval(), torch.randn(3, width)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(model, example, check_trace=False).save(str(paths["TorchScript"]))
        rows = ({0: torch.export.Dim("rows", max=4096)},)
        torch.export.save(torch.export.export(model, (example,), dynamic_shapes=rows), str(paths["torch.export"]))
    return paths


_FILES = {"ONNX": "model.onnx", "TorchScript": "model.pt", "torch.export": "model.pt2"}


def classical() -> dict[str, Callable[[Any, Any], Any]]:
    """Makers of classical models as ONNX, from rows and whole targets; empty if the converters are not installed."""
    try:
        import lightgbm  # noqa: PLC0415
        import onnxmltools  # noqa: PLC0415
        import skl2onnx  # noqa: PLC0415
        import xgboost  # noqa: PLC0415
        from onnxmltools.convert.common.data_types import FloatTensorType as Floats  # noqa: PLC0415
    except ImportError:
        return {}
    from sklearn import compose, ensemble, linear_model, neighbors, neural_network, pipeline, preprocessing, svm  # noqa: PLC0415

    kind = skl2onnx.common.data_types.FloatTensorType([None, 6])

    def by_skl(model: Any) -> Callable[[Any, Any], Any]:
        return lambda x, y: skl2onnx.convert_sklearn(
            model.fit(x, y), initial_types=[("rows", kind)], target_opset=17
        )

    columns = compose.ColumnTransformer(
        [
            ("codes", preprocessing.OneHotEncoder(handle_unknown="ignore"), [0]),
            ("numbers", preprocessing.StandardScaler(), [1, 2]),
        ]
    )
    entry = [("rows", Floats([None, 6]))]
    return {
        "Logistic regression": by_skl(linear_model.LogisticRegression()),
        "Random forest": by_skl(ensemble.RandomForestClassifier(5)),
        "Gradient boosting": by_skl(ensemble.GradientBoostingRegressor(n_estimators=5)),
        "Pipeline, one-hot": by_skl(pipeline.make_pipeline(columns, linear_model.Ridge())),
        "SVM": by_skl(svm.SVC(probability=True)),
        "MLPClassifier": by_skl(neural_network.MLPClassifier((8,), max_iter=20)),
        "Nearest neighbours": by_skl(neighbors.KNeighborsClassifier()),
        "XGBoost": lambda x, y: onnxmltools.convert_xgboost(
            xgboost.XGBClassifier(n_estimators=5).fit(x, y), initial_types=entry
        ),
        "LightGBM": lambda x, y: onnxmltools.convert_lightgbm(
            lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(x, y), initial_types=entry
        ),
    }


def load(path: Path, width: int) -> tuple[str, str]:
    """Whether its requests are scored together, and the reason if not."""
    runtime = onnx_runtime if path.suffix == ".onnx" else pytorch
    log = io.StringIO()
    try:
        with contextlib.redirect_stdout(log):
            model: Any = runtime.load(path.parent, {"TIDEGATE_TRUST": "pickle"})
    except ArtifactError as error:
        return "refused", error.message
    if not hasattr(model, "batches"):
        return "no table", ""
    if not model.batches:
        return "no", log.getvalue().strip().splitlines()[-1]
    _compare(model, width)
    return "yes", ""


def _compare(model: Any, width: int) -> None:
    """Raises AssertionError if rows are answered differently alone and together."""
    rows = np.random.default_rng(2).normal(size=(9, width)).astype(np.float32) * 5
    single = [model.run(rows[[at]]) for at in range(len(rows))]
    np.testing.assert_allclose(np.concatenate(single), model.run(rows), rtol=1e-4, atol=1e-5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="an architecture's name")
    parser.add_argument("--keep", action="store_true", help="write the table to bench/results.md")
    given = parser.parse_args()
    lines: list[list[str]] = []
    reasons = []
    for name in NETWORKS if not given.only else [given.only]:
        with tempfile.TemporaryDirectory() as folder:
            found = {
                form: load(path, NETWORKS[name][0]) for form, path in save_networks(name, Path(folder)).items()
            }
        lines.append([name, *(batched for batched, _ in found.values())])
        reasons += [f"{name}, {form}: {why}" for form, (_, why) in found.items() if why]
    random = np.random.default_rng(3)
    rows = random.integers(0, 4, (80, 6)).astype(np.float32)
    targets = (rows.sum(1) > 8).astype(int)
    for name, convert in classical().items() if not given.only else ():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            path.write_bytes(convert(rows, targets).SerializeToString())
            batched, why = load(path, rows.shape[1])
        lines.append([name, batched, "", ""])
        reasons += [f"{name}: {why}"] if why else []
    header = ["architectures", *_FILES]
    tables.show("architectures", "Architectures scored in batches", header, _group(lines), keep=given.keep)
    print("\n".join(reasons))


def _group(lines: list[list[str]]) -> list[list[str]]:
    """Architectures with the same results in one line."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, *found in lines:
        groups.setdefault(tuple(found), []).append(name)
    return [[f"{len(names)}: {', '.join(names)}", *found] for found, names in groups.items()]


if __name__ == "__main__":
    main()
