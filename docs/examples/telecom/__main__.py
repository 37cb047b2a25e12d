"""A day of a phone company: `python -m docs.examples.telecom`, while `make up` runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from docs.examples.home import addresses_and_secret
from docs.examples.telecom.numbers import Refused, balance_of, create_tables, port, top_up
from nodes.client.aio import Cluster
from nodes.errors import OutcomeUnknown

Result = TypeVar("Result")

BLUE, RED, GREEN = "Blue", "Red", "Green"
ANN, BOB = 491701, 491702


async def begin(cluster: Cluster) -> None:
    for table in ("operators", "numbers", "vouchers", "portings"):
        await cluster.execute(f"DROP TABLE IF EXISTS telecom_{table}")
    await create_tables(cluster)
    await cluster.execute(
        "INSERT INTO telecom_operators (name, numbers, owed) VALUES ('Blue', 2, 0), ('Red', 0, 0), ('Green', 0, 0)"
    )
    await cluster.execute(
        "INSERT INTO telecom_numbers (number, operator, balance) VALUES ($1, 'Blue', 500), ($2, 'Blue', 0)", [ANN, BOB]
    )
    vouchers = ", ".join(f"('V{number}', 1000)" for number in range(1, 31))
    await cluster.execute(f"INSERT INTO telecom_vouchers (code, amount) VALUES {vouchers}")


async def surely(call: Callable[[], Awaitable[Result]]) -> Result:
    """Every call here is safe to repeat, so one whose outcome nobody could tell is repeated."""
    while True:
        try:
            return await call()
        except OutcomeUnknown:
            continue


async def tell(words: str, call: Callable[[], Awaitable[int | str]]) -> None:
    try:
        print(f"{words}: {await surely(call)}")
    except Refused as error:
        print(f"{words}: refused, {error}")


async def attempt(call: Callable[[], Awaitable[int | str]]) -> None:
    with suppress(Refused):
        await surely(call)


async def rush(cluster: Cluster) -> None:
    """Top-ups and portings of one number, all at once: twenty vouchers, each sent twice, and three operators."""
    top_ups = [partial(top_up, cluster, BOB, f"V{number}") for number in range(11, 31) for _ in range(2)]
    portings = [partial(port, cluster, f"bob to {operator}", BOB, operator) for operator in (RED, GREEN, BLUE)]
    await asyncio.gather(*map(attempt, top_ups), *map(attempt, portings))
    print(f"after the rush Bob has {await balance_of(cluster, BOB)}")


async def books_agree(cluster: Cluster) -> bool:
    """On one snapshot: each operator has the numbers that it says, nobody is owed what nobody owes, and all money
    comes from vouchers."""
    reply = await cluster.execute_many(
        [
            ("SELECT name, numbers FROM telecom_operators", []),
            ("SELECT operator, balance FROM telecom_numbers", []),
            ("SELECT SUM(owed) FROM telecom_operators", []),
            ("SELECT SUM(amount) FROM telecom_vouchers WHERE used_by IS NOT NULL", []),
        ]
    )
    operators, numbers, owed, used = (result.rows for result in reply.results)
    counted = {name: sum(operator == name for operator, _ in numbers) for name, _ in operators}
    balances = sum(balance for _, balance in numbers)
    return counted == dict(map(tuple, operators)) and int(owed[0][0]) == 0 and balances == 500 + int(used[0][0])


async def main() -> None:
    addresses, secret = addresses_and_secret()
    async with Cluster.connect(addresses, secret=secret) as cluster:
        await begin(cluster)
        await tell("Ann tops up with V1", partial(top_up, cluster, ANN, "V1"))
        await tell("the same again, as after a lost answer", partial(top_up, cluster, ANN, "V1"))
        await tell("Bob tops up with V1", partial(top_up, cluster, BOB, "V1"))
        await tell("Bob tops up with V99", partial(top_up, cluster, BOB, "V99"))
        await tell("Ann's number goes to Red, away from", partial(port, cluster, "ann to Red", ANN, RED))
        await tell("the same again", partial(port, cluster, "ann to Red", ANN, RED))
        await tell("Ann's number goes to Red under another id", partial(port, cluster, "ann to Red 2", ANN, RED))
        await tell("Ann's number goes to Grey", partial(port, cluster, "ann to Grey", ANN, "Grey"))
        await rush(cluster)
        print(f"books agree: {await books_agree(cluster)}")


if __name__ == "__main__":
    asyncio.run(main())
