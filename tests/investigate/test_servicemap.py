"""Names of services: which have data where, and which line would make two names one."""

import pandas as pd

from opslib.core.evidence import SourceNote
from opslib.core.outcome import Outcome
from opslib.core.settings import Environment
from opslib.core.windows import Window
from opslib.investigate.servicemap import Names, check_names, names_in
from opslib.telemetry import Sources
from opslib.telemetry.protocols import Frame

NOTE = SourceNote("log", "x", "", "", 0)


def checks(services, **signals):
    sets = {name: None if names is None else frozenset(names) for name, names in signals.items()}
    return list(check_names(Environment("prod", services=services), Names(**sets)))


def test_services_with_data_everywhere_pass_in_one_line():
    (check,) = checks({"payment": {}}, traces={"payment", "other"}, logs={"payment"}, metrics={"payment"})
    assert check.outcome is Outcome.PASS
    assert "payment have data in traces, logs, metrics" in check.statement


def test_without_a_map_those_of_the_traces_are_looked_for():
    found = checks({}, traces={"payment", "risk"}, logs={"payment", "risk"}, metrics=None)
    assert [c.outcome for c in found] == [Outcome.PASS]


def test_another_name_is_proposed_as_a_line_of_the_environment():
    (check,) = checks(
        {"payment": {}}, traces={"payment-service"}, logs={"payment"}, metrics={"PaymentSvc", "risk"}
    )
    assert check.outcome is Outcome.NO_DATA
    assert '[environments.prod.services.payment] traces = "payment-service"' in check.hint
    assert 'metrics = {label = "service_name", value = "PaymentSvc"}' in check.hint


def test_a_name_that_another_service_bears_is_not_proposed():
    found = checks({"payment": {}, "payments": {}}, traces={"payments"}, logs=None, metrics=None)
    assert [c.hint for c in found if "payments" not in c.name] == [
        "is it instrumented, and under which name? add it to the service map"
    ]


def test_no_data_at_all_is_one_line():
    (check,) = checks({"payment": {}}, traces=set(), logs=set(), metrics=None)
    assert (check.name, check.outcome) == ("service map", Outcome.NO_DATA)


class Source:
    def services(self, window):
        return ("payment",)

    def log_rates(self, window, step_s):
        assert step_s == 900
        return Frame(pd.DataFrame({"service_name": ["risk", "risk", ""]}), NOTE)

    def metrics(self, window):
        return Frame(pd.DataFrame({"service_name": ["ledger", None]}), NOTE)


def test_names_are_asked_of_each_source_that_is_named():
    names = names_in(Sources(Source(), Source(), Source()), Window(0, 900 * 10**9))
    assert names.by_signal() == {"traces": {"payment"}, "logs": {"risk"}, "metrics": {"ledger"}}
    assert names_in(Sources(Source()), Window(0, 900 * 10**9)).by_signal() == {"traces": {"payment"}}
