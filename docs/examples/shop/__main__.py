"""A morning in the shop: `python -m docs.examples.shop`, while `make up` runs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from docs.examples.home import addresses_and_secret
from docs.examples.shop.orders import CannotOrder, create_tables, find_order, place_order
from docs.examples.shop.returns import CannotTakeBack, take_back
from nodes.client import Cluster

ANN, BOB = 1, 2
TEAPOT, CUP = 1, 2


def open_shop(cluster: Cluster) -> None:
    for table in ("orders", "lines", "payments", "products", "customers"):
        cluster.execute(f"DROP TABLE IF EXISTS shop_{table}")
    create_tables(cluster)
    cluster.execute(
        "INSERT INTO shop_products (id, name, price, stock) VALUES (1, 'teapot', 2500, 3), (2, 'cup', 400, 20)"
    )
    cluster.execute("INSERT INTO shop_customers (id, name, credit) VALUES (1, 'Ann', 10000), (2, 'Bob', 20000)")


def show(cluster: Cluster) -> None:
    teapots, cups = cluster.query("SELECT stock FROM shop_products ORDER BY id")
    ann, bob = cluster.query("SELECT credit FROM shop_customers ORDER BY id")
    print(f"  stock: teapots {teapots[0]}, cups {cups[0]}; credit: Ann {ann[0]}, Bob {bob[0]}")


def order(cluster: Cluster, id: int, customer: int, lines: dict[int, int]) -> bool:
    try:
        placed = place_order(cluster, id, customer, lines)
    except CannotOrder as error:
        print(f"order {id}: not placed, {error}")
        return False
    print(f"order {placed.id}: placed, {placed.total} paid")
    return True


def give_back(order: int) -> None:
    try:
        print(f"order {order}: taken back, {take_back(order)} paid back")
    except CannotTakeBack as error:
        print(f"order {order}: not taken back, {error}")


def race(cluster: Cluster) -> None:
    """Both want the last teapot at the same moment."""

    def buy(customer: int) -> bool:
        try:
            return bool(place_order(cluster, 100 + customer, customer, {TEAPOT: 1}))
        except CannotOrder:
            return False

    with ThreadPoolExecutor(2) as threads:
        got = list(threads.map(buy, (ANN, BOB)))
    print(f"the last teapot was wanted by two and went to {got.count(True)}")


def books_agree(cluster: Cluster) -> bool:
    """On one snapshot: what was paid, what was ordered, and what the customers and the shelves lost."""
    orders, payments, credit, stock, pieces = (
        int(result.rows[0][0])  # PostgreSQL's sum of a BIGINT is a NUMERIC, which comes as text
        for result in cluster.execute_many(
            [
                ("SELECT SUM(total) FROM shop_orders", []),
                ("SELECT SUM(amount) FROM shop_payments", []),
                ("SELECT SUM(credit) FROM shop_customers", []),
                ("SELECT SUM(stock) FROM shop_products", []),
                ("SELECT SUM(pieces) FROM shop_lines", []),
            ]
        ).results
    )
    return orders == payments == 30_000 - credit and pieces == 23 - stock


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "txstore.settings")  # as manage.py does
    addresses, secret = addresses_and_secret()
    with Cluster.connect(addresses, secret=secret) as cluster:
        open_shop(cluster)
        show(cluster)
        order(cluster, 1, ANN, {TEAPOT: 1, CUP: 4})
        show(cluster)
        print("the same order again, as after a lost answer:")
        order(cluster, 1, ANN, {TEAPOT: 1, CUP: 4})
        order(cluster, 2, BOB, {CUP: 2, TEAPOT: 3})
        order(cluster, 3, ANN, {TEAPOT: 1, CUP: 14})
        order(cluster, 4, BOB, {TEAPOT: 1})
        show(cluster)
        race(cluster)
        give_back(1)
        give_back(1)
        print(f"order 2 was never placed: {find_order(cluster, 2)}")
        print(f"books agree: {books_agree(cluster)}")


if __name__ == "__main__":
    main()
