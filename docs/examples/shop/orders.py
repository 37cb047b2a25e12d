"""The orders of a shop: stock, order and payment change together, or not at all.

Functions over a client, as a Django service module would have them: the views call these, and nothing else writes to
these tables. Amounts are in cents.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodes.client import Cluster
from nodes.errors import ConstraintViolation, ExpectationFailed, OutcomeUnknown

TABLES = (
    "shop_products (id INT PRIMARY KEY, name TEXT NOT NULL, price BIGINT NOT NULL, stock INT NOT NULL,"
    " CHECK (stock >= 0))",
    "shop_customers (id INT PRIMARY KEY, name TEXT NOT NULL, credit BIGINT NOT NULL, CHECK (credit >= 0))",
    "shop_orders (id BIGINT PRIMARY KEY, customer INT NOT NULL, total BIGINT NOT NULL)",
    # Sharded by the order, so that the lines of one order lie together.
    "shop_lines (order_id BIGINT, product INT, pieces INT NOT NULL, price BIGINT NOT NULL,"
    " PRIMARY KEY (order_id, product)) SHARD BY (order_id)",
    "shop_payments (order_id BIGINT PRIMARY KEY, customer INT NOT NULL, amount BIGINT NOT NULL)",
)


class CannotOrder(Exception):
    """The order was not placed, and nothing changed."""


@dataclass(frozen=True)
class Order:
    """A placed order; `lines` is product -> pieces, `total` in cents."""

    id: int
    customer: int
    lines: dict[int, int]
    total: int


def create_tables(cluster: Cluster) -> None:
    """May be repeated."""
    for table in TABLES:
        cluster.execute(f"CREATE TABLE IF NOT EXISTS {table}")


def place_order(cluster: Cluster, id: int, customer: int, lines: dict[int, int]) -> Order:
    """Place an order of `lines` (product -> pieces). CannotOrder says why it was not placed.

    May be called again with the same id, whatever happened the first time: the order is placed once, as it was first
    asked for.
    """
    prices = prices_of(cluster, list(lines))
    total = sum(prices[product] * pieces for product, pieces in lines.items())
    take = [
        ("UPDATE shop_products SET stock = stock - $1 WHERE id = $2 AND price = $3 AND stock >= $1",
         [pieces, product, prices[product]])
        for product, pieces in lines.items()
    ]  # fmt: skip
    pay = ("UPDATE shop_customers SET credit = credit - $1 WHERE id = $2 AND credit >= $1", [total, customer])
    record = [
        ("INSERT INTO shop_orders (id, customer, total) VALUES ($1, $2, $3)", [id, customer, total]),
        ("INSERT INTO shop_payments (order_id, customer, amount) VALUES ($1, $2, $3)", [id, customer, total]),
        *(("INSERT INTO shop_lines (order_id, product, pieces, price) VALUES ($1, $2, $3, $4)",
           [id, product, pieces, prices[product]])
          for product, pieces in lines.items()),
    ]  # fmt: skip
    try:
        # Every statement has to change exactly one row, wherever the rows lie: otherwise nothing happens.
        cluster.execute_many([*take, pay, *record], expect_rows=1)
    except (ExpectationFailed, ConstraintViolation, OutcomeUnknown) as error:
        # It may have been placed by an earlier call, or by this one, whose answer was lost: the tables know.
        placed = find_order(cluster, id)
        if placed is not None:
            return placed
        if isinstance(error, ExpectationFailed):
            raise _refusal(cluster, lines, prices, error.info.statement) from error
        raise
    return Order(id, customer, lines, total)


def find_order(cluster: Cluster, id: int) -> Order | None:
    """The order with its lines, on one snapshot."""
    reply = cluster.execute_many(
        [
            ("SELECT customer, total FROM shop_orders WHERE id = $1", [id]),
            ("SELECT product, pieces FROM shop_lines WHERE order_id = $1 ORDER BY product", [id]),
        ]
    )
    found, lines = (result.rows for result in reply.results)
    if not found:
        return None
    customer, total = found[0]
    return Order(id, customer, {line[0]: line[1] for line in lines}, total)


def prices_of(cluster: Cluster, products: list[int]) -> dict[int, int]:
    """product -> price; CannotOrder for one that does not exist."""
    reply = cluster.execute_many([("SELECT id, price FROM shop_products WHERE id = $1", [id]) for id in products])
    prices = {id: price for result in reply.results for id, price in result.rows}
    if missing := set(products) - set(prices):
        raise CannotOrder(f"there is no product {min(missing)}")
    return prices


def _refusal(cluster: Cluster, lines: dict[int, int], prices: dict[int, int], statement: int) -> CannotOrder:
    """Why that statement did not find its row as it must be."""
    if statement >= len(lines):
        return CannotOrder("the customer does not have enough credit")
    product = list(lines)[statement]
    name, price, stock = cluster.query("SELECT name, price, stock FROM shop_products WHERE id = $1", [product])[0]
    if price != prices[product]:
        return CannotOrder(f"the price of the {name} has changed: look at it again")
    return CannotOrder(f"of the {name} {lines[product]} were wanted, {stock} are in stock")
