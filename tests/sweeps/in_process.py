"""An executor whose workers are this process, one task after another."""

import pickle
from collections import Counter

from gradjax.executors import Executor, WorkerLost
from gradjax.sweeps import remote
from gradjax.trials import devices


def executor(does, monkeypatch):
    """Returns a function like `executors.processes.start`, and the log of its tasks.

    `does` is called before each task with the prefix of its batch (None: a probe) and
    with how often it was tried before; it returns "lost" for a worker that ends.
    """
    log, tries, answers = [], Counter(), {}
    # The backend of the tests stays as it is, and says the number of threads asked for.
    monkeypatch.setattr(devices, "use", lambda _: None)

    def start(function, work, asked):
        remote._made.cache_clear()
        given = pickle.loads(work)
        monkeypatch.setattr(
            devices, "num_threads", lambda: given.environment.get("num_threads")
        )

        def submit(task, _):
            prefix = getattr(pickle.loads(task), "prefix", None)
            log.append(prefix)
            is_lost = does(prefix, tries[prefix]) == "lost"
            tries[prefix] += 1
            answers[len(log)] = None if is_lost else function(work, task)
            return len(log)

        def result(handle):
            if answers[handle] is None:
                raise WorkerLost("its process ended")
            return answers[handle]

        return Executor(
            slots=lambda: asked.num_workers or 1,
            nodes=lambda: [None],
            submit=submit,
            wait=lambda handles, _: list(handles),
            result=result,
            cancel=lambda _: None,
            close=remote._made.cache_clear,
        )

    return start, log
