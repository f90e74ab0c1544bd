"""Checks of a setting, for the settings of any part."""

from seqzoo.errors import ConfigError, nearest

__all__ = ["check_choice", "check_multiple", "check_range"]


def check_range(
    name: str, value: float, low: float, high: float | None = None, *, closed: bool = False
) -> None:
    """Refuse a setting outside ``low <= value < high``, or ``<= high`` if the range is closed.

    Raises:
        ConfigError: names the setting, the value and the range.
    """
    if high is None:
        valid, expected = value >= low, f"{low} or more"
    elif closed:
        valid, expected = low <= value <= high, f"{low} to {high}"
    else:
        valid, expected = low <= value < high, f"{low} or more and less than {high}"
    if not valid:
        raise ConfigError(f"setting '{name}' is {value}; expected {expected}")


def check_multiple(name: str, value: int, divisor_name: str, divisor: int) -> None:
    """Refuse a setting that is not a multiple of another.

    Raises:
        ConfigError: names both settings and their values.
    """
    if value % divisor:
        raise ConfigError(
            f"{name} is {value}, which is not a multiple of {divisor_name} = {divisor}"
        )


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuse a setting that is none of ``choices``.

    Raises:
        ConfigError: names the setting, the value, the nearest choice and all choices.
    """
    if value not in choices:
        raise ConfigError(
            f"setting '{name}' is '{value}'{nearest(value, choices) or ';'} "
            f"expected one of: {', '.join(choices)}"
        )
