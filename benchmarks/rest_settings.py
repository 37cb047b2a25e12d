"""Django's settings for the peers behind REST: the product's own, with other views."""

from txstore.settings import *  # noqa: F403

ROOT_URLCONF = "benchmarks.rest_views"
