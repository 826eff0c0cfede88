"""Checked flows to a program. Nothing here can fail for a library that `flow.loader` gave out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from ussd_engine.flow import model as m
from ussd_engine.flow.checks.kinds import declared_kinds, is_secret, kinds_of
from ussd_engine.flow.graph import edges, ways
from ussd_engine.flow.guards import Compiler, Expression
from ussd_engine.flow.loader import Library
from ussd_engine.flow.phrases import PHRASES, needed
from ussd_engine.flow.text import Slot, per_language, pieces
from ussd_engine.flow.values import limits
from ussd_engine.flow.vocabulary import KIND_OF_TYPE, ActionSpec, Kind
from ussd_engine.runtime import program as p
from ussd_engine.runtime.table import Table

EMPTY: Mapping[str, p.Scalar] = {"string": "", "int": 0, "bool": False}


def compile_library(library: Library, actions: Mapping[str, ActionSpec], region: str) -> p.Program:
    """`region` completes phone numbers that subscribers type, where the flow does not say another one."""
    flows = {
        name: _Compilation(flow, library, actions, region).flow() for name, flow in library.flows.items()
    }
    dial = {code: name for name, flow in library.flows.items() for code in flow.dial}
    return p.Program(revision_of(library), flows, dial)


def revision_of(library: Library) -> str:
    """A digest of its content: the same flows and SMS texts, the same revision.

    What is as it is by default is left out: a key that the language gets later changes no revision.
    """
    flows = {
        name: flow.model_dump(mode="json", exclude_defaults=True) for name, flow in library.flows.items()
    }
    content = {"flows": flows, "sms": library.sms.texts}
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


class _Compilation:
    """One flow on its way into a program."""

    def __init__(
        self, flow: m.Flow, library: Library, actions: Mapping[str, ActionSpec], region: str
    ) -> None:
        self.model = flow
        self.library = library
        self.actions = actions
        self.kinds = kinds_of(flow)
        self.cel = Compiler(self.kinds)
        self.data = {name: _declared(name, data, region) for name, data in flow.data.items()}
        self.phrases = {key: self.phrase(key) for key in needed(flow.resume)}

    def flow(self) -> p.CompiledFlow:
        flow = self.model
        moves = [(edge.label, edge.source, edge.target) for edge in edges(flow)]
        return p.CompiledFlow(
            name=flow.flow,
            start=flow.start,
            home=flow.home or flow.start,
            languages=tuple(flow.languages),
            data=self.data,
            nodes={name: self.node(name, state) for name, state in flow.states.items()},
            table=Table(flow.flow, flow.states, flow.start, moves),
            phrases=self.phrases,
            more=flow.keys.more,
            resume=flow.resume,
            resume_within_s=flow.resume_within_min * 60.0,
        )

    def phrase(self, key: str) -> p.Texts:
        own = getattr(self.model.texts, key)
        return self.texts(own if own is not None else {x: PHRASES[key][x] for x in self.model.languages})

    def texts(self, text: str | Mapping[str, str]) -> p.Texts:
        by_language = per_language(text, self.model.languages)
        return {language: pieces(single) for language, single in by_language.items()}

    def goto(self, goto: Any, label: str) -> p.Goto:
        return tuple(
            p.Case(self.cel.compile(way.when, "bool") if way.when else None, way.label)
            for way in ways(goto, label, ())
        )

    def gotos(self, outcomes: Mapping[str, Any]) -> dict[str, p.Goto]:
        return {outcome: self.goto(goto, f"on.{outcome}") for outcome, goto in outcomes.items()}

    def key(self, key: str, switch: str) -> str | None:
        return key if key != "off" and switch == "on" else None

    def node(self, name: str, state: m.State) -> p.Node:
        match state:
            case m.MenuState():
                return self.menu(name, state)
            case m.AskState():
                return self.ask(name, state)
            case m.ListState():
                return self.list(name, state)
            case m.ActionState():
                return self.action(name, state)
            case m.CallState():
                inputs = self.expressions(state.inputs, declared_kinds(self.library.flows[state.call]))
                return p.Call(name, state.call, inputs, state.save, self.gotos(state.outcomes))
            case m.RouteState():
                return p.Route(name, self.goto(state.route, "case"))
            case m.EndState():
                text = self.texts(state.end) if state.end is not None else None
                return p.End(name, text, state.outcome, text is not None and self.static(text))

    def static(self, *texts: p.Texts) -> bool:
        """Whether a screen of these texts, with the engine's own words, is the same for every session."""
        return all(map(_literal, (*texts, *self.phrases.values())))

    def expressions(self, sources: Mapping[str, str], kinds: Mapping[str, Kind]) -> dict[str, Expression]:
        return {name: self.cel.compile(source, kinds[name]) for name, source in sources.items()}

    def menu(self, name: str, state: m.MenuState) -> p.Menu:
        options = tuple(
            p.Option(
                key=option.key,
                text=self.texts(option.text),
                goto=self.goto(option.goto, f"option.{number}"),
                when=self.cel.compile(option.when, "bool") if option.when else None,
                sets=self.expressions(option.set, self.kinds),
            )
            for number, option in enumerate(state.options, 1)
        )
        text = self.texts(state.menu)
        static = self.static(text, *(option.text for option in options))
        static = static and all(option.when is None for option in options)
        keys, own = self.model.keys, frozenset(m.keys_of(state))
        back = self.key(keys.back, state.back)
        # An option may have the key where no screen lies behind; then it is no key between pages either.
        if back in own:
            back = None
        return p.Menu(name, text, options, own, back, self.key(keys.home, state.home), static)

    def ask(self, name: str, state: m.AskState) -> p.Ask:
        accept = state.accept
        when = None
        if accept.when is not None:
            when = Compiler({**self.kinds, "answer": "string"}).compile(accept.when, "bool")
        keys = self.model.keys
        text = self.texts(state.ask)
        wrong = self.texts(state.wrong) if state.wrong is not None else self.phrases["wrong_answer"]
        return p.Ask(
            name=name,
            text=text,
            save=self.data[state.save],
            accept=p.Accept(accept.date, accept.min_age, accept.max_age, accept.min, accept.max, when),
            wrong=wrong,
            max_tries=state.tries.max if state.tries else None,
            goto=self.goto(state.goto, "answer"),
            back=self.key(keys.back, state.back),
            home=self.key(keys.home, state.home),
            static=self.static(text, wrong),
        )

    def list(self, name: str, state: m.ListState) -> p.List:
        return p.List(
            name=name,
            text=self.texts(state.list),
            of=state.of,
            item=self.texts(state.item),
            save=state.save,
            goto=self.goto(state.goto, "item"),
            back=self.key(self.model.keys.back, state.back),
            home=self.key(self.model.keys.home, state.home),
        )

    def action(self, name: str, state: m.ActionState) -> p.Action:
        spec = self.actions[state.action]
        inputs = self.expressions(state.inputs, {key: value.kind for key, value in spec.inputs.items()})
        return p.Action(name, spec.name, spec.effect, inputs, state.save, self.gotos(state.outcomes))


def _literal(texts: p.Texts) -> bool:
    return not any(isinstance(piece, Slot) for template in texts.values() for piece in template)


def _declared(name: str, data: m.Data, region: str) -> p.Declared:
    least, most = limits(data.type, data.min, data.max)
    default: p.Value | None = data.default
    if default is None:
        default = () if data.type == "list" else EMPTY[KIND_OF_TYPE[data.type]]
    return p.Declared(
        name=name,
        type=data.type,
        secret=is_secret(data),
        max=most,
        min=least,
        of=tuple(data.of or ()),
        region=data.region or region,
        default=default,
        item={
            key: _declared(key, m.Data(**field.model_dump()), region)
            for key, field in (data.item or {}).items()
        },
    )
