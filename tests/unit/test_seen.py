"""The run's memory of images: a set of hashes in sixteen bytes an image."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from xintu_cli.stages.seen import SeenImages


def hashes(count: int, seed: int = 1) -> list[str]:
    dice = random.Random(seed)
    return [f"{dice.getrandbits(128):032x}" for _ in range(count)]


def test_an_image_is_new_once() -> None:
    seen = SeenImages()
    [image] = hashes(1)
    assert [seen.add(image), seen.add(image), len(seen)] == [True, False, 1]


@pytest.mark.parametrize("count", [0, 1, 2_047, 2_048, 2_049, 40_000])
def test_it_says_what_a_set_says_at_every_size(count: int) -> None:
    images = hashes(count)
    seen = SeenImages()
    assert all(seen.add(image) for image in images)
    assert not any(seen.add(image) for image in images)
    assert len(seen) == count


def test_new_and_old_images_in_any_order() -> None:
    images = hashes(500)
    dice = random.Random(2)
    seen, truth = SeenImages(), set[str]()
    for image in (dice.choice(images) for _ in range(5_000)):
        assert seen.add(image) is (image not in truth)
        truth.add(image)
    assert len(seen) == len(truth)


def test_many_at_once_are_what_they_are_one_by_one() -> None:
    images = hashes(3_000)
    dice = random.Random(3)
    drawn = [dice.choice(images) for _ in range(9_000)]
    one_by_one, together = SeenImages(), SeenImages()
    assert together.add_all(drawn) == [one_by_one.add(image) for image in drawn]
    assert len(together) == len(one_by_one) == len(set(drawn))


def test_it_can_be_asked_without_being_told() -> None:
    known, strange = hashes(300), hashes(300, seed=2)
    seen = SeenImages()
    for image in known:
        seen.add(image)
    assert all(image in seen for image in known)
    assert not any(image in seen for image in strange)
    assert len(seen) == 300


def test_images_that_fall_into_one_slot_are_told_apart() -> None:
    # The slot is taken from the first or the last of the first eight bytes.
    images = ["0" * 6 + f"{number:04x}" + "0" * 22 for number in range(1, 400)]
    seen = SeenImages()
    assert all(seen.add(image) for image in images)
    assert not any(seen.add(image) for image in images)


@pytest.mark.parametrize("image", ["0" * 32, "0" * 15 + "1" + "0" * 16, "f" * 32])
def test_the_ends_of_the_scale_are_images_too(image: str) -> None:
    seen = SeenImages()
    assert [seen.add(image), seen.add(image)] == [True, False]


def test_an_image_costs_at_most_forty_bytes() -> None:
    images = hashes(100_000)
    tracemalloc.start()
    try:
        seen = SeenImages()
        for image in images:
            seen.add(image)
        size, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(seen) == 100_000
    assert size < 100_000 * 40
    # While it grows, the old slots and the new ones are there at once.
    assert peak < 100_000 * 60
