"""The seconds that jax spends on compiling, as jax reports them."""

from collections.abc import Callable

import jax

# Lowering and XLA. Tracing is left out, because nested traces would count twice.
_EVENTS = (
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


def watch() -> Callable[[], float]:
    """Starts to count; the returned function gives the seconds since its last call."""
    spent: list[float] = []

    def hear(event: str, duration_secs: float, **_kwargs: str | int) -> None:
        if event in _EVENTS:
            spent.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(hear)

    def since() -> float:
        heard = sum(spent)
        spent.clear()
        return heard

    return since
