"""What a stopped run promises: to continue from the step that was saved, or from the last checkpoint."""

import logging
import os
import signal

import pytest

from architectures.training.processes import run_until_done
from architectures.training.signals import Interrupted, Signals


def test_a_second_ctrl_c_promises_no_more_than_the_last_checkpoint(
    caplog: pytest.LogCaptureFixture,
) -> None:
    signals = Signals()
    signals.waiting = True
    signals.handle(signal.SIGINT, None)
    with pytest.raises(Interrupted) as raised:
        signals.handle(signal.SIGINT, None)
    assert not raised.value.saved


@pytest.mark.parametrize(
    ("saved", "message"),
    [(True, "continues from there"), (False, "from the last checkpoint, or from the start")],
)
def test_the_message_says_where_a_run_continues(
    saved: bool, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(signals: Signals) -> None:
        raise Interrupted("SIGINT", saved=saved)

    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
    }
    try:
        with caplog.at_level(logging.WARNING), pytest.raises(SystemExit) as ended:
            run_until_done(stop)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert ended.value.code == os.EX_TEMPFAIL
    assert message in caplog.text
