"""A value outside of the bounds of its annotation is refused before it is sent, exactly where pydantic refuses it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from tests.unit.forms.test_kinds import takes
from webapp.forms.fields import form_of
from webapp.forms.formats import span
from webapp.forms.parse import read
from webapp.worker.describe import schema_of

NOON = datetime(2024, 1, 1, 12)  # noqa: DTZ001
EAST = timezone(timedelta(hours=3))
SPANS = st.timedeltas(timedelta(days=-3), timedelta(days=3))
MOMENTS = st.datetimes(NOON - timedelta(days=2), NOON + timedelta(days=2), timezones=st.sampled_from([UTC, EAST]))
DECIMALS = st.builds(
    lambda digits, places: Decimal(digits).scaleb(places), st.integers(-(10**7), 10**7), st.integers(-7, 4)
)
BOUNDED: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Annotated[Decimal, Field(max_digits=5, decimal_places=2)], DECIMALS),
    (Annotated[Decimal, Field(max_digits=4)], DECIMALS),
    (Annotated[Decimal, Field(decimal_places=1)], DECIMALS),
    (Annotated[Decimal, Field(ge=Decimal("0.1"), lt=Decimal("7.3"))], st.sampled_from(["0.1", "7.3", "0.09"])),
    (Annotated[date, Field(gt=date(2024, 1, 1), le=date(2024, 1, 3))], st.dates(date(2023, 12, 29), date(2024, 1, 5))),
    (Annotated[datetime, Field(ge=NOON)], MOMENTS),
    (Annotated[datetime, Field(gt=NOON.replace(tzinfo=EAST), lt=NOON.replace(day=2, tzinfo=UTC))], MOMENTS),
    (Annotated[time, Field(ge=time(9), lt=time(17, 30))], st.times()),
    (Annotated[timedelta, Field(ge=timedelta(hours=-1), le=timedelta(days=1))], SPANS),
]


@pytest.mark.parametrize(("annotation", "values"), BOUNDED, ids=lambda part: str(part)[:60])
def test_the_form_refuses_what_pydantic_refuses(annotation: Any, values: st.SearchStrategy[Any]) -> None:
    form = form_of(schema_of(takes(annotation)))

    @given(values)
    def agree(value: Any) -> None:
        try:
            TypeAdapter(annotation).validate_python(value)
            fits = True
        except ValidationError:
            fits = False
        assert read(form, {"p.value": [str(value)]}).ok is fits

    agree()


def test_bounds_are_said_beside_the_field_and_in_the_message() -> None:
    def task(price: Any, start: Any) -> None: ...

    task.__annotations__ = {
        "price": Annotated[Decimal, Field(max_digits=5, decimal_places=1)],
        "start": Annotated[timedelta, Field(ge=timedelta(minutes=5))],
    }
    reading = read(form_of(schema_of(task)), {"p.price": ["12345.0"], "p.start": ["1 min"]})
    price, start = reading.form.fields
    assert price.type_text == "decimal number, at most 5 digits, at most 1 digit after the point"
    assert price.error == "This has too many digits; it may have at most 4 digits before the point."
    assert start.type_text.endswith("sent as a number of seconds, at least 0:05:00")
    assert start.error == "This is not allowed; it must be at least 0:05:00."


@given(st.timedeltas(max_value=timedelta(days=999_999_999)))
def test_a_time_span_is_read_as_python_writes_it(length: timedelta) -> None:
    assert span(str(length)) == pytest.approx(length.total_seconds(), rel=1e-12, abs=1e-6)


def test_a_sign_without_days_is_that_of_the_whole() -> None:
    assert [span(text) for text in ("-1 day, 23:00:00", "-1:30:00", "-2 days", "-PT1H")] == [
        -3_600,
        -5_400,
        -172_800,
        -3_600,
    ]
