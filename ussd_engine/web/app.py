"""The web application, put together from services that are built already. Nothing here is global."""

from __future__ import annotations

import logging
from types import MappingProxyType
from typing import TYPE_CHECKING

from aiohttp import web

from ussd_engine.web import feed, openapi
from ussd_engine.web.api_v1 import PREFIX
from ussd_engine.web.callbacks import callback_route, events_route
from ussd_engine.web.health import healthz, readyz_route
from ussd_engine.web.problems import guarded, unmatched
from ussd_engine.web.staff_api import PREFIX as STAFF_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

    from ussd_engine.ports import Gateway
    from ussd_engine.services.callbacks import Callbacks
    from ussd_engine.web.api_v1 import Api
    from ussd_engine.web.feed import Feed
    from ussd_engine.web.health import Check
    from ussd_engine.web.staff_api import StaffApi

SHUTDOWN_S = 30.0
"""Longer than the longest answer (api.answer_deadline_s, 25 s by default), so that a stop cuts none off."""


def build_app(
    *,
    api: Api,
    staff: StaffApi,
    gateways: Mapping[str, Gateway],
    callbacks: Callbacks,
    events: Feed,
    checks: Mapping[str, Check],
    sms_reports: Mapping[str, Handler] = MappingProxyType({}),
) -> web.Application:
    """`gateways` and `sms_reports` by instance name, which is the path; `checks` are what /readyz asks, by name."""
    app = web.Application(client_max_size=api.max_body_bytes)
    for name, gateway in gateways.items():
        # a fixed path per instance: found by one look into a dict, and an unknown name is no route at all
        app.router.add_post(f"/ussd/{name}", callback_route(gateway, callbacks, api.max_body_bytes))
        reports = events_route(gateway, callbacks, api.max_body_bytes)
        app.router.add_post(f"/ussd/{name}/events", guarded(reports))
    for name, take_report in sms_reports.items():
        app.router.add_post(f"/sms/{name}/reports", guarded(take_report))
    app.router.add_post(f"{PREFIX}/subscription/check", guarded(api.check_subscription))
    app.router.add_post(f"{PREFIX}/subscription/register", guarded(api.register_subscription))
    app.router.add_post(f"{PREFIX}/account/register", guarded(api.register_account))
    app.router.add_post(f"{PREFIX}/translations/fetch", guarded(api.fetch_translations))
    app.router.add_get(f"{PREFIX}/openapi.json", guarded(openapi.route(openapi.document())))
    app.router.add_get(f"{STAFF_PREFIX}/openapi.json", guarded(openapi.route(openapi.staff_document())))
    for method, path, handler in staff.routes():
        app.router.add_route(method, path, guarded(handler))
    app.router.add_get(feed.PATH, guarded(events.listen))
    app.on_shutdown.append(events.stop)
    app.router.add_get("/healthz", guarded(healthz))
    app.router.add_get("/readyz", guarded(readyz_route(checks)))
    app.router.add_route("*", "/{any:.*}", unmatched(app.router))
    return app


def runner(app: web.Application) -> web.AppRunner:
    """For serving, without an access log: it would hold the secret paths of the gateways."""
    return web.AppRunner(app, access_log=None, logger=_protocol_log(), shutdown_timeout=SHUTDOWN_S)


def _protocol_log() -> logging.Logger:
    """The server's own log quotes bytes that could not be read as HTTP; they may be anybody's PIN."""
    protocol_log = logging.Logger(f"{__name__}.protocol")  # noqa: LOG001 - one of its own, set up here alone
    protocol_log.addHandler(logging.NullHandler())
    return protocol_log
