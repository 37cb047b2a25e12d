"""The front: the Django project of txstore, its REST API, and what starts all of it on one machine."""
