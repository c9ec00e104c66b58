"""Prices: what is packaged is sound, a user's rows go over it, and what is missing is named."""

from datetime import date
from pathlib import Path

import pytest

from tidegate.prices import (
    EC2,
    HOSTING,
    BadPrices,
    Catalogue,
    MissingPrice,
    Rate,
    UnknownInstanceType,
    UnknownRegion,
)

PACKAGED = Catalogue.load()
HEADER = "item,region,unit,amount,low,high,source,date,note\n"


def folder(tmp_path: Path, rows: str, name: str = "own.csv", header: str = HEADER) -> Path:
    (tmp_path / name).write_text(header + rows)
    return tmp_path


def test_every_instance_type_has_a_price_in_the_first_region() -> None:
    for instance in PACKAGED.instances():
        assert PACKAGED.hosting(instance.name, "us-east-1").unit == "hour"


def test_every_price_of_an_instance_is_of_a_known_instance_type() -> None:
    for rate in PACKAGED.rates():
        for prefix, before in ((HOSTING, ""), (EC2, "ml.")):
            if rate.item.startswith(prefix):
                assert PACKAGED.instance(before + rate.item.removeprefix(prefix)).vcpus > 0


def test_every_row_has_a_source_and_a_day_that_has_been() -> None:
    for rate in PACKAGED.rates():
        assert rate.source and date(2020, 1, 1) < rate.date <= date(2026, 11, 24), rate
        assert 0 <= rate.low <= rate.amount <= rate.high, rate


def test_no_row_is_there_twice() -> None:
    files = (Path(__file__).parents[3] / "src/tidegate/prices/data").glob("*.csv")
    rows = [line for file in files for line in file.read_text().splitlines()[1:]]
    keys = [tuple(row.split(",")[:2]) if "/" in row.split(",")[0] else (row.split(",")[0],) for row in rows]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("item", "amount"),
    [
        ("sagemaker-hosting/ml.c5.xlarge", 0.204),
        ("sagemaker-hosting/ml.m5.large", 0.115),
        ("sagemaker-hosting/ml.g5.xlarge", 1.408),
        ("sagemaker-serverless/gb-second", 0.00002),
        ("fargate/vcpu-hour", 0.04048),
        ("lambda/requests", 0.20),
        ("eks/cluster-hour", 0.10),
    ],
)
def test_known_figures(item: str, amount: float) -> None:
    assert PACKAGED.rate(item, "us-east-1").amount == amount


def test_where_sources_disagree_the_rate_has_a_range() -> None:
    rate = PACKAGED.hosting("ml.inf2.xlarge", "us-east-1")
    assert (rate.low, rate.amount, rate.high) == (0.758, 0.99, 0.99)
    assert not rate.certain
    assert PACKAGED.hosting("ml.c5.xlarge", "us-east-1").certain


@pytest.mark.parametrize(
    ("name", "kind", "family"),
    [("ml.c5.xlarge", "cpu", "c5"), ("ml.g5.12xlarge", "gpu", "g5"), ("ml.inf2.xlarge", "inferentia", "inf2")],
)
def test_kinds_and_families(name: str, kind: str, family: str) -> None:
    found = PACKAGED.instance(name)
    assert (found.kind, found.family) == (kind, family)


def test_a_misspelt_instance_type_is_told_with_the_nearest_names() -> None:
    with pytest.raises(UnknownInstanceType, match=r"'ml\.c5\.xlrge', did you mean 'ml\.c5\.xlarge'") as caught:
        PACKAGED.hosting("ml.c5.xlrge", "us-east-1")
    assert "ml.c5.xlarge" in caught.value.near


def test_an_instance_type_without_its_prefix_is_told_with_it() -> None:
    with pytest.raises(UnknownInstanceType, match=r"did you mean 'ml\.c5\.xlarge'"):
        PACKAGED.instance("c5.xlarge")


def test_an_unknown_region_is_told_with_those_that_are_known() -> None:
    with pytest.raises(UnknownRegion, match="did you mean 'us-east-1'") as caught:
        PACKAGED.hosting("ml.c5.xlarge", "us-esat-1")
    assert caught.value.known == PACKAGED.regions()


def test_a_price_that_is_missing_in_a_region_says_where_it_is_known_and_how_to_add_it() -> None:
    with pytest.raises(MissingPrice, match=r"known in: us-east-1\); add a row .* TIDEGATE_PRICES") as caught:
        PACKAGED.hosting("ml.c7g.large", "us-west-2")
    assert caught.value.known == ("us-east-1",)


def test_savings_plans_have_a_discount_for_each_term() -> None:
    one, three = PACKAGED.discount(1), PACKAGED.discount(3)
    assert (one.part, one.low, one.high) == (0.2, 0.2, 0.4)
    assert (three.part, three.high) == (0.4, 0.64)
    with pytest.raises(MissingPrice, match="1y, 3y"):
        PACKAGED.discount(2)


def test_a_row_of_the_user_goes_over_the_packaged_one(tmp_path: Path) -> None:
    row = "sagemaker-hosting/ml.c5.xlarge,us-east-1,hour,0.18,,,contract,2026-11-01,\n"
    own = Catalogue.load(folder(tmp_path, row))
    rate = own.hosting("ml.c5.xlarge", "us-east-1")
    assert (rate.amount, rate.low, rate.high, rate.source) == (0.18, 0.18, 0.18, "contract")
    assert own.hosting("ml.c5.large", "us-east-1").amount == 0.102


def test_a_region_of_the_user_is_known_from_then_on(tmp_path: Path) -> None:
    rows = "# a comment\n\nsagemaker-hosting/ml.c5.xlarge,eu-north-1,hour,0.22,0.2,0.25,page,2026-11-01,\n"
    own = Catalogue.load(folder(tmp_path, rows))
    assert own.hosting("ml.c5.xlarge", "eu-north-1").high == 0.25
    assert "eu-north-1" in own.regions()


def test_an_instance_type_of_the_user(tmp_path: Path) -> None:
    header = "name,vcpus,memory_gib,accelerator,accelerators,accelerator_gib\n"
    own = Catalogue.load(folder(tmp_path, "ml.x9.large,2,8,,0,0\n", "instances.csv", header))
    assert own.instance("ml.x9.large").memory_gib == 8
    with pytest.raises(MissingPrice, match="known nowhere"):
        own.hosting("ml.x9.large", "us-east-1")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,b,hour,x,,,s,2026-01-01,", r"own.csv:2: amount: 'x' is not a number"),
        ("a,b,hour,-1,,,s,2026-01-01,", "must be finite and not negative"),
        ("a,b,hour,nan,,,s,2026-01-01,", "must be finite and not negative"),
        ("a,b,hour,1,2,,s,2026-01-01,", "between low 2.0 and high 1.0"),
        ("a,b,hour,1,,,s,January,", "not a day such as"),
        ("a,b,hour,1,,,,2026-01-01,", "source is missing"),
        ("a,b,hour,1", "4 cells, expected 9"),
        ("savings/sagemaker-1y,*,part,20,,,s,2026-01-01,", "a part below 1, not percent"),
    ],
)
def test_a_bad_row_is_told_with_its_file_and_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(BadPrices, match=message):
        Catalogue.load(folder(tmp_path, row + "\n"))


def test_a_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPrices, match="the columns must be item,region"):
        Catalogue.load(folder(tmp_path, "a,b\n", header="price,region\n"))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPrices, match="no such folder"):
        Catalogue.load(tmp_path / "nowhere")


def test_a_discount_makes_every_figure_less() -> None:
    rate = Rate("a", "b", "hour", 10, 8, 20, "s", date(2026, 1, 1)).less(0.25)
    assert (rate.amount, rate.low, rate.high) == (7.5, 6, 15)
