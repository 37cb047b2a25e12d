"""A phone company's two delicate moves: a top-up by voucher, and a number that goes to another operator.

Functions over the awaited client, for a service on asyncio. Amounts are in cents.
"""

from __future__ import annotations

from nodes.client.aio import Cluster
from nodes.errors import ConstraintViolation, ExpectationFailed, OutcomeUnknown

TABLES = (
    "telecom_operators (name TEXT PRIMARY KEY, numbers INT NOT NULL, owed BIGINT NOT NULL)",
    "telecom_numbers (number BIGINT PRIMARY KEY, operator TEXT NOT NULL, balance BIGINT NOT NULL,"
    " CHECK (balance >= 0))",
    "telecom_vouchers (code TEXT PRIMARY KEY, amount BIGINT NOT NULL, used_by BIGINT)",
    "telecom_portings (id TEXT PRIMARY KEY, number BIGINT NOT NULL, donor TEXT NOT NULL,"
    " recipient TEXT NOT NULL, balance BIGINT NOT NULL)",
)


class Refused(Exception):
    """It was not done, and nothing changed."""


async def create_tables(cluster: Cluster) -> None:
    """May be repeated."""
    for table in TABLES:
        await cluster.execute(f"CREATE TABLE IF NOT EXISTS {table}")


async def top_up(cluster: Cluster, number: int, code: str) -> int:
    """Use up a voucher for a number; the new balance. Refused if there is no such voucher or number, or somebody else
    has used it. May be called again with the same number and code: the voucher counts once."""
    found = await cluster.query("SELECT amount FROM telecom_vouchers WHERE code = $1", [code])
    if not found:
        raise Refused(f"there is no voucher {code}")
    try:
        reply = await cluster.execute_many(
            [
                ("UPDATE telecom_vouchers SET used_by = $1 WHERE code = $2 AND used_by IS NULL", [number, code]),
                (
                    "UPDATE telecom_numbers SET balance = balance + $1 WHERE number = $2 RETURNING balance",
                    [found[0][0], number],
                ),
            ],
            expect_rows=1,
        )
    except (ExpectationFailed, OutcomeUnknown) as error:
        return await _topped_up_before(cluster, number, code, error)
    return await balance_of(cluster, number) if reply.results_lost else int(reply.results[1].rows[0][0])


async def port(cluster: Cluster, id: str, number: int, recipient: str) -> str:
    """Move a number, with its balance, to another operator; gives the operator that it left, which then owes the
    recipient the balance. Refused if the number or the recipient is unknown, or the number is the recipient's already.
    May be called again with the same id: the number moves once."""
    while True:
        donor, balance = await _owner_of(cluster, number)
        if donor == recipient:
            return await _ported_before(cluster, id, Refused(f"{number} is {recipient}'s already"))
        try:
            await cluster.execute_many(_moves(id, number, donor, recipient, balance), expect_rows=1)
            return donor
        except ExpectationFailed as error:
            if error.info.statement > 0:
                raise Refused(f"there is no operator {recipient}") from error
            # Since it was read, the number was topped up or ported by somebody else: read again.
        except (ConstraintViolation, OutcomeUnknown) as error:
            return await _ported_before(cluster, id, error)


def _moves(id: str, number: int, donor: str, recipient: str, balance: int) -> list[tuple[str, list[int | str]]]:
    """The first statement holds only for the number as it was read."""
    return [
        (
            "UPDATE telecom_numbers SET operator = $1 WHERE number = $2 AND operator = $3 AND balance = $4",
            [recipient, number, donor, balance],
        ),
        ("UPDATE telecom_operators SET numbers = numbers - 1, owed = owed + $1 WHERE name = $2", [balance, donor]),
        ("UPDATE telecom_operators SET numbers = numbers + 1, owed = owed - $1 WHERE name = $2", [balance, recipient]),
        (
            "INSERT INTO telecom_portings (id, number, donor, recipient, balance) VALUES ($1, $2, $3, $4, $5)",
            [id, number, donor, recipient, balance],
        ),
    ]


async def balance_of(cluster: Cluster, number: int) -> int:
    return (await _owner_of(cluster, number))[1]


async def _owner_of(cluster: Cluster, number: int) -> tuple[str, int]:
    found = await cluster.query("SELECT operator, balance FROM telecom_numbers WHERE number = $1", [number])
    if not found:
        raise Refused(f"there is no number {number}")
    operator, balance = found[0]
    return operator, balance


async def _topped_up_before(cluster: Cluster, number: int, code: str, error: Exception) -> int:
    """The balance, if the voucher was used for this number; what else there is to say if not."""
    used_by = (await cluster.query("SELECT used_by FROM telecom_vouchers WHERE code = $1", [code]))[0][0]
    if used_by == number:
        return await balance_of(cluster, number)
    if isinstance(error, OutcomeUnknown):
        raise error
    if used_by is None:
        raise Refused(f"there is no number {number}") from error
    raise Refused(f"the voucher {code} was used for another number") from error


async def _ported_before(cluster: Cluster, id: str, error: Exception) -> str:
    """The donor, if a porting with this id was done; the error if not."""
    found = await cluster.query("SELECT donor FROM telecom_portings WHERE id = $1", [id])
    if not found:
        raise error
    return str(found[0][0])
