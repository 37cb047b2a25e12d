"""What comes back to the shop: the order is looked at first, and then undone, in one interactive transaction.

Service functions of a Django project (`txstore/transactional.py`). Each is a transaction by itself, and part of its
caller's where that has one: a view may call `refund` alone, and `take_back` calls it too.
"""

from __future__ import annotations

from txstore.transactional import current, transactional


class CannotTakeBack(Exception):
    """Nothing was taken back, and nothing changed."""


@transactional
def take_back(order: int) -> int:
    """Put the pieces of an order back, pay the money back, and forget the order; gives the cents that were paid back.

    It may be run more than once, so it does nothing else: what lost to another transaction is undone as a whole."""
    txn = current()
    paid = txn.query("SELECT customer, amount FROM shop_payments WHERE order_id = $1", [order])
    if not paid:
        raise CannotTakeBack(f"there is no order {order}")
    ((customer, amount),) = paid
    for product, pieces in txn.query("SELECT product, pieces FROM shop_lines WHERE order_id = $1", [order]):
        txn.execute("UPDATE shop_products SET stock = stock + $1 WHERE id = $2", [pieces, product], expect_rows=1)
    refund(customer, amount)
    txn.execute("DELETE FROM shop_lines WHERE order_id = $1", [order])
    txn.execute("DELETE FROM shop_payments WHERE order_id = $1", [order], expect_rows=1)
    txn.execute("DELETE FROM shop_orders WHERE id = $1", [order], expect_rows=1)
    return int(amount)


@transactional
def refund(customer: int, amount: int) -> None:
    """Give a customer `amount` cents back."""
    pay = "UPDATE shop_customers SET credit = credit + $1 WHERE id = $2"
    current().execute(pay, [amount, customer], expect_rows=1)
