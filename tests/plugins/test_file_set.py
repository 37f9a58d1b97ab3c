"""Several files, folders and links in one step: what is changed, what is told of it, and what is not shown."""

from __future__ import annotations

import getpass
import grp
import importlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

ROOT = Path(__file__).resolve().parents[2]
files = importlib.import_module("ansible_collections.channels.stack.plugins.modules.file_set")
SECRET = "correct horse battery staple"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the module and returns its result; owners are who runs the tests."""
    me = {"owner": getpass.getuser(), "group": grp.getgrgid(os.getgid()).gr_name}

    def ran(*entries: dict[str, Any], check: bool = False, **options: Any) -> dict[str, Any]:
        given = {"entries": [{**me, **entry} for entry in entries], "_ansible_check_mode": check, **options}
        with patch_module_args(given), pytest.raises(SystemExit):
            files.main()
        return json.loads(capsys.readouterr().out)

    return ran


def everything(home: Path) -> list[dict[str, Any]]:
    """Return one entry of each kind."""
    return [
        {"path": str(home / "etc"), "directory": True, "mode": "0750"},
        {"path": str(home / "etc" / "settings"), "content": "a = 1\n"},
        {"path": str(home / "etc" / "env"), "secret": "env", "mode": "0640"},
        {"path": str(home / "etc" / "current"), "link": "settings"},
    ]


def test_all_kinds_are_made_and_found_the_second_time(run: Any, tmp_path: Path) -> None:
    entries = everything(tmp_path)
    first = run(*entries, secrets={"env": f"KEY={SECRET}\n"})
    assert first["changed"] and first["paths"] == [entry["path"] for entry in entries]
    assert (tmp_path / "etc").stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "etc" / "settings").read_text() == "a = 1\n"
    assert (tmp_path / "etc" / "settings").stat().st_mode & 0o7777 == 0o644
    assert (tmp_path / "etc" / "env").read_text() == f"KEY={SECRET}\n"
    assert (tmp_path / "etc" / "env").stat().st_mode & 0o7777 == 0o640
    assert os.readlink(tmp_path / "etc" / "current") == "settings"
    again = run(*entries, secrets={"env": f"KEY={SECRET}\n"})
    assert not again["changed"] and again["paths"] == [] and again["diff"] == []


def test_check_mode_tells_and_makes_nothing(run: Any, tmp_path: Path) -> None:
    told = run(*everything(tmp_path), check=True, secrets={"env": SECRET})
    assert told["changed"] and len(told["paths"]) == 4
    assert not (tmp_path / "etc").exists()


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("settings", {"content": "a = 2\n"}),
        ("settings", {"content": "a = 1\n", "mode": "0600"}),
        ("env", {"secret": "env", "mode": "0600"}),
        ("current", {"link": "env"}),
        ("settings", {"link": "env"}),
    ],
)
def test_each_difference_is_a_change(run: Any, tmp_path: Path, name: str, entry: dict[str, Any]) -> None:
    secrets = {"env": SECRET}
    run(*everything(tmp_path), secrets=secrets)
    changed = {"path": str(tmp_path / "etc" / name), **entry}
    assert run(changed, secrets=secrets, check=True)["paths"] == [changed["path"]]
    told = run(changed, secrets=secrets)
    assert told["paths"] == [changed["path"]] and told["diff"][0]["before"] != told["diff"][0]["after"]
    assert not run(changed, secrets=secrets)["changed"]


def test_differences_are_shown_but_for_secrets(run: Any, tmp_path: Path) -> None:
    run(*everything(tmp_path), secrets={"env": "old\n"})
    entries = everything(tmp_path)
    entries[1]["content"] = "a = 2\n"
    told = run(*entries, secrets={"env": f"KEY={SECRET}\n"})
    assert (told["diff"][0]["before"], told["diff"][0]["after"]) == ("a = 1\n", "a = 2\n")
    assert len(told["diff"]) == 2
    assert SECRET not in json.dumps(told) and "old" not in json.dumps(told["diff"])


def test_link_becomes_a_file_and_what_it_led_to_stays(run: Any, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine\n")
    (tmp_path / "settings").symlink_to("other")
    run({"path": str(tmp_path / "settings"), "content": "a = 1\n"})
    assert not (tmp_path / "settings").is_symlink()
    assert (tmp_path / "other").read_text() == "mine\n"


def test_what_is_to_be_absent_goes_but_for_folders(run: Any, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("a = 1\n")
    (tmp_path / "link").symlink_to("nowhere")
    entries = [{"path": str(tmp_path / name), "absent": True} for name in ("old", "link", "never")]
    paths = [entry["path"] for entry in entries[:2]]
    assert run(*entries, check=True)["paths"] == paths and (tmp_path / "old").exists()
    assert run(*entries)["paths"] == paths
    assert [path.name for path in tmp_path.iterdir() if path.name in ("old", "link")] == []
    assert not run(*entries)["changed"]
    (tmp_path / "folder").mkdir()
    told = run({"path": str(tmp_path / "folder"), "absent": True})
    assert told["failed"] and "was not changed" in told["msg"] and (tmp_path / "folder").is_dir()


def test_what_is_there_is_left_without_force(run: Any, tmp_path: Path) -> None:
    (tmp_path / "settings").write_text("mine\n")
    assert not run({"path": str(tmp_path / "settings"), "content": "a = 1\n", "force": False})["changed"]
    assert (tmp_path / "settings").read_text() == "mine\n"
    assert run({"path": str(tmp_path / "new"), "content": "a = 1\n", "force": False})["changed"]


def test_mode_of_what_is_left_is_mended(run: Any, tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text("mine\n")
    log.chmod(0o644)
    entry = {"path": str(log), "content": "", "force": False, "mode": "0640"}
    assert run(entry, check=True)["changed"] and log.stat().st_mode & 0o777 == 0o644
    assert run(entry)["changed"] and log.stat().st_mode & 0o777 == 0o640
    assert log.read_text() == "mine\n"
    assert not run(entry)["changed"]


def test_trial_that_fails_leaves_a_file_as_it_was(run: Any, tmp_path: Path) -> None:
    """It is made before the file is replaced, and only where that is to be another."""
    path, tried = tmp_path / "settings", tmp_path / "tried"
    entry = {"path": str(path), "content": "a = 1\n"}
    bad = ["sh", "-c", f"echo once >>{tried}; echo it cannot be >&2; exit 3"]
    assert "was not changed, because its trial failed:\nit cannot be" in run({**entry, "validate": bad})["msg"]
    assert not path.exists()
    assert run({**entry, "validate": bad}, check=True)["changed"], "check mode tries nothing"
    assert run({**entry, "validate": ["sh", "-c", f"[ ! -e {path} ]"]})["changed"]
    assert not run({**entry, "validate": bad})["changed"]
    assert "msg" in run({**entry, "content": "a = 2\n", "validate": bad}) and path.read_text() == "a = 1\n"
    assert tried.read_text() == "once\n" * 2


def test_secret_is_never_open_to_others(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even in a run that is killed before the file has its mode."""

    def killed(*_: Any, **__: Any) -> bool:
        raise SystemExit

    monkeypatch.setattr(files.AnsibleModule, "set_fs_attributes_if_different", killed)
    with pytest.raises(json.JSONDecodeError):
        run({"path": str(tmp_path / "env"), "secret": "env", "mode": "0640"}, secrets={"env": SECRET})
    assert (tmp_path / "env").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("entry", [{}, {"link": "x", "directory": True}])
def test_entry_is_of_one_kind(run: Any, tmp_path: Path, entry: dict[str, Any]) -> None:
    told = run({"path": str(tmp_path / "x"), **entry})
    assert told["failed"] and "give one of" in told["msg"] and str(tmp_path / "x") in told["msg"]


def test_missing_folder_is_named(run: Any, tmp_path: Path) -> None:
    told = run({"path": str(tmp_path / "nowhere" / "x"), "link": "y"})
    assert told["failed"] and "nowhere" in told["msg"] and "No such file" in told["msg"]


def test_root_is_not_left_through_a_link(run: Any, tmp_path: Path) -> None:
    """A project may ship a link where its owner writes a file, and root would follow it."""
    (tmp_path / "code" / "real").mkdir(parents=True)
    (tmp_path / "code" / "out").symlink_to("/etc")
    (tmp_path / "code" / "in").symlink_to("real")
    root = str(tmp_path / "code")
    entries = ({"path": "sub", "directory": True}, {"path": "sub/a", "content": "a"}, {"path": "in/b", "content": "b"})
    inside = run(*entries, root=root)
    assert inside["changed"] and (tmp_path / "code" / "real" / "b").read_text() == "b"
    outside = run({"path": "out/c", "content": "c"}, root=root)
    assert outside["failed"] and "a link on it, leads to /etc" in outside["msg"]


def test_root_is_not_left_from_a_folder_within_it(run: Any, tmp_path: Path) -> None:
    """Paths may lead above the folder that they start from, and no further than the root."""
    code = tmp_path / "code"
    (code / "src" / "server").mkdir(parents=True)
    (code / "linked").symlink_to("src/server")
    (code / "away").symlink_to(tmp_path)
    folders = [{"path": "../../config", "directory": True}]
    inside = run(*folders, {"path": "../../config/a", "content": "a"}, {"path": "../b", "content": "b"},
                 {"path": "c", "content": "c"}, root=str(code), base="src/server")  # fmt: skip
    assert inside["paths"] == [str(code / one) for one in ("config", "config/a", "src/b", "src/server/c")], inside
    assert run({"path": "../d", "content": "d"}, root=str(code), base="linked")["changed"]
    assert (code / "src" / "d").read_text() == "d" and not (code / "d").exists()
    (code / "out").symlink_to(tmp_path)
    before = sorted(tmp_path.iterdir())
    for base, path in (("src", "../../x"), ("src", ".."), ("", "../x"), ("away", "x"), ("src", "../out/x")):
        outside = run({"path": path, "content": "x"}, root=str(code), base=base)
        assert outside.get("failed") and f"is not below {code}" in outside["msg"], (base, path, outside)
    assert sorted(tmp_path.iterdir()) == before


def test_better_comments_alone_replace_nothing(run: Any, tmp_path: Path) -> None:
    """What restarts a daemon is replaced if a setting is another one, and then as a whole."""
    path = tmp_path / "limits.conf"
    path.write_text("# old\n[Service]\nLimitNOFILE=9\n")
    entry = {"path": str(path), "only_settings": True, "mode": "0644"}
    kept = run({**entry, "content": "; new\n\n[Service]\n  # newer\nLimitNOFILE=9\n"})
    assert not kept["changed"] and path.read_text().startswith("# old")
    assert run({**entry, "content": "# new\n[Service]\nLimitNOFILE=8\n"})["changed"]
    assert path.read_text() == "# new\n[Service]\nLimitNOFILE=8\n"
    assert run({**entry, "content": "# newer\n[Service]\nLimitNOFILE=8\n", "only_settings": False})["changed"]


def test_trial_reads_the_new_text(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "settings"
    entry = {"path": str(path), "validate": ["grep", "-q", "good", "%s"]}
    assert run({**entry, "content": "good\n"})["changed"]
    assert "its trial failed" in run({**entry, "content": "bad\n"})["msg"]
    assert path.read_text() == "good\n"
