"""The county's list of schools from a browser: tried or brought in; notices with the codes of ``/speed``."""

from __future__ import annotations

import tempfile
from datetime import date, datetime
from pathlib import Path

import msgspec

from collector.access import Who, audit
from collector.registry import Registry
from collector.registry.importing import differences, read_schools
from collector.registry.sheets import SheetError
from collector.settings import CollectorSettings
from collector.terminals.codes import code_of
from collector.web.problems import bad_request
from collector.web.uploads import Upload
from config.settings import SettingsError
from config.words import Language

KINDS = (".xlsx", ".csv", ".yaml", ".yml")
MOST_SHOWN = 200


class Brought(msgspec.Struct, frozen=True):
    """What became of a list. ``faults`` and ``changes`` are lines, the first of them alone."""

    is_trial: bool
    name: str
    read: int
    changed: int
    fault_count: int
    faults: tuple[str, ...]
    changes: tuple[str, ...]
    unread: tuple[str, ...]

    @property
    def is_refused(self) -> bool:
        """Nothing was brought in because of faults."""
        return not self.is_trial and self.fault_count > 0 and self.changed == 0


class SchoolList:
    """Brings lists in, and makes notices."""

    def __init__(self, registry: Registry, settings: CollectorSettings) -> None:
        self._registry = registry
        self._settings = settings

    def bring_in(self, upload: Upload, by: Who, today: date, at: datetime) -> Brought:
        """All of the list or nothing; with the field ``partial`` its whole rows; with ``what`` try nothing.

        Raises Problem for a file that is no list, RegistryError.
        """
        suffix = Path(upload.name).suffix.lower()
        if suffix not in KINDS:
            raise bad_request(f"file: is no list of schools; allowed: {', '.join(KINDS)}")
        known, is_trial = self._registry.schools(), upload.fields.get("what") != "import"
        with tempfile.TemporaryDirectory(prefix="schools-") as folder:
            file = Path(folder) / f"list{suffix}"
            file.write_bytes(upload.content)
            try:
                found = read_schools(file, known, today)
            except (SheetError, SettingsError) as error:
                raise bad_request(str(error).replace(str(file), upload.name)) from None
        changes = list(differences(known, found.schools))
        is_whole = not found.faults or upload.fields.get("partial") == "1"
        if not is_trial and is_whole:
            self._registry.put_schools(
                found.schools,
                lambda connection, changed: audit.record(
                    connection, by, "schools.import", upload.name[:100], at=at, changed=changed
                ),
            )
        return Brought(
            is_trial=is_trial,
            name=upload.name,
            read=len(found.schools),
            changed=len(changes) if is_trial or is_whole else 0,
            fault_count=len(found.faults),
            faults=tuple(str(fault) for fault in found.faults[:MOST_SHOWN]),
            changes=tuple(changes[:MOST_SHOWN]),
            unread=found.unread,
        )

    def notices(self, school_id: str, by: Who, language: Language) -> bytes:
        """A page a school, or of all where none is named, with the code and its QR code, PDF.

        Raises Problem, RegistryError, NoChineseFont.
        """
        from collector.terminals.posters import Notice, posters  # noqa: PLC0415 (fonts and pages, for this)

        schools, url = self._registry.schools(), self._settings.terminals.url
        if not url:
            raise bad_request("terminals.url: is empty in the collector's settings")
        wanted = [school_id] if school_id else list(schools)
        codes = {each: code_of(self._registry, each, by=by) for each in wanted}
        made = [Notice(schools[each].name or each, code) for each, code in codes.items()]
        return posters(made, url, language, self._settings.reports.font_file)
