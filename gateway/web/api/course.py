"""API models of a device's course: its samples, those of its like, episodes, forecasts and log lines."""

from __future__ import annotations

from pydantic import BaseModel, Field

from gateway.web.api.form import Form


class MetricOut(BaseModel):
    """A series of a device with its newest sample."""

    metric: str
    title: str
    unit: str
    t_ms: int | None
    value: float | None


class SeriesOut(BaseModel):
    """Samples of one series, thinned to the asked number by least and greatest of buckets."""

    metric: str
    unit: str = Field(description="As people write it: `%` for ratios, which stay 0 to 1 in `value`.")
    t_ms: list[int]
    value: list[float]


class CompanyOut(BaseModel):
    """What the others of its model did at the same time: an even choice of them, in even steps."""

    metric: str
    devices: int = Field(description="How many others speak for the model; 0 where there are too few.")
    t_ms: list[int] = Field(description="The middle of each step in which five of them at least sent something.")
    low: list[float] = Field(description="One in ten of them was lower.")
    middle: list[float]
    high: list[float] = Field(description="One in ten of them was higher.")


class EpisodeOut(Form):
    """A run of anomalies."""

    metric: str
    detector: str
    onset_ms: int
    end_ms: int | None
    peak: float
    expected: float | None
    observed: float | None
    reason: str


class ForecastOut(Form):
    """When a limit will be reached, or how probable a failure is."""

    name: str
    metric: str
    made_ms: int
    median_ms: int | None
    low_ms: int | None
    high_ms: int | None
    limit: float | None
    risk_ratio: float | None
    horizon_ms: int | None
    reason: str


class TimelineOut(BaseModel):
    """What lies on a device's time axis beside its samples."""

    episodes: list[EpisodeOut]
    forecasts: list[ForecastOut]
    births: list[int] = Field(description="Starts of the device.")
    logs: list[tuple[int, str]] = Field(description="(t_ms, severity) of the newest 2,000 log lines.")


class LogLine(BaseModel):
    """One log line."""

    t_ms: int
    severity: str
    source: str
    text: str
