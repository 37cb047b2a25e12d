"""How often a caller may ask: a rate for each scope, counted for each user.

A caller has a number of requests at once, which comes back evenly over the period. One number a caller is kept (when
all of it will be back), so that a check costs the same at every rate. DRF's own throttle keeps every request's time.

*Invariant*: a cache that fails limits nobody; what it limits goes on.
*Left out*: requests without a valid token, which nobody is counted for; a lock: two requests at the same instant may
take one together.
"""

from __future__ import annotations

import logging
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import ScopedRateThrottle

TRANSACTIONS, QUESTIONS, TOKENS = "transactions", "questions", "tokens"
SAFE_METHODS = ("GET", "HEAD")

logger = logging.getLogger("txstore.api")


class CallerThrottle(ScopedRateThrottle):
    """DRF's door: the scope is the view's `throttle_scope`, or QUESTIONS for what only asks."""

    def allow_request(self, request: Request, view: Any) -> bool:
        self.scope = QUESTIONS if request.method in SAFE_METHODS else getattr(view, "throttle_scope", TRANSACTIONS)
        rate = self.get_rate()
        if rate is None:
            return True
        count, period = self.parse_rate(rate)
        try:
            self._wait = self._take(self.get_cache_key(request, view), period / count, period)
        except Exception as error:
            logger.warning("the cache of the throttles failed, so nobody is limited: %s", error)
            return True
        return self._wait == 0

    def wait(self) -> float:
        """Seconds until the next request is allowed."""
        return self._wait

    def _take(self, key: str, share: float, period: float) -> float:
        """Take one request, which is back after `share` seconds: 0, or the seconds to wait if there is none."""
        now = self.timer()
        full_at = max(self.cache.get(key, now), now) + share
        # Half a share of grace: the last one must not fail by a rounding error.
        if full_at - now < period + share / 2:
            self.cache.set(key, full_at, period)
            return 0.0
        return full_at - now - period
