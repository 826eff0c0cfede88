"""The rules of the flow language, one small function each. All run, and all findings are reported.

F0xx the file; F1xx structure; F2xx targets and names; F3xx shape; F4xx input; F5xx texts; F6xx conditions and
values. A rule sees one flow with the whole folder around it, and yields findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain

from ussd_engine.flow import assignment, homeward
from ussd_engine.flow.checks.answers import answers_on_keys, answers_on_keys_of_pages, answers_that_fit
from ussd_engine.flow.checks.conditions import (
    constants,
    expressions,
    leaks,
    phones,
    secret_outputs,
    unsealed,
    wider,
)
from ussd_engine.flow.checks.context import Context, Rule
from ussd_engine.flow.checks.inputs import accept_suits, assigned, navigation_keys, option_keys
from ussd_engine.flow.checks.lists import items
from ussd_engine.flow.checks.shape import (
    ends_somewhere,
    menus_offer,
    reachable,
    silent_flows,
    silent_loops,
    silent_recursion,
)
from ussd_engine.flow.checks.structure import (
    data_declarations,
    resumes_what_is_dialled,
    same_service_code,
    stands_twice,
)
from ussd_engine.flow.checks.targets import actions, calls, cases, data_names, saved_kinds, targets
from ussd_engine.flow.checks.texts import ends, phrases, texts
from ussd_engine.flow.checks.widths import foreign_characters, pages
from ussd_engine.flow.diagnostic import Diagnostic
from ussd_engine.flow.fit import fits
from ussd_engine.flow.model import CallState, Flow
from ussd_engine.flow.pager import DEFAULT_NETWORKS, Profile
from ussd_engine.flow.source import Source
from ussd_engine.flow.vocabulary import ActionSpec

Each = Callable[[Callable[[str], list[Diagnostic]], Iterable[str]], Iterable[list[Diagnostic]]]
"""As `map` over the names of flows."""

RULES: tuple[Rule, ...] = (
    data_declarations,
    stands_twice,
    resumes_what_is_dialled,
    targets,
    cases,
    calls,
    actions,
    data_names,
    option_keys,
    navigation_keys,
    items,
    texts,
    phrases,
    ends,
    foreign_characters,
)
RULES_OF_A_WHOLE_FLOW: tuple[Rule, ...] = (
    accept_suits,
    answers_on_keys,
    answers_that_fit,
    expressions,
    leaks,
    phones,
    constants,
    secret_outputs,
    unsealed,
    wider,
    saved_kinds,
    reachable,
    ends_somewhere,
    menus_offer,
    silent_loops,
)


def run(
    flows: Mapping[str, Flow],
    sources: Mapping[str, Source],
    actions: Mapping[str, ActionSpec],
    names: frozenset[str],
    partial: frozenset[str],
    networks: Mapping[str, Profile] = DEFAULT_NETWORKS,
    each: Each = map,
) -> list[Diagnostic]:
    """All findings over all flows, each checked on its own by `each`.

    A flow in `partial` has stand-ins for broken parts: rules that follow values through it, and rules about what
    it gives to its callers, would report what is not there, so they wait until it is whole.
    """
    whole = {name: flow for name, flow in flows.items() if name not in partial}
    returned = assignment.returns(whole, actions)
    silent = silent_flows(whole)
    home = homeward.calls(whole) if any(map(assignment.leads_home, whole.values())) else {}
    called = set[str]().union(*map(_calls, flows.values()))

    def of_flow(name: str) -> list[Diagnostic]:
        flow = flows[name]
        context = Context(
            flow, sources[name], whole, names, actions, name in called, returned, networks, silent, home
        )
        rules = RULES if name in partial else (*RULES, *RULES_OF_A_WHOLE_FLOW)
        if name in whole and _calls(flow) <= whole.keys():
            rules = (*rules, assigned)
        found = list(chain.from_iterable(rule(context) for rule in rules))
        if name not in partial and all(finding.severity == "warning" for finding in found):
            screens = list(fits(flow, networks))  # what is drawn at its widest must be sound
            found += [*pages(context, screens), *answers_on_keys_of_pages(context, screens)]
        return found

    of_all = [*same_service_code(flows, sources), *silent_recursion(whole, sources, silent)]
    return [*of_all, *chain.from_iterable(each(of_flow, flows))]


def _calls(flow: Flow) -> set[str]:
    return {state.call for state in flow.states.values() if isinstance(state, CallState)}
