from __future__ import annotations

from emulator.config import Settings
from emulator.service import engine_options
from emulator.worker.surroundings import EngineOptions


def test_every_option_of_the_engine_comes_from_a_setting() -> None:
    options = engine_options(Settings())
    assert EngineOptions(**options) == EngineOptions()  # type: ignore[arg-type]
    assert set(options) == set(EngineOptions.__dataclass_fields__)


def test_a_setting_reaches_the_engine() -> None:
    settings = Settings.model_validate(
        {
            "stream": {"clear_granularity": "packet", "max_queued_s": 5},
            "media": {"inband_dtmf": True},
        }
    )
    options = engine_options(settings)
    assert options["clear_granularity"] == "packet"
    assert options["max_queued_s"] == 5
    assert options["inband_dtmf"] is True
