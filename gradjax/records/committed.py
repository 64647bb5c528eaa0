"""The committed files of an open store: found by kind, by name and by cohort.

A sweep can have hundreds of thousands of files, and each of its cohorts asks for its
own segments. So the store holds an index of segments by cohort, and no function that is
called for one cohort goes through the files of all.
"""

from typing import Any

Line = dict[str, Any]  # the fields of the line of a file in the journal


def add(store: Any, line: Line) -> None:
    """Notes that a file is committed, after its line is in the journal."""
    name = line["name"]
    store.files[name] = line
    store.lost.pop(name, None)
    if line["kind"] == "segment":
        own = store.cohorts.setdefault(cohort_of(name), [])
        if name not in own:
            own.append(name)


def by_cohort(files: dict[str, Line]) -> dict[str, list[str]]:
    """Returns cohort -> the names of its segments, in the order of the files."""
    found: dict[str, list[str]] = {}
    for name, line in files.items():
        if line["kind"] == "segment":
            found.setdefault(cohort_of(name), []).append(name)
    return found


def cohort_of(segment: str) -> str:
    """Returns the cohort of a segment: its name without the number of its block."""
    return segment.rpartition("-")[0]


def committed_segments(store: Any, cohort: str | None = None) -> dict[str, Line]:
    """Returns the committed segments: name -> the fields of its line in the journal.

    The fields are file, sha256, bytes, digest and the metadata given to `commit`. If
    `environment` is present, it is the number of changes of the environment that were
    accepted before the segment was committed.

    Args:
      store: open to read or to write.
      cohort: the cohort whose segments are returned; None: all.
    """
    if cohort is None:
        return _of_kind(store, "segment")
    names = store.cohorts.get(cohort, ())
    return {name: _shown(store.files[name]) for name in names}


def committed_states(store: Any, kind: str = "states") -> dict[str, Line]:
    """Returns the committed states of a kind, by name."""
    return _of_kind(store, kind)


def committed_params(store: Any) -> dict[str, Line]:
    """Returns the committed files of parameters, by name."""
    return _of_kind(store, "params")


def is_committed(store: Any, kind: str, name: str) -> bool:
    """Returns whether a file of this kind and name is committed."""
    return store.files.get(name, {}).get("kind") == kind


def _of_kind(store: Any, kind: str) -> dict[str, Line]:
    return {
        name: _shown(line) for name, line in store.files.items() if line["kind"] == kind
    }


def _shown(line: Line) -> Line:
    return {key: value for key, value in line.items() if key != "kind"}
