"""Where settings come from, which layer wins, and what a wrong one is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from xintu_cli.configuration import Configuration, read_configuration
from xintu_cli.errors import ConfigurationError, UsageError
from xintu_cli.routing import Policy, Refresh
from xintu_cli.settings import HARMLESS, ProviderConfig, Settings

CANARY = "sk-CANARY-0123456789"


class Machine:
    """The files and the environment of a user; `read` reads the configuration of it all."""

    def __init__(self, directory: Path) -> None:
        self.config = directory / "given.toml"
        self.user = directory / "user.toml"
        self.local = directory / "xintu.toml"

    def read(
        self, flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
    ) -> Configuration:
        return read_configuration(
            flags or {},
            config=self.config if self.config.exists() else None,
            user_file=self.user,
            local_file=self.local,
            environ=environ or {},
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine on which nothing is configured."""
    return Machine(tmp_path)


# ---- precedence ------------------------------------------------------------------------------


def test_with_nothing_said_every_setting_is_its_default(machine: Machine) -> None:
    configuration = machine.read()
    assert configuration.settings == Settings()
    assert configuration.origins == dict.fromkeys(Settings.model_fields, "default")
    assert configuration.files == ()


def test_flag_beats_environment_beats_config_beats_user_beats_local(machine: Machine) -> None:
    layers: list[tuple[str, str]] = []
    for path, value in ((machine.local, "e"), (machine.user, "d"), (machine.config, "c")):
        path.write_text(f'taxonomy = "{value}"', encoding="utf-8")
        layers.append((value, str(path)))
        configuration = machine.read()
        said = configuration.settings.taxonomy, configuration.origins["taxonomy"]
        assert said == layers[-1]
    environ = {"XINTU_TAXONOMY": "b"}
    configuration = machine.read(environ=environ)
    said = configuration.settings.taxonomy, configuration.origins["taxonomy"]
    assert said == ("b", "environment")
    configuration = machine.read({"taxonomy": "a"}, environ)
    said = configuration.settings.taxonomy, configuration.origins["taxonomy"]
    assert said == ("a", "flag")
    assert configuration.files == (machine.config, machine.user, machine.local)


def test_layers_complete_each_other_key_by_key(machine: Machine) -> None:
    machine.user.write_text("concurrency = 4\nhidden = true", encoding="utf-8")
    machine.config.write_text("concurrency = 8", encoding="utf-8")
    configuration = machine.read({"max_calls": 0}, {"XINTU_LANG": "zh"})
    settings = configuration.settings
    values = (settings.concurrency, settings.hidden, settings.max_calls, settings.lang)
    assert values == (8, True, 0, "zh")
    origins = [configuration.origins[key] for key in ("concurrency", "hidden", "wait")]
    assert origins == [str(machine.config), str(machine.user), "default"]


def test_a_flag_that_was_not_given_hides_nothing(machine: Machine) -> None:
    machine.user.write_text("wait = true", encoding="utf-8")
    assert machine.read({"wait": None}).settings.wait is True
    assert machine.read({"wait": False}).settings.wait is False


def test_an_empty_variable_says_nothing(machine: Machine) -> None:
    machine.user.write_text("concurrency = 4", encoding="utf-8")
    assert machine.read(environ={"XINTU_CONCURRENCY": ""}).settings.concurrency == 4


def test_the_environment_may_name_the_config_file(machine: Machine, tmp_path: Path) -> None:
    named = tmp_path / "named.toml"
    named.write_text("concurrency = 4", encoding="utf-8")
    assert machine.read(environ={"XINTU_CONFIG": str(named)}).settings.concurrency == 4


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("XINTU_KEEP_LOCAL", "idcard, pets", "keep_local", ("idcard", "pets")),
        ("XINTU_KEEP_LOCAL", "none", "keep_local", ("none",)),
        ("XINTU_KEEP_LOCAL", '["pets"]', "keep_local", ('["pets"]',)),
        ("XINTU_INCLUDE", "*.jpg,*.heic,", "include", ("*.jpg", "*.heic")),
        ("XINTU_PROVIDER", "qwen,gpt", "provider", ("qwen", "gpt")),
        ("XINTU_MAX_COST", "1.5", "max_cost", 1.5),
        ("XINTU_POLICY", "cascade", "policy", Policy.CASCADE),
        ("XINTU_REFRESH", "stale", "refresh", Refresh.STALE),
        ("XINTU_WAIT", "1", "wait", True),
        ("XINTU_WAIT", "false", "wait", False),
        ("XINTU_NO_PROGRESS", "yes", "no_progress", True),
        ("XINTU_CACHE", "sqlite:///x.db", "cache", "sqlite:///x.db"),
    ],
)
def test_the_environment_is_read_as_what_the_setting_is(
    machine: Machine, variable: str, value: str, field: str, expected: object
) -> None:
    assert getattr(machine.read(environ={variable: value}).settings, field) == expected


@pytest.mark.parametrize("field", sorted(Settings.model_fields))
def test_every_setting_has_its_variable(machine: Machine, field: str) -> None:
    texts = {"lang": "zh", "policy": "cloud", "refresh": "all"}
    value = texts.get(field, "512" if field == "max_edge" else "1")
    configuration = machine.read(environ={f"XINTU_{field.upper()}": value})
    assert configuration.origins[field] == "environment"


def test_variables_that_are_no_settings_are_let_be(machine: Machine) -> None:
    environ = {"XINTU_HOME": "/x", "XINTU_CACHE_PASSWORD": CANARY, "PATH": "/bin"}
    assert machine.read(environ=environ).settings == Settings()


@pytest.mark.parametrize("text", ['include = ["*.jpg", "*.heic"]', 'include = "*.jpg, *.heic"'])
def test_a_file_may_write_a_list_either_way(machine: Machine, text: str) -> None:
    machine.user.write_text(text, encoding="utf-8")
    assert machine.read().settings.include == ("*.jpg", "*.heic")


def test_a_byte_order_mark_is_passed_over(machine: Machine) -> None:
    machine.user.write_text("concurrency = 4", encoding="utf-8-sig")
    assert machine.read().settings.concurrency == 4


# ---- keep_local ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, ("idcard",)),
        (("none",), ()),
        (("pets",), ("pets",)),
        (("none", "pets"), ("pets",)),
        ((), ()),
    ],
)
def test_the_users_word_on_what_is_kept_comes_before_the_taxonomys(
    said: tuple[str, ...] | None, expected: tuple[str, ...]
) -> None:
    assert Settings(keep_local=said).kept_local(("idcard",)) == expected


# ---- providers -------------------------------------------------------------------------------

QWEN = '[[provider]]\nname = "qwen"\nkind = "dashscope"\nmodel = "qwen-vl-max"\n'
HOME = '[[provider]]\nname = "home"\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\n'


def test_provider_tables_are_chosen_in_the_order_they_stand(machine: Machine) -> None:
    machine.user.write_text(QWEN + HOME, encoding="utf-8")
    settings = machine.read().settings
    assert settings.chosen_providers == ("qwen", "home")
    first = settings.provider[0]
    assert isinstance(first, ProviderConfig)
    assert (first.kind, first.model) == ("dashscope", "qwen-vl-max")


@pytest.mark.parametrize("where", ["flag", "environment", "config"])
def test_names_chosen_above_a_file_mean_its_tables(machine: Machine, where: str) -> None:
    machine.user.write_text(QWEN + HOME, encoding="utf-8")
    flags: dict[str, Any] = {}
    environ: dict[str, str] = {}
    if where == "flag":
        flags["provider"] = ["home", "openai"]
    elif where == "environment":
        environ["XINTU_PROVIDER"] = "home,openai"
    else:
        machine.config.write_text('provider = ["home", "openai"]', encoding="utf-8")
    settings = machine.read(flags, environ).settings
    assert settings.chosen_providers == ("home", "openai")
    home, default = settings.provider
    assert isinstance(home, ProviderConfig)
    assert home.base_url == "http://127.0.0.1:1/v1"
    assert default == "openai"


def test_a_table_of_a_higher_file_wins_over_one_of_its_name(machine: Machine) -> None:
    machine.user.write_text(QWEN, encoding="utf-8")
    machine.config.write_text(QWEN.replace("qwen-vl-max", "qwen-vl-plus"), encoding="utf-8")
    [qwen] = machine.read({"provider": ["qwen"]}).settings.provider
    assert isinstance(qwen, ProviderConfig)
    assert qwen.model == "qwen-vl-plus"


@pytest.mark.parametrize(
    ("flags", "environ", "text", "policy"),
    [
        ({"provider": ["openai"]}, {}, "", Policy.HYBRID),
        ({}, {"XINTU_PROVIDER": "openai"}, "", Policy.HYBRID),
        ({}, {}, QWEN, Policy.HYBRID),
        ({"provider": ["openai"]}, {}, 'policy = "local"', Policy.HYBRID),
        ({"provider": ["openai"]}, {"XINTU_POLICY": "local"}, "", Policy.HYBRID),
        ({"provider": ["openai"]}, {}, 'policy = "cascade"', Policy.CASCADE),
        ({"provider": ["openai"], "policy": "local"}, {}, "", Policy.LOCAL),
        ({}, {"XINTU_PROVIDER": "openai"}, 'policy = "local"', Policy.LOCAL),
        ({}, {"XINTU_POLICY": "local"}, QWEN, Policy.LOCAL),
        ({}, {}, 'policy = "local"\n' + QWEN, Policy.LOCAL),
    ],
)
def test_a_provider_that_is_typed_is_asked_and_one_left_lying_opens_no_closed_door(
    machine: Machine, flags: dict[str, Any], environ: dict[str, str], text: str, policy: Policy
) -> None:
    machine.user.write_text(text, encoding="utf-8")
    configuration = machine.read(flags, environ)
    assert configuration.settings.policy is policy
    if policy is Policy.HYBRID:
        assert configuration.origins["policy"] == configuration.origins["provider"]


@pytest.mark.parametrize(
    ("flags", "text"), [({"provider": ["qwen", "qwen"]}, QWEN), ({}, QWEN + QWEN)]
)
def test_a_provider_is_chosen_once(machine: Machine, flags: dict[str, Any], text: str) -> None:
    machine.user.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="the provider 'qwen' is chosen 2 times"):
        machine.read(flags)


# ---- ./xintu.toml ----------------------------------------------------------------------------


def test_a_directory_may_set_only_what_does_no_harm() -> None:
    assert {"taxonomy", "include", "exclude", "lang", "output"} == HARMLESS


@pytest.mark.parametrize("field", sorted(set(Settings.model_fields) - HARMLESS))
def test_a_directory_one_stands_in_decides_nothing_else(machine: Machine, field: str) -> None:
    machine.local.write_text(f"lang = 'zh'\n{field} = 1", encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        machine.read()
    assert str(caught.value) == (
        f"{machine.local}, line 2: {field} may not be set by the directory one stands in, only "
        "exclude, include, lang, output, taxonomy. "
        "Put it into your own configuration (`xintu config path`)."
    )


def test_a_directory_may_bring_its_taxonomy_and_globs(machine: Machine) -> None:
    machine.local.write_text('taxonomy = "t.toml"\nexclude = ["raw/"]', encoding="utf-8")
    settings = machine.read().settings
    assert (settings.taxonomy, settings.exclude) == ("t.toml", ("raw/",))


def test_a_directory_cannot_bring_a_provider_that_a_flag_chooses(machine: Machine) -> None:
    machine.local.write_text(QWEN, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="line 1: provider may not be set"):
        machine.read({"provider": ["qwen"]})


# ---- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("polcy = 'local'", "line 1: there is no setting 'polcy'. Did you mean policy?"),
        (
            "\n# max_calls\nmax-calls = 3",
            "line 3: there is no setting 'max-calls'. Did you mean max_calls?",
        ),
        (
            "[[providers]]\nname='x'",
            "line 1: there is no setting 'providers'. Did you mean provider?",
        ),
        (
            "lang = 'zh'\n'xyzzy' = 1",
            "line 2: there is no setting 'xyzzy'. `xintu config show` lists every key.",
        ),
        (
            "concurrency = 0",
            "line 1: concurrency: input should be greater than or equal to 1 (got 0)",
        ),
        (
            "lang = 'zh'\nconcurrency = 'many'",
            (
                "line 2: concurrency: input should be a valid integer, "
                "unable to parse string as an integer (got 'many')"
            ),
        ),
        (
            "policy = 'locale'",
            (
                "line 1: policy: input should be 'local', 'hybrid', 'cloud' or 'cascade' "
                "(got 'locale')"
            ),
        ),
        (
            "max_cost = nan",
            "line 1: max_cost: input should be a finite number (got nan)",
        ),
        ("max_cost = inf", "line 1: max_cost: input should be a finite number (got inf)"),
        (
            "max_wait_seconds = inf",
            "line 1: max_wait_seconds: input should be a finite number (got inf)",
        ),
        (
            QWEN + "requests_per_minute = inf",
            "line 5: provider.0.requests_per_minute: input should be a finite number",
        ),
        (
            "cascade_threshold = 1.01",
            "line 1: cascade_threshold: input should be less than or equal to 1 (got 1.01)",
        ),
        ("include = [\n1]", "line 1: include.0: input should be a valid string (got 1)"),
        ("cache = 5", "line 1: cache: input should be a valid string"),
        ("provider = 5", "line 1: provider: input should be a list"),
        (
            "[provider]\nname = 'x'",
            "line 1: provider: a table of providers begins with two brackets, [[provider]]",
        ),
        (
            QWEN + "\n[[provider]]\nname = 'b'\nkind = 'opnai'\n",
            "line 8: provider.1.kind: input should be 'dashscope', 'openai' or 'anthropic'",
        ),
        (
            QWEN + "modle = 'x'",
            "line 5: provider.0.modle: there is no such key (did you mean model?)",
        ),
        (
            "[[provider]]\nkind = 'openai'",
            "line 1: provider.0.name: field required",
        ),
        (
            "[[provider]]\nname = 'x'\nknd = 'openai'",
            "line 3: provider.0.knd: there is no such key (did you mean kind?)",
        ),
        (
            QWEN + "[[provider]]\nname = 'local'\nkind = 'openai'",
            "line 6: provider.1.name: must be letters, digits, '.', '_' or '-', and not 'local'",
        ),
        (
            QWEN + "[[provider]]\nname = 'x'\nkind = 'openai'\n[[provider]]\nname = 'y'\nkind = 1",
            "line 10: provider.2.kind: input should be 'dashscope', 'openai' or 'anthropic'",
        ),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_line(machine: Machine, text: str, said: str) -> None:
    machine.user.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        machine.read()
    end = "" if "there is no setting" in said else ". Correct it there."
    assert str(caught.value) == f"{machine.user}, {said}{end}"


def test_a_mistake_is_one_even_where_another_layer_hides_it(machine: Machine) -> None:
    machine.user.write_text("provider = 5\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="line 1: provider"):
        machine.read({"provider": ["qwen"]})
    machine.user.write_text("[[provider]]\nname = 'x'\nkind = 'y'\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"line 3: provider\.0\.kind"):
        machine.read({"provider": ["qwen"]})


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"XINTU_CONCURENCY": "3"},
            (
                "the environment variable XINTU_CONCURENCY is no setting of xintu. "
                "Did you mean XINTU_CONCURRENCY?"
            ),
        ),
        (
            {f"XINTU_{'Z' * 20}": CANARY},
            f"the environment variable XINTU_{'Z' * 20} is no setting of xintu. Unset it.",
        ),
        (
            {"XINTU_CONCURRENCY": "many"},
            (
                "XINTU_CONCURRENCY: input should be a valid integer, unable to parse string as an "
                "integer (got 'many'). Correct it there."
            ),
        ),
        (
            {"XINTU_WAIT": "perhaps"},
            (
                "XINTU_WAIT: input should be a valid boolean, unable to interpret input "
                "(got 'perhaps'). Correct it there."
            ),
        ),
    ],
)
def test_a_mistake_in_the_environment_is_named(
    machine: Machine, environ: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        machine.read(environ=environ)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            {"policy": "clown"},
            "--policy: input should be 'local', 'hybrid', 'cloud' or 'cascade' (got 'clown').",
        ),
        (
            {"max_calls": -1},
            "--max-calls: input should be greater than or equal to 0 (got -1).",
        ),
        ({"refresh": "some"}, "--refresh: input should be 'all' or 'stale' (got 'some')."),
    ],
)
def test_a_wrong_flag_is_a_usage_error(machine: Machine, flags: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        machine.read(flags)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"policy = ", "is not TOML: Invalid value (at end of document)"),
        (b"policy = 'caf\xe9'", "is not TOML: 'utf-8' codec can't decode byte 0xe9"),
        (b"policy = 'a'\npolicy = 'b'", "is not TOML: Cannot overwrite a value"),
    ],
)
def test_a_file_that_is_no_toml_is_named(machine: Machine, content: bytes, said: str) -> None:
    machine.user.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        machine.read()
    assert str(caught.value).startswith(f"the configuration {machine.user} {said}")


def test_a_config_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    with pytest.raises(ConfigurationError) as caught:
        read_configuration({}, config=missing, user_file=tmp_path / "user.toml", environ={})
    assert str(caught.value) == (
        f"there is no configuration file {missing}. Check --config, "
        "or write one with `xintu config init`."
    )


def test_a_directory_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_configuration({}, config=tmp_path, user_file=tmp_path / "user.toml", environ={})
    assert str(caught.value) == (
        f"cannot read the configuration {tmp_path}: Is a directory. Check its permissions."
    )


# ---- secrets ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"cache = ['mysql://me:{CANARY}@host/db']",
        f"[cache]\nurl = 'mysql://me:{CANARY}@host/db'",
        f"provider = {{ name = 'x', api_key = '{CANARY}' }}",
        f"[[provider]]\nname = 'x'\nkind = 'openai'\napi_key = '{CANARY}'",
        f"[[provider]]\nname = 'x'\nkind = '{CANARY}'",
        f"[[provider]]\nname = 'x y {CANARY}'\nkind = 'openai'",
        f"[[provider]]\nname = 'x'\nkind = 'openai'\nprice_in = '{CANARY}'",
        f"api_key = '{CANARY}'",
        f"policy = '{CANARY}\n",
        f"policy = 'local' {CANARY}",
        f"'{CANARY}'",
    ],
)
def test_no_mistake_shows_a_secret(machine: Machine, text: str) -> None:
    machine.user.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        machine.read()
    assert CANARY not in str(caught.value)
