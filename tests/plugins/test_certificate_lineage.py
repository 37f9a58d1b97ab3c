"""What certbot has of a project is read, kept on the controller, put back on a bare host, and removed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible.parsing.vault import VaultLib, VaultSecret

ROOT = Path(__file__).resolve().parents[2]


PLUGINS = "ansible_collections.channels.stack.plugins"
module, action = (importlib.import_module(f"{PLUGINS}.{kind}.certificate_lineage") for kind in ("modules", "action"))
Lineage = module.Lineage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of certbot with two projects of one account, and one of another."""
    folder = tmp_path / "letsencrypt"
    for app, account in (("shop", "aa11"), ("desk", "aa11"), ("other", "bb22")):
        for place in (f"archive/{app}", f"live/{app}", "renewal", f"accounts/ca.test:14000/dir/{account}"):
            (folder / place).mkdir(parents=True, exist_ok=True)
        for part in module.PARTS:
            for number in (1, 2):
                (folder / f"archive/{app}/{part}{number}.pem").write_text(f"{app} {part} {number}\n")
            (folder / f"live/{app}/{part}.pem").symlink_to(f"../../archive/{app}/{part}2.pem")
        (folder / f"renewal/{app}.conf").write_text(f"archive_dir = x\n[renewalparams]\naccount = {account}\n")
        for name in ("meta", "private_key", "regr"):
            (folder / f"accounts/ca.test:14000/dir/{account}/{name}.json").write_text(f"{account} {name}")
    return folder


def texts(folder: Path, app: str) -> dict[str, str]:
    found = {path: (folder / "live" / app / f"{path}.pem").read_text() for path in module.PARTS}
    accounts = {path.name: path.read_text() for path in sorted(folder.glob("accounts/ca.test:14000/dir/aa11/*"))}
    return {**found, **accounts, "conf": (folder / "renewal" / f"{app}.conf").read_text()}


def test_lineage_comes_back(root: Path, tmp_path: Path) -> None:
    """The newest certificate and its account, of modes that certbot gives, and nothing of others."""
    found = Lineage(root, "shop").read()
    assert len(found["files"]) == 4 + 3 + 1 and not any("1.pem" in path or "desk" in path for path in found["files"])
    fresh = tmp_path / "fresh"
    written = Lineage(fresh, "shop").put_back(found)
    assert written[-1] == "renewal/shop.conf" and texts(fresh, "shop") == texts(root, "shop")
    assert Lineage(fresh, "shop").read() == found
    for path in fresh.rglob("*"):
        if path.is_file() and not path.is_symlink():
            assert path.stat().st_mode & 0o777 == 0o600
    assert (fresh / "archive").stat().st_mode & 0o777 == (fresh / "accounts").stat().st_mode & 0o777 == 0o700
    assert Lineage(fresh, "shop").put_back(found) == [], "what is there stays"
    assert module.digest(found) == module.digest(Lineage(fresh, "shop").read()) != ""
    assert module.digest(Lineage(fresh, "nobody").read()) == ""


@pytest.mark.parametrize(
    ("files", "links"),
    [
        ({"../../root/.ssh/authorized_keys": ""}, {}), ({"accounts/../../x.json": ""}, {}),
        ({"renewal/desk.conf": ""}, {}), ({"/etc/passwd": ""}, {}), ({}, {"live/shop/cert.pem": "/etc/shadow"}),
        ({}, {"live/desk/cert.pem": "../../archive/shop/cert1.pem"}),
    ],
)  # fmt: skip
def test_nothing_else_is_put_back(tmp_path: Path, files: dict[str, str], links: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="of shop's certificate"):
        Lineage(tmp_path / "root", "shop").put_back({"files": files, "links": links})
    assert not (tmp_path / "root").exists()


def test_module_shows_no_key_that_it_is_given(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither where it fails nor where it does not."""
    found = Lineage(root, "shop").read()
    for files, code in ((found["files"], 0), ({**found["files"], "renewal/desk.conf": "x"}, 1)):
        given = {"app": "shop", "kept": {**found, "files": files}, "root": str(tmp_path / f"fresh{code}")}
        with patch_module_args(given), pytest.raises(SystemExit) as ended:
            module.main()
        said = capsys.readouterr().out
        assert ended.value.code == code and "privkey 2" not in said and "aa11 private_key" not in said, said
        assert json.loads(said).get("changed", False) is not bool(code)


def test_lineage_is_removed_and_its_account_when_nobody_has_it(root: Path) -> None:
    others = texts(root, "desk")
    planned = Lineage(root, "shop").remove(dry=True)
    assert texts(root, "shop") and planned == [str(root / path) for path in
                                               ("live/shop", "archive/shop", "renewal/shop.conf")]  # fmt: skip
    assert Lineage(root, "shop").remove(dry=False) == planned
    assert texts(root, "desk") == others and Lineage(root, "shop").remove(dry=False) == []
    gone = Lineage(root, "desk").remove(dry=False)
    assert (
        str(root / "accounts/ca.test:14000/dir/aa11") in gone
        and not (root / "accounts/ca.test:14000/dir/aa11").exists()
    )
    assert (root / "accounts/ca.test:14000/dir/bb22").exists() and (root / "renewal/other.conf").exists()


# --- what the controller keeps

ORDER = ["--cert-name=shop", "--domain=www.example.org"]


class Controller:
    """The action as a run of Ansible has it, with a host that is a folder."""

    def __init__(self, folder: Path, root: Path, password: str = "") -> None:
        self.folder, self.root, self.check, self.asked = folder, root, False, []
        secret = VaultSecret(password.encode())
        self.vault = VaultLib([("default", secret)] if password else [])

    def run(self, restore: bool, order: list[str] = ORDER) -> dict[str, Any]:
        """Run it and return its result."""
        made = action.ActionModule.__new__(action.ActionModule)
        args = {"app": "shop", "folder": str(self.folder), "order": order, "restore": restore}
        made._task = SimpleNamespace(args=args, check_mode=self.check, async_val=0)
        made._loader, made._execute_module = SimpleNamespace(_vault=self.vault), self._module
        made._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
        return made.run(task_vars={"inventory_hostname": "web1"})

    def _module(self, module_args: dict[str, Any], **_: Any) -> dict[str, Any]:
        """What the module does on the host."""
        lineage = Lineage(self.root, "shop")
        self.asked.append(module_args)
        if kept := module_args.get("kept"):
            return {"changed": bool(lineage.put_back(kept))}
        found = lineage.read()
        return {"changed": False, "digest": module.digest(found), **found}


@pytest.mark.parametrize("password", ["", "a password of the vault"])
def test_what_is_kept_comes_back(root: Path, tmp_path: Path, password: str) -> None:
    """Encrypted where the run has a password; nobody else can read it, and a second run writes nothing."""
    kept = Controller(tmp_path / "kept", root, password)
    kept.check = True
    assert kept.run(restore=False)["changed"] and not (tmp_path / "kept").exists()
    kept.check = False
    assert kept.run(restore=False)["changed"]
    (file,) = (tmp_path / "kept").iterdir()
    assert file.name == "web1-shop.json" and file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.read_bytes().startswith(b"$ANSIBLE_VAULT;") is bool(password)
    assert (b"shop privkey" in file.read_bytes()) is not bool(password)
    assert not kept.run(restore=False)["changed"] and kept.asked[-1]["known"]
    fresh = Controller(tmp_path / "kept", tmp_path / "fresh", password)
    assert fresh.run(restore=True)["changed"] and texts(tmp_path / "fresh", "shop") == texts(root, "shop")
    assert not fresh.run(restore=True)["changed"]
    if password:
        told = Controller(tmp_path / "kept", root, "another").run(restore=True)
        assert told["failed"] and str(file) in told["msg"]


def test_account_alone_comes_back_for_another_order(root: Path, tmp_path: Path) -> None:
    Controller(tmp_path / "kept", root).run(restore=False)
    fresh = Controller(tmp_path / "kept", tmp_path / "fresh")
    assert fresh.run(restore=True, order=[*ORDER, "--domain=example.org"])["changed"]
    assert sorted(path.name for path in (tmp_path / "fresh").iterdir()) == ["accounts"]


def test_nothing_is_kept_of_nothing(tmp_path: Path) -> None:
    kept = Controller(tmp_path / "kept", tmp_path / "none")
    assert not kept.run(restore=True)["changed"] and not kept.run(restore=False)["changed"]
    assert not (tmp_path / "kept").exists()
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "web1-shop.json").write_text(json.dumps({"order": ORDER})[:-3])
    assert kept.run(restore=True)["failed"]
