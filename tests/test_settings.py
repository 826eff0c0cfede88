"""config.yaml and the environment: what is taken, what is refused, and how it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ussd_engine.settings import InvalidSettings, NetworkProfile, Settings, load

ROOT = Path(__file__).parent.parent


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def findings(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        load(write(folder, text), environ or {})
    return [line for d in caught.value.diagnostics for line in d.text().split("\n    ")]


def documented(model: dict[str, object], path: str = "") -> set[str]:
    names: set[str] = set()
    for key, value in model.items():
        below = f"{path}.{key}" if path else key
        names |= documented(value, below) if isinstance(value, dict) else {below}
    return names


# --- what is taken --------------------------------------------------------------------------------------


def test_defaults_hold_without_a_file() -> None:
    """The engine starts with nothing configured: loopback, embedded parts, one Africa's Talking instance."""
    settings = load(None, {})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert settings.redis.url.get_secret_value() == "embedded"
    assert list(settings.gateways) == ["africastalking"]


def test_shipped_file_documents_every_default() -> None:
    """config.yaml at the root names every key with the value that holds without it."""
    shipped, default = load(ROOT / "config.yaml", {}), load(None, {})
    assert shipped.network_profiles == default.network_profiles
    same = {"networks", "data_dir", "flows"}
    assert shipped.model_dump(exclude=same) == default.model_dump(exclude=same)
    named = (ROOT / "config.yaml").read_text()
    for key in documented(default.model_dump()):
        assert f"{key.rsplit('.', 1)[-1]}:" in named


def test_empty_sections_keep_their_defaults(tmp_path: Path) -> None:
    """A section with all its keys commented out is as if it were not there."""
    assert load(write(tmp_path, "server:\n  # port: 1\ncbs:\n  sandbox:\n"), {}).server.port == 8080
    assert load(write(tmp_path, ""), {}).server.port == 8080


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    """A path in the file means the same from whatever folder the engine is started."""
    settings = load(write(tmp_path, "data_dir: d\nflows: {dir: /srv/flows}\nkeys: {file: k.json}\n"), {})
    assert settings.data_dir == tmp_path / "d"
    assert settings.flows.dir == Path("/srv/flows")
    assert settings.key_file == tmp_path / "k.json"


def test_key_ring_is_in_the_data_folder_unless_it_is_set(tmp_path: Path) -> None:
    """The key ring lies with the data that it seals, unless an operator puts it elsewhere."""
    assert load(write(tmp_path, "data_dir: state\n"), {}).key_file == tmp_path / "state" / "keys.json"


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("USSD__SERVER__PORT", "9000", lambda s: s.server.port == 9000),
        ("ussd__Server__port", "9000", lambda s: s.server.port == 9000),
        ("USSD__DATA_DIR", "/srv/data", lambda s: s.data_dir == Path("/srv/data")),
        ("USSD__REDIS__TIMEOUT_S", "1", lambda s: s.redis.timeout_s == 1.0),
        ("USSD__WORKFLOWS__APPLICATION_VERSION", "2", lambda s: s.workflows.application_version == "2"),
        ("USSD__API__KEY", "12345", lambda s: s.api.key.get_secret_value() == "12345"),
        ("USSD__API__KEY", "null", lambda s: s.api.key is None),
        (
            "USSD__APPROVALS__AUTOMATIC",
            "account.open, subscription.register",
            lambda s: len(s.approvals.automatic) == 2,
        ),
        (
            "USSD__APPROVALS__AUTOMATIC",
            '["account.open"]',
            lambda s: s.approvals.automatic == ("account.open",),
        ),
        ("USSD__APPROVALS__EXPIRE_DAYS", "7", lambda s: s.approvals.expire_days == 7),
        ("USSD__APPROVALS__AUTOMATIC", "", lambda s: s.approvals.automatic == ()),
        ("USSD__CBS__SANDBOX__SLOW_S", "0.5", lambda s: s.cbs.sandbox.slow_s == 0.5),
        (
            "USSD__GATEWAYS__AFRICASTALKING__ACCEPT_UNESCAPED_PLUS",
            "true",
            lambda s: s.gateways["africastalking"].accept_unescaped_plus is True,
        ),
        ("USSD__GATEWAYS__R4ND0M__TYPE", "africastalking", lambda s: "r4nd0m" in s.gateways),
        ("USSD__NETWORKS__63902__PAGE_SEPTETS", "150", lambda s: s.network("63902").page_septets == 150),
    ],
)
def test_a_variable_sets_a_key(name: str, value: str, read: Callable[[Settings], bool]) -> None:
    """Every key can be set by its variable, whatever its type and whatever the case of the name."""
    assert read(load(None, {name: value}))


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    """What is set for one process is stronger than what is written for all; the rest of a section stays."""
    path = write(tmp_path, "server: {host: 127.0.0.2, port: 1}\n")
    server = load(path, {"USSD__SERVER__PORT": "2"}).server
    assert (server.host, server.port) == ("127.0.0.2", 2)


def test_other_variables_are_nobodys_business() -> None:
    """Only names that start with USSD__ are ours."""
    assert load(None, {"USSD_SERVER": "x", "PATH": "/bin"}) == load(None, {})


# --- networks -------------------------------------------------------------------------------------------


def test_unknown_network_has_the_default_profile() -> None:
    """Network codes are an open set: one that nobody has seen is served as the default."""
    assert load(None, {}).network("99999") == NetworkProfile()


def test_airtel_kenya_is_known() -> None:
    """Airtel Kenya shows longer pages and waits longer than the default."""
    airtel = load(None, {}).network("63903")
    assert (airtel.page_septets, airtel.input_max, airtel.idle_s) == (182, 90, 60.0)
    assert airtel.session_s == NetworkProfile().session_s


def test_network_entry_changes_only_its_own_keys(tmp_path: Path) -> None:
    """An entry lies over the known network, which lies over the operator's default."""
    text = 'networks:\n  default: {grace_s: 90.0}\n  "63903": {page_septets: 170}\n'
    settings = load(write(tmp_path, text), {})
    airtel = settings.network("63903")
    assert (airtel.page_septets, airtel.idle_s, airtel.grace_s) == (170, 60.0, 90.0)
    assert settings.network("63902") == NetworkProfile(grace_s=90.0)


# --- what is refused ------------------------------------------------------------------------------------


def test_every_finding_is_reported_at_once(tmp_path: Path) -> None:
    """An operator mends a file in one go: each finding has its file, line and column."""
    text = "server:\n  prot: 8081\n  host: 5\nphone: {default_region: ke}\nservr: {}\n"
    assert [line.removesuffix(" in capitals, such as KE") for line in findings(tmp_path, text)] == [
        "config.yaml:2:3: error C104 unknown key 'server.prot'",
        "hint: did you mean 'port'?",
        "config.yaml:3:9: error C106 'server.host' must be a valid string",
        "config.yaml:4:25: error C106 'phone.default_region' must be a two-letter country code of ISO 3166",
        "config.yaml:5:1: error C104 unknown key 'servr'",
        "hint: did you mean 'server'?",
    ]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("server: [", "config.yaml:1:10: error C101 is not valid YAML"),
        ("- server\n", "config.yaml:1:1: error C106 must hold sections, such as 'server:'"),
        ("data_dir: a\ndata_dir: b\n", "config.yaml:2:1: error C102 key 'data_dir' stands twice"),
        ("data_dir: &a x\nflows: {dir: *a}\n", "config.yaml:2:14: error C103 repeats another place"),
        (
            "gateways: {x: {accept_unescaped_plus: true}}\n",
            "config.yaml:1:15: error C105 'gateways.x.type' is",
        ),
        (
            "server: {port: 65536}\n",
            "config.yaml:1:16: error C106 'server.port' must be less than or equal to 65",
        ),
        ("server: {port: '80'}\n", "config.yaml:1:16: error C106 'server.port' must be a valid integer"),
        ("server: 8080\n", "config.yaml:1:9: error C106 'server' must be a valid dictionary"),
        (
            "gateways: {x: {type: africastalking, accept_unescaped_plus: yes}}\n",
            "config.yaml:1:61: error C106 'gateways.x.accept_unescaped_plus' must be a valid boolean",
        ),
        (
            "gateways: {a/b: {type: africastalking}}\n",
            "config.yaml:1:12: error C106 'gateways.a/b' must match",
        ),
        ("gateways: {}\n", "config.yaml:1:11: error C106 'gateways' must have at least 1 item"),
        (
            "gateways: {x: {type: smoke}}\n",
            "config.yaml:1:22: error C106 'gateways.x.type' must be 'africastalking'",
        ),
        ("networks: {safaricom: {}}\n", "config.yaml:1:12: error C106 'networks.safaricom' must match"),
        (
            "networks: {default: {page_septets: 183}}\n",
            "config.yaml:1:36: error C106 'networks.default.page_septets'",
        ),
        (
            "redis: {url: 'localhost:6379'}\n",
            "config.yaml:1:14: error C106 'redis.url' must be 'embedded' or start",
        ),
        ("api: {key: 'two words'}\n", "config.yaml:1:12: error C106 'api.key' must be visible ASCII"),
        (
            "networks: {default: {answer_deadline_s: 10.0}}\n",
            "config.yaml:1:41: error C107 an answer of network",
        ),
        (
            "networks: {'63902': {idle_s: 200.0}}\n",
            "config.yaml:1:30: error C107 idle_s of network '63902' is",
        ),
        ("redis: {timeout_s: 4.0}\n", "config.yaml:1:20: error C107 two round trips"),
        (
            "cbs: {timeout_s: 25.0}\n",
            "config.yaml:1:18: error C107 must be shorter than api.answer_deadline_s",
        ),
        (
            "sms: {adapter: africastalking, africastalking: {username: u}}\n",
            "config.yaml:1:48: error C107 sms.adapter africastalking needs sms.africastalking.api_key",
        ),
        ("sms: {adapter: smoke}\n", "config.yaml:1:16: error C106 'sms.adapter' must be 'console' or"),
        (
            "sms: {africastalking: {base_url: 'http://api.sample.test'}}\n",
            "config.yaml:1:34: error C106 'sms.africastalking.base_url' must be https://",
        ),
        (
            "sms: {africastalking: {sender_id: 'ACME BANK KENYA'}}\n",
            "config.yaml:1:35: error C106 'sms.africastalking.sender_id' must match",
        ),
        ("reconcile: {first_delay_s: 400.0}\n", "config.yaml:1:28: error C107 must not be longer than"),
    ],
)
def test_a_wrong_file_is_refused_where_it_is_wrong(tmp_path: Path, text: str, finding: str) -> None:
    """Whatever is wrong in the file is said with its place, and nothing starts."""
    assert findings(tmp_path, text)[0].startswith(finding)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A file that was asked for by name must exist: defaults never stand in for it."""
    with pytest.raises(InvalidSettings, match=r"none\.yaml:1:1: error C101 cannot be read"):
        load(tmp_path / "none.yaml", {})


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        (
            "USSD__SERVER__PROT",
            "1",
            "error C104 is not a setting\n    hint: did you mean 'USSD__SERVER__PORT'?",
        ),
        (
            "USSD__SERVR__PORT",
            "1",
            "error C104 is not a setting\n    hint: did you mean 'USSD__SERVER__PORT'?",
        ),
        ("USSD__SERVER", "x", "error C104 names a section, not a key"),
        ("USSD__", "x", "error C104 is not a setting"),
        ("USSD__SERVER__PORT__X", "x", "error C104 is not a setting"),
        ("USSD__SERVER__PORT", "many", "error C106 'server.port' must be a valid integer"),
        ("USSD__SERVER__PORT", "'1", "error C106 'server.port' must be a valid integer"),
        ("USSD__APPROVALS__AUTOMATIC", "[1", "error C106 'approvals.automatic' must be a valid tuple"),
        ("USSD__GATEWAYS__A!__TYPE", "africastalking", "error C106 'gateways.a!' must match"),
        ("USSD__NETWORKS__63902__ANSWER_DEADLINE_S", "12", "error C107 an answer of network '63902'"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(name: str, value: str, finding: str) -> None:
    """A variable that sets nothing, or sets it wrongly, is named: a typo never passes for a setting."""
    with pytest.raises(InvalidSettings) as caught:
        load(None, {name: value})
    assert str(caught.value).startswith(f"{name}:1:1: {finding}")


def test_two_spellings_of_one_variable_are_refused() -> None:
    """Of two values for one key neither wins."""
    with pytest.raises(InvalidSettings, match="C102 is set as USSD__SERVER__PORT too"):
        load(None, {"USSD__SERVER__PORT": "1", "ussd__server__port": "2"})


def test_a_variable_does_not_hide_a_broken_section(tmp_path: Path) -> None:
    """A section that is none stays a finding, also when a variable sets a key of it."""
    assert "'server' must be a valid dictionary" in " ".join(
        findings(tmp_path, "server: 5\n", {"USSD__SERVER__PORT": "1"})
    )


def test_key_of_the_sms_sender_is_not_shown(tmp_path: Path) -> None:
    """Whoever sees it sends messages in the bank's name, and at its cost."""
    settings = load(write(tmp_path, "sms: {africastalking: {api_key: hunter2}}\n"), {})
    assert "hunter2" not in f"{settings!r} {settings}"
    assert "hunter2" not in " ".join(findings(tmp_path, "sms: {africastalking: {api_key: 'x hunter2'}}\n"))


@pytest.mark.parametrize("key", ["redis.url", "database.url", "workflows.url", "api.key"])
def test_secrets_are_not_shown(tmp_path: Path, key: str) -> None:
    """A password or key stands in no message and in no printed form of the settings."""
    section, name = key.split(".")
    good = {"url": "postgresql+asyncpg://ussd:hunter2@db/ussd", "key": "hunter2hunter2"}
    good |= {"redis.url": "redis://:hunter2@cache", "workflows.url": "postgresql://ussd:hunter2@db/ussd"}
    value = good.get(key) or good[name]
    settings = load(write(tmp_path, f"{section}: {{{name}: '{value}'}}\n"), {})
    assert "hunter2" not in f"{settings!r} {settings}"
    for wrong in (f"{section}: {{{name}: 'x hunter2'}}\n", f"{section}: {{{name}: ['hunter2']}}\n"):
        assert "hunter2" not in " ".join(findings(tmp_path, wrong))


def test_settings_do_not_change() -> None:
    """What was checked at the start is what holds to the end."""
    with pytest.raises(ValueError, match="frozen"):
        load(None, {}).server.__setattr__("port", 1)
