"""Prices, tokens, the ledger and estimates, as tables."""

from __future__ import annotations

import random
import tomllib
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from xintu_cli.errors import ConfigurationError
from xintu_cli.money import (
    CallShape,
    Estimate,
    Grid,
    ImageTokens,
    MeanUse,
    Patches,
    Price,
    PriceTable,
    Reservation,
    Spending,
    Tier,
    Tiles,
    check_limit,
    estimate,
    load_prices,
    parse_prices,
)
from xintu_cli.providers.catalog import CATALOG, CatalogEntry

INTERNATIONAL, BEIJING = "dashscope-intl.aliyuncs.com", "dashscope.aliyuncs.com"
USD = Price.flat("USD", 0.15, 0.47)
TIERED = Price(
    "USD",
    (
        Tier(32_000, Decimal("0.20"), Decimal("1.60")),
        Tier(128_000, Decimal("0.30"), Decimal("2.40")),
        Tier(None, Decimal("0.60"), Decimal("4.80")),
    ),
)
FALLING = Price("USD", (Tier(1_000, Decimal(10), Decimal(0)), Tier(None, Decimal(1), Decimal(0))))


def parsed(toml: str) -> PriceTable:
    return parse_prices(tomllib.loads(toml, parse_float=Decimal), origin="prices.toml")


# ---- prices ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "tokens_in", "tokens_out", "expected"),
    [
        (USD, 1_000_000, 0, "0.15"),
        (USD, 0, 1_000_000, "0.47"),
        (USD, 1, 0, "0.00000015"),
        (Price.flat("USD", 0.0375, 0), 1, 0, "0.0000000375"),
        (USD, 0, 0, "0"),
        (TIERED, 32_000, 0, "0.0064"),
        (TIERED, 32_001, 0, "0.0096003"),
        (TIERED, 200_000, 1000, "0.1248"),
    ],
)
def test_a_call_costs_exactly_this(
    price: Price, tokens_in: int, tokens_out: int, expected: str
) -> None:
    assert Decimal(expected) == price.cost(tokens_in, tokens_out)


@pytest.mark.parametrize(
    ("price", "tokens_in", "expected"),
    [(USD, 1000, "0.00015"), (TIERED, 40_000, "0.012"), (FALLING, 1_001, "0.01")],
)
def test_the_dearest_call_within_a_bound_may_fall_in_a_lower_tier(
    price: Price, tokens_in: int, expected: str
) -> None:
    assert Decimal(expected) == price.most(tokens_in, 0)


def test_a_million_sums_of_a_tenth_of_a_cent_are_exact() -> None:
    spending = Spending()
    for _ in range(1000):
        spending.settle(Reservation(None), Decimal("0.001"), "USD")
    assert spending.total == (Decimal(1), "USD")


@pytest.mark.parametrize(
    ("model", "host", "currency"),
    [
        ("qwen3.8-flash", INTERNATIONAL, "USD"),
        ("qwen3.8-flash", "ws-1.ap-southeast-1.maas.aliyuncs.com", "USD"),
        ("qwen3.8-flash", BEIJING, None),
        ("qwen3-vl-plus", BEIJING, "CNY"),
        ("qwen3-vl-plus", INTERNATIONAL, "USD"),
        ("qwen3-vl-plus-2025-12-19", BEIJING, "CNY"),
        ("QWEN3-VL-FLASH", BEIJING, "CNY"),
        ("qwen3-vl-flash", INTERNATIONAL, "USD"),
        ("gpt-6-luna", "api.openai.com", "USD"),
        ("gpt-6-luna", "127.0.0.1", None),
        ("claude-haiku-5-5", "api.anthropic.com", "USD"),
        ("gpt-5.6-luna", "api.openai.com", None),
        ("unheard-of", "api.openai.com", None),
    ],
)
def test_the_shipped_table_knows_a_price_at_a_host_or_says_it_does_not(
    model: str, host: str, currency: str | None
) -> None:
    price = load_prices().price(model, host)
    assert currency == (None if price is None else price.currency)


@pytest.mark.parametrize("vendor", CATALOG, ids=lambda vendor: vendor.name)
def test_a_key_alone_is_enough_to_bound_what_a_run_may_cost(vendor: CatalogEntry) -> None:
    price = load_prices().price(vendor.model, urlsplit(vendor.base_url).hostname or "")
    check_limit(1.0, {vendor.name: price})


def test_every_shipped_price_has_a_date_and_costs_something() -> None:
    for row in load_prices().prices:
        assert row.price.as_of is not None, row.models
        assert row.price.cost(1_000_000, 1_000_000) > 0, row.models


def test_an_own_row_stands_before_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(
        '[[price]]\nmodels = ["gpt-6-luna"]\nhosts = ["*"]\ncurrency = "EUR"\nin = 1\nout = 2.5\n'
    )
    table = load_prices(str(own))
    price = table.price("gpt-6-luna", "api.openai.com")
    assert price == Price("EUR", (Tier(None, Decimal(1), Decimal("2.5")),))
    assert table.price("claude-haiku-5-5", "api.anthropic.com") is not None


def test_the_longest_pattern_counts_whatever_the_order() -> None:
    table = parsed(
        """
        [[image_tokens]]
        models = ["gpt-4o*"]
        family = "tiles"
        base = 85
        per_tile = 170
        [[image_tokens]]
        models = ["gpt-4o-mini*"]
        family = "tiles"
        base = 2833
        per_tile = 5667
        """
    )
    assert table.image_tokens("gpt-4o-mini-2024-07-18") == Tiles(2833, 5667)
    assert table.image_tokens("gpt-4o") == Tiles(85, 170)
    assert table.image_tokens("anything else") == Patches(28)


PRICE = '[[price]]\nmodels = ["m"]\nhosts = ["*"]\ncurrency = "USD"\n'


@pytest.mark.parametrize(
    ("toml", "wrong"),
    [
        ("[[prize]]\n", "the table has an unknown key 'prize'"),
        (PRICE + "in = 1\nout = -1\n", "price 1 needs 'out': a price per million tokens"),
        (PRICE + "in = 1\n", "price 1 needs 'out': a price per million tokens"),
        (PRICE + 'in = "1"\nout = 1\n', "price 1 needs 'in'"),
        (PRICE + "in = nan\nout = 1\n", "price 1 needs 'in'"),
        (PRICE + "in = true\nout = 1\n", "price 1 needs 'in'"),
        (PRICE + "in = 1\nout = 1\nbatch = 2\n", "price 1 has an unknown key 'batch'"),
        (PRICE + "in = 1\nout = 1\nas_of = 'today'\n", "price 1 has an as_of that is no date"),
        (PRICE + "tiers = []\n", "price 1 has tiers that are no list"),
        (PRICE + "tiers = [{up_to_tokens = 9, in = 1, out = 1}]\n", "price 1 needs tiers that"),
        (
            PRICE + "tiers = [{in = 1, out = 1}, {up_to_tokens = 9, in = 1, out = 1}]\n",
            "price 1 needs tiers that rise",
        ),
        (
            PRICE + "tiers = [{up_to_tokens = 0, in = 1, out = 1}]\n",
            "price 1 has an up_to_tokens that is no number of tokens",
        ),
        (PRICE.replace("USD", "dollars"), "price 1 needs a currency of three capitals"),
        ('[[price]]\nmodels = "m"\ncurrency = "USD"\nin = 1\nout = 1\n', "needs models: a list"),
        ('[[image_tokens]]\nmodels = ["m"]\nfamily = "cubes"\n', "image_tokens 1 needs a family"),
        (
            '[[image_tokens]]\nmodels = ["m"]\nfamily = "grid"\nside = 28\n',
            "image_tokens 1 does not describe grid",
        ),
        (
            '[[image_tokens]]\nmodels = ["m"]\nfamily = "patches"\nside = 0\n',
            "image_tokens 1 has a side that is no number above 0",
        ),
        (
            '[[image_tokens]]\nmodels = ["m"]\nfamily = "patches"\nside = 2.5\n',
            "image_tokens 1 has a side that is no number above 0",
        ),
        (
            '[[image_tokens]]\nmodels = ["m"]\nfamily = "patches"\nside = 2\nmultiplier = nan\n',
            "image_tokens 1 has a multiplier that is no number above 0",
        ),
    ],
)
def test_a_wrong_table_names_its_row(toml: str, wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^the price table prices\.toml is wrong: ") as e:
        parsed(toml)
    assert wrong in str(e.value)


@pytest.mark.parametrize(
    ("content", "wrong"),
    [(None, "No such file"), (b"price = [", "is not TOML"), (b"\xff", "is not TOML")],
)
def test_an_own_table_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, wrong: str
) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=wrong) as error:
        load_prices(str(path))
    assert str(path) in str(error.value)


def test_a_price_table_of_a_user_who_does_not_exist_is_not_there() -> None:
    with pytest.raises(ConfigurationError, match="cannot read the price table ~nobody-of-that"):
        load_prices("~nobody-of-that-name/prices.toml")


# ---- tokens ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "width", "height", "expected"),
    [
        # Claude and the patch models: as billed (1024 x 1024 at 1.2 is 1229)
        (Patches(28), 1024, 768, 1036),
        (Patches(28), 1920, 1080, 2691),
        (Patches(32, 1.2), 1024, 1024, 1229),
        (Patches(32, 1.2), 1024, 768, 922),
        (Patches(32, 1.62, most=1536), 4000, 3000, 2489),
        (Patches(28), 1, 1, 1),
        # GPT-4o: 1024 x 768 is four tiles
        (Tiles(2833, 5667), 1024, 768, 25_501),
        (Tiles(85, 170), 512, 512, 255),
        (Tiles(85, 170), 8000, 100, 85 + 170 * 4),
        # Qwen3-VL: whole cells of 32, and two; a cap by shrinking
        (Grid(32, 2560), 1024, 768, 770),
        (Grid(32, 2560), 4000, 3000, 2496),
        (Grid(28, 1280), 1024, 768, 1001),
        (Grid(32, 2560), 20, 20, 6),
        (Grid(32, 2560), 1024, 4, 34),
    ],
)
def test_a_picture_is_so_many_tokens(
    family: ImageTokens, width: int, height: int, expected: int
) -> None:
    assert expected == family.count(width, height)


def test_a_photo_is_counted_as_it_is_sent_and_bounded_from_above() -> None:
    shape = CallShape(Grid(32, 2560), max_edge=1024, prompt_bytes=2100, most_tokens_out=200)
    assert shape.expected_tokens_in(4096, 3072) == 770 + 600
    assert shape.expected_tokens_in(512, 384) == 16 * 12 + 2 + 600
    assert shape.most_tokens_in(4096, 3072) == 963 + 2100 + 64


# ---- spending --------------------------------------------------------------------------------


def test_exactly_max_calls_are_booked() -> None:
    spending = Spending(max_calls=3)
    booked = [spending.reserve(None) for _ in range(5)]
    assert [r is not None for r in booked] == [True, True, True, False, False]
    # One in flight may find nobody there, and then it was no call.
    assert spending.may_fit_later(None)
    spending.release(Reservation(None))
    assert spending.reserve(None) is not None
    for _ in range(3):
        spending.settle(Reservation(None), None, "")
    assert not spending.may_fit_later(None)


def test_a_call_fits_later_if_one_in_flight_may_turn_out_cheaper() -> None:
    spending = Spending(max_cost=Decimal("1.00"))
    first = spending.reserve(Decimal("0.60"))
    assert first is not None
    assert spending.reserve(Decimal("0.60")) is None
    assert spending.may_fit_later(Decimal("0.60"))
    spending.settle(first, Decimal("0.10"), "USD")
    second = spending.reserve(Decimal("0.60"))
    assert second is not None
    assert not spending.may_fit_later(Decimal("0.95"))
    spending.settle(second, Decimal("0.50"), "USD")
    assert spending.reserve(Decimal("0.41")) is None
    assert not spending.may_fit_later(Decimal("0.41"))
    assert spending.reserve(Decimal("0.40")) is not None


def test_whatever_the_order_no_limit_is_exceeded() -> None:
    chance = random.Random(7)
    spending = Spending(max_calls=200, max_cost=Decimal("0.5"))
    in_flight: list[Reservation] = []
    for _ in range(2000):
        worst = Decimal(chance.randrange(1, 20)) / 1000
        if (reservation := spending.reserve(worst)) is not None:
            in_flight.append(reservation)
        if in_flight and chance.random() < 0.6:
            ended = in_flight.pop(chance.randrange(len(in_flight)))
            assert ended.worst is not None
            spending.settle(ended, ended.worst * chance.randrange(0, 11) / 10, "USD")
        amount = spending.total[0]
        assert amount is not None
        assert amount <= Decimal("0.5")
        assert spending.calls <= 200


@pytest.mark.parametrize(
    ("settled", "expected"),
    [
        ([], (Decimal(0), "")),
        ([(Decimal(1), "USD"), (Decimal(2), "USD")], (Decimal(3), "USD")),
        ([(Decimal(1), "USD"), (Decimal(2), "CNY")], (None, "")),
        ([(Decimal(1), "USD"), (None, "")], (None, "")),
    ],
)
def test_a_total_is_unknown_with_an_unknown_price_or_two_currencies(
    settled: list[tuple[Decimal | None, str]], expected: tuple[Decimal | None, str]
) -> None:
    spending = Spending()
    for cost, currency in settled:
        spending.settle(Reservation(None), cost, currency)
    assert expected == spending.total


@pytest.mark.parametrize(
    ("max_cost", "prices", "wrong"),
    [
        (None, {"qwen": None, "openai": USD}, None),
        (1.0, {"qwen": USD, "openai": USD}, None),
        (1.0, {}, None),
        (1.0, {"qwen": None, "openai": USD}, "the price of qwen is unknown"),
        (1.0, {"qwen": Price.flat("CNY", 1, 1), "openai": USD}, "prices in CNY and USD"),
    ],
)
def test_a_money_limit_that_could_not_be_kept_is_refused(
    max_cost: float | None, prices: dict[str, Price | None], wrong: str | None
) -> None:
    if wrong is None:
        check_limit(max_cost, prices)
        return
    with pytest.raises(ConfigurationError, match=wrong):
        check_limit(max_cost, prices)


# ---- estimates -------------------------------------------------------------------------------

SHAPE = CallShape(Grid(32, 2560), max_edge=1024, prompt_bytes=2100, most_tokens_out=200)


@pytest.mark.parametrize(
    ("price", "seen", "expected"),
    [
        # 32 x 21 cells of a 3:2 picture, two more, 600 of text
        (None, None, Estimate(100, 127_400, 8_000, None, "", 0)),
        (USD, None, Estimate(100, 127_400, 8_000, Decimal("0.02287"), "USD", 0)),
        (USD, MeanUse(0, 0.0, 0.0), Estimate(100, 127_400, 8_000, Decimal("0.02287"), "USD", 0)),
        (
            USD,
            MeanUse(10, 2000.0, 40.0),
            Estimate(100, 163_700, 6_000, Decimal("0.027375"), "USD", 10),
        ),
        (
            USD,
            MeanUse(1_000_000, 2000.0, 40.0),
            Estimate(100, 200_000, 4_100, Decimal("0.031927"), "USD", 1_000_000),
        ),
    ],
)
def test_formulas_are_corrected_by_what_calls_really_used(
    price: Price | None, seen: MeanUse | None, expected: Estimate
) -> None:
    assert expected == estimate(100, SHAPE, price, seen)
