"""The shape of config.yaml: one frozen model per section, with the default of every key.

Ranges are in the models; rules between keys are in `settings.py`. Figures that come from a carrier or a
specification name their source. config.yaml at the root documents every key for the operator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import phonenumbers
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from ussd_engine.flow.model import KEY_PATTERN
from ussd_engine.flow.pager import Profile

EMBEDDED = "embedded"


def _url(*schemes: str) -> AfterValidator:
    """The word `embedded`, or an address with one of `schemes`; what is wrong is said without the address."""

    def check(value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text == EMBEDDED or text.startswith(schemes):
            return value
        raise ValueError(f"must be '{EMBEDDED}' or start with {' or '.join(schemes)}")

    return AfterValidator(check)


def _region(value: str) -> str:
    if value in phonenumbers.SUPPORTED_REGIONS:
        return value
    raise ValueError("must be a two-letter country code of ISO 3166 in capitals, such as KE")


def _header_safe(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text and all("!" <= character <= "~" for character in text):
        return value
    raise ValueError("must be visible ASCII without spaces, as it travels in a header")


class Section(BaseModel):
    """Strict: text is not a number and `yes` is no boolean, so a slip in the file is a finding."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )


class Server(Section):
    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8080, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)


class Api(Section):
    key: Annotated[SecretStr, AfterValidator(_header_safe)] | None = None
    max_body_bytes: int = Field(default=65536, ge=4096, le=16 * 1024 * 1024)
    answer_deadline_s: float = Field(default=25.0, gt=0, le=300)


class Phone(Section):
    default_region: Annotated[str, AfterValidator(_region)] = "KE"


class Redis(Section):
    url: Annotated[SecretStr, _url("redis://", "rediss://", "unix://")] = SecretStr(EMBEDDED)
    timeout_s: float = Field(default=2.0, gt=0, le=60)


class Database(Section):
    url: Annotated[SecretStr, _url("sqlite+aiosqlite://", "postgresql+asyncpg://")] = SecretStr(EMBEDDED)


class Workflows(Section):
    url: Annotated[SecretStr, _url("sqlite://", "postgresql://")] = SecretStr(EMBEDDED)
    # 64 in the database, and with several workers "-NN" is added
    executor_id: str = Field(default="local", pattern=r"^[A-Za-z0-9._-]{1,60}$")
    application_version: str = Field(default="1", pattern=r"^[A-Za-z0-9._-]{1,64}$")


class Flows(Section):
    dir: Annotated[Path, Field(strict=False)] = Path("flows")


class AfricasTalking(Section):
    type: Literal["africastalking"]
    accept_unescaped_plus: bool = False


GATEWAY_ANSWER_MAX_S: Mapping[str, float] = {"africastalking": 10.0}
"""The gateway's own limit by type: Africa's Talking ends a session that is not answered in 10 s (its USSD
overview). Our deadline must be shorter, or the polite answer comes too late to be shown."""

GatewayName = Annotated[str, Field(pattern=r"^[a-z0-9](?:[_-]?[a-z0-9])*$", max_length=128)]


@dataclass(frozen=True, slots=True)
class NetworkProfile:
    """What one mobile network allows, complete.

    `page_septets` and `page_ucs2` are the budget of a page in GSM-7 septets and in UCS-2 code units,
    `input_max` the longest single input in characters. `session_s` is the network's limit on a whole session;
    a session is kept `grace_s` longer, for late callbacks. Defaults: Safaricom through Africa's Talking
    (160 characters, 80 of input, idle 30 s, session 180 s; help article 1284096), the tightest that is
    documented, with an answer deadline of 8 s under the gateway's 10 s; 70 code units keep the same margin
    under 80 as 160 septets keep under 182. The keys are those of the flows where the network has none of its own.
    """

    page_septets: int = 160
    page_ucs2: int = 70
    input_max: int = 80
    idle_s: float = 30.0
    session_s: float = 180.0
    grace_s: float = 60.0
    answer_deadline_s: float = 8.0
    back_key: str | None = None
    home_key: str | None = None
    more_key: str | None = None

    @property
    def profile(self) -> Profile:
        """What the screens need of it."""
        return Profile(
            self.page_septets, self.page_ucs2, self.input_max, self.back_key, self.home_key, self.more_key
        )


class Network(Section):
    """What an operator says of a network; a key that is absent comes from the profile below it.

    The ceilings are those of one USSD string, 160 octets: 182 septets packed (TS 23.038 6.1.2.3) or 80 UCS-2
    code units. The floors leave room for a line of text and the navigation line.
    """

    page_septets: int | None = Field(default=None, ge=40, le=182)
    page_ucs2: int | None = Field(default=None, ge=20, le=80)
    input_max: int | None = Field(default=None, ge=1, le=182)
    idle_s: float | None = Field(default=None, gt=0, le=3600)
    session_s: float | None = Field(default=None, gt=0, le=3600)
    grace_s: float | None = Field(default=None, ge=0, le=3600)
    answer_deadline_s: float | None = Field(default=None, gt=0, le=60)
    back_key: str | None = Field(default=None, pattern=KEY_PATTERN)
    home_key: str | None = Field(default=None, pattern=KEY_PATTERN)
    more_key: str | None = Field(default=None, pattern=KEY_PATTERN)

    def over(self, base: NetworkProfile) -> NetworkProfile:
        return replace(base, **self.model_dump(exclude_none=True))


KNOWN_NETWORKS: Mapping[str, Mapping[str, Any]] = {
    # Airtel Kenya allows 184 characters, which 160 octets cannot carry: 182. Input 90, idle 60 s, session
    # 180 s (Africa's Talking help article 1284071). Its 15 s for an answer do not help: the gateway waits 10.
    "63903": {"page_septets": 182, "page_ucs2": 80, "input_max": 90, "idle_s": 60.0},
}
"""By network code (MCC and MNC as digits). Safaricom (63902) and Equitel (63999) are as the default."""

DEFAULT_NETWORK = "default"
NetworkCode = Annotated[str, Field(pattern=rf"^({DEFAULT_NETWORK}|[0-9]{{5,6}})$")]


class Sandbox(Section):
    slow_s: float = Field(default=15.0, ge=0, le=600)
    approval_s: float = Field(default=30.0, ge=0, le=86400)


class Cbs(Section):
    adapter: Literal["sandbox"] = "sandbox"
    timeout_s: float = Field(default=10.0, gt=0, le=120)
    sandbox: Sandbox = Sandbox()


def _base_url(value: str) -> str:
    if re.fullmatch(r"https://[^/?#@\s]+/?|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?/?", value):
        return value
    raise ValueError("must be https:// and a host, as the key travels to it; http:// only on this machine")


class AfricasTalkingSms(Section):
    """`sender_id`: at most 11 letters and digits (3GPP TS 23.040 9.1.2.5), or a short code of digits."""

    username: str | None = Field(default=None, min_length=1, max_length=64)
    api_key: Annotated[SecretStr, AfterValidator(_header_safe)] | None = None
    sender_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._ -]{1,11}$")
    base_url: Annotated[str, AfterValidator(_base_url)] = "https://api.africastalking.com"
    timeout_s: float = Field(default=30.0, gt=0, le=120)
    reports_name: GatewayName = "africastalking"


class SmsSettings(Section):
    adapter: Literal["console", "africastalking"] = "console"
    africastalking: AfricasTalkingSms = AfricasTalkingSms()


class Approvals(Section):
    automatic: Annotated[
        tuple[Literal["account.open", "subscription.register", "subscription.language"], ...],
        Field(strict=False),
    ] = ("account.open", "subscription.language")
    expire_days: int = Field(default=30, ge=1, le=365)


class Gate(Section):
    attempts: int = Field(default=3, ge=1, le=100)
    lockout_s: float = Field(default=3600.0, gt=0, le=30 * 86400)


def _address(value: str) -> str:
    if re.fullmatch(
        r"https://[^/?#@\s]+[^#@\s]*|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?[^#@\s]*", value
    ):
        return value
    raise ValueError(
        "must be an address with https://, as secrets travel to it; http:// only on this machine"
    )


HttpAddress = Annotated[str, AfterValidator(_address)]


class Identities(Section):
    resolve_phone_by: Annotated[
        tuple[
            Literal["alternate_phone", "wallet", "customer_number", "national_id", "passport", "email"], ...
        ],
        Field(strict=False),
    ] = ("alternate_phone",)


class Camara(Section):
    sim_swap_url: HttpAddress | None = None
    number_recycling_url: HttpAddress | None = None
    token_url: HttpAddress | None = None
    client_id: str | None = Field(default=None, min_length=1)
    client_secret: SecretStr | None = None
    scope: str | None = Field(default=None, min_length=1)


class NumberChecks(Section):
    adapter: Literal["sandbox", "camara"] | None = None
    timeout_s: float = Field(default=3.0, gt=0, le=60)
    sim_swap_within_h: int = Field(default=72, ge=1, le=2400)
    when_unavailable: Literal["allow", "refuse"] = "refuse"
    camara: Camara = Camara()


Action = Literal[
    "subscription.check",
    "subscription.profile",
    "subscription.language",
    "subscription.register",
    "account.open",
    "pin.verify",
    "pin.change",
    "pin.set",
]


class Policy(Section):
    actions: Annotated[tuple[Action, ...], Field(strict=False)] = get_args(Action)
    kyc_tier: int = Field(default=1, ge=1, le=9)
    openings_per_day: int | None = Field(default=None, ge=1)


class Reconcile(Section):
    first_delay_s: float = Field(default=2.0, gt=0, le=3600)
    factor: float = Field(default=2.0, ge=1, le=10)
    max_delay_s: float = Field(default=300.0, gt=0, le=86400)
    give_up_after_s: float = Field(default=86400.0, gt=0, le=30 * 86400)


class Feed(Section):
    listeners: int = Field(default=100, ge=1, le=10_000)
    keep_events: int = Field(default=10_000, ge=100, le=1_000_000)


class Logging(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Keys(Section):
    file: Annotated[Path, Field(strict=False)] | None = None


class Settings(Section):
    """Everything that can be set. Paths are complete once `settings.load` has returned it."""

    server: Server = Server()
    data_dir: Annotated[Path, Field(strict=False)] = Path("var")
    api: Api = Api()
    phone: Phone = Phone()
    redis: Redis = Redis()
    database: Database = Database()
    workflows: Workflows = Workflows()
    flows: Flows = Flows()
    gateways: dict[GatewayName, AfricasTalking] = Field(
        default={"africastalking": AfricasTalking(type="africastalking")}, min_length=1
    )
    networks: dict[NetworkCode, Network] = {}
    cbs: Cbs = Cbs()
    sms: SmsSettings = SmsSettings()
    identities: Identities = Identities()
    number_checks: NumberChecks = NumberChecks()
    gate: Gate = Gate()
    policy: Policy = Policy()
    approvals: Approvals = Approvals()
    reconcile: Reconcile = Reconcile()
    feed: Feed = Feed()
    logging: Logging = Logging()
    keys: Keys = Keys()

    @property
    def key_file(self) -> Path:
        return self.keys.file or self.data_dir / "keys.json"

    @property
    def screens(self) -> Mapping[str, Profile]:
        """What each network shows and takes, for the flows."""
        return {code: network.profile for code, network in self.network_profiles.items()}

    @cached_property
    def network_profiles(self) -> Mapping[str, NetworkProfile]:
        """The complete profile of every code that is known or set, and of `default`."""
        nothing = Network()
        default = self.networks.get(DEFAULT_NETWORK, nothing).over(NetworkProfile())
        codes = {*KNOWN_NETWORKS, *self.networks} - {DEFAULT_NETWORK}
        return {DEFAULT_NETWORK: default} | {
            code: self.networks.get(code, nothing).over(replace(default, **KNOWN_NETWORKS.get(code, {})))
            for code in sorted(codes)
        }

    def network(self, code: str) -> NetworkProfile:
        """The profile of a network; a code that nobody knows gets the default, as the set is open."""
        profiles = self.network_profiles
        return profiles.get(code) or profiles[DEFAULT_NETWORK]
