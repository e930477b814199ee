"""What Nix makes of a bundle: one description, bit-identical, refused by name when the bundle is wrong."""

import json
from pathlib import Path

import pytest

from tests.nix.kit import BuildFailed, Kit

pytestmark = pytest.mark.vm

BUNDLES = ("noop", "example-agent", "license-audit")


def write_bundle(directory: Path, module: str, smoke: str = "#!/bin/sh\n") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "guest.nix").write_text(module)
    (directory / "smoke.sh").write_text(smoke)
    (directory / "smoke.sh").chmod(0o755)
    return directory


def test_a_description_is_complete_and_knows_no_run(kit: Kit) -> None:
    spec = kit.bundle("license-audit")
    assert set(spec) == {
        *("apiVersion", "name", "kernel", "initrd", "image", "machine", "cmdline"),
        *("entry", "workingDirectory", "path", "environment"),
    }
    assert (spec["apiVersion"], spec["name"]) == ("agentplane.guest/v1", "license-audit")
    for key in ("kernel", "initrd", "image", "entry", "workingDirectory"):
        assert spec[key].startswith("/nix/store/")
        assert Path(spec[key]).exists()
    assert spec["entry"] == f"{spec['workingDirectory']}/smoke.sh"
    assert spec["path"][-1] == "/bin"
    assert spec["environment"] == {"LANG": "C.UTF-8"}
    assert "tsc_early_khz" not in spec["cmdline"]


def test_bundles_share_kernel_and_initrd(kit: Kit) -> None:
    specs = [kit.bundle(name) for name in BUNDLES]
    assert len({spec["kernel"] for spec in specs}) == 1
    assert len({spec["initrd"] for spec in specs}) == 1
    assert len({spec["image"] for spec in specs}) == len(BUNDLES)


def test_the_kernel_is_uncompressed(kit: Kit) -> None:
    assert Path(kit.bundle("noop")["kernel"]).read_bytes()[:4] == b"\x7fELF"


@pytest.mark.parametrize("attribute", ["kernel", "initrd", "probe", "pkgs.python3"])
def test_a_shared_part_builds_bit_identically(kit: Kit, attribute: str) -> None:
    path = kit.build(attribute)
    assert kit.build(attribute, "--check") == path


def test_a_guest_builds_bit_identically(kit: Kit) -> None:
    bundle = kit.root / "bundles/example-agent"
    path = kit.build("spec", reading=bundle, bundle=bundle, name="example-agent")
    image = json.loads(path.read_bytes())["image"]
    for product in (path, image):
        kit.nix_store("--realise", "--check", kit.nix_store("--query", "--deriver", str(product)))


def test_a_bundle_in_the_store_is_not_copied(kit: Kit, tmp_path: Path) -> None:
    stored = Path(kit.nix_store("--add", str(write_bundle(tmp_path / "stored", "_: { }"))))
    assert kit.spec(stored, "stored")["workingDirectory"] == str(stored)


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("{ config, lib, pkgs, ... }: { }", "is a NixOS module"),
        ("{ imports = [ ]; }", "is a NixOS module"),
        ("{ pkgs, ... }: { services.x = 1; }", "sets services; a slim guest knows packages and environment"),
        ("_: 3", "does not return a set"),
        ('_: { environment.PATH = "/x"; }', "sets an environment name that no guest takes: PATH"),
        ('_: { environment."a b" = "x"; }', "sets an environment name that no guest takes: a b"),
        ("{ pkgs, ... }: { packages = [ pkgs.no-such ]; }", "attribute 'no-such' missing"),
        ("_: { environment.X = builtins.readFile /etc/passwd; }", "forbidden in restricted mode"),
        (
            '_: { environment.X = builtins.readFile (builtins.fetchurl "http://127.0.0.1:9/"); }',
            "forbidden in restricted",
        ),
        ("_: {", "syntax error"),
    ],
)
def test_a_wrong_module_is_refused_by_name(kit: Kit, tmp_path: Path, module: str, reason: str) -> None:
    bundle = write_bundle(tmp_path / "wrong", module)
    with pytest.raises(BuildFailed, match=reason):
        kit.spec(bundle, "wrong")


@pytest.mark.parametrize(
    ("argument", "reason"), [("module", "none.nix is not in"), ("smoke", "script none.nix is not")]
)
def test_a_missing_file_is_refused_by_name(kit: Kit, argument: str, reason: str) -> None:
    with pytest.raises(BuildFailed, match=reason):
        kit.spec(kit.root / "bundles/noop", "noop", **{argument: "none.nix"})


def test_a_failing_build_shows_its_last_lines(kit: Kit, tmp_path: Path) -> None:
    module = '{ pkgs, ... }: { packages = [ (pkgs.runCommand "broken" { } "echo the reason; exit 3") ]; }'
    with pytest.raises(BuildFailed, match="the reason"):
        kit.spec(write_bundle(tmp_path / "broken", module), "broken")


def test_a_process_names_its_whole_closure(kit: Kit) -> None:
    bundle = kit.root / "bundles/license-audit"
    process = json.loads(kit.build("process", reading=bundle, bundle=bundle, name="license-audit").read_bytes())
    assert process["apiVersion"] == "agentplane.process/v1"
    assert process["workingDirectory"] in process["closure"]
    assert sorted(process["closure"]) == sorted(kit.nix_store("--query", "--requisites", *process["closure"]).split())
    for target in process["links"].values():
        assert any(target.startswith(f"{path}/") for path in process["closure"])


def test_an_input_has_no_unwanted_names(kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "tree/.git").mkdir(parents=True)
    (tmp_path / "tree/a").write_text("a")
    with_git = kit.input(tmp_path / "tree", name="tree", exclude="")
    (tmp_path / "tree/.git/x").write_text("y")
    without = kit.input(tmp_path / "tree", name="tree")
    (tmp_path / "tree/.git/x").write_text("z")
    assert kit.input(tmp_path / "tree", name="tree") == without
    assert without != with_git
    with pytest.raises(BuildFailed, match="a name is 1 to 63 characters"):
        kit.input(tmp_path / "tree", name="Tree")


def test_no_source_of_packages_is_said(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIX_PATH", "")
    with pytest.raises(BuildFailed, match="pass kernelDeb"):
        kit.build("probe", kernelDeb="")
