"""Typed columns out of a table as it came, with errors that name file, column, count and first rows."""

from collections.abc import Iterable, Mapping

import polars as pl

from learn_features.contracts import columns as c
from learn_features.contracts import times
from learn_features.data.table_files import TableFile
from learn_features.errors import DataError

MAX_ID_LENGTH = 512
MAX_POSITION = 500_000_000
"""A position is as many seconds after a base date (`contracts.times`), and no time lies in the future."""
SHOWN_ROWS = 5
REPLACEMENT = "\ufffd"
"""What stands for bytes that are not UTF-8."""
UTC_US = pl.Datetime("us", "UTC")

_DAY = r"^\s*\d{4}-\d{2}-\d{2}"
_ZONE = r"(?:[Zz]|UTC|:\d{2}(?:\.\d+)?\s*[+-]\d{2}|[+-]\d{2}:?\d{2})$"
_AS_ISO = (
    (r"\s*UTC$", "Z"),
    (r"(:\d{2}(?:\.\d+)?)\s*([+-]\d{2})$", "${1}${2}:00"),
    (r"^(\S{10}[T ]\d{2}:\d{2})\s*([Zz]|[+-]\d{2}:?\d{2})$", "${1}:00${2}"),
    (r"^(\S{10}) ", "${1}T"),
)
"""What databases write, and ISO 8601 without seconds, as its long form."""
_YEARS = (-719_162, 2_932_896)
"""First and last day of Python's years, 1 to 9999, since 1970."""
_UNITS = {"ms": 10**3, "us": 10**6, "ns": 10**9}


class CheckedTable:
    """A table whose columns are taken out under their contract names (`mapping`: contract → file)."""

    def __init__(self, table: TableFile, mapping: Mapping[str, str], known: Iterable[str]) -> None:
        self.path = table.path
        self.frame = table.frame
        self._mapping = mapping
        self._known = frozenset(known)
        self._from_csv = self.path.suffix == ".csv"
        unknown = sorted(set(mapping) - self._known)
        if unknown:
            raise DataError(
                f"{self.path}: the column mapping names {unknown}, which are no columns of this table's "
                f"contract; known are {sorted(self._known)}"
            )
        for name, column in mapping.items():
            if column not in self.frame.columns:
                raise DataError(
                    f"{self.path}: column {column!r}, mapped to {name}, is missing; the file has "
                    f"{self.frame.columns}"
                )

    def name_in_file(self, name: str) -> str:
        return self._mapping.get(name, name)

    def has(self, name: str) -> bool:
        return self.name_in_file(name) in self.frame.columns

    @property
    def further(self) -> list[str]:
        """Columns of the file that are none of the contract's."""
        taken = {self.name_in_file(name) for name in self._known}
        return [column for column in self.frame.columns if column not in taken]

    def all_null(self, name: str) -> bool:
        return self.raw(name).null_count() == self.frame.height

    def raw(self, name: str) -> pl.Series:
        """The column as it came; `DataError` if the file lacks it."""
        column = self.name_in_file(name)
        if column not in self.frame.columns:
            raise DataError(
                f"{self.path}: column {column!r} is missing; the file has {self.frame.columns}. "
                f"Rename it, or map it in learn.yaml under data"
            )
        return self.frame[column]

    def refuse(self, name: str, offending: pl.Series, problem: str, advice: str) -> None:
        """Raise `DataError` with the first offending rows, if there are any (`offending`: boolean)."""
        if offending.any():
            raise DataError(f"{self.path}: {self.describe(name, offending, problem)}; {advice}")

    def describe(self, name: str, offending: pl.Series, problem: str) -> str:
        """`column 'x': 3 of 9 rows …; rows (from 0): 4 ('a'), …`."""
        rows = offending.arg_true()
        column = self.name_in_file(name)
        values = _shown(self.frame[column].gather(rows.head(SHOWN_ROWS)))
        shown = ", ".join(f"{row} ({short(value)})" for row, value in zip(rows, values, strict=False))
        more = ", …" if len(rows) > SHOWN_ROWS else ""
        return (
            f"column {column!r}: {len(rows):,} of {self.frame.height:,} rows {problem}; "
            f"rows (from 0): {shown}{more}"
        )

    def ids(self, name: str) -> pl.Series:
        """Ids as text: from text or whole numbers, none null, empty or over 512 characters."""
        raw = self.raw(name)
        if not (_is_text(raw.dtype) or raw.dtype.is_integer()):
            self._wrong_type(name, "text or whole numbers (whole numbers with gaps turn into decimals)")
        self.refuse(name, raw.is_null(), "are null", "every row needs an id")
        ids = raw.cast(pl.String)
        self.refuse(name, ids == "", "are empty", "every row needs an id")
        broken = ids.str.contains(REPLACEMENT, literal=True)
        advice = "different ids may look alike; write the file again from its source, as UTF-8"
        self.refuse(name, broken, "have bytes that are not UTF-8, or U+FFFD in their place", advice)
        too_long = ids.str.len_chars() > MAX_ID_LENGTH
        self.refuse(name, too_long, f"are longer than {MAX_ID_LENGTH} characters", "shorten them")
        return ids.alias(name)

    def text(self, name: str) -> pl.Series:
        """Optional text, lists joined by commas; blank becomes null.

        A cell of a CSV is text, even where it was a number; see `described`.
        """
        if not self.has(name):
            return pl.Series(name, [None] * self.frame.height, dtype=pl.String)
        raw = self.raw(name)
        if not reads_as_text(raw.dtype):
            self._wrong_type(name, "text or a list of texts")
        if isinstance(raw.dtype, pl.List):
            raw = _joined(raw)
        if raw.dtype == pl.Date:
            self.refuse(name, _beyond_years(raw), "lie outside the years 1 to 9999", "check the unit")
        text = raw.cast(pl.String)
        if raw.dtype.is_float():  # gaps turn whole numbers into decimals
            text = text.str.replace(r"\.0$", "").replace(["NaN", "inf", "-inf"], None)
        blank = text.str.strip_chars() == ""
        return text.to_frame().select(pl.when(~blank).then(text).alias(name)).to_series()

    def described(self, name: str) -> pl.Series:
        """As `text`, where a cell `2001.0` of a CSV is the whole number that other formats tell it is."""
        text = self.text(name)
        return text.str.replace(r"^(-?\d+)\.0$", "${1}") if self._from_csv else text

    def number(self, name: str) -> pl.Series:
        """Optional decimal numbers; NaN and infinity become null."""
        if not self.has(name):
            return pl.Series(name, [None] * self.frame.height, dtype=pl.Float64)
        raw = self.raw(name)
        if _is_text(raw.dtype):
            numbers = raw.cast(pl.String).replace("", None).cast(pl.Float64, strict=False)
            broken = numbers.is_null() & raw.is_not_null() & (raw.cast(pl.String) != "")
            self.refuse(name, broken, "are not numbers", "give plain decimals such as 12.5")
        elif raw.dtype.is_numeric() or raw.dtype == pl.Null:
            numbers = raw.cast(pl.Float64)
        else:
            self._wrong_type(name, "numbers")
        finite = numbers.is_finite().fill_null(False)
        return numbers.to_frame().select(pl.when(finite).then(numbers).alias(name)).to_series()

    def positions(self, name: str) -> pl.Series:
        """Whole numbers from 0 to MAX_POSITION, none null."""
        raw = self.raw(name)
        positions = raw.cast(pl.Int64, strict=False) if _is_text(raw.dtype) else raw
        if not positions.dtype.is_integer():
            self._wrong_type(name, "whole numbers")
        positions = positions.cast(pl.Int64, strict=False)
        self.refuse(
            name, positions.is_null(), "hold no whole number", "give every interaction its place in the order"
        )
        self.refuse(name, positions < 0, "are negative", "count positions from 0")
        beyond = f"are above {MAX_POSITION:,}"
        advice = f"number each user's interactions 0, 1, 2 …; times belong into {c.EVENT_TIMESTAMP}"
        self.refuse(name, positions > MAX_POSITION, beyond, advice)
        return positions.alias(name)

    def times(self, name: str, now_us: int, *, required: bool) -> pl.Series:
        """Times as Datetime(µs, UTC), zoned in the file, from 1974 on and not in the future.

        Taken from zoned timestamps, ISO 8601 text with a zone, or whole microseconds since the epoch.
        """
        if not required and not self.has(name):
            return pl.Series(name, [None] * self.frame.height, dtype=UTC_US)
        raw = self.raw(name)
        moments = self._moments(name, raw)
        if required:
            self.refuse(name, moments.is_null(), "are null", "every interaction needs its time")
        early = (moments.to_physical() < times.EARLIEST_PLAUSIBLE_US).fill_null(False)
        self.refuse(name, early, "lie before 1974", "check the unit; leave out times that are not known")
        ahead = (moments.to_physical() > now_us + times.FUTURE_TOLERANCE_US).fill_null(False)
        now = f"{times.from_us(now_us):%Y-%m-%d %H:%M} UTC"
        self.refuse(name, ahead, f"lie in the future (now: {now})", "check the clock, the unit and the zone")
        return moments.alias(name)

    def _moments(self, name: str, raw: pl.Series) -> pl.Series:
        if raw.dtype == pl.Null:
            return raw.cast(UTC_US)
        if isinstance(raw.dtype, pl.Datetime):
            if raw.dtype.time_zone is None and raw.null_count() == len(raw):
                return raw.cast(UTC_US)
            if raw.dtype.time_zone is None:
                raise DataError(
                    f"{self.path}: column {self.name_in_file(name)!r} has times without a zone "
                    f"(first: {_shown(raw.drop_nulls().head(1))}); write it as timestamp[us, UTC]"
                )
            distant = _beyond_years(raw)
            self.refuse(name, distant, "lie outside the years 1 to 9999", "check the unit of its numbers")
            return raw.dt.convert_time_zone("UTC").dt.cast_time_unit("us")
        if raw.dtype.is_integer():
            small = (raw.cast(pl.Int128).abs() < times.EARLIEST_PLAUSIBLE_US).fill_null(False)
            advice = "whole numbers are microseconds since 1970; these look like seconds or milliseconds"
            self.refuse(name, small, "lie before 1974", advice)
            whole = raw.cast(pl.Int64, strict=False)
            beyond = whole.is_null() & raw.is_not_null()
            self.refuse(name, beyond, "are beyond all times", "check the unit: microseconds since 1970")
            return whole.cast(UTC_US)
        if _is_text(raw.dtype):
            text = raw.cast(pl.String).replace("", None)
            if text.str.contains(r"^\s*-?\d+\s*$").all() and text.null_count() < len(text):
                whole = text.str.strip_chars().cast(pl.Int128, strict=False)
                beyond = whole.is_null() & text.is_not_null()
                self.refuse(name, beyond, "are beyond all times", "check the unit: microseconds since 1970")
                return self._moments(name, whole)
            text = text.str.strip_chars()
            unzoned = text.str.contains(_DAY) & ~text.str.contains(_ZONE)
            advice = "give ISO 8601 such as 2025-03-01T10:00:00Z"
            self.refuse(name, unzoned, "have no time zone", advice)
            for written, iso in _AS_ISO:
                text = text.str.replace(written, iso)
            parsed = text.str.to_datetime("%+", time_unit="us", strict=False)
            self.refuse(name, parsed.is_null() & text.is_not_null(), "are not times", advice)
            return parsed.cast(UTC_US)
        self._wrong_type(name, "times with a zone")
        raise AssertionError("unreachable")

    def _wrong_type(self, name: str, expected: str) -> None:
        raw = self.raw(name)
        raise DataError(
            f"{self.path}: column {self.name_in_file(name)!r} has type {raw.dtype}; expected {expected}; "
            f"first values: {_shown(raw.head(3))}"
        )


def reads_as_text(dtype: pl.DataType) -> bool:
    """Whether values of this type are text, numbers or days, or plain lists of text or numbers."""
    if isinstance(dtype, pl.List):
        return dtype.inner.is_numeric() or dtype.inner == pl.String
    return _is_text(dtype) or dtype.is_numeric() or dtype in (pl.Date, pl.Null)


def _shown(values: pl.Series) -> list[object]:
    """As Python has them; times and days outside its years as numbers."""
    if values.dtype == pl.Duration:
        values = values.to_physical()
    if isinstance(values.dtype, pl.Date | pl.Datetime) and _beyond_years(values).any():
        values = values.to_physical()
    return list(values.to_list())


def _beyond_years(values: pl.Series) -> pl.Series:
    """Which times or days are none of Python's; decided on numbers, as polars' own dates end, too."""
    days, (first, last) = values.to_physical(), _YEARS
    if isinstance(values.dtype, pl.Datetime):
        days = days // (86_400 * _UNITS[values.dtype.time_unit])
        first, last = first + 1, last - 1  # in some zone it is another day
    return ((days < first) | (days > last)).fill_null(False)


def _joined(lists: pl.Series) -> pl.Series:
    """Texts of lists: elements that are neither blank nor no number, as in `contracts.attributes`."""
    element = pl.element()
    said = element.str.strip_chars() != ""
    if isinstance(lists.dtype, pl.List) and lists.dtype.inner.is_float():
        said &= ~element.is_in(["NaN", "inf", "-inf"])
    return lists.cast(pl.List(pl.String)).list.eval(element.filter(said)).list.join(", ")


def _is_text(dtype: pl.DataType) -> bool:
    return dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)


def short(value: object) -> str:
    """A value as an error shows it: quoted, without control characters, cut."""
    text = repr(value) if not hasattr(value, "isoformat") else value.isoformat()
    return text if len(text) <= 40 else text[:39] + "…"
