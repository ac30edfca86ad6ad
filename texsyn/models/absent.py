"""What stands in place of a network that a model was stored without."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import nn

from texsyn.core.errors import TexsynError


class Absent(nn.Module):
    """Raises TexsynError (exit 3) when it is used. name: of the network, in a user's words."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def forward(self, *_inputs: Any, **_more: Any) -> NoReturn:
        self._refuse()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what copying and PyTorch ask for
            return super().__getattr__(name)
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TexsynError(
            f"this run was packed for sampling alone, without its {self._name}: train on its exemplar to have one"
        )
