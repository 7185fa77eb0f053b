"""Folders: where documents lie, and what lies there and is none. Nothing is passed over without a word."""

from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from pipeline.catalog.faults import Fault

FOLDERS = (
    "experiments",
    "flags",
    "metrics",
    "groups",
    "cohorts",
    "deployments",
    "notifications",
    "templates",
    "briefs",
    "sources",
)
OTHERS = ("schemas",)  # ours, without documents
ALIKE = 0.85  # of the dead letters of a folder's name, when it is a spelling mistake


def is_yaml(path: Path) -> bool:
    """Whether the file is one of those that are read."""
    return path.suffix.lower() in {".yaml", ".yml"}


def files_in(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those within it, but hidden ones."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():  # links may lead back
            yield from files_in(path)
        else:
            yield path


def unread(directory: Path) -> tuple[list[Fault], list[Fault]]:
    """What looks like a document and is not read, and what may be none: faults and notes."""
    faults, notes = [], []
    for path in sorted(directory.iterdir()):
        if path.name.startswith(".") or path.name in (*FOLDERS, *OTHERS):
            continue
        within = path.is_dir() and next(filter(is_yaml, files_in(path)), None)
        if path.is_file() and is_yaml(path):
            notes.append(Fault(str(path), 1, f"is not read: documents lie in {', '.join(FOLDERS)}; move it there"))
        elif within and (meant := _meant(path)) is not None:
            told = f"is not read, nor is what else lies in {path.name}/: the folder is called {meant}/; rename it"
            faults.append(Fault(str(within), 1, told))
        elif within and not _is_known(path):
            told = f"is not read, nor is what else lies in {path.name}/: documents lie in {', '.join(FOLDERS)}"
            notes.append(Fault(str(within), 1, told))
    for folder in FOLDERS:
        for path in files_in(directory / folder):
            if path.suffix.lower() == ".json" and folder != "cohorts":
                told = f"is not read: documents are YAML, which JSON is too; call it {path.stem}.yaml"
                faults.append(Fault(str(path), 1, told))
            elif not is_yaml(path) and folder != "cohorts" and path.stem.upper() != "README":
                notes.append(Fault(str(path), 1, "is not read: documents end in .yaml or .yml"))
    return faults, notes


def _meant(folder: Path) -> str | None:
    """The folder whose name was misspelt."""
    if _is_known(folder):
        return None
    return next(iter(get_close_matches(folder.name.lower(), FOLDERS, n=1, cutoff=ALIKE)), None)


def _is_known(folder: Path) -> bool:
    """Whether it is one of ours although it is written otherwise, as where case is none."""
    same = folder.with_name(folder.name.lower())
    return same.name in (*FOLDERS, *OTHERS) and same.exists() and same.samefile(folder)
