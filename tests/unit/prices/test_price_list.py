"""Prices from AWS's Price List API, asked of a stand-in: its documented shapes become rows of the catalogue."""

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.unit.prices.price_list_stand_in import price_list, product
from tidegate.cli.app import app
from tidegate.domain.errors import Invalid, TidegateError
from tidegate.prices import Catalogue, price_folder
from tidegate.prices.price_list import queries, rates

REGION = "eu-central-1"
LINUX = {
    **{"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"},
    **{"operation": "RunInstances"},
}
ALB = {"operation": "LoadBalancing:Application"}
PRODUCTS = [
    product("AmazonSageMaker", "EUC1-Host:ml.c5.xlarge", REGION, "0.7770000000"),
    product("AmazonSageMaker", "EUC1-Tsform:ml.c5.xlarge", REGION, "0.1"),
    product("AmazonSageMaker", "EUC1-Host:ml.x99.xlarge", REGION, "0.2"),
    product("AmazonSageMaker", "EUC1-ServerlessInf:Mem-1GB", REGION, "0.00007"),
    product("AmazonSageMaker", "EUC1-ServerlessInf:Mem-2GB", REGION, "0.00014"),
    product("AmazonSageMaker", "EUC1-Hst:Data-Bytes-In", REGION, "0.7"),
    product("AmazonEC2", "EUC1-BoxUsage:c5.xlarge", REGION, "0.6", instanceType="c5.xlarge", **LINUX),
    product("AmazonEC2", "EUC1-EBS:VolumeUsage.gp3", REGION, "0.08", volumeApiName="gp3"),
    product("AWSLambda", "EUC1-Request", REGION, [("0", "0.0000000000"), ("1000000", "0.0000007")]),
    product("AmazonS3", "EUC1-Requests-Tier1", REGION, "0.0000071"),
    product("AWSELB", "EUC1-LCUUsage", REGION, "0.009", **ALB),
    product("AWSELB", "EUC1-LCUUsage", REGION, "0.5", operation="LoadBalancing:Network"),
    product("AmazonCloudWatch", "EUC1-CW:AlarmMonitorUsage", REGION, "0.1"),
    product("AmazonSageMaker", "Host:ml.c5.xlarge", "us-west-2", "0.888"),
]


def update(folder: Path, *arguments: str, url: str) -> str:
    result = CliRunner().invoke(
        app,
        ["cost", "prices", "update", "--out", str(folder), *arguments],
        env={
            **{"AWS_ENDPOINT_URL_PRICING": url, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
            **{"AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"},
        },
        catch_exceptions=False,
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def test_an_update_writes_rows_that_go_over_the_packaged_ones(tmp_path: Path) -> None:
    with price_list(PRODUCTS) as url:
        told = json.loads(update(tmp_path, "--region", REGION, "--json", url=url))
    assert told == {"folder": str(tmp_path), "prices": {REGION: 9}}
    found = Catalogue.load(tmp_path)
    rate = found.hosting("ml.c5.xlarge", REGION)
    assert (rate.amount, rate.unit) == (0.777, "hour")
    assert rate.source.startswith("AWS Price List API, SKU ") and "in force since 2026-09-01" in rate.source
    assert rate.date == datetime.now(UTC).date()
    amounts = {
        one.item: one.amount for one in found.rates() if one.region == REGION and "Price List API, S" in one.source
    }
    assert amounts == {
        "sagemaker-hosting/ml.c5.xlarge": 0.777,
        "sagemaker-serverless/gb-second": 0.00007,
        "sagemaker-data/in": 0.7,
        "ec2/c5.xlarge": 0.6,
        "ebs/gp3-gb-month": 0.08,
        "lambda/requests": pytest.approx(0.7),
        "s3/put": pytest.approx(0.0071),
        "alb/lcu-hour": 0.009,
        "cloudwatch/alarm-month": 0.1,
    }


def test_a_plan_uses_what_was_updated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_STATE", str(tmp_path))
    with price_list(PRODUCTS) as url:
        update(tmp_path / "prices", "--region", REGION, url=url)
    changes = ["--set", f"region={REGION}", "--set", "instance_type=ml.c5.xlarge"]
    plan = CliRunner().invoke(
        app, ["plan", "--example", "payroll-fraud", *changes, "--json"], catch_exceptions=False
    )
    lines = json.loads(plan.stdout)["cost"]["lines"]
    hours = [line for line in lines if line["item"] == "sagemaker-hosting/ml.c5.xlarge"]
    assert hours and all(line["price"] == 0.777 and line["stands_in"] == "" for line in hours)


def test_where_prices_are_kept(tmp_path: Path) -> None:
    assert price_folder(None, tmp_path) is None
    (tmp_path / "prices").mkdir()
    assert price_folder(None, tmp_path) == tmp_path / "prices"
    assert price_folder(tmp_path / "own", tmp_path) == tmp_path / "own"


def test_a_region_that_aws_does_not_have_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with (
        price_list(PRODUCTS) as url,
        pytest.raises(Invalid, match="--region mars-1: AWS's price list has nothing"),
    ):
        update(tmp_path, "--region", "mars-1", url=url)
    assert list(tmp_path.iterdir()) == []


def test_a_caller_without_the_right_is_told_which(tmp_path: Path) -> None:
    with price_list([], refuse="AccessDeniedException") as url, pytest.raises(TidegateError) as raised:
        update(tmp_path, "--region", REGION, url=url)
    assert "pricing:GetProducts" in raised.value.message and "\n" not in raised.value.message


def test_every_instance_type_is_asked_of_ec2_by_name() -> None:
    asked = queries(REGION, ["ml.c5.xlarge", "ml.g5.xlarge"])
    types = [one.filters["instanceType"] for one in asked if "instanceType" in one.filters]
    assert types == ["c5.xlarge", "g5.xlarge"]
    assert all(one.filters["regionCode"] == REGION for one in asked)


def test_usage_types_without_a_code_are_us_east_1s() -> None:
    plain = product("AmazonEC2", "BoxUsage:c5.xlarge", "us-east-1", "0.17", **LINUX)
    (found,) = rates([plain], "us-east-1", ["ml.c5.xlarge"])
    assert (found.item, found.date) == ("ec2/c5.xlarge", date(2026, 9, 1))
    assert rates([plain], "eu-west-1", ["ml.c5.xlarge"]) == ()
