"""Models that are container images, run by a whole platform with the real podman."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.features.containers.container_images import Images, fake_program, run_images
from tests.features.containers.container_scene import call, deploy, fail, tidegate
from tests.scene import Scene
from tidegate.host.platform import Platform, wait_until

pytestmark = pytest.mark.e2e
CAPABILITIES = 0x4EB
"""CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID and NET_BIND_SERVICE."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    with run_images(tmp_path_factory.mktemp("images")) as made:
        made.build("localhost/app:1", PREDICTION="1")
        yield made


@pytest.fixture(scope="module")
def platform(images: Images) -> Iterator[Platform]:
    settings = {"TIDEGATE_CONTAINERS": "localhost/*", "TIDEGATE_DRAIN_TIMEOUT": "5"}
    with Platform(environment={**images.environment, **settings}) as running:
        yield running
    assert images.names() == [], "a container was left"


@pytest.fixture(scope="module")
def scene(platform: Platform) -> Scene:
    return Scene(platform)


def workers(platform: Platform) -> list[psutil.Process]:
    found = []
    for one in psutil.process_iter(["cmdline"]):
        line = one.info["cmdline"] or []
        if "tidegate.serving" in line and any(word.startswith(str(platform.state)) for word in line):
            found.append(one)
    return found


@pytest.fixture(scope="module")
def byoc(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An endpoint by boto3, of an image that honours SageMaker's contract."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "value.txt").write_text("42")
    config = scene.config(f"{folder.as_uri()}/", image="localhost/app:1", environment={"TEAM": "fraud"})
    scene.create("byoc", config)
    return "byoc"


def test_createmodel_with_an_image_honours_sagemakers_contract(scene: Scene, byoc: str) -> None:
    seen = call(scene, byoc, b"about")
    assert seen["arguments"] == ["serve"]
    assert seen["environment"]["TEAM"] == "fraud"
    assert seen["environment"]["SAGEMAKER_BIND_TO_PORT"] == "8080"
    assert (seen["model"], seen["model_writable"], seen["user"]) == ("42", False, 1000)
    assert call(scene, byoc) == [1.0]


def test_it_has_few_rights(scene: Scene, byoc: str) -> None:
    seen = call(scene, byoc, b"about")
    assert int(seen["capabilities"], 16) == CAPABILITIES
    assert seen["no_new_privileges"] == "1"
    assert seen["interfaces"] == ["eth0", "lo"], "it has a network of its own"


def test_describe_has_the_tag_and_what_it_stands_for(scene: Scene, images: Images, byoc: str) -> None:
    digest = images.podman("image", "inspect", "--format", "{{.Digest}}", "localhost/app:1")
    (shown,) = scene.describe(byoc)["ProductionVariants"][0]["DeployedImages"]
    assert shown["SpecifiedImage"] == "localhost/app:1"
    assert shown["ResolvedImage"] == f"localhost/app@{digest}"
    config = scene.describe(byoc)["EndpointConfigName"]
    assert scene.sagemaker.describe_model(ModelName=config)["PrimaryContainer"]["Image"] == "localhost/app:1"


def test_values_of_variables_are_in_no_command_line(scene: Scene, images: Images) -> None:
    scene.create("secretive", scene.config(None, image="localhost/app:1", environment={"TOKEN": "s3cr3t-value"}))
    assert call(scene, "secretive", b"about")["environment"]["TOKEN"] == "s3cr3t-value"
    for process in psutil.process_iter(["cmdline"]):
        assert not any("s3cr3t-value" in word for word in process.info["cmdline"] or ())
    for file in scene.platform.state.rglob("*.env"):
        assert "s3cr3t-value" not in file.read_text()
    scene.sagemaker.delete_endpoint(EndpointName="secretive")


def test_a_multimodel_container_is_refused(scene: Scene, tmp_path: Path) -> None:
    container = {"Image": "localhost/app:1", "Mode": "MultiModel", "ModelDataUrl": f"{tmp_path.as_uri()}/"}
    with pytest.raises(ClientError, match="is a container, which serves one model: Mode MultiModel needs"):
        scene.sagemaker.create_model(ModelName="many", PrimaryContainer=container)


def test_an_image_that_is_not_allowed_is_refused(scene: Scene) -> None:
    with pytest.raises(ClientError, match=r"no container image that the server allows \(TIDEGATE_CONTAINERS\)"):
        scene.model(None, image="ghcr.example/team/fraud:1")


def test_an_image_that_is_not_there_is_refused(scene: Scene) -> None:
    with pytest.raises(ClientError, match="there is no image localhost/absent:1 on this machine"):
        scene.model(None, image="localhost/absent:1")


@pytest.fixture(scope="module")
def shop(scene: Scene, images: Images, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An endpoint of two instances."""
    images.build("localhost/shop:1", PREDICTION="2")
    deploy(scene, tmp_path_factory.mktemp("shop"), "shop", "localhost/shop:1", "instances: 2")
    return "shop"


def test_a_killed_container_is_replaced(scene: Scene, images: Images, shop: str) -> None:
    before = set(images.names())
    victim = next(name for name in before if _prediction(images, name) == "2")
    images.podman("kill", victim)
    wait_until(lambda: victim not in images.names(), "the container's end")
    wait_until(lambda: len(images.names()) == len(before), "another container", 60)
    wait_until(lambda: _current(scene, shop) == 2, "two instances", 60)
    assert call(scene, shop) == [2.0]


def _prediction(images: Images, name: str) -> str:
    shown = images.podman("inspect", "--format", "{{range .Config.Env}}{{println .}}{{end}}", name)
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line).get("PREDICTION", "")


def _current(scene: Scene, endpoint: str) -> int:
    count: int = scene.describe(endpoint)["ProductionVariants"][0]["CurrentInstanceCount"]
    return count


@pytest.mark.slow
def test_all_containers_gone(scene: Scene, images: Images, shop: str) -> None:
    count = len(images.names())
    images.podman("rm", "--all", "--force", "--time", "0")
    wait_until(lambda: len(images.names()) == count, "all containers again", 90)
    wait_until(lambda: _current(scene, shop) == 2, "two instances", 60)
    assert call(scene, shop) == [2.0]


@pytest.mark.slow
def test_a_killed_worker_leaves_nothing(scene: Scene, images: Images, shop: str) -> None:
    before = set(images.names())
    for worker in workers(scene.platform):
        worker.send_signal(signal.SIGKILL)
    wait_until(lambda: not before & set(images.names()), "the end of their containers", 60)
    wait_until(lambda: _current(scene, shop) == 2, "two instances", 90)
    wait_until(lambda: len(images.names()) == len(before), "as many containers", 60)


@pytest.mark.slow
def test_a_controller_that_is_restarted_removes_what_is_left(
    scene: Scene, images: Images, platform: Platform, shop: str
) -> None:
    kept = set(images.names())
    label = images.podman("inspect", "--format", '{{index .Config.Labels "tidegate.installation"}}', min(kept))
    for name, owner in (("left", label), ("foreign", "another")):
        labels = ["--label", f"tidegate.installation={owner}", "--label", "tidegate.worker=1.2.before-the-boot"]
        images.podman("run", "--detach", "--name", name, *labels, "localhost/app:1")
    platform.kill_controller()
    platform.start()
    wait_until(lambda: "left" not in images.names(), "the end of what was left", 60)
    assert set(images.names()) == kept | {"foreign"}
    images.podman("rm", "--force", "--time", "0", "foreign")


@pytest.mark.slow
def test_a_tag_that_moves_makes_a_new_version_and_undo_goes_back(
    scene: Scene, images: Images, tmp_path: Path
) -> None:
    first = images.build("localhost/moving:1", PREDICTION="10")
    deploy(scene, tmp_path, "moving", "localhost/moving:1")
    assert "runs this already" in deploy(scene, tmp_path, "moving", "localhost/moving:1")
    second = images.build("localhost/moving:1", PREDICTION="20")
    assert call(scene, "moving") == [10.0]
    deploy(scene, tmp_path, "moving", "localhost/moving:1")
    assert call(scene, "moving") == [20.0]
    assert _resolved(scene, "moving") == f"localhost/moving@{second}"
    images.podman("image", "prune", "--force")
    tidegate(scene, "rollout", "undo", "moving", "--wait")
    assert call(scene, "moving") == [10.0]
    assert _resolved(scene, "moving") == f"localhost/moving@{first}"
    scene.sagemaker.delete_endpoint(EndpointName="moving")


def _resolved(scene: Scene, endpoint: str) -> str:
    (shown,) = scene.describe(endpoint)["ProductionVariants"][0]["DeployedImages"]
    name: str = shown["ResolvedImage"]
    return name


@pytest.mark.slow
def test_one_that_ends_by_itself_says_so(scene: Scene, images: Images) -> None:
    images.build("localhost/app:exits", FAULT="exits")
    assert "ended with exit code 3; its log ends: the application starts | no configuration was found" in fail(
        scene, "localhost/app:exits"
    )


def test_doctor_checks_the_engine(scene: Scene, images: Images, tmp_path: Path) -> None:
    shown = json.loads(tidegate(scene, "target", "doctor", "--json"))
    found = {one["what"]: one for one in shown["findings"]}
    assert found["container engine"]["message"].startswith("podman ")
    assert str(images.folder / "store") in found["space for images"]["message"]
    spec = tmp_path / "away.yaml"
    spec.write_text("endpoint: away\nmodel: {url: http://127.0.0.1:9}\n")
    assert "service http://127.0.0.1:9" in tidegate(scene, "target", "doctor", str(spec), code=1)


def test_one_without_a_program_says_so(scene: Scene, images: Images, tmp_path: Path) -> None:
    images.build_file("localhost/empty:1", "FROM scratch", "LABEL nothing=in-it")
    reason = deploy(scene, tmp_path, "empty", "localhost/empty:1", code=1)
    assert "does not say which program to run: give it an ENTRYPOINT or a CMD" in reason


def test_one_without_serve_says_so(scene: Scene, images: Images) -> None:
    images.build("localhost/app:plain", "ENTRYPOINT []")
    reason = fail(scene, "localhost/app:plain")
    assert 'exec: "serve": executable file not found in $PATH' in reason
    assert "SageMaker's contract runs an image with the argument `serve`" in reason


@pytest.mark.slow
def test_one_for_another_processor_says_so(scene: Scene, images: Images) -> None:
    program = fake_program(images.folder)
    context = images.folder / "foreign-image"
    context.mkdir()
    program.rename(context / "foreign")
    (context / "Containerfile").write_text('FROM scratch\nCOPY foreign /foreign\nENTRYPOINT ["/foreign"]\n')
    images.podman("build", "--quiet", "--tag", "localhost/foreign:1", str(context))
    assert "is for another kind of processor than this machine's" in fail(scene, "localhost/foreign:1")


def test_one_that_runs_out_of_memory_says_so(scene: Scene, images: Images, tmp_path: Path) -> None:
    images.build("localhost/app:grows", FAULT="grows")
    reason = deploy(scene, tmp_path, "grows", "localhost/app:grows", "memory: 64MiB", code=1)
    assert "ran out of memory: the kernel ended it at its limit of 64 MiB" in reason


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["closed", "slow"])
def test_one_that_does_not_listen_in_time(scene: Scene, images: Images, tmp_path: Path, fault: str) -> None:
    images.build(f"localhost/app:{fault}", FAULT=fault)
    reason = deploy(scene, tmp_path, fault, f"localhost/app:{fault}", "startup_timeout: 3s", code=1)
    assert "did not pass the ping health check within 3 s (GET /healthz on port 8000 of the image" in reason


def _answers(scene: Scene, endpoint: str) -> bool:
    try:
        return bool(call(scene, endpoint) == [1.0])
    except ClientError:
        return False


@pytest.mark.slow
def test_one_that_leaks_is_replaced(scene: Scene, images: Images, tmp_path: Path) -> None:
    images.build("localhost/app:leaks", FAULT="leaks")
    deploy(scene, tmp_path, "leaks", "localhost/app:leaks", "memory: 96MiB")
    first = set(images.names())

    def leak() -> bool:
        try:
            call(scene, "leaks")
        except (
            ClientError,
            ConnectionClosedError,
        ):  # the proxy hangs up if its last try breaks on a kept connection
            return "ran out of memory" in scene.platform.log.read_text()
        return False

    wait_until(leak, "the end of its memory", 60)
    wait_until(lambda: set(images.names()) - first and _answers(scene, "leaks"), "another container", 60)
    scene.sagemaker.delete_endpoint(EndpointName="leaks")
