"""Tables of the schema public, as the catalogue has them."""

from dataclasses import dataclass

from psycopg import sql

from tests.support.gateway.calls import Refused, rest_error
from tests.support.gateway.pool import Connection

COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid),
       coalesce(a.attnum = ANY(i.indkey), false)
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
WHERE a.attrelid = to_regclass('public.' || quote_ident(%s)) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the catalogue has it."""

    name: str
    kind: str
    default: str | None
    in_key: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the schema public."""

    name: str
    columns: dict[str, Column]

    @property
    def sql(self) -> sql.Identifier:
        """Its name."""
        return sql.Identifier("public", self.name)

    def checked(self, names: list[str]) -> list[str]:
        """The names; raises Refused (400 PGRST204) for one that is not a column."""
        for name in names:
            if name not in self.columns:
                message = f"Could not find the '{name}' column of '{self.name}' in the schema cache"
                raise Refused(rest_error(400, "PGRST204", message))
        return names


def find_table(db: Connection, name: str) -> Table:
    """A table with its columns; raises Refused (404 PGRST205) where there is none."""
    found = [Column(*row) for row in db.execute(COLUMNS, [name])]
    if not found:
        raise Refused(rest_error(404, "PGRST205", f"Could not find the table 'public.{name}' in the schema cache"))
    return Table(name, {column.name: column for column in found})
