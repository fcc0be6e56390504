"""What may be said about SQL statements."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.instrument.integrations.sql import describe


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("SELECT * FROM t WHERE a = 'x' AND b = 12.5", "SELECT * FROM t WHERE a = ? AND b = ?"),
        ("SELECT 'it''s' , 1e5, 0xFF", "SELECT ? , ?, ?"),
        ("SELECT 'a\\' , 'secret'", "SELECT ? , ?"),
        ("SELECT E'a\\' , secret' FROM t", "SELECT ? FROM t"),
        ("SELECT $$secret$$, $x$also 'secret'$x$", "SELECT ?, ?"),
        ("SELECT a -- secret\nFROM t /* secret */ WHERE b", "SELECT a FROM t WHERE b"),
        ('SELECT "col 1" FROM "T2"', 'SELECT "col 1" FROM "T2"'),
        ("SELECT a FROM t WHERE id IN (1, 2, 3)", "SELECT a FROM t WHERE id IN (?)"),
        ("SELECT a FROM t WHERE id IN (?, ?, ?)", "SELECT a FROM t WHERE id IN (?)"),
        (
            "INSERT INTO t (a, b) VALUES (%(a)s, %(b)s)",
            "INSERT INTO t (a, b) VALUES (%(a)s)",
        ),
        ("SELECT :p1, $2, @p3, ?4 FROM t1", "SELECT :p1, $2, @p3, ?4 FROM t1"),
        ("SELECT 'unfinished secret", "SELECT ?"),
        ("SELECT -5, +3, a-1", "SELECT ?, ?, a-?"),
        ("SELECT x'ff', N'secret'", "SELECT ?, ?"),
    ],
)
def test_literals_are_replaced(statement: str, text: str) -> None:
    """Strings, numbers and comments go; names and placeholders stay."""
    assert text == describe(statement).text


def test_mysqls_strings_have_their_own_rules() -> None:
    """There a backslash escapes, and double quotes are strings."""
    assert "SELECT ?, ? FROM `t`" == describe("SELECT \"sec\", 'a\\' , b' FROM `t`", "mysql").text


@pytest.mark.parametrize(
    ("statement", "operation", "collection", "summary"),
    [
        ("select a from users where b", "SELECT", "users", "SELECT users"),
        ("SELECT * FROM a JOIN b ON a.x = b.x", "SELECT", "", "SELECT a b"),
        ("SELECT * FROM a, b AS c WHERE 1", "SELECT", "", "SELECT a b"),
        ('SELECT * FROM s."T" x', "SELECT", "s.T", "SELECT s.T"),
        ("SELECT * FROM (SELECT 1 FROM inn) y", "SELECT", "inn", "SELECT inn"),
        ("INSERT INTO t (a) VALUES (?)", "INSERT", "t", "INSERT t"),
        ("INSERT INTO t SELECT * FROM u", "INSERT", "", "INSERT t u"),
        ("UPDATE ONLY t SET a = 1", "UPDATE", "t", "UPDATE t"),
        ("DELETE FROM t", "DELETE", "t", "DELETE t"),
        ("WITH x AS (SELECT 1 FROM a) SELECT * FROM x", "SELECT", "a", "SELECT a"),
        ("CREATE TABLE IF NOT EXISTS t (a INT)", "CREATE TABLE", "t", "CREATE TABLE t"),
        ("CREATE UNIQUE INDEX i ON t (a)", "CREATE INDEX", "t", "CREATE INDEX t"),
        ("DROP TABLE t", "DROP TABLE", "t", "DROP TABLE t"),
        ('PRAGMA main.table_info("t")', "PRAGMA", "", "PRAGMA"),
        ("SELECT EXTRACT(YEAR FROM d) FROM t", "SELECT", "", "SELECT d t"),
        ("", "", "", "SQL"),
        ("???", "", "", "SQL"),
    ],
)
def test_statements_are_summarised(
    statement: str, operation: str, collection: str, summary: str
) -> None:
    """Operation and tables; one table is the collection, several are not."""
    said = describe(statement)
    assert (operation, collection, summary) == (said.operation, said.collection, said.summary)


@given(st.text(max_size=200))
def test_anything_can_be_described(statement: str) -> None:
    """No text raises, and a described text has no string literal left."""
    said = describe(statement)
    assert len(said.summary) <= 255
    assert said.summary


@given(st.text(st.characters(exclude_characters="'\\", codec="utf-8"), max_size=30))
def test_a_string_never_survives(secret: str) -> None:
    """Whatever stands between quotes is gone."""
    assert "SELECT ? FROM t" == describe(f"SELECT '{secret}' FROM t").text
    assert "SELECT ? FROM t" == describe(f"SELECT '{secret}' FROM t", "mysql").text
