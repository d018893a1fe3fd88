"""Content hashing of tensors, modules, dataclasses and plain values."""

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from dcvsr.runtime.versions import NETWORKS, package_versions

Plain = None | bool | int | float | str | bytes

_SEEN: WeakKeyDictionary[nn.Module, tuple[list[tuple[int, int]], str]] = WeakKeyDictionary()
"""Module -> address and version of its tensors, and their hash; only ``_weights`` writes it."""


def digest(value: Any) -> str:
    """Compute the SHA-256 of ``value``'s content.

    Types count: 1, 1.0, True and "1" have different hashes. The order of a mapping and the class of a
    sequence or mapping do not count.

    Raises:
        TypeError: if ``value`` has an unsupported type.
    """
    match value:
        case None | bool() | int() | float() | str() | bytes():
            return _sha256("plain", repr(value).encode())
        case Tensor():
            flat = value.detach().cpu().contiguous().as_strided([value.numel()], [1])
            return _sha256(f"tensor {value.dtype} {tuple(value.shape)}", flat.view(torch.uint8).numpy().data)
        case nn.Module():
            return _of_parts(value, {"weights": _weights(value), "settings": _settings(value)})
        case Mapping():
            items = sorted(digest(name) + digest(part) for name, part in value.items())
            return _sha256("mapping", "".join(items).encode())
        case Sequence():
            return _sha256("sequence", "".join(map(digest, value)).encode())
    if is_dataclass(value) and not isinstance(value, type):
        return _of_parts(value, {field.name: getattr(value, field.name) for field in fields(value)})
    raise TypeError(f"cannot hash {value!r}")


@functools.cache
def software() -> dict[str, str]:
    """Return hashes and versions of the code that results depend on, and the processor's capability."""
    root = Path(__file__).parents[1]
    sources = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.py")}
    return {
        "dcvsr": digest(sources),
        **package_versions(NETWORKS),
        "processor": torch.backends.cpu.get_cpu_capability(),
    }


def _sha256(kind: str, content: bytes | memoryview) -> str:
    found = hashlib.sha256(f"{kind}\0".encode())
    found.update(content)
    return found.hexdigest()


def _of_parts(value: object, parts: Mapping[str, object]) -> str:
    kind = type(value)
    return _sha256(f"{kind.__module__}.{kind.__qualname__}", digest(parts).encode())


def _weights(module: nn.Module) -> str:
    """Hash parameters and buffers, also unsaved ones; computed again only after they moved or changed."""
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    state = [(t.data_ptr(), 0 if t.is_inference() else t._version) for t in tensors.values()]
    before, found = _SEEN.get(module, (None, ""))
    if before != state:
        found = digest(tensors)
        _SEEN[module] = state, found
    return found


def _settings(module: nn.Module) -> dict[str, object]:
    """Return class and plain attributes of the module and its submodules, by name."""
    return {
        name: [type(part).__qualname__, {key: value for key, value in vars(part).items() if _is_plain(value)}]
        for name, part in module.named_modules()
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, Plain)
