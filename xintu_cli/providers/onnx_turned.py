"""A second look at what may have to stay at home, and lies on its side.

In: a picture, and what the network said of it. Out: the categories it must be kept for that
show only when it is turned by a quarter. The network was trained on upright documents; a card
on a table lies as it lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xintu_cli.providers.manifest import ModelManifest
from xintu_cli.providers.onnx_model import OnnxModel, Prediction

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_SUSPICION = 1 / 8
"""From this part of a `keep_local` threshold on, a photo is looked at lying on either side too."""
_SURE_WHEN_TURNED = 0.5
"""… and is kept if that makes it so likely. Of documents on their side 98 % are kept instead of
82 %, as many as of upright ones; of other photos 6 % are looked at again, 0.3 % more are kept."""


def kept_when_turned(picture: Picture, model: OnnxModel, seen: Prediction) -> tuple[str, ...]:
    """Look again where there is a suspicion; blocks. Raises `ModelFileError` as `predict` does.

    Only the manifest's own categories: a head's thresholds were chosen for what it said.
    """
    from PIL import Image

    thresholds = model.manifest.thresholds.keep_local
    likely = _by_category(seen, model.manifest)
    suspected = [
        key
        for key, least in thresholds.items()
        if _SUSPICION * least <= likely.get(key, 0.0) < least
    ]
    if not suspected:
        return ()
    quarters = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_270)
    turned = [
        _by_category(model.predict(picture.transpose(quarter)), model.manifest)
        for quarter in quarters
    ]
    return tuple(
        key
        for key in suspected
        if max(each[key] for each in turned) >= max(_SURE_WHEN_TURNED, thresholds[key])
    )


def _by_category(prediction: Prediction, manifest: ModelManifest) -> Mapping[str, float]:
    """Sum the network's probabilities by category."""
    summed: dict[str, float] = {}
    for category, value in zip(manifest.categories, prediction.probabilities.values(), strict=True):
        summed[category] = summed.get(category, 0.0) + value
    return summed
