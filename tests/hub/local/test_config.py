"""The configuration file: what it may hold, and one sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.errors import InvalidConfiguration
from hub.local.config import MAX_FILE_BYTES, LocalConfig, read_config

OIDC = "oidc: {issuer: 'https://id.example.org', client_id: granary, client_secret_file: secret}\n"


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "granary.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InvalidConfiguration) as raised:
        read_config(path)
    message = raised.value.message
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


def test_no_file_gives_the_defaults():
    assert read_config(None) == LocalConfig()
    assert LocalConfig().platform_admin_group == "granary-admins"


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "{}"])
def test_an_empty_file_gives_the_defaults(tmp_path: Path, content: str):
    assert read_config(written(tmp_path, content)) == LocalConfig()


def test_everything_it_may_hold(tmp_path: Path):
    (tmp_path / "secret").write_text("s")
    (tmp_path / "more.py").write_text("")
    config = read_config(
        written(
            tmp_path,
            OIDC + "teams: [{name: atlas}, {name: borealis, admin_group: chiefs}]\n"
            "contact: the data office\n"
            "public_url: https://hub.example.org/\n"
            "platform_admin_group: root\n"
            "hub_config_files: [more.py]\n",
        )
    )
    assert config.teams is not None
    assert [team.to_domain().admin_group for team in config.teams] == ["atlas-admins", "chiefs"]
    assert config.public_url == "https://hub.example.org"
    assert config.hub_config_files == (tmp_path / "more.py",)
    assert config.oidc is not None
    assert config.oidc.client_secret_file == tmp_path / "secret"
    assert config.oidc.username_claim == "preferred_username"


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "more.py").write_text("")
    written(folder, "hub_config_files: [more.py]\n")
    monkeypatch.chdir(tmp_path)
    assert read_config(Path("site/granary.yaml")).hub_config_files == (folder / "more.py",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("contct: me\n", "there is no setting 'contct'. Did you mean 'contact'?"),
        ("wibble: me\n", "there is no setting 'wibble'."),
        (OIDC.replace("client_id", "clientid"), "oidc.client_id: Field required."),
        (OIDC.replace("}", ", scope: [openid]}"), "'oidc.scope'. Did you mean 'scopes'?"),
        ("teams: [{name: atlas, admins: x}]\n", "'teams.0.admins'. Did you mean 'admin_group'?"),
        ("teams: atlas\n", "teams: "),
        ("teams: [{name: atlas}, {name: atlas}]\n", "named twice, as a team or as a team's admins: atlas"),
        ("teams: [{name: atlas}, {name: x, admin_group: atlas}]\n", "named twice"),
        ("teams: [{name: atlas, admin_group: atlas}]\n", "every member would be an admin"),
        ("teams: [{name: At/las}]\n", "teams.0.name: "),
        ("public_url: hub.example.org\n", "public_url: write an address that begins with http"),
        ("contact: ''\n", "contact: "),
        ("- teams\n", "has to hold settings by name"),
        ("teams\n", "has to hold settings by name"),
        ("0\n", "has to hold settings by name"),
        ("1: atlas\n", "there is no setting '1'."),
        ("teams: [\n", "is no YAML: line 2"),
        ("contact: a: b\n", "is no YAML: line 1: mapping values are not allowed here."),
        ("{{a: b}: c}\n", "is no YAML: line 1"),
        ("a: !!python/object/apply:os.system [true]\n", "is no YAML: line 1"),
        ("day: 2026-13-45\n", "is no YAML: "),
        (b"contact: \xff\xfe\n", "is no YAML: it is not UTF-8 text."),
        (b"contact: a\x00b\n", "is no YAML: "),
    ],
)
def test_each_mistake_is_one_sentence_that_names_it(tmp_path: Path, content: str | bytes, says: str):
    path = written(tmp_path, content)
    message = refusal(path)
    assert message.startswith(str(path))
    assert says in message


def test_a_missing_file(tmp_path: Path):
    path = tmp_path / "nowhere.yaml"
    assert refusal(path) == f"{path} cannot be read: No such file or directory."


def test_a_directory(tmp_path: Path):
    assert "cannot be read" in refusal(tmp_path)


def test_a_file_that_is_too_large(tmp_path: Path):
    assert "larger than 256 KiB" in refusal(written(tmp_path, "#" * (MAX_FILE_BYTES + 1)))
    assert read_config(written(tmp_path, "#" * MAX_FILE_BYTES)) == LocalConfig()


def test_files_it_names_have_to_exist(tmp_path: Path):
    assert f"names {tmp_path / 'secret'}, but" in refusal(written(tmp_path, OIDC))
    assert f"names {tmp_path / 'x.py'}, but" in refusal(written(tmp_path, "hub_config_files: [x.py]\n"))


def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path):
    content = OIDC.replace("client_secret_file: secret", "client_secret: swordfish")
    assert "swordfish" not in refusal(written(tmp_path, content))
