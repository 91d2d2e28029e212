"""One trial's low-rank adapters on a decoder: one flat vector, with PEFT's matrices as views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from choose.models.lora.fused.linear import PRODUCTS

if TYPE_CHECKING:
    import torch

    from choose.models.lora.fused.decoder import Decoder


ADAPTER = "default"


@dataclass(frozen=True, slots=True)
class Site:
    """One linear in every adapted layer: A (layers, rank, inputs) and B (layers, outputs, rank).

    `ranks` and `columns` are its part of the product it shares with others.
    """

    a: torch.Tensor
    b: torch.Tensor
    ranks: slice
    columns: slice
    scaling: float


@dataclass(frozen=True, slots=True)
class Pair:
    """The stacked matrices of one product in every adapted layer, or their gradients.

    `a` is (layers, ranks, inputs), with the norm before the product already in it; `b` is (layers,
    ranks, outputs), already scaled, and zero where a site has no say.
    """

    a: torch.Tensor
    b: torch.Tensor

    def empty(self) -> Pair:
        """Return room for the gradients."""
        return Pair(self.a.new_empty(self.a.shape), self.b.new_empty(self.b.shape))


class Adapters:
    """The adapters of one PEFT model, laid out for the layers of a `Decoder`, the uppermost."""

    def __init__(self, adapter: Any, decoder: Decoder) -> None:
        import torch

        self.decoder = decoder
        self._layers = list(adapter.get_base_model().layers)[-len(decoder.layers) :]
        places = _places(self._layers[0])
        matrices = [
            (getattr(layer.get_submodule(path), kind)[ADAPTER])
            for paths in places.values()
            for path in paths
            for kind in ("lora_A", "lora_B")
            for layer in self._layers
        ]
        self._owners = [matrix.weight for matrix in matrices]
        self.flat = torch.nn.Parameter(torch.cat([w.detach().flatten() for w in self._owners]))
        self._gradient = torch.zeros_like(self.flat.detach())
        self.sites = self._sites(places, self.flat.detach())
        self._gradients = self._sites(places, self._gradient)
        start = 0
        for weight in self._owners:
            weight.data = self.flat.data[start : start + weight.numel()].view(weight.shape)
            start += weight.numel()

    def _sites(
        self, places: Mapping[str, Sequence[str]], flat: torch.Tensor
    ) -> dict[str, list[Site]]:
        """Return views of a flat vector, in the order in which it was filled."""
        found: dict[str, list[Site]] = {}
        start = 0
        for name, paths in places.items():
            ranks = 0
            found[name] = []
            for path in paths:
                module = self._layers[0].get_submodule(path)
                a, start = self._view(flat, start, module.lora_A[ADAPTER].weight)
                b, start = self._view(flat, start, module.lora_B[ADAPTER].weight)
                rows = slice(ranks, ranks + a.shape[1])
                columns = self.decoder.columns(name, path)
                found[name].append(Site(a, b, rows, columns, float(module.scaling[ADAPTER])))
                ranks = rows.stop
        return found

    def _view(self, flat: torch.Tensor, start: int, like: torch.Tensor) -> tuple[torch.Tensor, int]:
        end = start + len(self._layers) * like.numel()
        return flat[start:end].view(len(self._layers), *like.shape), end

    @property
    def dropout(self) -> float:
        """Return the share of inputs that training leaves out."""
        paths = _places(self._layers[0])
        module = self._layers[0].get_submodule(next(path for p in paths.values() for path in p))
        return float(getattr(module.lora_dropout[ADAPTER], "p", 0.0))

    @property
    def ranks(self) -> dict[str, int]:
        """Return the ranks of all adapters of a product together, by product."""
        return {name: sites[-1].ranks.stop for name, sites in self.sites.items()}

    def cast(self) -> dict[str, Pair]:
        """Return the matrices as they are now, in the decoder's number type."""
        import torch

        found = {}
        with torch.no_grad():
            for name, sites in self.sites.items():
                pair = self._room(name)
                norm = self.decoder.norms(name)
                for site in sites:
                    pair.a[:, site.ranks] = site.a if norm is None else site.a * norm
                    pair.b[:, site.ranks, site.columns] = site.b.mT * site.scaling
                found[name] = pair
        return found

    def _room(self, name: str) -> Pair:
        inputs, outputs = self.decoder.shape(name)
        stack = len(self._layers), self.ranks[name]
        like = self.flat.detach()[:0].to(self.decoder.dtype)
        return Pair(like.new_empty(*stack, inputs), like.new_zeros(*stack, outputs))

    def learn(self, parts: Sequence[Mapping[str, Pair]]) -> None:
        """Set the flat gradient to the sum of what parts of a batch found."""
        import torch

        self.flat.grad = self._gradient
        with torch.no_grad():
            for name, sites in self._gradients.items():
                norm = self.decoder.norms(name)
                for site in sites:
                    site.a.copy_(_sum(part[name].a[:, site.ranks] for part in parts))
                    site.b.copy_(
                        _sum(part[name].b[:, site.ranks, site.columns] for part in parts).mT
                    )
                    site.b.mul_(site.scaling)
                    if norm is not None:
                        site.a.mul_(norm)

    def release(self) -> None:
        """Give PEFT's matrices memory of their own again."""
        for weight in self._owners:
            weight.data = weight.data.clone()
            weight.grad = None


def _sum(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return the sum in float32."""
    first, *others = (part.float() for part in parts)
    for other in others:
        first = first + other
    return first


def adapted_from(adapter: Any) -> int | None:
    """Return the first layer from which the same linears are adapted in the plain way, or None."""
    places = [_places(layer) for layer in adapter.get_base_model().layers]
    config = adapter.peft_config[ADAPTER]
    first = next((i for i, paths in enumerate(places) if paths), None)
    if first is None or config.use_dora or config.lora_bias:
        return None
    return first if all(paths == places[first] for paths in places[first:]) else None


def _places(layer: Any) -> dict[str, list[str]]:
    """Return paths of a layer's adapted linears by product."""
    found = {
        name: [path for path in paths if hasattr(layer.get_submodule(path), "lora_A")]
        for name, paths in PRODUCTS.items()
    }
    return {name: paths for name, paths in found.items() if paths}
